"""What the computation of nodes has at hand: the store, data sets and models, who is told, and whether to stop."""

from __future__ import annotations

from collections.abc import Callable

from isthmus.execute import Setting
from isthmus.execute.inputs import Inputs
from isthmus.execute.records import Records
from isthmus.store import Store

__all__ = ["Equipment", "Report"]

Report = Callable[[float, float, str, str], None]
"""(done, total, note, key): how far a node is."""


class Equipment:
    """Inputs come from the store through ``inputs``, values go there through ``records``."""

    def __init__(
        self,
        store: Store,
        setting: Setting,
        report: Report = lambda done, total, note, key: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.setting, self.report, self.stop = store, setting, report, stop
        self.inputs = Inputs(store, setting)
        self.device = self.inputs.device
        self.records = Records(store, self.device)
