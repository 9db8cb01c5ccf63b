"""What quantised weights cost: likelihoods against float32, and programs of the multi-turn benchmark.

    python -m tests.quality kl --model starter-small
    python -m tests.quality mtpb --model starter --precision quantised --out FILE.jsonl
    python -m tests.quality score FILE.jsonl [ANOTHER.jsonl]

`tests/quality_gpu.py` writes files for `score` too, in float32 on a GPU.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from platformdirs import user_cache_path

from mtchat.bench.quality.suite import MULTI, Task
from mtchat.bench.quality.suites import mtpb as suite
from mtchat.core.outcome import Outcome
from mtchat.core.program import Program
from mtchat.core.prompt import Prompt
from mtchat.core.session import Session
from mtchat.core.settings import Limits
from mtchat.core.turn import Turn
from mtchat.engine import loader
from mtchat.engine.decoder import Logits
from mtchat.engine.detokenise import Detokeniser
from mtchat.engine.engine import Engine
from mtchat.prompting.families import instruct
from mtchat.sandbox import sandbox
from mtchat.store import load

FILES = {
    "starter-small": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "starter": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
HERE = Path(__file__).parents[1]
DATA = HERE.parent / "shared/data/mtpb_dev.jsonl"
PIECE, LANES, SCORERS = 64, 8, 2
LIMITS = Limits(seconds=20.0)


@dataclass(frozen=True)
class Talk:
    """A conversation about one problem with one of its inputs, as far as it has come."""

    problem: str
    input: int
    instructions: tuple[str, ...]
    length: int
    gold: Any
    session: Session = Session(preamble=suite.BEGINNING)
    replies: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return len(self.replies) == len(self.instructions)

    @property
    def prompt(self) -> Prompt:
        """The context of the next turn. As in the paper, nothing is run between turns."""
        return instruct.render(
            self.session.path, self.instructions[len(self.replies)], self.session.preamble, ""
        )

    def answered(self, reply: str) -> "Talk":
        chunk = instruct.chunk(reply, self.session.program.source)
        turn = Turn(self.instructions[len(self.replies)], chunk, self.session.head)
        return replace(self, session=self.session.add(turn), replies=(*self.replies, reply))

    def line(self) -> str:
        """What is written of a conversation that has ended, and is enough to score it."""
        row = {
            "problem": self.problem,
            "input": self.input,
            "replies": self.replies,
            "program": self.session.program.source,
            "gold": self.gold,
        }
        return json.dumps(row) + "\n"


def talks(data: Path, done: Iterable[tuple[str, int]] = (), problems: int | None = None) -> Iterator[Talk]:
    """The conversations of the first problems of a file, each with every input, without those done."""
    done = set(done)
    tasks = suite.tasks(data, MULTI)
    wanted = list(dict.fromkeys(task.problem for task in tasks))[:problems]
    for task in tasks:
        if task.problem in wanted and (task.problem, task.input) not in done:
            yield Talk(task.problem, task.input, task.instructions, task.length, task.facts)


class Reply:
    """The text of one greedy reply, which ends where `Synthesizer.write` ends it."""

    def __init__(self, engine: Engine, talk: Talk) -> None:
        self.ids = engine.encode(talk.prompt)
        self.ends = engine.ends
        self.words = Detokeniser(engine.vocabulary, context=self.ids)
        self.left = min(talk.length, engine.card.context - len(self.ids))
        self.text = ""

    def push(self, id: int) -> bool:
        """Take the likeliest id, and say whether another is wanted."""
        if id not in self.ends:
            self.text += self.words.push(id)
            self.left -= 1
            if instruct.cut(self.text).finished:
                return False
            if self.left:
                return True
        self.text += self.words.finish()
        return False


Step = tuple[Any, int]  # a path of the decoder and the id to follow on it


def conversation(engine: Engine, talk: Talk) -> Generator[Step, Logits, Talk]:
    """All turns of a talk: asks for one step after another, and is sent the logits (V,) after each."""
    while not talk.ended:
        reply = Reply(engine, talk)
        path = engine.decoder.open(reply.ids)
        *_, logits = path.read()
        while reply.push(id := int(logits.argmax())):
            logits = yield path, id
        talk = talk.answered(reply.text)
    return talk


def converse(engine: Engine, talks: Iterable[Talk]) -> Iterator[Talk]:
    """Hold the talks, some at once in steps of one token each; each is told when it has ended."""
    waiting = iter(talks)
    going: list[tuple[Generator[Step, Logits, Talk], Logits | None]] = []
    while True:
        going += [(conversation(engine, talk), None) for talk in islice(waiting, LANES - len(going))]
        if not going:
            return
        held, steps = [], []
        for one, row in going:
            try:
                steps.append(one.send(row))  # type: ignore[arg-type]  # None starts a generator
                held.append(one)
            except StopIteration as end:
                yield end.value
        paths, ids = [path for path, _ in steps], [id for _, id in steps]
        logits = engine.decoder.follow_each(paths, ids) if steps else ()
        for path in paths:  # all of them before any conversation takes slots for its next turn
            path.keep(1)
        going = list(zip(held, logits, strict=True))


# -- scoring ------------------------------------------------------------------------------------------------


def verdict(row: dict[str, Any]) -> str:
    """ "passes", "wrong", or how the program failed: any error counts, wherever it comes."""
    task = Task(row["problem"], row["input"], "", (), 0, facts=row["gold"])
    return suite.score(task, [row["program"]], run).error or "passes"


def run(program: Program) -> Outcome:
    return sandbox.run(program, LIMITS)


def rows(path: Path) -> list[dict[str, Any]]:
    """The conversations in a file; a last line that was cut short is not one of them."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def score(paths: Sequence[Path]) -> None:
    """The pass rate of each file, and what changed from the first to each other."""
    with ThreadPoolExecutor(SCORERS) as pool:
        files = [{(row["problem"], row["input"]): row for row in rows(path)} for path in paths]
        verdicts = [dict(zip(found, pool.map(verdict, found.values()), strict=True)) for found in files]
    for path, found in zip(paths, verdicts, strict=True):
        counts = Counter(found.values())
        rate = round(100 * counts["passes"] / max(len(found), 1), 2)
        tell(
            {"file": path.name, "pass_rate": rate, "conversations": len(found), **dict(counts.most_common())}
        )
        print(f"{path.name}: {counts['passes']} of {len(found)} pass, {rate:.1f} %")
    for number in range(1, len(paths)):
        both = [key for key in files[0] if key in files[number]]
        same = sum(files[0][key]["program"] == files[number][key]["program"] for key in both)
        flips = Counter((verdicts[0][key] == "passes", verdicts[number][key] == "passes") for key in both)
        print(
            f"{paths[0].name} and {paths[number].name}: {same} of {len(both)} programs are the same; "
            f"{flips[True, False]} pass in the first only, {flips[False, True]} in the second only"
        )


def tell(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def mtpb(asked: argparse.Namespace) -> None:
    """Hold the conversations that the file lacks, then score it."""
    done = rows(asked.out)
    left = list(talks(asked.data, [(row["problem"], row["input"]) for row in done], asked.problems))
    if left:
        engine = opened(asked.model, asked.precision)
        asked.out.write_text("".join(json.dumps(row) + "\n" for row in done))
        with asked.out.open("a") as stream:
            for number, talk in enumerate(converse(engine, left), start=1):
                stream.write(talk.line())
                stream.flush()
                print(f"\r{number} of {len(left)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    score([asked.out])


def opened(model: str, precision: str) -> Engine:
    cache = user_cache_path("mtchat", appauthor=False)
    return loader.load(
        cache / "models" / FILES[model],
        model,
        precision=precision,
        cache=cache / "converted",
        report=lambda *said: None,
    )


# -- likelihoods --------------------------------------------------------------------------------------------


def kl(asked: argparse.Namespace) -> None:
    """How far the next token's distribution is from that of float32, after every token of the sessions."""
    engines = [opened(asked.model, precision) for precision in ("float32", "quantised")]
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
        tell({"model": asked.model, "over": name, **figures})
        print(
            f"{asked.model}, {figures['tokens']} {name}: KL mean {figures['mean']:.5f}, "
            f"median {figures['median']:.5f}, 99th percentile {figures['p99']:.4f}, "
            f"max {figures['max']:.3f}; top-1 agreement {100 * figures['top1']:.2f} %"
        )


def pieces(engine: Engine, ids: Sequence[int]) -> Iterator[Logits]:
    """The logits (T, V) after every token, some at a time."""
    path = engine.decoder.open(ids[:1])
    yield from (logits[None] for logits in path.read())
    for first in range(1, len(ids), PIECE):
        some = ids[first : first + PIECE]
        yield path.follow(some).reshape(len(some), -1)
        path.keep(len(some))


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
    begin = engine.ids("<|im_start|>assistant\n" + instruct.OPENING, special=False)
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
    parser = argparse.ArgumentParser(prog="python -m tests.quality")
    verbs = parser.add_subparsers(dest="verb", required=True)
    likelihoods = verbs.add_parser("kl", help="quantised weights against float32, on the recorded sessions")
    likelihoods.add_argument("--model", choices=FILES, required=True)
    benchmark = verbs.add_parser("mtpb", help="the multi-turn benchmark, greedy, one sample")
    benchmark.add_argument("--model", choices=FILES, required=True)
    benchmark.add_argument("--precision", default="quantised")
    benchmark.add_argument("--data", type=Path, default=DATA)
    benchmark.add_argument("--problems", type=int, help="only so many of them")
    benchmark.add_argument("--out", type=Path, required=True, help="JSONL; goes on where it ends")
    verbs.add_parser("score", help="files of conversations").add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.verb == "score":
        score(asked.files)
    else:
        {"kl": kl, "mtpb": mtpb}[asked.verb](asked)


if __name__ == "__main__":
    main()
