"""Variants of a study: each is the study with its changes, all are run together and told apart by a column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import study
from isthmus.errors import BadInput, BadStudy, MissingData
from isthmus.graph import plan
from isthmus.nodes import Init, PathMeasure, Train
from isthmus.store import Store
from isthmus.study import BranchStudy, Study, expand, from_mapping, load, variants
from isthmus.study.files import override
from isthmus.study.overlay import laid_over, undotted
from small_studies import BRANCH, PER_EPOCH, TO_FINAL, Told, branch, data, ran, recipe, to_final, write

CHANGES: dict[str, dict[str, Any]] = {
    "base": {},
    "decay 5e-4": {"recipe.optimizer.weight_decay": 5e-4},
    "wide": {"model": {"hidden": [9, 8]}, "evaluate.alphas": 5},
    "half": {"data": {"train": 95}, "data.seed": 3},
    "lr=0.01": {"recipe": {"optimizer": {"lr": 0.01}}, "recipe.batch_size": 38},
    "layer 1 anew": {"start": {"pretrain": {"to": "1ep"}, "new": ["layer1"]}},
    "more": {"seeds": [4, 5, 6]},
}
SETS: dict[str, tuple[str, ...]] = {
    "base": (),
    "decay 5e-4": ("recipe.optimizer.weight_decay=5e-4",),
    "wide": ("model.hidden=[9, 8]", "evaluate.alphas=5"),
    "half": ("data.train=95", "data.seed=3"),
    "lr=0.01": ("recipe.optimizer.lr=0.01", "recipe.batch_size=38"),
    "layer 1 anew": ('start={pretrain={to="1ep"}, new=["layer1"]}',),
    "more": ("seeds=[4, 5, 6]",),
}
"""The same changes as overrides of the study."""
FAMILIES: dict[str, Mapping[str, Any]] = {"branch": BRANCH, "to final": TO_FINAL}


def varied(content: Mapping[str, Any] = TO_FINAL, changes: Mapping[str, Any] = CHANGES, **more: Any) -> Study:
    return from_mapping({**content, **more, "variants": changes})


# --- what they are ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_variant_is_the_study_with_its_changes(family: str) -> None:
    content = FAMILIES[family]
    whole = varied(content)
    alone = {name: from_mapping(override(content, sets)) for name, sets in SETS.items()}
    assert variants(whole) == alone
    found = expand(whole)
    assert list(found.variants) == list(found.grounds) == list(CHANGES)
    for name, one in alone.items():
        wanted = expand(one)
        assert [node.key for node in found.variants[name].targets] == [node.key for node in wanted.targets]
        mine = [request for request in found.requests if request.labels["variant"] == name]
        assert [request.measure.key for request in mine] == [request.measure.key for request in wanted.requests]
        for request, other in zip(mine, wanted.requests, strict=True):
            assert list(request.labels)[:2] == ["seed", "variant"]
            assert {key: value for key, value in request.labels.items() if key != "variant"} == other.labels
        assert found.grounds[name] == wanted.grounds[""]
    assert [node.key for node in found.targets] == [n.key for one in alone.values() for n in expand(one).targets]


def test_variants_read_the_same_however_they_are_written(tmp_path: Path) -> None:
    toml = """
    [variants]
    base = {}
    "a b" = { "recipe.optimizer.lr" = 0.2, recipe.batch_size = 30 }
    [variants.c.recipe]
    optimizer.lr = 0.3
    """
    path = write(tmp_path, BRANCH)
    head = path.with_suffix(".toml")
    head.write_text(
        'family = "branch"\nname = "small"\n'
        'model = { name = "mlp", input_shape = [2], classes = 2, hidden = [7] }\n'
        'data = { name = "spiral", train = 190, test = 70 }\n'
        "recipe = { batch_size = 40, optimizer = { lr = 0.1, momentum = 0.9 } }\nevaluate = { alphas = 3 }\n"
        'branch = { at = ["0ep", "2ep"], lengths = ["1ep"] }\n' + toml,
        encoding="utf-8",
    )
    made = varied(
        BRANCH,
        {
            "base": {},
            "a b": {"recipe": {"optimizer": {"lr": 0.2}, "batch_size": 30}},
            "c": {"recipe.optimizer.lr": 0.3},
        },
    )
    found = variants(load(head))
    assert found == variants(made)
    assert {name: (one.recipe.optimizer.lr, one.recipe.batch_size) for name, one in found.items()} == {
        "base": (0.1, 40),
        "a b": (0.2, 30),
        "c": (0.3, 40),
    }
    assert all(one.recipe.optimizer.momentum == 0.9 for one in found.values())
    python = branch().model_copy(update={"variants": {"base": {}, "x": {"seeds": [3]}}})
    assert isinstance(python, BranchStudy)
    assert {name: one.seeds for name, one in variants(python).items()} == {"base": (0,), "x": (3,)}
    changed = load(head, ["recipe.optimizer.momentum=0.5", 'variants."a b".recipe.batch_size=20', "variants.d={}"])
    assert {n: (o.recipe.optimizer.momentum, o.recipe.batch_size) for n, o in variants(changed).items()} == {
        **dict.fromkeys(("base", "c", "d"), (0.5, 40)),
        "a b": (0.5, 20),
    }
    dotted = override(dict(TO_FINAL), ['variants."lr=0.1".recipe.batch_size=20'])
    assert dotted["variants"] == {"lr=0.1": {"recipe": {"batch_size": 20}}}
    fixed = from_mapping({**TO_FINAL, "variants": {"fixed": {"recipe": {"schedule": {}}}}})
    fixed = fixed.model_copy(update={"recipe": recipe(schedule={"milestones": ["1ep"], "factor": 0.5})})
    assert variants(fixed)["fixed"].recipe == recipe()  # an empty table empties, it is not merged
    assert variants(branch()) == variants(branch("variants={}")) == {}


tables = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
nested = st.dictionaries(st.sampled_from("abc"), tables, max_size=3)


def leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        found |= leaves(value, (*above, key)) if isinstance(value, dict) and value else {(*above, key): value}
    return found


@given(nested, nested)
def test_tables_are_laid_over_tables(base: dict[str, Any], changes: dict[str, Any]) -> None:
    before = (repr(base), repr(changes))
    found = laid_over(base, changes)
    assert (repr(base), repr(changes)) == before
    new = leaves(changes)
    for path, value in new.items():
        here: Any = found
        for key in path:
            here = here[key]
        assert here == value
    kept = {
        path: value
        for path, value in leaves(base).items()
        if not any(path[: len(other)] == other or other[: len(path)] == path for other in new)
    }
    assert kept.items() <= leaves(found).items()
    assert laid_over(found, changes) == found
    assert undotted({".".join(path): value for path, value in leaves(base).items()}) == laid_over({}, base)


# --- what they share --------------------------------------------------------------------------------------------------


def test_variants_that_differ_in_a_later_milestone_train_the_trunk_once(tmp_path: Path) -> None:
    changes = {f"at {at}": {"recipe": {"schedule": {"milestones": [at]}}} for at in ("11it", "12it")}
    whole = expand(varied(BRANCH, changes))
    trained = [node for node in plan(whole.targets, Store(tmp_path)).pending.values() if isinstance(node, Train)]
    trunks = [node for node in trained if isinstance(node.root, Init) and node.stop == 10]
    assert [(node.root.step, node.stop) for node in trunks] == [(0, 10)]
    later = {f"at {at}": {"recipe": {"schedule": {"milestones": [at]}}} for at in ("15it", "17it")}
    found = ran(varied(changes={"none": {}, **later}, train={"to": "4ep"}), tmp_path / "store")
    ends = {r.labels["variant"]: r.measure.path.ends[1] for r in found.expansion.requests}
    assert all(isinstance(end, Train) and end.stop == 20 for end in ends.values())
    store = Store(tmp_path / "store")
    parents = {name: set(store.get(end.key).parents) for name, end in ends.items()}
    first = ends["none"]
    assert isinstance(first, Train)
    assert parents["at 15it"] == {first.at(15).key}
    assert parents["none"] == parents["at 17it"] == {first.at(17).key}
    assert set(store.get(first.at(17).key).parents) == {first.at(15).key}
    alone = ran(to_final("train.to=4ep", 'recipe.schedule.milestones=["17it"]'), tmp_path / "other")
    assert [dict(row) | {"variant": "at 17it"} for row in alone["curves"]] == [
        dict(row) for row in found["curves"].where(variant="at 17it")
    ]


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tables_are_those_of_the_variants_one_under_the_other(family: str, tmp_path: Path) -> None:
    content = FAMILIES[family]
    changes = {name: CHANGES[name] for name in ("base", "wide", "half", "layer 1 anew", "more")}
    store = Store(tmp_path)
    found = ran(varied(content, changes), store)
    assert found["provenance"].columns[0] == "kind"
    for name in changes:
        alone = ran(from_mapping(override(content, SETS[name])), store)
        assert alone.computed == 0
        for title, table in alone.tables.items():
            if title != "provenance":
                mine = [{key: row[key] for key in table.columns} for row in found[title].where(variant=name)]
                assert mine == [dict(row) for row in table]
                assert found[title].columns[:2] in {("seed", "variant"), ("variant", *table.columns[:1])}
        assert "variant" not in {column for table in alone.tables.values() for column in table.columns}
    seeds = found["seeds"].where(quantity="start", metric="loss")
    assert {(row["variant"], row["seeds"]) for row in seeds} == {(n, 3 if n == "more" else 1) for n in changes}
    assert [row["variant"] for row in found["starts"]] == ["layer 1 anew"]
    assert found.parameters is None
    assert ran(varied(content, {"base": {}, "more": CHANGES["more"]}), store).parameters == 7 * 3 + 2 * 8


def test_what_variants_choose_is_their_own(tmp_path: Path) -> None:
    rule = {"recipe.optimizer.by_block": [{"blocks": "barrier", "factor": 0.5}]}
    before = {"to": "1ep", "recipe": {"optimizer": {"by_block": []}}}
    changes: dict[str, dict[str, Any]] = {
        "base": {},
        "scored": {"evaluate.scores": {"at": "1ep", "runs": 1, "splits": 2}},
        "by barrier": rule,
        "from a start": {**rule, "start": {"pretrain": before}},
    }
    told = Told()
    found = study.run(varied(changes=changes), tmp_path, workers=0, threads=1, display=told)
    assert [list(dict.fromkeys(found[table]["variant"])) for table in ("chosen", "splits", "scores")] == [
        ["by barrier", "from a start"],
        ["scored"],
        ["scored"],
    ]
    assert [line.partition(":")[0] for line in told.lines] == ["by barrier", "from a start"]
    whole = found.expansion.variants["from a start"]
    assert whole.chosen is not None
    assert isinstance(whole.chosen.source, PathMeasure)
    base = whole.chosen.source.path.ends[1]  # of the run whose barriers are looked at
    (final,) = (request.measure.path.ends[1] for request in whole.requests)
    assert isinstance(base, Train)
    assert isinstance(final, Train)
    assert base.root.key == final.root.key == whole.sources[0][1].state.key
    assert base.noise == final.noise
    with pytest.raises(BadStudy, match=r"^variants\.a\.start\.pretrain\.recipe\.optimizer\.by_block: expected rules"):
        expand(varied(changes={"a": {**rule, "start": {"pretrain": {"to": "1ep"}}}}))


def test_what_differs_between_variants_is_asked_for_by_variant() -> None:
    found = expand(varied(changes={name: CHANGES[name] for name in ("base", "half")}))
    assert {name: ground.steps_per_epoch for name, ground in found.grounds.items()} == {"base": PER_EPOCH, "half": 3}
    for what in ("data", "steps_per_epoch"):
        with pytest.raises(BadInput, match=r"^The variants of this study differ in their .*: look at one of expansion"):
            getattr(found, what)
    same = expand(varied(changes={name: CHANGES[name] for name in ("base", "wide", "more")}))
    assert (same.data.digest, same.steps_per_epoch) == (data().digest, PER_EPOCH)


def test_width_depth_and_normalisation_are_arguments_of_the_model(tmp_path: Path) -> None:
    changes = {
        "small": {},
        "wide": {"model.width": 3},
        "deep": {"model.name": "resnet32"},
        "layer norm": {"model": {"norm": "layer"}},
        "slow": {"recipe.schedule": {}, "recipe.optimizer.lr": 0.01},
    }
    content = {
        **TO_FINAL,
        "model": {"name": "resnet20", "width": 2, "input_shape": [1, 8, 8]},
        "data": {"name": "digits", "examples": 60},
        "evaluate": {"alphas": 2, "on": ["train:20"], "norm_stats": "interpolate"},
        "train": {"to": "1it"},
        "variants": changes,
    }
    found = ran(from_mapping(content), tmp_path)
    assert list(dict.fromkeys(found["paths"]["variant"])) == list(changes)
    starts = {row["variant"]: row["start"] for row in found["paths"].where(metric="loss")}
    assert len({starts[name] for name in ("small", "wide", "deep", "layer norm")}) == 4
    assert starts["slow"] == starts["small"]
    assert {row["norm_stats"] for row in found["paths"].where(variant="layer norm")} == {"none"}


# --- what is wrong ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "form": (
        {"decay 0": {"recipe.optimizer.weightdecay": 0}, "b": {"branch": {"at": ["x"]}, "seeds": []}},
        (
            'variants."decay 0".recipe.optimizer.weightdecay: unknown field; did you mean "weight_decay"? Known',
            "variants.b.seeds: expected distinct seeds, at least one, found none.",
            'variants.b.branch.at.0: expected a duration such as "160ep"',
        ),
    ),
    "names and lengths": (
        {"a": {"model.name": "mpl"}, "b": {"data": {"trian": 3}}, "c": {"branch": {"lengths": ["0ep"]}}, "d": {}},
        (
            "variants.a.model.name: There is no model named 'mpl'",
            "variants.b.data.trian: Data set spiral takes no argument 'trian'",
            "variants.c.branch.lengths.0: expected at least one step",
        ),
    ),
    "not its own": (
        {"a": {"name": "x", "family": "branch"}, "b.c": {"variants": {}}},
        (
            "variants.a.name: expected none, as variants share that of the study; leave it out.",
            "variants.a.family: expected none,",
            'variants."b.c".variants: expected none,',
        ),
    ),
    "no table": ({"a": 3, "b": {}}, ("variants.a: expected a table of fields, found 3.",)),
    "no name": ({" ": {}}, ("variants: expected variants with names, found an empty name.",)),
    "a start": (
        {"a": {"start": {"pretrain": {"to": "1ep", "model": {"hiden": [3]}}, "new": ["layer9"]}}},
        ("variants.a.start.pretrain.model.hiden: Model mlp",),
    ),
    "a misfit": (
        {"base": {}, "a": {"model.input_shape": [3]}},
        ("variants.a.model: mlp does not take inputs of shape [2]",),
    ),
    "a table for a value": (
        {"a": {"recipe.batch_size.x": 3}},
        ("variants.a.recipe.batch_size: expected a whole number, found {'x': 3}.",),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_variant_is_told_under_its_name(name: str, tmp_path: Path) -> None:
    changes, wanted = WRONG[name]
    with pytest.raises(BadStudy) as caught:
        study.prepare(varied(BRANCH, changes), Store(tmp_path))
    found = [problem.removeprefix("study: ") for problem in caught.value.problems]
    assert len(found) == len(wanted), found
    assert all(text.startswith(begin) for text, begin in zip(found, wanted, strict=True)), found


def test_what_is_wrong_with_the_study_is_told_once(tmp_path: Path) -> None:
    changes = {"a": {}, "b": {"seeds": [3]}, "c": {"recipe.batch_size": "many"}}

    def problems(*sets: str) -> list[str]:
        with pytest.raises(BadStudy) as caught:
            study.prepare(from_mapping(override({**BRANCH, "variants": changes}, sets)), Store(tmp_path))
        return [problem.removeprefix("study: ").partition(":")[0] for problem in caught.value.problems]

    assert problems("recipe.optimizer.lr=fast") == ["recipe.optimizer.lr", "variants.c.recipe.batch_size"]
    changes["c"] = {"branch.at": ["0ep", "0it"]}
    assert problems("data.name=sprial") == ["data.name"]
    assert problems("data.trian=3") == ["data.trian"]
    assert problems("branch.at=['1ep', '5it']") == ["branch.at.1", "variants.c.branch.at.1"]
    changes["c"] = {}
    assert problems("model.input_shape=[3]") == ["model"]


def test_data_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    with pytest.raises(MissingData, match=r"^Data set mnist needs files"):
        expand(varied(changes={"a": {}, "b": {"data": {"name": "mnist"}}}))
