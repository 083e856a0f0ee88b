"""Entries found by folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus import registry
from isthmus.errors import BadInput, UnknownName


def test_modules_are_found_by_lying_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "some_entries"
    folder.mkdir()
    for name, text in (("__init__", ""), ("second", "ENTRIES = {'b': 2}"), ("first", "ENTRIES = {'a': 1}"), ("x", "")):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = [(module.__name__, getattr(module, "ENTRIES", {})) for module in registry.modules("some_entries")]
    assert found == [("some_entries.first", {"a": 1}), ("some_entries.second", {"b": 2}), ("some_entries.x", {})]
    assert registry.gather("thing", found) == {"a": 1, "b": 2}


@pytest.mark.parametrize("second", ["wide_net", "WideNet", "wide-net"])
def test_a_name_in_two_files_is_refused_and_both_are_named(second: str) -> None:
    with pytest.raises(BadInput, match=f"model '{second}' is defined in both one.py and two.py: rename one of them"):
        registry.gather("model", [("one.py", {"wide_net": 1}), ("two.py", {second: 2})])


def test_two_spellings_of_one_name_in_one_file_are_refused() -> None:
    with pytest.raises(BadInput, match=r"in both one.py and one.py"):
        registry.gather("model", [("one.py", {"wide_net": 1, "widenet": 2})])


@given(st.text(alphabet="aB1-_ ", min_size=1), st.text(alphabet="-_ "))
def test_canonical_names_ignore_case_and_separators(name: str, separators: str) -> None:
    once = registry.canonical_name(name)
    assert registry.canonical_name(once) == once
    assert registry.canonical_name(separators.join([separators, *name.swapcase(), separators])) == once


@pytest.mark.parametrize(
    ("name", "expected"), [("ResNet-20", "resnet20"), ("lenet-5", "lenet5"), ("A_b.C:D-e", "A_b.C:D-e")]
)
def test_canonical_names(name: str, expected: str) -> None:
    assert registry.canonical_name(name) == expected


def test_an_entry_is_found_by_any_spelling_or_refused() -> None:
    entries = {"wide_net": 1, "mlp": 2}
    assert registry.find("model", "Wide-Net", entries) == 1
    with pytest.raises(
        UnknownName, match=r"There is no model named 'wide'; did you mean \"wide_net\"\? Known: mlp, wide_net"
    ):
        registry.find("model", "wide", entries)


@pytest.mark.parametrize("module", ["registry", "usercode", "datasets"])
def test_what_works_without_torch_does_not_import_it(module: str) -> None:
    code = f"import sys, isthmus.{module} as m; getattr(m, 'names', list)(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
