"""A sandbox that stays: a live Python whose states runs begin from, each run in a fork of one of them."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace

from mtchat.sandbox.backend import Backend, LaunchRequest, Variant
from mtchat.sandbox.checkpoints.snapshots import ChunkPiece, Snapshot
from mtchat.sandbox.checkpoints.workdir_fingerprint import CannotCopyError, Fingerprint, fingerprint
from mtchat.sandbox.guest.wire import (
    COPIED,
    DROP,
    FORGET,
    HELLO,
    LOAD,
    READY,
    SAVE,
    SERVING,
    SPARE,
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
from mtchat.session.given import Attached
from mtchat.session.settings import Limits

ANSWER_SECONDS = 5.0
WORD_BYTES = 4096


class LostError(Exception):
    """A process of the sandbox is gone, or does not answer."""


class CheckpointSandbox:
    """One such sandbox. `close` ends it and everything in it; `lost` says that it is of no use any more."""

    def __init__(self, backend: Backend, variant: Variant, job: LaunchJob, limits: Limits) -> None:
        self.stack = ExitStack()
        self.lost = False
        self.folders: list[int] = []
        self.saved: dict[Fingerprint, int] = {}
        self.states: set[int] = set()
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
            box = LaunchRequest(theirs.fileno(), shared, limits, checkpoints=True)
            command = self.stack.enter_context(backend.prepared(variant, box))
            self.process = start_process(command, None)
        self.init_fd: int | None = None
        self.stack.callback(self.end)
        self.link.settimeout(ANSWER_SECONDS)
        hello = self.receive_answer(HELLO)
        self.init_fd, self.init_pid = os.pidfd_open(hello.pid), hello.pid
        self.user = command.user
        self.link.sendall(job.by(command.user).pack())
        ours, blank = server_link()
        with blank:
            socket.send_fds(self.link, [b"\0"], [blank.fileno()])
        self.receive_answer(READY)
        refuse_descriptors(self.link)
        self.preexisting = [set(os.listdir(folder)) for folder in self.folders]
        self.empty_snapshot = self.accept_snapshot((), ours)

    @property
    def alive(self) -> bool:
        return not self.lost and self.process.poll() is None

    def receive_answer(self, word: bytes, size: int = 0) -> LinkMessage:
        """What pid 1 says next; its descriptors are kept."""
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
        """A state that has introduced itself."""
        try:
            link.settimeout(ANSWER_SECONDS)
            said = receive(link, WORD_BYTES)
            close_later(said.fds)
            if said.data != SERVING or not said.pid:
                raise LostError("a state")
            handle = os.pidfd_open(said.pid)
        except (OSError, LostError) as error:
            close_link(link)
            raise LostError("a state") from error
        state = Snapshot(key, said.pid, inner_pid(said.pid), link, handle)
        self.states.add(state.pid)
        self.send_command(SPARE, state.inner)
        return state

    def send_command(self, word: bytes, number: int = 0) -> None:
        try:
            self.link.sendall(word + number.to_bytes(8, "little"))
        except OSError as error:
            self.lost = True
            raise LostError("pid 1") from error

    def drop(self, state: Snapshot) -> None:
        """Give up a state, once."""
        if state.pid not in self.states:
            return
        self.states.discard(state.pid)
        with suppress(LostError):
            self.send_command(DROP, state.inner)
        close_link(state.link)
        os.close(state.handle)

    def deliver(self, files: tuple[Attached, ...], stopped: Callable[[], bool]) -> None:
        """Copy the user's files into the work folder, as the first state has it."""
        deliver_files(files, self.folders[0], self.user, stopped)
        self.empty_snapshot.tree = self.fingerprint()
        self.empty_snapshot.files = self.save(self.empty_snapshot.tree)

    def fingerprint(self) -> Fingerprint:
        """What the folders hold that was not there before any program."""
        return fingerprint(self.folders, self.preexisting)

    def save(self, tree: Fingerprint) -> int:
        """The number of a copy of the folders as they are; UnportableError where they cannot be copied."""
        if tree not in self.saved:
            number = max(self.saved.values(), default=0) + 1
            if not self.copy_files(SAVE, number):
                self.copy_files(FORGET, number)
                raise CannotCopyError("leaves files that cannot be copied")
            self.saved[tree] = number
        return self.saved[tree]

    def restore(self, state: Snapshot) -> None:
        """Make the folders what they were when a state was left behind."""
        with suppress(CannotCopyError):
            if self.fingerprint() == state.tree:
                return
        try:
            if not self.copy_files(LOAD, state.files):
                raise CannotCopyError
            state.tree = self.fingerprint()
        except CannotCopyError:
            self.lost = True
            raise LostError("the work folder") from None
        self.saved[state.tree] = state.files

    def forget(self, needed: set[int]) -> None:
        """Delete the copies of folders that no state needs."""
        for number in {*self.saved.values()} - needed:
            self.copy_files(FORGET, number)
        self.saved = {tree: number for tree, number in self.saved.items() if number in needed}

    def copy_files(self, word: bytes, number: int) -> bool:
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
