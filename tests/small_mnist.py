"""A data folder with a small MNIST in the published format: digits that are bars, learnt in a few steps."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def write(folder: Path, train: int = 96, test: int = 40) -> Path:
    """The four idx files under ``folder/mnist``; the folder."""
    (folder / "mnist").mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(3)
    for part, count in (("train", train), ("t10k", test)):
        labels = draw.permutation(np.arange(count, dtype=np.uint8) % 10)
        pictures = draw.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            picture[2 * label : 2 * label + 6, 4:24] += 150
        for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / "mnist" / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder
