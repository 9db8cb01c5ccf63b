"""A Jupyter notebook: each instruction is a text cell and its chunk a code cell; it can be imported again."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence

from mtchat.errors import MtchatError, UsageError
from mtchat.export.cells import translate_magics
from mtchat.export.format import (
    COMMANDS,
    GO_ON,
    LEFT_OUT,
    MOST_NEWLINES,
    ExportedStep,
    ImportedProgram,
    Picture,
    check_cell_count,
    describe_rest,
    escape_invisible,
    exported_steps,
    to_one_line,
)
from mtchat.session.language import PYTHON, Language, parse_language
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, INTERRUPTED, Turn

SUFFIX = ".ipynb"

Json = Mapping[str, object]

KERNELS = {"ir": "r", "ijavascript": "javascript", "nodejs": "javascript", "tslab": "typescript"}
METADATA: Json = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def write(session: Session) -> str:
    """Notebook format 4.5."""
    return illustrate(session, ())


def illustrate(session: Session, pictures: Sequence[Picture]) -> str:
    """The notebook with the pictures below its last code."""
    cells = [code_cell("preamble", session.preamble, {"preamble": True})] if session.preamble else []
    for step in exported_steps(session):
        cells += step_cells(step)
    if cells and pictures:
        cells[-1] = {**cells[-1], "outputs": [*outputs_of(cells[-1]), *map(picture_output, pictures)]}
    notebook = {
        "cells": cells,
        "metadata": language_metadata(session.language),
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def outputs_of(cell: Json) -> list[object]:
    found = cell["outputs"]
    return found if isinstance(found, list) else []


def picture_output(picture: Picture) -> Json:
    data = {picture.kind: b64encode(picture.data).decode(), "text/plain": [escape_invisible(picture.name)]}
    return {"data": data, "metadata": {}, "output_type": "display_data"}


def language_metadata(language: Language) -> Json:
    """What a notebook says of its language; which kernel has another than Python, Jupyter asks its user."""
    return METADATA if language == PYTHON else {"language_info": {"name": language.name}}


def step_cells(step: ExportedStep) -> Iterator[Json]:
    name = f"turn-{step.number}"
    words = to_one_line(step.turn.instruction)
    exact: Json = {"instruction": step.turn.instruction} if words != step.turn.instruction else {}
    yield markdown_cell(name, words, {"turn": step.number, **exact})
    if step.note:
        yield markdown_cell(f"{name}-note", f"*{step.note}*", {"note": True})
    yield code_cell(f"{name}-code", step.turn.chunk, {"status": step.turn.status}, step.output)


def markdown_cell(name: str, text: str, ours: Json) -> Json:
    return {"cell_type": "markdown", "id": name, "metadata": {"mtchat": ours}, "source": split_source(text)}


def code_cell(name: str, text: str, ours: Json, output: str = "") -> Json:
    """A code cell; the newlines at its end, which a notebook does not show, are counted in its metadata."""
    source = text.rstrip("\n")
    if source != text:
        ours = {**ours, "newlines": len(text) - len(source)}
    stream = {"name": "stdout", "output_type": "stream", "text": split_source(escape_invisible(output))}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {"mtchat": ours},
        "outputs": [stream] if output else [],
        "source": split_source(source),
    }


def split_source(text: str) -> list[str]:
    """Lines with their ends, as notebooks keep text."""
    *whole, last = text.split("\n")
    return [*(line + "\n" for line in whole), *([last] if last else [])]


def read(text: str) -> Session:
    return import_text(text).session


def import_text(text: str) -> ImportedProgram:
    """The session in any notebook: the text above a code cell is its instruction."""
    notebook = notebook_of(text)
    language = language_of(notebook)
    preamble = ""
    turns: list[Turn] = []
    said: list[str] = []
    raw = commands = printed = 0
    for cell in cells_of(notebook):
        ours = as_mapping(as_mapping(cell.get("metadata")).get("mtchat"))
        source = text_of(cell.get("source"))
        if not ours:
            source = re.sub(r"\r\n?", "\n", source)
            raw += cell.get("cell_type") == "raw"
            printed += bool(cell.get("outputs"))
        if not ours and language.runs and cell.get("cell_type") == "code":
            source, number = translate_magics(source)
            commands += number
        if cell.get("cell_type") == "markdown" and not ours.get("note"):
            exact = ours.get("instruction")
            said.append(exact if isinstance(exact, str) and to_one_line(exact) == source else source)
        elif cell.get("cell_type") == "code":
            chunk = chunk_of(source, ours.get("newlines"))
            if ours.get("preamble"):
                preamble += chunk
                continue
            status = INTERRUPTED if ours.get("status") == INTERRUPTED else EDITED
            turns.append(Turn("\n\n".join(said) if said else GO_ON, chunk, status=status))
            said = []
    session = Session(preamble=preamble, language=language).extend(tuple(turns))
    notices = (
        *describe_rest(commands, *COMMANDS),
        *describe_rest(raw, "raw cell", LEFT_OUT),
        *describe_rest(len(said), "text cell", f"after the last code {LEFT_OUT}"),
        *describe_rest(printed, "cell", "without its output, which a run shows again"),
    )
    return ImportedProgram(session, notices)


def language_of(notebook: Json) -> Language:
    """The language that a notebook names, for itself or for its kernel; Python where it names none."""
    metadata = as_mapping(notebook.get("metadata"))
    kernel = as_mapping(metadata.get("kernelspec"))
    info = as_mapping(metadata.get("language_info"))
    for name in (info.get("name"), kernel.get("language"), kernel.get("name")):
        if isinstance(name, str) and name.strip():
            if re.match(r"i?python|xpython|pyodide", name, re.IGNORECASE):
                return PYTHON
            try:
                return parse_language(KERNELS.get(name.lower(), name))
            except UsageError:
                raise MtchatError(f"its code is in {name[:40]!r}, which mtchat does not write") from None
    return PYTHON


def chunk_of(source: str, newlines: object) -> str:
    """The code of a cell: without newlines at its end, or with as many as its metadata says."""
    count = newlines if isinstance(newlines, int) else 0
    return source.rstrip("\n") + "\n" * min(max(count, 0), MOST_NEWLINES)


def notebook_of(text: str) -> Json:
    try:
        return as_mapping(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise MtchatError(f"not a notebook: {error}") from None


def cells_of(notebook: Json) -> list[Json]:
    """The cells; those of format 3 are in worksheets, and name their parts otherwise."""
    cells, sheets = notebook.get("cells"), notebook.get("worksheets")
    if not isinstance(cells, list) and isinstance(sheets, list):
        theirs = [as_mapping(sheet).get("cells") for sheet in sheets]
        cells = [upgrade_cell(as_mapping(cell)) for each in theirs if isinstance(each, list) for cell in each]
        if not cells:
            cells = None
    if not isinstance(cells, list):
        raise MtchatError("not a notebook: it has no cells")
    check_cell_count(len(cells))
    return [as_mapping(cell) for cell in cells]


def upgrade_cell(cell: Json) -> Json:
    """A cell of format 3 as one of format 4."""
    if cell.get("cell_type") == "heading":
        level = cell.get("level")
        signs = "#" * (level if isinstance(level, int) and 1 <= level <= 6 else 1)
        return {"cell_type": "markdown", "source": f"{signs} {text_of(cell.get('source'))}"}
    return {**cell, "source": cell.get("input")} if cell.get("cell_type") == "code" else cell


def as_mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """The text of a source, which is a string or a list of lines."""
    parts = value if isinstance(value, list) else [value]
    return "".join(part for part in parts if isinstance(part, str))
