"""The pages under docs/howto are run as they stand: their files written, their commands called, what they show found.

What stands under "In the package" is done to a copy of the package, in another process. A fenced block has the name of
its file behind its language; a ``diff`` is the change of a file of the package, whose lines are looked for there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs" / "howto").glob("[a-z]*.md"))
PACKAGE = "## In the package"
DRIVER = """
import contextlib, io, json, os, runpy, shutil, sys
from isthmus import cli

def call(words):
    program, *rest = words
    if program == "isthmus":
        cli.main(rest + (["--workers", "0", "--threads", "1"] if rest[0] in ("run", "reproduce") else []))
    elif program == "cp":
        shutil.copy(rest[0], os.path.join(os.environ["TREE"], rest[1]))
    elif rest[0] == "-c":
        exec(rest[1], {})
    else:
        runpy.run_path(rest[0], run_name="__main__")

found = []
for folder, words in json.loads(sys.stdin.read()):
    os.chdir(folder)
    sys.path.insert(0, folder)
    told, code = io.StringIO(), 0
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            call(words)
        except SystemExit as left:
            code = left.code or 0
    found.append([code, told.getvalue()])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Block:
    language: str
    file: str
    lines: list[str]
    inside: bool  # in the package


@dataclass(frozen=True)
class Called:
    page: str
    command: str
    shown: list[str]
    inside: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    begin = text.find(PACKAGE)
    found = re.finditer(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert text.count("```") == 2 * len(re.findall(r"^```\w", text, re.MULTILINE))
    return [Block(m[1], m[2] or "", m[3].splitlines(), -1 < begin < m.start()) for m in found]


def commands(page: Path) -> list[Called]:
    called: list[Called] = []
    for block in blocks(page):
        for line in block.lines if block.language == "console" else []:
            if line.startswith("$ "):
                called.append(Called(page.stem, line[2:], [], block.inside))
            else:
                called[-1].shown.append(line)
    return called


def edit(tree: Path, block: Block) -> None:
    """Apply a change: the lines without those that are added are there once, and become those without the removed."""
    before = "\n".join(line[1:] for line in block.lines if line[:1] != "+")
    after = "\n".join(line[1:] for line in block.lines if line[:1] != "-")
    file = tree / block.file
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{block.file} does not hold once:\n{before}"
    file.write_text(text.replace(before, after), encoding="utf-8")


def run(calls: list[tuple[Path, Called]], source: Path) -> list[tuple[int, str]]:
    wanted = json.dumps([(str(folder), shlex.split(one.command)) for folder, one in calls])
    environment = {name: value for name, value in os.environ.items() if name != "ISTHMUS_DATA"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(source), "TREE": str(source.parent), "COLUMNS": "200"}
    environment |= {"PYTHONWARNINGS": "error"}
    driver = [sys.executable, "-c", DRIVER]
    done = subprocess.run(driver, input=wanted, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [(code, text) for code, text in json.loads(done.stdout.splitlines()[-1])]


Answers = dict[str, list[tuple[Called, int, str]]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What every command of every page did, by page."""
    base = tmp_path_factory.mktemp("howto")
    tree = base / "tree"
    shutil.copytree(ROOT / "src" / "isthmus", tree / "src" / "isthmus", ignore=shutil.ignore_patterns("__pycache__"))
    for page in PAGES:
        (base / page.stem).mkdir()
        for block in blocks(page):
            place = tree if block.file.startswith("src/") else base / page.stem
            if block.language == "diff":
                edit(tree, block)
            elif block.language != "console":
                assert block.inside == (place == tree)
                (place / block.file).parent.mkdir(parents=True, exist_ok=True)
                (place / block.file).write_text("\n".join(block.lines) + "\n", encoding="utf-8")
    found: Answers = {page.stem: [] for page in PAGES}
    for inside, source in ((False, ROOT / "src"), (True, tree / "src")):
        calls = [(base / page.stem, one) for page in PAGES for one in commands(page) if one.inside == inside]
        for (_, one), (code, text) in zip(calls, run(calls, source), strict=True):
            found[one.page].append((one, code, text))
    return found


@pytest.mark.parametrize("page", [page.stem for page in PAGES])
def test_a_page_does_what_it_shows(answers: Answers, page: str) -> None:
    assert answers[page]
    for one, code, text in answers[page]:
        refused = bool(one.shown) and one.shown[0].startswith("isthmus: ")
        assert code == (2 if refused else 0), f"{one.command}\n{text}"
        place = 0
        for line in one.shown:
            where = text.find(line.removesuffix("...").rstrip(), place)
            assert where >= 0, f"{one.command} does not show, after what came before it,\n{line}\nbut\n{text}"
            place = where + len(line)


@pytest.mark.parametrize("page", [page.stem for page in PAGES])
def test_everything_on_a_page_is_run(page: str) -> None:
    found = blocks(ROOT / "docs" / "howto" / f"{page}.md")
    for block in found:
        assert block.language in {"console", "python", "toml", "diff"}
        assert bool(block.file) == (block.language != "console")
        assert block.language != "console" or block.lines[0].startswith("$ ")
    assert any(block.language == "console" for block in found)
    for block in found:
        if block.language == "python":
            compile("\n".join(block.lines), block.file, "exec")


def test_the_list_of_pages_is_whole() -> None:
    text = (ROOT / "docs" / "howto" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(([a-z-]+\.md)\)", text)) == [page.name for page in PAGES]
    for page in PAGES:
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).is_file()


def test_a_page_that_shows_what_does_not_come_is_found(answers: Answers) -> None:
    one, code, text = answers["study"][0]
    wrong: Any = Called(one.page, one.command, [*one.shown, "something else"], one.inside)
    with pytest.raises(AssertionError, match="something else"):
        test_a_page_does_what_it_shows({"study": [(wrong, code, text)]}, "study")
