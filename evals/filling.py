"""Measures how well holes in code are filled: a statement or value of MBPP's solutions is removed.

    python -m evals.filling --data mbpp_sanitized.json [--model starter-small] [--problems 120]
        [--ways infill,rewritten] [--out FILE]

Each hole is filled greedily in two ways, by infilling and by rewriting the code, and with several candidates
as /code does. The result must pass all tests of the problem.
"""

import argparse
import ast
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mtchat.bench.quality.suite import SINGLE, Task
from mtchat.bench.quality.suites import mbpp
from mtchat.errors import MtchatError
from mtchat.features.infill.fill import HoleInTurn, fill_between, fill_holes, rewrite_with_hole
from mtchat.generate.prompt import family, infill
from mtchat.generate.turn import TurnGenerator
from mtchat.models import loader
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.hole import fill_with_ellipsis, first_hole
from mtchat.session.names import parse_module
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, Program
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Sampling
from mtchat.session.turn import Turn

LIMITS = Limits(seconds=10.0)
LONGEST = 4  # lines of a statement that is taken out
STATEMENT, VALUE = "statement", "value"
Way = Callable[[TurnGenerator, HoleInTurn], str]


@dataclass(frozen=True)
class Holed:
    """A problem's solution with a hole; `right`: whether the complete solution passes."""

    task: Task
    code: str
    kind: str
    gone: str


@dataclass(frozen=True)
class Row:
    """What came of one hole: for each way the code, and whether it passes."""

    problem: str
    kind: str
    gone: str
    passed: dict[str, bool] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)


def holed(data: Path) -> Iterator[Holed]:
    """Each solution with one hole, the same each time; those with nothing to take out are passed over."""
    solutions = {str(each["task_id"]): each["code"] for each in json.loads(data.read_text())}
    for task in mbpp.tasks(data, SINGLE):
        code = "\n".join(line.rstrip() for line in solutions[task.problem].expandtabs(4).splitlines()).strip(
            "\n"
        )
        chance = random.Random(task.problem)
        kind = chance.choice((STATEMENT, STATEMENT, VALUE))
        spans = sorted(set(statements(code) if kind == STATEMENT else values(code)))
        if spans:
            start, end = chance.choice(spans)
            yield Holed(task, code[:start] + "<<fill>>" + code[end:], kind, code[start:end])


def statements(code: str) -> Iterator[tuple[int, int]]:
    """Where a statement in a function's body is that has its lines for itself and is not all of the body."""
    for node in ast.walk(parse_module(code) or ast.Module([], [])):
        if not isinstance(node, ast.FunctionDef) or len(node.body) < 2:
            continue
        for each in (inner for statement in node.body for inner in ast.walk(statement)):
            if isinstance(each, ast.stmt):
                start, end = span(code, each)
                alone = not code[:start].rpartition("\n")[2].strip() and code[end : end + 1] in ("", "\n")
                if alone and code[start:end].count("\n") < LONGEST:
                    yield start, end


def values(code: str) -> Iterator[tuple[int, int]]:
    """Where the value of an assignment, a return or a condition is."""
    for node in ast.walk(parse_module(code) or ast.Module([], [])):
        match node:
            case ast.Assign(value=value) | ast.Return(value=ast.expr() as value) | ast.If(test=value):
                if not isinstance(value, ast.Constant):
                    yield span(code, value)


def span(code: str, node: ast.stmt | ast.expr) -> tuple[int, int]:
    """Where a node begins and ends, in characters."""
    lines = code.encode().split(b"\n")
    before = [
        sum(len(line) + 1 for line in lines[: number - 1]) for number in (node.lineno, node.end_lineno or 0)
    ]
    places = (before[0] + node.col_offset, before[1] + (node.end_col_offset or 0))
    start, end = (len(code.encode()[:place].decode()) for place in places)
    return start, end


def format_of(generator: TurnGenerator) -> infill.InfillFormat:
    found = infill.choose(generator.card)
    assert found is not None, f"{generator.card.name} cannot fill holes"
    return found


def at_once(ways: Iterator[str]) -> str:
    return next(ways, "")


WAYS: dict[str, Way] = {
    "nothing": lambda generator, place: fill_with_ellipsis(place.turn.chunk),
    "infill": lambda generator, place: at_once(
        fill_between(generator, place, format_of(generator), Sampling())
    ),
    "rewritten": lambda generator, place: at_once(rewrite_with_hole(generator, place, Sampling())),
    "tries": lambda generator, place: fill_holes(
        generator, place.session, place.number, place.turn.chunk, Sampling()
    ),
}


def judged(
    each: Holed, generator: TurnGenerator, run: Callable[[Program], Outcome], ways: Sequence[str]
) -> Row:
    hole = first_hole(each.code)
    assert hole is not None
    wish = each.task.instructions[0].split("\n")[0]
    place = HoleInTurn(Session().extend((Turn(wish, each.code),)), 1, hole)
    row = Row(each.task.problem, each.kind, each.gone)
    for name in ways:
        try:
            row.codes[name] = WAYS[name](generator, place)
        except MtchatError:
            row.codes[name] = ""
        row.passed[name] = mbpp.score(each.task, (row.codes[name],), run).strict
    return row


def report(rows: list[Row]) -> Iterator[str]:
    for kind in (STATEMENT, VALUE, "all"):
        mine = [row for row in rows if kind in (row.kind, "all")]
        shares = Counter(name for row in mine for name, passed in row.passed.items() if passed)
        yield f"{kind}: " + ", ".join(f"{name} {shares[name]} of {len(mine)}" for name in rows[0].passed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--ways", default=",".join(WAYS), help=f"some of {', '.join(WAYS)} (default: all)")
    parser.add_argument("--out", type=Path, help="write each row to FILE")
    args = parser.parse_args()
    model = loader.load(args.model, "auto", lambda stage: None)
    kind = family.choose(model.card)
    rows: list[Row] = []
    with Sandbox() as ground:

        def run(program: Program) -> Outcome:
            return ground.run(program, LIMITS, None)

        generator = TurnGenerator(
            family.load(kind),
            model.complete,
            card=model.card,
            family_name=kind,
            dry_run=lambda program: ground.trial(program, LIMITS, NO_INPUTS),
            count=lambda prompt: model.count(model.text(prompt)),
        )
        for each in holed(args.data):
            if len(rows) == args.problems:
                break
            rows.append(judged(each, generator, run, args.ways.split(",")))
            print(rows[-1].problem, rows[-1].passed, file=sys.stderr)
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(asdict(rows[-1])) + "\n")
    print("\n".join(report(rows)))


if __name__ == "__main__":
    main()
