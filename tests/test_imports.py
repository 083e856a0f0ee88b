"""The direction of the arrows: who may import whom, and what must load without torch.

The imports are read from the sources, those inside functions and under ``TYPE_CHECKING`` included: an
import that is late is still an arrow. A new module joins by being named in :data:`LAYERS`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "isthmus"

LAYERS = (
    {"errors", "hashing", "noise"},
    {"weights", "paths", "curves", "statistics", "correlation", "quadratic", "tables", "results"},
    {"spec", "recipe", "schedules", "registry", "usercode"},
    {"adapters", "origins", "models", "datasets"},
    {"downloads"},
    {
        *("generators", "examples", "losses", "networks", "normalisation", "firstlayer", "optimizers", "reuse"),
        *("capture", "checkpoints", "devices", "stacking", "together"),
        *("training", "merging", "alignment", "evaluation", "importance", "gradients"),
    },
    {"nodes", "graph", "store", "choices", "execute"},
    {"study"},
    {"claims", "plots", "redraw", "speed"},
    {"figures", "papers", "report"},
    {"demo", "display"},
    {"cli"},
    {"__main__"},
)
"""From the foundations up: a module imports from its own layer and those before it."""

TORCH_FREE = {
    *("errors", "hashing", "noise", "curves", "statistics", "correlation", "quadratic", "tables", "results"),
    *("spec", "recipe", "schedules", "registry", "usercode", "datasets", "downloads", "importance"),
    *("adapters", "origins", "devices"),
    *("nodes", "graph", "store", "choices", "execute", "study"),
    *(
        "claims",
        "plots",
        "redraw",
        "speed",
        "figures",
        "papers",
        "report",
        "demo",
        "display",
        "cli",
        "__main__",
    ),
    "",  # the package itself
}
COMPUTES = {
    "execute.compute",
    "execute.equipment",
    "execute.flight",
    "execute.inputs",
    "execute.records",
    "execute.worker",
}  # the parts of a free package that run in worker processes
HEAVY = {"torch", "scipy", "matplotlib", "pandas"}


class Import(NamedTuple):
    module: str  # "isthmus" is "", "isthmus.datasets.idx" is "datasets.idx"; others keep their name
    ours: bool
    line: int
    at_load: bool  # runs when the module is loaded: neither in a function nor under TYPE_CHECKING


@cache
def modules() -> dict[str, Path]:
    """Our modules by their name below ``isthmus``."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def statements(node: ast.AST, at_load: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, at_load
        elif isinstance(child, ast.If) and is_type_checking(child.test):
            yield from statements(ast.Module(child.body, []), False)
            yield from statements(ast.Module(child.orelse, []), at_load)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from statements(child, at_load and not later)


def targets(statement: ast.Import | ast.ImportFrom, package: str, known: set[str]) -> Iterator[str]:
    """Full names of the modules that a statement imports."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
        return
    base = statement.module or ""
    if statement.level:
        above = package.split(".")[: len(package.split(".")) - statement.level + 1]
        base = ".".join([*above, base] if base else above)
    for alias in statement.names:
        inner = f"{base}.{alias.name}"
        # a name that the package offers lazily hides its module: inside, import it from there
        hidden = base == "isthmus" and not alias.name.startswith("__")
        yield inner if inner in known or hidden else base


def imports(source: str, name: str, known: set[str], is_package: bool = False) -> list[Import]:
    """The imports of a module ``isthmus.<name>`` with this source."""
    full = f"isthmus.{name}".rstrip(".")
    package = full if is_package else full.rpartition(".")[0]
    found = []
    for statement, at_load in statements(ast.parse(source)):
        for target in targets(statement, package, {f"isthmus.{one}" for one in known}):
            ours = target == "isthmus" or target.startswith("isthmus.")
            found.append(Import(target[len("isthmus.") :] if ours else target, ours, statement.lineno, at_load))
    return found


@cache
def imports_of(name: str) -> list[Import]:
    path = modules()[name]
    return imports(path.read_text(encoding="utf-8"), name, set(modules()), path.name == "__init__.py")


def layer(name: str) -> int:
    """The layer of a module; the package itself, which offers names of all, is above them all."""
    top = name.partition(".")[0]
    if not top:
        return len(LAYERS)
    places = [index for index, names in enumerate(LAYERS) if top in names]
    assert len(places) == 1, f"isthmus.{top} must be named in one layer of LAYERS, found in {len(places)}"
    return places[0]


def wrong_arrows(name: str, found: list[Import]) -> list[str]:
    return [
        f"isthmus.{name} line {one.line} imports isthmus.{one.module}"
        for one in found
        # the package's own file is loaded before any other: to read __version__ there is no arrow
        if one.ours and one.module and layer(one.module) > layer(name)
    ]


def loads(name: str, reached: dict[str, str] | None = None, via: str = "") -> dict[str, str]:
    """Everything that loading a module loads, ours and others', each with the chain that led there."""
    reached = {} if reached is None else reached
    chain = f"{via} > isthmus.{name}".lstrip(" >").rstrip(".")
    reached[f"isthmus.{name}"] = chain
    parents = [".".join(name.split(".")[:i]) for i in range(name.count(".") + 1)]
    wanted = [one.module for one in imports_of(name) if one.ours and one.at_load]
    for other in [*parents, *wanted]:
        if other in modules() and f"isthmus.{other}" not in reached:
            loads(other, reached, chain)
    for one in imports_of(name):
        if not one.ours and one.at_load:
            reached.setdefault(one.module, f"{chain} > {one.module}")
    return reached


NAMES = sorted(modules())
FREE = [name for name in NAMES if name.partition(".")[0] in TORCH_FREE and name not in COMPUTES]


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_down(name: str) -> None:
    assert not wrong_arrows(name, imports_of(name))


def test_no_module_needs_itself_to_load() -> None:
    arrows = {name: {one.module for one in imports_of(name) if one.ours and one.at_load} for name in NAMES}
    left = set(NAMES)
    while ready := {name for name in left if not (arrows[name] - {name}) & left}:
        left -= ready
    assert not left, f"these modules import each other in a circle: {sorted(left)}"
    assert not [name for name in NAMES if name in arrows[name]]


@pytest.mark.parametrize("name", FREE)
def test_free_modules_load_nothing_heavy(name: str) -> None:
    banned = HEAVY - {"matplotlib"} if name.partition(".")[0] == "plots" else HEAVY
    heavy = {module: chain for module, chain in loads(name).items() if module.partition(".")[0] in banned}
    assert not heavy
    assert "safetensors.torch" not in loads(name)


def test_in_a_fresh_interpreter_nothing_heavy_is_loaded() -> None:
    """What the sources say, seen from outside: third-party modules may not bring torch in either."""
    free = [f"isthmus.{name}".rstrip(".") for name in FREE if name not in {"__main__", "plots"}]
    code = (
        "import importlib, sys\n"
        "import isthmus\n"
        f"heavy = {sorted(HEAVY)!r}\n"
        "assert not set(heavy) & set(sys.modules), 'import isthmus'\n"
        f"for name in {free!r}:\n"
        "    importlib.import_module(name)\n"
        "    loaded = sorted(set(heavy) & set(sys.modules))\n"
        "    assert not loaded, f'importing {name} loads {loaded}'\n"
    )
    path = [str(SOURCE.parent), *sys.path]
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the reader itself -------------------------------------------------------------------------


def test_the_reader_sees_imports_wherever_they_stand() -> None:
    source = (
        "import torch\n"
        "from isthmus import curves, tables as t\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from isthmus.training import train\nelse:\n    import isthmus.noise\n"
        "try:\n    import pandas\nexcept ImportError:\n    pass\n"
        "class A:\n    import scipy.special\n    def f(self):\n        from isthmus.cli import main\n"
        "from . import dataset\nfrom .. import errors\nfrom .idx import parse\n"
        "from isthmus import __version__\n"
    )
    known = {"", "curves", "tables", "noise", "errors", "cli", "training", "datasets", "datasets.dataset"}
    found = {(one.module, one.ours, one.at_load) for one in imports(source, "datasets.mnist", known)}
    assert found == {
        ("torch", False, True),
        ("curves", True, True),
        ("tables", True, True),
        ("typing", False, True),
        ("training", True, False),
        ("noise", True, True),
        ("pandas", False, True),
        ("scipy.special", False, True),
        ("cli", True, False),
        ("datasets.dataset", True, True),
        ("errors", True, True),
        ("datasets.idx", True, True),
        ("", True, True),
    }
    in_package = imports("from . import idx\nfrom .idx import parse\n", "datasets", {"datasets.idx"}, is_package=True)
    assert {one.module for one in in_package} == {"datasets.idx"}


@pytest.mark.parametrize(
    "source",
    [
        "from isthmus.training import train",
        "def f():\n    import isthmus.training",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from isthmus import training",
    ],
)
def test_an_arrow_upwards_is_found(source: str) -> None:
    found = imports(source, "weights", set(modules()) | {"training"})
    assert [message.split(" line ")[0] for message in wrong_arrows("weights", found)] == ["isthmus.weights"]


def test_names_that_the_package_offers_lazily_are_not_for_its_own_modules() -> None:
    with pytest.raises(AssertionError, match=r"isthmus\.evaluate_path must be named in one layer"):
        wrong_arrows("curves", imports("from isthmus import evaluate_path", "curves", set(modules())))


def test_layers_and_freedom_name_no_module_twice_and_nothing_unknown() -> None:
    named = [name for names in LAYERS for name in names]
    assert len(named) == len(set(named))
    assert set(named) >= TORCH_FREE - {""}
    assert {name.partition(".")[0] for name in NAMES} - {""} <= set(named)
