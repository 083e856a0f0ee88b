"""Iyer, Dziugaite, Rolnick (2024): linear weight interpolation leads to transient performance gains (TMLR).

A network is trained for k, then copies of it train for s under SGD noise of their own. Between them lies a network that
is better than either; training on from it loses that again within an epoch or two.

A row is a file that says what is trained and what is claimed. What the rows share lies in ``setups`` (what is trained),
``tabulate`` (their tables), ``quantities`` (what claims compute), ``rules`` (claims that several rows make), ``draw``
and ``draw_grids`` (their figures); ``splits`` and ``draw_splits`` are of the rows about splits of the training set
(F5, F7), ``others`` of those about other networks and data (F14 to F19).
"""
