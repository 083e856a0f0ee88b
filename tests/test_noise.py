"""Noise is a pure function of (seed, stream, epoch or step): checked against Philox's definition, and pinned."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import noise
from isthmus.hashing import digest_fields
from isthmus.noise import Noise

PINNED = (
    "A pinned draw moved: every training run changes with it. There is no good reason to update it, short of a"
    " release that means to orphan all stored results."
)

seeds = st.integers(0, 2**63 - 1)
epochs = st.integers(0, 10**6)


def philox(key: tuple[int, int], count: int) -> list[int]:
    """Philox4x64-10 by its definition (Salmon et al. 2011), the counter starting at 1 as numpy's does."""
    found: list[int] = []
    mask, counter = 2**64 - 1, 1
    while len(found) < count:
        c = [(counter >> (64 * i)) & mask for i in range(4)]
        k = list(key)
        for _ in range(10):
            first, second = c[0] * 0xD2E7470EE14C6C93, c[2] * 0xCA5A826395121157
            c = [(second >> 64) ^ c[1] ^ k[0], second & mask, (first >> 64) ^ c[3] ^ k[1], first & mask]
            k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
        found += c
        counter += 1
    return found[:count]


@given(seeds, epochs, st.integers(0, 13))
def test_words_are_philox_under_the_hash_of_the_fields(seed: int, epoch: int, count: int) -> None:
    key = digest_fields("isthmus.noise", seed, "order", epoch)
    expected = philox((int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")), count)
    assert noise.words(count, seed, "order", epoch).tolist() == expected


def test_pinned_words_and_seeds() -> None:
    assert noise.words(5, 7, "order", 3).tolist() == [
        12343976747220204294,
        7229616512925337697,
        4910611542626995276,
        16203891618608077696,
        577530306181170661,
    ], PINNED
    assert noise.order(8, 7, "order", 3).tolist() == [4, 6, 2, 1, 0, 5, 7, 3], PINNED
    assert noise.derive(3, "child", 2) == 3904862334265791239, PINNED


def test_pinned_uniform_and_normal() -> None:
    assert noise.uniform(3, 7, "x").tolist() == [0.545554866145729, 0.8998357379689227, 0.9403019242384683], PINNED
    expected = [1.1686076819259608, -0.4540026047174985, -0.4601220123309419]
    # log, cos and sin may differ in their last bits from one mathematical library to the next
    assert noise.normal(3, 7, "x").tolist() == pytest.approx(expected, rel=1e-14), PINNED


def test_pinned_streams() -> None:
    assert Noise.of(11).dropout_seed(42) == 5423046504642839759, PINNED
    three = Noise(1, 2, 3)
    assert three.augmentation_words(2, 5, "flip").tolist() == [13121520388206713199, 102782250152159524], PINNED
    assert three.epoch_order(6, 4).tolist() == [1, 5, 2, 0, 3, 4], PINNED


@given(seeds, st.integers(0, 40), st.integers(0, 40))
def test_fewer_words_are_the_beginning_of_more(seed: int, few: int, more: int) -> None:
    few, more = sorted((few, more))
    assert (noise.words(few, seed, "s") == noise.words(more, seed, "s")[:few]).all()
    assert (noise.uniform(few, seed, "s") == noise.uniform(more, seed, "s")[:few]).all()


@given(seeds, st.integers(0, 50))
def test_uniform_is_the_top_53_bits(seed: int, count: int) -> None:
    expected = [(word >> 11) / 2**53 for word in noise.words(count, seed).tolist()]
    assert noise.uniform(count, seed).tolist() == expected
    assert all(0 <= value < 1 for value in expected)


@given(seeds, st.integers(0, 31))
def test_normal_is_box_and_muller(seed: int, count: int) -> None:
    half = (count + 1) // 2
    u = noise.uniform(2 * half, seed, "n").tolist()
    radius = [math.sqrt(-2 * math.log1p(-value)) for value in u[:half]]
    expected = [r * math.cos(2 * math.pi * v) for r, v in zip(radius, u[half:])]
    expected += [r * math.sin(2 * math.pi * v) for r, v in zip(radius, u[half:])]
    # 1e-13: a few roundings of magnitudes up to 9
    assert noise.normal(count, seed, "n").tolist() == pytest.approx(expected[:count], abs=1e-13)


def test_normal_has_the_moments_of_a_standard_normal() -> None:
    count = 200_001
    x = noise.normal(count, 20, "moments")
    assert x.shape == (count,)
    assert abs(x.mean()) < 5 / math.sqrt(count)  # five standard errors each
    assert abs(x.var() - 1) < 5 * math.sqrt(2 / count)
    assert abs((x**3).mean()) < 5 * math.sqrt(15 / count)
    inside = float((np.abs(x) < 1.0).mean())
    share = math.erf(1 / math.sqrt(2))
    assert abs(inside - share) < 5 * math.sqrt(share * (1 - share) / count)


@given(seeds, epochs, st.integers(0, 300))
def test_an_order_is_a_permutation_and_sorts_its_words(seed: int, epoch: int, examples: int) -> None:
    found = Noise.of(seed).epoch_order(examples, epoch)
    assert found.dtype == np.int64
    assert sorted(found.tolist()) == list(range(examples))
    words = noise.words(examples, seed, "order", epoch).tolist()
    assert found.tolist() == sorted(range(examples), key=words.__getitem__)


def test_every_place_in_an_order_is_equally_likely() -> None:
    counts = np.zeros((5, 5))
    for epoch in range(4000):
        counts[np.arange(5), noise.order(5, 17, "fair", epoch)] += 1
    chi_square = float(((counts - 800) ** 2 / 800).sum())
    assert chi_square < 45  # 16 degrees of freedom: 39.3 is the 99.9 % point


@given(seeds, seeds, epochs, epochs)
def test_orders_differ_between_children_and_between_epochs(a: int, b: int, s: int, t: int) -> None:
    one, other = Noise.of(a).epoch_order(64, s), Noise.of(b).epoch_order(64, t)
    assert (one == other).all() == ((a, s) == (b, t))


def test_no_two_streams_coincide() -> None:
    """All streams of many seeds and epochs that lie close together: not one word in common."""
    streams = {}
    for seed in range(12):
        own = Noise.of(seed)
        for epoch in range(12):
            streams[seed, "order", epoch] = noise.words(4, seed, "order", epoch)
            for draw in ("crop-y", "crop-x", "flip"):
                streams[seed, draw, epoch] = own.augmentation_words(4, epoch, draw)
            streams[seed, "dropout", epoch] = np.array([own.dropout_seed(epoch)], dtype=np.uint64)
            streams[seed, "init", epoch] = np.array([noise.derive(seed, "init", epoch)], dtype=np.uint64)
    found = np.concatenate(list(streams.values()))
    assert len(np.unique(found)) == len(found)


def test_neighbouring_streams_are_uncorrelated() -> None:
    count = 20_000
    draws = [noise.uniform(count, 5, "order", epoch) for epoch in range(4)]
    draws += [noise.uniform(count, 6, "order", 0), noise.uniform(count, 5, "augmentation", 0)]
    for one, other in combinations(draws, 2):
        assert abs(float(np.corrcoef(one, other)[0, 1])) < 5 / math.sqrt(count)


@given(st.lists(st.integers() | st.text(st.characters(codec="utf-8")), max_size=4))
def test_a_derived_seed_is_the_top_of_the_hash(parts: list[int | str]) -> None:
    found = noise.derive(*parts)
    assert found == int.from_bytes(digest_fields("isthmus.seed", *parts)[:8], "little") // 2
    assert 0 <= found < 2**63


@given(seeds, seeds, seeds, seeds, st.integers(0, 500))
def test_each_stream_depends_on_its_own_seed_alone(a: int, b: int, c: int, new: int, at: int) -> None:
    base = Noise(a, b, c)

    def draws(of: Noise) -> tuple[list[int], list[int], int]:
        return of.epoch_order(40, at).tolist(), of.augmentation_words(4, at, "flip").tolist(), of.dropout_seed(at)

    changed = [base.but(order=new), base.but(augmentation=new), base.but(dropout=new)]
    for index, (other, old) in enumerate(zip(changed, (a, b, c))):
        same = [x == y for x, y in zip(draws(base), draws(other))]
        assert same == [i != index or new == old for i in range(3)]


def test_but_and_of_and_describe() -> None:
    assert Noise.of(7) == Noise(order=7, augmentation=7, dropout=7)
    assert Noise(4, 5, 6).but() == Noise(4, 5, 6)
    assert Noise(4, 5, 6).but(order=0) == replace(Noise(4, 5, 6), order=0)
    assert Noise(4, 5, 6).but(augmentation=0, dropout=0) == Noise(4, 0, 0)
    assert Noise(4, 5, 6).describe() == {"order": 4, "augmentation": 5, "dropout": 6}


def test_augmentation_words_belong_to_examples_not_to_positions() -> None:
    own = Noise(1, 2, 3)
    assert (own.augmentation_words(50, 9, "flip") == own.but(order=99).augmentation_words(50, 9, "flip")).all()
    assert (own.augmentation_words(20, 9, "flip") == own.augmentation_words(50, 9, "flip")[:20]).all()


def test_global_generators_are_neither_read_nor_advanced() -> None:
    np.random.seed(3)  # noqa: NPY002 - the state that must stay as it is
    random.seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # noqa: NPY002
    first = noise.words(9, 1, "a").tolist(), noise.normal(9, 1).tolist(), noise.order(9, 1).tolist(), noise.derive(1)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before  # type: ignore[index]  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    again = noise.words(9, 1, "a").tolist(), noise.normal(9, 1).tolist(), noise.order(9, 1).tolist(), noise.derive(1)
    assert again == first


def test_nothing_is_drawn_for_nothing() -> None:
    for found in (noise.words(0, 1), noise.uniform(0, 1), noise.normal(0, 1), noise.order(0, 1)):
        assert found.shape == (0,)
