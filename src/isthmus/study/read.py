"""Reading a study: from TOML, YAML or Python, with overrides; every problem in it is told at once."""

from __future__ import annotations

import difflib
import re
import runpy
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from isthmus.errors import BadStudy
from isthmus.study import fitting
from isthmus.study.checking import section_problems
from isthmus.study.model import FAMILIES, Evaluate, Study
from isthmus.study.overlay import fields_laid_over, keys_of, quoted, undotted
from isthmus.study.pretraining import form_problems
from isthmus.study.sentences import model_in, sentences, titled, written

__all__ = ["from_mapping", "load", "override", "variants"]


def load(path: str | Path, sets: Iterable[str] = ()) -> Study:
    """The study in a file, with ``path=value`` overrides applied.

    ``.toml`` and ``.yaml`` files hold the study's fields; a ``.py`` file defines ``study``, a :class:`Study` or a
    mapping.

    Raises:
        BadStudy: the file cannot be read, or the study has problems: one sentence each, all of them.
    """
    path = Path(path)
    if not path.is_file():
        raise BadStudy([f"There is no study file {path}."])
    content = _READERS.get(path.suffix.lower(), _unknown)(path)
    if isinstance(content, Study):
        content = content.model_dump()
    if not isinstance(content, Mapping):
        raise BadStudy([f"{path}: expected a table of fields, found {type(content).__name__}."])
    try:
        return from_mapping(override(content, sets), where=str(path))
    except RecursionError:
        raise BadStudy([f"{path}: expected tables of fields, found one that holds itself."]) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadStudy([f"The study file {path} cannot be read: {error.strerror}."]) from None


def _toml(path: Path) -> Any:
    try:
        return tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadStudy([f"{path} is no valid TOML: {error}."]) from None


def _yaml(path: Path) -> Any:
    try:
        import yaml
    except ImportError:
        raise BadStudy([f'{path}: reading YAML needs pip install "isthmus[yaml]"; TOML needs nothing.']) from None
    try:
        return yaml.load(_text(path), _yaml_loader(yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadStudy([f"{path} is no valid YAML: {' '.join(str(error).split())}."]) from None


def _yaml_loader(base: Any) -> Any:
    """A loader of plain values to which ``on`` (a field of ours), ``off``, ``yes`` and ``no`` are text."""
    loader: Any = type("Loader", (base,), {})
    plain = {first: [r for r in found if r[0] != _YAML_BOOL] for first, found in base.yaml_implicit_resolvers.items()}
    loader.yaml_implicit_resolvers = plain
    loader.add_implicit_resolver(_YAML_BOOL, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))
    return loader


_YAML_BOOL = "tag:yaml.org,2002:bool"


def _python(path: Path) -> Any:
    try:
        found = runpy.run_path(str(path)).get("study")
    except ValidationError as error:
        raise BadStudy(f"{path}: {sentence}" for sentence in sentences(titled(error.title), error)) from None
    except BadStudy:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise BadStudy([f"{path} failed to run: {type(error).__name__}: {reason}."]) from error
    if found is None:
        raise BadStudy([f'{path}: expected it to define "study", found no such name.'])
    return found


def _unknown(path: Path) -> Any:
    raise BadStudy([f"{path}: expected a study file ending in .toml, .yaml, .yml or .py, found {path.suffix!r}."])


_READERS = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml, ".py": _python}


def override(content: Mapping[str, Any], sets: Iterable[str]) -> dict[str, Any]:
    """A copy of a study's fields with ``path=value`` applied; values are written as in TOML, or are plain text.

    >>> override({"recipe": {"batch_size": 8}}, ["recipe.batch_size=16", "name=other"])
    {'recipe': {'batch_size': 16}, 'name': 'other'}
    """
    result = _copy(content)
    for text in sets:
        match = _SETTING.fullmatch(text)
        keys = keys_of(match[1]) if match else []
        if not match or not keys:
            raise BadStudy([f"--set {text}: expected path=value, such as recipe.optimizer.lr=0.1."])
        here = result
        for key in keys[:-1]:
            here[key] = {} if here.get(key) is None else here[key]  # a study of Python's has what it lacks as None
            here = here[key]
            if not isinstance(here, dict):
                kind = "a list: set it whole" if isinstance(here, list | tuple) else "a single value"
                raise BadStudy([f"--set {text}: expected a table of fields at {key}, it holds {kind}."])
        here[keys[-1]] = _value(text, match[2].strip())
    return result


_SETTING = re.compile(r"""((?:"[^"]*"|'[^']*'|[^="'])*)=(.*)""", re.DOTALL)


def _copy(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _value(whole: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text[:1] in tuple("[{\"'"):
            example = 'branch.at=["0ep", "1ep"]'
            raise BadStudy([f"--set {whole}: expected a value as in TOML, with text in quotes: {example}."]) from None
        return text


def from_mapping(content: Mapping[str, Any], where: str = "study") -> Study:
    """The study with these fields.

    Raises:
        BadStudy: with one sentence for each problem: the field's path, what was expected, what was found.
            Where the form is wrong, models, data sets and lengths are looked at too as far as they can be.
    """
    family, problems = _family(content)
    if family is None:
        raise BadStudy(f"{where}: {problem}" for problem in problems)
    cls = FAMILIES[family]
    whole = {**content, "family": family}
    study, told = _read(cls, whole)
    problems += told
    problems += _varied_problems(cls, whole, told)
    if study is not None and not problems:
        return study
    raise BadStudy(f"{where}: {problem}" for problem in dict.fromkeys(problems))


def variants(study: Study) -> dict[str, Study]:
    """The studies that the variants of a study are, by name; none where it has none.

    Raises:
        BadStudy: with one sentence for each problem.
    """
    whole = study.model_dump(exclude_unset=True)
    if problems := list(_varied_problems(type(study), whole, [])):
        raise BadStudy(problems)
    return {name: type(study).model_validate(content) for name, content in _varied(whole).items()}


def each(study: Study) -> Mapping[str, Study]:
    """The studies that are run: the variants of a study by name, or, of one without any, itself under ""."""
    return variants(study) if study.variants else {"": study}


def _read(cls: type[Study], content: Mapping[str, Any]) -> tuple[Study | None, list[str]]:
    """The study with these fields, and what is wrong with them."""
    try:
        study = cls.model_validate(content)
    except ValidationError as error:
        return None, [*sentences(cls, error), *form_problems(content), *_further(cls, content, error)]
    return study, form_problems(content)


def _changes(content: Mapping[str, Any]) -> dict[Any, dict[str, Any]]:
    """What each variant in a study's fields changes, in nested tables; those that are no tables are left out."""
    found = content.get("variants")
    tables = found.items() if isinstance(found, Mapping) else ()
    return {name: undotted(changes) for name, changes in tables if isinstance(changes, Mapping)}


def _varied(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of each variant: those of the study with what the variant changes."""
    base = {name: value for name, value in content.items() if name != "variants"}
    return {
        name: fields_laid_over(base, {key: value for key, value in changes.items() if key not in _OF_THE_WHOLE})
        for name, changes in _changes(content).items()
    }


_OF_THE_WHOLE = ("name", "family", "variants")


def _varied_problems(cls: type[Study], content: Mapping[str, Any], told: Collection[str]) -> Iterator[str]:
    """What is wrong with variants, but for what is told of the study without them."""
    changes = _changes(content)
    for name, changed in _varied(content).items():
        path = f"variants.{quoted(str(name))}"
        for key in _OF_THE_WHOLE:
            if key in changes[name]:
                yield f"{path}.{key}: expected none, as variants share that of the study; leave it out."
        for problem in _read(cls, changed)[1]:
            if problem not in told:
                yield f"{path}.{problem}"


def _family(content: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The family of a study, guessed from its sections where it is not named, and what is wrong with its name."""
    family = content.get("family")
    if isinstance(family, str) and family in FAMILIES:
        return family, []
    known = " or ".join(f'"{name}"' for name in FAMILIES)
    if "family" not in content:
        problem = f"family: expected {known}, found none."
    else:
        close = difflib.get_close_matches(str(family), FAMILIES, n=1)
        offer = f'; did you mean "{close[0]}"?' if close else "."
        problem = f"family: expected {known}, found {family!r}{offer}"
    guessed = [name for name, cls in FAMILIES.items() if any(field in content for field in cls.OWN)]
    return (guessed[0] if len(guessed) == 1 else None), [problem]


def _further(cls: type[Study], content: Mapping[str, Any], error: ValidationError) -> list[str]:
    """What else is wrong with a study whose form is: each section is read without the fields that are refused."""
    refused = {tuple(written(problem["loc"])) for problem in error.errors()}
    rest = _without(content, refused)
    names = ("model", "data", "recipe", "branch", "merge", "baselines", "start", "evaluate")
    sections = {name: _section(cls, name, rest.get(name)) for name in names}
    problems, data = section_problems(sections["model"], sections["data"])
    recipe, branch, merge = sections["recipe"], sections["branch"], sections["merge"]
    per_epoch = recipe.steps_per_epoch(data.train) if recipe is not None and data is not None else None
    if branch is not None:
        problems += fitting.branch_problems(branch, per_epoch)
    if branch is not None and merge is not None:
        problems += fitting.merge_problems(merge, branch, per_epoch)
        if sections["baselines"] is not None:
            problems += fitting.baselines_problems(sections["baselines"], merge, branch, per_epoch)
    if sections["evaluate"] is not None and sections["evaluate"].scores:
        problems += fitting.scores_problems(sections["evaluate"].scores, per_epoch)
    start, evaluate = sections["start"], sections["evaluate"] or Evaluate()
    if start is not None:
        problems += fitting.start_problems(start, evaluate)
    if start is not None and start.pretrain is not None:
        problems += fitting.pretrain_problems(start.pretrain, None)
    paths = {".".join(map(str, at)) for at in refused}
    told = [_renumbered(problem, refused) for problem in problems]
    return [text for text in told if not any(path.startswith(f"{text.partition(':')[0]}.") for path in paths)]


def _renumbered(problem: str, refused: Collection[tuple[Any, ...]]) -> str:
    """The problem with the index that the user's list has, where items before it were left out."""
    path, colon, text = problem.partition(":")
    *head, last = path.split(".")
    gone = sorted(at[-1] for at in refused if isinstance(at[-1], int) and list(map(str, at[:-1])) == head)
    if not gone or not last.isdigit():
        return problem
    index = int(last)
    for at in gone:
        index += at <= index
    return ".".join([*head, str(index)]) + colon + text


def _section(cls: type[Study], name: str, content: Any) -> Any:
    field = cls.model_fields.get(name)
    spec = model_in(field.annotation) if field else None
    if spec is None or content is None:
        return None
    try:
        return spec.model_validate(content)
    except ValidationError:
        return None


def _without(value: Any, paths: Collection[tuple[Any, ...]]) -> Any:
    """A copy of nested tables and lists without what is at these paths."""

    def below(key: Any) -> list[tuple[Any, ...]]:
        return [path[1:] for path in paths if path[:1] == (key,)]

    if isinstance(value, Mapping):
        return {key: _without(item, below(key)) for key, item in value.items() if (key,) not in paths}
    if isinstance(value, list | tuple):
        return [_without(item, below(i)) for i, item in enumerate(value) if (i,) not in paths]
    return value
