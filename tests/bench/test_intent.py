"""The measure of understanding: its rows, its rates, and the command with a real model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtchat.bench.intent import IntentResult, figures, format_table, make_row, measure, read_rows, to_json
from mtchat.errors import MtchatError
from mtchat.features.understand.reading import Kind, Reading, Understanding
from mtchat.session.session import Session
from tests.support.starter import needs_small

MODEL = ("--model", "starter-small")
PROGRAM = [
    {"instruction": "a list of ages", "code": "ages = [41, 7, 23]"},
    {"instruction": "print the mean", "code": "print(sum(ages) / 3)"},
]


def row(typed: str, label: str, **more: object) -> dict[str, object]:
    return {"id": typed, "turns": PROGRAM, "typed": typed, "label": label, **more}


ROWS = (
    row("and the oldest one", "S", turn_also_ok="C"),
    row("draw them", "S"),
    row("8, not 7", "C", turn=[1], turn_also_ok=[[1, 2]]),
    row("two decimals", "C", turn=[2]),
    row("why 3?", "Q"),
)


ANSWERS: dict[str, tuple[Reading, ...]] = {
    "and the oldest one": (Reading(Kind.CHANGE, 0.9, (2,)),),
    "draw them": (Reading(Kind.CHANGE, 0.9, (1,)),),
    "8, not 7": (Reading(Kind.CHANGE, 0.4, (2, 1)), Reading(Kind.CHANGE, 0.3, (1, 2))),
    "two decimals": (Reading(Kind.CHANGE, 0.9, (1, 2)),),
    "why 3?": (Reading(Kind.STEP, 0.4), Reading(Kind.TALK, 0.3)),
}


def understand(session: Session, text: str) -> Understanding:
    return Understanding(text, ANSWERS.get(text, (Reading(Kind.STEP),)), "probe", 0.5)


def results() -> tuple[IntentResult, ...]:
    rows = [made for each in ROWS for made in make_row(dict(each))]
    return measure(rows, understand, lambda text: None)


def test_a_row_counts_as_right_by_what_the_user_gets() -> None:
    also_ok, false_change, asked, wrong_turn, asked_wrong = results()
    assert also_ok.right
    assert not also_ok.falsely_changes
    assert false_change.falsely_changes
    assert asked.asked
    assert asked.right
    assert asked.right_turn
    assert wrong_turn.right
    assert not wrong_turn.right_turn
    assert asked_wrong.asked
    assert not asked_wrong.right


def test_the_figures_are_rates_of_the_rows_they_are_about() -> None:
    found = figures(results())
    assert found["ms_per_decision"] >= 0
    assert {key: found[key] for key in found if key != "ms_per_decision"} == {
        "rows": 5,
        "accuracy": 0.6,
        "right_turn": 0.5,
        "silent_false_changes": 0.5,
        "asked": 0.4,
    }
    assert json.loads(to_json(results(), "m"))["model"] == "m"


def test_the_table_shows_what_each_label_was_taken_for() -> None:
    table = format_table(results())
    assert "| change |  | 1 |  |  |  |  | 1 |  | 2 of 2 |" in table
    assert "decided by: probe 5" in table


@pytest.mark.parametrize(
    "bad",
    [
        row("x", "Z"),
        row("x", "C", turn=[3]),
        row("x", "C", turn=["1"]),
        row("x", "S") | {"turns": [{"instruction": "a"}]},
        row("x", "S") | {"turns": ["a"]},
    ],
)
def test_a_bad_row_is_named(bad: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(bad) + "\n")
    with pytest.raises(MtchatError, match="line 2"):
        read_rows(file)


@pytest.mark.model
@needs_small
def test_the_command_ends_with_one_line_of_figures(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    command = [
        sys.executable,
        "-m",
        "mtchat",
        "bench",
        "intent",
        "--data",
        str(file),
        "--model",
        "starter-small",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rows"] == 5
    assert {"accuracy", "right_turn", "silent_false_changes", "asked", "ms_per_decision"} <= found.keys()
