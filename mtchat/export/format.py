"""The contract of an export format, and what the formats share."""

import io
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mtchat import registry
from mtchat.core.program import PREAMBLE
from mtchat.core.session import Session
from mtchat.core.turn import Turn
from mtchat.errors import UsageError

CODE = "code"
FORMATS = "mtchat.export.formats"

# the instructions of code that comes without one
BEGIN = "Begin with this program."
GO_ON = "Go on with this code."


@dataclass(frozen=True)
class Format:
    """What a file of formats/ defines: SUFFIX, `write`, and `read` where the text can come back.

    A suffix of "" is that of the language. `read` gives a session without a name, or a MtchatError for a text
    that is not of this format at all.
    """

    name: str
    help: str
    suffix: str
    write: Callable[[Session], str]
    read: Callable[[str], Session] | None = None


@dataclass(frozen=True)
class Step:
    """A turn of the live path with its number and what its chunk printed when the program last ran."""

    number: int
    turn: Turn
    output: str


def names() -> tuple[str, ...]:
    return registry.names(FORMATS)


def load(name: str) -> Format:
    module = registry.load(FORMATS, name)
    return Format(name, registry.summary(module), module.SUFFIX, module.write, getattr(module, "read", None))


def reader(suffix: str) -> Callable[[str], Session]:
    """What reads files with this suffix, such as ".py"."""
    known = readable()
    if suffix.lower() not in known:
        raise UsageError(f"cannot import {suffix or 'a file without suffix'}; try: {', '.join(known)}")
    return known[suffix.lower()]


def readable() -> Mapping[str, Callable[[str], Session]]:
    """What reads files, by their suffixes."""
    return {each.suffix: each.read for each in map(load, names()) if each.read is not None}


def suffix(form: Format, session: Session) -> str:
    """How the name of an exported session ends; code has the suffix of its language."""
    return form.suffix or session.language.suffix


def foreign(session: Session, what: str) -> str:
    """Why a session in another language than Python is not written in a format, and what it can be."""
    title = session.language.title
    return f"{what} has Python, and this session is written in {title}: {CODE} writes it as it is"


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
        return data.decode(tokenize.detect_encoding(io.BytesIO(data).readline)[0])
    except (SyntaxError, UnicodeDecodeError):
        return data.decode("latin-1")


def steps(session: Session) -> tuple[Step, ...]:
    outputs = session.outcome.outputs if session.outcome else ()
    printed = dict(zip((chunk.turn for chunk in session.program.chunks), outputs, strict=False))
    path = enumerate(session.path, start=PREAMBLE + 1)
    return tuple(Step(number, turn, printed.get(number, "")) for number, turn in path)


def visible(text: str) -> str:
    """Text to read: line ends are newlines, and control characters are shown as escapes."""
    text = text.replace("\r\n", "\n")
    return "".join(sign if sign in "\n\t" or sign.isprintable() else escape(sign) for sign in text)


def escape(sign: str) -> str:
    """A sign that is not printable; spaces and marks of other scripts stay as they are."""
    if ord(sign) >= 0xA0 and not 0xD800 <= ord(sign) < 0xE000:
        return sign
    return ascii(sign)[1:-1]
