"""How kernels are launched: overlap, scratch memory, and the first kernel of a step, the embedding."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PDL = torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 9
LEAST = 1 << 20  # elements of scratch memory that are allocated at least


def pdl_options() -> dict[str, bool]:
    """Let a kernel begin while the previous one ends (programmatic dependent launch)."""
    return {"launch_pdl": True} if PDL else {}


def multiprocessors() -> int:
    if not torch.cuda.is_available():  # triton's interpreter
        return 8
    return torch.cuda.get_device_properties(torch.cuda.current_device()).multi_processor_count


SCRATCH: dict[Any, list[tuple[Tensor, Tensor]]] = {}


def scratch(device: torch.device, floats: int, counters: int) -> tuple[Tensor, Tensor]:
    """Scratch memory and counters for the parts of a kernel; all kernels of a device share them in turn.

    Old buffers are never freed: captured CUDA graphs go on using them.
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
def embed_kernel(table, ids, out, E: tl.constexpr, BLOCK: tl.constexpr, PDL: tl.constexpr):
    """The embedding of one id."""
    item = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    row = tl.load(ids + item)
    tl.store(out + item * E + columns, tl.load(table + row * E + columns, mask=columns < E), mask=columns < E)


def embed(table: Tensor, ids: Tensor) -> Tensor:
    """As `reference.embed`."""
    width = table.shape[1]
    out = table.new_empty(len(ids), width)
    embed_kernel[(len(ids), triton.cdiv(width, 1024))](
        table, ids, out, E=width, BLOCK=1024, PDL=PDL, **pdl_options()
    )
    return out
