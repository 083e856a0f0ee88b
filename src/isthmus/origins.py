"""Whose code is behind a model's name: this package's, the user's own, or that of an installed package.

``resnet20`` is ours, ``my_package.nets:make`` the user's, ``torchvision:resnet18`` torchvision's. Nothing here
imports torch, or the code that is asked about.
"""

from __future__ import annotations

from typing import Literal

from isthmus import adapters, usercode

__all__ = ["code", "of", "source"]


def of(name: str) -> Literal["ours", "user", "package"]:
    """Whose code it is."""
    if not usercode.is_user_code(name):
        return "ours"
    return "package" if adapters.is_adapter(name) else "user"


def source(name: str) -> str | None:
    """64 hexadecimal digits that change whenever what a name stands for may have; None for a model of ours.

    Raises:
        BadInput: there is no such code.
    """
    whose = of(name)
    if whose == "ours":
        return None
    return adapters.source(name) if whose == "package" else usercode.source_digest(name)


def code(name: str) -> str | None:
    """As :func:`source`, of that part which a process loads once and keeps: a file that is read each time is left out.

    Raises:
        BadInput: there is no such code.
    """
    return adapters.code(name) if of(name) == "package" else source(name)
