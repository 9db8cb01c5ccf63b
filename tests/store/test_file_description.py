"""What a prompt says of attached files: columns with their types and three rows, keys, first lines."""

from pathlib import Path, PurePath

import pytest

from mtchat.session.program import AttachedFile
from mtchat.store import describe_files
from mtchat.store.file_description import FILE_CHARS

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
