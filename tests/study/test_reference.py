"""``docs/studies.md`` has every field of a study, with its default, and what stands there in TOML is one."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from isthmus.recipe import Optimizer, Recipe, Schedule
from isthmus.spec import Duration, Spec
from isthmus.study import from_mapping, model

PAGE = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
SECTIONS: dict[str, tuple[type[Spec], ...]] = {
    "The study itself": (model.BranchStudy, model.InitToFinalStudy),
    "model": (model.ModelSpec,),
    "data": (model.DataSpec,),
    "recipe": (Recipe,),
    "recipe.optimizer": (Optimizer,),
    "recipe.schedule": (Schedule,),
    "evaluate": (model.Evaluate,),
    "evaluate.scores": (model.ScoresSpec,),
    "branch": (model.Branch,),
    "merge": (model.MergeSpec,),
    "baselines": (model.Baselines,),
    "train": (model.To,),
    "choose": (model.ChooseSpec,),
    "start": (model.Start,),
}


def told(section: str) -> dict[str, str]:
    """The fields of a section of the page and what it says of their defaults."""
    (text,) = re.findall(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", text, re.M))


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, Duration) else list(value) if isinstance(value, tuple) else value


def test_every_section_is_there() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.M) == [*SECTIONS, "variants"]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_is_there_with_its_default(section: str) -> None:
    fields = {name: field for kind in SECTIONS[section] for name, field in kind.model_fields.items()}
    page = told(section)
    assert set(page) == set(fields)
    for name, default in page.items():
        field = fields[name]
        if default.startswith("`"):
            assert json.loads(default.strip("`")) == plain(field.default), name
        elif name != "family":  # has one in each family
            needed = field.default is PydanticUndefined and field.default_factory is None
            assert default.startswith("needed") == needed, name
            assert needed or field.default is None or isinstance(field.default, Spec), name


def test_the_variants_on_the_page_are_a_study() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    content = {
        "name": "page",
        "family": "init-to-final",
        "model": {"name": "resnet18"},
        "data": {"name": "cifar10"},
        "recipe": {"batch_size": 128, "optimizer": {"lr": 0.1, "weight_decay": 5e-4}},
        "train": {"to": "100ep"},
        **tomllib.loads(text),
    }
    study = from_mapping(content, where="the page")
    assert study.variants is not None
    assert len(study.variants) == 7
