"""The generate method of transformers, in float32 with the weights of the same file."""

import importlib.metadata
import importlib.util
import time
from typing import Any

from mtchat.bench.speed.engine import BenchPrompt, CompletionTiming, EngineSetup, LoadEngine, MeasuredEngine

TITLE = "transformers"
MOST = 2


def missing(file: str) -> str:
    return "" if importlib.util.find_spec("transformers") else "pip install transformers"


def version() -> str:
    return f"transformers {importlib.metadata.version('transformers')}, float32"


def begin(setup: EngineSetup, load: LoadEngine) -> MeasuredEngine:
    engine = load("float32")
    model = engine.decoder.model

    def run(prompt: BenchPrompt, count: int, speculate: bool) -> CompletionTiming:
        began = time.perf_counter()
        ids = list(prompt.ids) or engine.ids(prompt.text, special=False)
        inputs = model.dummy_inputs["input_ids"].new_tensor([ids])
        stream = TokenTimes()
        model.generate(
            inputs,
            attention_mask=inputs.new_ones(inputs.shape),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=engine.tokens.eos,
            streamer=stream,
        )
        first, *_, last = [*stream.times, stream.times[-1]]
        return CompletionTiming(first - began, len(ids), first - began, len(stream.times), last - first)

    return MeasuredEngine(run, reuses=False, context=engine.card.context)


class TokenTimes:
    """A streamer that notes when each token came; generate puts the prompt first."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def put(self, value: Any) -> None:
        self.seen.append(time.perf_counter())

    def end(self) -> None:
        """Generate calls this after the last token."""

    @property
    def times(self) -> list[float]:
        return self.seen[1:]

    @property
    def first(self) -> float:
        return self.times[0]
