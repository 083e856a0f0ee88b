"""``isthmus models``: the models that can be named."""

from __future__ import annotations

__all__ = ["models"]


def models() -> None:
    """List the models with their arguments, and which other packages' models can be named."""
    from isthmus import adapters
    from isthmus import models as zoo

    for name in zoo.names():
        print(f"{name:16} {zoo.describe(name)}")
    for prefix in adapters.names():
        print(f"{prefix + ':':16} {adapters.overview(prefix)}")
