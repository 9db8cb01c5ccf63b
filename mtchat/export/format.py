"""The contract of an export format, and what the formats share."""

import codecs
import io
import re
import tokenize
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import ModuleType

from mtchat import plugins
from mtchat.errors import MtchatError, UsageError
from mtchat.export.pictures import Picture
from mtchat.session.program import PREAMBLE
from mtchat.session.session import Session
from mtchat.session.text import escape_controls
from mtchat.session.turn import Turn

CODE = "code"
MOST_CELLS = 5_000
MOST_NEWLINES = 10_000  # at the end of one piece of code
TAG, ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"&(?=#?\w+;)(?!lt;)")
LINK = re.compile(r"(?<=!)\[|\](?=[(\[:])")
SCRIPT = re.compile(r"\b(javascript|vbscript|data):", re.IGNORECASE)
NO_TEXT = ("idna", "punycode")  # which Python takes for encodings, and which read a long file for hours
FORMATS = "mtchat.export.formats"

# the instructions of code that comes without one
BEGIN = "Begin with this program."
GO_ON = "Continue with this code."

# what becomes of things in a file that have no place in a session
LEFT_OUT = "left out"
COMMANDS = ("command", "to IPython or the shell made comments")


@dataclass(frozen=True)
class Format:
    """What a file of formats/ defines: SUFFIX, `write`, and `bring` where the text can come back, and
    `illustrate` where it can hold pictures.

    A suffix of "" is that of the language. `bring` gives a session without a name, or a MtchatError for
    a text that is not of this format at all.
    """

    name: str
    help: str
    suffix: str
    write: Callable[[Session], str]
    bring: Callable[[str], "ImportedProgram"] | None = None
    illustrate: Callable[[Session, Sequence[Picture]], str] | None = None

    def text(self, session: Session, pictures: Sequence[Picture] = ()) -> str:
        """The session in this format, with its pictures where the format has room for them."""
        return self.illustrate(session, pictures) if self.illustrate else self.write(session)


@dataclass(frozen=True)
class ImportedProgram:
    """A session from a file, and what of the file is not in it as it was: a line for each kind."""

    session: Session
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportedStep:
    """A turn of the live path with its number and what its chunk printed when the program last ran."""

    number: int
    turn: Turn
    output: str


def names() -> tuple[str, ...]:
    return plugins.names(FORMATS)


def usable() -> list[Format]:
    """All formats by name, without those of other packages that break their contract."""
    return [describe(name, module) for name, module in plugins.load_all(FORMATS).items()]


def load(name: str) -> Format:
    return describe(name, plugins.load(FORMATS, name))


def describe(name: str, module: ModuleType) -> Format:
    bring, illustrate = getattr(module, "bring", None), getattr(module, "illustrate", None)
    return Format(name, plugins.summary(module), module.SUFFIX, module.write, bring, illustrate)


def reader_for(suffix: str) -> Callable[[str], ImportedProgram]:
    """What reads files with this suffix, such as ".py"."""
    known = readable()
    if suffix.lower() not in known:
        raise UsageError(f"cannot import {suffix or 'a file without suffix'}; try: {', '.join(known)}")
    return known[suffix.lower()]


def readable() -> Mapping[str, Callable[[str], ImportedProgram]]:
    """What reads files, by their suffixes."""
    own = plugins.files(FORMATS)  # which come last, so that no other package takes their suffixes
    return {
        each.suffix: each.bring for each in sorted(usable(), key=lambda each: each.name in own) if each.bring
    }


def of_suffix(path: str, session: Session) -> str:
    """The format of a file by its name; the program's own where the name has no suffix."""
    own = plugins.files(FORMATS)  # which come last, so that no other package takes their suffixes
    forms = sorted(usable(), key=lambda each: each.name in own)
    kinds = {suffix(each, session): each.name for each in forms}
    name = path.lower()
    for end in sorted(kinds, key=len, reverse=True):
        if name.endswith(end.lower()):
            return kinds[end] if end != session.language.suffix or not session.language.runs else "py"
    end = PurePath(path).suffix
    if not end:
        return "py" if session.language.runs else CODE
    raise UsageError(f"no format has the suffix {end}; use {', '.join(kinds)}, or name a format")


def suffix(form: Format, session: Session) -> str:
    """How the name of an exported session ends; code has the suffix of its language."""
    return form.suffix or session.language.suffix


def foreign_notice(session: Session, what: str) -> str:
    """Why a session in another language than Python is not written in a format, and what it can be."""
    title = session.language.title
    return (
        f"{what} contains Python, but this session is written in {title}; "
        f"the format {CODE} writes it unchanged"
    )


def to_bytes(text: str) -> bytes:
    """The bytes of an exported file. Line ends stay as they are, and so do lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def to_text(data: bytes) -> str:
    """The text of a file: UTF-8, else the encoding that a Python file declares, else Latin-1."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        pass
    try:
        name = codecs.lookup(tokenize.detect_encoding(io.BytesIO(data).readline)[0]).name
        return data.decode(name if name not in NO_TEXT else "latin-1")
    except (SyntaxError, LookupError, UnicodeError):
        return data.decode("latin-1")


def exported_steps(session: Session) -> tuple[ExportedStep, ...]:
    outputs = session.outcome.outputs if session.outcome else ()
    printed = dict(zip((chunk.turn for chunk in session.program.chunks), outputs, strict=False))
    path = enumerate(session.path, start=PREAMBLE + 1)
    return tuple(ExportedStep(number, turn, printed.get(number, "")) for number, turn in path)


def visible(text: str) -> str:
    """Text to read: line ends are newlines; signs that act or cannot be seen are shown as escapes."""
    return escape_controls(text)


def in_one_line(text: str) -> str:
    """Words as Markdown that holds no tags, links, images or scripts; its other marks stay."""
    text = ENTITY.sub("&amp;", TAG.sub("&lt;", visible(text)))
    return SCRIPT.sub(r"\1&#58;", LINK.sub(r"\\\g<0>", text))


def left(number: int, what: str, fate: str) -> tuple[str, ...]:
    """What to say of things in a file that have no place in a session, where there are any."""
    return (f"{number} {what}{'s' if number > 1 else ''} {fate}",) if number else ()


def check_cell_count(cells: int) -> None:
    if cells > MOST_CELLS:
        raise MtchatError(f"it has {cells} cells, but at most {MOST_CELLS} can be imported; split it")
