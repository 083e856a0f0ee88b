"""What of this machine a command computes on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from isthmus.errors import BadInput

__all__ = ["device", "workers"]


def device(name: str) -> Literal["cpu", "cuda"]:
    """The device meant; torch is asked only where there may be a GPU."""
    if name == "cpu" or (name == "auto" and not Path("/dev/nvidiactl").exists()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise BadInput("--device cuda: this machine has no GPU that torch can use; leave it out or say --device cpu.")
    return "cpu"


def workers(device: str) -> int:
    """How many processes keep a machine busy: one a core, and on GPUs eight on each, if there are cores for them."""
    from isthmus.execute import cores

    if device == "cpu":
        return cores()
    import torch

    return min(cores(), 8 * torch.cuda.device_count())
