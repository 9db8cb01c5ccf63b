"""A Jupyter notebook: each instruction is a text cell and its chunk a code cell; it can be imported again."""

import json
from collections.abc import Iterator, Mapping

from mtchat.core.language import LANGUAGES, PYTHON, Language
from mtchat.core.session import Session
from mtchat.core.turn import EDITED, INTERRUPTED, Turn
from mtchat.errors import MtchatError
from mtchat.export.format import GO_ON, Step, steps

SUFFIX = ".ipynb"

Json = Mapping[str, object]

NOTE = "*This turn was interrupted; its code may not be whole.*"
METADATA: Json = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def write(session: Session) -> str:
    """Notebook format 4.5."""
    cells = [code("preamble", session.preamble, {"preamble": True})] if session.preamble else []
    for step in steps(session):
        cells += section(step)
    notebook = {"cells": cells, "metadata": metadata(session.language), "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def metadata(language: Language) -> Json:
    """What a notebook says of its language; which kernel has another than Python, Jupyter asks its user."""
    return METADATA if language == PYTHON else {"language_info": {"name": language.name}}


def section(step: Step) -> Iterator[Json]:
    name = f"turn-{step.number}"
    yield markdown(name, step.turn.instruction, {"turn": step.number})
    if step.turn.status == INTERRUPTED:
        yield markdown(f"{name}-note", NOTE, {"note": True})
    yield code(f"{name}-code", step.turn.chunk, {"status": step.turn.status}, step.output)


def markdown(name: str, text: str, ours: Json) -> Json:
    return {"cell_type": "markdown", "id": name, "metadata": {"mtchat": ours}, "source": lines(text)}


def code(name: str, text: str, ours: Json, output: str = "") -> Json:
    """A code cell; the newlines at its end, which a notebook does not show, are counted in its metadata."""
    source = text.rstrip("\n")
    if source != text:
        ours = {**ours, "newlines": len(text) - len(source)}
    stream = {"name": "stdout", "output_type": "stream", "text": lines(output)}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {"mtchat": ours},
        "outputs": [stream] if output else [],
        "source": lines(source),
    }


def lines(text: str) -> list[str]:
    """Lines with their ends, as notebooks keep text."""
    *whole, last = text.split("\n")
    return [*(line + "\n" for line in whole), *([last] if last else [])]


def read(text: str) -> Session:
    """The session in any notebook of format 4: the text above a code cell is its instruction."""
    preamble = ""
    turns: list[Turn] = []
    said: list[str] = []
    for cell in cells_of(text):
        ours = mapping(mapping(cell.get("metadata")).get("mtchat"))
        source = text_of(cell.get("source"))
        if cell.get("cell_type") == "markdown" and not ours.get("note"):
            said.append(source)
        elif cell.get("cell_type") == "code":
            chunk = chunk_of(source, ours.get("newlines"))
            if ours.get("preamble"):
                preamble += chunk
                continue
            status = INTERRUPTED if ours.get("status") == INTERRUPTED else EDITED
            turns.append(Turn("\n\n".join(said) if said else GO_ON, chunk, status=status))
            said = []
    return Session(preamble=preamble, language=language_of(text)).extend(tuple(turns))


def language_of(text: str) -> Language:
    """The language that a notebook of ours names; Python where it names none that is known."""
    name = mapping(mapping(mapping(json.loads(text)).get("metadata")).get("language_info")).get("name")
    return next((each for each in LANGUAGES if each.name == name), PYTHON)


def chunk_of(source: str, newlines: object) -> str:
    """The code of a cell: without newlines at its end, or with as many as its metadata says."""
    return source.rstrip("\n") + "\n" * (newlines if isinstance(newlines, int) else 0)


def cells_of(text: str) -> list[Json]:
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MtchatError(f"not a notebook: {error}") from None
    cells = mapping(notebook).get("cells")
    if not isinstance(cells, list):
        raise MtchatError("not a notebook of format 4: it has no cells; Jupyter can convert older ones")
    return [mapping(cell) for cell in cells]


def mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """The text of a source, which is a string or a list of lines."""
    parts = value if isinstance(value, list) else [value]
    return "".join(part for part in parts if isinstance(part, str))
