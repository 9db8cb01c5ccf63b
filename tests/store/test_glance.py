"""What the model is told of attached files, bounded, and that a turn made with it can be made again."""

from pathlib import Path

import pytest

from mtchat.generate.improve import take
from mtchat.generate.prompt.families import instruct
from mtchat.generate.turn import TurnGenerator
from mtchat.repl.app import dispatch
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.store import attach, describe_files, load
from mtchat.store.attached import FILE_CHARS, MOST_DESCRIBED
from tests.support.consoles import Spoken, console_in, said
from tests.support.generate import CARD, ScriptedModel

SALES = "month,region,revenue,when\nJan,north,10,2024-01-01\nFeb,south,12.5,2024-02-01\nMar,,7,2024-03-01\n"


def told(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return describe_files(attach(Session(), [path], 64).attached)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        (
            "sales.csv",
            SALES,
            [
                "- sales.csv, 94 bytes: columns month (text), region (text, some empty), revenue",
                "revenue (numbers), when (dates). ",
                "Its first rows: Jan; north; 10; 2024-01-01 / Feb; south; 12.5; 2024-02-01",
            ],
        ),
        ("a.csv", "x;y\n1;2\n", ["separated by ';', columns x (whole numbers), y (whole numbers)"]),
        ("a.tsv", "x\ty\n1\tb c\n", ["columns x (whole numbers), y (text). Its first rows: 1; b c"]),
        ("a.csv", "\ufeffx\n1\n", ["columns x (whole numbers)"]),
        (
            "a.json",
            '[{"a": 1, "b": "t"}, {"a": 2}]',
            ["a list of objects with the columns a (whole numbers), b (t"],
        ),
        ("a.jsonl", '{"a": 1}\n{"a": 2.5}\n', ["one object a line with the columns a (numbers)"]),
        ("a.json", '{"k": 1, "l": 2}', ["an object with the keys k, l"]),
        ("a.json", "[1, 2]", ["a list of 2"]),
    ],
)
def test_tables_are_told_with_columns_types_and_two_rows(
    tmp_path: Path, name: str, text: str, parts: list[str]
) -> None:
    seen = told(tmp_path, name, text)
    assert [part for part in parts if part not in seen] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "{"),
        ("a.json", "[" * 5000),
        ("a.csv", ""),
        ("a.csv", b"\xff\x00\xfe\n\x00"),
        ("a.csv", "c" * 300_000),
        ("a.csv", ",".join(f"column_{number}" for number in range(5000))),
        ("a.bin", b"\x00" * 10),
    ],
)
def test_whatever_is_in_a_file_what_is_told_of_it_is_one_short_line(
    tmp_path: Path, name: str, text: str | bytes
) -> None:
    head, *lines = told(tmp_path, name, text).split("\n")
    assert head == "Files beside the program:"
    assert len(lines) == 1
    assert lines[0].startswith(f"- {name}, ")
    assert len(lines[0]) <= FILE_CHARS


def test_of_many_files_some_are_told(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:02}.txt" for number in range(MOST_DESCRIBED + 3)]
    for path in paths:
        path.write_text("a")
    assert describe_files(attach(Session(), paths, 64).attached).endswith("- and 3 more")
    assert describe_files(()) == ""


def test_the_model_is_told_and_the_instruction_stays_as_it_was_typed(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(SALES)
    model = Spoken("x = 1", "y = 1")
    console = console_in(tmp_path, model)
    dispatch(console, f"/attach {tmp_path / 'sales.csv'}")
    dispatch(console, "load the sales")
    wish = model.asked[0][0].messages[-1].content
    assert "- sales.csv, 94 bytes: columns month (text)" in wish
    assert wish.endswith("\n\nload the sales")
    (turn,) = load(console.log.path).path
    assert (turn.instruction, turn.provenance.files.split("\n")[0]) == (
        "load the sales",
        "Files beside the program:",
    )
    dispatch(console, "/context show them")
    assert "columns month (text)" in said(console)


def test_a_turn_that_was_told_of_files_can_be_made_again() -> None:
    generator = TurnGenerator(
        instruct,
        ScriptedModel(["x = 1\n```\n", "y = 1\n```\n"]),
        None,
        CARD,
        "instruct",
        files="Files: a.csv",
    )
    session = take(generator, Session(), "load it", Sampling())
    session = take(generator, session, "go on", Sampling())
    again = TurnGenerator(instruct, generator.complete, None, CARD, "instruct")
    assert list(again.verify(session)) == [None, None]
    assert all("Files: a.csv" in prompt.messages[-1].content for prompt, _ in generator.complete.asked)
