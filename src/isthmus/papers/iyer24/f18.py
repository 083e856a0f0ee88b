"""F18 and F19: ResNet-20 on CINIC-10."""

from __future__ import annotations

from isthmus.papers.iyer24 import others

__all__ = ["ROW"]

ROW = others.row(
    ("F18", "F19"),
    "ResNet-20 on CINIC-10",
    {"data": {"name": "cinic10"}},
    {"data": {"examples": 20_000}},
    {"data": {"name": "cifar10"}},
)
"""At small scale on 20,000 examples; who has no CINIC-10 may take CIFAR-10."""
