"""What else is wrong with a study whose form is: its sections, each read without the fields that are refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from isthmus.study import fitting
from isthmus.study.checking import section_problems
from isthmus.study.model import Evaluate, Study
from isthmus.study.sentences import model_in, written

__all__ = ["further_problems"]


def further_problems(cls: type[Study], content: Mapping[str, Any], error: ValidationError) -> list[str]:
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
