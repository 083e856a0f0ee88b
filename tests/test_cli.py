"""The command line as its users meet it: exit codes, one clear message for each mistake, files where they belong."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import small_mnist
from isthmus import __version__, cli, noise, papers, training
from isthmus.cli import hardware
from isthmus.errors import BadInput, Interrupted, RunFailed
from isthmus.noise import Noise
from isthmus.store import Store
from isthmus.study import Study, from_mapping

COMMANDS = ("run", "reproduce", "demo", "data", "models", "show", "forget", "verify")
STUDY = """
name = "tiny"
family = "branch"
model = { name = "mlp", input_shape = [2], classes = 2, hidden = [7] }
data = { name = "spiral", train = 190, test = 70 }
recipe = { batch_size = 40, optimizer = { lr = 0.1 } }
branch = { at = ["0ep", "1ep"], lengths = ["1ep"] }
evaluate = { alphas = 3, norm_stats = "interpolate" }
"""
HERE = ("--workers", "0", "--threads", "1")
SHORT: tuple[str, ...] = ("--set", "recipe.batch_size=48", "--set", "branch.to=1ep", "--set", 'branch.at=["0ep"]')
SHORT += ("--set", "seeds=[4]", "--set", 'evaluate.on=["test"]', "--set", "evaluate.alphas=3")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def isthmus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """``isthmus(*arguments)`` in an empty folder with a study file, no data folder named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("isthmus.speed.probe", lambda: 4e10)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Done(left.value.code, captured.out, captured.err)

    yield call
    signal.signal(signal.SIGTERM, before)


Call = Callable[..., Done]


def refused(done: Done, *words: str, code: int = 2) -> None:
    """One message on standard error, nothing else."""
    assert done.code == code
    assert done.err.startswith("isthmus: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


# --- help -------------------------------------------------------------------------------------------------


def test_help_of_every_command_loads_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from isthmus import cli\n"
        f"for command in [[], *([name] for name in {COMMANDS!r})]:\n"
        "    try:\n"
        "        cli.main([*command, '--help'])\n"
        "    except SystemExit as left:\n"
        "        assert left.code == 0, command\n"
        "heavy = {'torch', 'matplotlib', 'scipy', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.count("Usage: isthmus") == len(COMMANDS) + 1
    assert set(cli.app) - {"--help", "-h", "--version"} == set(COMMANDS)


def test_a_module_that_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "isthmus", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, __version__, "")


def test_a_reader_that_leaves_early() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "isthmus", "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


# --- mistakes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("rnu study.toml", 'Unknown command "rnu". Did you mean "run"?'),
        ("run study.toml --sore x", "Unknown option: --sore. Did you mean --store?"),
        ("run study.toml more.toml", "more.toml"),
        ("run", "STUDY requires an argument"),
        ("run none.toml", "There is no study file none.toml."),
        ("run .", "There is no study file"),
        ("run study.txt", "found '.txt'"),
        ("run broken.toml", "broken.toml is no valid TOML"),
        ("run binary.toml", "binary.toml is no valid TOML"),
        ("run study.toml --set recipe.batch_sise=8", 'recipe.batch_sise: unknown field; did you mean "batch_size"?'),
        ("run study.toml --set recipe", "--set recipe: expected path=value, such as recipe.optimizer.lr=0.1."),
        ("run study.toml --set branch.at=[0ep]", "expected a value as in TOML, with text in quotes"),
        ("run study.toml --set recipe.batch_size=many", "expected a whole number, found 'many'"),
        ("run study.toml --set model.name=mpl", "There is no model named 'mpl'; did you mean \"mlp\"?"),
        ("run study.toml --set data.name=spirall", "There is no data set named 'spirall'; did you mean \"spiral\"?"),
        ("run study.toml --workers some", 'unable to convert "some" into int'),
        ("run study.toml --workers -1", "Expected workers >= 0 and threads >= 1, found -1"),
        ("run study.toml --device tpu", '"tpu"'),
        ("run study.toml --store study.toml", "The store study.toml cannot be used as a folder"),
        ("run study.toml --store study.toml --dry-run", "The store study.toml cannot be used as a folder"),
        ("run study.toml --out study.toml", "No files can be written into study.toml: study.toml is no folder"),
        ("run study.toml --out study.toml/a/b", "No files can be written into study.toml/a/b: study.toml is no folder"),
        ("demo --out study.toml", "No files can be written into study.toml"),
        (
            "reproduce",
            "reproduce: expected a paper (iyer24, shapira23, vlaar22), found none; --list shows what there is.",
        ),
        ("reproduce shapira32", "There is no paper named 'shapira32'; did you mean \"shapira23\"?"),
        ("reproduce shapira23 minst", "There is no row of shapira23 named 'minst'; did you mean \"mnist\"?"),
        ("reproduce shapira23 mnist --scale big", '"big"'),
        ("reproduce shapira23 mnist --set foo=1", "shapira23 mnist: foo: unknown field. Known: baselines, branch,"),
        ("reproduce shapira23 mnist", "Data set mnist needs files"),
        ("reproduce shapira23 mnist --data .", "Data set mnist is at none of MNIST/raw, mnist, ., mnist.npz: fetch"),
        ("show abcd", "There is no store at isthmus-store; name it with --store."),
        ("forget abcd", "There is no store at isthmus-store"),
        ("verify", "There is no store at isthmus-store"),
        ("verify --store study.toml", "There is no store at study.toml"),
        ("show", "KEY requires an argument"),
        ("forget", "KEY requires an argument"),
    ],
)
def test_a_mistake_is_told_in_one_message(isthmus: Call, tmp_path: Path, arguments: str, words: str) -> None:
    (tmp_path / "broken.toml").write_text("name = [", encoding="utf-8")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "study.txt").write_text(STUDY, encoding="utf-8")
    before = set(tmp_path.iterdir())
    done = isthmus(*arguments.split())
    refused(done, words)
    assert not done.out
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "isthmus-store"}


def test_missing_data_says_what_to_fetch_and_where_to_put_it(isthmus: Call) -> None:
    refused(
        isthmus("reproduce", "shapira23", "mnist"), "idx files of MNIST", "http", "MNIST/raw", "--data", "ISTHMUS_DATA"
    )


def test_every_problem_of_a_study_is_told(isthmus: Call) -> None:
    done = isthmus("run", "study.toml", "--set", "seeds=[1, 1]", "--set", "recipe.batch_size=0")
    assert done.code == 2
    first, second = done.err.splitlines()
    assert "seeds: expected distinct seeds" in first + second
    assert "recipe.batch_size: expected a number" in first + second


def test_a_gpu_that_is_not_there(isthmus: Call) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    for command in (("run", "study.toml"), ("run", "study.toml", "--dry-run")):
        refused(isthmus(*command, "--device", "cuda"), "--device cuda: this machine has no GPU that torch can use")
    assert isthmus("run", "study.toml", "--dry-run", "--device", "auto").code == 0


class Hostile:
    """Unpickled by a careless reader, it leaves a file behind."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was-run"),)


def test_files_that_mean_harm_or_are_cut_off(isthmus: Call, tmp_path: Path) -> None:
    small_mnist.write(tmp_path / "cut")
    cut = tmp_path / "cut" / "mnist" / "t10k-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:-7])
    batches = tmp_path / "hostile" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    for name in (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"):
        (batches / name).write_bytes(pickle.dumps({"data": Hostile(), "labels": [1]}, protocol=2))
    arrays: Any = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), np.array([Hostile()], dtype=object))
    np.savez(tmp_path / "hostile" / "mnist.npz", **arrays)
    refused(isthmus("reproduce", "shapira23", "mnist", "--data", "cut"), str(cut.relative_to(tmp_path)), "found 3136")
    refused(isthmus("reproduce", "shapira23", "mnist", "--data", "hostile"), "hostile/mnist.npz: expected a whole npz")
    cifar = ("--set", "data={name = 'cifar10'}", "--set", "model={name = 'reduced_vgg'}")
    refused(isthmus("run", "study.toml", *cifar, "--data", "hostile"), "data_batch_1", "nothing of it was run")
    listed = isthmus("data", "--data", "hostile")
    assert (listed.code, listed.err) == (0, "")
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    assert "damaged. hostile/cifar-10-batches-py/data_batch_1: expected" in lines["cifar10"]
    assert "damaged. hostile/mnist.npz: expected" in lines["mnist"]
    assert not (tmp_path / "was-run").exists()
    pickle.loads((batches / "test_batch").read_bytes())  # the trap does work
    assert (tmp_path / "was-run").exists()


# --- what ends a run ------------------------------------------------------------------------------------------


def ask_to_stop(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def raises(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("run", "code", "message"),
    [
        (raises(RunFailed("1 of 9 results failed; all others are kept.")), 1, "1 of 9 results failed"),
        (raises(Interrupted("Stopped; everything is saved.")), 130, "Stopped; everything is saved."),
        (raises(KeyboardInterrupt()), 130, "Interrupted."),
        (ask_to_stop, 130, "Interrupted."),
        (raises(OSError(errno.ENOSPC, "No space left on device", "out/pairs.csv")), 1, "out/pairs.csv: No space left"),
    ],
)
def test_how_a_run_ends(
    isthmus: Call, monkeypatch: pytest.MonkeyPatch, run: Callable[..., None], code: int, message: str
) -> None:
    monkeypatch.setattr("isthmus.study.run", run)
    refused(isthmus("run", "study.toml"), message, code=code)


def test_what_there_is_of_a_run_that_failed_is_written(isthmus: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = isthmus("run", "study.toml", *HERE, "--set", "seeds=[4]", "--store", "other", "--out", "whole")
    assert whole.code == 0
    real, broken = training.train, Noise.of(noise.derive(3, "child", 1))

    def train(*arguments: Any, **options: Any) -> Any:
        if options["noise"] == broken:
            raise BadInput("this child is not to be trained")
        return real(*arguments, **options)

    monkeypatch.setattr(training, "train", train)
    done = isthmus("run", "study.toml", *HERE, "--set", "seeds=[3, 4]", "--out", "partly")
    assert done.code == 1
    assert "results failed" in done.err
    assert "this child is not to be trained" in done.err
    assert Path("partly/pairs.csv").read_bytes() == Path("whole/pairs.csv").read_bytes()
    monkeypatch.setattr(training, "train", real)
    assert isthmus("run", "study.toml", *HERE, "--set", "seeds=[3, 4]", "--out", "partly").code == 0
    seeds = {line.partition(",")[0] for line in Path("partly/pairs.csv").read_text().splitlines()[1:]}
    assert seeds == {"3", "4"}


def test_a_mistake_of_ours_is_not_hidden(isthmus: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.study.run", raises(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.main(["run", "study.toml"])


# --- a study ----------------------------------------------------------------------------------------------------

NUMBERS = ("pairs.csv", "curves.csv", "seeds.csv")


def test_a_study_from_the_first_look_to_the_last_result(isthmus: Call, tmp_path: Path) -> None:
    first = isthmus("run", "study.toml", "--dry-run", "--set", "seeds=[3]")
    assert (first.code, first.err) == (0, "")
    shown, end = json.JSONDecoder().raw_decode(first.out)
    assert (shown["name"], shown["seeds"], shown["branch"]["at"]) == ("tiny", [3], ["0ep", "1ep"])
    assert "tiny: 190 training examples, 5 steps an epoch." in first.out[end:]
    assert "To compute: 2 distance, 1 init, 2 path, 5 train; at hand: 0 of 4 measurements." in first.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.toml"]

    done = isthmus("run", "study.toml", *HERE)
    assert done.code == 0
    assert done.out.startswith("10 results computed; 6 files in isthmus-out/tiny: pairs.csv, curves.csv, seeds.csv,")
    folder = tmp_path / "isthmus-out" / "tiny"
    assert {path.name for path in folder.iterdir()} == {
        *(*NUMBERS, "provenance.csv", "lines.png", "lines.svg", "figures.json")
    }
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    again = isthmus("run", "study.toml", *HERE)
    assert (again.code, again.err) == (0, "")
    assert again.out == done.out.replace("10 results computed", "nothing had to be computed")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "To compute: nothing; at hand: 4 of 4 measurements." in isthmus("run", "study.toml", "--dry-run").out

    renamed = isthmus("run", "study.toml", "--set", "name=other", "--out", "there/now", *HERE)
    assert renamed.out.startswith("nothing had to be computed; 6 files in there/now: ")
    assert {name: (tmp_path / "there" / "now" / name).read_bytes() for name in NUMBERS} == {
        name: before[name] for name in NUMBERS
    }
    more = isthmus("run", "study.toml", "--set", "seeds=[0, 1]", "--dry-run")
    assert "at hand: 4 of 8 measurements" in more.out


def test_variants_of_a_study(isthmus: Call, tmp_path: Path) -> None:
    sets: tuple[str, ...] = ("--set", "variants.base={}", "--set", 'variants."lr=0.1 x".recipe.batch_size=20')
    sets += ("--set", 'variants.top.start={pretrain={to="2ep"}, at="top"}')
    dry = isthmus("run", "study.toml", "--dry-run", *sets)
    for line in (
        "tiny, base: 190 training examples, 5 steps an epoch.",
        "tiny, lr=0.1 x: 190 training examples, 10 steps an epoch.",
        "tiny, top: 190 training examples, 5 steps an epoch.",
    ):
        assert line in dry.out
    done = isthmus("run", "study.toml", *sets, *HERE)
    assert done.code == 0
    assert "starts.csv" in done.out
    rows = (tmp_path / "isthmus-out" / "tiny" / "pairs.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["variant", *["base"] * 4, *["lr=0.1 x"] * 4, *["top"] * 4]
    wrong = isthmus("run", "study.toml", *sets, "--set", 'variants."lr=0.1 x".seed=3')
    refused(wrong, 'study.toml: variants."lr=0.1 x".seed: unknown field; did you mean "seeds"?')
    refused(isthmus("reproduce", "shapira23", "mnist", "--set", "variants.a={}"), "have no variants; use isthmus run.")


def test_what_is_in_the_store(isthmus: Call, tmp_path: Path) -> None:
    assert isthmus("run", "study.toml", "--store", "a/store", *HERE).code == 0
    store = Store(tmp_path / "a" / "store")
    keys = list(store.keys())
    assert isthmus("verify", "--store", "a/store").out == "10 results in a/store, all whole.\n"
    trained = next(record for record in map(store.get, keys) if record.kind == "train")
    shown = isthmus("show", trained.key[:12], "--store", "a/store")
    found, end = json.JSONDecoder().raw_decode(shown.out)
    assert (found["key"], found["label"], found["summary"]) == (trained.key, trained.label, dict(trained.summary))
    assert shown.out[end:].strip() == str(store.blob_path(trained).relative_to(tmp_path))
    for command in ("show", "forget"):
        refused(isthmus(command, "zzzz", "--store", "a/store"), "begins with 'zzzz' (at least 4 digits), found none")
        refused(isthmus(command, keys[0][:3], "--store", "a/store"), "found none")
    refused(isthmus("forget", keys[0], "zzzz", "--store", "a/store"), "'zzzz'")
    assert store.has(keys[0])  # all or none

    numbers = (tmp_path / "isthmus-out" / "tiny" / "pairs.csv").read_bytes()
    path = next(record for record in map(store.get, keys) if record.kind == "path")
    gone = isthmus("forget", path.key[:10], path.key, "--store", "a/store")
    assert (gone.code, gone.out) == (0, f"forgot {path.key[:12]} ({path.label})\n")
    assert not store.has(path.key)
    assert isthmus("run", "study.toml", "--store", "a/store", *HERE).out.startswith("1 results computed")
    assert (tmp_path / "isthmus-out" / "tiny" / "pairs.csv").read_bytes() == numbers

    blob = store.blob_path(trained)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\0")
    damaged = isthmus("verify", "--store", "a/store")
    refused(damaged, "1 damaged result(s) in a/store.", code=1)
    assert damaged.out.count("\n") == 1
    assert str(blob.relative_to(tmp_path)) in damaged.out


def test_a_model_is_looked_up_where_the_user_stands(isthmus: Call, tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text(
        "from torch import nn\n\n"
        "def small(width=3):\n"
        "    return nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2))\n",
        encoding="utf-8",
    )
    mine = ("--set", "model={name = 'my_nets:small', width = 5}", "--set", 'branch.at=["0ep"]')
    done = isthmus("run", "study.toml", *mine, *HERE)
    sys.modules.pop("my_nets", None)
    assert (done.code, done.out[:20]) == (0, "5 results computed; ")


def test_models_and_data_are_listed_with_what_they_take(isthmus: Call) -> None:
    models = isthmus("models").out
    assert "lenet5" in models
    assert "61,706 parameters on MNIST" in models
    data = isthmus("data")
    assert "digits           1,437 + 360 examples, 10 classes, " in data.out
    assert "mnist            not at hand. Data set mnist needs files" in data.out


# --- a paper -----------------------------------------------------------------------------------------------------


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> papers.Row:
    """The row of MNIST with one figure that is drawn in no time."""

    def draw(tables: Any, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "F1.svg").write_text(str(len(tables["pairs"])), encoding="utf-8")
        return [folder / "F1.svg"]

    row = dataclasses.replace(papers.row("shapira23", "mnist"), figures=draw)
    monkeypatch.setattr(papers, "row", lambda paper, name: dataclasses.replace(row, name=name))
    return row


FILES = {"run", "setup", "table1", "pairs", "curves", "networks", "seeds", "claims", "provenance"}


def test_a_row_of_a_paper(isthmus: Call, tmp_path: Path, light: papers.Row) -> None:
    small_mnist.write(tmp_path / "data")
    dry = isthmus("reproduce", "shapira23", "mnist", *SHORT, "--data", "data", "--dry-run")
    head, setup, counts, claims = (part.splitlines() for part in dry.out.strip().split("\n\n"))
    assert head == ["shapira23 mnist, small scale: LeNet-5 on MNIST: B(k1, k2), full scale (Table 1, F1 to F5)"]
    assert [line.split() for line in setup][:3] == [
        ["network", "lenet5(activation=relu,", "activate=before)"],
        ["data", "mnist"],
        ["examples", "96"],
    ]
    assert counts[0] == "shapira23-mnist: 96 training examples, 2 steps an epoch."
    assert counts[1] == "To compute: 1 distance, 1 init, 2 path, 2 train; at hand: 0 of 3 measurements."
    assert re.fullmatch(r"2 networks to train: about \d+ s on this machine, \d+ s on an H100\.", counts[2])
    assert [line.split(":")[0].strip() for line in claims[1:]] == [claim.id for claim in light.claims]
    assert claims[1].endswith("(share): >= 0.976 and <= 0.984 for the mean over seeds.")
    done = isthmus("reproduce", "shapira23", "mnist", *SHORT, "--data", "data", "--out", "here", *HERE)
    assert done.code == 0
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        *(f"{name}.csv" for name in FILES),
        *("F1.svg", "figures.json"),
    }
    *verdicts, last = done.out.splitlines()
    assert last.startswith("6 results computed; 10 files in here: setup.csv, table1.csv, pairs.csv")
    assert [line.split()[1].rstrip(":") for line in verdicts] == [claim.id for claim in light.claims]
    assert {line.split()[0] for line in verdicts} <= {"held", "failed", "undecided"}
    assert verdicts[0].split(":", 1)[1].endswith("of 1 seed on the right side.")
    assert "(seed 4: there is no pair with k1 >= 2)" in verdicts[7]
    again = isthmus("reproduce", "shapira23", "mnist", *SHORT, "--data", "data", *HERE)
    assert again.out.splitlines()[-1].startswith(
        "nothing had to be computed; 10 files in isthmus-out/shapira23-mnist: "
    )


def test_several_rows_do_not_overwrite_each_other(
    isthmus: Call, tmp_path: Path, light: papers.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_mnist.write(tmp_path / "data")
    monkeypatch.setattr(papers, "names", lambda paper: ("one", "two"))
    rest = (*SHORT, "--data", "data", *HERE)
    assert isthmus("reproduce", "shapira23", "--out", "all", *rest).code == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["shapira23-one", "shapira23-two"]
    assert isthmus("reproduce", "shapira23", "two", "two", "--out", "single", *rest).code == 0
    assert (tmp_path / "single" / "claims.csv").is_file()
    assert isthmus("reproduce", "shapira23", *rest).code == 0
    assert sorted(path.name for path in (tmp_path / "isthmus-out").iterdir()) == ["shapira23-one", "shapira23-two"]


def test_the_set_up_of_a_row_whose_data_are_not_at_hand(isthmus: Call, tmp_path: Path) -> None:
    dry = isthmus("reproduce", "shapira23", "cifar10", "--scale", "paper", "--dry-run")
    assert (dry.code, dry.err) == (0, "")
    for line in (
        "All variants:",
        "released form:",
        "pictures as they are:",
        "text form:",
        "later form:",
        "Not at hand: data set cifar10 (isthmus data fetch cifar10); counted as it is published.",
        "shapira23-cifar10, released form: 50,000 training examples, 390 steps an epoch.",
        "Claims that will be judged:",
    ):
        assert line in dry.out.splitlines()
    assert "96 networks to train" in dry.out
    assert not list(tmp_path.glob("isthmus-*"))
    small_mnist.write(tmp_path / "data")
    there = isthmus("reproduce", "shapira23", "mnist", "--dry-run", "--data", "data")
    assert "Not at hand" not in there.out


def test_the_list(isthmus: Call) -> None:
    done = isthmus("reproduce", "shapira23", "--list")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert [line.split()[1] for line in lines[:4]] == ["row", "cifar10", "mnist", "tiny_imagenet"]
    assert len(isthmus("reproduce", "shapira23", "mnist", "--list").out.splitlines()) == len(lines) - 2
    refused(isthmus("reproduce", "shapira32", "--list"), "There is no paper named 'shapira32'")


def test_a_row_on_substitute_data(
    isthmus: Call, tmp_path: Path, light: papers.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_mnist.write(tmp_path / "data")

    def study(name: str, **changes: Any) -> Study:
        return from_mapping({**light.study("small").model_dump(mode="json"), "data": {"name": name}, **changes})

    own = study("cifar100", model={"name": "resnet20", "classes": 100})
    row = dataclasses.replace(light, study=lambda scale: own, substitute=lambda scale: study("mnist"))
    monkeypatch.setattr(papers, "row", lambda paper, name: row)
    done = isthmus("reproduce", "shapira23", "mnist", *SHORT, "--data", "data", *HERE)
    assert done.code == 0
    assert done.err.splitlines()[0].startswith("isthmus: cifar100 is not at hand, so mnist takes its place: ")
    *verdicts, last = done.out.splitlines()
    assert all(line.endswith("[substitute data]") for line in verdicts)
    assert "11 files in isthmus-out/shapira23-mnist-substitute: " in last
    folder = tmp_path / "isthmus-out" / "shapira23-mnist-substitute"
    assert (folder / "substitute.csv").read_text() == "missing,used\ncifar100,mnist\n"
    assert (folder / "claims.csv").read_text().splitlines()[0].endswith(",substitute")
    listed = isthmus("reproduce", "shapira23", "mnist", "--list", "--data", "data").out.splitlines()[1]
    assert "absent: cifar100, has a substitute" in listed
    assert "substitute data)" in listed
    dry = isthmus("reproduce", "shapira23", "mnist", *SHORT, "--data", "data", "--dry-run")
    assert "takes its place" in dry.err
    published, instead = dry.out.split("What takes its place here:")
    assert "data          cifar100" in published
    assert "Not at hand: data set cifar100" in published
    assert "data          mnist" in instead
    assert instead.count("Claims that will be judged:") == 1
    nothing = isthmus("reproduce", "shapira23", "mnist", "--data", "nowhere")
    refused(nothing, "needs data set cifar100 (isthmus data fetch cifar100)", "put it below nowhere")


def test_rows_that_cannot_run_do_not_keep_others_from_it(
    isthmus: Call, tmp_path: Path, light: papers.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_mnist.write(tmp_path / "data")
    absent = from_mapping({**light.study("small").model_dump(mode="json"), "data": {"name": "cifar100"}})
    rows = {"one": dataclasses.replace(light, name="one", study=lambda scale: absent), "two": light}
    monkeypatch.setattr(papers, "row", lambda paper, name: dataclasses.replace(rows[name], name=name))
    done = isthmus("reproduce", "shapira23", "one", "two", *SHORT, "--data", "data", *HERE)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("isthmus: Data set cifar100 is at none of data/cifar-100-python")
    assert [path.name for path in (tmp_path / "isthmus-out").iterdir()] == ["shapira23-two"]


@pytest.mark.parametrize(("cores", "devices", "expected"), [(16, 1, 8), (6, 1, 6), (64, 4, 32)])
def test_processes_by_default(monkeypatch: pytest.MonkeyPatch, cores: int, devices: int, expected: int) -> None:
    monkeypatch.setattr("isthmus.execute.cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.device_count", lambda: devices)
    assert hardware.workers("cpu") == cores
    assert hardware.workers("cuda") == expected
