"""Tells how a program failed, as text fields for the host: bounded, and with frames of the program only."""

import io
from types import TracebackType

from mtchat.sandbox.guest import world
from mtchat.sandbox.guest.wire import EXITED, RAISED

TYPE_CHECKING = False  # as in typing, which would cost 12 ms
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from traceback import TracebackException
    from typing import Any

HEADLINE_CHARS, LINE_CHARS, TRACEBACK_LINES, FRAMES = 400, 240, 60, 40


def fields(error: BaseException, names: list[str], sources: list[str], asked: list[str]) -> list[str]:
    """ABOUT words on how it ended; then chunk, line, function and text of each frame.

    `asked` are the hosts that the program tried to reach.
    """
    if isinstance(error, SystemExit):
        return [EXITED, "", "", "", *kept_from(error, asked), *told_frames(error, names, sources)]
    kind = limit_of(error)
    try:
        return [RAISED, kind, *story_of(error, names, sources, asked)]
    except BaseException:
        return [RAISED, kind, type(error).__name__, "", "", ""]


def limit_of(error: BaseException) -> str:
    """The limit that an error is due to; objects of the program's may refuse to be asked."""
    try:
        return world.bound(error)
    except BaseException:
        return ""


def kept_from(error: BaseException, asked: list[str]) -> list[str]:
    """What the sandbox kept from the program, and its name."""
    try:
        what, subject = world.world(error, asked)
        return [what, clipped(subject, LINE_CHARS)]
    except BaseException:
        return ["", ""]


def story_of(error: BaseException, names: list[str], sources: list[str], asked: list[str]) -> list[str]:
    import linecache
    import traceback

    fill(linecache.cache, dict(zip(names, sources, strict=True)))
    blamed = kept_from(error, asked)
    trace = after_launcher(error, names)
    story = traceback.TracebackException(type(error), error, trace, limit=-500, compact=True)
    keep_program(story, names)
    text = bounded("".join(story.format()).rstrip("\n").split("\n"))
    return [headline(error, str(story)), text, *blamed, *told_frames(error, names, sources)]


def told_frames(error: BaseException, names: list[str], sources: list[str]) -> list[str]:
    """Four fields for each frame: chunk, line, function and text."""
    told = []
    for name, line, function in frames_of(error, names):
        index = names.index(name)
        text = "".join(lines(sources[index])[line - 1 : line]).strip()
        told += [str(index), str(line), function, clipped(text, LINE_CHARS)]
    return told


def after_launcher(error: BaseException, names: list[str]) -> TracebackType | None:
    """The traceback without the launcher's own frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename not in names:
        trace = trace.tb_next
    return trace


def headline(error: BaseException, said: str) -> str:
    """The error in one line: its type and the first line with words of what it says."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    first = next((line for line in lines if any(sign.isalnum() for sign in line)), "".join(lines[:1]))
    if isinstance(error, SyntaxError):
        first = str(error.msg)
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return clipped(f"{name}: {first}" if first else name, HEADLINE_CHARS)


def keep_program(story: "TracebackException", names: list[str]) -> None:
    """Leave, in the story and its causes, the frames of the program and the last one of a library."""
    rest, seen = [story], set()
    while rest:
        each = rest.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        last = len(each.stack) - 1
        each.stack[:] = [
            frame for index, frame in enumerate(each.stack) if index == last or frame.filename in names
        ]
        more = (each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ()))
        rest += [one for one in more if one is not None]


def bounded(lines: list[str], most: int = TRACEBACK_LINES) -> str:
    """At most so many lines and one for those of the middle that are left out, each of at most LINE_CHARS."""
    extra = len(lines) - most
    if extra > 0:
        head = most // 3
        lines = [*lines[:head], f"  [{extra} lines left out]", *lines[head + extra :]]
    return "".join(clipped(line, LINE_CHARS) + "\n" for line in lines)


def clipped(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def frames_of(error: BaseException, names: list[str]) -> list[tuple[str, int, str]]:
    """(chunk name, line, function) outermost first; for an error of the compiler the line it names."""
    found = []
    step = after_launcher(error, names)
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename in names:
            found.append((code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    if not found and isinstance(error, SyntaxError) and error.filename in names:
        found.append((error.filename, error.lineno or 1, "<module>"))
    return found if len(found) <= FRAMES else found[: FRAMES // 2] + found[-FRAMES // 2 :]


def fill(cache: "MutableMapping[str, Any]", sources: dict[str, str]) -> None:
    """Let `linecache` know the chunks, so that every traceback shows their lines."""
    for name, source in sources.items():
        cache[name] = (len(source), None, [line + "\n" for line in lines(source)], name)


def lines(source: str) -> list[str]:
    """The lines that Python's tokenizer sees: no form feed ends one, and no U+2028 in a string."""
    return io.StringIO(source, newline=None).read().removesuffix("\n").split("\n")
