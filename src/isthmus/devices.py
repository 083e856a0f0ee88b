"""What an accelerator is asked for so that the same inputs give the same bits, in the precision that was named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["WORKSPACE", "deterministic"]

WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What cuBLAS has to find in the environment before its first use to give the same bits each time."""


@contextmanager
def deterministic(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Deterministic kernels; matrix products and convolutions of float32 in float32, or in TF32 if that is asked for.

    A kernel of which there is no deterministic form warns and runs. The settings of the caller come back. On a CPU
    there is nothing to ask for: its kernels are deterministic, and it has no TF32.
    """
    if device.type != "cuda":
        yield
        return
    import torch

    for name, value in WORKSPACE.items():
        os.environ.setdefault(name, value)
    was = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filling, products = memory.fill_uninitialized_memory, torch.backends.cuda.matmul.allow_tf32
    with ExitStack() as stack:
        stack.enter_context(
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32)
        )
        try:
            torch.use_deterministic_algorithms(True, warn_only=True)
            memory.fill_uninitialized_memory = False  # it would be filled at each allocation
            torch.backends.cuda.matmul.allow_tf32 = tf32
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = products
            memory.fill_uninitialized_memory = filling
            torch.use_deterministic_algorithms(was[0], warn_only=was[1])
