"""Measures corrections in words: recognised, applied to the right turn, with the right behaviour.

    python -m evals.corrections [--model starter-small] [--policy default] [--only WORD] [--out FILE.jsonl]

Each row of `tests/cases/corrections` is a program of several turns and the next instruction. The model says
what each instruction means, as in the REPL. With `--recognition` no correction is carried out.
"""

import argparse
import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import mtchat
from evals import CASES
from mtchat.conversation.conversation import Conversation
from mtchat.features.understand.reading import WRITING, Kind, Understanding
from mtchat.sandbox.host import execute
from mtchat.session.program import Chunk, Program
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Settings
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


def understood(case: Case, chat: Conversation) -> Understanding:
    """What the model takes the instruction of a case for, among what writes code."""
    chat.keep(case.session, "goto")
    return chat.understand(case.say).among(WRITING)


def judged(case: Case, chat: Conversation, recognition: bool) -> Verdict:
    """A verdict of a correction; of its recognition alone if that is all that is wanted."""
    reading, session = understood(case, chat).best, chat.session
    changes = reading.kind is not Kind.STEP
    aimed = reading.kind is Kind.RENAME or reading.turn == case.turn
    verdict = Verdict(case.say, case.kind, changes, changes and aimed)
    if not changes or recognition:
        return verdict
    chat.follow(case.say, reading)
    made, program = chat.session, chat.session.program
    last = len(made.path) + 1
    outcome = execute.run(Program((*program.chunks, Chunk(last, case.check or "pass"))), LIMITS)
    shown = "".join(outcome.outputs[: len(program.chunks)])
    seen = case.output is None or spaced(shown) == spaced(case.output)
    right = outcome.ok and seen and made.head != session.head
    return replace(
        verdict,
        right=right,
        once=once(program) and len(made.path) == len(session.path),
        code=made.turn_at(case.turn).chunk,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="starter-small", help="the model (default: starter-small)")
    parser.add_argument("--policy", default="default")
    parser.add_argument("--set", default="corrections", help="name of the case file (default: corrections)")
    parser.add_argument("--only", default="", help="only instructions that contain this")
    parser.add_argument("--recognition", action="store_true", help="carry no correction out")
    parser.add_argument("--out", type=Path, help="write each verdict to FILE")
    args = parser.parse_args()
    settings = Settings(policy=args.policy, seconds=LIMITS.seconds)
    with Conversation(mtchat.load_model(args.model), settings=settings) as chat:
        verdicts = []
        for case in cases(args.set):
            if args.only in case.say:
                verdicts.append(judged(case, chat, args.recognition))
                if args.out:
                    with args.out.open("a") as out:
                        out.write(json.dumps(asdict(verdicts[-1])) + "\n")
        steps = [understood(case, chat).best.kind is Kind.STEP for case in cases("steps")]
    print("\n".join(report(verdicts, steps, ran=not args.recognition)))


if __name__ == "__main__":
    main()
