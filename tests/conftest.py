"""One hypothesis profile for the whole suite: the same examples every time, and no clock; one thread for torch."""

from __future__ import annotations

import os

from hypothesis import settings

# Networks as small as the tests' gain nothing from a second thread, and lose fivefold on busy cores. Bits are
# compared between processes as well, which are given one thread each.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

settings.register_profile("suite", deadline=None, derandomize=True, max_examples=40, database=None)
settings.load_profile("suite")
