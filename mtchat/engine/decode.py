"""Decoding as small functions over token ids and tensors: prefill, and one step."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mtchat.engine.prefix import Prefix

CHUNK = 256


def prefill(model: Any, prefix: Prefix, ids: Sequence[int]) -> Iterator[Tensor]:
    """Run what `prefix` lacks of `ids`, in chunks; after each the logits that follow it: (1, V) float32."""
    for start in range(prefix.keep(ids), len(ids), CHUNK):
        yield forward(model, prefix, ids[start : start + CHUNK])


def step(model: Any, prefix: Prefix, ids: Sequence[int]) -> Tensor:
    """The logits after `ids`, (1, V) float32: one token's work when all but the last are in `prefix`."""
    *_, logits = prefill(model, prefix, ids)
    return logits


@torch.inference_mode()
def forward(model: Any, prefix: Prefix, ids: Sequence[int]) -> Tensor:
    start = len(prefix.ids)
    tokens = torch.tensor([list(ids)], device=model.device)  # (1, T)
    positions = torch.arange(start, start + len(ids), device=model.device)[None]  # (1, T)
    with prefix.extending(ids) as cache:
        output = model(
            input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
        )
    logits: Tensor = output.logits[:, -1].float()  # (1, V)
    return logits
