"""The executor on one machine: the same bits however it is run, and nothing lost however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from isthmus import training, weights
from isthmus.errors import BadInput, Interrupted, RunFailed, UnknownName
from isthmus.execute import EXECUTORS, Setting, executor
from isthmus.graph import plan
from isthmus.networks import NetworkState
from isthmus.nodes import Distance, Init, State, Train, advance
from isthmus.noise import Noise
from isthmus.store import Record, Store
from isthmus.study import Results, Study, expand, run
from isthmus.study.files import override
from isthmus.study.read import from_mapping
from small_studies import BRANCH, MODEL, Told, branch, compute, data, digests, environment, recipe, state, write

STUDY = branch("seeds=[0, 3]", 'merge={after="1ep", every="1ep"}', "merge.buffers=average")


def ran(study: Study, store: Path | Store, workers: int = 0, **options: Any) -> Results:
    return run(study, store, workers=workers, threads=1, **options)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study, computed in this process."""
    folder = tmp_path_factory.mktemp("reference")
    assert ran(STUDY, folder).computed == len(list(Store(folder).keys()))
    return folder


def test_processes_side_by_side_give_the_same_bits(reference: Path, tmp_path: Path) -> None:
    again = ran(STUDY, tmp_path, 2)
    assert digests(Store(tmp_path)) == digests(Store(reference))
    assert Store(tmp_path).verify() == []
    wanted = ran(STUDY, reference)
    assert wanted.computed == 0
    for name in ("pairs", "curves", "networks", "seeds"):
        assert again[name].to_csv() == wanted[name].to_csv()


AGAIN = """
import sys
from isthmus.study import run
from isthmus.study.files import load
found = run(load(sys.argv[1]), sys.argv[2], workers=9)
print(found.computed, "torch" in sys.modules, len(found["pairs"]))
"""


def test_a_second_run_computes_nothing_and_does_not_load_torch(reference: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*")}
    file = write(tmp_path, STUDY.model_dump(mode="json"))
    told = subprocess.run(
        [sys.executable, "-c", AGAIN, str(file), str(reference)],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (told.stdout, told.stderr) == ("0 False 8\n", "")  # 2 seeds, 2 ks, 2 metrics
    assert {path: path.stat().st_mtime_ns for path in reference.rglob("*")} == before


def test_what_a_later_change_adds_starts_from_what_is_there(reference: Path) -> None:
    further = branch('branch.at=["0ep", "2ep", "4ep"]', 'recipe.schedule.milestones=["3ep"]')
    expansion, store = expand(further), Store(reference)
    pending = plan(expansion.targets, store).pending
    assert {(n.root.step, n.stop) for n in pending.values() if isinstance(n, Train)} == {(0, 20), (20, 25)}
    ran(further, store)
    (trunk,) = (node for node in pending.values() if isinstance(node, Train) and node.stop == 20)
    assert set(store.get(trunk.key).parents) == {trunk.at(10).key}  # the tail alone was trained


# --- death ------------------------------------------------------------------------------------------------------------


def children() -> list[int]:
    """The processes that this one started."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


INIT = Init(MODEL, 3)


def to(stop: int, start: State = INIT, seed: int = 5, **changes: Any) -> State:
    return advance(start, recipe(**changes), data(), Noise.of(seed), stop)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its workers through /proc")
def test_a_worker_that_is_killed_and_a_node_that_fails_cost_what_needs_them_and_no_more(tmp_path: Path) -> None:
    a, b, bad = to(300), to(301, seed=6), to(4, loss="binary_cross_entropy")  # 300 steps are long enough to be hit
    apart, worse = Distance(a, b), to(7, bad)
    killed: list[int] = []

    def kill(key: str) -> None:
        if key == a.key and not killed:
            killed.extend(children())
            os.kill(killed[0], signal.SIGKILL)

    display, store, undisturbed = Told(kill), Store(tmp_path / "killed"), Store(tmp_path / "undisturbed")
    with pytest.raises(RunFailed) as caught:
        compute(store, apart, worse, workers=1, display=display)
    first, *told = str(caught.value).splitlines()
    assert first == "2 of 6 results failed and 2 that need them were not tried; all others are kept:"
    assert sorted(told) == sorted(
        [
            f"  train mlp 0 -> 300 ({a.key[:12]}): its process was killed by signal 9 without an answer; run the same"
            " command again to go on",
            f"  train mlp 0 -> 4 ({bad.key[:12]}): Binary cross-entropy needs one output an example, found outputs of"
            " shape (40, 2); build the model with outputs=1.",
        ]
    )
    assert set(display.failures) == {a.key, bad.key}
    assert display.lines == []  # no traceback for what was foreseen
    assert children() == []
    assert set(store.keys()) == set(display.order) == {INIT.key, b.key}
    compute(store, apart)
    compute(undisturbed, apart)
    assert digests(store) == digests(undisturbed)


def isthmus_run(study: Path, store: Path, *options: str, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """The command line, in a process of its own."""
    command = [sys.executable, "-m", "isthmus", "run", str(study), "--store", str(store), "--threads", "1", *options]
    return subprocess.Popen(
        [*prefix, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=study.parent,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 0)], ids=["SIGINT, a worker", "SIGTERM, none"]
)
def test_an_interrupt_saves_what_is_in_flight_and_the_next_run_goes_on_from_it(
    tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    content = override(BRANCH, ['branch.at=["0ep"]', 'branch.lengths=["9000ep"]'])  # far longer than anybody waits
    store = Store(tmp_path / "store")
    process = isthmus_run(write(tmp_path, content), store.root, "--workers", str(workers))
    init = expand(from_mapping(content)).targets[0].parents()[0].parents()[0]
    deadline = time.monotonic() + 60
    while not store.has(init.key) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # into the training that follows
    process.send_signal(number)
    out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert told.splitlines()[-1] == (
        "isthmus: Stopped with 1 of 5 results computed and training in flight saved; run the same command again and it"
        " goes on from here."
    )
    assert "Traceback" not in told
    assert store.verify() == []
    saved, other = (store.get(key) for key in list(store.keys()) if key != init.key)
    assert saved.summary["step"] == other.summary["step"]  # both copies are in flight
    ends = [end for end in expand(from_mapping(content)).targets[0].parents() if isinstance(end, Train)]
    (end, way) = next((end, way) for end in ends if (way := end.at(saved.summary["step"])).key == saved.key)
    undisturbed = Store(tmp_path / "undisturbed")
    further = end.at(way.step + 7)
    compute(undisturbed, way, further)
    compute(store, further)
    assert set(store.get(further.key).parents) == {way.key}
    assert {key: digests(store)[key] for key in (way.key, further.key)}.items() <= digests(undisturbed).items()


def test_an_interrupt_in_the_callers_own_process_is_an_exception(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    told = Told(lambda key: signal.raise_signal(signal.SIGINT) if not told.order[1:] else None)
    store = Store(tmp_path)
    with pytest.raises(Interrupted, match=r"^Stopped with 1 of 10 results computed and training in flight saved; run"):
        ran(branch(), store, display=told)
    assert signal.getsignal(signal.SIGINT) == before
    ran(branch(), store)
    ran(branch(), tmp_path / "undisturbed")
    assert digests(Store(tmp_path / "undisturbed")).items() <= digests(store).items()


def test_a_disk_that_fills_up_is_one_sentence_and_what_was_computed_stays(tmp_path: Path) -> None:
    """No file may grow above 64 blocks here; the networks are smaller, and the losses of 40,000 examples larger."""
    content = override(BRANCH, ['branch.at=["0ep"]', "data.test=40000"])
    study, store = write(tmp_path, content), Store(tmp_path / "store")
    full = isthmus_run(study, store.root, "--workers", "0", prefix=("sh", "-c", 'ulimit -f 64; exec "$@"', "sh"))
    _, told = full.communicate(timeout=60)
    assert full.returncode == 1, told
    assert "Traceback" not in told
    assert re.search(
        rf"isthmus: 1 of 5 results failed; all others are kept:\n  line on test, 3 points \(\w{{12}}\): The store"
        rf" {store.root} cannot be written: File too large; what it holds is whole, make room and run the same command"
        r" again\.\n$",
        told,
    )
    assert store.verify() == []
    assert list((store.root / "tmp").iterdir()) == []
    assert ran(from_mapping(content), store).computed == 1


# --- damage, and realisations that differ ---------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["arrays", "record"])
def test_damage_is_named_and_mended_as_the_sentence_says(tmp_path: Path, what: str) -> None:
    short, long = branch(), branch('branch.lengths=["1ep", "2ep"]')
    store = Store(tmp_path / "store")
    ran(short, store)
    child = expand(short).targets[0].parents()[0]
    path = store.blob_path(store.get(child.key)) if what == "arrays" else next(store.root.rglob(f"{child.key}.json"))
    path.write_bytes(path.read_bytes()[:-3] + b"bad")
    (problem,) = store.verify()
    assert str(path) in problem
    with pytest.raises(RunFailed) as caught:
        ran(long, store)
    assert str(caught.value).count(problem) == 1  # by the one network that would go on from it
    advice = re.search(r"The record (\S+) is damaged; delete it", problem) or re.search(r"delete (\S+) and", problem)
    assert advice is not None
    Path(advice[1]).unlink()
    ran(long, store)
    assert store.verify() == []
    ran(long, tmp_path / "undisturbed")
    assert digests(store).items() <= digests(Store(tmp_path / "undisturbed")).items()


def other_bits(store: Store, node: State) -> None:
    """Put another realisation of a state in the place of the one that is there, as another device would make it."""
    from safetensors.torch import save

    record, found = store.get(node.key), state(store, node)
    name = next(iter(found.weights))
    moved = NetworkState(
        weights.Weights({**found.weights, name: found.weights[name] + 1e-6}), found.optimizer, node.step
    )
    store.delete(node.key)
    store.put(Record(**{**vars(record), "blob": None, "digest": moved.digest()}), save(moved.tensors()))


def test_copies_of_two_realisations_of_a_trunk_are_no_pair_until_recomputed(tmp_path: Path) -> None:
    two, three = branch('branch.at=["2ep"]'), branch('branch.at=["2ep"]', "branch.children=3")
    store = Store(tmp_path)
    before = ran(two, store)
    first = expand(two).targets[0].parents()[0]
    assert isinstance(first, Train)
    trunk, old = first.root, digests(store)
    other_bits(store, trunk)
    assert store.get(trunk.key).digest != old[trunk.key]
    assert ran(two, store).tables["pairs"].to_csv() == before["pairs"].to_csv()  # these two still are a pair
    with pytest.raises(RunFailed) as caught:
        ran(three, store)
    told = str(caught.value)
    assert told.startswith("4 of 5 results failed; all others are kept:\n")  # two lines and two distances
    assert told.count("cannot be compared: they descend from two realisations of their shared ancestor") == 4
    assert f"ancestor {trunk.key[:12]} whose bits differ ({old[trunk.key][:8]} and " in told
    assert told.endswith("run again with --recompute to train the cheaper side again.")
    found = ran(three, store, recompute=True)
    assert found.computed == 2 + 4
    assert len(found["pairs"]) == 3 * 2
    assert store.get(first.key).digest != old[first.key]
    assert store.get(first.key).ancestry[trunk.key] == store.get(trunk.key).digest
    assert len(list((store.root / "superseded").rglob("*.json"))) == 2
    assert ran(three, store).computed == 0


def test_training_saved_from_another_realisation_is_passed_over(tmp_path: Path) -> None:
    store, trunk = Store(tmp_path), to(10)
    child = to(25, trunk, 8)
    assert isinstance(child, Train)
    compute(store, child.at(17))
    other_bits(store, trunk)
    compute(store, child)
    assert set(store.get(child.key).parents) == {trunk.key}


# --- settings and failures ------------------------------------------------------------------------------------


def test_what_nobody_foresaw_is_a_failure_with_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = to(4), to(4, seed=6)
    real = training.train

    def train(*arguments: Any, **options: Any) -> Any:
        if options["noise"] == Noise.of(6):
            raise ZeroDivisionError("nobody foresaw this")
        return real(*arguments, **options)

    monkeypatch.setattr(training, "train", train)
    store, display = Store(tmp_path), Told()
    with pytest.raises(RunFailed, match=r"^1 of 3 results failed; all .*\n.*: ZeroDivisionError: nobody foresaw this$"):
        compute(store, bad, good, display=display)
    assert store.has(good.key)
    (line,) = display.lines
    assert line.startswith("Traceback (most recent call last):")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": -1}, "Expected workers >= 0 and threads >= 1, found -1 and None."),
        ({"threads": 0}, "Expected workers >= 0 and threads >= 1, found 1 and 0."),
        ({"device": "gpu"}, 'Expected the device "cpu" or "cuda", found \'gpu\'.'),
    ],
)
def test_impossible_settings(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput) as caught:
        Setting(**options)
    assert str(caught.value) == told


def test_executors_by_name() -> None:
    assert {name: callable(executor(name)) for name in EXECUTORS} == {"local": True}
    with pytest.raises(UnknownName, match=r"^There is no executor named 'locale'; did you mean \"local\"\?"):
        executor("locale")
