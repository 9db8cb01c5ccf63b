"""The open session file: the one object that owns it, locks it, and appends what changed."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType

from mtchat import files
from mtchat.errors import MtchatError
from mtchat.session.session import Session
from mtchat.store import listing
from mtchat.store.events import header, list_changes, to_line
from mtchat.store.reading import MOST, LogContents, parse, read
from mtchat.version import __version__


def current_time() -> datetime:
    return datetime.now(UTC)


class Log:
    """A session file that is open for writing. There is no file, and no lock, before the first write.

    `session` is what the file holds; `notices` says what happened to the file that the user should know.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], datetime] = current_time,
        program: str = __version__,
        another: Callable[[], Path] | None = None,
    ) -> None:
        """`program` is the version of mtchat that a new file names; `another` gives the path to use when
        the first one is taken by the time of the first write."""
        self.path = path
        self.session = Session(name=path.stem)
        self.notices: tuple[str, ...] = ()
        self._clock = clock
        self._program = program
        self._another = another
        self._file: int | None = None
        self._end = 0
        self._open_ended = False
        self._size: int | None = None  # what the file must measure; None after a write that failed

    @classmethod
    def open(
        cls, path: Path, clock: Callable[[], datetime] = current_time, program: str = __version__
    ) -> "Log":
        """The log of a session file, which need not exist yet; an error when another process has it open."""
        log = cls(path, clock, program)
        try:
            log._file = files.regular(path, os.O_RDWR)
        except FileNotFoundError:
            if not os.path.lexists(path) and (twin := listing.find_lookalike(path)):
                log.notices += (f"a new session; {twin} is a different one, whose name only looks the same",)
            return log
        except OSError as error:
            log._take(read(path), path.stat().st_size)
            log.notices += (f"{path} cannot be written ({error.strerror}): new turns are not saved there",)
            return log
        try:
            log._lock()
            data = read_content(log._file, path)
            log._take(parse(data, path), len(data))
        except BaseException:
            log.close()
            raise
        return log

    @classmethod
    def fresh(
        cls,
        folder: Path,
        today: date,
        clock: Callable[[], datetime] = current_time,
        program: str = __version__,
    ) -> "Log":
        """The log of a new session, named after the day."""

        def another() -> Path:
            return listing.path_of(listing.new_name(folder, today), folder)

        return cls(another(), clock, program, another)

    @property
    def name(self) -> str:
        """The session's name, which is its file's."""
        return self.path.stem

    def write(self, session: Session, why: str = "") -> None:
        """Append what differs from what the file holds; `why` goes with a move of the head.

        When that fails, the file keeps its last good line, and the next write appends all that is missing.
        """
        try:
            if lines := self._missing(session, why):
                known, name = self.session, self.name
                self._ready()
                if self.session is not known or self.name != name:
                    lines = self._missing(session, why)
                self._append(b"".join(lines))
                self.session = session.with_values(name=self.name)
        except OSError as error:
            raise MtchatError(
                f"cannot save to {self.path} ({error.strerror}); the session continues in memory. Make room "
                "or make the folder writable: the next turn saves everything that is missing; /export saves "
                "the program"
            ) from None

    def saves(self, session: Session) -> bool:
        """Whether the file holds all of this session, as far as this log knows."""
        return bool(self._end) and not self._missing(session, "") and self.path.exists()

    def rename(self, name: str) -> None:
        """Give the session another name: its file and its folder of files move; nothing is overwritten."""
        target = listing.path_of(name, self.path.parent)
        if target == self.path:
            return
        if listing.is_taken(target):
            raise MtchatError(f"session {name!r} already exists; choose another name")
        left = listing.files_of(self.path)
        try:
            if os.path.lexists(left) and (self._end or not self.path.exists()):
                os.rename(left, listing.files_of(target))
            try:
                if self._file is not None or self._end:
                    rename_without_overwriting(self.path, target)
            except OSError:
                if os.path.lexists(listing.files_of(target)):  # the file and its folder stay together
                    os.rename(listing.files_of(target), left)
                raise
        except FileExistsError:
            raise MtchatError(f"session {name!r} already exists; choose another name") from None
        except OSError as error:
            raise MtchatError(f"cannot rename {self.path} to {name!r}: {error.strerror}") from None
        self.path = target
        self.session = replace(self.session, name=name)
        self._another = None

    def move_to(self, path: Path, session: Session) -> None:
        """Go on in another file, where this session is written whole; nothing is overwritten.

        The file so far stays as it is, as does the folder of its runs' files.
        """
        listing.check_name(path.stem)
        if listing.is_taken(path):
            raise MtchatError(f"{path} already exists; choose another name")
        other = Log(path, self._clock, self._program)
        other.write(session, "save")
        self.close()
        self.path, self.session, self._another = path, other.session, None
        self._file, self._end, self._open_ended, self._size = other._file, other._end, False, other._size

    def close(self) -> None:
        """Let go of the file and its lock; a log that is written to again takes them again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, reading: LogContents, size: int) -> None:
        self.session = reading.session
        self.notices += reading.notices
        self._end = reading.end
        self._open_ended = reading.open_ended
        self._size = size

    def _missing(self, session: Session, why: str) -> list[bytes]:
        """The lines that the file lacks; none for an empty session without a file."""
        session = session.with_values(name=self.name)
        if self._end:
            return [to_line(event) for event in list_changes(self.session, session, why)]
        first = Session(session.name, session.preamble, language=session.language)
        if session == Session(session.name, language=session.language):
            return []
        created = self._clock().astimezone(UTC).isoformat(timespec="seconds")
        events = [header(session, created, self._program), *list_changes(first, session, why)]
        return [to_line(event) for event in events]

    def _ready(self) -> None:
        """Have the file open, locked, and as we left it; make it where there is none."""
        if self._file is None and self._end:
            with suppress(FileNotFoundError):
                self._file = files.regular(self.path, os.O_RDWR)
                self._lock()
        if (self._end or self._file is not None) and not self.path.exists():
            self.close()
            self.notices += (f"{self.path} was removed while it was open; it is written again in full",)
            self._take(LogContents(Session(name=self.name)), 0)
        if self._file is None:
            self._create()
        elif self._changed_by_others(self._file):
            raise MtchatError(
                f"{self.path} was changed by another program while it was open, so mtchat no longer writes "
                "to it. The session continues in memory: move that file away, and the next turn writes the "
                "session in full"
            )

    def _changed_by_others(self, file: int) -> bool:
        ours = os.fstat(file)
        return not os.path.samestat(ours, self.path.stat()) or self._size not in (None, ours.st_size)

    def _create(self) -> None:
        self.path.parent.mkdir(mode=files.PRIVATE_FOLDER, parents=True, exist_ok=True)
        while self._file is None:
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._file = os.open(self.path, flags, files.PRIVATE)
            except FileExistsError:
                if self._another is None:
                    raise MtchatError(
                        f"another mtchat has created {self.path}; the session continues in memory, "
                        "and /save NAME gives it another name"
                    ) from None
                taken, self.path = self.name, self._another()
                self.notices += (
                    f"another mtchat has created {taken}; this session is now called {self.name}",
                )
        self._lock()
        sync_folder(self.path.parent)

    def _lock(self) -> None:
        """Lock the file itself: such a lock follows it through a rename, and ends with the process."""
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = describe_holder(self._file)
            self.close()
            raise MtchatError(
                f"{self.path} is open in another mtchat{who}; close it there first, or start a new session"
            ) from None
        except OSError as error:
            self.notices += (
                f"this folder does not support locks ({error.strerror}): "
                "open this session in one mtchat only",
            )

    def _append(self, lines: bytes) -> None:
        """Write after the last good line, over what is left of a torn one, down to the disk."""
        assert self._file is not None
        self._size = None
        lines = b"\n" * self._open_ended + lines
        try:
            os.ftruncate(self._file, self._end)
            done = 0
            while done < len(lines):
                done += os.pwrite(self._file, lines[done:], self._end + done)
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(lines)
        self._open_ended = False
        self._size = self._end


def read_content(file: int, path: Path) -> bytes:
    try:
        return files.content(file, MOST)
    except OSError as error:
        raise MtchatError(f"cannot read {path}: {error.strerror}") from None


def describe_holder(file: int) -> str:
    """Which process holds the lock, where the kernel lists it (Linux)."""
    inode = os.fstat(file).st_ino
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].endswith(f":{inode}"):
                return f" (process {words[4]})"
    return ""


def rename_without_overwriting(source: Path, target: Path) -> None:
    """Rename a file without overwriting one: the target is claimed first."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL))
    try:
        os.rename(source, target)
    except OSError:
        target.unlink()
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder down to the disk, where the file system can."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
