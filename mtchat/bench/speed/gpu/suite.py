"""The GPU suite of mtchat bench speed: models of real sizes against generate and the memory."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from mtchat.bench.output import Say
from mtchat.bench.speed.engine import OURS
from mtchat.bench.speed.gpu import hf_baseline, shapes
from mtchat.bench.speed.results import Measurement, Quantity, collect, legend, table
from mtchat.errors import MtchatError, UsageError
from mtchat.inference.loaders import cuda_loader
from mtchat.session.prompt import Piece
from mtchat.session.settings import Sampling
from mtchat.version import __version__

DYNAMIC, STATIC = "generate", "generate, static cache"
QUANTISED = {"int8": "mtchat, int8", "int4": "mtchat, int4"}
CONTEXT, WRITTEN = 100, 256
WARM_UP = 24  # tokens decoded before anything counts
BATCHES = (8, 40)
PROMPTS = (100, 1000, 2000)
TEMPERATURE = 0.8
MOST = 1  # runs of generate

DECODE = Quantity(
    "decode", "tok/s", "decode", f"{WRITTEN} tokens after a {CONTEXT}-token context, greedy, batch size 1"
)
TOGETHER = {
    number: Quantity(
        f"decode_{number}", "tok/s", "decode", f"{number} sampled completions of one prompt, all their tokens"
    )
    for number in BATCHES
}
FIRST = {
    length: Quantity(
        f"first_{length}",
        "ms",
        "prefill",
        f"time to the first token of a new {length}-token prompt",
        less=True,
    )
    for length in PROMPTS
}
COPY = Quantity("copy", "GB/s", "memory", "a large copy on the GPU, bytes read and written")
FRACTION = Quantity("of_limit", "ratio", "memory", "weight bytes read per second of decode / best copy")
QUANTITIES = (DECODE, *TOGETHER.values(), *FIRST.values(), COPY, FRACTION)


@dataclass(frozen=True)
class GpuRun:
    """What to measure: `dtype` is that of generate and ours, `also` are other formats of ours."""

    shapes: tuple[str, ...]
    dtype: str
    also: tuple[str, ...] = ()
    static: bool = False
    repeats: int = 5

    def formats(self) -> dict[str, str]:
        """The number formats that ours is measured in, by its name in the table."""
        return {OURS: self.dtype} | {QUANTISED[name]: name for name in self.also}


@dataclass(frozen=True)
class TimedEngine:
    """An engine as functions of token ids.

    `write(ids, count)` gives the greedy next ids and the seconds to the first and to the last of them;
    `together(ids, count, number)` the seconds of `number` sampled completions from their first token on.
    """

    write: Callable[[Sequence[int], int], tuple[Sequence[int], float, float]]
    complete_batch: Callable[[Sequence[int], int, int], float] | None


@dataclass(frozen=True)
class GreedyDifference:
    """Where two greedy completions diverge: after `equal` of `count` ids (`count` if they never do).

    `gap` is the difference of both ids' logits there in one pass over the text, `spacing` the distance of
    neighbouring numbers of the dtype at that size.
    """

    equal: int
    count: int
    gap: float = 0.0
    spacing: float = 0.0

    def __str__(self) -> str:
        if self.equal == self.count:
            return f"the first {self.count} ids match generate"
        return (
            f"the first {self.equal} of {self.count} ids match generate; at the next one the logits of both "
            f"candidates differ by {self.gap:.4f}, and the dtype resolves {self.spacing:.4f}"
        )


def choose(names: str, dtype: str, also: str, static: bool, repeats: int | None) -> GpuRun:
    """A run from comma-separated lists of shapes and formats; UsageError lists the choices."""
    chosen = [each for each in names.split(",") if each] or list(shapes.SHAPES)
    for name in chosen:
        if name not in shapes.SHAPES:
            raise UsageError(f"no shape {name!r}; choose from {', '.join(shapes.SHAPES)}")
    more = [each for each in also.split(",") if each]
    for name in more:
        if name not in QUANTISED:
            raise UsageError(f"no format {name!r}; choose from {', '.join(QUANTISED)}")
    return GpuRun(tuple(chosen), dtype, tuple(more), static, repeats or GpuRun.repeats)


def describe(run: GpuRun, gpu: str) -> str:
    """The head of the report."""
    own = ", ".join(run.formats().values())
    return (
        f"mtchat {__version__}; {gpu}, {hf_baseline.versions()}, {own}, {date.today()}\n"
        f"random weights of real model sizes; medians of {run.repeats} runs (min–max)\n"
    )


def measure_shape(name: str, run: GpuRun, say: Say, show: Callable[[str], None]) -> list[Measurement]:
    """The rows of a shape: generate first, then ours in each format, which takes over the model."""
    say(f"{name}: random weights")
    model = shapes.build(name, "cuda", run.dtype)
    prompt = random_prompts(model.config.vocab_size)
    context = prompt(CONTEXT)
    copies = [hf_baseline.measure_copy_rate() for _ in range(run.repeats)]
    samples = measure_generate(name, model, run, prompt, say, show)
    peers = list(dict.fromkeys(engine for engine, _ in samples))
    theirs, *_ = hf_baseline.HfGenerate(model).write(context, WRITTEN)
    logits, dtype = hf_baseline.compute_logits(model, context, theirs), model.dtype
    own, mine, sizes = run.formats(), theirs, {}
    for engine, precision in own.items():
        say(f"{name}: {engine}")
        ours = load_ours(name, model or shapes.build(name, "cuda", run.dtype), precision)
        model = None
        found = measure_engine(TimedEngine(ours.write, ours.complete_batch), prompt, run.repeats)
        samples |= {(engine, quantity): values for quantity, values in found.items()}
        sizes[engine] = ours.engine.decoder.weights.bytes
        if engine == OURS:
            mine, *_ = ours.write(context, WRITTEN)
        del ours
        free_memory()
    copies += [hf_baseline.measure_copy_rate() for _ in range(run.repeats)]
    samples[OURS, COPY.name] = [each / 1e9 for each in copies]
    for engine, size in sizes.items():
        samples[engine, FRACTION.name] = fraction(samples[engine, DECODE.name], size, max(copies))
    rows = collect(samples, QUANTITIES, (*own, *peers), name)
    equal, gap, spacing = hf_baseline.first_difference(logits, dtype, mine, theirs)
    difference = GreedyDifference(equal, len(theirs), gap, spacing)
    show(f"### {name}\n\n{table(rows, QUANTITIES, own)}\n{legend(rows, QUANTITIES)}\n{difference}\n")
    return rows


def measure_generate(
    name: str,
    model: Any,
    run: GpuRun,
    prompt: Callable[[int], list[int]],
    say: Say,
    show: Callable[[str], None],
) -> dict[tuple[str, str], list[float]]:
    """The samples of transformers' generate, by its name and the quantity."""
    samples: dict[tuple[str, str], list[float]] = {}
    peers = {DYNAMIC: hf_baseline.HfGenerate(model)}
    if run.static:
        peers[STATIC] = hf_baseline.HfGenerate(model, True)
    for peer, made in peers.items():
        say(f"{name}: {peer}")
        # compiling again for every batch size would take minutes
        engine = TimedEngine(made.write, None if made.static else made.complete_batch)
        try:
            found = measure_engine(engine, prompt, min(run.repeats, MOST))
        except Exception as error:  # a failure of the compiler does not lose the other rows
            show(f"note: {peer} failed for {name}: {type(error).__name__}: {error}".split("\n")[0])
            continue
        samples |= {(peer, quantity): values for quantity, values in found.items()}
    return samples


def measure_engine(
    engine: TimedEngine, prompt: Callable[[int], Sequence[int]], repeats: int
) -> Mapping[str, list[float]]:
    """The samples of an engine by quantity; `prompt(length)` is a new prompt each time."""
    found: dict[str, list[float]] = {}
    context = prompt(CONTEXT)
    engine.write(context, WARM_UP)
    for length in PROMPTS:
        engine.write(prompt(length), 2)
    batches = [
        (number, quantity, engine.complete_batch)
        for number, quantity in TOGETHER.items()
        if engine.complete_batch
    ]
    for number, _, complete_batch in batches:
        complete_batch(context, 4, number)
    for _ in range(repeats):
        ids, first, last = engine.write(context, WRITTEN)
        found.setdefault(DECODE.name, []).append((len(ids) - 1) / (last - first))
        for length, quantity in FIRST.items():
            _, first, _ = engine.write(prompt(length), 2)
            found.setdefault(quantity.name, []).append(1000 * first)
        for number, quantity, complete_batch in batches:
            seconds = complete_batch(context, WRITTEN // 2, number)
            found.setdefault(quantity.name, []).append(number * (WRITTEN // 2 - 1) / seconds)
    return found


def fraction(decode: Sequence[float], weights: int, copy: float) -> list[float]:
    """Of the memory's limit: a step reads all weights once, and a copy moves each byte twice."""
    return [each * weights / copy for each in decode]


def random_prompts(words: int) -> Callable[[int], list[int]]:
    """A function that gives a new prompt of a length each time, the same prompts in every run."""
    random = Random(0)
    return lambda length: [random.randrange(words) for _ in range(length)]


def free_memory() -> None:
    gc.collect()
    hf_baseline.empty_cache()


def load_ours(name: str, model: Any, precision: str) -> "OurGpuEngine":
    tokenizer = shapes.tokenizer(model.config.vocab_size)
    engine: Any = cuda_loader.gpu_engine(model, tokenizer, shapes.card(name, model, precision))
    if engine.scheduler is None:
        raise MtchatError("Triton, which computes on a GPU, is not installed: pip install triton")
    engine.ignore_stop_tokens()
    return OurGpuEngine(engine)


@dataclass(frozen=True)
class OurGpuEngine:
    """Our engine as it serves a session; each word of its tokenizer is the number of an id."""

    engine: Any

    def pieces(
        self, ids: Sequence[int], samplings: list[Sampling], count: int
    ) -> Iterator[tuple[int, Piece]]:
        pieces: Iterator[tuple[int, Piece]] = self.engine.run_scheduler(
            self.engine.scheduler, list(ids), samplings, count
        )
        return pieces

    def write(self, ids: Sequence[int], count: int) -> tuple[Sequence[int], float, float]:
        began, text = time.perf_counter(), ""
        times: list[float] = []
        for _, piece in self.pieces(ids, [Sampling(max_tokens=count)], count):
            text += piece.text
            if piece.usage.completion_tokens > len(times):
                times.append(time.perf_counter() - began)
        return [int(word[1:]) for word in text.split()], times[0], times[-1]

    def complete_batch(self, ids: Sequence[int], count: int, number: int) -> float:
        samplings = [Sampling(TEMPERATURE, seed=seed, max_tokens=count) for seed in range(number)]
        for _ in self.pieces(ids, [Sampling(max_tokens=1)], 1):
            continue
        began = time.perf_counter()
        for _ in self.pieces(ids, samplings, count):
            continue
        return time.perf_counter() - began
