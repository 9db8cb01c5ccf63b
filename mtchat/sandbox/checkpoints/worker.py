"""Runs programs that grow turn by turn: each run goes on from the longest prefix whose state is alive.

The truth is `sandbox.run`, which starts from nothing; what a worker says must equal it. Where a state could
not be kept whole, the turns after it run again from a state before it, and the outcome's note says so.
"""

import math
import os
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from mtchat.errors import SandboxError
from mtchat.sandbox.checkpoints import clocks
from mtchat.sandbox.checkpoints.checkpoint_sandbox import CheckpointSandbox, LostError
from mtchat.sandbox.checkpoints.resumed_run import ResumedRun
from mtchat.sandbox.checkpoints.snapshots import (
    MOST_STATES,
    Key,
    ResumePlan,
    Snapshot,
    SnapshotCache,
    make_plan,
)
from mtchat.sandbox.checkpoints.workdir_fingerprint import CannotCopyError
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.execute import MARK_BYTES, BackendChoice, gather_files
from mtchat.sandbox.host.monitor import INTERRUPTED, OutputListener, measure_memory
from mtchat.sandbox.host.outcome import make_outcome
from mtchat.sandbox.host.supervise import Interrupts, watch_interrupts
from mtchat.session.given import NO_INPUTS, RunInputs
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, Program
from mtchat.session.reason import Reason
from mtchat.session.settings import Limits

TRIES = 3
INTERRUPTED_OUTCOME = Outcome(exit_code=None, reason=Reason.INTERRUPTED, finished=False, error=INTERRUPTED)


class Worker:
    """One sandbox that is kept between runs, started when it is first needed. Close it when done.

    Where no sandbox can be kept here, each run starts from nothing.
    """

    def __init__(self, choice: BackendChoice | None = None) -> None:
        self.choice = choice
        self.sandbox: CheckpointSandbox | None = None
        self.states = SnapshotCache()
        self.fits: object = None
        self.seconds = 0.0
        self.cap_mib = 0.0
        self.lock = threading.Lock()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandbox and every state in it."""
        with self.lock, watch_interrupts():
            self.discard()

    def run(
        self,
        program: Program,
        limits: Limits,
        *,
        collect: Path | None = None,
        watch: OutputListener | None = None,
        given: RunInputs = NO_INPUTS,
        look: bool = False,
        keep: bool = True,
    ) -> Outcome:
        """As `sandbox.run`, from the longest prefix that is alive; without `keep` no new state is left.

        `watch` hears only what is printed anew. A run with arguments or keyboard input starts from nothing.
        """
        choice = self.choice or execute.choose_backend()
        able = choice.variant is not None and choice.variant.checkpoints

        def fresh() -> Outcome:
            return execute.run_in(choice, program, limits, collect, watch, given, look)

        if not able or given.arguments or given.stdin or program.name:
            return fresh()
        with self.lock, watch_interrupts() as stopped:
            for _ in range(TRIES):
                with suppress(LostError, CannotCopyError):
                    return self.attempt(choice, program, limits, collect, watch, given, look, keep, stopped)
                self.tidy(())
            self.discard()
        return fresh()

    def attempt(
        self,
        choice: BackendChoice,
        program: Program,
        limits: Limits,
        collect: Path | None,
        watch: OutputListener | None,
        given: RunInputs,
        look: bool,
        keep: bool,
        stopped: Interrupts,
    ) -> Outcome:
        """One try; LostError when a process that it needs is gone."""
        try:
            sandbox = self.ready(choice, limits, given, stopped)
        except KeyboardInterrupt:
            return INTERRUPTED_OUTCOME
        wanted = make_plan(program)
        state = self.states.longest(wanted)
        assert state is not None
        self.states.use(state)
        mark = secrets.token_bytes(MARK_BYTES)
        hear = watch or (lambda name, text: None)
        with ResumedRun(sandbox, state, wanted, mark, limits, hear, stopped, keep) as resumed:
            try:
                sandbox.restore(state)
                resumed.start(look)
            except LostError:
                self.lose(state)
                raise
            try:
                ending = resumed.end()
            except BaseException:  # what hears the output failed, and nobody follows the run any more
                self.abandon(resumed)
                raise
            self.store_snapshots(resumed, wanted)
            if not ending.started and ending.limit != INTERRUPTED:
                self.lose(state)
                raise LostError("the run")
            assert choice.variant is not None
            found = gather_files(replace(ending, stopped=stopped.again()), program, limits, given, collect)
            result = make_outcome(program, limits, ending, choice.variant.tier, found)
        notes = (self.note(program, wanted, state), clocks.clock_note(program, state.chunks))
        note = "\n".join(filter(None, notes))
        return replace(result, resumed=count_turns(program, state.chunks), note=note)

    def ready(
        self, choice: BackendChoice, limits: Limits, given: RunInputs, stopped: Callable[[], bool]
    ) -> CheckpointSandbox:
        """The sandbox; a new one where there is none, or where it was made for other limits or files.

        KeyboardInterrupt where the user stops the copying of those.
        """
        files = tuple((file, file_stamp(file.path)) for file in given.files)
        fits = (replace(limits, output_kib=0, seconds=0), files)
        # the wall clock is each run's own; what a sandbox is made for only bounds it
        enough = self.fits == fits and self.seconds >= limits.seconds
        if self.sandbox is not None and self.sandbox.alive and enough and () in self.states.alive:
            return self.sandbox
        self.discard()
        assert choice.backend is not None
        assert choice.variant is not None
        job = execute.make_job(Program(), limits, states=MOST_STATES)
        sandbox = CheckpointSandbox(choice.backend, choice.variant, job, limits)
        try:
            sandbox.deliver(given.files, stopped)
        except BaseException:
            sandbox.drop(sandbox.empty_snapshot)
            sandbox.close()
            raise
        self.sandbox, self.fits, self.seconds, self.cap_mib = sandbox, fits, limits.seconds, limits.memory_mib
        self.states.add(sandbox.empty_snapshot)
        return sandbox

    def discard(self) -> None:
        """Give up the sandbox and every state in it."""
        for state in list(self.states.alive.values()):
            self.lose(state)
        self.states = SnapshotCache()
        if self.sandbox is not None:
            self.sandbox.close()
        self.sandbox = None

    def abandon(self, resumed: ResumedRun) -> None:
        """Give up the sandbox with a run that still goes on in it."""
        for state in resumed.snapshots:
            resumed.sandbox.drop(state)
        self.discard()

    def lose(self, state: Snapshot) -> None:
        if self.states.alive.get(state.key) is state:
            del self.states.alive[state.key]
        if self.sandbox is not None:
            self.sandbox.drop(state)

    def store_snapshots(self, resumed: ResumedRun, wanted: ResumePlan) -> None:
        """Take in the states that a run left, and give up what is too much."""
        self.states.remember(resumed.hazards)
        for state in resumed.snapshots:
            state.mib = measure_memory([state.pid], math.inf)
            old = self.states.add(state)
            if old is not None and self.sandbox is not None:
                self.sandbox.drop(old)
        self.tidy(wanted.key)

    def tidy(self, live: Key) -> None:
        """Keep the states few and small: together they may hold as much as one run."""
        sandbox = self.sandbox
        if sandbox is None or sandbox.lost:
            return
        while len(self.states.alive) > MOST_STATES or self.overfull(sandbox):
            victim = self.states.least_useful(live)
            if victim is None:
                break
            self.lose(victim)
        with suppress(LostError):
            sandbox.forget({state.files for state in self.states.alive.values()})

    def overfull(self, sandbox: CheckpointSandbox) -> bool:
        """Whether the states hold more memory than one run may; what they share is only looked into then."""
        cap = self.cap_mib
        total = sum(state.mib for state in self.states.alive.values())
        # Only root may look into a state; others take what it seems to hold.
        return total > cap and (measure_memory(sandbox.states, cap) or total) > cap

    def note(self, program: Program, wanted: ResumePlan, state: Snapshot) -> str:
        """Why turns that had run before ran again."""
        again = [chunk.turn for chunk in program.chunks[state.chunks : -1] if chunk.code.strip()]
        index, why = self.states.why(wanted, state.chunks)
        if not again or not why:
            return ""
        which = f"turn {again[0]}" if len(again) == 1 else f"turns {again[0]}-{again[-1]}"
        return f"{program.label(program.chunks[index].turn)} {why}, so {which} ran again"


def count_turns(program: Program, chunks: int) -> int:
    """How many of the first chunks are turns."""
    return sum(chunk.turn != PREAMBLE for chunk in program.chunks[:chunks])


def file_stamp(path: PurePath) -> tuple[int, int]:
    """What tells a file from what it was before."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SandboxError(f"cannot copy {path} into the sandbox: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns
