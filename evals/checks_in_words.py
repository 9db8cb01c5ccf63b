"""Measures checks in words: how many become the right expression, how many a wrong one, how many are refused.

    python -m evals.checks_in_words [--model starter-small] [--half develop|held|later|all] [--out FILE.json]

Each case of `tests/cases/checks/in_words.json` is a program, what is said of it, and states in which that is
true or false. An expression is right if it is true in the former and not in the latter. The half that is held
was not looked at while the prompt and the rules were written.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evals import CASES
from mtchat.errors import MtchatError
from mtchat.features.checks.drawing import CheckWriter
from mtchat.features.checks.evaluate import evaluate_checks
from mtchat.features.checks.parse import ParsedCheck, parse_check
from mtchat.features.checks.propose import propose_check
from mtchat.models import loader
from mtchat.models.loading import Model
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, Check, Chunk, Program
from mtchat.session.session import Session
from mtchat.session.settings import Limits
from mtchat.session.turn import Turn

DATA = CASES / "checks" / "in_words.json"
LIMITS = Limits(seconds=20.0)
HALVES = ("develop", "held", "later", "all")
RIGHT, WRONG, REFUSED = "right", "wrong", "refused"


@dataclass(frozen=True)
class Case:
    """What is said of a program; `true` and `false` are statements that lead to states to test it on."""

    program: str
    half: str
    turns: tuple[Turn, ...]
    text: str
    language: str
    expression: str
    true: tuple[str, ...]
    false: tuple[str, ...]

    @property
    def session(self) -> Session:
        return Session().extend(self.turns)


@dataclass(frozen=True)
class Verdict:
    """What came of a case."""

    program: str
    text: str
    language: str
    result: str
    code: str
    reason: str
    seconds: float


def load_cases(half: str = "all") -> list[Case]:
    return [
        Case(
            program=each["name"],
            half=each["half"],
            turns=tuple(Turn(turn["instruction"], turn["code"]) for turn in each["turns"]),
            text=said["text"],
            language=said["language"],
            expression=said["expression"],
            true=tuple(said["true"]),
            false=tuple(said["false"]),
        )
        for each in json.loads(DATA.read_text(encoding="utf-8"))
        for said in each["checks"]
        if half in ("all", each["half"])
    ]


def look(sandbox: Sandbox, program: Program, with_variables: bool = False) -> Outcome:
    return sandbox.resume(program, LIMITS, None, lambda stream, text: None, NO_INPUTS, with_variables)


def is_right(case: Case, code: str, sandbox: Sandbox) -> bool:
    """Whether an expression is true in each state in which it should be, and in no other."""
    chunks = case.session.program.chunks
    last = len(chunks) + 1
    for statement, expected in [(each, True) for each in case.true] + [(each, False) for each in case.false]:
        program = Program((*chunks, Chunk(last, statement)), checks=(Check(last, code, last),))
        found = evaluate_checks(program, look(sandbox, program), lambda part: look(sandbox, part))
        if [each.passed for each in found.check_results] != [expected]:
            return False
    return True


def judge(case: Case, model: Model, sandbox: Sandbox) -> Verdict:
    """What a model makes of a case, as /check does."""
    session, start = case.session, time.monotonic()
    code = reason = ""
    try:
        parsed = parse_check(case.text, session)
        if isinstance(parsed, ParsedCheck):
            code = parsed.code
        else:
            variables = look(sandbox, session.program, True).variables
            found = propose_check(
                parsed.text,
                session.program,
                variables,
                CheckWriter(model.candidates, model.card.chat),
                lambda part: look(sandbox, part),
            )
            code, reason = found.code, found.reason
    except MtchatError as error:
        reason = str(error)
    seconds = time.monotonic() - start
    result = REFUSED if not code else RIGHT if is_right(case, code, sandbox) else WRONG
    return Verdict(case.program, case.text, case.language, result, code, reason, round(seconds, 2))


def report(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The shares of all cases, and of those in English and in other languages."""
    groups = {
        "all": list(verdicts),
        "English": [each for each in verdicts if each.language == "en"],
        "other": [each for each in verdicts if each.language != "en"],
    }
    for name, mine in groups.items():
        counts = Counter(each.result for each in mine)
        shares = ", ".join(f"{counts[result]} {result}" for result in (RIGHT, WRONG, REFUSED))
        yield f"{name:<8} {len(mine):>3}: {shares}"
    seconds = sorted(each.seconds for each in verdicts)
    if seconds:
        yield f"median {seconds[len(seconds) // 2]:.1f} s a check, longest {seconds[-1]:.1f} s"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--half", choices=HALVES, default="all")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(argv)
    model, verdicts = loader.load_model(chosen.model), []
    with Sandbox() as sandbox:
        for case in load_cases(chosen.half):
            verdicts.append(judge(case, model, sandbox))
            last = verdicts[-1]
            print(
                f"{last.result:<8}{last.seconds:>6.1f} s  {last.text} | {last.code or last.reason}",
                flush=True,
            )
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(each) for each in verdicts], indent=1, ensure_ascii=False))
    print("\n".join(report(verdicts)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
