"""The folder of sessions: where it is, what is in it, and how a session may be called."""

import os
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from itertools import count
from pathlib import Path

import platformdirs

from mtchat.errors import MtchatError, UsageError
from mtchat.store.reading import outline

SUFFIX = ".jsonl"
EXAMPLES = ".examples"  # a file that marks a folder of recorded sessions
FILES = ".files"

# the first word of a command line is one of these or a session
RESERVED = ("run", "replay", "export", "import", "sessions", "models", "doctor", "bench")


@dataclass(frozen=True)
class Summary:
    """A line of the list of sessions: turns and instruction are of the live path; `problem` says why a
    file could not be read."""

    name: str
    path: Path
    modified: datetime
    turns: int = 0
    instruction: str = ""
    problem: str = ""

    @property
    def date(self) -> str:
        """The day of the last change, where the user is."""
        return self.modified.astimezone().date().isoformat()


def folder(chosen: Path | None = None) -> Path:
    """Where the user's sessions are: the chosen folder, else `./sessions` if there, else their data folder.

    A `./sessions` that holds recorded examples is not for sessions of the user's own.
    """
    if chosen is not None:
        return chosen
    here = Path("sessions")
    if here.is_dir() and not (here / EXAMPLES).exists():
        return here
    return platformdirs.user_data_path("mtchat", appauthor=False) / "sessions"


def recorded_folder(chosen: Path | None = None) -> Path:
    """Where sessions to measure with are: the chosen folder, else recorded examples, else the user's own."""
    here = Path("sessions")
    return here if chosen is None and (here / EXAMPLES).exists() else folder(chosen)


def path_of(name: str, folder: Path) -> Path:
    """The file of a session with this name, whether there is one or not."""
    check_name(name)
    return folder / f"{name}{SUFFIX}"


def files_of(path: Path) -> Path:
    """The folder next to a session file for what its runs left."""
    return path.with_name(path.stem + FILES)


def check_name(name: str) -> None:
    """UsageError when a session cannot be called this; any script is fine."""
    if not name.strip():
        raise UsageError("a session needs a name, such as: /save primes")
    if name in RESERVED:
        raise UsageError(f"{name!r} is a command of mtchat and cannot name a session")
    if any(sign in "/\\" or not sign.isprintable() for sign in name):
        raise UsageError(f"the name of a session has no slashes and no control characters: {name!r}")
    if name != name.strip() or name.startswith((".", "-")) or name.endswith((SUFFIX, FILES)):
        raise UsageError(f"the name of a session cannot begin with '.' or '-', nor end in {SUFFIX}: {name!r}")
    if len(name.encode()) > 200:
        raise UsageError("the name of a session has at most 200 bytes")


def find(session: str, folder: Path) -> Path:
    """The file of a session given as a path or as a name in the folder; an error lists the near names."""
    asked = Path(os.path.expanduser(session))
    if "/" in session or asked.suffix == SUFFIX:
        candidates = [asked, folder / asked]
    else:
        candidates = [path for path in paths(folder) if path.stem == session]
    for path in candidates:
        if os.path.isfile(path) or (path.suffix == SUFFIX and is_special(path)):
            return path
    if "/" in session:
        raise MtchatError(f"no session file {session}")
    for path in paths(folder):
        if normalise(path.stem) == normalise(session):
            raise MtchatError(
                f"{path.stem!r} is spelled with different characters that look the same; open it as {path}"
            )
    near = get_close_matches(session, [path.stem for path in paths(folder)], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`mtchat sessions` lists all sessions"
    raise MtchatError(f"no session {session!r} in {folder}; {hint}")


def is_special(path: Path) -> bool:
    """Whether something else than a file has the name of a session; what it is, is told when it is opened."""
    return os.path.exists(path) and not os.path.isdir(path)


def new_name(folder: Path, today: date) -> str:
    """A name that is not taken yet, such as 2026-11-23-1."""
    names = (f"{today.isoformat()}-{number}" for number in count(1))
    return next(name for name in names if not is_taken(path_of(name, folder)))


def normalise(name: str) -> str:
    """A name as it looks: é is one sign or two, as the keyboard or the file system has it."""
    return unicodedata.normalize("NFC", name)


def find_lookalike(path: Path) -> Path | None:
    """Another session in the folder whose name looks the same."""
    name = normalise(path.stem)
    return next(
        (each for each in paths(path.parent) if each.stem != path.stem and normalise(each.stem) == name), None
    )


def is_taken(path: Path) -> bool:
    return os.path.lexists(path) or os.path.exists(files_of(path))


def paths(folder: Path) -> list[Path]:
    """The session files of a folder, by name."""
    return sorted(folder.glob(f"[!.]*{SUFFIX}")) if os.path.isdir(folder) else []


def summaries(folder: Path) -> list[Summary]:
    """The sessions of a folder, last modified first; one that cannot be read is listed with its problem."""
    found = [summary(path) for path in paths(folder)]
    return sorted(found, key=lambda each: each.modified, reverse=True)


def summary(path: Path) -> Summary:
    try:
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        return Summary(path.stem, path, datetime.fromtimestamp(0, UTC), problem=error.strerror or str(error))
    try:
        found = outline(path)
    except MtchatError as error:
        return Summary(path.stem, path, modified, problem=str(error))
    return Summary(path.stem, path, modified, found.turns, found.instruction)
