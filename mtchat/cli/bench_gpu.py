"""mtchat bench speed --suite gpu: models on a GPU, against transformers' generate and the memory's limit."""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from mtchat.bench.speed import graphics
from mtchat.bench.speed.graphics import DYNAMIC, OURS, STATIC, Difference, Player
from mtchat.bench.speed.rows import Row, rows, to_json
from mtchat.bench.speed.table import table
from mtchat.cli.bench_model import progress
from mtchat.cli.figures import check, save
from mtchat.console.view import View
from mtchat.errors import MtchatError, UsageError
from mtchat.session.prompt import Piece
from mtchat.session.settings import Sampling
from mtchat.version import __version__

REPEATS = 5
MOST = 1  # runs of generate


def bench_gpu(args: argparse.Namespace) -> None:
    """A table for each shape, of random weights; writes the rows where they are asked for."""
    from mtchat.inference.loaders import devices

    if not devices.gpus():
        raise UsageError("no GPU is here: `mtchat bench speed` measures the processor")
    from mtchat.inference.cuda import rival, shapes

    check(args.json, None)
    names = [each for each in args.shapes.split(",") if each] or list(shapes.SHAPES)
    for name in names:
        if name not in shapes.SHAPES:
            raise UsageError(f"no shape {name!r}; there are: {', '.join(shapes.SHAPES)}")
    own = ", ".join(formats(args.dtype, args.also).values())
    print(f"mtchat {__version__}; {devices.gpus()[0]}, {rival.versions()}, {own}, {date.today()}")
    print(f"random weights of true sizes; medians of {args.repeats or REPEATS} runs (least–most)\n")
    written: list[Row] = []
    with progress(View.of(sys.stderr)) as say:
        for name in names:
            written += shape(name, args, say)
            gc.collect()
            rival.release()
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(written), "utf-8"))


def shape(name: str, args: argparse.Namespace, say: Callable[[str], None]) -> list[Row]:
    """The rows of a shape, with their table: generate, then ours in each format, which consumes a model."""
    from mtchat.inference.cuda import rival, shapes

    repeats = args.repeats or REPEATS
    say(f"{name}: random weights")
    model = shapes.build(name, "cuda", args.dtype)
    prompt = prompts(model.config.vocab_size)
    context = prompt(graphics.CONTEXT)
    copies = [rival.copied() for _ in range(repeats)]
    samples = generated(name, model, args, prompt, say)
    peers = list(dict.fromkeys(engine for engine, _ in samples))
    theirs, *_ = rival.Generate(model).write(context, graphics.WRITTEN)
    logits, dtype = rival.along(model, context, theirs), model.dtype
    own, mine, sizes = formats(args.dtype, args.also), theirs, {}
    for subject, precision in own.items():
        say(f"{name}: {subject}")
        ours = opened(name, model or shapes.build(name, "cuda", args.dtype), precision)
        model = None
        found = graphics.played(Player(ours.write, ours.together), prompt, repeats)
        samples |= {(subject, quantity): values for quantity, values in found.items()}
        sizes[subject] = ours.engine.decoder.weights.bytes
        if subject == OURS:
            mine, *_ = ours.write(context, graphics.WRITTEN)
        del ours
        gc.collect()
        rival.release()
    copies += [rival.copied() for _ in range(repeats)]
    samples[OURS, graphics.COPY.name] = [each / 1e9 for each in copies]
    for subject, size in sizes.items():
        decode = samples[subject, graphics.DECODE.name]
        samples[subject, graphics.FRACTION.name] = graphics.fraction(decode, size, max(copies))
    found_rows = rows(samples, graphics.QUANTITIES, (*own, *peers), name)
    print(f"### {name}\n")
    sys.stdout.write(table(found_rows, graphics.QUANTITIES, own))
    equal, gap, spacing = rival.parting(logits, dtype, mine, theirs)
    print(f"\n{Difference(equal, len(theirs), gap, spacing)}\n", flush=True)
    return found_rows


def formats(dtype: str, also: str) -> dict[str, str]:
    """The number formats that ours is measured in, by what each is called in the table."""
    names = [each for each in also.split(",") if each]
    for name in names:
        if name not in graphics.ROUNDED:
            raise UsageError(f"no format {name!r}; there are: {', '.join(graphics.ROUNDED)}")
    return {OURS: dtype} | {graphics.ROUNDED[name]: name for name in names}


def prompts(words: int) -> Callable[[int], list[int]]:
    """What gives another prompt of so many ids each time, the same ones in each run."""
    random = Random(0)
    return lambda length: [random.randrange(words) for _ in range(length)]


def generated(
    name: str,
    model: Any,
    args: argparse.Namespace,
    prompt: Callable[[int], list[int]],
    say: Callable[[str], None],
) -> dict[tuple[str, str], list[float]]:
    """What generate gives, by its name and the quantity."""
    from mtchat.inference.cuda import rival

    samples: dict[tuple[str, str], list[float]] = {}
    peers = {DYNAMIC: rival.Generate(model)} | ({STATIC: rival.Generate(model, True)} if args.static else {})
    for peer, made in peers.items():
        say(f"{name}: {peer}")
        # compiling once more for every number of replies would take minutes
        player = Player(made.write, None if made.static else made.together)
        try:
            found = graphics.played(player, prompt, min(args.repeats or REPEATS, MOST))
        except Exception as error:  # whatever compiling meets is no reason to lose the rest
            print(f"note: {name} with {peer} is left out: {type(error).__name__}: {error}".split("\n")[0])
            continue
        samples |= {(peer, quantity): values for quantity, values in found.items()}
    return samples


def opened(name: str, model: Any, precision: str) -> "Ours":
    from mtchat.inference.cuda import shapes
    from mtchat.inference.loaders import cuda_loader

    tokenizer = shapes.tokenizer(model.config.vocab_size)
    engine: Any = cuda_loader.engine(model, tokenizer, shapes.card(name, model, precision))
    if engine.writers is None:
        raise MtchatError("there is no Triton here, which computes on a GPU: pip install triton")
    engine.ends = frozenset()
    return Ours(engine)


@dataclass(frozen=True)
class Ours:
    """Our engine, as it serves a session; its tokenizer's words are their numbers."""

    engine: Any

    def pieces(
        self, ids: Sequence[int], samplings: list[Sampling], count: int
    ) -> Iterator[tuple[int, Piece]]:
        replies: Iterator[tuple[int, Piece]] = self.engine.written(
            self.engine.writers, list(ids), samplings, count
        )
        return replies

    def write(self, ids: Sequence[int], count: int) -> tuple[Sequence[int], float, float]:
        began, text = time.perf_counter(), ""
        times: list[float] = []
        for _, piece in self.pieces(ids, [Sampling(max_tokens=count)], count):
            text += piece.text
            if piece.usage.completion_tokens > len(times):
                times.append(time.perf_counter() - began)
        return [int(word[1:]) for word in text.split()], times[0], times[-1]

    def together(self, ids: Sequence[int], count: int, number: int) -> float:
        samplings = [Sampling(graphics.WARM, seed=seed, max_tokens=count) for seed in range(number)]
        for _ in self.pieces(ids, [Sampling(max_tokens=1)], 1):
            continue
        began = time.perf_counter()
        for _ in self.pieces(ids, samplings, count):
            continue
        return time.perf_counter() - began
