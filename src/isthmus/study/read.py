"""Reading a study from its fields, variants among them; every problem in it is told at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from isthmus.errors import BadStudy
from isthmus.study.further import further_problems
from isthmus.study.model import FAMILIES, Study
from isthmus.study.overlay import fields_laid_over, quoted, undotted
from isthmus.study.pretraining import form_problems
from isthmus.study.sentences import sentences

__all__ = ["each", "from_mapping", "variants"]


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
        return None, [*sentences(cls, error), *form_problems(content), *further_problems(cls, content, error)]
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
