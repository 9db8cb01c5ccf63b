"""Chooses the next token: greedy, or at random by temperature, top-k and top-p with a seeded generator."""

import torch
from torch import Tensor

from mtchat.core.settings import Sampling


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """The next id of each row: logits (B, V) -> (B,) int64; temperature 0 is greedy.

    The generator lives on the CPU, so that a seed means the same on every device.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    kept = keep_top_p(keep_top_k(logits.cpu() / sampling.temperature, sampling.top_k), sampling.top_p)
    return torch.multinomial(kept.softmax(dim=-1), 1, generator=generator).squeeze(-1)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Only the k highest of each row stay finite, with those that equal the lowest of them; 0 keeps all."""
    if not 0 < k < logits.shape[-1]:
        return logits
    lowest = logits.topk(k, dim=-1).values[:, -1:]  # (B, 1)
    return logits.masked_fill(logits < lowest, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Only the smallest set of tokens that holds probability p stays finite, at least one of each row.

    Nucleus sampling: Holtzman et al. 2020, arXiv:1904.09751.
    """
    if p >= 1:
        return logits
    ascending, order = logits.sort(dim=-1)  # (B, V)
    dropped = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    dropped[:, -1] = False
    return logits.masked_fill(dropped.scatter(-1, order, dropped), float("-inf"))
