"""F14 and F15: VGG-16 on CIFAR-10."""

from __future__ import annotations

from isthmus.papers.iyer24 import others

__all__ = ["ROW"]

ROW = others.row(
    ("F14", "F15"),
    "VGG-16 on CIFAR-10",
    {"model": {"name": "vgg16", "init": "kaiming"}},
    {"model": {"width": 16}, "data": {"examples": 20_000}},
)
"""VGG-16 with batch normalisation and one linear layer; at small scale a quarter as wide, on 20,000 examples."""
