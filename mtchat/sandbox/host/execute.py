"""Runs a program in the strongest sandbox that works on this machine, or explains why none does."""

import compileall
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mtchat.errors import MtchatError, PluginError, SandboxError
from mtchat.sandbox.backend import Backend, LaunchCommand, LaunchRequest, Variant, backends
from mtchat.sandbox.guest import source_file
from mtchat.sandbox.guest.wire import LaunchJob
from mtchat.sandbox.host import run_dir
from mtchat.sandbox.host.collect import CollectedFiles, ProgramFile, collect_files
from mtchat.sandbox.host.interpreter import GUEST, find_interpreter
from mtchat.sandbox.host.monitor import INTERRUPTED, OutputListener
from mtchat.sandbox.host.outcome import chunk_names, make_outcome
from mtchat.sandbox.host.supervise import RunResult, supervise
from mtchat.sandbox.policy.rlimits import rlimits
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, Program, RunInputs
from mtchat.session.settings import Limits

MARK_BYTES = 24
LAST_RESORT = "As a last resort, --unsafe-no-sandbox runs programs without isolation"
NO_SANDBOX = "NO SANDBOX"
NO_SANDBOX_WARNING = (
    "NO SANDBOX: programs run unchecked. They can read and change everything you can, and use the network; "
    "only time, output, memory and files are limited"
)
PROBING = threading.Lock()


@dataclass(frozen=True)
class Probe:
    """Whether programs can run on this machine: the isolation level (`tier`), or the reason and the fix.

    If only a weaker level works, `reason` and `fix` are about the strongest one. `tool` is the program that
    isolates, if there is one, and `version` its version.
    """

    tier: str = ""
    ok: bool = False
    reason: str = ""
    fix: str = ""
    version: str = ""
    tool: Path | None = None

    @property
    def unavailable_reason(self) -> str:
        """Why nothing can be run, and what to do; "" if programs can be run."""
        return "" if self.ok else f"{self.reason}; {self.fix}. {LAST_RESORT}"

    @property
    def warning(self) -> str:
        """What to say before the first run if programs are isolated less strictly than possible."""
        if not self.ok or not self.reason:
            return ""
        return (
            f"programs run in a reduced sandbox, {self.tier}: {self.reason}; for the full sandbox: {self.fix}"
        )


@dataclass(frozen=True)
class BackendChoice:
    """The result of probing the backends: the probe to show and, if it is ok, what to run with."""

    probe: Probe
    backend: Backend | None = None
    variant: Variant | None = None


def probe() -> Probe:
    """Which sandbox works on this machine, found once with an empty program and the real flags."""
    return choose_backend().probe


def run(
    program: Program,
    limits: Limits,
    *,
    collect: Path | None = None,
    on_output: OutputListener | None = None,
    inputs: RunInputs = NO_INPUTS,
    with_variables: bool = False,
) -> Outcome:
    """Run a program from its start; SandboxError if no sandbox works on this machine.

    Files that it leaves are copied into `collect`; `on_output("stdout" or "stderr", text)` gets its output
    as it arrives. `with_variables` asks for its variables. Ctrl-C stops the program; its outcome is returned.
    """
    return run_in(choose_backend(), program, limits, collect, on_output, inputs, with_variables)


def run_in(
    choice: BackendChoice,
    program: Program,
    limits: Limits,
    collect: Path | None = None,
    on_output: OutputListener | None = None,
    inputs: RunInputs = NO_INPUTS,
    with_variables: bool = False,
) -> Outcome:
    """Run a program with a chosen backend."""
    if choice.backend is None or choice.variant is None:
        raise SandboxError(f"no sandbox works on this machine: {choice.probe.unavailable_reason}")
    job = make_job(program, limits, inputs.arguments, with_variables, inputs.with_state)
    with supervise(choice.backend, choice.variant, job, limits, on_output, inputs) as result:
        if not result.started and not result.limit:
            reason, fix = choice.backend.explain(result.stderr)
            raise SandboxError(f"the sandbox did not start: {reason}; {fix}")
        collected = gather_files(result, program, limits, inputs, collect)
        return make_outcome(program, limits, result, choice.variant.tier, collected)


def gather_files(
    result: RunResult, program: Program, limits: Limits, inputs: RunInputs, collect: Path | None
) -> CollectedFiles:
    """Collect the files in the work folder, except attached files and source files that are unchanged."""
    if result.work is None:
        return CollectedFiles()
    names, sources = chunk_names(program), [chunk.code for chunk in program.chunks]
    counts = range(1, len(sources) + 1) if source_file.file_content(names, sources) else ()
    contents = {source_file.file_content(names[:count], sources[:count]) for count in counts} - {b""}
    own = ProgramFile(source_file.file_name(names), tuple(contents))
    return collect_files(result.work, limits.disk_mib << 20, collect, inputs.files, result.stopped, own)


def make_job(
    program: Program,
    limits: Limits,
    arguments: tuple[str, ...] = (),
    with_variables: bool = False,
    with_state: bool = False,
    checkpoints: int = 0,
) -> LaunchJob:
    """The launcher's job; with `checkpoints`, it keeps up to that many instead of running the program."""
    python = find_interpreter()
    return LaunchJob(
        chunk_names(program),
        [chunk.code for chunk in program.chunks],
        secrets.token_bytes(MARK_BYTES),
        rlimits(limits, checkpoints),
        list(python.folders),
        python.prefix,
        arguments=arguments,
        with_variables=with_variables,
        with_state=with_state,
        checkpoints=checkpoints > 0,
    )


def choose_backend(*, without_sandbox: bool = False) -> BackendChoice:
    """The strongest backend that works, found once, by whichever thread asks first.

    `without_sandbox` is for --unsafe-no-sandbox: then nothing is isolated.
    """
    with PROBING:
        return choose_once(without_sandbox)


@cache
def choose_once(without_sandbox: bool) -> BackendChoice:
    # Runs cannot write to this folder, so without this each would compile the launcher again: 8 ms.
    compileall.compile_dir(GUEST, quiet=2)
    return choose((NoSandbox(),) if without_sandbox else backends())


class NoSandbox:
    """No sandbox at all, for users who pass --unsafe-no-sandbox; never chosen by itself.

    Programs read and write what their user can and reach the network; limits, an empty environment and the
    clean-up of processes remain. Programs started by root run as a transient user: the kernel does not
    count root's processes, so a fork bomb would take the machine down.
    """

    RANK = 99

    def variants(self) -> tuple[Variant, ...]:
        """The only variant; SandboxError where leftover processes could not be found and ended."""
        if not run_dir.CHILDREN.exists():
            raise SandboxError("without a sandbox programs can only run on Linux with /proc; use Linux")
        return (Variant(NO_SANDBOX),)

    @contextmanager
    def prepare(self, variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
        """The command of one run, without isolation."""
        with run_dir.make_run_dir() as where:
            yield run_dir.launch_command(where, request)

    def explain(self, stderr: str) -> tuple[str, str]:
        """(reason, fix) from the error output of a launcher that failed."""
        last = (stderr.strip().splitlines() or ["the launcher failed without a message"])[-1]
        return last[:300], "run mtchat doctor"


def choose(candidates: tuple[Backend, ...]) -> BackendChoice:
    """The first variant that runs an empty program, with the reason why stronger ones did not."""
    failures: list[Probe] = []
    for backend in candidates:
        stronger = failures[0] if failures else Probe()
        try:
            variants = backend.variants()
        except (SandboxError, PluginError) as error:
            failures.append(failed_probe(error))
            continue
        for variant in variants:
            try:
                attempt = try_variant(backend, variant)
            except PluginError as error:
                attempt = failed_probe(error)
            if attempt.ok:
                return BackendChoice(
                    replace(attempt, reason=stronger.reason, fix=stronger.fix), backend, variant
                )
            failures.append(attempt)
    return BackendChoice(
        failures[0] if failures else Probe(reason="no backend is installed", fix="reinstall mtchat")
    )


def failed_probe(error: MtchatError) -> Probe:
    """What a backend that cannot be used says: why, and after a semicolon what to do."""
    reason, _, fix = str(error).partition("; ")
    return Probe(reason=reason, fix=fix)


def try_variant(backend: Backend, variant: Variant) -> Probe:
    """Run an empty program: this tests all flags, the launcher, and the handover of the work folder."""
    limits = Limits(seconds=10.0)
    with supervise(backend, variant, make_job(Program(), limits), limits) as result:
        if result.started and result.status == 0:
            return Probe(variant.tier, True, version=variant.version, tool=variant.tool)
        if result.limit == INTERRUPTED:
            raise KeyboardInterrupt  # this must not be cached as a machine without a sandbox
        reason, fix = backend.explain(result.stderr)
        return Probe(variant.tier, False, reason, fix, variant.version, variant.tool)
