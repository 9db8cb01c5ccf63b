"""The keys and values of one attention layer, which grow in place and can be cut at any position."""

from torch import Tensor
from transformers.cache_utils import DynamicLayer


class KVLayer(DynamicLayer):  # type: ignore[no-untyped-call]
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
        self.keys = write_at(self.keys, key_states, self.length)
        self.values = write_at(self.values, value_states, self.length)
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def truncate(self, length: int) -> None:
        self.length = min(self.length, length)

    def section(self, start: int, end: int) -> tuple[Tensor, Tensor] | None:
        """Views of the keys and values of some positions; None if the layer stores none."""
        if self.keys is None or self.values is None or end <= start:
            return None
        return self.keys[:, :, start:end], self.values[:, :, start:end]


def write_at(buffer: Tensor, new: Tensor, start: int) -> Tensor:
    """`buffer` with `new` written at position `start`; a full buffer is replaced by one of twice the size."""
    end = start + new.shape[-2]
    if end > buffer.shape[-2]:
        wider = new.new_empty(*new.shape[:2], max(2 * buffer.shape[-2], end, 256), new.shape[-1])
        wider[:, :, :start] = buffer[:, :, :start]
        buffer = wider
    buffer[:, :, start:end] = new
    return buffer
