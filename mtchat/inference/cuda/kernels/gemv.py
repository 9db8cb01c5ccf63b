"""Linear layers for one sequence: matrix-vector products with the norm before them and the epilogue fused.

The norm is computed in the same pass over the input as the product:
y = scale (W (g x) - mean (W g)) + (W b + bias), where W g and W b + bias are known beforehand.
"""

import triton
import triton.language as tl
from torch import Tensor

from mtchat.inference.cuda.kernels.epilogue import BITS, apply_norm, epilogue, unpack_group, unpack_int4
from mtchat.inference.cuda.kernels.launch import PDL, pdl_options
from mtchat.inference.cuda.reference import GATE, GELU
from mtchat.inference.cuda.weights import LinearWeights


@triton.jit
def gemv_kernel(
    x, weight, stride, scales, bias, weight_sums, residual, norm, out, epsilon, first,
    N: tl.constexpr, K: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    SCALED: tl.constexpr, LATE: tl.constexpr,
    GELU: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """One vector through a linear layer, ROWS of its rows in each program.

    All but the first LATE columns of the vector are older than the previous kernel: they are loaded first.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < N
    begin = tl.arange(0, COLUMNS)
    place = weight + rows.to(tl.int64)[:, None] * stride + begin[None, :]
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    ups = tl.zeros((ROWS, COLUMNS), tl.float32)
    total = tl.zeros((COLUMNS,), tl.float32)
    squares = tl.zeros((COLUMNS,), tl.float32)
    # weights are loaded before the vector is known, and always one chunk ahead
    if LATE < K:
        early = place + LATE
        some = tl.load(early, mask=inside[:, None], other=0)
        for start in range(LATE, K, COLUMNS):
            early += COLUMNS
            mask = inside[:, None] & (start + COLUMNS + begin < K)[None, :]
            next = tl.load(early, mask=mask, other=0)
            # bypass the L1 cache, which may hold the previous layer's values at these addresses
            values = tl.load(x + start + begin, cache_modifier=".cg").to(tl.float32)
            sums += some.to(tl.float32) * values[None, :]
            some = next
    mask = inside[:, None] & (begin < LATE)[None, :]
    some = tl.load(place, mask=mask, other=0)
    other = tl.load(place + N * stride, mask=mask, other=0) if GATE else some
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    for start in range(0, LATE, COLUMNS):
        columns = start + begin
        known = columns < LATE
        mask = inside[:, None] & (columns + COLUMNS < LATE)[None, :]
        place += COLUMNS
        next = tl.load(place, mask=mask, other=0)
        values = tl.load(x + columns, mask=known, other=0.0).to(tl.float32)
        if NORM:
            total += values
            squares += values * values
            values *= tl.load(norm + columns, mask=known, other=0.0).to(tl.float32)
        sums += some.to(tl.float32) * values[None, :]
        some = next
        if GATE:
            next = tl.load(place + N * stride, mask=mask, other=0)
            ups += other.to(tl.float32) * values[None, :]
            other = next
    found = tl.sum(sums, 1)
    raised = tl.sum(ups, 1)
    if SCALED:
        found *= tl.load(scales + rows, mask=inside, other=0.0)
        raised *= tl.load(scales + N + rows, mask=inside, other=0.0) if GATE else 1.0
    found, raised = apply_norm(
        found, raised, tl.sum(total), tl.sum(squares), weight_sums, rows, inside, epsilon, K, NORM
    )
    epilogue(
        found, raised, bias, residual, out, rows, inside, rows, inside, first, BIAS, RESIDUAL, GELU, GATE
    )


# each thread should load the scale of its own block: with known alignment it would load several
@triton.jit(do_not_specialize_on_alignment=["groups"])
def gemv_int4_kernel(
    x, weight, groups, bits_256, bits_16, bias, weight_sums, residual, norm, out, epsilon, first,
    N: tl.constexpr, K: tl.constexpr, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    GROUP: tl.constexpr, GELU: tl.constexpr, GATE: tl.constexpr, ROWS: tl.constexpr, BLOCKS: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """As `gemv_kernel`, for int4 weights, BLOCKS of 32 columns at a time.

    A thread loads one block, four words, at once. Its 4-bit numbers are multiplied as they are; the sum is
    then multiplied by the scale of the group.
    """
    words: tl.constexpr = K // 8
    chunk: tl.constexpr = BLOCKS * 4
    up: tl.constexpr = N * words
    up_pair: tl.constexpr = N * (K // GROUP)
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = rows < N
    word, block = tl.arange(0, chunk), tl.arange(0, BLOCKS)
    place = weight + rows.to(tl.int64)[:, None] * words + word[None, :]
    pairs = groups + rows[:, None] * (K // GROUP) + (block // (GROUP // 32))[None, :]
    mask = inside[:, None] & (word < words)[None, :]
    mask_pair = inside[:, None] & (block * 4 < words)[None, :]
    some, pair = tl.load(place, mask=mask, other=0), tl.load(pairs, mask=mask_pair, other=0)
    if GATE:
        other = tl.load(place + up, mask=mask, other=0)
        other_pair = tl.load(pairs + up_pair, mask=mask_pair, other=0)
    if PDL:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    sums = tl.zeros((ROWS, BLOCKS), tl.float32)
    ups = tl.zeros((ROWS, BLOCKS), tl.float32)
    total = tl.zeros((chunk,), tl.float32)
    squares = tl.zeros((chunk,), tl.float32)
    for start in range(0, words, chunk):
        place += chunk
        pairs += BLOCKS * 32 // GROUP
        mask = inside[:, None] & (start + chunk + word < words)[None, :]
        mask_pair = inside[:, None] & (start + chunk + block * 4 < words)[None, :]
        next, next_pair = tl.load(place, mask=mask, other=0), tl.load(pairs, mask=mask_pair, other=0)
        found = tl.zeros((ROWS, chunk), tl.float32)
        raised = tl.zeros((ROWS, chunk), tl.float32)
        even = tl.zeros((chunk,), tl.float32)
        odd = tl.zeros((chunk,), tl.float32)
        known = start + word < words
        for at in tl.static_range(8):
            columns = (start + word) // 4 * 32 + at * 4 + word % 4
            values = tl.load(x + columns, mask=known, other=0.0).to(tl.float32)
            if NORM:
                total += values
                squares += values * values
                values *= tl.load(norm + columns, mask=known, other=0.0).to(tl.float32)
            if at % 2:
                odd += values
            else:
                even += values
            found += unpack_int4(some, bits_256, bits_16, at) * values[None, :]
            if GATE:
                raised += unpack_int4(other, bits_256, bits_16, at) * values[None, :]
        held = tl.sum(tl.reshape(even + odd, (1, BLOCKS, 4)), 2)
        added = tl.sum(tl.reshape(256 * even + 16 * odd, (1, BLOCKS, 4)), 2)
        step, least = unpack_group(pair)
        sums += step * (tl.sum(tl.reshape(found, (ROWS, BLOCKS, 4)), 2) - added) + least * held
        some, pair = next, next_pair
        if GATE:
            step, least = unpack_group(other_pair)
            ups += step * (tl.sum(tl.reshape(raised, (ROWS, BLOCKS, 4)), 2) - added) + least * held
            other = tl.load(place + up, mask=mask, other=0)
            other_pair = tl.load(pairs + up_pair, mask=mask_pair, other=0)
    found, raised = tl.sum(sums, 1), tl.sum(ups, 1)
    found, raised = apply_norm(
        found, raised, tl.sum(total), tl.sum(squares), weight_sums, rows, inside, epsilon, K, NORM
    )
    epilogue(
        found, raised, bias, residual, out, rows, inside, rows, inside, first, BIAS, RESIDUAL, GELU, GATE
    )


def linear(
    x: Tensor, matrix: LinearWeights, residual: Tensor | None, activation: str, first: int, late: int
) -> Tensor:
    """As `reference.linear`, for one vector."""
    count = matrix.weight.shape[0] // (2 if activation == GATE else 1)
    out = x.new_empty(1, count)
    norm = matrix.norm
    bias = matrix.bias if norm is None else matrix.folded_bias
    given = (bias, matrix.weight_sums, residual, norm.weight if norm else None)
    options = {
        "N": count,
        "K": matrix.columns,
        "NORM": 0 if norm is None else 1 if norm.bias is not None else 2,
        "BIAS": bias is not None,
        "RESIDUAL": residual is not None,
        "GELU": activation == GELU,
        "GATE": activation == GATE,
        "PDL": PDL,
        **pdl_options(),
    }
    written = (out, norm.epsilon if norm else 0.0, first)
    if matrix.groups is None:
        rows, wide, warps = tile(count, matrix.columns, late, activation == GATE)
        if matrix.scales is not None:
            rows *= 2  # a fifth fewer instructions per weight: the vector serves twice the rows
        if not late or late % wide or matrix.columns % wide or norm or activation:
            late = matrix.columns  # all of them: the early loop has no norm and no gate
        grid = (triton.cdiv(count, rows),)
        gemv_kernel[grid](
            x, matrix.weight, matrix.weight.stride(0), matrix.scales, *given, *written,
            SCALED=matrix.scales is not None, LATE=late, ROWS=rows, COLUMNS=wide, num_warps=warps, **options,
        )  # fmt: skip
        return out
    rows, blocks, warps = tile_4(count, matrix.columns)
    gemv_int4_kernel[(triton.cdiv(count, rows),)](
        x, matrix.weight, matrix.packed_groups, *BITS, *given, *written,
        GROUP=matrix.group, ROWS=rows, BLOCKS=blocks, num_warps=warps, **options,
    )  # fmt: skip
    return out


def tile(rows: int, columns: int, late: int, gate: bool) -> tuple[int, int, int]:
    """Rows and columns of a program's tile in `gemv_kernel`, and its warps: the best of sweeps on an H100."""
    if late:
        wide, warps = (1024, 4) if rows <= 4096 else (2048, 8)
        return 2, min(late & -late, wide), warps
    if gate:
        return (8, 256, 4) if columns <= 1024 else (1, 512, 4) if columns <= 2048 else (1, 2048, 8)
    if rows <= 4096 and columns > 2048:
        return 1, 2048, 8
    if rows <= 2048:
        return 4, (512 if rows <= 1024 else 1024), 8
    if columns <= 1024:
        return 8, (256 if rows < 20000 else 512), 4
    if columns <= 2048:
        return 4, 512, 8
    return (2, 1024, 4) if columns < 4096 else (2, 2048, 8)


def tile_4(rows: int, columns: int) -> tuple[int, int, int]:
    """Rows and 32-column blocks of a program's tile in `gemv_int4_kernel`, and its warps.

    The best of a sweep on an H100.
    """
    if rows <= 1024 and columns > 4096:
        return 2, 256, 8
    if rows > 8192:
        return 4, 32, 1
    return (8, 32, 1) if rows > 2048 and columns <= 1024 else (4, 64, 2)
