"""Shapira (2023, work in progress): the loss barrier B(k1, k2) of two SGD trajectories that share k1 steps.

A main branch is trained once; for each k1 a child leaves its checkpoint, optimiser state kept, and trains k2 steps on
other noise. The line between the main branch at k1 + k2 and the child is evaluated at 25 points.

A row is a file that says what is trained and what is claimed; what the rows tabulate, compute and draw they share
(``tabulate``, ``quantities``, ``draw``).
"""
