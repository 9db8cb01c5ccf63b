"""The weights of a transformers model as few large matrices, so that a token's step reads each once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """A layer's normalisation: LayerNorm where it has a bias, else by the root mean square."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float


@dataclass(frozen=True)
class Matrix:
    """A linear layer (N, K) after a normalisation of its input, if any.

    `lifted` (N,) is the sum over K of each row times the norm's weight, and `shift` (N,) what the norm's bias
    and the layer's own add: with them a product needs no normalised copy of its input. Where there are
    `scales` (N,), the weight is whole numbers of 8 bits, and each row is that times its scale.

    Where there are `groups` (N, K / G, 2), the weight is words (N, K / 8) of 32 bits, numbers of 4: column
    32 b + 4 p + j is the p-th number, from the low bits on, of word 4 b + j. A group of G columns is a step
    and a least: a weight is the step times its number, and the least.
    """

    weight: Tensor
    bias: Tensor | None
    norm: Norm | None = None
    lifted: Tensor | None = None
    shift: Tensor | None = None
    scales: Tensor | None = None
    groups: Tensor | None = None

    @property
    def columns(self) -> int:
        return self.weight.shape[1] * (1 if self.groups is None else 8)

    @property
    def group(self) -> int:
        """The columns of a group; 0 where there are none."""
        return 0 if self.groups is None else self.columns // self.groups.shape[1]

    @property
    def pairs(self) -> Tensor | None:
        """The groups (N, K / G), a step and a least in each word of 32 bits."""
        return None if self.groups is None else self.groups.view(torch.int32)[..., 0]

    @property
    def bytes(self) -> int:
        """Of the weight and what gives it back."""
        parts = [each for each in (self.weight, self.scales, self.groups) if each is not None]
        return sum(each.numel() * each.element_size() for each in parts)


@dataclass(frozen=True)
class Layer:
    """`inward` gives queries, keys and values, in a parallel layer the feed-forward's inside too.

    `outward` takes what attention found, in a parallel layer the feed-forward's inside behind it. A serial
    layer goes on with `gates` (gates above ups) and `down`.
    """

    inward: Matrix
    outward: Matrix
    gates: Matrix | None = None
    down: Matrix | None = None


@dataclass(frozen=True)
class Shape:
    """`width` is that of one head, of which the first `rotated` turn: pairs side by side, or half by half."""

    heads: int
    kv_heads: int
    width: int
    rotated: int
    interleaved: bool
    context: int


@dataclass(frozen=True)
class Weights:
    """A model; `cosines` and `sines` (P, rotated / 2) are those of each position."""

    shape: Shape
    embedding: Tensor
    layers: tuple[Layer, ...]
    head: Matrix
    cosines: Tensor
    sines: Tensor

    @property
    def bytes(self) -> int:
        """What one token's step reads."""
        return sum(each.bytes for each in matrices(self))


def matrix(weight: Tensor, bias: Tensor | None, norm: Norm | None = None) -> Matrix:
    """A linear layer with what is known of its product beforehand."""
    made = Matrix(weight, bias, norm, shift=bias.float() if norm and bias is not None else None)
    return reckoned(made, torch.split(weight, 4096))


def reckoned(matrix: Matrix, parts: Iterable[Tensor]) -> Matrix:
    """A layer with its `lifted` and `shift`, where its norm has a bias; its rows come in parts."""
    norm = matrix.norm
    if norm is None or norm.bias is None:
        return matrix
    scale, bias = norm.weight.float(), norm.bias.float()
    found = [(rows @ scale, rows @ bias) for rows in (part.float() for part in parts)]
    lifted, shift = (torch.cat(each) for each in zip(*found, strict=True))
    return replace(matrix, lifted=lifted, shift=shift if matrix.bias is None else shift + matrix.bias.float())


def matrices(weights: Weights) -> Iterator[Matrix]:
    for layer in weights.layers:
        yield from (each for each in (layer.inward, layer.outward, layer.gates, layer.down) if each)
    yield weights.head
