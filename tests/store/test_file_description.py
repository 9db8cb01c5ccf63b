"""What the model is told of attached files, bounded, and that such a turn can be made again."""

from pathlib import Path, PurePath

import pytest

from mtchat.generate.improve import take
from mtchat.generate.prompt.families import instruct
from mtchat.generate.turn import TurnGenerator
from mtchat.repl.app import dispatch
from mtchat.session.program import AttachedFile
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.store import attach, describe_files, load
from mtchat.store.file_description import FILE_CHARS, MOST_DESCRIBED
from tests.support.consoles import Spoken, console_in, said
from tests.support.generate import CARD, ScriptedModel

SALES = "month,region,revenue,when\nJan,north,10,2024-01-01\nFeb,south,12.5,2024-02-01\nMar,,7,2024-03-01\n"

FILES = {
    "sales.csv": (
        "item,qty,price,day\ntea,1,2.5,2024-01-02\nmilk,,3,2024-01-03\nrye,7,1,2024-01-04\noat,9,1,2024-01-05\n",
        "- sales.csv, 97 bytes: columns item (text), qty (whole numbers, some empty), price (numbers), "
        "day (dates). Its first rows:\n"
        "  tea; 1; 2.5; 2024-01-02\n  milk; ; 3; 2024-01-03\n  rye; 7; 1; 2024-01-04",
    ),
    "flat.tsv": (
        "a\tb\n1\tx\n",
        "- flat.tsv, 8 bytes: separated by '\\t', columns a (whole numbers), b (text). Its first rows:\n"
        "  1; x",
    ),
    "empty.csv": ("", "- empty.csv, 0 bytes"),
    "head.csv": ("a,b\n", "- head.csv, 4 bytes: columns a (empty), b (empty)"),
    "set.json": (
        '{"name": "x", "sizes": [1, 2], "deep": {"a": 1}, "on": true, "none": null}',
        "- set.json, 74 bytes: an object with the keys name (text), sizes (list of 2), deep (object with 1), "
        "on (true or false), none (nothing)",
    ),
    "list.json": ("[3, 4, 5, 6]", "- list.json, 12 bytes: list of 4. Its first items:\n  3\n  4\n  5"),
    "log.jsonl": (
        '{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}\n',
        "- log.jsonl, 36 bytes: one object a line with the columns a (whole numbers). Its first rows:\n"
        "  1\n  2\n  3",
    ),
    "notes.txt": (
        "first\n\nsecond\nthird\nfourth\n",
        "- notes.txt, 27 bytes: text. Its first lines:\n  first\n  second\n  third",
    ),
    "bad.json": ("{", "- bad.json, 1 bytes"),
    "photo.png": ("\x00", "- photo.png, 1 bytes"),
}


def told(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return describe_files(attach(Session(), [path], 64).attached)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.csv", "x;y\n1;2\n", "separated by ';', columns x (whole numbers), y (whole numbers)"),
        ("a.tsv", "x\ty\n1\tb c\n", "columns x (whole numbers), y (text). Its first rows:\n  1; b c"),
        ("a.csv", "\ufeffx\n1\n", "columns x (whole numbers)"),
        (
            "a.json",
            '[{"a": 1, "b": "t"}, {"a": 2}]',
            "a list of objects with the columns a (whole numbers), b (t",
        ),
        ("a.jsonl", '{"a": 1}\n{"a": 2.5}\n', "one object a line with the columns a (numbers)"),
        ("a.json", '{"k": 1, "l": 2}', "an object with the keys k (whole number), l (whole number)"),
        ("a.json", "[1, 2]", "list of 2. Its first items:\n  1\n  2"),
    ],
)
def test_tables_lists_and_objects_are_told_by_their_parts(
    tmp_path: Path, name: str, text: str, part: str
) -> None:
    assert part in told(tmp_path, name, text)


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
def test_whatever_is_in_a_file_what_is_told_of_it_is_short(
    tmp_path: Path, name: str, text: str | bytes
) -> None:
    head, _, seen = told(tmp_path, name, text).partition("\n")
    assert head == "Files beside the program:"
    assert seen.startswith(f"- {name}, ")
    assert len(seen) <= FILE_CHARS
    assert len(seen.split("\n")) <= 4


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


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_described_by_its_beginning(name: str, tmp_path: Path) -> None:
    content, text = FILES[name]
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    file = AttachedFile(name, PurePath(path), len(content))
    assert describe_files([file]) == f"Files beside the program:\n{text}"


def test_a_wide_table_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(",".join(f"column_{number}_{row}" for number in range(99)) for row in range(9)))
    text = describe_files([AttachedFile("wide.csv", PurePath(path), 1)])
    assert len(text) <= FILE_CHARS + len("Files beside the program:\n")
    assert " and 79 more" in text
    assert text.endswith("…")


def test_a_file_that_is_gone_and_files_beyond_the_first_are_only_named(tmp_path: Path) -> None:
    gone = AttachedFile("gone.csv", PurePath(tmp_path / "gone.csv"), 5)
    assert describe_files([gone] * 8) == "\n".join(
        ["Files beside the program:", *["- gone.csv, 5 bytes"] * 6, "- and 2 more"]
    )
    assert describe_files([]) == ""
