"""A sandbox that stays alive: its processes, its supervisor, and its copies of the work folder."""

import os
import socket
import stat
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, suppress
from dataclasses import replace

from mtchat.sandbox.backend import Backend, LaunchRequest, Variant
from mtchat.sandbox.checkpoints.snapshots import ChunkPiece, Snapshot
from mtchat.sandbox.guest.wire import (
    COPIED,
    DEEPEST_FOLDER,
    DROP,
    FORGET,
    HELLO,
    KEEP_PROCESS,
    LOAD,
    MOST_STATE_FILES,
    READY,
    SAVE,
    SERVING,
    LaunchJob,
)
from mtchat.sandbox.host.channels import (
    LinkMessage,
    close_later,
    close_link,
    launcher_link,
    receive,
    refuse_descriptors,
    server_link,
)
from mtchat.sandbox.host.collect import deliver_files
from mtchat.sandbox.host.monitor import inner_pid
from mtchat.sandbox.host.supervise import close_process, create_shared_memory, kill_sandbox, start_process
from mtchat.session.program import AttachedFile
from mtchat.session.settings import Limits

ANSWER_SECONDS = 5.0
WORD_BYTES = 4096
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Fingerprint = frozenset[tuple[object, ...]]


class LostError(Exception):
    """A process of the sandbox is gone or does not answer."""


class CannotCopyError(Exception):
    """The folders hold something that cannot be copied exactly; the message says what the turn did."""


class CheckpointSandbox:
    """A sandbox with a supervisor as pid 1. `close` ends everything in it; once `lost`, it is unusable."""

    def __init__(self, backend: Backend, variant: Variant, job: LaunchJob, limits: Limits) -> None:
        self.stack = ExitStack()
        self.lost = False
        self.folders: list[int] = []
        self.saved: dict[Fingerprint, int] = {}
        self.snapshot_pids: set[int] = set()
        try:
            self.start(backend, variant, job, limits)
        except BaseException:
            self.close()
            raise

    def start(self, backend: Backend, variant: Variant, job: LaunchJob, limits: Limits) -> None:
        self.link, theirs = launcher_link()
        self.stack.callback(close_link, self.link)
        with ExitStack() as starting:
            starting.callback(theirs.close)
            shared = create_shared_memory()
            starting.callback(os.close, shared)
            request = LaunchRequest(theirs.fileno(), shared, limits, checkpoints=True)
            command = self.stack.enter_context(backend.prepare(variant, request))
            self.process = start_process(command, None)
        self.init_fd: int | None = None
        self.stack.callback(self.end)
        self.link.settimeout(ANSWER_SECONDS)
        hello = self.receive_answer(HELLO)
        self.init_fd, self.init_pid = os.pidfd_open(hello.pid), hello.pid
        self.user = command.user
        self.link.sendall(job.for_user(command.user).pack())
        ours, server_end = server_link()
        with server_end:
            socket.send_fds(self.link, [b"\0"], [server_end.fileno()])
        self.receive_answer(READY)
        refuse_descriptors(self.link)
        self.preexisting = [set(os.listdir(folder)) for folder in self.folders]
        self.empty_snapshot = self.accept_snapshot((), ours)

    @property
    def alive(self) -> bool:
        return not self.lost and self.process.poll() is None

    def receive_answer(self, word: bytes, size: int = 0) -> LinkMessage:
        """The next message of pid 1, which must begin with `word`; its descriptors are kept."""
        try:
            message = receive(self.link, size or len(word))
            while message.data and len(message.data) < (size or len(word)):
                message = replace(message, data=message.data + self.link.recv(size - len(message.data)))
        except OSError as error:
            self.lost = True
            raise LostError("pid 1") from error
        self.folders += message.fds
        if not message.data.startswith(word):
            self.lost = True
            raise LostError("pid 1")
        return message

    def accept_snapshot(self, key: tuple[ChunkPiece, ...], link: socket.socket) -> Snapshot:
        """Wait for the greeting of a new fork server, and register it with the supervisor."""
        try:
            link.settimeout(ANSWER_SECONDS)
            message = receive(link, WORD_BYTES)
            close_later(message.fds)
            if message.data != SERVING or not message.pid:
                raise LostError("a fork server")
            pidfd = os.pidfd_open(message.pid)
        except (OSError, LostError) as error:
            close_link(link)
            raise LostError("a fork server") from error
        snapshot = Snapshot(key, message.pid, inner_pid(message.pid), link, pidfd)
        self.snapshot_pids.add(snapshot.pid)
        self.send_command(KEEP_PROCESS, snapshot.inner_pid)
        return snapshot

    def send_command(self, word: bytes, number: int = 0) -> None:
        try:
            self.link.sendall(word + number.to_bytes(8, "little"))
        except OSError as error:
            self.lost = True
            raise LostError("pid 1") from error

    def drop(self, snapshot: Snapshot) -> None:
        """End a snapshot; nothing happens the second time."""
        if snapshot.pid not in self.snapshot_pids:
            return
        self.snapshot_pids.discard(snapshot.pid)
        with suppress(LostError):
            self.send_command(DROP, snapshot.inner_pid)
        close_link(snapshot.link)
        os.close(snapshot.pidfd)

    def deliver(self, files: tuple[AttachedFile, ...], stopped: Callable[[], bool]) -> None:
        """Copy the user's files into the work folder of the empty snapshot."""
        deliver_files(files, self.folders[0], self.user, stopped)
        self.empty_snapshot.tree = self.fingerprint()
        self.empty_snapshot.files = self.save(self.empty_snapshot.tree)

    def fingerprint(self) -> Fingerprint:
        """What the folders hold beyond their content before any program."""
        return fingerprint(self.folders, self.preexisting)

    def save(self, tree: Fingerprint) -> int:
        """The number of a copy of the folders, made if needed; CannotCopyError if that is impossible."""
        if tree not in self.saved:
            number = max(self.saved.values(), default=0) + 1
            if not self.request_copy(SAVE, number):
                self.request_copy(FORGET, number)
                raise CannotCopyError("leaves files that cannot be copied")
            self.saved[tree] = number
        return self.saved[tree]

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the folders to what they were when a snapshot was taken."""
        with suppress(CannotCopyError):
            if self.fingerprint() == snapshot.tree:
                return
        try:
            if not self.request_copy(LOAD, snapshot.files):
                raise CannotCopyError
            snapshot.tree = self.fingerprint()
        except CannotCopyError:
            self.lost = True
            raise LostError("the work folder") from None
        self.saved[snapshot.tree] = snapshot.files

    def forget(self, needed: set[int]) -> None:
        """Delete the copies that no snapshot needs."""
        for number in {*self.saved.values()} - needed:
            self.request_copy(FORGET, number)
        self.saved = {tree: number for tree, number in self.saved.items() if number in needed}

    def request_copy(self, word: bytes, number: int) -> bool:
        """Tell pid 1 to SAVE, LOAD or FORGET a copy of the folders; whether it succeeded."""
        self.send_command(word, number)
        return self.receive_answer(COPIED, 9).data[1:] == bytes(8)

    def end(self) -> None:
        kill_sandbox(self.process, self.init_fd)
        close_process(self.process)
        for descriptor in (*self.folders, self.init_fd):
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        self.lost = True
        self.stack.close()


def fingerprint(folders: list[int], without: list[set[str]]) -> Fingerprint:
    """What some open folders hold, except `without` in each; CannotCopyError if that is too much."""
    found: set[tuple[object, ...]] = set()
    for number, folder in enumerate(folders):
        for entry in list_entries(folder, "", 0, without[number]):
            found.add((number, *entry))
            if len(found) > MOST_STATE_FILES:
                raise CannotCopyError("leaves too many files")
    return frozenset(found)


def list_entries(
    folder: int, prefix: str, depth: int, without: Set[str] = frozenset()
) -> Iterator[tuple[object, ...]]:
    """Path and mode of everything in a folder, plus the target of links and size, times and inode of files.

    A program can set mtime, but not ctime.
    """
    if depth > DEEPEST_FOLDER:
        raise CannotCopyError("leaves folders that are too deep")
    try:
        with os.scandir(folder) as found:
            names = [entry.name for _, entry in zip(range(MOST_STATE_FILES + 1), found, strict=False)]
        for name in (name for name in names if name not in without):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            path = prefix + name
            if stat.S_ISDIR(status.st_mode):
                yield path, status.st_mode
                yield from inner_entries(folder, name, path, depth)
            elif stat.S_ISLNK(status.st_mode):
                yield path, status.st_mode, os.readlink(name, dir_fd=folder)
            else:
                yield (
                    path,
                    status.st_mode,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                    status.st_ino,
                )
    except OSError as error:
        raise CannotCopyError("leaves files that cannot be read") from error


def inner_entries(folder: int, name: str, path: str, depth: int) -> Iterator[tuple[object, ...]]:
    opened = os.open(name, FOLDER, dir_fd=folder)
    try:
        yield from list_entries(opened, path + "/", depth + 1)
    finally:
        os.close(opened)
