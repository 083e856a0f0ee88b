"""What names a state: what changes a key, what does not, and keys that were pinned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import BadInput
from isthmus.nodes import (
    Choose,
    Distance,
    Graft,
    Import,
    Init,
    Merge,
    ModelRef,
    NormSpec,
    Part,
    PathMeasure,
    PathSpec,
    Point,
    Scores,
    State,
    Train,
    advance,
)
from isthmus.noise import Noise
from isthmus.recipe import Augment, Buffers, Schedule, Until
from small_studies import MODEL, data, recipe

INIT = Init(MODEL, 3)
NOISE = Noise.of(5)


def trained(stop: int = 12, start: State = INIT, noise: Noise = NOISE, **changes: Any) -> Train:
    options = {name: changes.pop(name) for name in ("buffers", "until") if name in changes}
    found = advance(start, recipe(**changes), data(), noise, stop, **options)
    assert isinstance(found, Train)
    return found


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5, unique=True))
def test_training_cut_anywhere_has_the_key_of_training_in_one_go(stops: list[int]) -> None:
    state: State = INIT
    for stop in sorted(stops):
        state = trained(stop, state)
    assert state.key == trained(max(stops)).key
    assert isinstance(state, Train)
    assert state.root is INIT
    assert np.array_equal(state.rates(), np.full(max(stops), 0.1))


def schedule(**fields: Any) -> Schedule:
    return Schedule.model_validate(fields)


def test_what_happens_after_a_step_does_not_name_it() -> None:
    plain = trained(12)
    for later in (
        schedule(milestones=["12it"]),
        schedule(milestones=["12it", "3ep"]),
        schedule(drop=0.1, drop_start="12it"),
        schedule(warmup="4it", warmup_start="12it"),
    ):
        assert trained(12, schedule=later).key == plain.key
        assert trained(13, schedule=later).key != trained(13).key
    assert trained(13, schedule=schedule(milestones=["100ep"], factor=0.5)).key == trained(13).key
    assert trained(12, schedule=schedule(cosine="10ep")).key != trained(12, schedule=schedule(cosine="11ep")).key


def test_trained_states_share_their_trunk_whatever_their_ends() -> None:
    long, short = trained(40, schedule=schedule(milestones=["6ep"])), trained(25, schedule=schedule(milestones=["4ep"]))
    assert long.trajectory == short.trajectory
    assert long.at(20).key == short.at(20).key == trained(20).key
    assert long.at(21).key != short.at(21).key


def test_how_a_learning_rate_comes_about_does_not_name_it() -> None:
    dropped = trained(20, start=trained(10), lr=0.05)
    assert dropped.root is INIT
    assert dropped.key == trained(20, schedule=schedule(milestones=["2ep"], factor=0.5)).key


CHANGES: dict[str, dict[str, Any]] = {
    "lr": {"lr": 0.2},
    "lr inside the interval": {"schedule": schedule(milestones=["11it"])},
    "momentum": {"momentum": 0.8},
    "weight decay": {"weight_decay": 1e-4},
    "batch size": {"batch_size": 41},
    "drop last": {"drop_last": True},
    "precision": {"precision": "bf16"},
    "augmentation": {"augment": Augment(flip=True)},
    "loss": {"loss": "binary_cross_entropy"},
    "noise": {"noise": Noise.of(6)},
    "order": {"noise": NOISE.but(order=6)},
    "dropout": {"noise": NOISE.but(dropout=6)},
    "seed": {"start": Init(MODEL, 4)},
    "model": {"start": Init(ModelRef("mlp", {**MODEL.arguments, "hidden": [8]}), 3)},
    "source": {"start": Init(replace(MODEL, source="ab"), 3)},
    "until": {"until": Until(accuracy=0.9)},
    "step": {"stop": 13},
}


def test_each_change_makes_a_key_of_its_own() -> None:
    keys = {name: trained(**change).key for name, change in CHANGES.items()}
    sets = {
        "examples": data(seed=1),
        "number of examples": data(train=191),
        "normalisation": replace(data(), mean=(0.5,)),
        "deviation": replace(data(), std=(0.5,)),
    }
    keys |= {name: advance(INIT, recipe(), other, NOISE, 12).key for name, other in sets.items()}
    trunk = trained(6)
    keys["reset"] = trained(12, trunk, buffers="reset").key
    keys["child"] = trained(12, trunk, Noise.of(9)).key
    keys["child, reset"] = trained(12, trunk, Noise.of(9), buffers="reset").key
    keys["child, k"] = trained(12, trained(5), Noise.of(9)).key
    keys["plain"] = trained(12).key
    assert len(set(keys.values())) == len(keys)


def test_what_cannot_change_a_result_is_not_in_the_key() -> None:
    plain = trained().key
    elsewhere = replace(data(), name="other", options={"x": 1}, train=data().train)
    assert advance(INIT, recipe(), elsewhere, NOISE, 12).key == plain
    assert trained(noise=NOISE.but(augmentation=77)).key == plain  # nothing is augmented
    augment = Augment(crop=1)
    assert trained(augment=augment).key != trained(augment=augment, noise=NOISE.but(augmentation=77)).key
    written_out: dict[str, Any] = {
        "drop_last": False,
        "augment": {"crop": 0, "flip": False},
        "precision": "float32",
        "loss": "cross_entropy",
        "schedule": {"milestones": [], "factor": 0.1},
        "weight_decay": 0.0,
    }
    assert trained(**written_out).key == plain
    assert trained(buffers="reset").key == plain  # an initialised network has no buffers to reset


def test_pinned_keys() -> None:
    """A key is a promise: what is stored under it stays there.

    Change these only with a change that alters the *values* (bits) of what is named, and then raise the
    version in ``hashing.digest`` (``isthmus/1``); never because an option was added or a default changed.
    """
    child = trained(12, trained(6), Noise.of(9), buffers="reset")
    line = PathSpec("line", (trained(12), child))
    found = {
        "init": INIT,
        "train": trained(12),
        "child": child,
        "until": trained(12, until=Until(accuracy=0.9)),
        "merge": Merge((trained(12), child), (0.5, 0.5)),
        "point": Point(line, 0.25, restart=True),
        "path": PathMeasure(line, data(), Part("test"), (0.0, 0.5, 1.0)),
        "distance": Distance(trained(12), child),
        "scores": Scores((child,), data(), Part("train")),
        "choose": Choose(PathMeasure(line, data(), Part("test"), (0.0, 0.5, 1.0)), "top", {"offset": 1}),
        "import": Import(MODEL, "0" * 64, "net.pt"),
        "loose import": Import(MODEL, "0" * 64, "net.pt", whole=False),
        "graft": Graft(Init(MODEL, 4), trained(12), ("layer1.*",)),
    }
    assert {name: node.key[:16] for name, node in found.items()} == PINNED


PINNED = {
    "init": "f77fc4b52f2ba423",
    "train": "cffaea38ae7f687a",
    "child": "06d46c9461bea501",
    "until": "b07b4164c82d0424",
    "merge": "020c480eeaceaf01",
    "point": "4d58336f8f83f853",
    "path": "d236f8210f822e17",
    "distance": "8175d681d6616b75",
    "scores": "8efe33d5fe032690",
    "choose": "7f85c76c71fe8698",
    "import": "6a971204f7035f1b",
    "loose import": "5d502e299f412bea",
    "graft": "5a2af2f3aa134ae1",
}


def test_where_a_checkpoint_lies_does_not_name_it() -> None:
    assert Import(MODEL, "ab", "here.pt").key == Import(MODEL, "ab", "there.pt").key


def test_changed_noise_or_reset_buffers_begin_a_new_trajectory() -> None:
    trunk = trained(6)
    for child in (trained(12, trunk, Noise.of(9)), trained(12, trunk, buffers="reset"), trained(12, trunk, momentum=0)):
        assert child.root is trunk
        assert child.step == 12
        assert np.array_equal(child.rates(), np.full(6, 0.1))
        further = trained(17, child, child.noise, momentum=child.recipe.optimizer.momentum)
        assert further.root is trunk
        assert further.at(12).key == child.key


def test_training_on_until_an_accuracy_asks_from_there_on() -> None:
    goal = Until(accuracy=0.9)
    later = trained(20, trained(10), until=goal)
    assert later.root.key == trained(10).key
    assert later.key != trained(20, until=goal).key
    assert later.at(15).until == goal
    assert later.trajectory != trained(20, trained(10)).trajectory


def test_a_stop_at_the_start_is_the_start() -> None:
    assert advance(INIT, recipe(), data(), NOISE, 0) is INIT


def test_impossible_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^Training cannot end at step 4, before it starts at step 6\.$"):
        trained(4, trained(6))
    with pytest.raises(BadInput, match=r"^This trajectory runs from 0 to 6; it has no step 7\.$"):
        trained(6).at(7)
    with pytest.raises(BadInput, match=r"^Training on from a run that stops at an accuracy needs a restart at step 0"):
        trained(9, trained(6, until=Until(accuracy=0.9)))


def test_a_merge_is_a_new_root_with_or_without_buffers() -> None:
    pair = (trained(12), trained(12, noise=Noise.of(6)))
    for buffers, carries in (("reset", False), ("keep", True), ("average", True)):
        merged = Merge(pair, (0.5, 0.5), cast(Any, buffers))
        on = trained(15, merged)
        assert (on.root, merged.step, merged.has_buffers) == (merged, 12, carries)
    assert not Merge((INIT, Init(MODEL, 4)), (0.5, 0.5), "keep").has_buffers
    rules: tuple[Buffers, ...] = ("reset", "keep", "average")
    keys = {Merge(pair, shares, rule).key for shares in ((0.5, 0.5), (0.4, 0.6)) for rule in rules}
    assert len(keys) == 6


def test_what_names_a_measurement() -> None:
    line = PathSpec("line", (INIT, trained()))
    plain = PathMeasure(line, data(), Part("test"), (0.0, 1.0))
    others = [
        replace(plain, path=PathSpec("line", (trained(), INIT))),
        replace(plain, path=PathSpec("blocks", (INIT, trained()), ("layer1.*",))),
        replace(plain, path=PathSpec("blocks", (INIT, trained()), ("layer1.*",), "a")),
        replace(plain, part=Part("train")),
        replace(plain, part=Part("train", 50)),
        replace(plain, alphas=(0.0, 0.5, 1.0)),
        replace(plain, norm=NormSpec("recompute")),
        replace(plain, norm=NormSpec("recompute", batch=64)),
        replace(plain, norm=NormSpec("recompute", examples=64)),
        replace(plain, loss="binary_cross_entropy"),
        replace(plain, precision="bf16"),
        replace(plain, batch_size=32),
        replace(plain, data=data(seed=1)),
    ]
    assert len({plain.key, *(other.key for other in others)}) == 14
    assert replace(plain, norm=NormSpec("interpolate", 64, 64)).key == plain.key  # batch and number do not act there


def test_a_graft_is_a_restart_in_the_architecture_of_its_base() -> None:
    donor = trained(12, Init(replace(MODEL, source="ab"), 3))
    graft = Graft(INIT, donor, ("layer1.*",))
    assert (graft.step, graft.has_buffers, graft.model, graft.parents()) == (0, False, MODEL, (INIT, donor))
    others = [replace(graft, patterns=("layer2.*",)), replace(graft, base=Init(MODEL, 5)), replace(graft, donor=INIT)]
    assert len({graft.key, *(other.key for other in others)}) == 4
    goal = Until(accuracy=0.9)
    again = trained(9, Graft(INIT, trained(20, until=goal), ("*",)), until=goal)  # what advance refuses without it
    assert (again.root.step, again.stop) == (0, 9)


def test_a_place_on_a_path_is_a_number_however_it_is_written() -> None:
    line = PathSpec("line", (INIT, trained()))
    assert Point(line, 1).key == Point(line, 1.0).key


@pytest.mark.parametrize("text", ["", "tset", "train:", "train:0", "train:-3", "train:2.5", "test:x", "Train"])
def test_parts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        Part.parse(text)
    told = f'expected "train", "test" or a number of them such as "train:10000", found {text!r}'
    assert str(caught.value) == told


def test_parts_print_as_they_are_written() -> None:
    assert [str(Part.parse(text)) for text in ("test", "train", "train:50")] == ["test", "train", "train:50"]
    assert (Part("train", 500).count(data()), Part("test").count(data())) == (190, 70)
