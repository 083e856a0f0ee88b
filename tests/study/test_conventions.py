"""A study again under other conventions: what changes, in every variant, and what is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isthmus.errors import BadInput
from isthmus.nodes import Train
from isthmus.store import Store
from isthmus.study import BranchStudy, Study, from_mapping, variants
from isthmus.study.conventions import Convention, beside, conventions, laid_over_all, sign
from isthmus.study.files import override
from isthmus.tables import Table
from small_studies import BRANCH, TO_FINAL, branch, ran

NORMED = {**BRANCH, "model": {"name": "small_studies:normed"}, "branch": {"at": ["3it"], "lengths": ["4it"]}}
MODES = ("recompute", "interpolate", "batch", "keep", "init")


def normed(*sets: str) -> Study:
    return from_mapping(override(NORMED, ["evaluate.stats_batch=32", "evaluate.stats_examples=100", *sets]))


def names(found: list[Convention]) -> list[str]:
    return [one.name for one in found]


def test_every_convention_that_is_not_the_studys_own() -> None:
    found, told = conventions(normed("merge={}"))
    assert names(found) == [f"norm_stats {mode}" for mode in MODES[1:]] + ["buffers keep"]
    assert told == []
    for one, mode in zip(found, MODES[1:], strict=False):
        assert one.study.evaluate.norm_stats == mode
        assert one.study.evaluate.stats_batch == 32
        back = one.study.model_dump() | {"evaluate": normed().evaluate.model_dump()}
        assert back == normed("merge={}").model_dump()
    last = found[-1].study
    assert isinstance(last, BranchStudy)
    assert last.merge is not None
    assert (last.branch.buffers, last.merge.buffers) == ("keep", "keep")
    averaged = conventions(normed('merge={after="1ep", every="1ep"}'))[0]
    assert names(averaged)[-2:] == ["buffers keep", "buffers average"]
    last = averaged[-1].study
    assert isinstance(last, BranchStudy)
    assert last.merge is not None
    assert (last.branch.buffers, last.merge.buffers) == ("keep", "average")
    mixed = conventions(normed('merge.buffers="keep"', "evaluate.norm_stats=batch"))[0]
    assert names(mixed)[-2:] == ["buffers keep", "buffers reset"]
    assert "norm_stats batch" not in names(mixed)
    alone = conventions(normed("branch.buffers=keep"))[0][-1]
    assert alone.name == "buffers reset"
    assert isinstance(alone.study, BranchStudy)
    assert alone.study.merge is None  # it has none, so it is given none


def test_some_of_the_conventions_by_name_or_kind() -> None:
    study = normed('merge={after="1ep", every="1ep"}')
    assert names(conventions(study, ["buffers"])[0]) == ["buffers keep", "buffers average"]
    wanted = ["norm_stats init", "buffers average"]
    assert names(conventions(study, wanted)[0]) == wanted
    assert conventions(study, ["norm_stats recompute"])[0] == []  # the study's own
    with pytest.raises(
        BadInput, match=r"^There is no convention 'norm': expected norm_stats, buffers or one of norm_st"
    ):
        conventions(study, ["buffers", "norm"])


def test_what_makes_no_difference_is_left_out_and_told() -> None:
    found, told = conventions(branch("recipe.optimizer.momentum=0"))
    assert found == []
    assert told == [
        "No network has running statistics: norm_stats makes no difference and is left out.",
        "The optimiser has no buffers: keeping or resetting them makes no difference and is left out.",
    ]
    assert names(conventions(branch())[0]) == ["buffers keep"]
    adam = branch("recipe.optimizer.momentum=0", "recipe.optimizer.name=adam")
    assert names(conventions(adam)[0]) == ["buffers keep"]
    walk = {**TO_FINAL, "model": {"name": "small_studies:normed"}}
    found, told = conventions(from_mapping(walk))
    assert names(found) == [f"norm_stats {mode}" for mode in MODES[1:]]
    top = override(walk, ['start={pretrain={to="1ep"}, at="top"}'])
    assert conventions(from_mapping(top))[1][0].startswith("Blocks or tops of barriers are looked for by")


def test_variants_that_differ_in_norm_stats_are_not_made_the_same() -> None:
    variants = {"one": {}, "other": {"evaluate": {"norm_stats": "init"}}}
    found, told = conventions(from_mapping({**NORMED, "variants": variants}))
    assert names(found) == ["buffers keep"]
    assert told == ["The variants differ in norm_stats themselves, which is left out."]


def test_one_network_with_normalisation_layers_is_enough() -> None:
    plain = {"name": "mlp", "input_shape": [2], "classes": 2, "hidden": [7]}
    two: dict[str, Any] = {"plain": {}, "normed": {"start": {"file": "weights.pt"}}}
    alone, _ = conventions(from_mapping({**BRANCH, "model": plain, "variants": two}))
    assert names(alone) == ["buffers keep"]
    two["normed"] = {"model": {"name": "vgg11", "norm": "batch", "width": 4}}
    both, _ = conventions(
        from_mapping({**BRANCH, "model": {"name": "vgg11", "norm": "none", "width": 4}, "variants": two})
    )
    assert names(both) == [f"norm_stats {mode}" for mode in MODES[1:]] + ["buffers keep"]
    two["plain"] = {"evaluate": {"norm_stats": "keep"}}
    mixed, _ = conventions(
        from_mapping({**BRANCH, "model": {"name": "vgg11", "norm": "none", "width": 4}, "variants": two})
    )
    assert names(mixed)[0] == "norm_stats recompute"  # which is the second variant's own alone


VARIANTS: dict[str, Any] = {
    "base": {},
    "dotted": {"evaluate.norm_stats": "keep", "branch.buffers": "keep"},
    "nested": {"evaluate": {"norm_stats": "init", "alphas": 5}},
    "as by default": {"merge": {}},
    "without": {"merge": None},
}


def test_a_change_reaches_every_variant_whatever_it_says() -> None:
    study = normed('merge={at=["4it"], after="4it", every="2it"}')
    study = from_mapping(study.model_dump(exclude_unset=True) | {"variants": VARIANTS})
    changes: dict[str, dict[str, Any]] = {
        "evaluate": {"norm_stats": "batch"},
        "merge": {"buffers": "average"},
        "start": {"at": 0.5},
    }
    found = variants(laid_over_all(study, changes))
    assert list(found) == list(VARIANTS)
    for name, before in variants(study).items():
        one = found[name]
        assert isinstance(one, BranchStudy)
        assert isinstance(before, BranchStudy)
        assert one.evaluate == before.evaluate.model_copy(update={"norm_stats": "batch"})
        assert one.branch == before.branch
        assert one.start is None
        if before.merge is None:
            assert one.merge is None
        else:
            assert one.merge == before.merge.model_copy(update={"buffers": "average"})
    assert found["as by default"].model_dump()["merge"]["after"] is None
    assert found["nested"].evaluate.alphas == 5


def test_other_statistics_train_nothing_and_keys_are_those_of_the_study_so_written(tmp_path: Path) -> None:
    study = normed('merge={after="4it", every="2it"}')
    ran(study, tmp_path)
    store = Store(tmp_path)

    def trained() -> int:
        return sum(store.get(key).kind == Train.kind for key in list(store.keys()))

    before = trained()
    for one in conventions(study)[0]:
        computed = ran(one.study, store).computed
        assert computed > 0
        assert (trained() == before) == one.name.startswith("norm_stats")
    direct = normed('merge={after="4it", every="2it"}', "evaluate.norm_stats=init")
    assert ran(direct, store).computed == 0


def test_means_beside_those_of_the_studys_own_convention() -> None:
    def seeds(midpoint: float, chord: float) -> Table:
        common = {"k": "1ep", "metric": "loss", "low": -1.0, "high": 1.0, "seeds": 3}
        numbers = {"midpoint": midpoint, "chord": chord}
        return Table.of({**common, "quantity": name, "mean": value} for name, value in numbers.items())

    found = beside({"default": seeds(0.2, 0.3), "norm_stats init": seeds(-0.1, 0.9), "other": seeds(0.4, 0.0)})
    assert [
        (row["convention"], row["quantity"], row["mean"], row["default_mean"], row["sign_differs"]) for row in found
    ] == [
        ("default", "midpoint", 0.2, 0.2, False),
        ("default", "chord", 0.3, 0.3, None),
        ("norm_stats init", "midpoint", -0.1, 0.2, True),
        ("norm_stats init", "chord", 0.9, 0.3, None),
        ("other", "midpoint", 0.4, 0.2, False),
        ("other", "chord", 0.0, 0.3, None),
    ]
    assert [sign(value) for value in (-2.0, 0.0, 0.5, float("nan"), None, float("-inf"))] == [-1, 0, 1, None, None, -1]
