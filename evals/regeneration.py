"""Measures regeneration: a constant or a name in an early turn changes, and later turns must follow.

    python -m evals.regeneration --data mtpb_dev.jsonl --model starter-small [--change name] [--out FILE]
    python -m evals.regeneration --data mtpb_dev.jsonl --recorded RUN.jsonl --problems 65 --inputs 4

A conversation of the Multi-Turn Programming Benchmark runs with its first input, under the default policy. If
it passes, an early instruction is changed: to that of another input whose steps differ only in this one, or
to a new name for the variable that it binds. The later instructions stay. The program must print what the
benchmark expects for the other input after (a) later turns are kept, (b) stale ones are regenerated as by
/edit, (c) all of them are regenerated.

With a results file of `mtchat bench mtpb` no model is used: a regenerated turn gets the code that it has in
the recorded conversation about the other input. That is what the model writes if everything before it is
regenerated too: (a) and (c) are exact, and (b) as far as its turns are those of that conversation.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from mtchat.bench.quality.results import estimate
from mtchat.bench.quality.run_file import read
from mtchat.bench.quality.suite import Suite, Task
from mtchat.bench.quality.suites import mtpb
from mtchat.cli.bench_model import LIMITS, load_batcher
from mtchat.console.view import View
from mtchat.features.regenerate.regenerate import Decide, always, never, regenerate, when_stale
from mtchat.generate import policy
from mtchat.generate.execute import RunProgram
from mtchat.generate.improve import take
from mtchat.generate.judge import requirements
from mtchat.generate.prompt import family
from mtchat.generate.turn import TurnGenerator
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.program import NO_INPUTS
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import Turn

WAYS: Mapping[str, Decide] = {"keep": never, "derive": when_stale, "all": always}
CONSTANT, NAME = "constant", "name"
NEW = "given_{}"


@dataclass(frozen=True)
class Change:
    """A conversation, and the one that it becomes with another instruction for turn `number`."""

    first: Task
    then: Task
    number: int


@dataclass(frozen=True)
class Result:
    """What came of a change, by way: whether the program is right, and how many later turns were kept.

    `held` says that the conversation passed before it, without which nothing else is tried.
    """

    problem: str
    input: int
    number: int
    later: int
    held: bool
    right: Mapping[str, bool]
    kept: Mapping[str, int]
    reasons: Sequence[str] = ()
    seconds: float = 0.0


class Hand(Protocol):
    """How turns are made: by a model, or as they were recorded."""

    def take(self, task: Task, session: Session, instruction: str, look: RunProgram) -> Session:
        """One turn of a conversation."""


@dataclass(frozen=True)
class Asked:
    """Turns that a model makes."""

    generator: Callable[[RunProgram], TurnGenerator]

    def take(self, task: Task, session: Session, instruction: str, look: RunProgram) -> Session:
        return take(self.generator(look), session, instruction, Sampling(max_tokens=task.length))


@dataclass(frozen=True)
class Remembered:
    """Turns of a recorded run, by problem and input; empty where it stopped before them."""

    chunks: Mapping[tuple[str, int], Sequence[str]]

    def take(self, task: Task, session: Session, instruction: str, look: RunProgram) -> Session:
        code = dict(enumerate(self.chunks.get((task.problem, task.input), ()))).get(len(session.path), "")
        made = session.add(Turn(instruction, code, session.head))
        return made.with_outcome(look(made.program))


def constants(tasks: Sequence[Task], most: int) -> Iterator[Change]:
    """The first input of a problem with others whose steps differ from its in one that is not the last."""
    found = 0
    for then in tasks[1:]:
        pairs = zip(tasks[0].instructions, then.instructions, strict=True)
        places = [number for number, (old, new) in enumerate(pairs, start=1) if old != new]
        if len(places) == 1 and places[0] < len(then.instructions) and found < most:
            found += 1
            yield Change(tasks[0], then, places[0])


def names(tasks: Sequence[Task], most: int) -> Iterator[Change]:
    """The first input of a problem with a new name for the first variable that later steps speak of."""
    task = tasks[0]
    for number, instruction in enumerate(task.instructions[:-1], start=1):
        for name in requirements.named_in(instruction):
            if any(name in later for later in task.instructions[number:]):
                steps = list(task.instructions)
                steps[number - 1] = instruction.replace(name, NEW.format(name))
                yield Change(task, replace(task, instructions=tuple(steps)), number)
                return


def changes(tasks: Sequence[Task], kind: str, most: int) -> list[Change]:
    """The changes of all problems, in their order."""
    problems: dict[str, list[Task]] = {}
    for task in tasks:
        problems.setdefault(task.problem, []).append(task)
    find = constants if kind == CONSTANT else names
    return [change for found in problems.values() for change in find(found, most)]


def tried(change: Change, suite: Suite, hand: Hand, look: RunProgram, judge: RunProgram) -> Result:
    """One change, with the later turns treated in each way on top of the same new turn."""
    began = time.monotonic()
    first, then = change.first, change.then
    session = Session(preamble=first.preamble)
    for instruction in first.instructions:
        session = hand.take(first, session, instruction, look)
    later = len(session.path) - change.number
    right, kept, reasons = {}, {}, []
    held = passes(suite, first, session, judge)
    if held:
        made = hand.take(then, session.undo(later + 1), then.instructions[change.number - 1], look)
        for way, decide in WAYS.items():
            derived = regenerate(
                session, made, lambda on, turn: hand.take(then, on, turn.full_instruction, look), look, decide
            )
            right[way] = passes(suite, then, derived.session, judge)
            kept[way] = later - len(derived.regenerated)
            if decide is when_stale:
                reasons = [f"{step.number}: {step.reason}" for step in derived.steps if step.reason]
    seconds = round(time.monotonic() - began, 1)
    return Result(first.problem, then.input, change.number, later, held, right, kept, reasons, seconds)


def passes(suite: Suite, task: Task, session: Session, judge: RunProgram) -> bool:
    return suite.score(task, tuple(turn.chunk for turn in session.path), judge).strict


def report(results: Sequence[Result]) -> str:
    """For each way how many programs are right, and how many later turns were kept."""
    held = [each for each in results if each.held]
    later = sum(each.later for each in held)
    lines = [f"{len(results)} changes; {len(held)} conversations passed before, with {later} later turns"]
    for way in WAYS if held else ():
        right = sum(each.right[way] for each in held)
        rate = estimate([float(each.right[way]) for each in held])
        kept = sum(each.kept[way] for each in held)
        interval = f"({rate.low:.1%}-{rate.high:.1%})"
        lines.append(f"{way:<7} {right:>3} right, {rate.value:.1%} {interval}; {kept} turns kept")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="mtpb.jsonl, or some of its problems")
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--recorded", type=Path, help="results file of mtchat bench mtpb, instead of a model")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--change", choices=(CONSTANT, NAME), default=CONSTANT)
    parser.add_argument("--problems", type=int, default=30, help="number of problems (default: 30)")
    parser.add_argument("--inputs", type=int, default=1, help="other inputs per problem (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="start no problem after this many seconds"
    )
    parser.add_argument(
        "--concurrency", type=int, default=4, help="number of conversations to run in parallel"
    )
    parser.add_argument("--out", type=Path, help="write a line of JSON for each change to FILE")
    args = parser.parse_args()
    args.device, args.processes = "cpu", 1
    found = changes(mtpb.tasks(args.data, mtpb.MODES[0]), args.change, args.inputs)
    chosen = list(dict.fromkeys(each.first.problem for each in found))[: args.problems]
    results = []
    for each in measured([each for each in found if each.first.problem in chosen], args):
        results.append(each)
        line = json.dumps(asdict(each))
        print(line, flush=True)
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    print(report(results))


def measured(found: Sequence[Change], args: argparse.Namespace) -> Iterator[Result]:
    """What comes of each change; none is begun after the seconds that were given."""
    end = time.monotonic() + args.seconds

    def one(hand: Hand, change: Change) -> Result | None:
        if time.monotonic() > end:
            return None
        with Sandbox() as ground:
            return tried(
                change,
                mtpb,
                hand,
                lambda program: ground.trial(program, LIMITS, NO_INPUTS),
                lambda program: ground.run(program, LIMITS, None),
            )

    with opened(args) as hand, ThreadPoolExecutor(args.concurrency) as pool:
        yield from filter(None, pool.map(partial(one, hand), found))


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Hand]:
    """What makes the turns: the recorded run that was named, else the model."""
    if args.recorded:
        yield Remembered({(row.problem, row.input): row.chunks for row in read(args.recorded).rows})
        return
    batcher, _ = load_batcher(args, View())
    card = batcher.card
    kind = family.choose(card)
    try:
        yield Asked(
            lambda look: TurnGenerator(
                family.load(kind),
                batcher.complete,
                look,
                card,
                kind,
                policy=policy.load(args.policy),
                candidates=batcher.candidates,
            )
        )
    finally:
        batcher.close()


if __name__ == "__main__":
    main()
