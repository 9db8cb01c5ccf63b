"""A session file read: whole lines are its history, a torn last line is dropped, damage is an error."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtchat import files
from mtchat.errors import MtchatError
from mtchat.session.session import ROOT, Session
from mtchat.store.events import START, VERSION, History, apply_event, require_text, to_event
from mtchat.store.values import shorten_value

MOST = 512 * files.MIB  # of a session; one of 2000 turns has about 10
MOST_LISTED = 64 * files.MIB
OUTCOME = b'{"event":"outcome",'
BOM = b"\xef\xbb\xbf"  # that some editors put before the first line


@dataclass(frozen=True)
class LogContents:
    """A session as its file has it. `end` is the length of the good part in bytes, 0 before a whole header;
    `open_ended` says that its last line lacks a newline."""

    session: Session
    notices: tuple[str, ...] = ()
    end: int = 0
    open_ended: bool = False


def load(path: Path) -> Session:
    """The session in a file. Takes no lock and changes nothing, so it may be open elsewhere."""
    return read(path).session


def read(path: Path) -> LogContents:
    """The session in a file, with what there is to say about it."""
    return parse(files.read(path, MOST), path)


@dataclass(frozen=True)
class Outline:
    """What a list says of a session: the turns of its live path, and how the first was asked for."""

    turns: int = 0
    instruction: str = ""


def outline(path: Path) -> Outline:
    """As much of a session file as a list needs, in time that grows with its length alone."""
    data = files.read(path, MOST_LISTED)
    lines, _ = split(data.removeprefix(BOM))
    if not lines:
        parse(data, path)
        return Outline()
    check_header(lines[0], path)
    parents, asked, head = dict[str, str](), dict[str, str](), ROOT
    for number, line in enumerate(lines, start=1):
        if line.startswith(OUTCOME) or not line.strip():
            continue
        with explain_damage(number, path):
            event = to_event(line)
            if event["event"] == "turn":
                head = require_text(event, "id")
                asked.setdefault(
                    head, require_text({"typed": "", **event}, "typed") or require_text(event, "instruction")
                )
                parents.setdefault(
                    head, require_known(parents, require_text({"parent": ROOT, **event}, "parent"))
                )
            elif event["event"] == "head":
                head = require_known(parents, require_text(event, "to"))
    turns = [head] if head else []
    while turns and parents[turns[-1]]:
        turns.append(parents[turns[-1]])
    return Outline(len(turns), asked[turns[-1]] if turns else "")


def require_known(parents: Mapping[str, str], turn: str) -> str:
    if turn != ROOT and turn not in parents:
        raise ValueError(f"no turn {shorten_value(turn)} before this line")
    return turn


def parse(data: bytes, path: Path) -> LogContents:
    """The session in the bytes of a file; the name of a session is the name of its file."""
    session = Session(name=path.stem)
    lines, torn = split(data.removeprefix(BOM))
    if not lines:
        if not matches_start(torn) or (data and not torn):
            raise MtchatError(f"{path} is not a session file: it does not begin with a session event")
        return LogContents(session, torn_notice(path, torn))
    check_header(lines[0], path)
    history, edited = replay_lines(lines, History(session), path)
    notices = torn_notice(path, torn)
    if edited:
        where = ", ".join(str(number) for number in edited)
        notices += (f"{path.name}: edited by hand, or written by another mtchat: line {where}",)
    end = len(data) - len(torn)
    return LogContents(history.session, notices, end, open_ended=not data[:end].endswith(b"\n"))


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The lines of a file, and what is left of a last one that was cut short.

    A last line without its newline counts when it is complete: no event is the beginning of another.
    """
    *lines, last = data.split(b"\n")
    try:
        to_event(last)
    except ValueError:
        return lines, last
    return [*lines, last], b""


def matches_start(torn: bytes) -> bool:
    """Whether this can be what is left of a session file cut in its first line."""
    start = START.encode()
    return torn.startswith(start) or start.startswith(torn)


def torn_notice(path: Path, torn: bytes) -> tuple[str, ...]:
    if not torn:
        return ()
    return (f"{path.name}: dropped an incomplete last line ({len(torn)} bytes); the write was cut short",)


def check_header(line: bytes, path: Path) -> None:
    try:
        event = to_event(line)
        version = event.get("version")
        if event["event"] != "session" or not isinstance(version, int):
            raise ValueError
    except ValueError:
        raise MtchatError(f"{path} is not a session file: line 1 is not a session event") from None
    if version > VERSION:
        raise MtchatError(
            f"{path} was written by a newer mtchat (schema {shorten_value(version)}); "
            f"this one reads up to {VERSION}: upgrade mtchat to open it"
        )


def replay_lines(lines: list[bytes], history: History, path: Path) -> tuple[History, list[int]]:
    """The history that lines give, and the numbers of those whose turn was edited in the file."""
    edited = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        history = apply_line(history, line, number, path)
        if history.edited:
            edited.append(number)
    return history, edited


def apply_line(history: History, line: bytes, number: int, path: Path) -> History:
    with explain_damage(number, path):
        return apply_event(history, to_event(line))


@contextmanager
def explain_damage(number: int, path: Path) -> Iterator[None]:
    """What does not fit in a line is told with its number, and what can be done about it."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise MtchatError(
            f"{path}, line {number} is damaged ({error}); nothing was changed. Repair the line or restore "
            f"the file from a backup; its first {number - 1} lines are the session before that line"
        ) from None
