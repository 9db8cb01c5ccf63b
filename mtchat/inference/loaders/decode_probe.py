"""How many tokens per second the CPU kernels decode on this machine: a probe of a second or two."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtchat.inference.cpu import kernels, weights
from mtchat.inference.loaders import cpu_loader

PROMPT = 64  # tokens that are in the KV cache when the first is decoded
WINDOW = 6  # tokens that are timed together
SECONDS = 1.5
FEWEST, MOST = 3, 40  # windows


@dataclass(frozen=True)
class DecodeRate:
    """The tokens per second that were decoded, and the bytes of weights that each of them reads."""

    tokens_per_second: float
    bytes_per_token: int


def has_repacked_copy(path: Path, fingerprint: str, cache: Path) -> bool:
    """Whether a model file can be measured at once, without being repacked first."""
    return bool(kernels.best_build()) and weights.is_intact(
        cpu_loader.repacked_path(path, fingerprint, cache)
    )


def measure_decoding(
    path: Path,
    fingerprint: str,
    cache: Path,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> DecodeRate:
    """Decode one token at a time, without drafts, for about `seconds`.

    The rate is that of the fastest window: other work on the machine can only make one slower.
    """
    decoder = cpu_loader.make_decoder(cpu_loader.repacked_path(path, fingerprint, cache))
    try:
        sequence = decoder.open([each + 1 for each in range(PROMPT)])
        *_, logits = sequence.prefill()
        best, windows, begun = 0.0, 0, clock()
        while windows < FEWEST or (windows < MOST and clock() - begun < seconds):
            start = clock()
            for _ in range(WINDOW):
                logits = sequence.forward([int(logits.argmax())])[0]
                sequence.commit(1)
            best = max(best, WINDOW / (clock() - start))
            windows += 1
        return DecodeRate(best, decoder.model.weights.read_per_token)
    finally:
        decoder.model.close()


def describe_machine() -> str:
    """What a measured speed belongs to: the processor, the build of the kernels and the threads."""
    return f"{kernels.processor_name()}, {kernels.best_build() or 'no'} kernels, {count_threads()}"


def count_threads() -> str:
    count = kernels.thread_count()
    return f"{count} thread{'s' if count > 1 else ''}"
