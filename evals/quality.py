"""Measures the cost of quantised weights: logits against float32 after each token of the recorded sessions.

    python -m evals.quality --model starter-small

The cost in code quality is measured by `mtchat bench mtpb --policy plain --no-run --precision NAME`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from platformdirs import user_cache_path

from mtchat.generate.prompt.families import instruct
from mtchat.inference.decoder import Logits
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.session.language import PYTHON
from mtchat.session.prompt import Prompt
from mtchat.store import load

FILES = {
    "starter-small": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "starter": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
HERE = Path(__file__).parents[1]
PIECE = 64


def tell(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def opened(model: str, precision: str) -> Engine:
    cache = user_cache_path("mtchat", appauthor=False)
    return loader.load(
        cache / "models" / FILES[model],
        model,
        precision=precision,
        cache=cache / "converted",
        report=lambda *said: None,
    )


def kl(model: str) -> None:
    """How far the next token's distribution is from that of float32, after every token of the sessions."""
    engines = [opened(model, precision) for precision in ("float32", "quantised")]
    divergences, agreements, written = [], [], []
    for path in sorted((HERE / "sessions").glob("*.jsonl")):
        session = load(path)
        ids = engines[0].encode(Prompt(messages=instruct.history(session.path, session.preamble)))
        for true, other in zip(*(pieces(engine, ids) for engine in engines), strict=True):
            divergences.append(divergence(true, other))
            agreements.append(true.argmax(-1) == other.argmax(-1))
        written.append(by_the_model(engines[0], ids))
        print(f"{path.stem}: {len(ids)} tokens", file=sys.stderr, flush=True)
    every = [numpy.concatenate(each) for each in (divergences, agreements)]
    replies = numpy.concatenate(written)
    for name, chosen in (("all tokens", numpy.ones_like(replies)), ("tokens of replies", replies)):
        figures = summary(every[0][chosen], every[1][chosen])
        tell({"model": model, "over": name, **figures})
        print(
            f"{model}, {figures['tokens']} {name}: KL mean {figures['mean']:.5f}, "
            f"median {figures['median']:.5f}, 99th percentile {figures['p99']:.4f}, "
            f"max {figures['max']:.3f}; top-1 agreement {100 * figures['top1']:.2f} %"
        )


def pieces(engine: Engine, ids: Sequence[int]) -> Iterator[Logits]:
    """The logits (T, V) after every token, some at a time."""
    path = engine.decoder.open(ids[:1])
    yield from (logits[None] for logits in path.prefill())
    for first in range(1, len(ids), PIECE):
        some = ids[first : first + PIECE]
        yield path.forward(some).reshape(len(some), -1)
        path.commit(len(some))


def divergence(true: Logits, other: Logits) -> NDArray[numpy.float64]:
    """Kullback and Leibler's, of the rows of two logits (T, V) -> (T,), in nats."""
    left, right = logarithms(true), logarithms(other)
    found: NDArray[numpy.float64] = (numpy.exp(left) * (left - right)).sum(-1)
    return found


def logarithms(logits: Logits) -> NDArray[numpy.float64]:
    """The log-probabilities of each row."""
    shifted = logits.astype(numpy.float64) - logits.max(-1, keepdims=True)
    found: NDArray[numpy.float64] = shifted - numpy.log(numpy.exp(shifted).sum(-1, keepdims=True))
    return found


def by_the_model(engine: Engine, ids: Sequence[int]) -> NDArray[numpy.bool_]:
    """Which tokens have a next one that the model wrote: after each opening, up to the end of its message."""
    begin = engine.ids("<|im_start|>assistant\n" + instruct.opening(PYTHON), special=False)
    end = engine.ids("<|im_end|>", special=False)
    found = numpy.zeros(len(ids), bool)
    inside = False
    for place, id in enumerate(ids):
        inside = (inside and [id] != end) or list(ids[place - len(begin) + 1 : place + 1]) == begin
        found[place] = inside
    return found


def summary(divergences: NDArray[numpy.float64], agreements: NDArray[numpy.bool_]) -> dict[str, float]:
    return {
        "tokens": len(divergences),
        "mean": float(divergences.mean()),
        "median": float(numpy.median(divergences)),
        "p99": float(numpy.percentile(divergences, 99)),
        "max": float(divergences.max()),
        "top1": float(agreements.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evals.quality", description=__doc__)
    parser.add_argument("--model", choices=FILES, required=True)
    kl(parser.parse_args().model)


if __name__ == "__main__":
    main()
