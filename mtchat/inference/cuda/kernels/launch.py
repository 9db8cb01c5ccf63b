"""What kernels are started with: how they overlap, and the memory that their parts share."""

from typing import Any

import torch
from torch import Tensor

CHAINED = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 9
LEAST = 1 << 20  # numbers of scratch memory at first


def chained() -> dict[str, bool]:
    """Lets a kernel begin while the one before it ends (programmatic dependent launch)."""
    return {"launch_pdl": True} if CHAINED else {}


def multiprocessors() -> int:
    if not torch.cuda.is_available():  # triton's interpreter
        return 8
    return torch.cuda.get_device_properties(torch.cuda.current_device()).multi_processor_count


SCRATCH: dict[Any, list[tuple[Tensor, Tensor]]] = {}


def scratch(device: torch.device, floats: int, counters: int) -> tuple[Tensor, Tensor]:
    """Room for what the parts of a kernel leave each other; the kernels of a device run one after the other.

    What was given once is never let go: a recording goes on using it.
    """
    known = SCRATCH.setdefault(device, [])
    if not known or known[-1][0].numel() < floats or known[-1][1].numel() < counters:
        floats = max([floats, LEAST, *(each.numel() for each, _ in known)])
        counters = max([counters, LEAST, *(each.numel() for _, each in known)])
        known.append(
            (
                torch.empty(floats, dtype=torch.float32, device=device),
                torch.zeros(counters, dtype=torch.int32, device=device),
            )
        )
    return known[-1]
