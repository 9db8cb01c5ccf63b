"""Measures how well typed texts are understood: rows of a program, and what a person types next."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from mtchat.bench.output import Say
from mtchat.bench.quality.data import DataFormat, read_problems
from mtchat.features.understand.reading import Kind, Reading, Understanding
from mtchat.session.session import Session
from mtchat.session.turn import COMPLETE, Turn

SOURCE = "each line needs id, turns (instruction, code), typed, label (S, C, R, K, Q, A), and turn for C"
NEEDED = DataFormat(
    {"id": (str, int), "turns": list, "typed": str, "label": str},
    "id",
    f"--data FILE names the rows; {SOURCE}",
)
KINDS: Mapping[str, Kind] = {
    "S": Kind.STEP,
    "C": Kind.CHANGE,
    "R": Kind.RENAME,
    "K": Kind.CHECK,
    "Q": Kind.QUESTION,
    "A": Kind.TALK,
}
PARTS = ("instruction", "code")
WARM_UP = "-"  # read before each row, so that the program is in the KV cache as it is in a conversation


@dataclass(frozen=True)
class IntentRow:
    """A program, what was typed after it, and what that is: the kinds and turns that are accepted."""

    session: Session
    typed: str
    kind: Kind
    kinds: frozenset[Kind]
    turns: frozenset[int]

    def accepts(self, reading: Reading) -> bool:
        """Whether a reading is of a right kind, whatever the turn."""
        return reading.kind in self.kinds

    def accepts_turn(self, reading: Reading) -> bool:
        """Whether a reading is a change of a right turn."""
        return reading.kind is Kind.CHANGE and reading.turn in self.turns


@dataclass(frozen=True)
class IntentResult:
    """The understanding of one row, and the milliseconds that it took."""

    row: IntentRow
    understanding: Understanding
    milliseconds: float

    @property
    def asked(self) -> bool:
        return self.understanding.is_close

    @property
    def answers(self) -> tuple[Reading, ...]:
        """The readings that the user gets: the likeliest, or those offered where the user is asked."""
        return self.understanding.offered if self.asked else (self.understanding.best,)

    @property
    def right(self) -> bool:
        return any(map(self.row.accepts, self.answers))

    @property
    def right_turn(self) -> bool:
        return any(map(self.row.accepts_turn, self.answers))

    @property
    def falsely_changes(self) -> bool:
        """Whether a step was taken for a change without a question."""
        best = self.understanding.best
        return not self.asked and best.kind is Kind.CHANGE and not self.row.accepts(best)


def read_rows(path: Path) -> Sequence[IntentRow]:
    """The rows of a file; MtchatError names the first bad one."""
    return read_problems(path, NEEDED, make_row)


def make_row(row: dict[str, Any]) -> Iterator[IntentRow]:
    if row["label"] not in KINDS:
        raise ValueError(f"label must be one of {', '.join(KINDS)}, not {row['label']!r}")
    session = Session("bench")
    for each in row["turns"]:
        if not isinstance(each, dict) or any(type(each.get(key)) is not str for key in PARTS):
            raise ValueError("turns must hold objects with instruction and code")
        code = each["code"].rstrip("\n") + "\n"
        session = session.add(Turn(each["instruction"], code, session.head, COMPLETE))
    kind, also = KINDS[row["label"]], row.get("turn_also_ok") or []
    also = [also] if isinstance(also, str) else also
    turns = [*(row.get("turn") or ()), *chain.from_iterable(each for each in also if isinstance(each, list))]
    if any(type(each) is not int or not 1 <= each <= len(session.path) for each in turns):
        raise ValueError("turn must hold numbers of turns")
    labels = [*(row.get("also_ok") or ()), *(each for each in also if isinstance(each, str))]
    kinds = {kind, *(KINDS[each] for each in labels if each in KINDS)}
    yield IntentRow(session, row["typed"], kind, frozenset(kinds), frozenset(turns))


def measure(
    rows: Sequence[IntentRow], understand: Callable[[Session, str], Understanding], say: Say
) -> tuple[IntentResult, ...]:
    """What is made of each row, its program being in the KV cache."""
    results = []
    for number, row in enumerate(rows, start=1):
        say(f"reading: {number} of {len(rows)}")
        understand(row.session, WARM_UP)
        began = time.perf_counter()
        understanding = understand(row.session, row.typed)
        results.append(IntentResult(row, understanding, 1000 * (time.perf_counter() - began)))
    return tuple(results)


def figures(results: Sequence[IntentResult]) -> dict[str, float]:
    """The rates of some results, from 0 to 1, and the median milliseconds of a decision.

    A row that the user is asked about counts as right if a right reading is offered.
    """
    changes = [each for each in results if each.row.kind is Kind.CHANGE]
    steps = [each for each in results if each.row.kind is Kind.STEP]
    return {
        "rows": len(results),
        "accuracy": rate([each.right for each in results]),
        "right_turn": rate([each.right_turn for each in changes]),
        "silent_false_changes": rate([each.falsely_changes for each in steps]),
        "asked": rate([each.asked for each in results]),
        "ms_per_decision": round(statistics.median([each.milliseconds for each in results] or [0.0]), 1),
    }


def rate(values: Sequence[bool]) -> float:
    return round(sum(values) / max(len(values), 1), 4)


def format_table(results: Sequence[IntentResult]) -> str:
    """The confusion matrix: a row for each label, a column for each kind that texts were taken for."""
    counts = Counter((each.row.kind, column(each)) for each in results)
    columns = [*Kind, "asked, right", "asked, wrong"]
    lines = ["| it is | " + " | ".join(columns) + " | right |", "|---" * (len(columns) + 2) + "|"]
    for kind in Kind:
        own = [each for each in results if each.row.kind is kind]
        cells = [str(counts[kind, name] or "") for name in columns]
        lines.append(f"| {kind} | {' | '.join(cells)} | {sum(each.right for each in own)} of {len(own)} |")
    sources = Counter(each.understanding.source for each in results)
    told = ", ".join(f"{name} {count}" for name, count in sources.most_common())
    return "\n".join([*lines, "", f"decided by: {told}"])


def column(result: IntentResult) -> str:
    if result.asked:
        return "asked, right" if result.right else "asked, wrong"
    return result.understanding.best.kind


def to_json(results: Sequence[IntentResult], model: str) -> str:
    """The figures on one line."""
    return json.dumps({"model": model, **figures(results)})
