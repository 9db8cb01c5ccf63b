"""mtchat bench speed --suite gpu: models on a GPU, against transformers' generate and the memory's limit."""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy

from mtchat import __version__
from mtchat.bench.speed import graphics
from mtchat.bench.speed.graphics import DYNAMIC, OURS, STATIC, Difference, Player
from mtchat.bench.speed.rows import Row, rows, to_json
from mtchat.bench.speed.table import table
from mtchat.cli.bench_model import progress, save
from mtchat.core.settings import Sampling
from mtchat.errors import UsageError
from mtchat.repl.view import View

REPEATS = 5
MOST = 1  # runs of generate
COPIED = 2 << 30


def bench_gpu(args: argparse.Namespace) -> None:
    """A table for each shape, of random weights; writes the rows where they are asked for."""
    from mtchat.engine import devices
    from mtchat.engine.gpu import shapes

    if not devices.gpus():
        raise UsageError("no GPU is here: `mtchat bench speed` measures the processor")
    names = [each for each in args.shapes.split(",") if each] or list(shapes.SHAPES)
    for name in names:
        if name not in shapes.SHAPES:
            raise UsageError(f"no shape {name!r}; there are: {', '.join(shapes.SHAPES)}")
    print(f"mtchat {__version__}; {devices.gpus()[0]}, {versions()}, {args.dtype}, {date.today()}")
    print(f"random weights of true sizes; medians of {args.repeats or REPEATS} runs (least–most)\n")
    written: list[Row] = []
    with progress(View.of(sys.stderr)) as say:
        for name in names:
            written += shape(name, args, say)
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(written), "utf-8"))


def shape(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> list[Row]:
    import torch

    from mtchat.engine.gpu import opening, shapes

    repeats = args.repeats or REPEATS
    say(f"{name}: random weights")
    model = shapes.build(name, "cuda", args.dtype)
    words, generator = model.config.vocab_size, numpy.random.default_rng(0)

    def prompt(length: int) -> list[int]:
        ids: list[int] = generator.integers(0, min(words, 50000), length).tolist()
        return ids

    context = prompt(graphics.CONTEXT)
    samples: dict[tuple[str, str], list[float]] = {}
    copies = [copied() for _ in range(repeats)]
    engines = [DYNAMIC, *([STATIC] if args.static else [])]
    for each in engines:
        say(f"{name}: {each}")
        try:
            found = graphics.played(generate(model, static=each == STATIC), prompt, repeats)
        except Exception as error:  # whatever compiling meets is no reason to lose the rest
            print(
                f"note: {name} with {each} is left out: {type(error).__name__}: {str(error).splitlines()[0]}"
            )
            continue
        samples |= {(each, quantity): values for quantity, values in found.items()}
    theirs, *_ = generate(model).write(context, graphics.WRITTEN)
    reference = parting(model, context, theirs)
    say(f"{name}: {OURS}")
    engine = opening.engine(model, shapes.tokenizer(words), shapes.card(name, model, args.dtype))
    engine.ends = frozenset()
    weights = getattr(engine.decoder, "weights", None)
    player = ours(engine)
    found = graphics.played(player, prompt, repeats)
    samples |= {(OURS, quantity): values for quantity, values in found.items()}
    copies += [copied() for _ in range(repeats)]
    copy = graphics.median(copies)
    samples[OURS, graphics.COPY.name] = [each / 1e9 for each in copies]
    if weights is not None:
        share = graphics.fraction(found[graphics.DECODE.name], weights.bytes, copy)
        samples[OURS, graphics.FRACTION.name] = share
    mine, *_ = player.write(context, graphics.WRITTEN)
    print(f"### {name}\n")
    found_rows = rows(samples, graphics.QUANTITIES, (OURS, *engines), name)
    sys.stdout.write(table(found_rows, graphics.QUANTITIES))
    print(f"\n{reference(mine)}\n", flush=True)
    del engine, player, model, reference
    gc.collect()
    torch.cuda.empty_cache()
    return found_rows


def ours(engine: Any) -> Player:
    """Our engine, as it serves a session."""

    def pieces(ids: Sequence[int], samplings: list[Sampling], count: int) -> Iterator[Any]:
        return (each for each in engine.written(engine.writers, list(ids), samplings, count))

    def write(ids: Sequence[int], count: int) -> tuple[Sequence[int], float, float]:
        began = time.perf_counter()
        times: list[float] = []
        heard: list[int] = []
        with listening(engine, heard):
            for _, piece in pieces(ids, [Sampling(max_tokens=count)], count):
                if piece.usage.written > len(times):
                    times.append(time.perf_counter() - began)
        return heard[:count], times[0], times[-1]  # what came after was not told

    def together(ids: Sequence[int], count: int, number: int) -> float:
        samplings = [Sampling(graphics.WARM, seed=seed, max_tokens=count) for seed in range(number)]
        for _ in pieces(ids, [Sampling(max_tokens=1)], 1):
            pass
        began = time.perf_counter()
        for _ in pieces(ids, samplings, count):
            pass
        return time.perf_counter() - began

    return Player(write, together)


@dataclass
class listening:  # noqa: N801 - a with block
    """Hears the ids that an engine writes."""

    engine: Any
    heard: list[int]

    def __enter__(self) -> None:
        lanes = self.engine.writers
        self.land = lanes.land

        def land() -> None:
            self.land()
            self.heard += [lane.id for lane in lanes.lanes[:1]]

        lanes.land = land

    def __exit__(self, *failure: object) -> None:
        del self.engine.writers.land


def generate(model: Any, static: bool = False) -> Player:
    """transformers' generate, with its growing cache or its static one, compiled as it does that itself."""
    import torch
    from transformers.generation.streamers import BaseStreamer

    options: dict[str, Any] = {"pad_token_id": 0} | ({"cache_implementation": "static"} if static else {})

    class Marks(BaseStreamer):
        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, value: Any) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None:
            pass

    def run(ids: Sequence[int], count: int, **rest: Any) -> Any:
        tokens = torch.tensor([list(ids)], device=model.device)
        out = model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=count,
            min_new_tokens=count,
            **options,
            **rest,
        )
        torch.cuda.synchronize()
        return out[:, len(ids) :]

    def write(ids: Sequence[int], count: int) -> tuple[Sequence[int], float, float]:
        began, marks = time.perf_counter(), Marks()
        out = run(ids, count, do_sample=False, streamer=marks)
        ended = time.perf_counter()
        return out[0].tolist(), marks.times[1] - began, ended - began  # the first mark is the prompt

    def together(ids: Sequence[int], count: int, number: int) -> float:
        warm = {
            "do_sample": True,
            "temperature": graphics.WARM,
            "top_p": 0.95,
            "top_k": 0,
            "num_return_sequences": number,
        }
        began = time.perf_counter()
        run(ids, 1, **warm)
        middle = time.perf_counter()
        run(ids, count, **warm)
        return time.perf_counter() - middle - (middle - began)

    # compiling once more for every number of replies would take minutes
    return Player(write, None if static else together, MOST)


def parting(
    model: Any, context: Sequence[int], theirs: Sequence[int]
) -> Callable[[Sequence[int]], Difference]:
    """Compares ids with transformers' own, whose logits along its text are computed now, in one pass."""
    import torch

    with torch.inference_mode():
        tokens = torch.tensor([[*context, *theirs]], device=model.device)
        logits = model(tokens, use_cache=False).logits[0, len(context) - 1 : -1].float().cpu()

    def compare(mine: Sequence[int]) -> Difference:
        pairs = list(zip(mine, theirs, strict=False))
        equal = next((at for at, (one, other) in enumerate(pairs) if one != other), len(pairs))
        if equal == len(pairs):
            return Difference(equal, len(theirs))
        one, other = pairs[equal]
        row = logits[equal]
        rounding = float(row[other].abs()) * float(torch.finfo(model.dtype).eps)
        return Difference(equal, len(theirs), float((row[one] - row[other]).abs()), rounding)

    return compare


def copied() -> float:
    """Bytes that a large copy on the GPU reads and writes in a second: the best of three."""
    import torch

    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    seconds = []
    for _ in range(4):
        torch.cuda.synchronize()
        began = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2 * COPIED / min(seconds[1:])


def versions() -> str:
    import torch
    import transformers

    return f"torch {torch.__version__}, transformers {transformers.__version__}"
