"""Measures corrections in words: recognised, applied to the right turn, with the right behaviour.

    python -m evals.corrections [--model starter-small] [--policy default] [--only WORD] [--out FILE.jsonl]

Each row of `tests/cases/corrections` is a program of several turns and the next instruction. Without a model
(`--model none`) only the recognition is measured.
"""

import argparse
import ast
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evals import CASES
from mtchat.features.correction.apply import apply_correction
from mtchat.features.correction.detect import detect_correction
from mtchat.generate import policy
from mtchat.generate.turn import TurnGenerator
from mtchat.models import loader
from mtchat.session.program import Chunk, Program
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Sampling
from mtchat.session.turn import Turn

CORRECTIONS = CASES / "corrections"
LIMITS = Limits(seconds=10.0)


@dataclass(frozen=True)
class Case:
    """A program, the next instruction, and the turn that it corrects: 0 if it is a new step.

    `check` is code that must run after the corrected program; `output` is what that must print.
    """

    say: str
    turns: tuple[Turn, ...]
    kind: str = "step"
    turn: int = 0
    check: str = ""
    output: str | None = None

    @property
    def session(self) -> Session:
        return Session().extend(self.turns)


@dataclass(frozen=True)
class Verdict:
    """What came of a case: `right` is the behaviour, `once` that no name is defined a second time."""

    say: str
    kind: str
    recognised: bool
    aimed: bool
    right: bool = False
    once: bool = False
    code: str = ""
    error: str = ""

    @property
    def good(self) -> bool:
        return self.recognised and self.aimed and self.right and self.once


def cases(name: str) -> list[Case]:
    rows = (json.loads(line) for line in (CORRECTIONS / f"{name}.jsonl").read_text().splitlines())
    return [Case(**{**row, "turns": tuple(Turn(*each) for each in row["turns"])}) for row in rows]


def once(program: Program) -> bool:
    """Whether no function or class is defined by two turns."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    try:
        names = Counter(each.name for each in ast.parse(program.source).body if isinstance(each, kinds))
    except SyntaxError:
        return False
    return all(count == 1 for count in names.values())


def judged(case: Case, generator: TurnGenerator | None) -> Verdict:
    """A verdict of a correction; without a model, of its recognition alone."""
    session = case.session
    found = detect_correction(session.path, case.say)
    verdict = Verdict(case.say, case.kind, found is not None, found is not None and found.number == case.turn)
    if found is None or generator is None or generator.run is None:
        return verdict
    made = apply_correction(
        generator, session.with_outcome(generator.run(session.program)), found, Sampling()
    )
    program = made.program
    last = len(made.path) + 1
    outcome = generator.run(Program((*program.chunks, Chunk(last, case.check or "pass"))))
    shown = "".join(outcome.outputs[: len(program.chunks)])
    seen = case.output is None or spaced(shown) == spaced(case.output)
    right = outcome.ok and seen and made.head != session.head
    return replace(
        verdict,
        right=right,
        once=once(program) and len(made.path) == len(session.path),
        code=made.turn_at(found.number).chunk,
        error=outcome.error or ("" if right else f"prints {shown!r}"),
    )


def spaced(text: str) -> str:
    """Printed lines without what their wording does not settle: how many blanks, and those at the end."""
    return "\n".join(" ".join(line.split()) for line in text.strip().split("\n"))


def report(verdicts: Sequence[Verdict], steps: Sequence[bool], ran: bool) -> Iterator[str]:
    """Shares of the corrections, and of the next steps that were left alone."""
    total = len(verdicts)
    for name, claim in list(CLAIMS.items())[: None if ran else 2]:
        yield f"{name:<22}{sum(map(claim, verdicts)):>4} of {total}"
    for kind in dict.fromkeys(each.kind for each in verdicts if ran):
        mine = [each for each in verdicts if each.kind == kind]
        yield f"  {kind:<20}{sum(each.good for each in mine):>4} of {len(mine)}"
    yield f"{'steps left alone':<22}{sum(steps):>4} of {len(steps)}"


CLAIMS: dict[str, Callable[[Verdict], bool]] = {
    "recognised": lambda each: each.recognised,
    "right turn": lambda each: each.aimed,
    "right behaviour": lambda each: each.right,
    "no second definition": lambda each: each.once,
    "all of it": lambda each: each.good,
}


def maker_of(name: str, chosen: str) -> TurnGenerator:
    """A synthesizer as scripted mode has it."""
    from mtchat.cli import wiring
    from mtchat.console.view import View
    from mtchat.generate.prompt import family
    from mtchat.sandbox.host import execute

    model = loader.model_loader().get(name)
    wiring.wait_for(model, View.of(sys.stderr))
    card = model.card()
    kind = family.choose(card)
    return TurnGenerator(
        family.load(kind),
        model.complete,
        lambda program: execute.run(program, LIMITS),
        card,
        kind,
        policy=policy.load(chosen),
        candidates=model.candidates,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="starter-small", help="a model, or none")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--set", default="corrections", help="name of the case file (default: corrections)")
    parser.add_argument("--only", default="", help="only instructions that contain this")
    parser.add_argument("--out", type=Path, help="write each verdict to FILE")
    args = parser.parse_args()
    generator = None if args.model == "none" else maker_of(args.model, args.policy)
    verdicts = []
    for case in cases(args.set):
        if args.only in case.say:
            verdicts.append(judged(case, generator))
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(asdict(verdicts[-1])) + "\n")
    steps = [detect_correction(case.turns, case.say) is None for case in cases("steps")]
    print("\n".join(report(verdicts, steps, ran=generator is not None)))


if __name__ == "__main__":
    main()
