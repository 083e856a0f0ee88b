"""Vlaar22: the published set-ups field by field, the small ones, what is trained only once, and the tables."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch

from isthmus import models, papers
from isthmus.errors import MissingData
from isthmus.models.blocking import matching
from isthmus.nodes import DataRef, Graft, Import, Init, Node, Train
from isthmus.papers import Scale
from isthmus.study import DataSpec, InitToFinalStudy, expand, from_mapping, variants
from isthmus.study.files import override

BASED = ("f1b", "f2a", "f2b", "f3", "f6", "f7", "f8", "a18")
NAMES = (*BASED, "f1a", "a17")
ROWS = {name: papers.row("vlaar22", name) for name in NAMES}
SIZES = {"cifar10": (50_000, 10_000, 10), "cifar100": (50_000, 10_000, 100), "tiny_imagenet": (10_000, 1_000, 20)}


def each(name: str, scale: Scale) -> dict[str, InitToFinalStudy]:
    """The variants of a row by name, or the only study under ""."""
    study = ROWS[name].study(scale)
    found = variants(study) if study.variants else {"": study}
    kept = {key: one for key, one in found.items() if isinstance(one, InitToFinalStudy)}
    assert len(kept) == len(found)
    return kept


def brief(study: InitToFinalStudy) -> dict[str, Any]:
    """What the paper gives of a set-up."""
    recipe, optimizer, augment = study.recipe, study.recipe.optimizer, study.recipe.augment
    assert (optimizer.name, optimizer.nesterov, optimizer.by_block) == ("sgd", False, ())
    assert (recipe.loss, recipe.drop_last, recipe.precision) == ("cross_entropy", False, "float32")
    assert (recipe.schedule.factor, recipe.schedule.warmup, recipe.schedule.cosine) == (0.1, None, None)
    assert study.evaluate.norm_stats == "interpolate"
    return {
        "network": study.model.name,
        "model": study.model.arguments,
        "data": {"name": study.data.name, **study.data.options},
        "to": str(study.train.to),
        "lr": optimizer.lr,
        "drops": [str(at) for at in recipe.schedule.milestones],
        "momentum": optimizer.momentum,
        "decay": optimizer.weight_decay,
        "batch": recipe.batch_size,
        "augment": (augment.crop, augment.flip, augment.brightness),
        "alphas": len(study.evaluate.points),
        "on": study.evaluate.on,
        "networks": study.evaluate.networks_on,
        "seeds": study.seeds,
        "paths": study.train.paths,
        "blocks": study.train.blocks,
        "until": study.train.until,
        "start": study.start,
    }


BLOCKS = ("stem", "stage1", "stage2", "stage3", "stage4", "stage4.0", "fc")
PAPER: dict[str, Any] = {
    # section 3 of the paper: ResNet-18 on CIFAR-10
    "network": "resnet18",
    "model": {"stem": "3x3", "max_pool": True},
    "data": {"name": "cifar10"},
    "to": "100ep",
    "lr": 0.1,
    "drops": ["33ep", "66ep"],
    "momentum": 0.9,
    "decay": 5e-4,
    "batch": 128,
    "augment": (4, True, 0.0),
    "alphas": 51,
    "on": ("test",),
    "networks": ("test",),
    "seeds": tuple(range(10)),
    "paths": ("initial->final",),
    "blocks": BLOCKS,
    "until": None,
    "start": None,
}
SMALL: dict[str, Any] = {
    **PAPER,
    "model": {"stem": "3x3", "max_pool": True, "width": 16},
    "data": {"name": "cifar10", "examples": 10_000},
    "to": "30ep",
    "drops": ["10ep", "20ep"],
    "alphas": 26,
    "on": ("test:2500",),
    "seeds": (0, 1, 2),
    "decay": 5e-3,  # a sixteenth of the steps
}
BASE = {"paper": PAPER, "small": SMALL}
SCALES: tuple[Scale, ...] = ("paper", "small")
scales = pytest.mark.parametrize("scale", SCALES)


def pretrained(study: InitToFinalStudy) -> dict[str, Any]:
    assert study.start is not None
    assert study.start.pretrain is not None
    found = study.start.pretrain
    return {
        "to": str(found.to),
        "until": found.until and (found.until.accuracy, found.until.on),
        "data": dict(found.data),
        "recipe": found.recipe,
        "at": study.start.at,
        "offset": study.start.offset,
        "clip": study.start.clip,
        "points": study.start.points and len(study.start.points),
        "new": study.start.new,
    }


@scales
def test_f1b(scale: Scale) -> None:
    found = each("f1b", scale)
    if scale == "small":
        assert [brief(one) for one in found.values()] == [SMALL]
        return
    assert brief(found["base"]) == PAPER
    stems = {("3x3", True), ("3x3", False), ("3x3-unpadded", True), ("3x3-unpadded", False)}
    assert {(one.model.arguments["stem"], one.model.arguments["max_pool"]) for one in list(found.values())[:4]} == stems
    for one in list(found.values())[:4]:
        assert brief(one) == {**PAPER, "model": one.model.arguments}
    assert brief(found["VGG-11"]) == {**PAPER, "network": "vgg11", "model": {}, "blocks": "all"}
    assert len(found) == 5


@pytest.mark.parametrize(("scale", "decays"), [("paper", (0, 1e-4, 5e-4, 5e-3)), ("small", (0, 1e-3, 5e-3, 1.5e-2))])
def test_f7(scale: Scale, decays: tuple[float, ...]) -> None:
    assert {name: brief(one) for name, one in each("f7", scale).items()} == {
        name: {**BASE[scale], "decay": decay} for name, decay in zip(("0", "less", "base", "more"), decays, strict=True)
    }


@scales
def test_f8(scale: Scale) -> None:
    fixed = {str(rate): {**BASE[scale], "lr": rate, "drops": []} for rate in (0.1, 0.01, 0.001)}
    assert {name: brief(one) for name, one in each("f8", scale).items()} == {"base": BASE[scale], **fixed}


@scales
def test_f2b(scale: Scale) -> None:
    scratch, random = each("f2b", scale).values()
    assert brief(scratch) == {**BASE[scale], "decay": 0.0}
    assert brief(random) == {**BASE[scale], "decay": 0.0, "start": random.start}
    examples = {} if scale == "paper" else {"examples": 5_000}
    found = pretrained(random)
    assert (found["until"], found["data"]) == ((1.0, "train"), {"random_labels": 7, **examples})
    assert (found["at"], found["new"]) == (1.0, None)
    assert found["recipe"]["optimizer"]["weight_decay"] == 0
    assert found["recipe"]["augment"] == {}


@scales
def test_f3(scale: Scale) -> None:
    """Five runs; 5 of 50 grid points before and after the top, also where paths have fewer points."""
    found = each("f3", scale)
    base = {**BASE[scale], "decay": 0.0, "networks": ("test", "train"), "seeds": (0, 1, 2, 3, 4)}
    assert brief(found["random init"]) == base
    for name, offset in (("before the top", -5), ("top", 0), ("after the top", 5)):
        assert brief(found[name]) == {**base, "start": found[name].start}
        wanted = {"to": base["to"], "until": None, "data": {}, "recipe": {}, "at": "top", "new": None}
        assert pretrained(found[name]) == {**wanted, "offset": offset, "clip": offset != 0, "points": 51}
    first = base["drops"][0]
    for name in ("random init", "top"):
        early = found[f"{name} until the first drop"]
        assert brief(early) == {**base, "to": first, "alphas": 2, "blocks": (), "start": found[name].start}
    assert len(found) == 6


@scales
def test_f6(scale: Scale) -> None:
    base = BASE[scale]
    half, fifth = (25_000, 10_000) if scale == "paper" else (5_000, 2_000)
    data = {count: {"name": "cifar10", "examples": count} for count in (half, fifth)}
    none = (0, False, 0.0)
    assert {name: brief(one) for name, one in each("f6", scale).items()} == {
        "base": base,
        "half of the data": {**base, "data": data[half]},
        "a fifth of the data": {**base, "data": data[fifth]},
        "no augmentation": {**base, "augment": none},
        "half, no augmentation": {**base, "data": data[half], "augment": none},
        "brightness": {**base, "augment": (4, True, 0.05)},
    }


@scales
def test_f2a(scale: Scale) -> None:
    found = each("f2a", scale)
    paths = {"paths": ("initial->final", "fresh->final")}
    base = {**BASE[scale], **paths}
    drop = {"lr": 0.001, "drops": ["30ep"]} if scale == "paper" else {"lr": 0.01, "drops": ["10ep"]}
    assert {one.train.blocks_on for one in found.values()} == {("initial->final",)}
    assert brief(found["scratch"]) == base
    tuned = found["pre-trained"]
    assert brief(tuned) == {**base, **drop, "start": tuned.start}
    assert tuned.start is not None
    if scale == "small":
        recipe = {"optimizer": {"lr": 0.1}, "schedule": {"milestones": ["10ep", "20ep"]}}
        wanted = {
            "to": "30ep",
            "until": None,
            "data": {"name": "tiny_imagenet", "size": 32, "classes": 20},
            "recipe": recipe,
        }
        assert pretrained(tuned) == {**wanted, "at": 1.0, "offset": 0, "clip": False, "points": None, "new": ("fc",)}
        assert list(found) == ["scratch", "pre-trained"]
        return
    assert (tuned.start.file, tuned.start.new) == ("weights/resnet18.pth", ("conv1.*", "fc"))
    deep = {**base, "network": "resnet50", "data": {"name": "cifar100"}}
    deep["model"] = {"stem": "7x7", "max_pool": True, "classes": 100}
    assert brief(found["ResNet-50 scratch"]) == deep
    tuned = found["ResNet-50 pre-trained"]
    assert brief(tuned) == {**deep, **drop, "start": tuned.start}
    assert tuned.start is not None
    assert (tuned.start.file, tuned.start.new) == ("weights/resnet50.pth", ("fc",))


@scales
def test_f1a(scale: Scale) -> None:
    """Figure 1A: both sets whole, ten seeds, at either scale."""
    mnist, spiral = each("f1a", scale).values()
    for one in (mnist, spiral):
        optimizer, schedule = one.recipe.optimizer, one.recipe.schedule
        assert (one.model.name, one.model.arguments["hidden"]) == ("mlp", [50, 50])
        assert (optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adam", 5e-4, 0)
        assert (schedule.milestones, schedule.warmup, schedule.cosine, schedule.drop) == ((), None, None, None)
        assert one.train.paths == ("initial->final", "fresh->final", "initial->fresh")
        assert (len(one.evaluate.points), one.evaluate.on, one.seeds) == (51, ("test",), tuple(range(10)))
    assert (mnist.data.name, mnist.data.options, mnist.recipe.batch_size) == ("mnist", {}, 128)
    assert (mnist.recipe.loss, str(mnist.train.to), mnist.train.until) == ("cross_entropy", "5ep", None)
    assert (spiral.data.name, spiral.data.options, spiral.recipe.batch_size) == ("spiral", {}, 500)
    assert (spiral.recipe.loss, spiral.model.arguments["outputs"]) == ("binary_cross_entropy", 1)
    assert spiral.train.until is not None
    assert (spiral.train.until.accuracy, spiral.train.until.on) == (0.999, "test")
    whole = expand(from_mapping({**spiral.model_dump(mode="json", exclude_unset=True), "seeds": [0]})).data
    assert (whole.train, whole.test) == (10_000, 5_000)


@scales
def test_a17(scale: Scale) -> None:
    found = each("a17", scale)
    assert {name: one.model.arguments["hidden"] for name, one in found.items()} == {
        "50": [50] * 6,
        "500": [500] * 6,
        "500x4, 25x2": [500, 500, 500, 500, 25, 25],
        "500x4, 25x4": [500, 500, 500, 500, 25, 25, 25, 25],
    }
    spiral = each("f1a", scale)["spiral"]
    for one in found.values():
        assert one.recipe == spiral.recipe
        assert one.data == spiral.data
        assert one.train.until is not None
        assert (one.train.until.accuracy, one.train.until.on) == (1.0 if scale == "paper" else 0.999, "test")
        assert (one.train.blocks, one.train.blocks_on) == ("all", ("initial->final",))
        assert len(one.seeds) == (10 if scale == "paper" else 5)


@scales
def test_a18_moves_each_tensor_of_block_3_once(scale: Scale) -> None:
    (found,) = each("a18", scale).values()
    groups = found.train.blocks
    assert isinstance(groups, dict)
    assert brief(found) == {**BASE[scale], "blocks": groups}
    names = [name for name in models.build("resnet18", width=4).state_dict() if name.startswith("layer3.")]
    taken = {group: {name for name in names if any(matching(globs, [name]))} for group, globs in groups.items()}
    assert taken.pop("stage3") == set(names)
    assert taken["running statistics"] == {name for name in names if ".running_" in name}
    counters = {name for name in names if name.endswith("num_batches_tracked")}
    assert taken["running statistics"] | taken["all but statistics"] | counters == set(names)
    assert not taken["running statistics"] & taken["all but statistics"]
    means, variances = taken["running means"], taken["running variances"]
    assert means | variances == taken["running statistics"]
    assert len(means) == len(variances) == 5  # two of each unit, one of the projection
    assert taken["convolutions"] | taken["scales and shifts"] == taken["all but statistics"]
    assert len(taken["convolutions"]) == 5
    assert len(taken["scales and shifts"]) == 10


# --- what is trained once ------------------------------------------------------------------


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets by their description, without their files."""

    def reference(spec: DataSpec, root: object) -> tuple[DataRef, list[str], None]:
        train, test, classes = SIZES[spec.name]
        named = f"{spec.name} {sorted(spec.options.items())}"
        norm = ((0.5,) * 3, (0.25,) * 3)
        train = int(spec.options.get("examples", train))
        return DataRef(spec.name, spec.options, named, train, test, classes, (3, 32, 32), *norm), [], None

    monkeypatch.setattr(importlib.import_module("isthmus.study.expand"), "data_ref", reference)


def ends(name: str, scale: Scale = "small") -> dict[str, dict[int, Node]]:
    """The final network of each variant and seed."""
    found: dict[str, dict[int, Node]] = {}
    for request in expand(ROWS[name].study(scale)).requests:
        if request.labels.get("path") == "initial->final" and request.labels["block"] == "all":
            variant = request.labels.get("variant", "")
            found.setdefault(variant, {})[request.labels["seed"]] = request.measure.path.ends[1]
    return found


def keys(of: Mapping[int, Node]) -> dict[int, str]:
    return {seed: node.key for seed, node in of.items()}


@pytest.mark.usefixtures("unread")
def test_rows_that_train_the_same_networks_share_them() -> None:
    whole = ends("f1b")
    base = keys(whole[""])
    assert len(set(base.values())) == 3
    shared = [("f7", "base"), ("f8", "base"), ("f6", "base"), ("f2a", "scratch")]
    assert [keys(ends(name)[variant]) for name, variant in shared] == [base] * 4
    assert keys(ends("a18")[""]) == base
    bare = keys(ends("f7")["0"])
    assert keys(ends("f2b")["scratch"]) == bare
    assert {seed: keys(ends("f3")["random init"])[seed] for seed in bare} == bare
    assert not set(base.values()) & set(bare.values())


@pytest.mark.usefixtures("unread")
def test_block_3_of_a18_is_that_of_f1b() -> None:
    def measured(name: str) -> set[str]:
        wanted = ("all", "stage3")
        requests = expand(ROWS[name].study("small")).requests
        own = [request for request in requests if request.labels.get("variant", "base") == "base"]
        return {request.measure.key for request in own if request.labels.get("block") in wanted}

    assert measured("a18") == measured("f1b")
    assert len(measured("a18")) == 6


@pytest.mark.usefixtures("unread")
def test_the_start_of_f3_is_its_own_network_and_half_way_is_on_the_way() -> None:
    """The pre-training is the run from initial weights; the early networks are earlier steps of the late ones."""
    found = ends("f3")
    per_epoch = 79  # 10,000 examples in batches of 128
    expansion = expand(ROWS["f3"].study("small"))
    sources = {(labels["variant"], labels["seed"]): source for labels, source in expansion.sources}
    assert len(sources) == 4 * 5
    for seed, scratch in found["random init"].items():
        for name in ("before the top", "top", "after the top", "top until the first drop"):
            assert sources[name, seed].weights.key == scratch.key
    for name in ("random init", "top"):
        for seed, node in found[name].items():
            early = found[f"{name} until the first drop"][seed]
            assert isinstance(node, Train)
            assert isinstance(early, Train)
            assert (early.step, node.step) == (10 * per_epoch, 30 * per_epoch)
            assert early.key == node.at(10 * per_epoch).key
    one = {seed: found["top"][seed].root.key for seed in range(5)}  # type: ignore[attr-defined]
    assert len(set(one.values())) == 5


@pytest.mark.usefixtures("unread")
def test_pre_training_is_by_its_own_recipe() -> None:
    """Random labels without decay and augmentation; other pictures by the base recipe, whatever comes after."""
    source = expand(ROWS["f2b"].study("small")).sources[0][1].pretraining
    assert source is not None
    recipe = source.recipe
    assert (recipe.optimizer.lr, recipe.optimizer.weight_decay, recipe.optimizer.momentum) == (0.1, 0.0, 0.9)
    assert not recipe.augment.acts
    assert source.until is not None
    assert (source.data.train, source.stop) == (5_000, 300 * 40)
    scratch = each("f2a", "small")["scratch"]
    other = expand(ROWS["f2a"].study("small")).sources[0][1].pretraining
    assert other is not None
    assert other.recipe == scratch.recipe
    assert (other.data.name, other.model.arguments["classes"], other.stop) == ("tiny_imagenet", 20, 30 * 79)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", BASED)
@scales
def test_studies_expand(name: str, scale: Scale) -> None:
    row = ROWS[name]
    study = row.study(scale) if name != "f2a" else (row.substitute or row.study)(scale)
    found = expand(study)
    whole = [r for r in found.requests if r.labels.get("path") == "initial->final" and r.labels["block"] == "all"]
    assert len(whole) == len(study.seeds) * max(1, len(study.variants or ()))


@pytest.mark.usefixtures("unread")
@scales
def test_the_substitute_is_pre_trained_at_hand(scale: Scale) -> None:
    substitute = ROWS["f2a"].substitute
    assert substitute is not None
    found = substitute(scale)
    assert {one.data.name for one in variants(found).values()} == {"cifar10"}
    tuned = [one for one in variants(found).values() if one.start is not None]
    assert len(tuned) == (2 if scale == "paper" else 1)
    for one in tuned:
        assert isinstance(one, InitToFinalStudy)
        assert pretrained(one)["data"] == {"name": "tiny_imagenet", "size": 32, "classes": 20}
        assert pretrained(one)["to"] == BASE[scale]["to"]


@pytest.mark.usefixtures("unread")
def test_published_files_are_looked_for_below_the_data_and_give_all_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision's layout (1000 classes, a first convolution of 7x7), of a small width."""
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    content = ROWS["f2a"].study("paper").model_dump(mode="json", exclude_unset=True)
    small = from_mapping(override(content, ["model.width=4", "seeds=[3]"]))
    with pytest.raises(MissingData, match=r"no file of weights weights/resnet18\.pth, neither in .* nor in "):
        expand(small)
    for name in ("resnet18", "resnet50"):
        published = models.build(name, width=4, classes=1000, stem="7x7", max_pool=True, input_shape=(3, 64, 64))
        torch.save(published.state_dict(), tmp_path / "weights" / f"{name}.pth")
    expansion = expand(small)
    sources = {labels["variant"]: source.state for labels, source in expansion.sources}
    new = {"pre-trained": {"conv1.weight", "fc.weight", "fc.bias"}, "ResNet-50 pre-trained": {"fc.weight", "fc.bias"}}
    for variant, names in new.items():
        state = sources[variant]
        assert isinstance(state, Graft)
        base, donor = state.parents()
        assert isinstance(base, Init)
        assert isinstance(donor, Import)
        assert base.model.name == ("resnet18" if variant == "pre-trained" else "resnet50")
        own = models.build(base.model.name, **base.model.arguments).state_dict()
        assert {tensor for tensor in own if not any(fnmatchcase(tensor, glob) for glob in state.patterns)} == names
