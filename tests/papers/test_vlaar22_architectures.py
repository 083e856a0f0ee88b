"""Vlaar22 F10 and A19 with Table A4: other networks; set-ups, claims and figures on made-up tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from vlaar22_interventions import VGG, Net, numbers, small, spoilt, tables, verdicts, without

from isthmus import models, papers
from isthmus.claims import judge
from isthmus.papers.vlaar22 import a19, bars
from isthmus.study import InitToFinalStudy, variants

F10, A19 = papers.row("vlaar22", "f10"), papers.row("vlaar22", "a19")


# --- figure 10 ------------------------------------------------------------


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_deeper_networks(scale: papers.Scale) -> None:
    found = variants(F10.study(scale))
    at_small = scale == "small"
    depths = (18, 34) if at_small else (18, 34, 50)
    assert list(found) == [f"ResNet-{depth}" for depth in depths]
    for depth, one in zip(depths, found.values(), strict=True):
        assert isinstance(one, InitToFinalStudy)
        assert (one.model.name, one.model.arguments) == (
            f"resnet{depth}",
            {"stem": "3x3", "max_pool": True} | ({"width": 16} if at_small else {}),
        )
        decay = 5e-3 if at_small else 5e-4
        assert (one.recipe.optimizer.lr, one.recipe.optimizer.weight_decay, one.recipe.batch_size) == (0.1, decay, 128)
        assert (str(one.train.to), list(one.seeds)) == (
            "30ep" if at_small else "100ep",
            list(range(3 if at_small else 10)),
        )
        assert set(one.train.blocks) == {"stem", "stage1", "stage2", "stage3", "stage4", "stage4.0", "fc"}


@pytest.mark.parametrize(("rise", "verdict"), [(0.51, "held"), (0.5, "failed"), (0.4, "failed")])
def test_the_claim_on_depth(rise: float, verdict: str) -> None:
    nets = {
        "ResNet-18": Net(70, {"stage3": 0.5, "stage4.0": 9.0}),  # a part of block 4 does not count beside it
        "ResNet-34": Net(71, {"stage2": rise, "stage3": 0.2}),
        "ResNet-50": Net(72, {"stage1": rise}),
    }
    found = tables(nets)
    assert verdicts(F10, found) == {"deeper-higher-block-barriers": verdict}
    assert verdicts(F10, found, "paper") == dict.fromkeys((claim.id for claim in F10.claims), verdict)
    assert numbers(F10, found)["deeper-higher-block-barriers"] == pytest.approx(rise - 0.5, abs=1e-9)
    assert set(verdicts(F10, without(found, "ResNet-18")).values()) == {"undecided"}
    assert set(verdicts(F10, spoilt(found)).values()) == {"undecided"}


# --- figure A19 and Table A4 ------------------------------------------------------------

TABLE = (91.93, 91.73, 91.53, 91.25, 91.15)
NAMES = ("VGG-11", "NB at 1/2", "NB at 1/4", "B at 1/2", "B at 1/4")
CHANNELS = {  # of the eight convolutions: 64, 128, 256, 256, 512, 512, 512, 512 of the whole network
    "VGG-11": (64, 128, 256, 256, 512, 512, 512, 512),
    "no normalisation": (64, 128, 256, 256, 512, 512, 512, 512),
    "no normalisation, 0.01": (64, 128, 256, 256, 512, 512, 512, 512),
    "NB at 1/2": (32, 64, 256, 256, 512, 512, 512, 256),
    "NB at 1/4": (16, 32, 256, 256, 512, 512, 512, 128),
    "B at 1/2": (64, 128, 128, 128, 256, 256, 256, 512),
    "B at 1/4": (64, 128, 64, 64, 128, 128, 128, 512),
}


@pytest.mark.parametrize("scale", ["paper", "small"])
def test_vgg11_as_it_is_plain_and_narrowed(scale: papers.Scale) -> None:
    found = variants(A19.study(scale))
    at_small = scale == "small"
    assert list(found) == list(CHANNELS)
    for name, one in found.items():
        module: Any = models.build(one.model.name, **one.model.arguments)
        convolutions = [layer for layer in module.features if hasattr(layer, "kernel_size") and hasattr(layer, "bias")]
        assert [layer.out_channels for layer in convolutions] == [n // (4 if at_small else 1) for n in CHANNELS[name]]
        normalised = any("running_mean" in tensor for tensor in module.state_dict())
        plain = name.startswith("no normalisation")
        assert normalised == (not plain)
        slow = name == "no normalisation, 0.01"
        assert one.recipe.optimizer.lr == (0.01 if slow else 0.1)
        assert one.model.arguments.get("init", "framework") == ("fan-out" if slow else "framework")
        assert len(one.seeds) == ((3 if plain else 5) if at_small else 10)
        assert isinstance(one, InitToFinalStudy)
        assert (one.train.blocks, str(one.train.to)) == ("all", "30ep" if at_small else "100ep")


def test_the_whole_network_is_that_of_table_2() -> None:
    own = small("a19").variants["VGG-11"]
    other = small("f9").variants["vgg11: base"]
    assert {node.key for node in own.targets} == {node.key for node in other.targets}


def world(**changes: Net) -> dict[str, Net]:
    found = {
        name: Net(accuracy, {"all": 0.3}, blocks=VGG, seeds=(0, 1, 2, 3, 4))
        for name, accuracy in zip(NAMES, TABLE, strict=True)
    }
    found |= {name: Net(85.0, blocks=VGG) for name in ("no normalisation", "no normalisation, 0.01")}
    return found | changes


def test_in_the_papers_world_every_claim_holds() -> None:
    found = tables(world())
    assert set(verdicts(A19, found).values()) == {"held"}
    assert numbers(A19, found) == pytest.approx(
        {
            **dict.fromkeys(("plain-monotone", "plain-monotone-at-0.01"), 0.0),
            "normalised-rises": 0.3,
            "narrow-half": 91.73 - 91.25,
            "narrow-quarter": 91.53 - 91.15,
            "narrow-barrier-costs": 91.93 - 91.25,
        },
        abs=1e-9,
    )
    seeds = {judged["claim"]: judged["seeds"] for judged in judge(A19.claims, found)}
    assert (seeds["plain-monotone"], seeds["narrow-half"]) == (3, 5)


FAILING: dict[str, dict[str, Net]] = {
    "plain-monotone": {"no normalisation": Net(85.0, {"all": 0.03}, blocks=VGG)},
    "plain-monotone-at-0.01": {"no normalisation, 0.01": Net(85.0, {"all": 0.03}, blocks=VGG)},
    "normalised-rises": {"VGG-11": Net(91.93, {"all": 0.01}, blocks=VGG, seeds=(0, 1, 2, 3, 4))},
    "narrow-half": {"NB at 1/2": Net(91.2, blocks=VGG, seeds=(0, 1, 2, 3, 4))},
    "narrow-quarter": {"B at 1/4": Net(91.6, blocks=VGG, seeds=(0, 1, 2, 3, 4))},
    "narrow-barrier-costs": {"VGG-11": Net(91.2, {"all": 0.3}, blocks=VGG, seeds=(0, 1, 2, 3, 4))},
}


def test_every_claim_has_its_counterexample() -> None:
    assert set(FAILING) == {claim.id for claim in A19.claims}


@pytest.mark.parametrize("claim", FAILING)
def test_each_claim_fails_where_it_is_false(claim: str) -> None:
    found = verdicts(A19, tables(world(**FAILING[claim])))
    assert {name for name, verdict in found.items() if verdict == "failed"} == {claim}


def test_a_network_that_has_not_learnt_has_no_barrier_to_speak_of() -> None:
    found = judge(A19.claims, tables(world(**{"no normalisation": Net(10.0, blocks=VGG)})))
    (row,) = found.where(claim="plain-monotone")
    assert row["verdict"] == "undecided"
    assert row["reason"].startswith("seed 0: no normalisation has not learnt: its accuracy is 9.98 %, not 20")
    assert set(found["verdict"]) == {"held", "undecided"}


def test_what_is_missing_or_no_number_decides_nothing() -> None:
    assert set(verdicts(A19, spoilt(tables(world()))).values()) == {"undecided"}
    assert set(verdicts(A19, {}).values()) == {"undecided"}


def test_the_figures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    nets = {name: dataclasses.replace(net, blocks=("conv3",)) for name, net in world().items()}
    found = tables(nets)
    against = dict.fromkeys(CHANNELS, "VGG-11")
    found["compared"] = bars.compared(found["accuracy"], against, a19.PUBLISHED)
    assert [found["compared"].where(variant=name)["published"][0] for name in NAMES] == list(TABLE)
    A19.figures(found, tmp_path)
    F10.figures(tables({"ResNet-18": Net(seeds=(1,), blocks=("fc",)), "ResNet-34": Net(blocks=("fc",))}), tmp_path)
    assert list(drawn) == ["A19", "A19-narrow", "TA4", "F10", "F10-accuracy"]
    (panel,) = drawn["TA4"].axes
    assert "convolutions 3 to 7 (B) at 1/4: 91.1 (91.15)" in [text.get_text() for text in panel.texts]
    odd = spoilt(without(tables({name: dataclasses.replace(net, seeds=(1,)) for name, net in nets.items()}), "VGG-11"))
    odd["compared"] = bars.compared(odd["accuracy"], against, {})
    A19.figures(odd, tmp_path)
