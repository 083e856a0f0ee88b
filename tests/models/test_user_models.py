"""Networks named ``package.module:factory``: building them, their blocks, and the digest of their source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from isthmus import models, usercode
from isthmus.errors import BadInput, UnknownName

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """Writes a module whose name is the test's own, so that no two tests import the same."""
    monkeypatch.syspath_prepend(tmp_path)
    base = "user_" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]

    def write(source: str, package: str | None = None) -> str:
        folder = tmp_path
        if package is not None:
            folder = tmp_path / base
            folder.mkdir()
            (folder / "__init__.py").write_text(package)
        name = "nets" if package is not None else base
        (folder / f"{name}.py").write_text(source)
        return f"{base}.nets" if package is not None else base

    return write


NET = """
from torch import nn

class Net(nn.Module):
    '''A small network.

    With a second line.
    '''
    def __init__(self, width=3, *, depth: int = 2):
        super().__init__()
        self.scale = nn.Parameter(nn.Linear(1, width).bias.detach())
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.act = nn.ReLU()
        self.head = nn.Linear(width, 2)
"""


def test_built_with_its_arguments_and_described(write: Write) -> None:
    name = f"{write(NET)}:Net"
    model = models.initialise(name, 4, width=5, depth=3)
    assert models.count_parameters(model) == 5 + 3 * 30 + 12
    again = models.initialise(name, 4, width=5, depth=3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
    assert models.describe(name) == "A small network. Arguments: width=3, depth=2."


def test_blocks_default_to_the_children_that_have_tensors(write: Write) -> None:
    name = f"{write(NET)}:Net"
    expected = {"scale": ("scale",), "blocks": ("blocks.*",), "head": ("head.*",)}
    assert models.blocks(name, models.build(name)) == expected


@pytest.mark.parametrize("declaration", ["blocks = {mapping}", "def blocks(self): return {mapping}"])
def test_blocks_can_be_declared(write: Write, declaration: str) -> None:
    mapping = "{'low': '0.*', 'high': ['1.*', '2.*']}"
    source = f"from torch import nn\nclass Net(nn.Sequential):\n    {declaration.format(mapping=mapping)}\n"
    source += "def make(): return Net(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))\n"
    name = f"{write(source)}:make"
    assert models.blocks(name, models.build(name)) == {"low": ("0.*",), "high": ("1.*", "2.*")}


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("{'low': '0.*'}", "expected the tensor 1.weight in exactly one block, found it in none."),
        ("{'low': '0.*', 'all': '*'}", "expected the tensor 0.weight in exactly one block, found it in low and all."),
    ],
)
def test_declared_blocks_have_to_be_a_partition(write: Write, mapping: str, expected: str) -> None:
    source = f"from torch import nn\nclass Net(nn.Sequential):\n    blocks = {mapping}\n"
    source += "def make(): return Net(nn.Linear(2, 3), nn.Linear(3, 1))\n"
    name = f"{write(source)}:make"
    with pytest.raises(BadInput) as caught:
        models.blocks(name, models.build(name))
    assert str(caught.value) == f"Model {name}: {expected}"


@pytest.mark.parametrize(
    ("source", "arguments", "expected"),
    [
        ("def make(width): ...", {"widht": 3}, "takes no argument 'widht'; did you mean \"width\"?"),
        ("def make(width): ...", {}, "needs the argument 'width'"),
        ("def make(): return 7", {}, "expected the factory to return a torch.nn.Module, found int."),
        ("def make(): raise KeyError('x')", {}, "the factory raised KeyError: 'x'."),
        ("make = 3", {}, "expected a function or class that returns a module, found 3."),
        (
            "import no_such_module_at_all",
            {},
            "failed with ModuleNotFoundError: No module named 'no_such_module_at_all'",
        ),
        ("1 / 0", {}, "failed with ZeroDivisionError"),
        ("def mkae(): ...", {}, "named 'make'; did you mean \"mkae\"?"),
    ],
)
def test_what_goes_wrong_is_one_sentence(write: Write, source: str, arguments: dict[str, int], expected: str) -> None:
    module = write(source)
    with pytest.raises(BadInput) as caught:
        models.build(f"{module}:make", **arguments)
    assert expected in str(caught.value)
    assert module in str(caught.value)


def test_any_keyword_is_passed_on_where_the_factory_takes_any(write: Write) -> None:
    source = "from torch import nn\ndef make(**given): return nn.Linear(given['name'], given['n'])"
    model = models.build(f"{write(source)}:make", n=4, name=3)
    assert isinstance(model, nn.Linear)
    assert model.weight.shape == (4, 3)


def test_digest_is_the_files_and_nothing_is_run(write: Write, tmp_path: Path) -> None:
    source = "raise RuntimeError('run')\ndef make(): ...\n"
    module = write(source, package="raise RuntimeError('run')")
    assert models.source_digest(f"{module}:make") == hashlib.sha256(source.encode()).hexdigest()


def test_digest_changes_with_the_source(write: Write) -> None:
    module = write("def make(): return 1")
    before = models.source_digest(f"{module}:make")
    write("def make(): return 2")
    assert models.source_digest(f"{module}:make") != before


@pytest.mark.parametrize(
    "declare", ["def make(): {body}\nmake.{version}", "class make:\n    {version}\n    x = {body!r}"]
)
def test_a_declared_version_answers_for_the_source(write: Write, declare: str) -> None:
    def digest(version: str, body: str) -> str:
        statement = f"__isthmus_version__ = {version!r}"
        return models.source_digest(f"{write(declare.format(version=statement, body=body))}:make")

    assert digest("1", "pass") == digest("1", "return")
    assert digest("1", "pass") != digest("2", "pass")


def test_a_version_declared_on_another_function_does_not_count(write: Write) -> None:
    source = "def make(): ...\ndef other(): ...\nother.__isthmus_version__ = '1'\n"
    assert models.source_digest(f"{write(source)}:make") == hashlib.sha256(source.encode()).hexdigest()


@pytest.mark.parametrize(
    "source", ["from os import getcwd as make", "make = lambda: 1", "def outer():\n    def make(): ..."]
)
def test_imported_names_lambdas_and_inner_functions_have_no_digest(write: Write, source: str) -> None:
    module = write(source)
    with pytest.raises(BadInput, match=r"does not define make at its top level"):
        models.source_digest(f"{module}:make")


@pytest.mark.parametrize("source", ["import functools\nmake = functools.partial(dict, a=1)", "make: object = dict"])
def test_an_assigned_factory_has_one(write: Write, source: str) -> None:
    assert models.source_digest(f"{write(source)}:make") == hashlib.sha256(source.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nets:make.<locals>.inner", "is not of the form package.module:function"),
        ("nets:<lambda>", "is not of the form package.module:function"),
        (":make", "is not of the form package.module:function"),
        ("a..b:make", "is not of the form package.module:function"),
        ("no_such_package.nets:make", "no Python source file was found for the module no_such_package.nets"),
        ("hashlib.nets:make", "no Python source file was found"),
        ("_socket:socket", "no Python source file was found"),
        ("sys:exit", "no Python source file was found"),
    ],
)
def test_names_without_source_are_refused(name: str, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        models.source_digest(name)
    assert expected in str(caught.value)


def test_a_module_that_is_no_package_has_no_submodules(write: Write) -> None:
    module = write("def make(): ...")
    assert models.source_digest(f"{module}:make")
    with pytest.raises(BadInput, match=r"no Python source file was found for the module hashlib"):
        models.source_digest(f"hashlib.{module}:make")


def test_source_that_is_no_python_is_refused(write: Write) -> None:
    with pytest.raises(BadInput, match=r"is not valid Python"):
        models.source_digest(f"{write('def make(:')}:make")


def test_loading_gives_the_object_itself() -> None:
    assert usercode.load("isthmus.noise:derive") is __import__("isthmus.noise", fromlist=["derive"]).derive
    with pytest.raises(UnknownName, match=r"did you mean \"derive\""):
        usercode.load("isthmus.noise:derve")
