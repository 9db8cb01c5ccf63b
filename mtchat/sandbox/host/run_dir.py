"""Runs without namespaces: private folders on the host's disk, their size watched, and removed at the end."""

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

from mtchat.sandbox.backend import LaunchCommand, LaunchRequest
from mtchat.sandbox.host.interpreter import GUEST, Interpreter, find_interpreter, make_environment
from mtchat.sandbox.policy.rlimits import transient_user
from mtchat.session.settings import PROCESSES

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LOOK_SECONDS = 0.25
MOST_ENTRIES = 20_000
BLOCK_BYTES = 512
ABANDONED_SECONDS = 24 * 3600.0
# A folder that every user can enter; root's own TMPDIR may not be one.
FOR_ALL = "/tmp"


@dataclass(frozen=True)
class RunFolders:
    """`work` and `scratch` belong to the program; the launcher is imported from `code`."""

    work: Path
    scratch: Path
    code: Path


@contextmanager
def make_folders(user: int) -> Iterator[RunFolders]:
    """Private folders of a run, owned by `user` unless that is 0, and removed afterwards."""
    place = FOR_ALL if user else tempfile.gettempdir()
    remove_abandoned(place)
    top = Path(tempfile.mkdtemp(prefix=f"mtchat-{os.getpid()}-", dir=place))
    try:
        made = RunFolders(top / "work", top / "tmp", top / "code")
        for folder in (made.work, made.scratch):
            folder.mkdir(0o700)
            if user:
                os.chown(folder, user, user)
        package = made.code / "mtchat" / "sandbox"
        package.mkdir(parents=True)
        (package / GUEST.name).symlink_to(GUEST)
        if user:
            top.chmod(0o711)
            for folder in (made.code, package.parent, package):
                folder.chmod(0o755)
        yield made
    finally:
        with suppress(FileNotFoundError):  # a cleaner of temporary files may have come first
            remove_tree(top)


@cache
def remove_abandoned(place: str) -> None:
    """Remove, once, what runs of a killed mtchat left; no run lasts ABANDONED_SECONDS."""
    for path in Path(place).glob("mtchat-*-*"):
        with suppress(OSError):
            status = path.lstat()
            old = time.time() - status.st_mtime > ABANDONED_SECONDS
            if old and status.st_uid == os.geteuid() and not is_alive(path.name.split("-")[1]):
                remove_tree(path)


def is_alive(pid: str) -> bool:
    return not pid.isdecimal() or Path("/proc", pid).exists()


def remove_tree(top: Path) -> None:
    """Remove a folder that a program, which is dead by now, has filled: any depth, names and modes.

    Nested folders are first moved to the top, so that neither stack nor descriptors grow with the depth.
    """
    with open_dir(top) as folder:
        fresh = count()
        while names := os.listdir(folder):
            for name in names:
                remove_entry(folder, name, fresh)
    os.rmdir(top)


def remove_entry(top: int, name: str, fresh: "count[int]") -> None:
    """Remove one entry of the top folder, after moving its subfolders there."""
    if not is_folder(name, top):
        os.unlink(name, dir_fd=top)
        return
    with open_dir(name, top) as folder:
        for inner in os.listdir(folder):
            if is_folder(inner, folder):
                os.chmod(inner, 0o700, dir_fd=folder)
                os.rename(inner, unused_name(top, fresh), src_dir_fd=folder, dst_dir_fd=top)
            else:
                os.unlink(inner, dir_fd=folder)
    os.rmdir(name, dir_fd=top)


def unused_name(top: int, fresh: "count[int]") -> str:
    """A name that is free at the top; a rename would silently replace an empty folder."""
    names = (f"moved-{number}" for number in fresh)
    return next(name for name in names if not is_there(name, top))


def is_there(name: str, within: int) -> bool:
    try:
        os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def is_folder(name: str, within: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode)


@contextmanager
def open_dir(name: str | Path, within: int | None = None) -> Iterator[int]:
    """Open a folder whatever its mode; nothing runs any more that could replace it by a link."""
    os.chmod(name, 0o700, dir_fd=within)
    descriptor = os.open(name, FOLDER, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class DiskMeter:
    """Measures whether a run has filled its folders, now and then, for at most a tenth of the time.

    A file that is open but deleted is not counted.
    """

    def __init__(self, roots: tuple[Path, ...], most_bytes: int, most_entries: int = MOST_ENTRIES) -> None:
        self.roots, self.most_bytes, self.most_entries = roots, most_bytes, most_entries
        self.next = 0.0

    def full(self) -> bool:
        """Whether the files together are too large or too many."""
        began = time.monotonic()
        if began < self.next:
            return False
        size, left = 0, self.most_entries
        for root in self.roots:
            found, entries = measure_disk(root, left)
            size, left = size + found, left - entries
        now = time.monotonic()
        self.next = now + max(LOOK_SECONDS, 10 * (now - began))
        return size > self.most_bytes or left <= 0


def measure_disk(root: Path, most: int) -> tuple[int, int]:
    """Bytes on disk and number of entries (up to `most`) under a folder that may change meanwhile.

    At most two descriptors are open at any depth: the way back leads through "..", and the walk ends if that
    is no longer the folder it came from. A folder that no longer exists counts as empty.
    """
    size = entries = 0
    try:
        here = os.open(root, FOLDER)
    except FileNotFoundError:
        return 0, 0
    above: list[tuple[tuple[int, int], list[str]]] = []
    try:
        names = os.listdir(here)
        while names or above:
            if not names:
                came_from, names = above.pop()
                here = move_to(here, "..")
                if identity(os.fstat(here)) != came_from:
                    break
                continue
            name = names.pop()
            entries += 1
            if entries >= most:
                break
            status = try_stat(name, here)
            size += BLOCK_BYTES * status.st_blocks if status else 0
            if status is None or not stat.S_ISDIR(status.st_mode):
                continue
            if is_blind(status):
                return size, most
            origin = identity(os.fstat(here))
            with suppress(OSError):
                here = move_to(here, name)
                above.append((origin, names))
                names = []
                names = os.listdir(here)
    except OSError:
        return size, entries
    finally:
        os.close(here)
    return size, entries


def try_stat(name: str, here: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=here, follow_symlinks=False)
    except OSError:
        return None


def is_blind(status: os.stat_result) -> bool:
    """Whether a folder can be filled but not listed, which has no honest use."""
    return os.geteuid() != 0 and status.st_mode & 0o700 == 0o300


def move_to(here: int, name: str) -> int:
    """Open the folder of that name and close this one."""
    there = os.open(name, FOLDER, dir_fd=here)
    os.close(here)
    return there


def identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


REAPER = "mtchat.sandbox.guest.launch.reaper:launch_as_reaper"
CHILDREN = Path("/proc/thread-self/children")


@dataclass(frozen=True)
class RunDir:
    """The folders of a run and the user it runs as; `user` is 0 for the user of mtchat."""

    user: int
    folders: RunFolders


@contextmanager
def make_run_dir() -> Iterator[RunDir]:
    """Private folders, owned by a transient user if root starts the run."""
    user = transient_user() if os.geteuid() == 0 else 0
    with make_folders(user) as made:
        yield RunDir(user, made)


def launch_command(
    where: RunDir, request: LaunchRequest, ruleset: int = -1, rules: int = -1
) -> LaunchCommand:
    """The command that starts the launcher, with a disk meter, because no file system limits the program.

    `ruleset` and `rules` are descriptors of the Landlock ruleset and the system call filter; -1 for none.
    """
    python = find_interpreter()
    made = where.folders
    meter = DiskMeter((made.work, made.scratch), request.limits.disk_mib << 20)
    reader = int(bool(where.user) and not is_readable_by_all(python))
    more = (str(made.work), process_limit(where.user), where.user, reader, ruleset, rules)
    descriptors = tuple(each for each in (ruleset, rules) if each >= 0)
    return LaunchCommand(
        python.arguments(str(made.code), request.control, request.shared, REAPER, more),
        make_environment(str(made.work), str(made.scratch)),
        (*descriptors, request.control, request.shared),
        where.user,
        disk_full=meter.full,
    )


def is_readable_by_all(python: Interpreter) -> bool:
    """Whether every user of this machine can reach and read Python, its modules and the launcher."""
    return all(bool(folder.stat().st_mode & 1) for path in python.needed for folder in path.parents) and (
        python.readable
    )


def process_limit(user: int) -> int:
    """The process limit of a run, plus the processes that the user already has if that is the host's user."""
    if user:
        return PROCESSES
    return PROCESSES + count_threads(os.getuid())


def count_threads(user: int) -> int:
    """The number of threads that a user has now, from the link count of each process's task folder."""
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                status = os.stat(f"/proc/{entry.name}/task")
            except OSError:
                continue
            found += status.st_nlink - 2 if status.st_uid == user else 0
    return found
