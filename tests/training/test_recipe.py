"""Recipes: what is refused, what names a run, and the frozen encoding of fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isthmus.errors import BadInput
from isthmus.recipe import Augment, Optimizer, Recipe, Schedule, Until
from isthmus.spec import Duration, Spec

RECIPE = {"batch_size": 40, "optimizer": {"lr": 0.3}}


def recipe(**fields: Any) -> Recipe:
    return Recipe.model_validate(RECIPE | fields)


# --- durations

numbers = st.decimals(0, 10**6, places=7).map(lambda number: f"{number:f}")


@given(numbers, st.integers(1, 10**5))
def test_epochs_are_rounded_to_steps_with_halves_up(number: str, per_epoch: int) -> None:
    found = Duration.parse(f"{number}ep").steps(per_epoch)
    assert 0 <= Fraction(number) * per_epoch - found + Fraction(1, 2) < 1


@given(numbers, st.sampled_from(["ep", "it"]))
def test_a_duration_survives_its_text(number: str, unit: str) -> None:
    made = Duration(Fraction(number) if unit == "ep" else Fraction(int(Fraction(number))), unit)
    assert Duration.parse(str(made)) == made


@pytest.mark.parametrize(
    ("text", "shown", "steps"),
    [
        ("2ep", "2ep", 14),
        (" 0.50 ep ", "0.5ep", 4),
        ("1.5ep", "1.5ep", 11),
        ("0.00001ep", "0.00001ep", 0),
        ("100000ep", "100000ep", 700_000),
        ("500it", "500it", 500),
        ("3.0it", "3it", 3),
        ("0it", "0it", 0),
    ],
)
def test_durations_by_example(text: str, shown: str, steps: int) -> None:
    assert str(Duration.parse(text)) == shown
    assert Duration.parse(text).steps(7) == steps


@pytest.mark.parametrize("bad", ["", "5", "ep", "-1ep", "1e3it", "2 epochs", "2.5it", ".5ep", "5ep 3it", 5, None, 2.0])
def test_what_is_no_duration(bad: Any) -> None:
    with pytest.raises(BadInput, match=r"expected a (duration|whole number)") as caught:
        Duration.parse(bad)
    assert repr(bad) in str(caught.value)
    with pytest.raises(ValidationError, match=r"expected a (duration|whole number)"):
        Schedule.model_validate({"milestones": [bad]})


# --- what is refused

NUMBERS = [-0.1, math.nan, math.inf, "fast"]
WRONG_OPTIMIZERS: list[dict[str, Any]] = [
    *({"lr": value} for value in [*NUMBERS, None]),
    *({"weight_decay": value} for value in NUMBERS),
    *({"momentum": value} for value in [*NUMBERS, 1.0]),
    *({"name": "adam", "eps": value} for value in [*NUMBERS, 0.0]),
    *({"name": "adam", "betas": value} for value in [(0.9, 1.0), (-0.1, 0.9), (0.9,), 0.9, (0.9, math.nan)]),
    {"name": "adagrad"},
    {"learning_rate": 0.1},
]


@pytest.mark.parametrize("fields", WRONG_OPTIMIZERS, ids=str)
def test_optimisers_that_are_refused(fields: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Optimizer.model_validate({"lr": 0.1, **fields})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "adam", "momentum": 0.9}, "momentum and nesterov belong to sgd, found them with adam"),
        ({"name": "adamw", "nesterov": True}, "momentum and nesterov belong to sgd, found them with adamw"),
        ({"betas": (0.8, 0.999)}, "betas and eps belong to adam and adamw, found them with sgd"),
        ({"eps": 1e-7}, "betas and eps belong to adam and adamw, found them with sgd"),
        ({"nesterov": True}, "nesterov needs a momentum above 0"),
    ],
)
def test_hyperparameters_of_another_optimiser(fields: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Optimizer.model_validate({"lr": 0.1, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        *({"batch_size": value} for value in (0, -3, 2.5, None)),
        *({"precision": value} for value in ("half", "float64")),
        *({"augment": {"crop": value}} for value in (-1, 1.5)),
        {"loss": "mse"},
        {"epochs": 3},
        {"optimizer": None},
    ],
    ids=str,
)
def test_recipes_that_are_refused(fields: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        recipe(**fields)


@pytest.mark.parametrize("accuracy", [0.0, -0.5, 1.01, math.nan, "all"])
def test_accuracies_that_nothing_reaches_or_everything(accuracy: Any) -> None:
    with pytest.raises(ValidationError):
        Until(accuracy=accuracy)
    assert Until(accuracy=1.0, on="test").on == "test"


def test_a_spec_is_frozen_and_equal_by_value() -> None:
    one = recipe(schedule={"milestones": ["2ep"]})
    with pytest.raises(ValidationError, match="frozen"):
        one.batch_size = 3
    assert one == recipe(schedule=Schedule.model_validate({"milestones": ("2.0ep",)}))
    assert one != recipe()
    assert Recipe.model_validate(json.loads(json.dumps(one.model_dump(mode="json")))) == one


# --- what names a run


def test_the_least_identity() -> None:
    assert recipe().identity() == {"optimizer": {"name": "sgd"}, "batch_size": 40}


ACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "drop_last": ({"drop_last": True}, {"drop_last": True}),
    "bf16": ({"precision": "bf16"}, {"precision": "bf16"}),
    "loss": ({"loss": "binary_cross_entropy"}, {"loss": "binary_cross_entropy"}),
    "crop": ({"augment": {"crop": 4}}, {"augment": {"crop": 4}}),
    "flip": ({"augment": Augment(flip=True)}, {"augment": {"flip": True}}),
    "momentum": ({"optimizer": {"lr": 1, "momentum": 0.9}}, {"optimizer": {"name": "sgd", "momentum": 0.9}}),
    "nesterov": (
        {"optimizer": {"lr": 1, "momentum": 0.8, "nesterov": True}},
        {"optimizer": {"name": "sgd", "momentum": 0.8, "nesterov": True}},
    ),
    "decay": ({"optimizer": {"lr": 1, "weight_decay": 5e-4}}, {"optimizer": {"name": "sgd", "weight_decay": 5e-4}}),
    "adam": (
        {"optimizer": {"lr": 1, "name": "adam", "betas": [0.8, 0.99], "eps": 1e-6}},
        {"optimizer": {"name": "adam", "betas": [0.8, 0.99], "eps": 1e-6}},
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_field_is_named_exactly_when_it_is_not_the_frozen_value(name: str) -> None:
    fields, named = ACTS[name]
    assert recipe(**fields).identity() == {"optimizer": {"name": "sgd"}, "batch_size": 40, **named}


def test_learning_rates_are_no_part_of_it_as_they_enter_by_their_values() -> None:
    scheduled = recipe(optimizer={"lr": 9}, schedule={"warmup": "3it", "cosine": "9ep"})
    assert scheduled.identity() == recipe().identity()


def test_precision_auto_names_nothing_until_it_is_resolved() -> None:
    auto = recipe(precision="auto")
    with pytest.raises(BadInput, match="Resolve the precision"):
        auto.identity()
    assert auto.resolved(bf16=True) == recipe(precision="bf16")
    assert auto.resolved(bf16=False) == recipe()
    for precision in ("float32", "bf16"):
        assert recipe(precision=precision).resolved(bf16=precision == "float32") == recipe(precision=precision)


def test_a_default_may_change_without_two_values_sharing_a_name() -> None:
    class Before(Spec):
        width: int
        depth: int = 3
        FROZEN: ClassVar[Mapping[str, Any]] = {"depth": 3}

    class After(Before):  # the default has moved, and a field was added
        depth: int = 5
        inner: Augment = Augment()
        FROZEN: ClassVar[Mapping[str, Any]] = {"depth": 3, "inner": {}}

    assert Before(width=2).identity() == After(width=2, depth=3).identity() == {"width": 2}
    assert After(width=2).identity() == Before(width=2, depth=5).identity() == {"width": 2, "depth": 5}
    assert After(width=2, depth=3, inner=Augment(crop=1)).identity() == {"width": 2, "inner": {"crop": 1}}


# --- arithmetic


@given(st.integers(1, 500), st.integers(1, 120), st.booleans())
def test_steps_an_epoch_by_counting_batches(examples: int, batch: int, drop_last: bool) -> None:
    sizes = [len(range(examples)[begin : begin + batch]) for begin in range(0, examples, batch)]
    whole = [size for size in sizes if size == batch]
    expected = len(whole) if drop_last and whole else len(sizes)  # fewer examples than a batch are one batch
    assert recipe(batch_size=batch, drop_last=drop_last).steps_per_epoch(examples) == expected


def test_no_examples_have_no_epoch() -> None:
    with pytest.raises(BadInput, match="at least one example, found 0"):
        recipe().steps_per_epoch(0)


def test_rates_are_the_factors_times_the_learning_rate() -> None:
    dropping = recipe(schedule={"milestones": ["2ep"], "factor": 0.5})
    assert dropping.rates(12, 16, 7).tolist() == [0.3, 0.3, 0.15, 0.15]
    assert recipe().rates(5, 5, 7).shape == (0,)
    assert recipe(optimizer={"lr": 0}).rates(0, 2, 7).tolist() == [0.0, 0.0]
    assert np.array_equal(dropping.rates(0, 20, 7)[12:16], dropping.rates(12, 16, 7))


def test_what_augments() -> None:
    assert [Augment(**fields).acts for fields in ({}, {"crop": 1}, {"flip": True})] == [False, True, True]
