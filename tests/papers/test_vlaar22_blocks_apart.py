"""Vlaar22 F9, A16 and Table 2: set-ups, which training they share, claims and figures on made-up tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from vlaar22_interventions import RESNET, VGG, Net, numbers, small, spoilt, tables, verdicts, without

from isthmus import datasets, papers
from isthmus.claims import judge
from isthmus.papers.vlaar22 import bars, f9, gathering, networks
from isthmus.store import Store
from isthmus.study import InitToFinalStudy, from_mapping, variants
from isthmus.tables import Table
from small_studies import ran, state, to_final

ROW = papers.row("vlaar22", "f9")
# Table 2 of the paper; "B" of ResNet-18: blocks 2, 3 and 4.0, of VGG-11: layers 4 to 10 with max-pools counted
T2 = {
    "base": (92.2, 91.9),
    "0.01 on NB": (91.8, 92.0),
    "0.01 on B": (90.1, 90.4),
    "0.01": (90.3, 90.9),
    "decay on B": (91.5, 91.8),
    "decay on NB": (90.1, 90.2),
    "no decay": (90.1, 90.4),
}
BLOCKS = {
    "resnet18": (["stage2", "stage3", "stage4.0"], ["stem", "stage1", "stage4.1", "fc"]),
    "vgg11": (["conv3", "conv4", "conv5", "conv6", "conv7"], ["conv1", "conv2", "conv8", "fc"]),
}


@pytest.mark.parametrize("network", BLOCKS)
@pytest.mark.parametrize("scale", ["paper", "small"])
def test_the_set_up(scale: papers.Scale, network: str) -> None:
    """Section 3 of the paper; at small scale a quarter of the width, 10,000 examples and 30 epochs."""
    found = {name: one for name, one in variants(ROW.study(scale)).items() if name.startswith(f"{network}: ")}
    assert {name.partition(": ")[2] for name in found} - {"0.01 on chosen B"} == set(T2)
    barrier, others = BLOCKS[network]
    rules: dict[str, Any] = {
        "0.01 on NB": (others, 0.1, None),
        "0.01 on B": (barrier, 0.1, None),
        "0.01 on chosen B": ("barrier", 0.1, None),
        "decay on B": (others, 1.0, 0.0),
        "decay on NB": (barrier, 1.0, 0.0),
    }
    at_small = scale == "small"
    arguments: dict[str, Any] = {"resnet18": {"stem": "3x3", "max_pool": True}, "vgg11": {}}[network]
    for name, one in found.items():
        what, optimizer = name.partition(": ")[2], one.recipe.optimizer
        assert isinstance(one, InitToFinalStudy)
        assert (one.model.name, one.model.arguments) == (network, arguments | ({"width": 16} if at_small else {}))
        assert (one.data.name, one.data.options) == ("cifar10", {"examples": 10_000} if at_small else {})
        assert (optimizer.name, optimizer.momentum, one.recipe.batch_size) == ("sgd", 0.9, 128)
        assert optimizer.lr == (0.01 if what == "0.01" else 0.1)
        assert optimizer.weight_decay == (0.0 if what == "no decay" else 5e-3 if at_small else 5e-4)
        wanted = [rules[what]] if what in rules else []
        blocks = [rule.blocks if isinstance(rule.blocks, str) else list(rule.blocks) for rule in optimizer.by_block]
        assert [(b, r.factor, r.weight_decay) for b, r in zip(blocks, optimizer.by_block, strict=True)] == wanted
        assert list(map(str, one.recipe.schedule.milestones)) == (["10ep", "20ep"] if at_small else ["33ep", "66ep"])
        assert (one.recipe.schedule.factor, str(one.train.to)) == (0.1, "30ep" if at_small else "100ep")
        assert (one.recipe.augment.crop, one.recipe.augment.flip, one.recipe.augment.brightness) == (4, True, 0)
        assert list(one.seeds) == list(range(5 if at_small else 10))
        assert (len(one.evaluate.points), one.evaluate.norm_stats) == (26 if at_small else 51, "interpolate")
        assert (one.evaluate.on, one.evaluate.networks_on) == (("test:2500",) if at_small else ("test",), ("test",))
        assert one.start is None
    chosen = [one.choose for one in found.values() if one.choose is not None]
    assert len(chosen) == (at_small and network == "resnet18")
    for choose in chosen:
        assert (choose.threshold, set(choose.blocks)) == (0.05, {*barrier, *others})


def test_the_published_numbers() -> None:
    assert {what: tuple(f9.PUBLISHED[n, what][0] for n in networks.NETWORKS) for what in T2} == T2


def test_the_base_set_up_is_trained_once_for_all_rows() -> None:
    own = small("f9").variants
    base = small("f1b")
    assert {node.key for node in base.targets} <= {node.key for node in own["resnet18: base"].targets}
    # one choice beside the paths: it looks at blocks of the base run, which is not trained again for it
    chosen = own["resnet18: 0.01 on chosen B"].chosen
    assert chosen is not None
    ends = {end.key for source in chosen.sources for end in source.path.ends}  # type: ignore[attr-defined]
    assert ends == {end.key for request in own["resnet18: base"].requests for end in request.measure.path.ends}


def world(**changes: Net) -> dict[str, Net]:
    """The accuracies of Table 2; the blocks of B have barriers unless they learn slowly."""
    found: dict[str, Net] = {}
    for index, (network, blocks) in enumerate((("resnet18", RESNET), ("vgg11", VGG))):
        barrier = dict.fromkeys(BLOCKS[network][0], 0.3)
        for what, published in T2.items():
            rises = {} if what in ("0.01 on B", "0.01") else barrier
            found[f"{network}: {what}"] = Net(published[index], rises, blocks=blocks)
    return found | {name.replace("_", ": ", 1): net for name, net in changes.items()}


def test_in_the_papers_world_every_claim_holds() -> None:
    found = tables(world())
    assert set(verdicts(ROW, found).values()) == {"held"}
    expected = {"rate": (1.7, 1.6), "rate-on-barrier": (2.1, 1.5), "rate-elsewhere": (-0.4, 0.1), "decay": (1.4, 1.6)}
    of = {f"{n}-{name}": pair[i] for name, pair in expected.items() for i, n in enumerate(BLOCKS)}
    assert numbers(ROW, found) == pytest.approx(of | {f"{n}-removed": 0.0 for n in BLOCKS}, abs=1e-9)
    by_id = {claim.id: claim for claim in ROW.claims}
    assert {name: float(by_id[name].published) for name in of} == pytest.approx(of)


WORLDS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    # claim: (the variant that is otherwise, how, which other claims fail with it)
    "rate": ("0.01 on NB", {"accuracy": 90.5}, {"rate-elsewhere"}),
    "rate-on-barrier": ("base", {"accuracy": 90.4}, {"rate-elsewhere"}),
    "rate-elsewhere": ("0.01 on NB", {"accuracy": 93.1}, set()),
    "removed": ("0.01 on B", {"rises": {"stage3": 0.06, "conv5": 0.06}}, set()),
    "decay": ("decay on NB", {"accuracy": 92.3}, set()),
}


@pytest.mark.parametrize("network", BLOCKS)
@pytest.mark.parametrize("claim", WORLDS)
def test_each_claim_fails_where_it_is_false(claim: str, network: str) -> None:
    what, changes, others = WORLDS[claim]
    nets = world()
    name = f"{network}: {what}"
    failed = {
        name
        for name, found in verdicts(ROW, tables(nets | {name: dataclasses.replace(nets[name], **changes)})).items()
        if found == "failed"
    }
    assert failed == {f"{network}-{each}" for each in (claim, *others)}


def test_what_was_not_run_is_named_and_nothing_is_removed_where_nothing_was() -> None:
    nets = world()
    assert verdicts(ROW, without(tables(nets), "vgg11: 0.01 on B"))["vgg11-rate"] == "undecided"
    low = {name: dataclasses.replace(net, rises={}) if name == "resnet18: base" else net for name, net in nets.items()}
    assert verdicts(ROW, tables(low))["resnet18-removed"] == "undecided"
    assert set(verdicts(ROW, spoilt(tables(nets))).values()) == {"undecided"}
    assert set(verdicts(ROW, {}).values()) == {"undecided"}


def test_accuracies_beside_the_published_ones() -> None:
    spread = {0: -0.3, 1: 0.0, 2: 0.6}
    nets = {"a": Net(70.0, spread=spread.__getitem__), "b": Net(72.0, spread=lambda seed: 2 * spread[seed])}
    found = tables(nets)["accuracy"]
    first, second, third = bars.compared(found, {"a": "a", "b": "a", "c": "a"}, {"a": (91.25, 0.2), "c": (90.0, None)})
    assert (first["accuracy"], first["change"], first["published"], first["published_change"]) == (
        pytest.approx(70.1),
        0.0,
        91.25,
        0.0,
    )
    half = 4.303 * 0.4582576 / 3**0.5  # two degrees of freedom; deviation of -.3, 0, .6
    assert (second["change_low"], second["change_high"]) == pytest.approx((2.1 - half, 2.1 + half), abs=1e-3)
    assert (first["low"], first["high"]) == pytest.approx((70.1 - half, 70.1 + half), abs=1e-3)
    assert (second["published"], third["accuracy"], third["published_change"]) == (None, None, -1.25)
    (alone,) = bars.compared(found.where(seed=0), {"b": "a"}, {})
    assert (alone["change"], alone["change_low"], alone["seeds"]) == (pytest.approx(1.7), None, 1)


def drawn_from(found: Mapping[str, Table], folder: Path) -> list[Path]:
    names = {f"{n}: {what}": f"{n}: base" for n in BLOCKS for what in T2}
    published = {f9.named(*key): value for key, value in f9.PUBLISHED.items()}
    return ROW.figures({**found, "t2": bars.compared(found["accuracy"], names, published)}, folder)


def test_the_figures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    drawn_from(tables(world()), tmp_path)
    assert list(drawn) == ["F9", "F9-decay", "A16", "A16-decay", "T2"]
    resnet, vgg = drawn["T2"].axes
    assert (resnet.get_title(loc="left"), vgg.get_title(loc="left")) == ("ResNet-18", "VGG-11")
    widths = [bar.get_width() for bar in resnet.patches]  # type: ignore[attr-defined]
    wanted = [value for pair in T2.values() for value in [pair[0] - 92.2] * 2]
    assert sorted(widths) == pytest.approx(sorted(wanted), abs=1e-6)
    assert "0.01 on B, 0.1 on NB: 90.1 (90.1 \N{PLUS-MINUS SIGN} 0.2)" in [text.get_text() for text in resnet.texts]
    assert len(drawn["A16"].axes) == 11  # the whole network, eight convolutions, fc, accuracies


def test_figures_of_any_tables(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """One seed, which is no number in some variants; a base that was not run."""
    nets = {name: dataclasses.replace(net, seeds=(1,)) for name, net in world().items() if name != "vgg11: base"}
    whole = tables(nets)
    broken = spoilt(whole)
    odd = {
        name: Table.of([*broken[name].where(_resnet), *whole[name].where(_vgg)]) for name in whole if name != "shapes"
    }
    drawn_from(odd, tmp_path)
    assert len(drawn) == 5


def _resnet(row: Mapping[str, Any]) -> bool:
    return str(row["variant"]).startswith("resnet18")


def _vgg(row: Mapping[str, Any]) -> bool:
    return not _resnet(row)


# --- a run in miniature ------------------------------------------------------------


def test_a_run_with_rules_for_blocks(store: Store) -> None:
    """A network of two layers in the place of ResNet-18: its rules act, and its numbers are those of the networks."""
    first, second = {"blocks": ["layer1"]}, {"blocks": ["layer2"]}
    changes: dict[str, Any] = {
        "base": {},
        "0.01 on B": {"recipe": {"optimizer": {"by_block": [{**first, "factor": 0.1}]}}},
        "0.01 on NB": {"recipe": {"optimizer": {"by_block": [{**second, "factor": 0.1}]}}},
        "decay on NB": {"recipe": {"optimizer": {"by_block": [{**first, "weight_decay": 0.0}]}}},
    }
    sets = ("seeds=[4, 9]", "train.to=3ep", 'train.blocks="all"', "recipe.optimizer.weight_decay=0.1")
    tiny = to_final(*sets, 'evaluate={alphas=5, on=["test:30"], networks_on=["test"]}')
    content = tiny.model_dump(mode="json", exclude_unset=True)
    study = from_mapping(
        gathering.gathered("f9", {f"resnet18: {name}": gathering.changed(content, of) for name, of in changes.items()})
    )
    results = ran(study, store)
    found = ROW.tables(results)
    assert sorted(found) == ["accuracy", "curves", "paths", "setup", "shapes", "t2"]
    table = {row["variant"].removeprefix("resnet18: "): row for row in found["t2"]}
    assert table["no decay"]["accuracy"] is None
    assert table["no decay"]["published"] == 90.1
    test = datasets.load("spiral", train=190, test=70).test
    inputs, labels = torch.from_numpy(test.inputs.copy()), torch.from_numpy(test.labels.copy())
    for name in changes:
        accuracies = []
        for request in results.expansion.variants[f"resnet18: {name}"].requests:
            if request.table == "paths" and request.labels["block"] == "all":
                w = state(store, request.measure.path.ends[1]).weights
                hidden = torch.relu(inputs @ w["layer1.weight"].T + w["layer1.bias"])
                scores = hidden @ w["layer2.weight"].T + w["layer2.bias"]
                accuracies.append(100 * (scores.argmax(1) == labels).double().mean().item())
        assert len(accuracies) == 2
        assert table[name]["accuracy"] == pytest.approx(sum(accuracies) / 2, abs=1e-6)
        if name == "base":
            base = accuracies
        pairs = [own - of for own, of in zip(accuracies, base, strict=True)]
        assert table[name]["change"] == pytest.approx(sum(pairs) / 2, abs=1e-6)
    moved = {name: found["paths"].where(variant=f"resnet18: {name}", metric="loss", seed=4) for name in changes}
    far = {name: {row["block"]: row["l2"] for row in rows} for name, rows in moved.items()}
    assert far["0.01 on B"]["layer1"] < 0.5 * far["base"]["layer1"]
    assert far["0.01 on NB"]["layer2"] < 0.5 * far["base"]["layer2"]
    assert {row["verdict"] for row in judge(ROW.claims, found)} <= {"held", "failed", "undecided"}
