"""The matrices of a model in 8 or 4 bits: whole numbers, with the scales that give the weights back."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from mtchat.inference.cuda.weights import Layer, Matrix, Weights, reckoned

GROUP = 32  # columns that share a step in 4 bits; the kernels take 32 at a time, of one group
LARGEST = 15  # of the numbers of 4 bits
AT_ONCE = 1 << 24  # weights that are rounded, or given back, at a time
STEPS = tuple(LARGEST + tenths / 10 for tenths in range(-10, 11, 2))  # in a group's range, as they are tried


def in_8_bits(matrix: Matrix) -> Matrix:
    """The nearest whole numbers of each row over the largest of them, which is 127."""
    scales = torch.cat([matrix.weight[rows].float().abs().amax(1) for rows in stretches(matrix)]) / 127
    scales = scales.clamp(min=torch.finfo(torch.float32).tiny)
    weight = torch.empty_like(matrix.weight, dtype=torch.int8, memory_format=torch.contiguous_format)
    for rows in stretches(matrix):
        weight[rows] = (matrix.weight[rows].float() / scales[rows, None]).round().to(torch.int8)
    made = replace(matrix, weight=weight, scales=scales)
    return reckoned(made, floats(made))


def in_4_bits(matrix: Matrix) -> Matrix:
    """Numbers that count a group's steps from its least; 8 bits where a row does not make whole groups."""
    count, columns = matrix.weight.shape
    if columns % GROUP:
        return in_8_bits(matrix)
    weight = matrix.weight.new_empty(count, columns // 8, dtype=torch.int32)
    groups = matrix.weight.new_empty(count, columns // GROUP, 2, dtype=torch.float16)
    for rows in stretches(matrix):
        values = matrix.weight[rows].float().reshape(-1, columns // GROUP, GROUP)
        groups[rows] = fitted(values)
        weight[rows] = packed(numbers(values, groups[rows]).flatten(1))
    made = replace(matrix, weight=weight, groups=groups)
    return reckoned(made, floats(made))


def fitted(values: Tensor) -> Tensor:
    """The step and the least (..., 2) in float16 of groups (..., G): of those tried, the nearest by squares.

    Tried are the range of a group in 15 steps, and what least squares make of the numbers that more and fewer
    steps give: after llama.cpp's make_qkx2_quants.
    """
    least, most = values.aminmax(dim=-1)
    best = pair((most - least) / LARGEST, least)
    error = missed(values, best)
    for steps in STEPS:
        tried = least_squares(values, numbers(values, torch.stack([(most - least) / steps, least], -1)))
        found = missed(values, tried)
        best = tried.where((found < error)[..., None], best)
        error = error.minimum(found)
    return best


def packed(found: Tensor) -> Tensor:
    """Words (N, K / 8) of numbers (N, K) as `Matrix` tells; their sum may be negative, being 32 bits."""
    places = torch.arange(0, 32, 4, dtype=torch.int32, device=found.device)
    moved = found.to(torch.int32).reshape(len(found), -1, 8, 4) << places[:, None]
    return moved.sum(2, dtype=torch.int32).flatten(1)


def unpacked(words: Tensor) -> Tensor:
    """The numbers (N, K) of words (N, K / 8)."""
    places = torch.arange(0, 32, 4, dtype=torch.int32, device=words.device)
    found = words.reshape(len(words), -1, 1, 4) >> places[:, None] & LARGEST
    return found.flatten(1)


def pair(step: Tensor, least: Tensor) -> Tensor:
    return torch.stack([step, least], -1).half()


def numbers(values: Tensor, groups: Tensor) -> Tensor:
    """The whole numbers (..., G) nearest to groups (..., G), by their steps and leasts (..., 2)."""
    step, least = groups.float()[..., None].unbind(-2)
    nearest = (values - least) / step.clamp(min=torch.finfo(torch.float32).tiny)
    return nearest.round_().clamp_(0, LARGEST)


def meant(found: Tensor, groups: Tensor) -> Tensor:
    """The weights (..., G) in float32 that whole numbers stand for."""
    step, least = groups.float()[..., None].unbind(-2)
    return found.float() * step + least


def missed(values: Tensor, groups: Tensor) -> Tensor:
    """The squared error (...) of groups when they are rounded so."""
    return (meant(numbers(values, groups), groups) - values).square_().sum(-1)


def least_squares(values: Tensor, found: Tensor) -> Tensor:
    """The step and the least of groups that are nearest to them with numbers as found."""
    middle, mean = found.mean(-1, keepdim=True), values.mean(-1)
    apart = found - middle
    step = (apart * values).sum(-1) / apart.square().sum(-1).clamp(min=0.5)
    return pair(step, mean - step * middle[..., 0])


def whole(matrix: Matrix, dtype: torch.dtype) -> Tensor:
    """The weight (N, K) of a matrix, however it is stored."""
    if matrix.scales is None and matrix.groups is None:
        return matrix.weight.to(dtype)
    weight = matrix.weight.new_empty(len(matrix.weight), matrix.columns, dtype=dtype)
    for rows, part in zip(stretches(matrix), floats(matrix), strict=True):
        weight[rows] = part
    return weight


def floats(matrix: Matrix) -> Iterator[Tensor]:
    """The weight in float32, some rows at a time."""
    for rows in stretches(matrix):
        weight = matrix.weight[rows]
        if matrix.groups is not None:
            groups = matrix.groups[rows]
            yield meant(unpacked(weight).reshape(*groups.shape[:2], -1), groups).flatten(1)
        else:
            yield weight.float() if matrix.scales is None else weight * matrix.scales[rows, None]


def stretches(matrix: Matrix) -> Iterator[slice]:
    count = max(AT_ONCE // matrix.columns, 1)
    return (slice(first, first + count) for first in range(0, len(matrix.weight), count))


@torch.no_grad()
def rounded(weights: Weights, way: Callable[[Matrix], Matrix]) -> Weights:
    """All matrices of the layers rounded, one by one; the head in 8 bits, and the embedding stays."""

    def small(layer: Layer) -> Layer:
        gates, down = layer.gates and way(layer.gates), layer.down and way(layer.down)
        return Layer(way(layer.inward), way(layer.outward), gates, down)

    return replace(weights, layers=tuple(map(small, weights.layers)), head=in_8_bits(weights.head))
