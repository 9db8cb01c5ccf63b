"""Models whose layers see only the latest tokens: what slid out of the window comes back with the text."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache

import numpy
import pytest
import torch

from mtchat.inference.batching import Batcher
from mtchat.inference.decoder import Logits
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.hf.decoders import make_engine
from mtchat.inference.hf.padded_scheduler import PaddedScheduler
from mtchat.inference.hf.resumption import run_model
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import tiny_tokenizer
from tests.support.recurrent_models import WINDOWED, recurrent_model

pytestmark = pytest.mark.slow

GENERATOR = numpy.random.default_rng(3)
FIRST, SECOND, OTHER = (GENERATOR.integers(3, 300, count).tolist() for count in (30, 9, 12))
PROMPTS = [
    "def add(a, b):\n    return a + b\n",
    "def add(a, b):\n    return a\n",
    "def",
    "import numpy as np\nx = np.arange(10)\n",
]
model_of = cache(recurrent_model)


def engine_of(name: str) -> Engine:
    return make_engine(model_of(name), tiny_tokenizer(), ModelCard("tiny", name, False, 160))


@torch.inference_mode()
def whole(name: str, ids: Sequence[int]) -> Logits:
    """The logits of a text that is read in one pass, without a cache."""
    found: Logits = run_model(model_of(name), ids, 0, None, 1)[0].float().numpy()
    return found


@pytest.mark.parametrize("name", WINDOWED)
def test_going_back_beyond_the_window_gives_the_text_of_a_whole_reading(name: str) -> None:
    decoder = engine_of(name).decoder
    assert isinstance(decoder, TorchDecoder)
    turns = [
        ([*FIRST, *SECOND], 0),
        ([*FIRST, *OTHER], len(FIRST)),
        (FIRST[:20], 19),
        ([*FIRST[:20], *OTHER], 20),
        ([*FIRST, *SECOND, *OTHER], 20),
    ]
    for ids, cached in turns:
        sequence = decoder.open(ids)
        assert sequence.cached >= cached
        *_, logits = sequence.prefill()
        assert abs(logits - whole(name, ids)).max() < 1e-4
        for id in OTHER[:8]:
            logits = sequence.forward([id])[0]
            sequence.commit(1)
        assert abs(logits - whole(name, [*ids, *OTHER[:8]])).max() < 1e-4


@pytest.mark.parametrize("most", [64, 3])
@pytest.mark.parametrize("name", WINDOWED)
def test_a_padded_batch_gives_the_texts_of_each_prompt_alone(name: str, most: int) -> None:
    """Prompts are longer than the window, begin alike, and join and leave at different times."""
    asked = [(Prompt(text), Sampling(max_tokens=count)) for text in PROMPTS for count in (20, 9)]

    def write(model: Engine | Batcher, prompt: Prompt, sampling: Sampling) -> str:
        return "".join(piece.text for piece in model.complete(prompt, sampling))

    alone = [write(engine_of(name), *each) for each in asked]
    engine = engine_of(name)
    batching = closing(Batcher(engine, PaddedScheduler(engine, most, 400)))
    with batching as batcher, ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda each: write(batcher, *each), asked))
    assert found == alone
