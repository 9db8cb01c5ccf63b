"""What the tests of the CPU kernels share: model sizes, prompts, and decoding step by step."""

from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.inference.decoder import Logits
from mtchat.inference.engine import Engine
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Sampling

Array = NDArray[numpy.float32]
SIZES = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 700,
}
LONG = "def add(a, b):\n    return a + b\nprint(x.mean())\n"
OTHER = LONG[:20] + "import numpy as np\n"
SHORT = Sampling(max_tokens=24)
WARM = Sampling(temperature=1.0, top_p=0.9, seed=5, max_tokens=30)


def silent(*_: object) -> None: ...


def written(engine: Engine, text: str, sampling: Sampling = SHORT) -> tuple[str, list[Piece]]:
    pieces = list(engine.complete(Prompt(text), sampling))
    return "".join(piece.text for piece in pieces), pieces


def start(decoder: Any) -> Any:
    """A path with nothing on it."""
    path = decoder.open([0])
    path.pending = []
    return path


def teacher_forced(engine: Engine, ids: list[int], width: int) -> Logits:
    """The logits after each id, `width` of them in one step."""
    path = start(engine.decoder)
    rows = []
    for first in range(0, len(ids), width):
        some = ids[first : first + width]
        rows.append(path.forward(some))
        path.commit(len(some))
    return numpy.concatenate(rows)


def in_eight_bits(activations: Array) -> Array:
    """Activations as the kernels round them: 32 share a scale."""
    some = activations.reshape(len(activations), -1, 32)
    peak = abs(some).max(axis=2, keepdims=True)
    whole = numpy.rint(some * (numpy.float32(127) / peak))
    rounded: Array = (whole * (peak / numpy.float32(127))).reshape(activations.shape)
    return rounded
