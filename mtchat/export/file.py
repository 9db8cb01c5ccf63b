"""Exported sessions as files: written whole or not at all, and read back."""

from collections.abc import Callable
from pathlib import Path

from mtchat import files
from mtchat.errors import MtchatError
from mtchat.export.format import ImportedProgram, load, reader_for, to_bytes, to_text
from mtchat.export.pictures import pictures_of
from mtchat.session.session import Session

MOST_CODE = 2 * files.MIB


def save(
    session: Session,
    kind: str,
    path: Path,
    on_screen: Callable[[str], str] = str,
    folder: Path | None = None,
) -> Path:
    """Writes a session in a format; the file that was there stays when that fails.

    A terminal, such as /dev/tty, gets the text as `on_screen` gives it. Pictures come from the `folder` where
    the files of the session's runs are.
    """
    text = load(kind).text(session, pictures_of(session, folder, path) if folder else ())
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
        return False  # which `save` tells of


def read(path: Path) -> ImportedProgram:
    """The session in a file, by the format that its suffix names; it has no name yet."""
    bring = reader_for(path.suffix)
    data = files.read(path, MOST_CODE if path.suffix.lower() == ".py" else files.MOST)
    try:
        brought = bring(to_text(data))
    except MtchatError as error:
        raise MtchatError(f"{path}: {error}") from None
    if not brought.session.program.source.strip():
        raise MtchatError(f"{path} has no code, so there is no program to import")
    return brought
