"""What is wrong with a start, told all at once with the field that is meant and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from isthmus import models, study
from isthmus.errors import BadStudy
from isthmus.store import Store
from isthmus.study import expand, from_mapping
from isthmus.study.files import override
from small_studies import BRANCH, to_final

PRE = {"to": "1ep"}
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "neither": ({}, ["start: expected either file or pretrain, found neither."]),
    "both": ({"file": "x", "pretrain": PRE}, ["start: expected either file or pretrain, found both."]),
    "new and only": (
        {"pretrain": PRE, "new": ["layer1"], "only": ["layer2"]},
        ["start: expected at most one of new and only, found both."],
    ),
    "no block": ({"pretrain": PRE, "new": []}, ["start.new: expected at least one block, found none."]),
    "blocks": (
        {"pretrain": PRE, "new": ["layer2", "layer3", "bias"]},
        [
            "start.new.1: expected a block of mlp (layer1, layer2), a part of one, or a pattern of its tensors, found"
            " 'layer3'.",
            "start.new.2: expected a block of mlp (layer1, layer2), a part of one, or a pattern of its tensors, found"
            " 'bias'.",
        ],
    ),
    "all new": (
        {"pretrain": PRE, "new": ["*"]},
        ["start.new: expected at least one block that comes from the pre-trained network, found all of them."],
    ),
    "offset alone": (
        {"pretrain": PRE, "offset": 2},
        ['start: expected at = "top" beside offset and alphas, found at = 1.'],
    ),
    "clip alone": (
        {"pretrain": PRE, "at": "top", "clip": True},
        ["start: expected an offset beside clip, found none."],
    ),
    "off the path": (
        {"pretrain": PRE, "at": "top", "offset": -3},
        ["start.offset: expected less than the 3 points of the path, found -3."],
    ),
    "at": ({"pretrain": PRE, "at": 1.5}, ['start.at: expected a number of at most 1 or "top", found 1.5.']),
    "fill": (
        {"pretrain": PRE, "fill": "initial"},
        ['start: expected new or only beside fill = "initial", found neither.'],
    ),
    "no file": ({"file": "/nowhere/x.pt"}, ["start.file: There is no file of weights at /nowhere/x.pt."]),
    "unknown": (
        {"pretrain": {"to": "1ep", "utnil": {}}},
        ['start.pretrain.utnil: unknown field; did you mean "until"? Known: data, model, recipe, to, until.'],
    ),
    "several at once": (
        {
            "pretrain": {
                "to": "0ep",
                "data": {"name": "sprial"},
                "recipe": {"optimizer": {"lr": "fast"}, "batchsize": 3},
                "model": {"hiden": [3]},
            }
        },
        [
            "start.pretrain.recipe.optimizer.lr: expected a number, found 'fast'.",
            'start.pretrain.recipe.batchsize: unknown field; did you mean "batch_size"? Known: augment, batch_size,'
            " drop_last, loss, optimizer, precision, schedule.",
        ],
    ),
    "lengths and names": (
        {"pretrain": {"to": "0ep", "data": {"trian": 40}, "model": {"name": "mpl"}}},
        [
            "start.pretrain.data.trian: ",
            "start.pretrain.model.name: There is no model named",
            "start.pretrain.to: expected at least one step",
        ],
    ),
    "augmented points": (
        {"pretrain": {"to": "1ep", "recipe": {"augment": {"flip": True}}}},
        ["start.pretrain.recipe.augment: crops, flips and brightness need pictures, spiral has none; leave it out."],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_start(name: str, tmp_path: Path) -> None:
    start, wanted = WRONG[name]
    with pytest.raises(BadStudy) as caught:
        study.prepare(from_mapping({**BRANCH, "start": start}), Store(tmp_path))
    found = [problem.removeprefix("study: ") for problem in caught.value.problems]
    assert len(found) == len(wanted), found
    assert all(problem.startswith(begin) and problem.endswith(".") for problem, begin in zip(found, wanted)), found


def test_a_problem_of_the_study_is_not_told_again_of_its_pretraining() -> None:
    start = {"pretrain": {"to": "1ep", "recipe": {"batch_size": 7}}}
    with pytest.raises(BadStudy) as caught:
        from_mapping(override({**BRANCH, "start": start}, ["recipe.optimizer.lr=fast", "start.pretrain.to=x"]))
    assert [problem.split(": ")[1] for problem in caught.value.problems] == ["recipe.optimizer.lr", "start.pretrain.to"]


def test_a_start_is_looked_at_where_the_data_are_unknown() -> None:
    start = {"pretrain": {"to": "0ep"}, "at": "top", "offset": 4}
    with pytest.raises(BadStudy) as caught:
        expand(from_mapping({**BRANCH, "data": {"name": "sprial"}, "start": start}))
    told = [problem.partition(":")[0] for problem in caught.value.problems]
    assert told == ["data.name", "start.offset", "start.pretrain.to"]


def test_a_file_that_does_not_fit(tmp_path: Path) -> None:
    def tensors(hidden: int) -> dict[str, torch.Tensor]:
        return models.initialise("mlp", 4, input_shape=(2,), classes=2, hidden=(hidden,)).state_dict()

    wide, half = tmp_path / "wide.pt", tmp_path / "half.pt"
    torch.save({**tensors(9), "layer3.weight": torch.ones(2)}, wide)
    torch.save({name: tensor.half() for name, tensor in tensors(7).items()}, half)

    def problems(*sets: str) -> list[str]:
        with pytest.raises(BadStudy) as caught:
            expand(to_final(*sets))
        return list(caught.value.problems)

    assert problems(f"start.file={wide}") == [
        "start: tensor 'layer1.weight' has shape (7, 2) in mlp and (9, 2) in the file; put \"layer1\" into start.new.",
        "start: tensor 'layer2.weight' has shape (2, 7) in mlp and (2, 9) in the file; put \"layer2\" into start.new.",
        "start: tensor 'layer3.weight' of the file has no place in mlp; give the model that it belongs to, or name in"
        " start.only what is to be taken.",
    ]
    assert problems(f"start.file={half}", 'start.only=["layer2"]') == [
        "start: tensor 'layer2.weight' is torch.float32 in mlp and torch.float16 in the file; convert the file first,"
        ' or leave "layer2" out of start.only.'
    ]
