"""The graph of values: states, measurements of states, and choices taken from measurements.

A node is a description; its key is the hash of that description, so a result is named by what it is.
"""

from __future__ import annotations

from isthmus.nodes.base import Measure, Node, State
from isthmus.nodes.measures import Choose, Distance, PathMeasure, PathSpec, Scores, Selection
from isthmus.nodes.parts import DataRef, ModelRef, NormSpec, Part, Share
from isthmus.nodes.states import Graft, Import, Init, Merge, Point
from isthmus.nodes.trained import Rates, Train, advance

__all__ = [
    "Choose",
    "DataRef",
    "Distance",
    "Graft",
    "Import",
    "Init",
    "Measure",
    "Merge",
    "ModelRef",
    "Node",
    "NormSpec",
    "Part",
    "PathMeasure",
    "PathSpec",
    "Point",
    "Rates",
    "Scores",
    "Selection",
    "Share",
    "State",
    "Train",
    "advance",
]
