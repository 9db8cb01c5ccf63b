"""What kernels are started with: how they overlap, and the memory that their parts share."""

from typing import Any

import torch
import triton
import triton.language as tl
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


@triton.jit
def embed_kernel(table, ids, out, E: tl.constexpr, BLOCK: tl.constexpr, CHAINED: tl.constexpr):
    """The row of a lane's id."""
    lane = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    if CHAINED:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    row = tl.load(ids + lane)
    tl.store(out + lane * E + columns, tl.load(table + row * E + columns, mask=columns < E), mask=columns < E)


def embed(table: Tensor, ids: Tensor) -> Tensor:
    """As `plain.embed`."""
    width = table.shape[1]
    out = table.new_empty(len(ids), width)
    embed_kernel[(len(ids), triton.cdiv(width, 1024))](
        table, ids, out, E=width, BLOCK=1024, CHAINED=CHAINED, **chained()
    )
    return out
