"""Vlaar22 Table 1 and A11: which interventions are in it, what it computes from them, and a run of it in miniature."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats
from vlaar22_interventions import Net, numbers, small, spoilt, tables, verdicts

from isthmus import datasets, models, papers
from isthmus.claims import judge
from isthmus.errors import BadInput
from isthmus.nodes import Node, PathMeasure
from isthmus.papers.vlaar22 import lines, summary, t1
from isthmus.papers.vlaar22.gathering import changed, gathered, parts
from isthmus.store import Store
from isthmus.study import Results, expand, from_mapping, run
from isthmus.tables import Table
from small_studies import TO_FINAL, state, to_final

T1 = papers.row("vlaar22", "t1")
CONTENTS, LISTED = lines.interventions("small")


# --- studies as variants of one ------------------------------------------------------------

STUDIES: dict[str, dict[str, Any]] = {
    "one": dict(TO_FINAL),
    "decay": changed(dict(TO_FINAL), {"recipe.optimizer.weight_decay": 0.01, "evaluate.alphas": 5}),
    "other data": changed(
        dict(TO_FINAL),
        {
            "data": {"name": "digits", "examples": 60},
            "model": {"input_shape": [64], "classes": 10, "hidden": [9, 4]},
            "train.blocks": "all",
            "seeds": [3, 1],
        },
    ),
    "start": changed(
        dict(TO_FINAL),
        {
            "data.seed": 5,
            "recipe.schedule": {"milestones": ["1ep"], "factor": 0.5},
            "start": {"pretrain": {"to": "1ep", "recipe": {"schedule": {}}}, "new": ["layer2"]},
        },
    ),
}


def test_what_is_gathered_is_what_each_study_was() -> None:
    study = from_mapping(gathered("all", STUDIES))
    assert study.name == "vlaar22-all"
    for name, content in parts(study).items():
        alone = parts(from_mapping(STUDIES[name]))[""]
        assert content == alone
    assert study.model_dump(exclude_unset=True)["recipe"]["batch_size"] == 40  # what is common stands once
    variants = study.variants
    assert variants is not None
    assert dict(variants["decay"]) == {
        "recipe": {"optimizer": {"weight_decay": 0.01}},
        "model": {"input_shape": [2], "classes": 2, "hidden": [7]},
        "data": {"train": 190, "test": 70},
        "evaluate": {"alphas": 5},
    }


def test_the_nodes_are_those_of_each_study() -> None:
    together = expand(from_mapping(gathered("all", STUDIES))).variants
    for name, content in STUDIES.items():
        alone = expand(from_mapping(content))
        assert {node.key for node in together[name].targets} == {node.key for node in alone.targets}


def test_options_that_data_of_two_names_share_are_kept_by_both() -> None:
    one = changed(dict(TO_FINAL), {"data.examples": 60})
    other = changed(STUDIES["other data"], {"evaluate.alphas": 4})
    found = parts(from_mapping(gathered("two", {"one": one, "other": other})))
    assert found["one"]["data"] == {"name": "spiral", "train": 190, "test": 70, "examples": 60}
    assert found["other"]["data"] == {"name": "digits", "examples": 60}


recipes = st.fixed_dictionaries(
    {"optimizer": st.fixed_dictionaries({"lr": st.sampled_from([0.1, 0.2])}, optional={"momentum": st.just(0.5)})},
    optional={"schedule": st.sampled_from([{}, {"factor": 0.5}, {"factor": 0.5, "milestones": ["1ep"]}])},
)


@given(st.lists(recipes, min_size=1, max_size=4))
def test_whatever_studies_share_none_takes_on_what_another_says(found: list[dict[str, Any]]) -> None:
    studies = {f"v{i}": {**TO_FINAL, "recipe": {"batch_size": 40, **recipe}} for i, recipe in enumerate(found)}
    again = parts(from_mapping(gathered("any", studies)))
    for name, content in studies.items():
        assert again[name] == parts(from_mapping(content))[""]


# --- which interventions ------------------------------------------------------------


def test_the_lines_of_the_published_table() -> None:
    """Table 1 of the paper: label of the path, blocks, accuracy."""
    found = {line.name: ("/".join(line.shapes), line.blocks, line.accuracy) for line in lines.LINES if line.accuracy}
    assert found == {
        "pre-trained": ("NB", "", "better"),
        "random labels": ("", "higher", "worse"),
        "start at the barrier": ("NB", "", "better"),
        "partial (pre-)training": ("B/NB/P", "", "often worse"),
        "partial random labels": ("B/NB", "", "often worse"),
        "less data": ("NB", "lower", "worse"),
        "no augmentation": ("", "lower", "worse"),
        "less decay": ("NB/B", "", "worse"),
        "more decay": ("P", "", "worse"),
        "fixed rate 0.01": ("P", "", "better"),
        "other fixed rates": ("NB", "", "worse"),
        "lower rate on barrier blocks": ("NB", "", "worse"),
        "deeper": ("", "higher", "better"),
        "no normalisation": ("NB", "", "worse"),
        "wider MLPs": ("NB", "", "often better"),
    }


def test_every_variant_of_the_rows_is_there_once() -> None:
    assert len({one.name for one in LISTED}) == len(LISTED)
    assert {name for one in LISTED for name in (one.name, one.against)} == set(CONTENTS)
    sources = [source for line in lines.LINES for source in line.of]
    assert len(set(sources)) == len(sources)
    left_out = {
        *(("f3", name) for name in ("random init until the first drop", "top until the first drop")),  # half-way
        ("f9", "resnet18: 0.01 on chosen B"),  # which blocks depends on the seeds
    }
    contents = list(CONTENTS.values())
    for row in ("f2a", "f2b", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "a17", "a19"):
        for name, content in parts(papers.row("vlaar22", row).study("small")).items():
            assert ((row, name) in left_out) != (lines._lean(content, "small") in contents), (row, name)
    paper = lines.interventions("paper")
    assert {"f10 ResNet-50", "f2a ResNet-50 pre-trained", "f5 decay less: block 3"} <= {one.name for one in paper[1]}
    assert paper[0]["f2a pre-trained"]["start"]["file"] == "weights/resnet18.pth"
    other = lines.interventions("paper", substitute=True)[0]["f2a pre-trained"]
    assert other["start"]["pretrain"]["data"]["name"] == "tiny_imagenet"


def test_each_stands_against_a_network_that_differs_in_the_change_alone() -> None:
    against = {one.name: one.against for one in LISTED}
    assert against["f2b random labels"] == against["f3 top"] == against["f5 decay 0: block 2"] == "f7 0"
    assert against["f9 vgg11: 0.01 on B"] == against["a19 NB at 1/2"] == "f9 vgg11: base"
    assert against["a17 500"] == "a17 50"
    rest = {"f2b", "f3", "a17", "a19"}
    for name, base in against.items():
        if name.split()[0] not in rest and "decay 0" not in name and "vgg11" not in name:
            assert base == "f9 resnet18: base"


def test_nothing_is_trained_for_the_summary_that_the_rows_do_not_train() -> None:
    own = small("t1")
    assert {request.labels["seed"] for request in own.requests} == {0, 1, 2}
    rows: dict[str, Node] = {}
    for row in ("f2a", "f2b", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "a17", "a19"):
        rows |= {node.key: node for node in small(row).targets}
    ended = {parent.key for node in rows.values() for parent in node.parents()}
    extra = [node for node in own.targets if node.key not in rows]
    assert {parent.key for node in own.targets for parent in node.parents()} <= ended
    # what is measured anew: accuracies on the whole test set where a row has them from its paths
    assert {type(node).__name__ for node in extra} <= {"PathMeasure"}
    assert {node.path.form for node in extra if isinstance(node, PathMeasure)} <= {"point"}


# --- what is computed ------------------------------------------------------------


def world(rise: Mapping[str, float], change: Mapping[str, float], names: tuple[str, ...]) -> dict[str, Net]:
    """Interventions with a rise of the whole path and a change of accuracy against their base."""
    found = {one.against: Net(80.0, {"all": 0.4}, blocks=("fc",)) for one in LISTED if one.name in names}
    for name in names:
        net = Net(80.0 + change[name], {"all": rise[name], "fc": 1.0 - rise[name]}, blocks=("fc",))
        found[name] = dataclasses.replace(net, spread=lambda seed: 0.3 * (seed - 1))
    return found


def of_group(group: str) -> tuple[str, ...]:
    return tuple(
        one.name for one in LISTED if one.line.group == group and one.name not in BASES and not one.line.same_accuracy
    )[:5]


BASES = {one.against for one in LISTED}
GROUPS = ("start", "data", "optimiser", "architecture")
NAMES = tuple(name for group in GROUPS for name in of_group(group))


def summarised(nets: Mapping[str, Net]) -> dict[str, Table]:
    """The tables of the row from made-up ones."""
    return of(tables(nets))


def of(found: Mapping[str, Table]) -> dict[str, Table]:
    there = set(found["accuracy"]["variant"]) - BASES
    runs = summary.runs(found, [one for one in LISTED if one.name in there])
    table1 = summary.beside(runs, found["shapes"])
    return {
        "runs": runs,
        "correlations": summary.correlations(runs),
        "table1": table1,
        "counts": summary.counted(table1),
    }


def spread_out(names: tuple[str, ...], seed: int) -> dict[str, float]:
    places = np.random.default_rng(seed).permutation(len(names))
    return {name: 0.1 + 0.8 * place / len(names) for name, place in zip(names, places, strict=True)}


def test_correlations_are_scipys_over_runs() -> None:
    rise, change = spread_out(NAMES, 1), spread_out(NAMES, 2)
    found = summarised(world(rise, {name: 4 * value - 2 for name, value in change.items()}, NAMES))
    runs = found["runs"]
    assert len(runs) == 3 * len(NAMES)
    for row in found["correlations"]:
        own = runs if row["group"] == "all" else runs.where(group=row["group"])
        wanted = stats.spearmanr(own[row["rise_of"]], own["change"]).statistic
        assert row["correlation"] == pytest.approx(wanted, abs=1e-12)
        assert row["low"] <= row["correlation"] <= row["high"]
        assert (row["runs"], row["interventions"], row["left_out"]) == (len(own), len(own) // 3, 0)
    (one,) = runs.where(intervention="f6 brightness", seed=2)
    assert one["change"] == pytest.approx(4 * change["f6 brightness"] - 2 + 0.3 - 0.02)
    assert one["rise"] == pytest.approx(rise["f6 brightness"])
    assert one["largest_block_rise"] == pytest.approx(1 - rise["f6 brightness"])
    assert one["block_change"] == pytest.approx(1 - rise["f6 brightness"])


def test_where_the_shape_says_nothing_both_claims_hold() -> None:
    rise = spread_out(NAMES, 1)
    found = summarised(world(rise, {name: 4 * value - 2 for name, value in spread_out(NAMES, 2).items()}, NAMES))
    assert set(verdicts(T1, found).values()) == {"held"}
    assert set(numbers(T1, found).values()) == {0.0}


def test_where_every_rise_costs_accuracy_both_claims_fail() -> None:
    """Blocks rise the more the less the whole does, so that there the same says the opposite."""
    rise = spread_out(NAMES, 1)
    found = summarised(world(rise, {name: 1 - 40 * value for name, value in rise.items()}, NAMES))
    assert set(verdicts(T1, found).values()) == {"failed"}
    for row in found["correlations"]:
        assert (row["correlation"] < -0.9) if row["rise_of"] == "rise" else (row["correlation"] > 0.9)
    number = numbers(T1, found)
    (whole,) = found["correlations"].where(rise_of="rise", group="all")
    assert number["path-says-nothing"] == -whole["high"] > 0.5


def test_where_groups_differ_in_the_sign_the_claims_hold_in_spite_of_the_whole() -> None:
    rise = spread_out(NAMES, 1)
    odd = of_group("data")
    middle = sum(rise[name] for name in odd) / len(odd)  # around which that group alone goes up
    change = {
        name: 1 - 40 * middle + 5 * (value - middle) if name in odd else 1 - 40 * value for name, value in rise.items()
    }
    found = summarised(world(rise, change, NAMES))
    (whole,) = found["correlations"].where(rise_of="rise", group="all")
    assert whole["high"] < 0
    assert set(verdicts(T1, found).values()) == {"held"}


def test_runs_without_a_number_are_left_out_and_counted() -> None:
    rise = spread_out(NAMES, 1)
    whole = tables(world(rise, {name: 1 - 40 * value for name, value in rise.items()}, NAMES))
    found = of({**spoilt(whole), "shapes": whole["shapes"]})
    (row,) = found["correlations"].where(rise_of="rise", group="all")
    assert (row["runs"], row["left_out"]) == (2 * len(NAMES), len(NAMES))
    assert set(verdicts(T1, found).values()) == {"failed"}
    few = summarised(world(rise, dict.fromkeys(NAMES, 0.5), NAMES[:2]))
    told = judge(T1.claims, few)
    assert set(told["verdict"]) == {"undecided"}
    assert set(told["reason"]) == {"seed all: 2 interventions have numbers, too few for an interval"}
    assert set(verdicts(T1, {}).values()) == {"undecided"}


def test_changes_that_tell_nothing_are_left_out() -> None:
    """Of networks that have learnt nothing, of starts at a barrier that is none, of training to a set accuracy."""
    names = ("f3 top", "a19 no normalisation", "a17 500", "f8 0.01")
    nets = world(dict.fromkeys(names, 0.3), dict.fromkeys(names, -1.0), names)
    nets["f7 0"] = Net(80.0, {"all": 0.04}, blocks=("fc",))
    nets["a19 no normalisation"] = Net(10.0, blocks=("fc",))
    found = summarised(nets)
    told = {name: any(map(np.isfinite, found["runs"].where(intervention=name)["change"])) for name in names}
    assert told == {"f3 top": False, "a19 no normalisation": False, "a17 500": False, "f8 0.01": True}
    verdicts_ = {row["intervention"]: row["verdict"] for row in found["table1"]}
    assert verdicts_ == {name: "worse" if name == "f8 0.01" else None for name in names}
    assert sum(found["counts"].where(source="here")["count"]) == 2  # a shape, and blocks that rise higher


def test_equal_rises_are_neither_higher_nor_lower() -> None:
    nets = world({"f8 0.01": 0.3}, {"f8 0.01": -1.0}, ("f8 0.01",))
    nets["f9 resnet18: base"] = Net(80.0, {"fc": 0.7}, blocks=("fc",))
    (row,) = summarised(nets)["table1"]
    assert row["blocks"] == "neither"


def test_a_group_whose_interval_holds_0_has_no_sign() -> None:
    """All groups fall but for one in which nothing is to be seen: that is no difference of sign."""
    rise = spread_out(NAMES, 1)
    odd = of_group("data")
    change = {name: 1 - 40 * value for name, value in rise.items()}
    level = sum(change[name] for name in odd) / len(odd)
    change |= {name: level + (-1) ** i * 0.4 for i, name in enumerate(sorted(odd, key=rise.__getitem__))}
    found = summarised(world(rise, change, NAMES))
    (group,) = found["correlations"].where(rise_of="rise", group="data")
    assert group["low"] < 0 < group["high"]
    assert verdicts(T1, found)["path-says-nothing"] == "failed"


@pytest.mark.parametrize("scale", ["small", "paper"])
@pytest.mark.parametrize("substitute", [False, True])
def test_every_intervention_of_a_study_is_known_again(
    scale: papers.Scale, substitute: bool, ran_small: Results
) -> None:
    study = T1.substitute(scale) if substitute and T1.substitute else T1.study(scale)
    found = t1._ran(dataclasses.replace(ran_small, study=study))
    assert found == lines.interventions(scale, substitute=substitute)[1]


def test_table_1_and_its_counts() -> None:
    rise = {"f6 brightness": 0.3, "f2a pre-trained": 0.0, "f8 0.01": 0.3}
    change = {"f6 brightness": -1.5, "f2a pre-trained": 2.0, "f8 0.01": 0.1}
    found = summarised(world(rise, change, tuple(rise)))
    rows = {row["intervention"]: row for row in found["table1"]}
    shown = {name: (row["mean_curve"], row["verdict"], row["blocks"]) for name, row in rows.items()}
    assert shown == {
        "f6 brightness": ("B", "worse", "higher"),
        "f2a pre-trained": ("NB", "better", "higher"),
        "f8 0.01": ("B", "neither", "higher"),
    }
    assert rows["f2a pre-trained"]["labels"] == "0: NB; 1: NB; 2: NB"
    assert (rows["f8 0.01"]["published_shape"], rows["f8 0.01"]["published_accuracy"]) == ("P", "better")
    assert rows["f8 0.01"]["change"] == pytest.approx(0.1, abs=0.03)
    assert rows["f8 0.01"]["low"] < 0 < rows["f8 0.01"]["high"]
    counts = {(row["source"], row["shape"], row["accuracy"]): row["count"] for row in found["counts"]}
    here = {key[1:]: count for key, count in counts.items() if key[0] == "here" and count}
    assert here == {
        ("B", "worse"): 1,
        ("B", "neither"): 1,
        ("NB", "better"): 1,
        **{("blocks higher", verdict): 1 for verdict in summary.ACCURACIES},
    }
    # counted by hand in the paper's table, a line once for each of its labels
    paper = {key[1:]: count for key, count in counts.items() if key[0] == "paper" and count}
    assert paper == {
        ("B", "worse"): 3,
        ("P", "worse"): 2,
        ("P", "better"): 1,
        ("NB", "worse"): 7,
        ("NB", "better"): 3,
        ("blocks higher", "worse"): 1,
        ("blocks higher", "better"): 1,
        ("blocks lower", "worse"): 2,
    }


def test_the_figures(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    rise = spread_out(NAMES, 1)
    found = summarised(world(rise, {name: 4 * value - 2 for name, value in spread_out(NAMES, 2).items()}, NAMES))
    T1.figures(found, tmp_path)
    assert list(drawn) == ["A11", "T1"]
    left, _, _ = drawn["A11"].axes
    marks = [line for line in left.get_lines() if line.get_linestyle() == "None"]
    points = np.concatenate([np.asarray(line.get_xydata()) for line in marks])
    assert len(points) == 3 * len(NAMES)
    assert sorted(map(tuple, points.tolist())) == sorted(
        zip(found["runs"]["rise"], found["runs"]["change"], strict=True)
    )
    here, paper = drawn["T1"].axes
    assert [text.get_text() for text in paper.texts].count("7") == 1
    assert sum(int(text.get_text()) for text in here.texts[:12]) == len(NAMES)
    steep = summarised(world(rise, {name: -60 * value for name, value in rise.items()}, NAMES[:4]))
    T1.figures(steep, tmp_path)
    assert drawn["A11"].axes[0].get_yscale() == "symlog"
    T1.figures(of(spoilt(tables(world(rise, rise, NAMES[:2])))), tmp_path)


# --- a run in miniature ------------------------------------------------------------

RUN: dict[str, dict[str, Any]] = {
    "f9 resnet18: base": {},
    "f7 0": {"recipe.optimizer.weight_decay": 0.0},
    "f7 more": {"recipe.optimizer.weight_decay": 0.2},
    "f8 0.01": {"recipe.optimizer.lr": 0.01},
    "f4 T, block 4 new": {"start": {"pretrain": {"to": "3ep"}, "new": ["layer2"]}},
    "f3 top": {"recipe.optimizer.weight_decay": 0.0, "start": {"pretrain": {"to": "3ep"}, "at": "top"}},
}


@pytest.fixture(scope="module")
def ran_small(store: Store) -> Results:
    """Interventions on a small network that learns a spiral, under the names of the summary."""
    sets = ("seeds=[4, 9]", "train.to=3ep", 'train.blocks="all"', "recipe.optimizer.weight_decay=0.02")
    content = to_final(*sets, 'evaluate={alphas=7, on=["test:30"], networks_on=["test"]}').model_dump(
        mode="json", exclude_unset=True
    )
    study = from_mapping(gathered("t1", {name: changed(content, change) for name, change in RUN.items()}))
    return run(study, store, workers=0, threads=1)


def test_the_summary_of_a_run(ran_small: Results, store: Store, tmp_path: Path, drawn: dict[str, Figure]) -> None:
    found = T1.tables(ran_small)
    assert list(found) == ["setup", "runs", "correlations", "table1", "counts"]
    ran = [name for name in RUN if name != "f9 resnet18: base"]
    assert {(row["intervention"], row["seed"]) for row in found["runs"]} == {(n, s) for n in ran for s in (4, 9)}
    accuracies = {key: accuracy(node, store) for key, node in finals(ran_small).items()}
    whole = ran_small["paths"].where(block="all", metric="loss")
    risen = {(row["variant"], row["seed"]): row["rise"] for row in whole}
    for row in found["runs"]:
        name, seed, base = row["intervention"], row["seed"], row["against"]
        assert base == ("f7 0" if name == "f3 top" else "f9 resnet18: base")
        assert row["accuracy"] == pytest.approx(100 * accuracies[name, seed], abs=1e-6)
        change = 100 * (accuracies[name, seed] - accuracies[base, seed])
        change = math.nan if name == "f3 top" and risen[base, seed] < 0.05 else change
        assert row["change"] == pytest.approx(change, abs=1e-6, nan_ok=True)
        points = ran_small["curves"].where(variant=name, seed=seed)
        losses = {block: own["loss"] for (block,), own in points.groups("block").items()}
        rises = {block: max(b - a for i, a in enumerate(y) for b in y[i:]) for block, y in losses.items()}
        assert row["rise"] == pytest.approx(rises.pop("all"), abs=1e-12)
        assert row["largest_block_rise"] == pytest.approx(max(rises.values()), abs=1e-12)
    assert found["setup"]["variant"] == list(RUN)
    T1.figures(found, tmp_path)
    assert {row["verdict"] for row in judge(T1.claims, found)} <= {"held", "failed", "undecided"}


def finals(results: Results) -> dict[tuple[str, int], Any]:
    """The final network of each variant and seed."""
    return {
        (request.labels["variant"], request.labels["seed"]): request.measure.path.ends[1]
        for request in results.expansion.requests
        if request.table == "paths" and request.labels["block"] == "all"
    }


def accuracy(node: Any, store: Store) -> float:
    """On the whole test set, by the network itself."""
    model = models.initialise("mlp", 0, input_shape=(2,), classes=2, hidden=(7,))
    model.load_state_dict(dict(state(store, node).weights))
    test = datasets.load("spiral", train=190, test=70).test
    with torch.no_grad():
        found = model(torch.from_numpy(test.inputs.copy())).argmax(1)
    return float((found == torch.from_numpy(test.labels.copy())).double().mean())


def test_variants_of_another_study_are_refused(ran_small: Results) -> None:
    other = from_mapping(gathered("t1", {"f7 0": dict(TO_FINAL), "mine": dict(TO_FINAL)}))
    with pytest.raises(BadInput, match="expected the variants of the summary alone, found 'mine' as well"):
        T1.tables(dataclasses.replace(ran_small, study=other))
