"""Runs programs that grow turn by turn: each run resumes from the longest prefix that has a snapshot.

The reference is `execute.run`, which starts from nothing: the outcomes must be equal. If no snapshot could be
taken after a turn, the next run repeats that turn from an earlier snapshot, and the outcome's note says so.
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
from mtchat.sandbox.checkpoints.checkpoint_sandbox import CannotCopyError, CheckpointSandbox, LostError
from mtchat.sandbox.checkpoints.resumed_run import ResumedRun
from mtchat.sandbox.checkpoints.snapshots import (
    MOST_SNAPSHOTS,
    Key,
    ResumePlan,
    Snapshot,
    SnapshotCache,
    make_plan,
)
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.execute import MARK_BYTES, BackendChoice, gather_files
from mtchat.sandbox.host.monitor import INTERRUPTED, OutputListener, measure_memory
from mtchat.sandbox.host.outcome import make_outcome
from mtchat.sandbox.host.supervise import Interrupts, watch_interrupts
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import NO_INPUTS, PREAMBLE, Program, RunInputs
from mtchat.session.settings import Limits

TRIES = 3
INTERRUPTED_OUTCOME = Outcome(exit_code=None, reason=Reason.INTERRUPTED, finished=False, error=INTERRUPTED)


class Worker:
    """Keeps one sandbox alive between runs, started on the first run. Close it when done.

    If the backend cannot keep checkpoints, each run starts from nothing.
    """

    def __init__(self, choice: BackendChoice | None = None) -> None:
        self.choice = choice
        self.sandbox: CheckpointSandbox | None = None
        self.snapshots = SnapshotCache()
        self.setup: object = None
        self.seconds = 0.0
        self.cap_mib = 0.0
        self.lock = threading.Lock()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """End the sandbox and all its snapshots."""
        with self.lock, watch_interrupts():
            self.discard()

    def forget_programs(self) -> None:
        """End the snapshots of all that has run, except those after nothing but imports."""
        with self.lock, watch_interrupts():
            for snapshot in list(self.snapshots.alive.values()):
                if not snapshot.only_imports:
                    self.discard_snapshot(snapshot)
            self.evict(())

    def run(
        self,
        program: Program,
        limits: Limits,
        *,
        collect: Path | None = None,
        on_output: OutputListener | None = None,
        inputs: RunInputs = NO_INPUTS,
        with_variables: bool = False,
        keep: bool = True,
    ) -> Outcome:
        """As `execute.run`, from the longest prefix that has a snapshot; without `keep`, no new one is taken.

        `on_output` gets only output of chunks that run now. A run with arguments or keyboard input starts
        from nothing.
        """
        choice = self.choice or execute.choose_backend()
        can_checkpoint = choice.variant is not None and choice.variant.checkpoints

        def run_from_start() -> Outcome:
            return execute.run_in(choice, program, limits, collect, on_output, inputs, with_variables)

        if not can_checkpoint or inputs.arguments or inputs.stdin or program.name:
            return run_from_start()
        with self.lock, watch_interrupts() as stopped:
            try:
                for _ in range(TRIES):
                    with suppress(LostError, CannotCopyError):
                        return self.attempt(
                            choice, program, limits, collect, on_output, inputs, with_variables, keep, stopped
                        )
                    self.evict(())
                self.discard()
            finally:
                self.discard_lost()
        return run_from_start()

    def attempt(
        self,
        choice: BackendChoice,
        program: Program,
        limits: Limits,
        collect: Path | None,
        on_output: OutputListener | None,
        inputs: RunInputs,
        with_variables: bool,
        keep: bool,
        stopped: Interrupts,
    ) -> Outcome:
        """One attempt; LostError if a process that it needs is gone."""
        try:
            sandbox = self.prepare_sandbox(choice, limits, inputs, stopped)
        except KeyboardInterrupt:
            return INTERRUPTED_OUTCOME
        plan = make_plan(program)
        snapshot = self.snapshots.longest(plan)
        assert snapshot is not None
        self.snapshots.touch(snapshot)
        mark = secrets.token_bytes(MARK_BYTES)
        listener = on_output or (lambda name, text: None)
        with ResumedRun(sandbox, snapshot, plan, mark, limits, listener, stopped, keep) as resumed:
            try:
                sandbox.restore(snapshot)
                resumed.start(with_variables, inputs.with_state)
            except LostError:
                self.discard_snapshot(snapshot)
                raise
            try:
                result = resumed.end()
            except BaseException:  # the listener failed, and nobody follows the run any more
                self.abandon(resumed)
                raise
            self.store_snapshots(resumed, plan)
            if not result.started and result.limit != INTERRUPTED:
                self.discard_snapshot(snapshot)
                raise LostError("the run")
            assert choice.variant is not None
            collected = gather_files(
                replace(result, stopped=stopped.since_now()), program, limits, inputs, collect
            )
            outcome = make_outcome(program, limits, result, choice.variant.tier, collected)
        notes = (self.describe_rerun(program, plan, snapshot), clocks.clock_note(program, snapshot.chunks))
        note = "\n".join(filter(None, notes))
        return replace(outcome, resumed=count_turns(program, snapshot.chunks), note=note)

    def prepare_sandbox(
        self, choice: BackendChoice, limits: Limits, inputs: RunInputs, stopped: Callable[[], bool]
    ) -> CheckpointSandbox:
        """The sandbox; a new one if there is none, or if limits or attached files have changed.

        KeyboardInterrupt if the user stops the copying of those files.
        """
        files = tuple((file, file_stamp(file.path)) for file in inputs.files)
        setup = (limits.memory_mib, limits.disk_mib, files)
        # each run has its own time limit, which must not exceed that of the sandbox
        enough = self.setup == setup and self.seconds >= limits.seconds
        if self.sandbox is not None and self.sandbox.alive and enough and () in self.snapshots.alive:
            return self.sandbox
        self.discard()
        assert choice.backend is not None
        assert choice.variant is not None
        job = execute.make_job(Program(), limits, checkpoints=MOST_SNAPSHOTS)
        sandbox = CheckpointSandbox(choice.backend, choice.variant, job, limits)
        try:
            sandbox.deliver(inputs.files, stopped)
        except BaseException:
            sandbox.drop(sandbox.empty_snapshot)
            sandbox.close()
            raise
        self.sandbox, self.setup, self.seconds, self.cap_mib = (
            sandbox,
            setup,
            limits.seconds,
            limits.memory_mib,
        )
        self.snapshots.add(sandbox.empty_snapshot)
        return sandbox

    def discard(self) -> None:
        """End the sandbox and forget all snapshots."""
        for snapshot in list(self.snapshots.alive.values()):
            self.discard_snapshot(snapshot)
        self.snapshots = SnapshotCache()
        if self.sandbox is not None:
            self.sandbox.close()
        self.sandbox = None

    def discard_lost(self) -> None:
        """End a sandbox that a run has made unusable, so that no process of it waits for the next run."""
        if self.sandbox is not None and not self.sandbox.alive:
            self.discard()

    def abandon(self, resumed: ResumedRun) -> None:
        """End the sandbox while a run is still active in it."""
        for snapshot in resumed.new_snapshots:
            resumed.sandbox.drop(snapshot)
        self.discard()

    def discard_snapshot(self, snapshot: Snapshot) -> None:
        if self.snapshots.alive.get(snapshot.key) is snapshot:
            del self.snapshots.alive[snapshot.key]
        if self.sandbox is not None:
            self.sandbox.drop(snapshot)

    def store_snapshots(self, resumed: ResumedRun, plan: ResumePlan) -> None:
        """Add the snapshots of a run, and evict what is too much."""
        self.snapshots.remember_hazards(resumed.hazards)
        for snapshot in resumed.new_snapshots:
            snapshot.mib = measure_memory([snapshot.pid], math.inf)
            old = self.snapshots.add(snapshot)
            if old is not None and self.sandbox is not None:
                self.sandbox.drop(old)
        self.evict(plan.key)

    def evict(self, live: Key) -> None:
        """Evict until the snapshots are few enough and together use no more memory than one run may."""
        sandbox = self.sandbox
        if sandbox is None or sandbox.lost:
            return
        while len(self.snapshots.alive) > MOST_SNAPSHOTS or self.exceeds_memory(sandbox):
            victim = self.snapshots.least_useful(live)
            if victim is None:
                break
            self.discard_snapshot(victim)
        with suppress(LostError):
            sandbox.forget({snapshot.files for snapshot in self.snapshots.alive.values()})

    def exceeds_memory(self, sandbox: CheckpointSandbox) -> bool:
        """Whether the snapshots use more memory than one run may; shared pages are measured only then."""
        cap = self.cap_mib
        total = sum(snapshot.mib for snapshot in self.snapshots.alive.values())
        # Only root can measure shared pages; others count them once per process.
        return total > cap and (measure_memory(sandbox.snapshot_pids, cap) or total) > cap

    def describe_rerun(self, program: Program, plan: ResumePlan, snapshot: Snapshot) -> str:
        """Why turns that had already run had to run again; "" if none had to."""
        again = [chunk.turn for chunk in program.chunks[snapshot.chunks : -1] if chunk.code.strip()]
        index, why = self.snapshots.find_hazard(plan, snapshot.chunks)
        if not again or not why:
            return ""
        which = f"turn {again[0]}" if len(again) == 1 else f"turns {again[0]}-{again[-1]}"
        return f"{program.label(program.chunks[index].turn)} {why}, so {which} ran again"


def count_turns(program: Program, chunks: int) -> int:
    """How many of the first `chunks` chunks are turns and not the preamble."""
    return sum(chunk.turn != PREAMBLE for chunk in program.chunks[:chunks])


def file_stamp(path: PurePath) -> tuple[int, int]:
    """Size and time of change of a file, to see whether it has changed."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise SandboxError(f"cannot copy {path} into the sandbox: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns
