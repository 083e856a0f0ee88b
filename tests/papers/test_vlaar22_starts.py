"""Vlaar22 F4 and F5: starts at networks with one block of another origin; set-ups, shared training, claims, figures."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from vlaar22_interventions import Net, numbers, small, spoilt, tables, verdicts, without

from isthmus import papers
from isthmus.claims import judge
from isthmus.papers.vlaar22 import bars, f4, rivals
from isthmus.papers.vlaar22 import quantities as q
from isthmus.study import InitToFinalStudy, Start, Study, variants
from isthmus.study.needs import needs
from isthmus.study.requests import Expansion

F4, F5 = papers.row("vlaar22", "f4"), papers.row("vlaar22", "f5")
STAGES = (1, 2, 3, 4)


def parts(study: Study) -> dict[str, InitToFinalStudy]:
    found = variants(study)
    assert all(isinstance(one, InitToFinalStudy) for one in found.values())
    return found  # type: ignore[return-value]


def start(one: Study) -> Start:
    assert one.start is not None
    return one.start


# --- figure 4 ------------------------------------------------------------


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_one_block_new(scale: papers.Scale) -> None:
    """Section 4 of the paper: blocks 1 to 4 in turn, of a trained and of an ImageNet-pre-trained network."""
    found = parts(F4.study(scale))
    trained, pretrained = ([f"{kind}, block {index} new" for index in STAGES] for kind in "TP")
    assert list(found) == ["scratch", *trained, "P", *pretrained]
    at_small = scale == "small"
    long = "30ep" if at_small else "100ep"
    for name, one in found.items():
        optimizer = one.recipe.optimizer
        drops = list(map(str, one.recipe.schedule.milestones))
        if name.startswith("P"):
            assert (optimizer.lr, drops) == ((0.01, ["10ep"]) if at_small else (0.001, ["30ep"]))
        else:
            assert (optimizer.lr, drops) == (0.1, ["10ep", "20ep"] if at_small else ["33ep", "66ep"])
        decay = 5e-3 if at_small else 5e-4
        assert (optimizer.weight_decay, optimizer.momentum, one.recipe.batch_size) == (decay, 0.9, 128)
        assert (str(one.train.to), len(one.seeds)) == (long, 5 if at_small else 10)
        assert (one.recipe.augment.crop, one.recipe.augment.flip) == (4, True)
        assert one.model.arguments == {"stem": "3x3", "max_pool": True} | ({"width": 16} if at_small else {})
    assert found["scratch"].start is None
    for index, name in zip(STAGES, trained, strict=True):
        begin = start(found[name])
        assert (begin.new, begin.fill, begin.at) == ((f"stage{index}",), "fresh", 1.0)
        assert begin.pretrain is not None
        assert (str(begin.pretrain.to), begin.pretrain.data, begin.pretrain.recipe) == (long, {}, {})
    for index, name in enumerate(["P", *pretrained]):
        begin = start(found[name])
        extra = (f"stage{index}",) if index else ()
        if scale == "paper":  # a new last layer, and a new 3x3 first convolution
            assert (begin.file, begin.new) == ("weights/resnet18.pth", ("conv1.*", "fc", *extra))
            assert begin.pretrain is None
        else:
            assert begin.new == ("fc", *extra)
            assert begin.pretrain is not None
            assert begin.pretrain.data == {"name": "tiny_imagenet", "size": 32, "classes": 20}
            assert begin.pretrain.recipe["optimizer"] == {"lr": 0.1}
    assert F4.substitute is not None
    other = start(parts(F4.substitute(scale))["P, block 2 new"])
    assert other.file is None
    assert other.pretrain is not None
    assert (str(other.pretrain.to), other.pretrain.data["name"]) == (long, "tiny_imagenet")


def trained_states(one: Expansion, seeds: int) -> set[str]:
    """The final networks of the first seeds, and what they were trained from."""
    return {
        end.key for request in one.requests if int(request.labels["seed"]) < seeds for end in request.measure.path.ends
    }


def test_what_other_rows_train_is_not_trained_again() -> None:
    own = small("f4").variants
    tuned = small("f2a").variants
    assert trained_states(own["P"], 3) <= trained_states(tuned["pre-trained"], 3)
    assert trained_states(own["scratch"], 3) <= trained_states(tuned["scratch"], 3)
    first = {source.weights.key for _, source in own["T, block 3 new"].sources}
    assert first <= trained_states(own["scratch"], 5)
    assert {s.weights.key for _, s in own["P, block 1 new"].sources} == {s.weights.key for _, s in own["P"].sources}
    random = small("f5").variants
    before = small("f2b").variants
    for name, one in random.items():
        if "block" in name:
            weights = {source.weights.key for _, source in one.sources}
            assert weights == {source.weights.key for _, source in before["random labels"].sources}
    assert trained_states(random["decay 0: scratch"], 3) == trained_states(before["scratch"], 3)
    assert trained_states(random["decay base: scratch"], 3) <= trained_states(own["scratch"], 3)


def test_the_published_study_lacks_the_weights_of_imagenet_where_they_are_not(tmp_path: Path) -> None:
    def lacking() -> set[str]:
        return {need.lacking for need in needs(F4.study("paper"), tmp_path) if need.there is None}

    assert lacking() == {"file weights/resnet18.pth below the data folder", CIFAR10}
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/resnet18.pth").touch()
    assert lacking() == {CIFAR10}


CIFAR10 = "data set cifar10 (isthmus data fetch cifar10)"
SLIDES = {1: 91.79, 2: 91.83, 3: 92.35, 4: 90.97}


def reset(**changes: Net) -> dict[str, Net]:
    """The accuracies of the slides; some paths with barriers."""
    found = {"scratch": Net(92.2, flat=("all",)), "P": Net(94.5)}
    found |= {f"T, block {index} new": Net(accuracy) for index, accuracy in SLIDES.items()}
    found |= {f"P, block {index} new": Net({3: 93.5, 4: 94.4}.get(index, 92.1)) for index in STAGES}
    found["T, block 2 new"] = Net(SLIDES[2], {"all": 0.4})
    return found | {name.replace("_", ", block ") + " new": net for name, net in changes.items()}


def test_in_the_papers_world_every_claim_of_figure_4_holds() -> None:
    found = tables(reset())
    assert set(verdicts(F4, found).values()) == {"held"}
    assert numbers(F4, found) == pytest.approx(
        {
            "trained-block-4-lowest": 90.97 - 91.79,
            "trained-block-4-costs": 90.97 - 92.2,
            "pretrained-block-4-costs-nothing": -0.1,
            "pretrained-block-4-not-below-scratch": 2.2,
            "often-worse": 5 / 8,
            "sometimes-barriers": 1.0,
        },
        abs=1e-9,
    )


@pytest.mark.parametrize(
    ("claim", "changes", "others"),
    [
        ("trained-block-4-lowest", {"T_1": Net(90.9)}, set()),
        ("trained-block-4-costs", {"T_4": Net(92.0), "T_1": Net(92.1), "T_2": Net(92.1, {"all": 0.4})}, {"lowest"}),
        ("pretrained-block-4-costs-nothing", {"P_4": Net(93.5)}, set()),
        ("pretrained-block-4-not-below-scratch", {"P_4": Net(91.8)}, {"costs-nothing"}),
        ("often-worse", {"T_1": Net(92.3), "P_1": Net(92.3)}, set()),
        ("sometimes-barriers", {"T_2": Net(91.83, {"all": 0.04})}, set()),
    ],
)
def test_each_claim_of_figure_4_fails_where_it_is_false(claim: str, changes: dict[str, Net], others: set[str]) -> None:
    found = verdicts(F4, tables(reset(**changes)))
    failed = {name for name, verdict in found.items() if verdict == "failed"}
    assert claim in failed
    assert {name for name in failed - {claim} if not any(name.endswith(other) for other in others)} == set()


# --- figures 5 and A13 ------------------------------------------------------------


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_one_block_from_random_labels(scale: papers.Scale) -> None:
    """Weight decays 0, 1e-4 and 5e-4 (small scale: 0 and 5e-3), blocks 1 to 4 one at a time."""
    found = parts(F5.study(scale))
    at_small = scale == "small"
    decays = {"0": 0.0, "base": 5e-3} if at_small else {"0": 0.0, "less": 1e-4, "base": 5e-4}
    assert list(found) == [
        f"decay {decay}: {what}" for decay in decays for what in ("scratch", *(f"block {index}" for index in STAGES))
    ]
    for name, one in found.items():
        decay, what = name.removeprefix("decay ").split(": ")
        assert (one.recipe.optimizer.weight_decay, one.recipe.optimizer.lr) == (decays[decay], 0.1)
        assert (str(one.train.to), len(one.seeds)) == ("30ep" if at_small else "100ep", 3 if at_small else 10)
        if what == "scratch":
            assert one.start is None
            continue
        begin = start(one)
        assert begin.only == (what.replace("block ", "stage"),)
        assert begin.pretrain is not None
        assert begin.pretrain.until is not None
        assert (begin.pretrain.until.accuracy, begin.pretrain.until.on) == (1.0, "train")
        labels = dict(begin.pretrain.data)
        assert isinstance(labels.pop("random_labels"), int)
        assert labels == ({"examples": 5000} if at_small else {})
        assert begin.pretrain.recipe["optimizer"]["weight_decay"] == 0.0  # at either decay of the row


def mixed(**changes: Net) -> dict[str, Net]:
    """What the paper says of one block from random labels."""
    found: dict[str, Net] = {}
    for decay, top in (("0", 90.1), ("base", 92.2)):
        found[f"decay {decay}: scratch"] = Net(top)
        for index in STAGES:
            barrier = (index < 4) == (decay == "0")
            flat = ("all",) if decay == "base" and index < 4 else ()
            rises = {"all": 0.2 + 0.05 * index} if barrier else {}
            found[f"decay {decay}: block {index}"] = Net(top + (0.2 if index == 4 else -0.6), rises, flat)
    found |= changes
    known = {name: net for name, net in found.items() if "block" in name and net.reached is None}
    return found | {name: dataclasses.replace(net, reached=True) for name, net in known.items()}


def test_in_the_papers_world_every_claim_of_figure_5_holds() -> None:
    found = tables(mixed())
    assert set(verdicts(F5, found).values()) == {"held"}
    number = numbers(F5, found)
    assert number["early-block-hurts-at-0"] == pytest.approx(-0.6)
    assert number["block-4-helps"] == pytest.approx(0.2)
    assert number["block-4-smallest-rise-at-0"] == pytest.approx(-0.25)  # 0 against block 1's .25
    assert number["others-with-barriers-at-0"] == 3.0
    assert number["others-plateau-at-base"] == 3.0


def test_without_a_barrier_beside_it_none_is_the_smallest() -> None:
    flat = {f"decay 0: block {i}": Net(89.5, {"all": 0.04}) for i in (1, 2, 3)}
    (row,) = judge(F5.claims, tables(mixed(**flat))).where(claim="block-4-smallest-rise-at-0")
    assert row["verdict"] == "undecided"
    assert row["reason"].startswith("seed 0: no path of blocks 1 to 3 has a barrier (largest rise 0.04)")


def test_a_block_that_does_not_know_its_random_labels_tells_nothing() -> None:
    found = verdicts(F5, tables(mixed(**{"decay 0: block 4": Net(90.3, reached=False)})))
    assert {name for name, verdict in found.items() if verdict == "undecided"} == {
        "block-4-smallest-rise-at-0",
        "block-4-monotone-at-0",
    }


FAILING: dict[str, tuple[dict[str, Net], set[str]]] = {
    "early-block-hurts-at-0": (
        {f"decay 0: block {i}": Net(89.9, {"all": 0.3}) for i in (1, 2)},
        set(),
    ),
    "early-block-hurts-at-base": ({f"decay base: block {i}": Net(92.0, flat=("all",)) for i in (1, 2)}, set()),
    "block-4-smallest-rise-at-0": (
        {"decay 0: block 4": Net(90.3, {"all": 0.3})},
        {"block-4-monotone-at-0"},
    ),
    "block-4-monotone-at-0": ({"decay 0: block 4": Net(90.3, {"all": 0.03})}, set()),
    "others-with-barriers-at-0": ({f"decay 0: block {i}": Net(89.5, {"all": 0.06}) for i in (1, 3)}, set()),
    "block-4-helps": ({"decay base: block 4": Net(92.2, {"all": 0.4}, spread=lambda seed: 0.0)}, set()),
    "block-4-with-barrier-at-base": ({"decay base: block 4": Net(92.4, {"all": 0.04})}, set()),
    "others-plateau-at-base": ({f"decay base: block {i}": Net(91.6) for i in (1, 3)}, set()),
}


def test_every_claim_of_figure_5_has_its_counterexample() -> None:
    assert set(FAILING) == {claim.id for claim in F5.claims}


@pytest.mark.parametrize("claim", FAILING)
def test_each_claim_of_figure_5_fails_where_it_is_false(claim: str) -> None:
    changes, others = FAILING[claim]
    nets = mixed(**changes)
    if claim == "block-4-helps":
        nets["decay base: scratch"] = Net(92.2, spread=lambda seed: 0.0)
    found = verdicts(F5, tables(nets))
    assert {name for name, verdict in found.items() if verdict == "failed"} == {claim, *others}


# --- both ------------------------------------------------------------


def test_the_rival_is_the_one_with_the_lowest_mean() -> None:
    """Not that of the seed, which would be another one by chance and always favour one side."""
    spread = {0: -0.5, 1: 0.1, 2: 0.4}
    nets = {
        "a": Net(80.0, spread=lambda seed: 0.0),
        "b": Net(81.0, spread=spread.__getitem__),
        "c": Net(81.1, spread=lambda seed: -spread[seed]),
    }
    found = tables(nets)
    told = rivals.beyond(q.accuracy, ["a"], ["b", "c"])(found)
    assert told == pytest.approx({seed: -1.0 - more for seed, more in spread.items()})
    back = rivals.beyond(q.accuracy, ["b", "c"], ["a"])(found)
    assert back == pytest.approx({seed: 1.0 + more for seed, more in spread.items()})
    gone = {
        name: table.where(lambda row: (row["variant"], row.get("seed")) != ("c", 2)) for name, table in found.items()
    }
    told = rivals.beyond(q.accuracy, ["a"], ["b", "c"])(gone)
    assert told[2] == "there is no accuracy on the test split for c"
    assert told[0] == pytest.approx(80.0 - 80.5)  # of the seeds that are whole b has the lower mean still
    broken = rivals.beyond(q.accuracy, ["a"], ["b", "c"])(spoilt(found))
    assert isinstance(broken[1], float)
    assert math.isnan(broken[1])


@pytest.mark.parametrize("row", [F4, F5], ids=["f4", "f5"])
def test_what_is_missing_or_no_number_decides_nothing(row: papers.Row) -> None:
    nets: dict[str, Net] = reset() if row is F4 else mixed()
    assert set(verdicts(row, spoilt(tables(nets))).values()) == {"undecided"}
    assert set(verdicts(row, {}).values()) == {"undecided"}
    name = "T, block 4 new" if row is F4 else "decay 0: block 4"
    reasons = {judged["claim"]: judged["reason"] for judged in judge(row.claims, without(tables(nets), name))}
    told = [reason for reason in reasons.values() if f"for {name}" in reason]
    assert len(told) == 4 if row is F4 else [reason for reason in reasons.values() if f"of {name}" in reason][1:]


def test_the_figures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    nets: dict[str, Any] = {name: dataclasses.replace(net, blocks=("stage4",)) for name, net in reset().items()}
    found = tables(nets)
    compared = bars.compared(found["accuracy"], dict.fromkeys(nets, "scratch"), f4.PUBLISHED)
    F4.figures({**found, "compared": compared}, tmp_path)
    assert list(drawn) == ["F4-T", "F4-P", "F4-accuracy"]
    trained, pretrained = drawn["F4-accuracy"].axes
    assert [text.get_text() for text in trained.texts if "block 4" in text.get_text()] == ["block 4 new: 91.0 (90.97)"]
    assert [text.get_text() for text in pretrained.texts if "no block" in text.get_text()] == ["no block new: 94.5"]
    drawn.clear()
    few = {name: dataclasses.replace(net, blocks=("stage4",), seeds=(1,)) for name, net in mixed().items()}
    del few["decay 0: block 2"]
    F5.figures(spoilt(tables(few)), tmp_path)
    assert list(drawn) == [f"F5-decay-{decay}{end}" for decay in ("0", "base") for end in ("", "-accuracy")]
