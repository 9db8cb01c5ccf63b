"""Changes of earlier turns that reach one to three turns: which turns change, and what the program then does.

    python -m evals.changes --model starter [FILE]

FILE has a JSON object in each line: the `turns` of a program (instruction and code), the `wish`, the turn
that is changed first (`primary`), all turns that are to `change`, what the program must then print (`want`),
and what it must not (`absent`). Turns that are not to change must keep their code, byte for byte.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mtchat.cli import wiring
from mtchat.console.view import View
from mtchat.features.correction.apply import change_turns
from mtchat.features.correction.compare import chunk_changes
from mtchat.generate import policy
from mtchat.generate.events import CorrectionCompared, Event, LaterTurnChanged
from mtchat.generate.execute import execute
from mtchat.generate.prompt import family
from mtchat.generate.turn import TurnGenerator
from mtchat.models import loader
from mtchat.sandbox.host import execute as host
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Sampling
from mtchat.session.turn import Turn

LIMITS = Limits(10.0, 1024)
CASES = Path("tests/cases/corrections/changes.jsonl")


@dataclass(frozen=True)
class ChangeCase:
    """A program, a wish, and what must come of it."""

    name: str
    session: Session
    wish: str
    primary: int
    change: Sequence[int]
    want: Sequence[str]
    absent: Sequence[str]


@dataclass(frozen=True)
class ChangeVerdict:
    """The turns that changed, and whether they are the right ones and the program does the right thing."""

    case: ChangeCase
    changed: Sequence[int]
    printed: str
    error: str

    @property
    def right_turns(self) -> bool:
        return list(self.changed) == list(self.case.change)

    @property
    def right_output(self) -> bool:
        text = self.printed
        return (
            not self.error
            and all(each in text for each in self.case.want)
            and not any(each in text for each in self.case.absent)
        )


def read_cases(path: Path) -> list[ChangeCase]:
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return [
        ChangeCase(
            row["name"],
            Session().extend(
                tuple(Turn(each["instruction"], each["code"].rstrip("\n")) for each in row["turns"])
            ),
            row["wish"],
            row["primary"],
            row["change"],
            row["want"],
            row.get("absent", ()),
        )
        for row in rows
    ]


def judge(case: ChangeCase, generator: TurnGenerator) -> ChangeVerdict:
    assert generator.run is not None
    before = execute(case.session, generator.run)
    made = change_turns(generator, before, (case.primary,), case.wish, Sampling())
    outcome = generator.run(made.program)
    for change in chunk_changes(before, made):
        print(f"  turn {change.number} before:\n{indent(change.old)}\n  after:\n{indent(change.new)}")
    changed = [each.number for each in chunk_changes(before, made)]
    return ChangeVerdict(case, changed, outcome.stdout, outcome.error)


def indent(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.split("\n"))


def maker_of(name: str, chosen: str) -> TurnGenerator:
    """A generator as scripted mode has it."""
    model = loader.model_loader().get(name)
    wiring.wait_for(model, View.of(sys.stderr))
    card = model.card()
    kind = family.choose(card)
    return TurnGenerator(
        family.load(kind),
        model.complete,
        lambda program: host.run(program, LIMITS),
        card,
        kind,
        policy=policy.load(chosen),
        candidates=model.candidates,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=CASES)
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    args = parser.parse_args()
    sandbox = Sandbox()

    def dry_run(program: Program) -> Outcome:
        return sandbox.resume(program, LIMITS, None, None, RunInputs(), True)

    def hear(event: Event) -> None:
        if isinstance(event, LaterTurnChanged | CorrectionCompared):
            print("  ", event)

    generator = replace(maker_of(args.model, "default"), dry_run=dry_run, on_event=hear)
    verdicts = []
    for case in read_cases(args.file):
        if args.only not in case.name:
            continue
        print(f"{case.name}: {case.wish}", flush=True)
        started = time.monotonic()
        verdicts.append(judge(case, generator))
        each = verdicts[-1]
        print(f"  turns {each.changed} of {case.change}: {each.right_turns}; output: {each.right_output}")
        print(f"  {time.monotonic() - started:.1f} s {each.error}\n{indent(each.printed)}", flush=True)
    print(f"right turns {sum(each.right_turns for each in verdicts)} of {len(verdicts)}")
    print(f"right outputs {sum(each.right_output for each in verdicts)} of {len(verdicts)}")
    print(f"both {sum(each.right_output and each.right_turns for each in verdicts)} of {len(verdicts)}")
    sandbox.close()


if __name__ == "__main__":
    main()
