"""The generate of transformers, in float32 with the weights of the same file."""

import importlib.metadata
import importlib.util
import time
from typing import Any

from mtchat.bench.speed.peer import Load, Setup
from mtchat.bench.speed.subject import Ask, Run, Subject

TITLE = "transformers"
MOST = 2


def missing(file: str) -> str:
    return "" if importlib.util.find_spec("transformers") else "pip install transformers"


def version() -> str:
    return f"transformers {importlib.metadata.version('transformers')}, float32"


def begin(setup: Setup, load: Load) -> Subject:
    engine = load("float32")
    model = engine.decoder.model

    def run(ask: Ask, count: int, ahead: bool) -> Run:
        began = time.perf_counter()
        ids = list(ask.ids) or engine.ids(ask.text, special=False)
        inputs = model.dummy_inputs["input_ids"].new_tensor([ids])
        marks = Marks()
        model.generate(
            inputs,
            attention_mask=inputs.new_ones(inputs.shape),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=engine.tokens.eos,
            streamer=marks,
        )
        first, *_, last = [*marks.times, marks.times[-1]]
        return Run(first - began, len(ids), first - began, len(marks.times), last - first)

    return Subject(run, reuses=False, context=engine.card.context)


class Marks:
    """When each token came; what comes first is the prompt."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def put(self, value: Any) -> None:
        self.seen.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to tell."""

    @property
    def times(self) -> list[float]:
        return self.seen[1:]
