"""Files that the user attached: what programs get copies of."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
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
