"""What a pre-training is done with: its keys laid over the data, the recipe and the model of the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from isthmus import origins
from isthmus.nodes import DataRef
from isthmus.recipe import Recipe
from isthmus.spec import Spec
from isthmus.study.model import DataSpec, ModelSpec, Study
from isthmus.study.overlay import fields_laid_over
from isthmus.study.sentences import sentences

__all__ = ["PATH", "Laid", "form_problems", "laid"]

PATH = "start.pretrain."
_SECTIONS: Mapping[str, type[Spec]] = {"data": DataSpec, "recipe": Recipe, "model": ModelSpec}


@dataclass(frozen=True)
class Laid:
    """The data, the recipe and the model of a pre-training; ``given`` are the model's keys that it names itself."""

    data: DataSpec
    recipe: Recipe
    model: ModelSpec
    given: frozenset[str]

    def fitted(self, data: DataRef, own: DataRef) -> ModelSpec:
        """The model with the inputs and classes of its ``data`` where those of the study (``own``) do not do."""
        if origins.of(self.model.name) == "user":
            return self.model
        needed: dict[str, Any] = {}
        if data.input_shape != own.input_shape:
            needed["input_shape"] = list(data.input_shape)
        outputs = self.model.arguments.get("classes", own.classes)
        if isinstance(outputs, int) and data.classes > outputs:
            needed["classes"] = data.classes
        needed = {name: value for name, value in needed.items() if name not in self.given}
        return ModelSpec.model_validate({**self.model.model_dump(), **needed})


def laid(study: Study) -> tuple[Laid | None, list[str]]:
    """What the pre-training of a study is done with, and what is wrong with the form of it."""
    content = study.model_dump(exclude_unset=True, exclude={"variants"})
    problems = form_problems(content)
    if problems or study.start is None or study.start.pretrain is None:
        return None, problems
    found = {name: kind.model_validate(_laid(content, name)) for name, kind in _SECTIONS.items()}
    return Laid(**found, given=frozenset(study.start.pretrain.model)), []  # type: ignore[arg-type]


def form_problems(content: Mapping[str, Any]) -> list[str]:
    """What is wrong with the form of a pre-training in a study's fields, and not already with the study's own."""
    problems = []
    for name, kind in _SECTIONS.items():
        if _changes(content, name) and isinstance(content.get(name), Mapping):
            before = _told(kind, content.get(name))
            new = [told for told in _told(kind, _laid(content, name)) if told not in before]
            problems += [f"{PATH}{name}.{told}" for told in new]
    return problems


def _changes(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    here: Any = content
    for key in ("start", "pretrain", name):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def _laid(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = fields_laid_over({name: content[name]}, _given(content, name))[name]
    return found


def _given(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    changes = _changes(content, name)
    return {name: changes} if changes else {}


def _told(kind: type[Spec], content: Any) -> list[str]:
    try:
        kind.model_validate(content)
    except ValidationError as error:
        return sentences(kind, error)
    return []
