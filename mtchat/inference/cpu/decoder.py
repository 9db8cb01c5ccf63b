"""The kernels' model as a decoder: each token of a step sees the keys of its own path."""

from collections.abc import Sequence

from mtchat.inference.cpu.model import MOST, NativeModel
from mtchat.inference.decoder import Logits
from mtchat.inference.paths import Ints, TreeDecoder


class NativeDecoder(TreeDecoder):
    """The kernels' model with its tree."""

    most = MOST

    def __init__(self, model: NativeModel) -> None:
        super().__init__(model.capacity)
        self.model = model

    @property
    def rows(self) -> int:
        return self.model.shape.vocabulary

    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        tokens = [id for ids, _ in rows for id in ids]
        paths = [slots[: len(slots) - left] for ids, slots in rows for left in range(len(ids) - 1, -1, -1)]
        return self.model.step(tokens, [int(path[-1]) for path in paths], paths, wanted)
