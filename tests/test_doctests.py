"""Every example in every docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

import isthmus

MODULES = ["isthmus", *(found.name for found in pkgutil.walk_packages(isthmus.__path__, "isthmus."))]


def examples(name: str) -> list[doctest.DocTest]:
    if name.endswith("__main__"):  # loading it runs the command line
        return []
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder().find(module, name) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    tests = examples(name)
    source = importlib.util.find_spec(name)
    assert source is not None
    assert source.origin is not None
    with open(source.origin, encoding="utf-8") as file:
        written = sum(line.lstrip().startswith(">>> ") for line in file)
    assert sum(len(test.examples) for test in tests) == written  # the finder passes over what it cannot reach
    runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
    with torch.random.fork_rng():
        for test in tests:
            said: list[str] = []
            runner.run(test, out=said.append)
            assert not said, "".join(said)
