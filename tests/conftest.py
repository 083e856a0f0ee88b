"""One hypothesis profile for the whole suite: the same examples every time, and no clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40, database=None)
settings.load_profile("suite")
