"""The sandbox as one object: it runs programs and keeps their states alive between runs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, Program, RunInputs
from mtchat.session.settings import Limits

if TYPE_CHECKING:
    from mtchat.sandbox.checkpoints.worker import Worker
    from mtchat.sandbox.host.execute import BackendChoice
    from mtchat.sandbox.host.monitor import OutputListener


def discard_output(stream: str, text: str) -> None:
    """Discard the output."""


class Sandbox:
    """Runs programs in the strongest sandbox that works on this machine; with `unsafe`, in none at all.

    What a program leaves in memory is kept between runs, so that one with the same first turns resumes after
    them. `close`, or leaving the `with`, ends those processes. Nothing is started before the first run.
    """

    def __init__(self, unsafe: bool = False) -> None:
        self.unsafe = unsafe
        self.worker: Worker | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that hold the states of programs."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def forget_programs(self) -> None:
        """End the states of the programs that ran; the sandbox stays, with what it has imported."""
        if self.worker is not None:
            self.worker.forget_programs()

    def run(
        self,
        program: Program,
        limits: Limits,
        collect: Path | None,
        on_output: "OutputListener | None" = None,
        inputs: RunInputs = NO_INPUTS,
    ) -> Outcome:
        """Run a program from its start; its files are copied to the folder `collect`, unless it is None.

        SandboxError if no sandbox works on this machine.
        """
        from mtchat.sandbox.host import execute

        return execute.run_in(self.choice(), program, limits, collect, on_output, inputs)

    def resume(
        self,
        program: Program,
        limits: Limits,
        collect: Path | None,
        on_output: "OutputListener",
        inputs: RunInputs,
        with_variables: bool,
    ) -> Outcome:
        """As `run`, from the last state that is alive; the outcome has the variables if asked for."""
        from mtchat.sandbox.checkpoints.worker import Worker

        if self.worker is None:
            self.worker = Worker(self.choice())
        return self.worker.run(
            program,
            limits,
            collect=collect,
            on_output=on_output,
            inputs=inputs,
            with_variables=with_variables,
        )

    def trial(self, program: Program, limits: Limits, inputs: RunInputs) -> Outcome:
        """As `resume`, with variables and state, for a program that is only tried out: its files stay."""
        return self.resume(program, limits, None, discard_output, replace(inputs, with_state=True), True)

    def choice(self) -> "BackendChoice":
        from mtchat.sandbox.host import execute

        return execute.choose_backend(without_sandbox=self.unsafe)

    def unavailable_reason(self) -> str:
        """Why nothing can be run on this machine; "" if programs can be run."""
        return self.choice().probe.unavailable_reason

    def warning(self) -> str:
        """What to say before the first run; "" in the strongest sandbox, and if nothing can be run."""
        return self.unsafe_warning() or self.choice().probe.warning

    def unsafe_warning(self) -> str:
        """What it means to run without a sandbox; "" with one."""
        if not self.unsafe:
            return ""
        from mtchat.sandbox.host.execute import NO_SANDBOX_WARNING

        return NO_SANDBOX_WARNING
