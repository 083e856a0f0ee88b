"""F16 and F17: ResNet-56 on CIFAR-100."""

from __future__ import annotations

from isthmus.papers.iyer24 import others

__all__ = ["ROW"]

ROW = others.row(
    ("F16", "F17"),
    "ResNet-56 on CIFAR-100",
    {"model": {"name": "resnet56", "classes": 100}, "data": {"name": "cifar100"}},
    {"model": {"width": 8}, "data": {"examples": 20_000}},
    {"model": {"classes": 10}, "data": {"name": "cifar10"}},
)
"""At small scale half as wide, on 20,000 examples; who has no CIFAR-100 may take CIFAR-10."""
