"""The contract of an export format, what the formats share, and files written and read in them."""

import codecs
import io
import os
import re
import tokenize
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import ModuleType
from urllib.parse import quote

from mtchat import files, plugins
from mtchat.errors import MtchatError, UsageError
from mtchat.session.program import PREAMBLE
from mtchat.session.session import Session
from mtchat.session.text import escape_controls
from mtchat.session.turn import INTERRUPTED, Turn

CODE = "code"
MOST_CELLS = 5_000
MOST_CODE = 2 * files.MIB
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

# no SVG, which can hold scripts
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
LARGEST_PICTURE, MOST_PICTURES = 4 * files.MIB, 16 * files.MIB


@dataclass(frozen=True)
class Picture:
    """A picture: its name, its kind, its bytes, and the way to it from the folder of the document."""

    name: str
    kind: str
    data: bytes
    link: str


@dataclass(frozen=True)
class Format:
    """What a file of formats/ defines: SUFFIX, `write`, and `import_text` where the text can come back, and
    `illustrate` where it can hold pictures.

    A suffix of "" is that of the language. `import_text` gives a session without a name, or a MtchatError for
    a text that is not of this format at all.
    """

    name: str
    help: str
    suffix: str
    write: Callable[[Session], str]
    import_text: Callable[[str], "ImportedProgram"] | None = None
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

    @property
    def note(self) -> str:
        """A sentence for readers about how the turn ended, "" where there is nothing to say."""
        if self.turn.status != INTERRUPTED:
            return ""
        if not self.turn.chunk.strip():
            return "This turn was interrupted before any code was written."
        return "This turn was interrupted; its code may be incomplete."


def list_formats() -> tuple[str, ...]:
    return plugins.names(FORMATS)


def load_formats() -> list[Format]:
    """All formats by name, without those of other packages that break their contract."""
    return [describe_format(name, module) for name, module in plugins.load_all(FORMATS).items()]


def load_format(name: str) -> Format:
    return describe_format(name, plugins.load(FORMATS, name))


def describe_format(name: str, module: ModuleType) -> Format:
    import_text, illustrate = getattr(module, "import_text", None), getattr(module, "illustrate", None)
    return Format(name, plugins.summary(module), module.SUFFIX, module.write, import_text, illustrate)


def reader_for(suffix: str) -> Callable[[str], ImportedProgram]:
    """What reads files with this suffix, such as ".py"."""
    known = readers_by_suffix()
    if suffix.lower() not in known:
        raise UsageError(f"cannot import {suffix or 'a file without suffix'}; try: {', '.join(known)}")
    return known[suffix.lower()]


def readers_by_suffix() -> Mapping[str, Callable[[str], ImportedProgram]]:
    """What reads files, by their suffixes."""
    own = plugins.files(FORMATS)  # which come last, so that no other package takes their suffixes
    return {
        each.suffix: each.import_text
        for each in sorted(load_formats(), key=lambda each: each.name in own)
        if each.import_text
    }


def format_for_path(path: str, session: Session) -> str:
    """The format of a file by its name; the program's own where the name has no suffix."""
    own = plugins.files(FORMATS)  # which come last, so that no other package takes their suffixes
    forms = sorted(load_formats(), key=lambda each: each.name in own)
    kinds = {suffix_for(each, session): each.name for each in forms}
    name = path.lower()
    for end in sorted(kinds, key=len, reverse=True):
        if name.endswith(end.lower()):
            return kinds[end] if end != session.language.suffix or not session.language.runs else "py"
    end = PurePath(path).suffix
    if not end:
        return "py" if session.language.runs else CODE
    raise UsageError(f"no format has the suffix {end}; use {', '.join(kinds)}, or name a format")


def suffix_for(form: Format, session: Session) -> str:
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


def escape_invisible(text: str) -> str:
    """Text to read: line ends are newlines; signs that act or cannot be seen are shown as escapes."""
    return escape_controls(text)


def to_one_line(text: str) -> str:
    """Words as Markdown that holds no tags, links, images or scripts; its other marks stay."""
    text = ENTITY.sub("&amp;", TAG.sub("&lt;", escape_invisible(text)))
    return SCRIPT.sub(r"\1&#58;", LINK.sub(r"\\\g<0>", text))


def describe_rest(number: int, what: str, fate: str) -> tuple[str, ...]:
    """What to say of things in a file that have no place in a session, where there are any."""
    return (f"{number} {what}{'s' if number > 1 else ''} {fate}",) if number else ()


def check_cell_count(cells: int) -> None:
    if cells > MOST_CELLS:
        raise MtchatError(f"it has {cells} cells, but at most {MOST_CELLS} can be imported; split it")


def export_session(
    session: Session,
    kind: str,
    path: Path,
    on_screen: Callable[[str], str] = str,
    folder: Path | None = None,
) -> Path:
    """Write a session to a file in a format; if that fails, a file that was there stays.

    A terminal, such as /dev/tty, gets the text as `on_screen` gives it. Pictures come from the `folder` where
    the files of the session's runs are.
    """
    text = load_format(kind).text(session, pictures_of(session, folder, path) if folder else ())
    try:
        path = path.expanduser()
        if path.exists() and not path.is_file():  # such as /dev/stdout, which is not to be replaced
            with open(path, "wb") as device:
                device.write(to_bytes(on_screen(text) if device.isatty() else text))
        else:
            files.replace(path.resolve(), to_bytes(text))
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MtchatError(f"cannot write {path}: {reason}; give another FILE") from None
    return path


def is_taken(path: Path) -> bool:
    """Whether an export would overwrite a file."""
    try:
        return path.expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False  # which `export_session` tells of


def import_program(path: Path) -> ImportedProgram:
    """The session in a file, by the format that its suffix names; it has no name yet."""
    import_text = reader_for(path.suffix)
    data = files.read(path, MOST_CODE if path.suffix.lower() == ".py" else files.MOST)
    try:
        imported = import_text(to_text(data))
    except MtchatError as error:
        raise MtchatError(f"{path}: {error}") from None
    if not imported.session.program.source.strip():
        raise MtchatError(f"{path} has no code, so there is no program to import")
    return imported


def pictures_of(session: Session, folder: Path, document: Path) -> Sequence[Picture]:
    """The pictures of the last run that are still in the session's folder of files, if small."""
    found, room = list[Picture](), MOST_PICTURES
    for each in session.outcome.files if session.outcome else ():
        with suppress(OSError):
            opened = files.below(folder, each.path)
            try:
                data = files.content(opened, min(LARGEST_PICTURE, room))
            finally:
                os.close(opened)
            kind = next((kind for begin, kind in KINDS.items() if data.startswith(begin)), "")
            if kind:
                link = os.path.relpath(folder / each.path, document.parent)
                found.append(Picture(each.path, kind, data, quote(link.replace(os.sep, "/"))))
                room -= len(data)
    return found
