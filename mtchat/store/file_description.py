"""Describes attached files in a prompt: what kind of data they have, and how it begins."""

import csv
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath

from mtchat.files import regular
from mtchat.session.program import AttachedFile

READ_BYTES = 1 << 16
MOST_JSON = 1 << 20
MOST_DESCRIBED, MOST_COLUMNS, MOST_ROWS = 6, 20, 3
CELL_CHARS, FILE_CHARS, NAME_CHARS, LINE_CHARS = 24, 720, 60, 80
SAMPLED = 200  # rows that a type is told by
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
TEXTS = (".txt", ".md", ".log", ".text")
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
WHOLE, NUMBER = re.compile(r"[-+]?\d+"), re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def describe_files(files: Sequence[AttachedFile]) -> str:
    """A few lines about files that a program finds beside it; "" where there are none."""
    if not files:
        return ""
    told = [describe_file(file) for file in files[:MOST_DESCRIBED]]
    more = len(files) - len(told)
    return "\n".join(["Files beside the program:", *told, *([f"- and {more} more"] if more else [])])


def describe_file(file: AttachedFile) -> str:
    """What is seen of a file at its beginning: a line, and one for each of the first rows."""
    name, suffix = shorten(file.name, NAME_CHARS), PurePath(file.name).suffix.lower()
    seen = ""
    with suppress(OSError, ValueError, csv.Error, RecursionError):
        if suffix in TABLES:
            seen = describe_table(read_beginning(file.path, READ_BYTES), TABLES[suffix])
        elif suffix in (".json", ".jsonl", ".ndjson"):
            seen = describe_json(read_beginning(file.path, MOST_JSON), lines=suffix != ".json")
        elif suffix in TEXTS:
            seen = describe_text(read_beginning(file.path, READ_BYTES))
    text = f"- {name}, {file.size} bytes{seen and ': ' + seen}"
    return text if len(text) <= FILE_CHARS else text[: FILE_CHARS - 1].rstrip() + "…"


def read_beginning(path: PurePath, most: int) -> str:
    """The first bytes of a regular file as text; a line that is cut off at the end is left out."""
    opened = regular(str(path))
    try:
        data = os.read(opened, most)
        whole = os.fstat(opened).st_size <= len(data)
    finally:
        os.close(opened)
    text = data.decode("utf-8-sig", "replace")
    return text if whole else text.rpartition("\n")[0]


def describe_table(text: str, delimiter: str) -> str:
    with suppress(csv.Error):
        delimiter = csv.Sniffer().sniff(text.split("\n", 1)[0], f"{delimiter};\t|,").delimiter
    rows = [row for row in csv.reader(text.splitlines()[: SAMPLED + 1], delimiter=delimiter) if row]
    if not rows:
        return ""
    separated = "" if delimiter == "," else f"separated by {delimiter!r}, "
    return separated + describe_rows(rows[0], rows[1:])


def describe_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with their types, and the first rows, each on a line of its own."""
    columns = [
        f"{shorten(name, CELL_CHARS)} ({column_type([row[place] for row in rows if place < len(row)])})"
        for place, name in enumerate(names[:MOST_COLUMNS])
    ]
    more = f" and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    shown = ["; ".join(shorten(cell, CELL_CHARS) for cell in row[:MOST_COLUMNS]) for row in rows[:MOST_ROWS]]
    return begin_with(f"columns {', '.join(columns)}{more}", "rows", shown)


def describe_text(text: str) -> str:
    """The first lines that are not empty."""
    lines = [shorten(line, LINE_CHARS) for line in text.splitlines() if line.strip()]
    return begin_with("text", "lines", lines[:MOST_ROWS])


def begin_with(kind: str, what: str, shown: Sequence[str]) -> str:
    """A kind of content, and how it begins."""
    return "\n".join([f"{kind}. Its first {what}:", *(f"  {line}" for line in shown)]) if shown else kind


def describe_json(text: str, lines: bool) -> str:
    value = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    if isinstance(value, dict):
        parts = [f"{shorten(key, CELL_CHARS)} ({kind_of(value[key])})" for key in [*value][:MOST_COLUMNS]]
        more = f" and {len(value) - MOST_COLUMNS} more" if len(value) > MOST_COLUMNS else ""
        return f"an object with the keys {', '.join(parts)}{more}"
    if not isinstance(value, list):
        return kind_of(value)
    rows = [each for each in value[:SAMPLED] if isinstance(each, dict)]
    if not rows:
        return begin_with(
            kind_of(value), "items", [shorten(cell_text(each), LINE_CHARS) for each in value[:3]]
        )
    names = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[cell_text(row.get(name)) for name in names] for row in rows]
    each = "one object a line" if lines else "a list of objects"
    return f"{each} with the {describe_rows(names, cells)}"


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    if isinstance(value, list | dict):
        what = "list of" if isinstance(value, list) else "object with"
        return f"{what} {len(value)}"
    kinds = {str: "text", bool: "true or false", int: "whole number", float: "number"}
    return kinds.get(type(value), "nothing")


def cell_text(value: object) -> str:
    """A value as it stands in a table; "" where there is none."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def column_type(cells: Sequence[str]) -> str:
    """What the values of a column are, as far as they show it."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    gaps = ", some empty" if len(filled) < len(cells) else ""
    for name, pattern in (("whole numbers", WHOLE), ("numbers", NUMBER), ("dates", DATE)):
        if filled and all(pattern.fullmatch(cell) for cell in filled):
            return name + gaps
    return ("text" if filled else "empty") + (gaps if filled else "")


def shorten(text: str, most: int) -> str:
    """A text on one line, shortened."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
