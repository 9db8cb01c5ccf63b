"""One run that resumes from a snapshot, and takes new snapshots on its way."""

import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from mtchat.sandbox.checkpoints.checkpoint_sandbox import (
    ANSWER_SECONDS,
    WORD_BYTES,
    CannotCopyError,
    CheckpointSandbox,
    LostError,
)
from mtchat.sandbox.checkpoints.snapshots import ChunkPiece, ResumePlan, Snapshot
from mtchat.sandbox.guest.fork.fork_hazards import HAZARDS, HIDING, PROCESS
from mtchat.sandbox.guest.wire import (
    BUSY,
    GO,
    KEEP,
    NUMBERS,
    SERVING,
    SHARED_BYTES,
    STEP,
    SWEEP,
    SWEPT,
    WATCH,
    ResumeJob,
)
from mtchat.sandbox.host.channels import close_later, close_link, memory_file, open_pipe, receive, server_link
from mtchat.sandbox.host.monitor import (
    TICK_SECONDS,
    OutputListener,
    OutputStream,
    RunMonitor,
    inner_pid,
    list_children,
)
from mtchat.sandbox.host.supervise import (
    RunResult,
    create_shared_memory,
    has_ended,
    kill_sandbox,
    merge_last,
    with_usage,
)
from mtchat.session.settings import Limits


class ResumedRun(RunMonitor):
    """One run that resumes from a snapshot; with `takes_snapshots`, one after each chunk that allows it."""

    setup_seconds = ANSWER_SECONDS

    def __init__(
        self,
        sandbox: CheckpointSandbox,
        snapshot: Snapshot,
        plan: ResumePlan,
        mark: bytes,
        limits: Limits,
        on_output: OutputListener,
        stopped: Callable[[], bool],
        takes_snapshots: bool,
    ) -> None:
        apart = frozenset(sandbox.snapshot_pids)
        marks = max(len(plan.key) - snapshot.chunks, 1)
        super().__init__(sandbox.process.pid, mark, limits, on_output, stopped, apart, marks)
        self.out.taken, self.err.taken = snapshot.printed
        self.sandbox, self.snapshot, self.plan = sandbox, snapshot, plan
        self.mark, self.takes_snapshots = mark, takes_snapshots
        self.new_snapshots: list[Snapshot] = []
        self.hazards: dict[tuple[ChunkPiece, ...], str] = {}
        self.report = b""
        self.last_step = -1
        self.pid = 0
        self.runner: int | None = None
        self.last_snapshot_at = time.monotonic()
        self.stack = ExitStack()

    def __enter__(self) -> "ResumedRun":
        self.stack.enter_context(self.enforce_limits())
        return self

    def __exit__(self, *failure: object) -> None:
        self.selector.close()
        self.stack.close()

    def start(self, with_variables: bool, with_state: bool) -> None:
        """Hand the work to the fork server; LostError if it does not accept it."""
        snapshot, first = self.snapshot, self.snapshot.chunks
        imports_done = bool(snapshot.key) and not snapshot.key[-1].complete
        rest = self.plan.key[first:]
        heads = list(self.plan.heads[first:])
        work = ResumeJob(
            first,
            [piece.name for piece in rest],
            [piece.text for piece in rest],
            heads,
            imports_done,
            self.mark,
            with_variables,
            with_state,
        )
        self.link, theirs = server_link()
        self.stack.callback(close_link, self.link)
        with ExitStack() as sending:
            sending.callback(theirs.close)
            out, err = open_pipe(self.stack, sending), open_pipe(self.stack, sending)
            self.shared = create_shared_memory()
            self.stack.callback(os.close, self.shared)
            script = memory_file(work.pack())
            sending.callback(os.close, script)
            try:
                signal.pidfd_send_signal(snapshot.pidfd, signal.SIGCONT)
                snapshot.link.settimeout(ANSWER_SECONDS)
                fds = [out[1], err[1], self.shared, theirs.fileno(), script]
                socket.send_fds(snapshot.link, [b"work"], fds)
                message = receive(snapshot.link, WORD_BYTES)
                close_later(message.fds)
                if message.data != SERVING:
                    raise LostError("a fork server")
            except OSError as error:
                raise LostError("a fork server") from error
        self.read_streams(out[0], err[0])
        self.link.setblocking(False)  # a program may use this socket without reading from it
        for connected in (self.link, self.sandbox.link):
            self.selector.register(connected, selectors.EVENT_READ, connected)

    def on_message(self, key: selectors.SelectorKey) -> None:
        try:
            if key.data is self.link:
                self.on_run_message()
            else:
                self.on_supervisor_message()
        except (OSError, LostError):
            self.selector.unregister(key.fileobj)
            if key.data is self.sandbox.link:
                self.sandbox.lost = True
                self.end_now()

    def on_supervisor_message(self) -> None:
        """Pid 1 reports how the run ended, from the kernel; by then everything that it started is dead."""
        self.report = self.sandbox.receive_answer(SWEPT, 1 + 8 * NUMBERS).data[1:]
        self.end_now()

    def end_now(self) -> None:
        if self.ended_at is None:
            self.ended_at = time.monotonic()
        for connected in (self.link, self.sandbox.link):
            with suppress(KeyError, ValueError):
                self.selector.unregister(connected)

    def on_run_message(self) -> None:
        """The run has started, or has finished a chunk and offers a snapshot."""
        message = receive(self.link, WORD_BYTES)
        close_later(message.fds)
        if not message.data:
            raise LostError("the run")
        if message.data == BUSY and not self.started:
            self.pid, self.runner = message.pid, os.pidfd_open(message.pid)
            self.stack.callback(os.close, self.runner)
            self.sandbox.send_command(WATCH, inner_pid(message.pid))
            self.begin()
            self.last_snapshot_at = time.monotonic()
        elif message.data.startswith(STEP):
            self.consider_snapshot(message.data[len(STEP) :])
        self.link.send(GO)

    def consider_snapshot(self, message: bytes) -> None:
        """Decide on a snapshot. The message is untrusted: it can only affect snapshots of this same run."""
        index, part = int.from_bytes(message[:4], "little"), message[4:5]
        why = message[5:].decode("utf-8", "replace")
        number = 2 * index + (part != b"\1")
        if not (self.snapshot.chunks <= index < len(self.plan.key) and self.last_step < number):
            return
        self.last_step = number
        head = self.plan.imports[index]
        last = head if part == b"\1" and head is not None else self.plan.key[index]
        key = (*self.plan.key[:index], last)
        if why or self.has_orphans():
            hazard = why if why in HAZARDS else HIDING
            self.hazards[key] = hazard if why else PROCESS
        elif self.takes_snapshots:
            try:
                self.take_snapshot(key)
            except CannotCopyError as error:
                self.hazards[key] = str(error)
            except LostError:
                if self.sandbox.lost:
                    raise
                self.hazards[key] = HIDING

    def has_orphans(self) -> bool:
        """Whether a process other than the run and the fork servers has outlived its parent."""
        return bool({*list_children(self.sandbox.init_pid)} - self.sandbox.snapshot_pids - {self.pid})

    def take_snapshot(self, key: tuple[ChunkPiece, ...]) -> None:
        """Take a snapshot: memory, files, and output up to now."""
        seconds = time.monotonic() - self.last_snapshot_at
        tree = self.sandbox.fingerprint()
        files = self.sandbox.save(tree)
        self.read_pending_output()
        ours, theirs = server_link()
        try:
            with theirs:
                socket.send_fds(self.link, [KEEP], [theirs.fileno()])
            self.wait_for_server(ours)
        except (OSError, LostError):
            close_link(ours)
            raise
        snapshot = self.sandbox.accept_snapshot(key, ours)
        snapshot.outputs = self.join_output(self.snapshot.outputs, self.out)
        snapshot.error_outputs = self.join_output(self.snapshot.error_outputs, self.err)
        snapshot.printed = (self.out.taken, self.err.taken)
        snapshot.files, snapshot.tree, snapshot.seconds = files, tree, seconds
        self.new_snapshots.append(snapshot)
        self.last_snapshot_at = time.monotonic()

    def wait_for_server(self, link: socket.socket) -> None:
        """Wait for the new fork server to speak; the limits of the run still hold."""
        until = time.monotonic() + ANSWER_SECONDS
        waiting = select.poll()  # which, unlike select, takes descriptors beyond 1023
        waiting.register(link, select.POLLIN)
        while not waiting.poll(1000 * TICK_SECONDS):
            self.limit = self.limit or self.confirmed_limit()
            if self.limit or time.monotonic() > until:
                raise LostError("a fork server")

    def read_pending_output(self) -> None:
        """Read all output up to now while the run waits."""
        for key in [key for key in self.selector.get_map().values() if key.data in (self.out, self.err)]:
            waiting = selectors.DefaultSelector()
            with waiting:
                waiting.register(key.fileobj, selectors.EVENT_READ)
                while not self.limit and waiting.select(0) and key.fd in self.selector.get_map():
                    self.read(key)

    def join_output(self, before: tuple[str, ...], stream: OutputStream) -> tuple[str, ...]:
        """What each chunk has printed to a stream, including chunks before the snapshot."""
        now = stream.texts_so_far
        if len(before) > self.snapshot.chunks:
            return (*before[:-1], before[-1] + now[0], *now[1:])
        return (*before, *now)

    def abort(self) -> bool:
        if self.runner is None:
            return False
        with suppress(OSError):
            signal.pidfd_send_signal(self.runner, signal.SIGABRT)
            return True
        return False

    def program_ended(self) -> bool:
        return self.runner is not None and has_ended(self.runner)

    def kill(self) -> None:
        with suppress(LostError):
            self.sandbox.send_command(SWEEP)

    def kill_now(self) -> None:
        """End the sandbox at once: pid 1 itself may be blocked."""
        self.sandbox.lost = True
        kill_sandbox(self.sandbox.process, self.sandbox.init_fd)

    def end(self) -> RunResult:
        """Follow the run until it ends."""
        seconds = self.follow()
        if not self.report:
            self.sandbox.lost = True
        error_outputs = self.join_output(self.snapshot.error_outputs, self.err)
        result = RunResult(
            started=self.started,
            limit=self.limit,
            seconds=seconds,
            memory_mib=self.peak_mib,
            stdout=merge_last(self.join_output(self.snapshot.outputs, self.out), len(self.plan.key)),
            stderr="".join(error_outputs),
            error_outputs=merge_last(error_outputs, len(self.plan.key)),
            truncated=self.out.full or self.err.full,
            shared=os.pread(self.shared, SHARED_BYTES, 0),
            work=self.sandbox.folders[0],
        )
        return with_usage(result, self.report) if self.report else result
