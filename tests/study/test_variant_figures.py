"""The figures of a study with variants: which panels and lines there are, on which axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from isthmus import figures, study
from isthmus.study import Results, from_mapping
from isthmus.tables import Table
from small_studies import BRANCH, TO_FINAL


def ran(folder: Path, content: Mapping[str, Any], changes: Mapping[str, Any], **more: Any) -> Results:
    return study.run(from_mapping({**content, **more, "variants": changes}), folder, workers=0, threads=1)


def test_figures_have_a_row_a_variant(drawn: dict[str, Figure], tmp_path: Path) -> None:
    sets = {"merge": {"after": "1ep", "every": "1ep"}, "evaluate": {"alphas": 3, "on": ["test", "train:20"]}}
    changes = {"base": {}, "half": {"data.train": 95}, "late": {"branch.at": ["2ep"]}}
    found = ran(tmp_path, BRANCH, changes, **sets)
    figures.draw(found, tmp_path)
    titles = [axes.get_title(loc="left") for axes in drawn["lines"].axes[::2]]
    assert titles == [f"{name}: {split}" for name in changes for split in ("test", "train:20")]
    merges = {axes.get_title(loc="left"): axes for axes in drawn["after-merge"].axes if axes.axison}
    assert list(merges) == [
        *(f"{name}: k = {k}ep, s = 1ep" for name in ("base", "half") for k in (0, 2)),
        "late: k = 2ep, s = 1ep",
    ]
    for axes in merges.values():
        assert [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()] == [
            [0, 1]
        ] * 2  # epochs of its own data
    said = drawn["lines"].texts[1].get_text().replace("\n", " ")
    assert said.startswith("mlp on spiral. One seed. test: 70 examples, train:20: 20 examples.")


def test_whole_networks_of_all_variants_are_in_one_panel_and_blocks_by_variant(
    drawn: dict[str, Figure], tmp_path: Path
) -> None:
    changes = {"a": {}, "b": {"train.blocks": "all"}, "c": {"seeds": [1, 2], "model.hidden": [6]}}
    found = ran(tmp_path, TO_FINAL, changes)
    figures.draw(found, tmp_path)
    panels = drawn["path-initial-to-final-test"].axes
    lines = [[str(line.get_label()) for line in axes.get_lines()] for axes in panels]
    assert lines == [["a", "b", "c"]] * 2 + [["all", "layer1", "layer2"]] * 2
    assert [axes.get_title(loc="left") for axes in panels] == ["whole network"] * 2 + ["b"] * 2
    curves = found["curves"].where(variant="c", block="all")
    mean = [sum(curves.where(alpha=alpha)["loss"]) / 2 for alpha in (0.0, 0.5, 1.0)]
    assert panels[0].get_lines()[2].get_ydata() == pytest.approx(mean, rel=1e-12)
    assert "Mean of 1 to 2 seeds, band" in drawn["path-initial-to-final-test"].texts[1].get_text()
    many = Table.of({**row, "variant": f"v{i}"} for i in range(20) for row in curves)
    looks = Results(found.study, {**found.tables, "curves": many}, found.expansion, 0)
    figures.draw(looks, tmp_path)
    whole, _, below, *_ = drawn["path-initial-to-final-test"].axes
    lines_of = whole.get_lines()
    legend = below.get_legend()  # twenty names have no room beside the curves
    assert whole.get_legend() is None
    assert not below.axison
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"v{i}" for i in range(20)]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines_of}) == 20  # type: ignore[attr-defined]
