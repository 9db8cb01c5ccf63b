"""Reads what the program's own process left in the shared memory; all of it is the program's word."""

import re
from dataclasses import dataclass

from mtchat.sandbox.guest.account import LINE_CHARS, TRACEBACK_LINES, bounded, clipped
from mtchat.sandbox.guest.wire import (
    ABOUT,
    FAULT_AT,
    FAULT_BYTES,
    RAISED,
    REPORT_AT,
    REPORT_BYTES,
    VARIABLES_AT,
    VARIABLES_BYTES,
)
from mtchat.session import world
from mtchat.session.outcome import Frame, Variable
from mtchat.session.program import Location, Program
from mtchat.session.source import lines as lines_of

MAX_FIELDS, MAX_VARIABLE_FIELDS, MAX_WORD = 200, 1200, 400
MAX_NAME = 100
FAULT_LINE = re.compile(r'  File "(.*)", line (\d+) in (.*)')


@dataclass(frozen=True)
class Report:
    """How the program says it ended: `how` is raised, exited or "" (it was not asked); `index` is the chunk
    that ran last, None when none began."""

    index: int | None = None
    finished: bool = False
    how: str = ""
    kind: str = ""
    headline: str = ""
    traceback: str = ""
    world: str = ""
    subject: str = ""
    frames: tuple[Frame, ...] = ()


def read(shared: bytes, program: Program) -> Report:
    """The report in the shared memory; whatever makes no sense is left out."""
    began = int.from_bytes(shared[0:4], "little")
    index = min(began, len(program.chunks)) - 1 if began and program.chunks else None
    words = fields(shared)
    how, kind, headline, traceback, what, subject = (words + [""] * ABOUT)[:ABOUT]
    frames = tuple(frame for group in grouped(words[ABOUT:]) if (frame := frame_of(group, program)))
    if not how:
        frames, traceback = faults(shared, program)
    if how == RAISED and not frames:
        frames = beginning(index, program)
    kept = what if what in world.NOTES else ""
    return Report(
        index,
        shared[4:5] == b"\x01" and index in (None, len(program.chunks) - 1),
        how,
        kind,
        short(headline, MAX_WORD),
        bounded(traceback.splitlines(), TRACEBACK_LINES + 1),
        kept,
        short(subject, MAX_WORD),
        frames,
    )


def beginning(index: int | None, program: Program) -> tuple[Frame, ...]:
    """The best guess at a place when only the chunk is known: its first line."""
    return (Frame(Location(program.chunks[index].turn, 1), "<module>"),) if index is not None else ()


def variables(shared: bytes) -> tuple[Variable, ...]:
    """The variables that the program described, where it was asked to."""
    words = fields(shared, VARIABLES_AT, VARIABLES_BYTES, MAX_VARIABLE_FIELDS)
    return tuple(Variable(*(short(word, MAX_WORD) for word in group)) for group in grouped(words))


def fields(shared: bytes, at: int = REPORT_AT, room: int = REPORT_BYTES, most: int = MAX_FIELDS) -> list[str]:
    size = min(int.from_bytes(shared[at : at + 4], "little"), room)
    blob = shared[at + 4 : at + 4 + size]
    found: list[str] = []
    while len(blob) >= 4 and len(found) < most:
        length = int.from_bytes(blob[:4], "little")
        found.append(blob[4 : 4 + length].decode("utf-8", "replace"))
        blob = blob[4 + length :]
    return found


def short(text: str, most: int) -> str:
    """A text of the program's own in one line of at most so many characters."""
    return clipped(" ".join(text.split()), most)


def grouped(words: list[str]) -> list[list[str]]:
    return [words[at : at + 4] for at in range(0, len(words) - 3, 4)]


def frame_of(words: list[str], program: Program) -> Frame | None:
    """A frame from chunk, line, function and text; None when the numbers are none of ours."""
    index, line, function, text = words
    if not (index.isdecimal() and line.isdecimal() and len(index) < 10 and len(line) < 10):
        return None
    if int(index) >= len(program.chunks):
        return None
    chunk = program.chunks[int(index)]
    if int(line) > len(lines_of(chunk.code)) + 1:
        return None
    return Frame(Location(chunk.turn, int(line)), short(function, MAX_NAME), text[:LINE_CHARS])


def faults(shared: bytes, program: Program) -> tuple[tuple[Frame, ...], str]:
    """The frames, outermost first, and the traceback that faulthandler wrote before a signal killed it."""
    text = shared[FAULT_AT : FAULT_AT + FAULT_BYTES].split(b"\0", 1)[0].decode("utf-8", "replace")
    chunks = {name: number for number, name in enumerate(names(program))}
    frames, lines = [], []
    for match in reversed(list(FAULT_LINE.finditer(text))):
        name, line, function = match.groups()
        if name not in chunks:
            continue
        chunk = program.chunks[chunks[name]]
        source = lines_of(chunk.code)[int(line) - 1 : int(line)] if len(line) < 10 else []
        shown = source[0].strip()[:240] if source else ""
        function = short(function, MAX_NAME)
        frames.append(Frame(Location(chunk.turn, int(line[:9])), function, shown))
        lines.append(f'  File "{name}", line {line}, in {function}\n' + (f"    {shown}\n" if shown else ""))
    head = "Traceback (most recent call last):\n" if lines else ""
    return tuple(frames), head + "".join(lines)


def names(program: Program) -> list[str]:
    """The file name under which each chunk is compiled: "<turn 3>", or the file's own name."""
    return [program.name or f"<{program.label(chunk.turn)}>" for chunk in program.chunks]
