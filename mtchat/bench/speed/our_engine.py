"""Our own engine under measurement, whose completions end where the measure says, not the model."""

import ctypes
import mmap
import time
from collections.abc import Iterator
from typing import Any

from mtchat.bench.speed.engine import BenchPrompt, CompletionTiming, MeasuredEngine
from mtchat.session.prompt import Piece
from mtchat.session.settings import Sampling

TEMPERATURE = 0.8
SWEEPS = 3


class OurEngine:
    """A loaded engine of mtchat as a MeasuredEngine."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.drafter = engine.drafter
        engine.ignore_stop_tokens()
        if tree := getattr(engine.decoder, "tree", None):
            tree.evict(tree.capacity, [])  # what earlier sessions left on the disk

    def measured(self) -> MeasuredEngine:
        model: Any = getattr(self.engine.decoder, "model", None)
        able = {"speculates": self.drafter is not None, "context": self.engine.card.context}
        # only our kernels say what they read
        weights = getattr(getattr(model, "weights", None), "read_per_token", 0)
        if not weights:
            return MeasuredEngine(self.run, self.complete_batch, **able)
        return MeasuredEngine(self.run, self.complete_batch, self.bandwidth, weights, **able)

    def run(self, prompt: BenchPrompt, count: int, speculate: bool) -> CompletionTiming:
        self.engine.drafter = self.drafter if speculate else None
        began = time.perf_counter()
        times: list[float] = []
        for piece in self.pieces(prompt, Sampling(max_tokens=count)):
            if piece.usage.completion_tokens > len(times):
                times.append(time.perf_counter())
        usage = piece.usage
        read = usage.prompt_tokens - usage.cached_tokens
        first, rest = times[0] - began, times[-1] - times[0]
        return CompletionTiming(first, read, usage.prefill_seconds, usage.completion_tokens, rest)

    def pieces(self, prompt: BenchPrompt, sampling: Sampling) -> Iterator[Piece]:
        """A prompt is handed over as in the REPL: rendering and tokenising it are part of the time."""
        if not prompt.ids:
            yield from self.engine.complete(prompt.prompt, sampling)
            return
        ids = self.engine.check_prompt(list(prompt.ids))
        yield from self.engine.generate(ids, sampling, self.engine.max_new_tokens(ids, sampling))

    def complete_batch(self, prompt: BenchPrompt, count: int, number: int, seed: int) -> float:
        self.engine.drafter = None
        sampling = Sampling(temperature=TEMPERATURE, seed=1000 * seed, max_tokens=count)
        began = time.perf_counter()
        if number == 1:
            completions = self.pieces(prompt, sampling)
        else:
            completions = self.engine.candidates(prompt.prompt, sampling, number)
        for _ in completions:
            continue
        return time.perf_counter() - began

    def bandwidth(self, size: int) -> float:
        """Bytes per second, the best of some sweeps over `size` bytes."""
        model = self.engine.decoder.model
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            if hasattr(mmap, "MADV_HUGEPAGE"):
                memory.madvise(mmap.MADV_HUGEPAGE)
            first = ctypes.c_char.from_buffer(memory)
            address = ctypes.addressof(first)
            ctypes.memset(address, 1, size)  # pages never written are all the same page
            seconds = []
            for _ in range(SWEEPS):
                began = time.perf_counter()
                model.library.mtchat_read_bytes(model.state, address, size)
                seconds.append(time.perf_counter() - began)
            del first
        return size / min(seconds)
