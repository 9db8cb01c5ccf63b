"""Fused weights: a model as few large matrices, each of which a decode step reads once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class NormWeights:
    """A normalisation: LayerNorm if it has a bias, else RMSNorm."""

    weight: Tensor
    bias: Tensor | None
    epsilon: float


@dataclass(frozen=True)
class LinearWeights:
    """A linear layer (N, K) and the normalisation of its input, if any.

    `weight_sums` (N,) is the sum over K of each row times the norm's weight, and `folded_bias` (N,) what the
    norm's bias and the layer's own add: with them a kernel needs no normalised copy of its input. With
    `scales` (N,), the weight is int8, and each row is multiplied by its scale.

    With `groups` (N, K / G, 2), the weight is 32-bit words (N, K / 8) of 4-bit numbers: column
    32 b + 4 p + j is number p, from the low bits on, of word 4 b + j. A group of G columns has a scale
    and a minimum: a weight is the scale times its number, plus the minimum.
    """

    weight: Tensor
    bias: Tensor | None
    norm: NormWeights | None = None
    weight_sums: Tensor | None = None
    folded_bias: Tensor | None = None
    scales: Tensor | None = None
    groups: Tensor | None = None

    @property
    def columns(self) -> int:
        return self.weight.shape[1] * (1 if self.groups is None else 8)

    @property
    def group(self) -> int:
        """The columns of a group; 0 without groups."""
        return 0 if self.groups is None else self.columns // self.groups.shape[1]

    @property
    def packed_groups(self) -> Tensor | None:
        """The groups (N, K / G), a scale and a minimum in each 32-bit word."""
        return None if self.groups is None else self.groups.view(torch.int32)[..., 0]

    @property
    def bytes(self) -> int:
        """The bytes of the weight with its scales or groups."""
        parts = [each for each in (self.weight, self.scales, self.groups) if each is not None]
        return sum(each.numel() * each.element_size() for each in parts)


@dataclass(frozen=True)
class FusedLayer:
    """A transformer layer. `input_proj` gives queries, keys and values; in a parallel layer (GPT-J) also the
    hidden columns of the feed-forward, which `output_proj` then takes after the output of attention.

    A serial layer goes on with `gates` (gate rows above up rows) and `down`.
    """

    input_proj: LinearWeights
    output_proj: LinearWeights
    gates: LinearWeights | None = None
    down: LinearWeights | None = None


@dataclass(frozen=True)
class GpuShape:
    """The sizes of attention: `width` is that of one head, whose first `rotary_columns` are rotated.

    Rotated pairs are neighbours if `interleaved` (GPT-J), else halves of the head (NeoX).
    """

    heads: int
    kv_heads: int
    width: int
    rotary_columns: int
    interleaved: bool
    context: int


@dataclass(frozen=True)
class FusedWeights:
    """A model; `cosines` and `sines` (P, rotary_columns / 2) are those of each position."""

    shape: GpuShape
    embedding: Tensor
    layers: tuple[FusedLayer, ...]
    head: LinearWeights
    cosines: Tensor
    sines: Tensor

    @property
    def bytes(self) -> int:
        """The bytes that a decode step reads."""
        return sum(each.bytes for each in linear_layers(self))


def linear_weights(weight: Tensor, bias: Tensor | None, norm: NormWeights | None = None) -> LinearWeights:
    """A linear layer with its norm folded in as far as possible."""
    made = LinearWeights(weight, bias, norm, folded_bias=bias.float() if norm and bias is not None else None)
    return fold_norm(made, torch.split(weight, 4096))


def fold_norm(matrix: LinearWeights, parts: Iterable[Tensor]) -> LinearWeights:
    """Compute `weight_sums` and `folded_bias` if the norm has a bias, from chunks of dequantised rows."""
    norm = matrix.norm
    if norm is None or norm.bias is None:
        return matrix
    scale, bias = norm.weight.float(), norm.bias.float()
    found = [(rows @ scale, rows @ bias) for rows in (part.float() for part in parts)]
    weight_sums, folded_bias = (torch.cat(each) for each in zip(*found, strict=True))
    return replace(
        matrix,
        weight_sums=weight_sums,
        folded_bias=folded_bias if matrix.bias is None else folded_bias + matrix.bias.float(),
    )


def linear_layers(weights: FusedWeights) -> Iterator[LinearWeights]:
    for layer in weights.layers:
        yield from (each for each in (layer.input_proj, layer.output_proj, layer.gates, layer.down) if each)
    yield weights.head
