"""How a model of transformers goes on from a cached state, found by trying it.

Some architectures ignore what they remember when they read several tokens at once, and some keep their state
where nobody else can hold it. None of them says so: the logits are wrong.
"""

import inspect
import itertools
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from mtchat.inference.hf.kv_layer import KVLayer

GROWING = (DynamicLayer, DynamicSlidingWindowLayer)  # layers that a KVLayer can stand for
PROBES, READ, ADDED = 3, 5, 4  # texts that are tried, and their tokens before and after the state
LEAST_CHANGE = 1e-3  # of a tensor, by forgetting, that says anything
LARGEST_LOGIT_ERROR, LARGEST_STATE_ERROR, LARGEST_ROUNDED_STATE_ERROR = 0.5, 0.01, 0.1
SINGLE = 1e-5  # the precision of 32 bits is below
REFUSALS = (TypeError, ValueError, AttributeError, NotImplementedError)  # of a cache that is not their own


class Resumption(Enum):
    """What can follow a cached state: several tokens, one at a time, or none, since there is no state."""

    CHUNKS = "several tokens at a time"
    TOKENS = "one token at a time"
    NEVER = "nothing: the whole text is read again"


def new_layers(config: Any) -> list[Any]:
    """Empty layers of a cache: ours where the keys and values grow, those of transformers elsewhere."""
    return [KVLayer() if type(layer) in GROWING else layer for layer in DynamicCache(config=config).layers]


def is_croppable(model: Any) -> bool:
    """Whether everything that a model remembers are keys and values, which can be cut at any position."""
    takes_cache = cache_name(model) == "past_key_values"
    return takes_cache and all(isinstance(each, KVLayer | DummyLayer) for each in new_layers(model.config))


def cache_name(model: Any) -> str:
    """The name that the forward pass of a model has for its cache; "" if it takes none."""
    names = inspect.signature(model.forward).parameters
    return next((name for name in ("past_key_values", "cache_params") if name in names), "")


def run_model(model: Any, ids: Sequence[int], start: int, cache: Cache | None, wanted: int) -> Tensor:
    """The logits (wanted, V) after the last of `ids`, which come after `start` cached tokens."""
    tokens = torch.tensor([list(ids)], device=model.device)  # (1, T)
    kept: dict[str, Any] = {cache_name(model): cache} if cache is not None else {}
    if "position_ids" in inspect.signature(model.forward).parameters:
        kept["position_ids"] = torch.arange(start, start + len(ids), device=model.device)[None]
    logits: Tensor = model(
        input_ids=tokens, use_cache=cache is not None, logits_to_keep=wanted, **kept
    ).logits[0, -wanted:]
    return logits


def state_tensors(value: object) -> Iterator[Tensor]:
    """All tensors that a cache layer, or a value inside one, holds."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from state_tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from state_tensors(each)
    elif isinstance(value, CacheLayerMixin | LinearAttentionCacheLayerMixin):
        yield from state_tensors(vars(value))


@torch.inference_mode()
def find_resumption(model: Any) -> Resumption:
    """How a model goes on from a state: the first way that ends where reading the whole text does.

    Rounding can send a token to other experts and so be far off on one text, but hardly on all.
    """
    if not cache_name(model):
        return Resumption.NEVER
    try:
        for way, step in ((Resumption.CHUNKS, ADDED), (Resumption.TOKENS, 1)):
            if any(continuation_error(model, probe, step) < 1 for probe in range(PROBES)):
                return way
    except REFUSALS:
        pass  # it keeps its state in a cache of its own
    return Resumption.NEVER


def continuation_error(model: Any, probe: int, step: int) -> float:
    """How wrong it is to read a text in two parts, the second `step` ids at a time; above 1 is too wrong.

    Looked at are the logits and the first layer that has a state: there rounding has hardly added up, and the
    others are computed by the same code. A difference counts by what forgetting the first part would change.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = [(1 + probe + 7 * at * at + at) * 7919 % rows for at in range(READ + ADDED)]
    steps = [ids[at : at + step] for at in range(READ, len(ids), step)]
    whole, forgotten = results(model, [ids]), results(model, [ids[READ:]])
    found = results(model, [ids[:READ], *steps])
    precision = torch.finfo(model.dtype).eps
    state_error = LARGEST_STATE_ERROR if precision < SINGLE else LARGEST_ROUNDED_STATE_ERROR
    largest = [LARGEST_LOGIT_ERROR, *[state_error] * (len(whole) - 1)]
    return max(
        (
            float((one - other).norm() / (without - other).norm()) / limit
            for one, without, other, limit in zip(found, forgotten, whole, largest, strict=True)
            if one.shape == without.shape == other.shape
            and (without - other).norm() > max(LEAST_CHANGE, 8 * precision) * other.norm()
        ),
        default=0.0,
    )


def results(model: Any, parts: Sequence[Sequence[int]]) -> list[Tensor]:
    """The logits after a text that is read in parts, and the state of the first layer that has one.

    Between the parts the model reads another text, as it does for candidates. ValueError if a layer that
    should remember something does not: its module keeps it.
    """
    cache, start = Cache(layers=new_layers(model.config)), 0
    for part in parts:
        if start:
            run_model(model, part, 0, Cache(layers=new_layers(model.config)), 1)
        logits = run_model(model, part, start, cache, 1)
        start += len(part)
    layers = [layer for layer in cache.layers if not isinstance(layer, KVLayer | DummyLayer)]
    states = [list(state_tensors(layer)) for layer in layers]
    if not all(states):
        raise ValueError("a layer of the cache is empty")
    return [each.double() for each in (logits, *itertools.chain(*states[:1]))]
