"""``evaluate.networks_on``: single networks on other parts of the data than paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.errors import BadStudy
from isthmus.study import expand, from_mapping, run
from isthmus.study.files import override
from small_studies import BRANCH, TO_FINAL, branch, to_final


def test_initial_and_final_networks_of_a_line_are_evaluated_on_their_own_parts(tmp_path: Path) -> None:
    study = to_final('evaluate.on=["test:30"]', 'evaluate.networks_on=["test", "train:50"]', "seeds=[3, 8]")
    found = run(study, tmp_path / "store", workers=0)
    networks = found["networks"]
    assert [(row["seed"], row["network"], row["split"], row["examples"]) for row in networks] == [
        (seed, network, split, examples)
        for seed in (3, 8)
        for network in ("initial", "final")
        for split, examples in (("test", 70), ("train:50", 50))
    ]
    whole = run(to_final("seeds=[3, 8]"), tmp_path / "store", workers=0)  # the same line on the whole test set
    assert set(found["paths"]["examples"]) == {30}
    for seed in (3, 8):
        (error,) = whole["paths"].where(seed=seed, metric="error")
        for network, end in (("initial", "start"), ("final", "end")):
            (row,) = networks.where(seed=seed, network=network, split="test")
            assert row["error"] == error[end]
            assert row["accuracy"] == 1.0 - error[end]
    means = found["seeds"].where(lambda row: row.get("network") == "final" and row["split"] == "test")
    (mean,) = (row["mean"] for row in means if row["quantity"] == "accuracy")
    both = [row["accuracy"] for row in networks.where(network="final", split="test")]
    assert mean == pytest.approx(sum(both) / 2, rel=1e-15)


def test_without_it_a_line_has_no_networks_and_is_named_as_before() -> None:
    plain = expand(to_final())
    more = expand(to_final('evaluate.networks_on=["test"]'))
    assert {request.table for request in plain.requests} == {"paths"}
    assert {node.key for node in plain.targets} < {node.key for node in more.targets}


def test_of_copies_the_networks_move_and_the_lines_stay() -> None:
    plain, more = (
        expand(branch('merge={after="1ep", every="1ep"}', 'evaluate.on=["test:30"]', *sets))
        for sets in ((), ('evaluate.networks_on=["train:40", "test"]',))
    )
    lines = [[r.measure.key for r in one.requests if r.table == "pairs"] for one in (plain, more)]
    assert lines[0] == lines[1]
    assert {r.labels["split"] for r in more.requests if r.table == "networks"} == {"train:40", "test"}
    assert {r.labels["split"] for r in plain.requests if r.table == "networks"} == {"test:30"}


@pytest.mark.parametrize("content", [BRANCH, TO_FINAL])
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ('["test", "test"]', "expected distinct parts, at least one, found test more than once"),
        ("[]", "expected distinct parts, at least one, found none"),
        ('["tset"]', "tset"),
    ],
)
def test_parts_that_are_none(content: dict[str, object], value: str, sentence: str) -> None:
    with pytest.raises(BadStudy, match=r"evaluate\.networks_on") as found:
        from_mapping(override(content, [f"evaluate.networks_on={value}"]))
    assert sentence in str(found.value)
