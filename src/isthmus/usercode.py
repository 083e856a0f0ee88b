"""User code named by text, ``package.module:function``: loading it, and the digest that pins its source.

A name in a study has to mean the same on another day and in another process, so lambdas and functions
defined inside functions are refused. Nothing here imports torch.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from isthmus.errors import BadInput, UnknownName
from isthmus.hashing import digest, digest_bytes

__all__ = ["is_user_code", "load", "source_digest"]

VERSION = "__isthmus_version__"


def is_user_code(name: str) -> bool:
    """Whether a name is of the form ``package.module:function``.

    So is ``timm:NAME``; of a model's name :func:`isthmus.origins.of` says whether it is another package's.
    """
    return ":" in name


def load(name: str) -> Any:
    """The object that ``package.module:function`` names; its module is imported.

    Raises:
        BadInput: when the name is malformed or the module cannot be imported.
        UnknownName: when the module has no such function.
    """
    module_name, attribute = _split(name)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise BadInput(f"{name!r}: importing {module_name} failed with {type(error).__name__}: {error}.") from error
    if not hasattr(module, attribute):
        raise UnknownName(f"function in {module_name}", attribute, (key for key in vars(module) if key[0] != "_"))
    return getattr(module, attribute)


def source_digest(name: str) -> str:
    """64 hexadecimal digits that change whenever the code behind ``package.module:function`` may have.

    That is the sha256 of the module's source file, read and not run. Code that the module imports is not
    part of it; a function that declares a version answers for all of its code itself, and only the version
    counts::

        def make_net(): ...
        make_net.__isthmus_version__ = "2"

    Raises:
        BadInput: when the module has no source file, or the function is not defined in it by
            ``def``, ``class`` or an assignment of something other than a lambda.
    """
    module, attribute = _split(name)
    spec = _find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise BadInput(f"{name!r}: no Python source file was found for the module {module}: check the spelling.")
    source = Path(spec.origin).read_bytes()
    try:
        statements = ast.parse(source, spec.origin).body
    except (SyntaxError, ValueError) as error:
        raise BadInput(f"{name!r}: {spec.origin} is not valid Python ({error}): correct it.") from error
    if not any(_defines(statement, attribute) for statement in statements):
        raise BadInput(
            f"{name!r}: {spec.origin} does not define {attribute} at its top level by def, class or assignment "
            "(lambdas are refused, and an imported name is named by the module that defines it)."
        )
    version = _declared_version(statements, attribute)
    return digest_bytes(source) if version is None else digest("code-version", {"version": version})


def _split(name: str) -> tuple[str, str]:
    module, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise BadInput(
            f"{name!r} is not of the form package.module:function; lambdas and functions inside functions "
            "have no such name: define the function at the top level of a module."
        )
    return module, attribute


def _find_spec(module: str) -> ModuleSpec | None:
    """As ``importlib.util.find_spec``, which would run the parent packages."""
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = spec.submodule_search_locations if spec is not None else None
        if end > 1 and path is None:
            return None
        full = ".".join(parts[:end])
        found = (finder.find_spec(full, path) for finder in sys.meta_path)
        spec = next((one for one in found if one is not None), None)
    return spec


def _defines(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return statement.name == name
    return name in _assigned(statement) and not isinstance(_value(statement), ast.Lambda)


def _declared_version(statements: Iterable[ast.stmt], name: str) -> str | None:
    for statement in statements:
        if isinstance(statement, ast.ClassDef) and statement.name == name:
            inside = _declared_version(statement.body, "")
            if inside is not None:
                return inside
        value = _value(statement)
        wanted = f"{name}.{VERSION}" if name else VERSION
        if wanted in _assigned(statement) and isinstance(value, ast.Constant):
            return str(value.value)
    return None


def _assigned(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        return [ast.unparse(target) for target in statement.targets]
    return [ast.unparse(statement.target)] if isinstance(statement, ast.AnnAssign) else []


def _value(statement: ast.stmt) -> ast.expr | None:
    return statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
