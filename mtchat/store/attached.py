"""Files that the user attached: what programs get copies of, and how a prompt describes them."""

import csv
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import NoReturn

from mtchat.errors import UsageError
from mtchat.files import CHUNK, MIB, plain, regular
from mtchat.session.program import AttachedFile
from mtchat.session.session import Session

MOST_FILES = 1000  # of a folder
MADE = ("__pycache__", "node_modules")
MOST = 64 * 1024 * MIB  # a file that grows as fast as it is read has no end
MOST_OF_OTHERS = 1024 * MIB  # that a session file of somebody else's may have looked at


def attach(session: Session, paths: Sequence[Path], disk_mib: int) -> Session:
    """The session with these files attached as well: all of them, or an error and none.

    A folder stands for the files in it, which keep their places below its name. One that is attached already,
    by the same path, is taken as it is now.
    """
    files = {file.path: file for file in session.attached}
    for path, name in list_files(paths):
        files[path] = AttachedFile(name, path, size_of(path))
        check_attached_name(files[path], tuple(files.values()))
        check_room(tuple(files.values()), disk_mib)
        files[path] = measure(files[path])
    return replace(session, attached=tuple(files.values()))


def list_files(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each file with the name that programs see; of a folder all that are below it."""
    for path in (Path(os.path.abspath(each)) for each in paths):
        if os.path.isdir(path):
            yield from files_in(path)
        else:
            yield path, path.name


def files_in(folder: Path) -> list[tuple[Path, str]]:
    """The regular files below a folder, in order, with their names; what is set aside or a link is not."""
    found: list[tuple[Path, str]] = []
    for place, folders, names in os.walk(folder, onerror=raise_unreadable):
        folders[:] = sorted(name for name in folders if not is_ignored(Path(place, name)))
        for path in (Path(place, name) for name in sorted(names)):
            if not is_ignored(path) and is_file(path):
                found.append((path, str(path.relative_to(folder.parent))))
        if len(found) > MOST_FILES:
            raise UsageError(
                f"{folder} has more than {MOST_FILES} files; attach only the subfolders that you need"
            )
    if not found:
        raise UsageError(f"{folder} contains no files")
    return found


def is_ignored(path: Path) -> bool:
    """Whether it is hidden, made by a tool from the rest, or an environment with packages."""
    return path.name.startswith(".") or path.name in MADE or os.path.exists(path / "pyvenv.cfg")


def is_file(path: Path) -> bool:
    """Whether it is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:  # gone since its folder was listed
        return False
    except OSError as error:
        raise_unreadable(error)


def raise_unreadable(error: OSError) -> NoReturn:
    """A part of a folder that cannot be looked at is told, and not left out in silence."""
    raise UsageError(f"cannot read {error.filename}: {error.strerror}")


def detach(session: Session, names: Sequence[str]) -> Session:
    """The session without the files that programs see under these names, or below these folders."""
    held = {name: [file for file in session.attached if belongs_to(file, name)] for name in names}
    known = list(dict.fromkeys(file.name.partition("/")[0] for file in session.attached))
    for name in names:
        if not held[name]:
            there = f"attached are: {', '.join(known)}" if known else "no files are attached"
            raise UsageError(f"{name!r} is not attached; {there}")
    gone = {file.name for files in held.values() for file in files}
    return replace(session, attached=tuple(file for file in session.attached if file.name not in gone))


def belongs_to(file: AttachedFile, name: str) -> bool:
    return file.name == name or file.name.startswith(name.rstrip("/") + "/")


def recheck_files(
    session: Session, owned: Callable[[PurePath], bool] = lambda path: False
) -> tuple[Session, tuple[str, ...]]:
    """The session with those of its files that programs may have, and what to say of changes among them.

    A session file can come from somebody else, so that it names a file is not enough to give it to programs:
    its content must be the one that was attached. What the user attached here is taken as it is now.
    """
    files, notices = [], []
    for file in session.attached:
        path = Path(file.path)
        gone = f"{file.name} is no longer attached: {path}"
        try:
            now = AttachedFile(visible_name(file), path, size_of(path))
            mine = owned(file.path)
            if now.size == file.size or mine:
                now = measure(now, MOST if mine else MOST_OF_OTHERS)
        except UsageError:
            notices.append(f"{gone} is gone, or cannot be read")
            continue
        same = (now.size, now.sha256) == (file.size, file.sha256)
        if same or mine:
            files.append(now)
        if not same:
            changed = f"{file.name} has changed since it was attached; programs get the current version"
            notices.append(changed if mine else f"{gone} has changed; attach it again to use it")
    return session.with_values(attached=tuple(files)), tuple(notices)


def visible_name(file: AttachedFile) -> str:
    """The name that programs see: the end of the file's own path, as long as the record has it."""
    parts = file.name.split("/")
    own = plain(file.name) and Path(file.path).parts[-len(parts) :] == tuple(parts)
    return file.name if own else Path(file.path).name


def attached_below(session: Session, paths: Sequence[Path]) -> tuple[PurePath, ...]:
    """The attached files that these paths stand for, each a file or a folder."""
    chosen = {PurePath(os.path.abspath(path)) for path in paths}
    return tuple(file.path for file in session.attached if chosen & {file.path, *file.path.parents})


def present_files(session: Session) -> tuple[AttachedFile, ...]:
    """The attached files that are still where they were."""
    return tuple(file for file in session.attached if os.path.isfile(file.path))


def size_of(path: Path) -> int:
    """The size of a regular file in bytes; UsageError when programs cannot be given it."""
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a regular file")
    return status.st_size


def measure(file: AttachedFile, most: int = MOST) -> AttachedFile:
    """A file with its content's size and hash; UsageError where it has more bytes than may be looked at."""
    if file.size > most:
        raise UsageError(f"cannot read {file.path}: it has more than {most // MIB} MiB")
    try:
        opened = regular(Path(file.path))
        try:
            digest, whole = hashlib.sha256(), 0
            while part := os.pread(opened, CHUNK, whole):
                digest.update(part)
                whole += len(part)
                if whole > most:
                    raise UsageError(f"cannot read {file.path}: it has more than {most // MIB} MiB")
        finally:
            os.close(opened)
    except OSError as error:
        raise UsageError(f"cannot read {file.path}: {error.strerror}") from None
    return replace(file, size=whole, sha256=digest.hexdigest())


def check_attached_name(file: AttachedFile, files: Sequence[AttachedFile]) -> None:
    if not file.name.isprintable():
        raise UsageError(f"cannot attach {str(file.path)!r}: its name has characters that cannot be shown")
    for other in files:
        if other.name == file.name and other.path != file.path:
            raise UsageError(
                f"two files cannot both be {file.name!r} for the program: {other.path} and {file.path}; "
                "rename one of them, or detach the other first"
            )
        if belongs_to(file, other.name) != belongs_to(other, file.name) and other.name != file.name:
            raise UsageError(f"{other.name} and {file.name} cannot both be attached: one would be a folder")


def check_room(files: Sequence[AttachedFile], disk_mib: int) -> None:
    """What a run may have of files holds those that it is given, too."""
    whole = sum(file.size for file in files)
    if whole <= disk_mib * MIB:
        return
    who = f"{files[0].name} has" if len(files) == 1 else f"the {len(files)} attached files have"
    raise UsageError(
        f"{who} {whole / MIB:.0f} MiB, but a run may have at most {disk_mib} MiB of files; "
        "the setting disk_mib raises that"
    )


READ_BYTES = 1 << 16
MOST_JSON = 1 << 20
MOST_DESCRIBED, MOST_COLUMNS, MOST_ROWS = 6, 20, 2
CELL_CHARS, FILE_CHARS, NAME_CHARS = 24, 480, 60
SAMPLED = 200  # rows that a type is told by
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}.*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
WHOLE, NUMBER = re.compile(r"[-+]?\d+"), re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def describe_files(files: Sequence[AttachedFile]) -> str:
    """A few lines about files that a program finds beside it; "" where there are none."""
    if not files:
        return ""
    told = [describe_file(file) for file in files[:MOST_DESCRIBED]]
    more = len(files) - len(told)
    return "\n".join(["Files beside the program:", *told, *([f"- and {more} more"] if more else [])])


def describe_file(file: AttachedFile) -> str:
    """One line with what is seen of a file at its beginning."""
    name, suffix = shorten(file.name, NAME_CHARS), PurePath(file.name).suffix.lower()
    seen = ""
    with suppress(OSError, ValueError, csv.Error, RecursionError):
        if suffix in TABLES:
            seen = describe_table(read_beginning(file.path, READ_BYTES), TABLES[suffix])
        elif suffix in (".json", ".jsonl", ".ndjson"):
            seen = describe_json(read_beginning(file.path, MOST_JSON), lines=suffix != ".json")
    return shorten(f"- {name}, {file.size} bytes{seen and ': ' + seen}", FILE_CHARS)


def read_beginning(path: PurePath, most: int) -> str:
    """The first bytes of a regular file as text; a line that is cut off at the end is left out."""
    opened = regular(str(path))
    try:
        data = os.read(opened, most)
        whole = os.fstat(opened).st_size <= len(data)
    finally:
        os.close(opened)
    text = data.decode("utf-8-sig", "replace")
    return text if whole else text.rpartition("\n")[0]


def describe_table(text: str, delimiter: str) -> str:
    with suppress(csv.Error):
        delimiter = csv.Sniffer().sniff(text.split("\n", 1)[0], f"{delimiter};\t|,").delimiter
    rows = [row for row in csv.reader(text.splitlines()[: SAMPLED + 1], delimiter=delimiter) if row]
    if not rows:
        return ""
    separated = "" if delimiter == "," else f"separated by {delimiter!r}, "
    return separated + describe_rows(rows[0], rows[1:])


def describe_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns with their types, and the first rows."""
    columns = [
        f"{shorten(name, CELL_CHARS)} ({column_type([row[place] for row in rows if place < len(row)])})"
        for place, name in enumerate(names[:MOST_COLUMNS])
    ]
    more = f" and {len(names) - MOST_COLUMNS} more" if len(names) > MOST_COLUMNS else ""
    shown = ["; ".join(shorten(cell, CELL_CHARS) for cell in row[:MOST_COLUMNS]) for row in rows[:MOST_ROWS]]
    first = f". Its first rows: {' / '.join(shown)}" if shown else ""
    return f"columns {', '.join(columns)}{more}{first}"


def describe_json(text: str, lines: bool) -> str:
    value = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    if isinstance(value, dict):
        keys = [shorten(key, CELL_CHARS) for key in [*value][:MOST_COLUMNS]]
        return f"an object with the keys {', '.join(keys)}"
    if not isinstance(value, list):
        return f"a {type(value).__name__}"
    rows = [each for each in value[:SAMPLED] if isinstance(each, dict)]
    if not rows:
        return f"a list of {len(value)}"
    names = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[cell_text(row.get(name)) for name in names] for row in rows]
    each = "one object a line" if lines else "a list of objects"
    return f"{each} with the {describe_rows(names, cells)}"


def cell_text(value: object) -> str:
    """A value as it stands in a table; "" where there is none."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def column_type(cells: Sequence[str]) -> str:
    """What the values of a column are, as far as they show it."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    gaps = ", some empty" if len(filled) < len(cells) else ""
    for name, pattern in (("whole numbers", WHOLE), ("numbers", NUMBER), ("dates", DATE)):
        if filled and all(pattern.fullmatch(cell) for cell in filled):
            return name + gaps
    return ("text" if filled else "empty") + (gaps if filled else "")


def shorten(text: str, most: int) -> str:
    """A text on one line, shortened."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
