"""A process that is measured: loads the engine that its argument names, and takes what it is asked for."""

import ctypes
import json
import mmap
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from mtchat.bench.speed import peer
from mtchat.bench.speed.peer import Setup
from mtchat.bench.speed.serving import serve
from mtchat.bench.speed.subject import Ask, Run, Subject
from mtchat.errors import MtchatError
from mtchat.models import loader
from mtchat.session.prompt import Piece
from mtchat.session.settings import Sampling

OURS = "mtchat"
WARM = 0.8
SWEEPS = 3


def main(setup: Setup) -> None:
    # libraries print where they like, so that the answers need an output of their own
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def answer(event: Mapping[str, object]) -> None:
            answers.write(json.dumps(event) + "\n")
            answers.flush()

        try:
            subject = begin(setup)
            answer({"ready": setup.engine})
            serve(subject, sys.stdin, answer)
        except MtchatError as error:
            answer({"failed": str(error)})


def begin(setup: Setup) -> Subject:
    def load(precision: str) -> Any:
        return loader.load(setup.model, precision, lambda stage: None)

    if setup.engine == OURS:
        return Ours(load(setup.precision)).subject()
    return peer.find(setup.engine).begin(setup, load)


class Ours:
    """Our engine, whose replies end where the measure wants and not where the model does."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.drafter = engine.drafter
        engine.ends = frozenset()
        if tree := getattr(engine.decoder, "tree", None):
            tree.evict(tree.capacity, [])  # what earlier sessions left on the disk

    def subject(self) -> Subject:
        model: Any = getattr(self.engine.decoder, "model", None)
        able = {"speculates": self.drafter is not None, "context": self.engine.card.context}
        if not hasattr(model, "library"):
            return Subject(self.run, self.together, **able)
        # the rows of the embedding that a token takes are nothing beside the matrices
        weights = sum(part.size for name, part in model.weights.parts.items() if name != "embedding")
        return Subject(self.run, self.together, self.bandwidth, weights, **able)

    def run(self, ask: Ask, count: int, ahead: bool) -> Run:
        self.engine.drafter = self.drafter if ahead else None
        began = time.perf_counter()
        times: list[float] = []
        for piece in self.pieces(ask, Sampling(max_tokens=count)):
            if piece.usage.completion_tokens > len(times):
                times.append(time.perf_counter())
        usage = piece.usage
        read = usage.prompt_tokens - usage.cached_tokens
        return Run(
            times[0] - began, read, usage.prefill_seconds, usage.completion_tokens, times[-1] - times[0]
        )

    def pieces(self, ask: Ask, sampling: Sampling) -> Iterator[Piece]:
        """A prompt is taken as the REPL gives it: making its text and its ids is part of the time."""
        if not ask.ids:
            yield from self.engine.complete(ask.prompt, sampling)
            return
        ids = self.engine.checked(list(ask.ids))
        yield from self.engine.pieces(ids, sampling, self.engine.room(ids, sampling))

    def together(self, ask: Ask, count: int, number: int, seed: int) -> float:
        self.engine.drafter = None
        sampling = Sampling(temperature=WARM, seed=1000 * seed, max_tokens=count)
        began = time.perf_counter()
        alone = number == 1
        replies = (
            self.pieces(ask, sampling) if alone else self.engine.candidates(ask.prompt, sampling, number)
        )
        for _ in replies:
            continue
        return time.perf_counter() - began

    def bandwidth(self, size: int) -> float:
        """The best of some sweeps."""
        model = self.engine.decoder.model
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            if hasattr(mmap, "MADV_HUGEPAGE"):
                memory.madvise(mmap.MADV_HUGEPAGE)
            first = ctypes.c_char.from_buffer(memory)
            address = ctypes.addressof(first)
            ctypes.memset(address, 1, size)  # pages that were never written are all one page
            seconds = []
            for _ in range(SWEEPS):
                began = time.perf_counter()
                model.library.mtchat_read_bytes(model.state, address, size)
                seconds.append(time.perf_counter() - began)
            del first
        return size / min(seconds)


if __name__ == "__main__":
    main(Setup(**json.loads(sys.argv[1])))
