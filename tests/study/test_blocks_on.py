"""``train.blocks_on``: along which paths blocks move alone."""

from __future__ import annotations

import pytest

from isthmus.errors import BadStudy
from isthmus.study import expand
from small_studies import to_final

BOTH = ('train.paths=["initial->final", "fresh->final"]', 'train.blocks="all"')


def paths(*sets: str) -> list[tuple[str, str]]:
    return [(r.labels["path"], r.labels["block"]) for r in expand(to_final(*BOTH, *sets)).requests]


def test_blocks_move_on_the_paths_that_are_named() -> None:
    blocks = ("all", "layer1", "layer2")
    assert paths() == [(path, block) for path in ("initial->final", "fresh->final") for block in blocks]
    for path in ("initial->final", "fresh->final"):
        found = paths(f'train.blocks_on=["{path}"]')
        other = "fresh->final" if path == "initial->final" else "initial->final"
        assert sorted(found) == sorted([*((path, block) for block in blocks), (other, "all")])


def test_the_same_measurements_have_the_same_names() -> None:
    every, some = (
        {(r.labels["path"], r.labels["block"]): r.measure.key for r in expand(to_final(*BOTH, *sets)).requests}
        for sets in ((), ('train.blocks_on=["fresh->final"]',))
    )
    assert some.items() < every.items()


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (('train.blocks="all"', 'train.blocks_on=["final->fresh"]'), "found final->fresh"),
        (('train.blocks="all"', 'train.blocks_on=["initial->fresh"]'), "found initial->fresh"),
        (('train.blocks_on=["initial->final"]',), "expected blocks beside blocks_on, found none"),
        (('train.blocks="all"', "train.blocks_on=[]"), "expected distinct paths, at least one, found none"),
    ],
)
def test_paths_that_have_no_blocks(sets: tuple[str, ...], sentence: str) -> None:
    whole = ('train.paths=["initial->final", "initial->fresh"]', *sets)
    with pytest.raises(BadStudy) as found:
        to_final(*whole)
    assert sentence in str(found.value)
