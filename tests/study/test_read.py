"""A study from a file: whatever is wrong with it is told at once, each problem with its field."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import datasets, models
from isthmus.errors import BadStudy
from isthmus.store import Store
from isthmus.study import BranchStudy, InitToFinalStudy, ModelSpec, expand, from_mapping, load, prepare
from isthmus.study.files import override
from small_studies import BRANCH, TO_FINAL, branch, to_final, write


def problems(content: Mapping[str, Any], *sets: str) -> list[str]:
    """What is told of a study, read or, if that goes well, prepared."""
    with pytest.raises(BadStudy) as caught:
        expand(from_mapping(override(content, sets)))
    return [problem.removeprefix("study: ") for problem in caught.value.problems]


def test_every_problem_is_told_at_once() -> None:
    sets = (
        "trian=3",
        "model.name=mpl",
        "data.name=sprial",
        "recipe.batchsize=40",
        "recipe.batch_size=none",
        'branch.at=["0ep", "-1ep", "2ep"]',
        'branch.lengths=["1ep", "1.0ep"]',
        "evaluate.alphas=1",
    )
    assert sorted(problems(BRANCH, *sets)) == [
        'branch.at.1: expected a duration such as "160ep" (epochs) or "500it" (iterations), found \'-1ep\'.',
        "branch.lengths: expected distinct values, at least one, found 1ep more than once.",
        "data.name: There is no data set named 'sprial'; did you mean \"spiral\"? Known: "
        f"{', '.join(datasets.names())}.",
        "evaluate.alphas: expected a number of at least 2 or a list, found 1.",
        f"model.name: There is no model named 'mpl'; did you mean \"mlp\"? Known: {', '.join(models.names())}.",
        "recipe.batch_size: expected a whole number, found 'none'.",
        'recipe.batchsize: unknown field; did you mean "batch_size"? Known: augment, batch_size, drop_last, loss,'
        " optimizer, precision, schedule.",
        'trian: unknown field; did you mean "variants"? Known: baselines, branch, choose, data, evaluate, family,'
        " merge, model, name, recipe, seeds, start, variants.",
    ]


def test_unknown_model_data_set_and_lengths_are_one_message() -> None:
    found = problems(BRANCH, "model.name=mpl", "data.name=sprial", 'branch={at=["0ep", "9ep"], to="8ep", every="1ep"}')
    assert [problem.partition(":")[0] for problem in found] == ["model.name", "data.name", "branch.at.1"]
    assert found[2] == "branch.at.1: expected a k before the end branch.to = 8ep, found 9ep."


LIST = "expected distinct"
BAD: dict[str, tuple[str, ...]] = {
    "name=ä": ("name: expected letters, digits, dots, dashes and underscores, beginning with a letter or a digit",),
    "name=2020": ("name: expected text, found 2020.",),
    "family=brnach": ('family: expected "branch" or "init-to-final", found \'brnach\'; did you mean "branch"?',),
    "seeds=[]": (f"seeds: {LIST} seeds, at least one, found none.",),
    "seeds=[4, 4, 5]": (f"seeds: {LIST} seeds, at least one, found 4 more than once.",),
    "seeds=[-1, 2.5]": (
        "seeds.0: expected a number of at least 0, found -1.",
        "seeds.1: expected a whole number, found 2.5.",
    ),
    "model=mlp": ("model: expected a table of fields, found 'mlp'.",),
    "model.hiden=[3]": ("model.hiden: Model mlp",),
    "model.hidden=inf": ("model: A description cannot hold inf",),
    "model.seed=3": ("model.seed: initial weights are drawn from the study's seeds; leave it out.",),
    "model.name=nowhere:net": ("model.name: 'nowhere:net': no Python source file was found for the module nowhere",),
    "model.input_shape=[3]": ("model: mlp does not take inputs of shape [2], as spiral has; give model.input_shape",),
    "model.classes=1": ("recipe.loss: cross_entropy needs a model with an output a class, found mlp with a single",),
    "recipe.loss=binary_cross_entropy": (
        "recipe.loss: binary_cross_entropy needs a model with a single output, found mlp with several.",
    ),
    "data.train=0": ("data.train: Data set spiral: argument train:",),
    "data.root=/x": ("data.root: the folder of data sets is named by --data or ISTHMUS_DATA, not in a study",),
    "data.mean=[0.5]": ("data.mean: expected none, as nothing of these data is normalised, found 1.",),
    "data={name='digits', std=[inf]}": (
        "data.std.0: expected a finite number, found inf.",
        "model: mlp does not take inputs of shape [1, 8, 8]",
    ),
    "recipe.augment.crop=2": (
        "recipe.augment: crops, flips and brightness need pictures, spiral has none; leave it out.",
    ),
    "recipe.optimizer.lr=nan": ("recipe.optimizer.lr: expected a finite number, found nan.",),
    "recipe.optimizer.name=sdg": ('recipe.optimizer.name: expected "sgd", "adam" or "adamw", found \'sdg\'.',),
    "recipe.schedule.milestones=['1ep', 'x']": ("recipe.schedule.milestones.1: expected a duration such as",),
    "branch.at=1ep": ("branch.at: expected a list, found '1ep'.",),
    "branch.at=[]": ("branch: expected at least one k in at, found none.",),
    "branch.at=['1ep', '5it']": ("branch.at.1: expected another step than that of 1ep, found 5it (an epoch has 5 st",),
    "branch.lengths=[]": ("branch: expected either lengths, or to and every, found",),
    "branch={at=['1ep'], to='3ep', trunk_at_k=true}": ("branch: expected either lengths, or to and every, found",),
    "branch.lengths=['0ep', '0.05ep']": (
        "branch.lengths.0: expected at least one step (an epoch has 5), found 0ep.",
        "branch.lengths.1: expected at least one step (an epoch has 5), found 0.05ep.",
        "branch.lengths.1: expected another step than that of 0ep, found 0.05ep (an epoch has 5 steps).",
    ),
    "branch.lengths=['99999999ep']": ("branch.lengths.0: expected at most 100,000,000 steps, found 99999999ep.",),
    "branch.children=1": ("branch.children: expected a number of at least 2, found 1.",),
    "branch.differ=['ordre']": ('branch.differ.0: expected "order", "augmentation" or "dropout", found \'ordre\'.',),
    "branch.differ=['augmentation']": ("branch.differ: expected a stream that acts, found augmentation alone",),
    "branch.differ=['dropout']": (
        "branch.differ: expected a stream that acts, found dropout, and mlp has no dropout: ",
    ),
    "choose={threshold=0.1}": ("choose: expected a rule of recipe.optimizer.by_block with blocks",),
    "recipe.optimizer.by_block=[{blocks=['layer1'], factor=0}, {blocks=['*'], factor=0}]": (
        "recipe.optimizer.by_block: expected something to train, found rules that freeze every parameter.",
    ),
    "branch.noise=[4]": ("branch: expected one noise seed a child, 2 of them, found 1.",),
    "branch={at=['3ep'], to='3.5ep', every='1ep'}": (
        "branch.at.0: expected a k at least one branch.every = 1ep before the end branch.to = 3.5ep, found 3ep.",
    ),
    "merge.at=[]": (f"merge.at: {LIST} values, at least one, found none.",),
    "merge.at=['1ep', '3ep']": ("merge.at.1: expected an s after which children are looked at (1ep), found 3ep.",),
    "merge.after=1ep": ("merge: expected after and every together",),
    "merge={after='1ep', every='2ep'}": ("merge.every: expected at most merge.after = 1ep, found 2ep.",),
    "evaluate.alphas=[0, nan, 1]": ("evaluate.alphas.1: expected a finite number, found nan.",),
    "evaluate.alphas=[0, 0.5]": ("evaluate.alphas: expected alphas that rise from 0 to 1, found [0, 0.5].",),
    "evaluate.on=['test', 'train:²']": ('evaluate.on: expected "train", "test" or a number of them such as',),
    "evaluate.on=['test', 'test']": (f"evaluate.on: {LIST} parts, at least one, found test more than once.",),
    "evaluate.norm_stats=recomputed": ('evaluate.norm_stats: expected "recompute", "interpolate", "batch", "keep" or',),
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_with_a_field(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadStudy) as caught:
        prepare(from_mapping(override(BRANCH, [text])), Store(tmp_path))
    found = [problem.removeprefix("study: ") for problem in caught.value.problems]
    assert len(found) == len(BAD[text]), found
    for problem, beginning in zip(found, BAD[text], strict=True):
        assert problem.startswith(beginning)
        assert problem.endswith((".", "?"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train.to=0ep", "train.to: expected at least one step (an epoch has 5), found 0ep."),
        ("train.paths=[]", "train.paths: expected distinct paths, at least one, found none."),
        (
            "train.blocks=['layer2', 'layer9']",
            "train.blocks.1: expected a block of mlp (layer1, layer2) or a part of one, found",
        ),
        (
            "train.blocks={head=['*bias'], all=['*']}",
            'train.blocks: expected other names than "all", which is the whole',
        ),
        (
            "train.blocks={head=['*bias'], x=[]}",
            "train.blocks: expected at least one pattern for each name, found none",
        ),
        (
            "train={to='1ep', paths=['initial->fresh'], blocks='all'}",
            "train: expected a path with a final end beside blocks, found initial->fresh.",
        ),
        ("train.blocks=[3]", "train.blocks.0: expected text, found 3."),
        ("train.until.accuracy=2", "train.until.accuracy: expected a number of at most 1, found 2."),
        (
            "branch.at=['1ep']",
            'branch: unknown field; did you mean "train"? Known: choose, data,',
        ),
    ],
)
def test_what_is_wrong_with_a_field_of_the_other_family(text: str, told: str) -> None:
    (problem,) = problems(TO_FINAL, text)
    assert problem.startswith(told)


def test_what_is_wrong_with_a_model_is_told_once_where_its_blocks_are_wanted() -> None:
    (problem,) = problems(TO_FINAL, "train.blocks=all", "model.width=3")
    assert problem.startswith("model.width: Model mlp takes no argument 'width'.")
    (problem,) = problems(TO_FINAL, "train.blocks=all", "model.name=mpl")
    assert problem.startswith("model.name: There is no model named 'mpl'")


def test_a_choice_that_only_variants_ask_for_is_asked_for() -> None:
    rule = '{"recipe.optimizer.by_block" = [{blocks = "barrier", factor = 0.1}]}'
    assert expand(to_final("choose.threshold=0.1", f"variants={{base={{}}, slow={rule}}}")).variants
    assert problems(TO_FINAL, "choose.threshold=0.1", "variants={base={}}", "data.trian=4")[-1].startswith("choose: ")


def test_a_family_is_guessed_to_tell_what_else_is_wrong() -> None:
    content = {**BRANCH, "branch": {"at": ["x"]}, "colour": 3}
    del content["family"]
    assert [problem.partition(":")[0] for problem in problems(content)] == ["family", "branch.at.0", "colour"]
    assert problems({"name": "x"}) == ['family: expected "branch" or "init-to-final", found none.']


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
places = [
    (section, field)
    for section, fields in (*BRANCH.items(), ("merge", {"at": 0, "every": 0}), ("evaluate", {"on": 0}))
    for field in (fields if isinstance(fields, Mapping) else ())
]


@given(st.sampled_from(places), json_values)
def test_no_value_of_a_field_is_a_traceback(place: tuple[str, str], value: Any) -> None:
    section, field = place
    content = {**BRANCH, section: {**dict(BRANCH.get(section, {})), field: value}}
    with contextlib.suppress(BadStudy):
        expand(from_mapping(content))


# --- files ------------------------------------------------------------------------------------------------------------

TOML = """
family = "branch"
name = "small"
seeds = [0]
model = { name = "mlp", input_shape = [2], classes = 2, hidden = [7] }
data = { name = "spiral", train = 190, test = 70 }
recipe = { batch_size = 40, optimizer = { lr = 0.1, momentum = 0.9 } }
evaluate = { alphas = 3, on = ["test"] }
branch = { at = ["0ep", "2ep"], lengths = ["1ep"] }
"""


def test_a_study_reads_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    yaml = json.dumps(BRANCH).replace('"evaluate": {', '"evaluate": {on: [test], ')  # "on" is no truth value here
    python = "import small_studies\nstudy = small_studies.branch()\n"
    for name, text in {"a.toml": TOML, "a.TOML": TOML, "a.yaml": yaml, "a.yml": yaml, "a.py": python}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert load(tmp_path / name) == branch()
    assert load(write(tmp_path, TO_FINAL)) == to_final()
    assert load(write(tmp_path, to_final().model_dump(mode="json"))) == to_final()
    assert isinstance(load(tmp_path / "a.toml", ["seeds=[7, 8]"]), BranchStudy)
    assert isinstance(to_final(), InitToFinalStudy)


FILES: dict[str, tuple[str | bytes, str]] = {
    "a.toml": ("a = ", "{} is no valid TOML: Invalid value (at end of document)."),
    "b.toml": (b'name = "\xe4"', "{} is no valid TOML: 'utf-8' codec can't decode byte 0xe4 in position 8"),
    "c.toml": ("", '{}: family: expected "branch" or "init-to-final", found none.'),
    "a.yaml": ("a: [", "{} is no valid YAML: while parsing a flow node expected the node content, but found"),
    "b.yaml": ("a: !!python/object/apply:os.getpid []", "{} is no valid YAML: could not determine a constructor"),
    "c.yaml": ("- 1", "{}: expected a table of fields, found list."),
    "d.yaml": ("family: branch\nmerge: &x {at: *x}", "{}: expected tables of fields, found one that holds itself."),
    "e.yaml": (f"{{1: 2, {json.dumps(BRANCH)[1:]}", "{}: 1: expected fields named by text, found 1."),
    "a.json": ("{}", "{}: expected a study file ending in .toml, .yaml, .yml or .py, found '.json'."),
    "a.py": ('raise ValueError("no\\nway")', "{} failed to run: ValueError: no way."),
    "b.py": ('import sys\nsys.exit("bye")', "{} failed to run: SystemExit: bye."),
    "c.py": ("def f(:", "{} failed to run: SyntaxError: invalid syntax (c.py, line 1)."),
    "d.py": ("x = 1", '{}: expected it to define "study", found no such name.'),
    "e.py": ("study = 3", "{}: expected a table of fields, found int."),
    "f.py": (
        "from isthmus.study import Branch\nBranch(at=['x'], lengths=['1ep'])",
        '{}: at.0: expected a duration such as "160ep" (epochs) or "500it" (iterations), found \'x\'.',
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_no_study(tmp_path: Path, name: str) -> None:
    text, told = FILES[name]
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BadStudy) as caught:
        load(path)
    assert str(caught.value).startswith(told.format(path))
    assert len(caught.value.problems) == 1


def test_files_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(BadStudy, match=f"^There is no study file {path}\\.$"):
            load(path)
    (tmp_path / "a.yaml").write_text("{}")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BadStudy, match=r'reading YAML needs pip install "isthmus\[yaml\]"; TOML needs nothing\.$'):
        load(tmp_path / "a.yaml")


def test_a_study_made_in_python_may_hold_what_no_file_can_and_is_told_so(tmp_path: Path) -> None:
    made = branch().model_copy(update={"model": ModelSpec.model_validate({"name": "mlp", "hidden": lambda: 3})})
    with pytest.raises(BadStudy, match=r"^model: A description holds JSON values only, found function\.$"):
        expand(made)
    (tmp_path / "a.py").write_text(
        "import small_studies\nm = small_studies.branch()\n"
        "study = m.model_copy(update={'model': type(m.model)(name='mlp', hidden=print)})\n"
    )
    with pytest.raises(BadStudy, match=r"^model: A description holds JSON values only, found builtin"):
        expand(load(tmp_path / "a.py"))


# --- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("recipe.optimizer.lr=1e-1", 0.1),
        (" recipe.optimizer.lr = 3 ", 3),
        ("a.b.c=[1, 'x=y']", [1, "x=y"]),
        ("name=plain text", "plain text"),
        ("name='quoted'", "quoted"),
        ("flag=true", True),
        ("branch.at=", ""),
    ],
)
def test_overrides_are_written_as_in_toml_or_plain(text: str, value: Any) -> None:
    before = json.dumps(BRANCH)
    here: Any = override(BRANCH, [text])
    for key in text.partition("=")[0].strip().split("."):
        here = here[key]
    assert here == value
    assert type(here) is type(value)
    assert json.dumps(BRANCH) == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        *((text, "expected path=value, such as recipe.optimizer.lr=0.1.") for text in ("", "x", "=3", "a..b=3")),
        ("branch.at.0=1ep", "expected a table of fields at at, it holds a list: set it whole."),
        ("name.x=3", "expected a table of fields at name, it holds a single value."),
        *(
            (text, 'expected a value as in TOML, with text in quotes: branch.at=["0ep", "1ep"].')
            for text in ("branch.at=[0ep]", "model.hidden={", 'name="a"b')
        ),
    ],
)
def test_overrides_that_are_none(text: str, told: str) -> None:
    with pytest.raises(BadStudy) as caught:
        override(BRANCH, ["name=good", text])
    assert str(caught.value) == f"--set {text}: {told}"
