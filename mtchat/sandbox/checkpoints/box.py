"""A sandbox that stays: a live Python whose states runs begin from, each run in a fork of one of them."""

import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace

from mtchat.sandbox.backend import Backend, Box, Variant
from mtchat.sandbox.checkpoints.imprint import Signature, UnportableError, signature
from mtchat.sandbox.checkpoints.states import Piece, Plan, State
from mtchat.sandbox.collect import deliver
from mtchat.sandbox.guest.leftovers import HIDING, PROCESS, REASONS
from mtchat.sandbox.guest.wire import (
    BUSY,
    DROP,
    FORGET,
    GO,
    HELD,
    HELLO,
    KEEP,
    LOAD,
    NUMBERS,
    PORTED,
    READY,
    SAVE,
    SHARED_BYTES,
    SPARE,
    STEP,
    SWEEP,
    SWEPT,
    WATCH,
    Job,
    Work,
)
from mtchat.sandbox.links import (
    Message,
    connection,
    ends,
    filled,
    hang_up,
    let_go,
    pipe,
    received,
    refuse_descriptors,
)
from mtchat.sandbox.streams import Stream
from mtchat.sandbox.supervise import (
    Ending,
    end_sandbox,
    has_ended,
    measured,
    merged,
    put_away,
    shared_memory,
    started,
)
from mtchat.sandbox.tree import children, inner
from mtchat.sandbox.watching import TICK_SECONDS, Watch, Watching
from mtchat.session.given import Attached
from mtchat.session.settings import Limits

ANSWER_SECONDS = 5.0
WORD_BYTES = 4096


class LostError(Exception):
    """A process of the sandbox is gone, or does not answer."""


class Warm:
    """One such sandbox. `close` ends it and everything in it; `lost` says that it is of no use any more."""

    def __init__(self, backend: Backend, variant: Variant, job: Job, limits: Limits) -> None:
        self.stack = ExitStack()
        self.lost = False
        self.folders: list[int] = []
        self.saved: dict[Signature, int] = {}
        self.states: set[int] = set()
        try:
            self.start(backend, variant, job, limits)
        except BaseException:
            self.close()
            raise

    def start(self, backend: Backend, variant: Variant, job: Job, limits: Limits) -> None:
        self.link, theirs = ends()
        self.stack.callback(hang_up, self.link)
        with ExitStack() as starting:
            starting.callback(theirs.close)
            shared = shared_memory()
            starting.callback(os.close, shared)
            box = Box(theirs.fileno(), shared, limits, warm=True)
            command = self.stack.enter_context(backend.prepared(variant, box))
            self.process = started(command, None)
        self.first: int | None = None
        self.stack.callback(self.end)
        self.link.settimeout(ANSWER_SECONDS)
        hello = self.answer(HELLO)
        self.first, self.first_pid = os.pidfd_open(hello.pid), hello.pid
        self.user = command.user
        self.link.sendall(job.by(command.user).pack())
        ours, blank = connection()
        with blank:
            socket.send_fds(self.link, [b"\0"], [blank.fileno()])
        self.answer(READY)
        refuse_descriptors(self.link)
        self.there = [set(os.listdir(folder)) for folder in self.folders]
        self.blank = self.met((), ours)

    @property
    def alive(self) -> bool:
        return not self.lost and self.process.poll() is None

    def answer(self, word: bytes, size: int = 0) -> Message:
        """What pid 1 says next; its descriptors are kept."""
        try:
            message = received(self.link, size or len(word))
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

    def met(self, key: tuple[Piece, ...], link: socket.socket) -> State:
        """A state that has introduced itself."""
        try:
            link.settimeout(ANSWER_SECONDS)
            said = received(link, WORD_BYTES)
            let_go(said.fds)
            if said.data != HELD or not said.pid:
                raise LostError("a state")
            handle = os.pidfd_open(said.pid)
        except (OSError, LostError) as error:
            hang_up(link)
            raise LostError("a state") from error
        state = State(key, said.pid, inner(said.pid), link, handle)
        self.states.add(state.pid)
        self.tell(SPARE, state.inner)
        return state

    def tell(self, word: bytes, number: int = 0) -> None:
        try:
            self.link.sendall(word + number.to_bytes(8, "little"))
        except OSError as error:
            self.lost = True
            raise LostError("pid 1") from error

    def drop(self, state: State) -> None:
        """Give up a state, once."""
        if state.pid not in self.states:
            return
        self.states.discard(state.pid)
        with suppress(LostError):
            self.tell(DROP, state.inner)
        hang_up(state.link)
        os.close(state.handle)

    def deliver(self, files: tuple[Attached, ...], stopped: Callable[[], bool]) -> None:
        """Copy the user's files into the work folder, as the first state has it."""
        deliver(files, self.folders[0], self.user, stopped)
        self.blank.tree = self.signature()
        self.blank.files = self.save(self.blank.tree)

    def signature(self) -> Signature:
        """What the folders hold that was not there before any program."""
        return signature(self.folders, self.there)

    def save(self, tree: Signature) -> int:
        """The number of a copy of the folders as they are; UnportableError where they cannot be copied."""
        if tree not in self.saved:
            number = max(self.saved.values(), default=0) + 1
            if not self.port(SAVE, number):
                self.port(FORGET, number)
                raise UnportableError("leaves files that cannot be copied")
            self.saved[tree] = number
        return self.saved[tree]

    def restore(self, state: State) -> None:
        """Make the folders what they were when a state was left behind."""
        with suppress(UnportableError):
            if self.signature() == state.tree:
                return
        try:
            if not self.port(LOAD, state.files):
                raise UnportableError
            state.tree = self.signature()
        except UnportableError:
            self.lost = True
            raise LostError("the work folder") from None
        self.saved[state.tree] = state.files

    def forget(self, needed: set[int]) -> None:
        """Delete the copies of folders that no state needs."""
        for number in {*self.saved.values()} - needed:
            self.port(FORGET, number)
        self.saved = {tree: number for tree, number in self.saved.items() if number in needed}

    def port(self, word: bytes, number: int) -> bool:
        self.tell(word, number)
        return self.answer(PORTED, 9).data[1:] == bytes(8)

    def end(self) -> None:
        end_sandbox(self.process, self.first)
        put_away(self.process)
        for descriptor in (*self.folders, self.first):
            if descriptor is not None:
                os.close(descriptor)

    def close(self) -> None:
        self.lost = True
        self.stack.close()


class Turn(Watching):
    """One run that goes on from a state, and leaves states behind where it is `keeping`."""

    setup_seconds = ANSWER_SECONDS

    def __init__(
        self,
        warm: Warm,
        state: State,
        plan: Plan,
        mark: bytes,
        limits: Limits,
        watch: Watch,
        stopped: Callable[[], bool],
        keeping: bool,
    ) -> None:
        apart = frozenset(warm.states)
        marks = max(len(plan.key) - state.chunks, 1)
        super().__init__(warm.process.pid, mark, limits, watch, stopped, apart, marks)
        self.out.taken, self.err.taken = state.printed
        self.warm, self.state, self.plan, self.mark, self.keeping = warm, state, plan, mark, keeping
        self.left: list[State] = []
        self.hindrances: dict[tuple[Piece, ...], str] = {}
        self.report = b""
        self.reached = -1
        self.pid = 0
        self.runner: int | None = None
        self.since = time.monotonic()
        self.stack = ExitStack()

    def __enter__(self) -> "Turn":
        self.stack.enter_context(self.guarded())
        return self

    def __exit__(self, *failure: object) -> None:
        self.selector.close()
        self.stack.close()

    def start(self, look: bool) -> None:
        """Hand the state its work; LostError when it cannot take it."""
        state, first = self.state, self.state.chunks
        begun = bool(state.key) and not state.key[-1].whole
        rest = self.plan.key[first:]
        heads = list(self.plan.heads[first:])
        work = Work(
            first,
            [piece.name for piece in rest],
            [piece.text for piece in rest],
            heads,
            begun,
            self.mark,
            look,
        )
        self.link, theirs = connection()
        self.stack.callback(hang_up, self.link)
        with ExitStack() as sending:
            sending.callback(theirs.close)
            out, err = pipe(self.stack, sending), pipe(self.stack, sending)
            self.shared = shared_memory()
            self.stack.callback(os.close, self.shared)
            script = filled(work.pack())
            sending.callback(os.close, script)
            try:
                signal.pidfd_send_signal(state.handle, signal.SIGCONT)
                state.link.settimeout(ANSWER_SECONDS)
                fds = [out[1], err[1], self.shared, theirs.fileno(), script]
                socket.send_fds(state.link, [b"work"], fds)
                said = received(state.link, WORD_BYTES)
                let_go(said.fds)
                if said.data != HELD:
                    raise LostError("a state")
            except OSError as error:
                raise LostError("a state") from error
        self.read_streams(out[0], err[0])
        self.link.setblocking(False)  # a program may speak for the run and not listen
        for connected in (self.link, self.warm.link):
            self.selector.register(connected, selectors.EVENT_READ, connected)

    def heard(self, key: selectors.SelectorKey) -> None:
        try:
            if key.data is self.link:
                self.hear_runner()
            else:
                self.hear_keeper()
        except (OSError, LostError):
            self.selector.unregister(key.fileobj)
            if key.data is self.warm.link:
                self.warm.lost = True
                self.end_now()

    def hear_keeper(self) -> None:
        """The kernel's word on how the run ended; by then all that it started is dead."""
        self.report = self.warm.answer(SWEPT, 1 + 8 * NUMBERS).data[1:]
        self.end_now()

    def end_now(self) -> None:
        if self.ended is None:
            self.ended = time.monotonic()
        for connected in (self.link, self.warm.link):
            with suppress(KeyError, ValueError):
                self.selector.unregister(connected)

    def hear_runner(self) -> None:
        """The run begins, or has finished a chunk and may leave a state behind."""
        said = received(self.link, WORD_BYTES)
        let_go(said.fds)
        if not said.data:
            raise LostError("the run")
        if said.data == BUSY and not self.begun:
            self.pid, self.runner = said.pid, os.pidfd_open(said.pid)
            self.stack.callback(os.close, self.runner)
            self.warm.tell(WATCH, inner(said.pid))
            self.begin()
            self.since = time.monotonic()
        elif said.data.startswith(STEP):
            self.step(said.data[len(STEP) :])
        self.link.send(GO)

    def step(self, said: bytes) -> None:
        """What the run says of itself is the program's own word; it only decides about a state of its own."""
        index, part, why = int.from_bytes(said[:4], "little"), said[4:5], said[5:].decode("utf-8", "replace")
        step = 2 * index + (part != b"\1")
        if not (self.state.chunks <= index < len(self.plan.key) and self.reached < step):
            return
        self.reached = step
        head = self.plan.imports[index]
        last = head if part == b"\1" and head is not None else self.plan.key[index]
        key = (*self.plan.key[:index], last)
        if why or self.has_orphans():
            known = why if why in REASONS else HIDING
            self.hindrances[key] = known if why else PROCESS
        elif self.keeping:
            try:
                self.keep(key)
            except UnportableError as error:
                self.hindrances[key] = str(error)
            except LostError:
                if self.warm.lost:
                    raise
                self.hindrances[key] = HIDING

    def has_orphans(self) -> bool:
        """Whether a process that is no state any more has outlived what started it, beside the run itself."""
        return bool({*children(self.warm.first_pid)} - self.warm.states - {self.pid})

    def keep(self, key: tuple[Piece, ...]) -> None:
        """Take the state that the run now has, with its files and what has been printed."""
        seconds = time.monotonic() - self.since
        tree = self.warm.signature()
        files = self.warm.save(tree)
        self.take_output()
        ours, theirs = connection()
        try:
            with theirs:
                socket.send_fds(self.link, [KEEP], [theirs.fileno()])
            self.expect(ours)
        except (OSError, LostError):
            hang_up(ours)
            raise
        state = self.warm.met(key, ours)
        state.outputs = self.after_state(self.state.outputs, self.out)
        state.complaints = self.after_state(self.state.complaints, self.err)
        state.printed = (self.out.taken, self.err.taken)
        state.files, state.tree, state.seconds = files, tree, seconds
        self.left.append(state)
        self.since = time.monotonic()

    def expect(self, link: socket.socket) -> None:
        """Wait until a state speaks; the limits of the run hold meanwhile."""
        until = time.monotonic() + ANSWER_SECONDS
        waiting = select.poll()  # which, unlike select, takes descriptors beyond 1023
        waiting.register(link, select.POLLIN)
        while not waiting.poll(1000 * TICK_SECONDS):
            self.limit = self.limit or self.overrun()
            if self.limit or time.monotonic() > until:
                raise LostError("a state")

    def take_output(self) -> None:
        """Read what has been printed up to now, while the run waits."""
        for key in [key for key in self.selector.get_map().values() if key.data in (self.out, self.err)]:
            waiting = selectors.DefaultSelector()
            with waiting:
                waiting.register(key.fileobj, selectors.EVENT_READ)
                while not self.limit and waiting.select(0) and key.fd in self.selector.get_map():
                    self.read(key)

    def after_state(self, before: tuple[str, ...], stream: Stream) -> tuple[str, ...]:
        """What each chunk has printed to a stream, those before the state included."""
        now = stream.so_far
        if len(before) > self.state.chunks:
            return (*before[:-1], before[-1] + now[0], *now[1:])
        return (*before, *now)

    def abort(self) -> bool:
        if self.runner is None:
            return False
        with suppress(OSError):
            signal.pidfd_send_signal(self.runner, signal.SIGABRT)
            return True
        return False

    def over(self) -> bool:
        return self.runner is not None and has_ended(self.runner)

    def kill(self) -> None:
        with suppress(LostError):
            self.warm.tell(SWEEP)

    def kill_at_once(self) -> None:
        """End the sandbox, since pid 1 itself may be waiting for something."""
        self.warm.lost = True
        end_sandbox(self.warm.process, self.warm.first)

    def end(self) -> Ending:
        """Follow the run; how it ended."""
        seconds = self.follow()
        if not self.report:
            self.warm.lost = True
        complaints = self.after_state(self.state.complaints, self.err)
        ending = Ending(
            started=self.begun,
            limit=self.limit,
            seconds=seconds,
            memory_mib=self.peak_mib,
            stdout=merged(self.after_state(self.state.outputs, self.out), len(self.plan.key)),
            stderr="".join(complaints),
            complaints=merged(complaints, len(self.plan.key)),
            truncated=self.out.full or self.err.full,
            shared=os.pread(self.shared, SHARED_BYTES, 0),
            work=self.warm.folders[0],
        )
        return measured(ending, self.report) if self.report else ending
