"""The key/value cache of one token sequence: what a new sequence shares with it at the front is kept."""

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from mtchat.inference.decoder import Logits, check_ids

CROPPABLE = {"full_attention", "sliding_attention"}
SEQUENCES = 4  # kept besides those that are open
LOSS = 32  # tokens that are sooner computed again than copied


class Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, (1, H, capacity, D), of which the first `length` positions are filled.

    transformers' own layer copies all of them for every token; this one writes the new one in place.
    A sliding window is left to the mask, so that positions which slid out can come back.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append (1, H, T, D); all filled positions come back as views (1, H, length, D)."""
        if self.keys is None or self.values is None:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        end = self.length + key_states.shape[-2]
        self.keys = put(self.keys, key_states, self.length)
        self.values = put(self.values, value_states, self.length)
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def keep(self, length: int) -> None:
        self.length = min(self.length, length)


def put(buffer: Tensor, new: Tensor, start: int) -> Tensor:
    """`buffer` with `new` written at position `start`, in a buffer of twice the size when it is full."""
    end = start + new.shape[-2]
    if end > buffer.shape[-2]:
        wider = new.new_empty(*new.shape[:2], max(2 * buffer.shape[-2], end, 256), new.shape[-1])
        wider[:, :, :start] = buffer[:, :, :start]
        buffer = wider
    buffer[:, :, start:end] = new
    return buffer


class Prefix:
    """What the model has seen. `ids` is the truth: a layer that an interrupt left ahead of it is cut back."""

    def __init__(self, config: Any) -> None:
        text = config.get_text_config(decoder=True)
        types = set(getattr(text, "layer_types", None) or ())
        self.config = text
        self.croppable = types <= CROPPABLE
        self.forget()

    def forget(self) -> None:
        self.ids: list[int] = []
        self.whole = True
        self.layers = [Layer() for _ in range(self.config.num_hidden_layers)] if self.croppable else []
        # recurrent layers cannot go back, so their models start anew unless a sequence only grows
        self.cache: Any = Cache(layers=[*self.layers]) if self.layers else DynamicCache(config=self.config)

    def keep(self, ids: Sequence[int]) -> int:
        """Cut back to what `ids` shares, but for its last id, whose logits are wanted; how many are left."""
        length = min(shared(self.ids, ids), len(ids) - 1)
        if self.croppable:
            del self.ids[length:]
            for layer in self.layers:
                layer.keep(length)
        elif length < len(self.ids) or not self.whole:
            self.forget()
        return len(self.ids)

    def copy(self, length: int) -> "Prefix":
        """A cache of its own for the first `length` positions."""
        twin = Prefix(self.config)
        for mine, other in zip(self.layers, twin.layers, strict=True):
            if mine.keys is not None and mine.values is not None and length:
                other.update(mine.keys[:, :, :length], mine.values[:, :, :length])
        twin.ids = self.ids[:length]
        return twin

    @contextlib.contextmanager
    def extending(self, ids: Sequence[int]) -> Iterator[Any]:
        """The cache for a forward pass over `ids`, which count as seen when it has ended in every layer."""
        self.whole = False
        yield self.cache
        self.ids.extend(ids)
        self.whole = True


class Forest:
    """The caches of several sequences, so that going back to an earlier one computes nothing again.

    Each is a whole copy, so there are few: enough for the sequences that are open, and some more.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.prefixes = [Prefix(config)]  # the latest used is the last
        self.most = SEQUENCES

    @property
    def latest(self) -> Prefix:
        return self.prefixes[-1]

    def best(self, ids: Sequence[int], others: Sequence[Sequence[int]]) -> Prefix:
        """The cache that shares most with `ids`, to be cut back to it; a copy where much would be lost."""
        prefix = max(reversed(self.prefixes), key=lambda each: shared(each.ids, ids))
        length = shared(prefix.ids, ids)
        wanted = any(shared(prefix.ids, other) > length for other in others)
        rest = [each for each in self.prefixes if each is not prefix]
        if prefix.croppable and (wanted or len(prefix.ids) - length > LOSS):
            kept = max(self.most, len(others) + 1)
            rest, prefix = [*rest, prefix][-kept + 1 :], prefix.copy(length)
        self.prefixes = [*rest, prefix]
        return prefix


def shared(left: Sequence[int], right: Sequence[int]) -> int:
    """The length of the longest common prefix."""
    length = min(len(left), len(right))
    if left[:length] == right[:length]:
        return length
    return next(at for at, (one, other) in enumerate(zip(left, right, strict=False)) if one != other)


CHUNK = 256


class TorchPath:
    """A sequence by its ids; the cache that has it may meanwhile serve another."""

    def __init__(self, decoder: "TorchDecoder", ids: Sequence[int]) -> None:
        self.decoder = decoder
        self.ids = list(ids)
        self.followed: list[int] = []
        decoder.live.add(self)
        self.reused = self.prefix().keep(ids)

    def prefix(self) -> Prefix:
        return self.decoder.forest.best(
            self.ids, [each.ids for each in self.decoder.live if each is not self]
        )

    def read(self) -> Iterator[Logits]:
        check_ids(self.ids, self.decoder.rows)
        yield from self.compute(self.ids, 1)

    def extend(self, ids: Sequence[int]) -> None:
        self.ids += ids

    def follow(self, ids: Sequence[int]) -> Logits:
        self.followed = list(ids)
        check_ids(ids, self.decoder.rows)
        *_, logits = self.compute([*self.ids, *ids], len(ids))
        return logits.reshape(len(ids), -1)

    def keep(self, count: int) -> None:
        self.ids += self.followed[:count]
        self.followed = []

    def fork(self) -> "TorchPath":
        return TorchPath(self.decoder, self.ids)

    def compute(self, ids: Sequence[int], wanted: int) -> Iterator[Logits]:
        """Run what is not cached, in chunks; after each its last logits, of the last one `wanted` of them."""
        prefix = self.prefix()
        start = min(prefix.keep(ids), len(ids) - wanted)
        prefix.keep(ids[: start + 1])
        for first in range(start, len(ids), CHUNK):
            some = ids[first : first + CHUNK]
            rows = wanted if first + CHUNK >= len(ids) else 1
            yield forward(self.decoder.model, prefix, some, min(rows, len(some)))


class TorchDecoder:
    """A causal language model of transformers with the caches of several sequences."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.forest = Forest(model.config)
        self.live: weakref.WeakSet[TorchPath] = weakref.WeakSet()

    @property
    def rows(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def prefix(self) -> Prefix:
        """The cache that was used last."""
        return self.forest.latest

    def open(self, ids: Sequence[int]) -> TorchPath:
        return TorchPath(self, ids)

    def follow_each(self, paths: Sequence[TorchPath], ids: Sequence[int]) -> Logits:
        return numpy.concatenate([path.follow([id]) for path, id in zip(paths, ids, strict=True)])


@torch.inference_mode()
def forward(model: Any, prefix: Prefix, ids: Sequence[int], wanted: int) -> Logits:
    """The logits after the last ids: (V,) of one, (wanted, V) of more."""
    start = len(prefix.ids)
    tokens = torch.tensor([list(ids)], device=model.device)  # (1, T)
    positions = torch.arange(start, start + len(ids), device=model.device)[None]  # (1, T)
    with prefix.extending(ids) as cache:
        output = model(
            input_ids=tokens,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=wanted,
        )
    logits: Logits = output.logits[0, -wanted:].float().cpu().numpy()
    return logits[0] if wanted == 1 else logits
