"""The rows of the embedding: what a step, or the reading of a prompt, begins with."""

import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda.kernels.launch import CHAINED, chained


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
