"""What a model is told of attached files: name and size, of tables the columns, their types and two rows."""

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
MOST_FILES, MOST_COLUMNS, MOST_ROWS = 6, 20, 2
CELL_CHARS, FILE_CHARS, NAME_CHARS = 24, 480, 60
SAMPLED = 200  # rows that a type is told by
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
WHOLE, NUMBER = re.compile(r"[-+]?\d+"), re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def glance(files: Sequence[AttachedFile]) -> str:
    """A few lines about files that a program finds beside it; "" where there are none."""
    if not files:
        return ""
    told = [of_file(file) for file in files[:MOST_FILES]]
    more = len(files) - len(told)
    return "\n".join(["Files beside the program:", *told, *([f"- and {more} more"] if more else [])])


def of_file(file: AttachedFile) -> str:
    """One line with what is seen of a file at its beginning."""
    name, suffix = cut(file.name, NAME_CHARS), PurePath(file.name).suffix.lower()
    seen = ""
    with suppress(OSError, ValueError, csv.Error, RecursionError):
        if suffix in TABLES:
            seen = of_table(beginning(file.path, READ_BYTES), TABLES[suffix])
        elif suffix in (".json", ".jsonl", ".ndjson"):
            seen = of_json(beginning(file.path, MOST_JSON), lines=suffix != ".json")
    return cut(f"- {name}, {file.size} bytes{seen and ': ' + seen}", FILE_CHARS)


def beginning(path: PurePath, most: int) -> str:
    """The first bytes of a regular file as text; a line that is cut off at the end is left out."""
    opened = regular(str(path))
    try:
        data = os.read(opened, most)
        whole = os.fstat(opened).st_size <= len(data)
    finally:
        os.close(opened)
    text = data.decode("utf-8-sig", "replace")
    return text if whole else text.rpartition("\n")[0]


def of_table(text: str, delimiter: str) -> str:
    with suppress(csv.Error):
        delimiter = csv.Sniffer().sniff(text.split("\n", 1)[0], f"{delimiter};\t|,").delimiter
    rows = [row for row in csv.reader(text.splitlines()[: SAMPLED + 1], delimiter=delimiter) if row]
    if not rows:
        return ""
    separated = "" if delimiter == "," else f"separated by {delimiter!r}, "
    return separated + of_rows(rows[0], rows[1:])


def of_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with their types, and the first rows."""
    columns = [
        f"{cut(name, CELL_CHARS)} ({kind([row[place] for row in rows if place < len(row)])})"
        for place, name in enumerate(names[:MOST_COLUMNS])
    ]
    more = f" and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    shown = ["; ".join(cut(cell, CELL_CHARS) for cell in row[:MOST_COLUMNS]) for row in rows[:MOST_ROWS]]
    first = f". Its first rows: {' / '.join(shown)}" if shown else ""
    return f"columns {', '.join(columns)}{more}{first}"


def of_json(text: str, lines: bool) -> str:
    value = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    if isinstance(value, dict):
        keys = [cut(key, CELL_CHARS) for key in [*value][:MOST_COLUMNS]]
        return f"an object with the keys {', '.join(keys)}"
    if not isinstance(value, list):
        return f"a {type(value).__name__}"
    rows = [each for each in value[:SAMPLED] if isinstance(each, dict)]
    if not rows:
        return f"a list of {len(value)}"
    names = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[plain(row.get(name)) for name in names] for row in rows]
    each = "one object a line" if lines else "a list of objects"
    return f"{each} with the {of_rows(names, cells)}"


def plain(value: object) -> str:
    """A value as it stands in a table; "" where there is none."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def kind(cells: Sequence[str]) -> str:
    """What the values of a column are, as far as they show it."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    gaps = ", some empty" if len(filled) < len(cells) else ""
    for name, pattern in (("whole numbers", WHOLE), ("numbers", NUMBER), ("dates", DATE)):
        if filled and all(pattern.fullmatch(cell) for cell in filled):
            return name + gaps
    return ("text" if filled else "empty") + (gaps if filled else "")


def cut(text: str, most: int) -> str:
    """A text on one line, shortened."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
