"""Quantisation of a model's matrices for the GPU: int8 per row, or int4 in groups of 32 columns."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from mtchat.inference.cuda.weights import FusedLayer, FusedWeights, LinearWeights, fold_norm

GROUP = 32  # columns that share a scale and a minimum in int4; the kernels load 32 columns at a time
LARGEST = 15  # of a 4-bit number
CHUNK_WEIGHTS = 1 << 24  # weights that are quantised or dequantised at a time
STEPS = tuple(LARGEST + tenths / 10 for tenths in range(-10, 11, 2))  # tried as the steps of a group's range


def quantise_int8(matrix: LinearWeights) -> LinearWeights:
    """Symmetric int8: each row is scaled so that its largest absolute weight becomes 127."""
    scales = torch.cat([matrix.weight[rows].float().abs().amax(1) for rows in row_chunks(matrix)]) / 127
    scales = scales.clamp(min=torch.finfo(torch.float32).tiny)
    weight = torch.empty_like(matrix.weight, dtype=torch.int8, memory_format=torch.contiguous_format)
    for rows in row_chunks(matrix):
        weight[rows] = (matrix.weight[rows].float() / scales[rows, None]).round().to(torch.int8)
    made = replace(matrix, weight=weight, scales=scales)
    return fold_norm(made, dequantised_rows(made))


def quantise_int4(matrix: LinearWeights) -> LinearWeights:
    """Asymmetric int4, a scale and a minimum per group; int8 if the columns are no multiple of a group."""
    count, columns = matrix.weight.shape
    if columns % GROUP:
        return quantise_int8(matrix)
    weight = matrix.weight.new_empty(count, columns // 8, dtype=torch.int32)
    groups = matrix.weight.new_empty(count, columns // GROUP, 2, dtype=torch.float16)
    for rows in row_chunks(matrix):
        values = matrix.weight[rows].float().reshape(-1, columns // GROUP, GROUP)
        groups[rows] = fit_groups(values)
        weight[rows] = pack_int4(quantise_groups(values, groups[rows]).flatten(1))
    made = replace(matrix, weight=weight, groups=groups)
    return fold_norm(made, dequantised_rows(made))


def fit_groups(values: Tensor) -> Tensor:
    """The scales and minima (..., 2) in float16 with the least squared error of groups (..., G).

    Candidates are the range of a group in 15 steps, and least-squares fits to the numbers that slightly more
    or fewer steps give, as in llama.cpp's make_qkx2_quants.
    """
    least, most = values.aminmax(dim=-1)
    best = step_and_minimum((most - least) / LARGEST, least)
    error = squared_error(values, best)
    for steps in STEPS:
        tried = least_squares(
            values, quantise_groups(values, torch.stack([(most - least) / steps, least], -1))
        )
        found = squared_error(values, tried)
        best = tried.where((found < error)[..., None], best)
        error = error.minimum(found)
    return best


def pack_int4(found: Tensor) -> Tensor:
    """32-bit words (N, K / 8) of 4-bit numbers (N, K), in the order that `LinearWeights` describes."""
    places = torch.arange(0, 32, 4, dtype=torch.int32, device=found.device)
    moved = found.to(torch.int32).reshape(len(found), -1, 8, 4) << places[:, None]
    return moved.sum(2, dtype=torch.int32).flatten(1)


def unpack_int4(words: Tensor) -> Tensor:
    """The 4-bit numbers (N, K) of words (N, K / 8)."""
    places = torch.arange(0, 32, 4, dtype=torch.int32, device=words.device)
    found = words.reshape(len(words), -1, 1, 4) >> places[:, None] & LARGEST
    return found.flatten(1)


def step_and_minimum(step: Tensor, least: Tensor) -> Tensor:
    return torch.stack([step, least], -1).half()


def quantise_groups(values: Tensor, groups: Tensor) -> Tensor:
    """The 4-bit numbers (..., G) of weights (..., G), by the scales and minima (..., 2) of their groups."""
    step, least = groups.float()[..., None].unbind(-2)
    nearest = (values - least) / step.clamp(min=torch.finfo(torch.float32).tiny)
    return nearest.round_().clamp_(0, LARGEST)


def dequantise_groups(found: Tensor, groups: Tensor) -> Tensor:
    """The weights (..., G) in float32 of 4-bit numbers."""
    step, least = groups.float()[..., None].unbind(-2)
    return found.float() * step + least


def squared_error(values: Tensor, groups: Tensor) -> Tensor:
    """The squared error (...) of each group after quantisation."""
    return (dequantise_groups(quantise_groups(values, groups), groups) - values).square_().sum(-1)


def least_squares(values: Tensor, found: Tensor) -> Tensor:
    """The scale and minimum of groups that fit their weights best with given 4-bit numbers."""
    middle, mean = found.mean(-1, keepdim=True), values.mean(-1)
    apart = found - middle
    step = (apart * values).sum(-1) / apart.square().sum(-1).clamp(min=0.5)
    return step_and_minimum(step, mean - step * middle[..., 0])


def dequantise(matrix: LinearWeights, dtype: torch.dtype) -> Tensor:
    """The weight (N, K) of a linear layer, however it is stored."""
    if matrix.scales is None and matrix.groups is None:
        return matrix.weight.to(dtype)
    weight = matrix.weight.new_empty(len(matrix.weight), matrix.columns, dtype=dtype)
    for rows, part in zip(row_chunks(matrix), dequantised_rows(matrix), strict=True):
        weight[rows] = part
    return weight


def dequantised_rows(matrix: LinearWeights) -> Iterator[Tensor]:
    """The weight in float32, a chunk of rows at a time."""
    for rows in row_chunks(matrix):
        weight = matrix.weight[rows]
        if matrix.groups is not None:
            groups = matrix.groups[rows]
            yield dequantise_groups(unpack_int4(weight).reshape(*groups.shape[:2], -1), groups).flatten(1)
        else:
            yield weight.float() if matrix.scales is None else weight * matrix.scales[rows, None]


def row_chunks(matrix: LinearWeights) -> Iterator[slice]:
    count = max(CHUNK_WEIGHTS // matrix.columns, 1)
    return (slice(first, first + count) for first in range(0, len(matrix.weight), count))


@torch.no_grad()
def quantise_weights(weights: FusedWeights, way: Callable[[LinearWeights], LinearWeights]) -> FusedWeights:
    """Quantise all layers, one matrix at a time; the head becomes int8 and the embedding stays."""

    def quantised(layer: FusedLayer) -> FusedLayer:
        gates, down = layer.gates and way(layer.gates), layer.down and way(layer.down)
        return FusedLayer(way(layer.input_proj), way(layer.output_proj), gates, down)

    return replace(weights, layers=tuple(map(quantised, weights.layers)), head=quantise_int8(weights.head))
