"""mtchat bench speed --suite gpu: models on a GPU, against transformers' generate and the memory's limit."""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from mtchat import __version__
from mtchat.bench.speed import graphics
from mtchat.bench.speed.graphics import DYNAMIC, OURS, STATIC, Difference, Player
from mtchat.bench.speed.rows import Row, rows, to_json
from mtchat.bench.speed.table import table
from mtchat.cli.bench_model import progress, save
from mtchat.core.prompt import Piece
from mtchat.core.settings import Sampling
from mtchat.errors import MtchatError, UsageError
from mtchat.repl.view import View

REPEATS = 5
MOST = 1  # runs of generate


def bench_gpu(args: argparse.Namespace) -> None:
    """A table for each shape, of random weights; writes the rows where they are asked for."""
    from mtchat.engine import devices

    if not devices.gpus():
        raise UsageError("no GPU is here: `mtchat bench speed` measures the processor")
    from mtchat.engine.gpu import rival, shapes

    names = [each for each in args.shapes.split(",") if each] or list(shapes.SHAPES)
    for name in names:
        if name not in shapes.SHAPES:
            raise UsageError(f"no shape {name!r}; there are: {', '.join(shapes.SHAPES)}")
    print(f"mtchat {__version__}; {devices.gpus()[0]}, {rival.versions()}, {args.dtype}, {date.today()}")
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
    from mtchat.engine.gpu import opening, rival, shapes

    repeats = args.repeats or REPEATS
    say(f"{name}: random weights")
    int8 = args.dtype == "int8"  # generate then computes in bfloat16
    model = shapes.build(name, "cuda", "bfloat16" if int8 else args.dtype)
    words, random = model.config.vocab_size, Random(0)

    def prompt(length: int) -> list[int]:
        return [random.randrange(words) for _ in range(length)]

    context = prompt(graphics.CONTEXT)
    samples: dict[tuple[str, str], list[float]] = {}
    copies = [rival.copied() for _ in range(repeats)]
    peers = {DYNAMIC: rival.Generate(model)} | ({STATIC: rival.Generate(model, True)} if args.static else {})
    for peer, made in peers.items():
        say(f"{name}: {peer}")
        # compiling once more for every number of replies would take minutes
        player = Player(made.write, None if made.static else made.together)
        try:
            found = graphics.played(player, prompt, min(repeats, MOST))
        except Exception as error:  # whatever compiling meets is no reason to lose the rest
            print(f"note: {name} with {peer} is left out: {type(error).__name__}: {error}".split("\n")[0])
            continue
        samples |= {(peer, quantity): values for quantity, values in found.items()}
    theirs, *_ = peers[DYNAMIC].write(context, graphics.WRITTEN)
    logits, dtype = rival.along(model, context, theirs), model.dtype
    say(f"{name}: {OURS}")
    engine: Any = opening.engine(model, shapes.tokenizer(words), shapes.card(name, model, args.dtype))
    if engine.writers is None:
        raise MtchatError("there is no Triton here, which computes on a GPU: pip install triton")
    engine.ends = frozenset()
    ours = Ours(engine)
    found = graphics.played(Player(ours.write, ours.together), prompt, repeats)
    samples |= {(OURS, quantity): values for quantity, values in found.items()}
    copies += [rival.copied() for _ in range(repeats)]
    samples[OURS, graphics.COPY.name] = [each / 1e9 for each in copies]
    share = graphics.fraction(
        found[graphics.DECODE.name], engine.decoder.weights.bytes, statistics.median(copies)
    )
    samples[OURS, graphics.FRACTION.name] = share
    mine, *_ = ours.write(context, graphics.WRITTEN)
    found_rows = rows(samples, graphics.QUANTITIES, (OURS, *peers), name)
    print(f"### {name}\n")
    sys.stdout.write(table(found_rows, graphics.QUANTITIES))
    equal, gap, spacing = rival.parting(logits, dtype, mine, theirs)
    print("" if int8 else f"\n{Difference(equal, len(theirs), gap, spacing)}\n", flush=True)
    return found_rows


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
            if piece.usage.written > len(times):
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
