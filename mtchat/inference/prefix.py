"""The key/value cache of one token sequence: what a new sequence shares with it at the front is kept."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

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
