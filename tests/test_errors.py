"""The tree of errors: what is what, exit codes, sentences, and the way through a process boundary."""

from __future__ import annotations

import pickle

import pytest

from isthmus import errors
from isthmus.errors import (
    BadData,
    BadInput,
    BadStudy,
    BadWeights,
    Conflict,
    Damaged,
    Interrupted,
    IsthmusError,
    IsthmusWarning,
    MissingData,
    RunFailed,
    UnknownName,
    nearest,
)

ALL = [
    IsthmusError("a"),
    BadInput("a"),
    BadStudy(["lr: expected a number.", "k: negative."]),
    BadData("a"),
    MissingData("a"),
    BadWeights("a"),
    UnknownName("model", "resnet2", ["resnet20", "mlp"]),
    Conflict("a"),
    Damaged("a"),
    RunFailed("a"),
    Interrupted("a"),
]


def test_everything_public_is_listed_and_nothing_else() -> None:
    defined = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert defined == set(errors.__all__)
    assert sorted(errors.__all__) == list(errors.__all__)


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_exit_codes_follow_the_tree(error: IsthmusError) -> None:
    expected = 2 if isinstance(error, BadInput) else 130 if isinstance(error, Interrupted) else 1
    assert error.exit_code == expected
    assert isinstance(error, ValueError) == isinstance(error, BadInput)


def test_the_tree() -> None:
    assert issubclass(MissingData, BadData)
    inputs: list[type[IsthmusError]] = [BadStudy, BadData, BadWeights, UnknownName]
    for kind in inputs:
        assert issubclass(kind, BadInput)
    others: list[type[IsthmusError]] = [Conflict, Damaged, RunFailed, Interrupted]
    for kind in others:
        assert issubclass(kind, IsthmusError)
        assert not issubclass(kind, BadInput)
    assert issubclass(IsthmusWarning, UserWarning)
    assert not issubclass(IsthmusWarning, IsthmusError)


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_an_error_from_a_worker_process_arrives_whole(error: IsthmusError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_a_study_holds_all_its_problems_one_a_line() -> None:
    error = BadStudy(f"problem {i}." for i in range(3))
    assert error.problems == ("problem 0.", "problem 1.", "problem 2.")
    assert str(error) == "problem 0.\nproblem 1.\nproblem 2."


def test_an_unknown_name_offers_the_nearest() -> None:
    error = UnknownName("model", "resnet2", (name for name in ["resnet20", "mlp"]))
    assert str(error) == "There is no model named 'resnet2'; did you mean \"resnet20\"? Known: mlp, resnet20."
    assert (error.name, error.known) == ("resnet2", ("mlp", "resnet20"))


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("zzz", ["mlp", "lenet5"], ". Known: lenet5, mlp."),
        ("zzz", [], "."),
        ("lenet", ["mlp", "lenet5"], '; did you mean "lenet5"? Known: lenet5, mlp.'),
    ],
)
def test_nearest(name: str, known: list[str], expected: str) -> None:
    assert nearest(name, known) == expected


def test_nearest_stays_one_sentence_for_a_network_with_many_tensors() -> None:
    known = [f"layer{i:03}.weight" for i in range(321)]
    tail = nearest("layer007.wieght", known)
    assert tail.startswith('; did you mean "layer007.weight"? Known: layer000.weight, ')
    assert tail.endswith(", layer019.weight and 301 more.")
    assert nearest("q", [f"{i:02}" for i in range(21)]).endswith(", 18, 19 and 1 more.")
    assert nearest("q", [f"{i:02}" for i in range(20)]).endswith(", 18, 19.")
