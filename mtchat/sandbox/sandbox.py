"""Runs a program in the strongest sandbox that works on this machine, or says why there is none."""

import compileall
import secrets
import threading
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import cast

from mtchat.errors import SandboxError
from mtchat.sandbox import unsafe
from mtchat.sandbox.backend import Backend, Variant, backends
from mtchat.sandbox.checkpoints.states import MOST_STATES
from mtchat.sandbox.collect import Harvest, Own, harvest
from mtchat.sandbox.guest import script
from mtchat.sandbox.guest.wire import Job
from mtchat.sandbox.interpreter import INSIDE, interpreter
from mtchat.sandbox.policy.rlimits import rlimits
from mtchat.sandbox.report import names
from mtchat.sandbox.supervise import Ending, supervised
from mtchat.sandbox.unsafe import LAST_RESORT
from mtchat.sandbox.verdict import outcome
from mtchat.sandbox.watching import INTERRUPTED, Watch
from mtchat.session.given import NO_INPUTS, RunInputs
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.settings import Limits

MARK_BYTES = 24
PROBING = threading.Lock()


@dataclass(frozen=True)
class Probe:
    """Whether programs can be run here: the tier shown to the user, or the reason why not and the fix.

    Where only a weaker tier is ok, `reason` and `fix` are of the strongest one. `tool` is where what contains
    programs was found, `version` its version.
    """

    tier: str = ""
    ok: bool = False
    reason: str = ""
    fix: str = ""
    version: str = ""
    tool: Path | None = None

    @property
    def refusal(self) -> str:
        """Why nothing can be run and what to do about it; "" when something can."""
        return "" if self.ok else f"{self.reason}; {self.fix}. {LAST_RESORT}"

    @property
    def notice(self) -> str:
        """What to say before the first run where programs are held less well than they could be."""
        if not self.ok or not self.reason:
            return ""
        return f"programs run in a reduced sandbox, {self.tier}: {self.reason}; to mend it: {self.fix}"


@dataclass(frozen=True)
class Choice:
    """What a probe found: the probe to show and, when it is ok, what to run with."""

    probe: Probe
    backend: Backend | None = None
    variant: Variant | None = None


def probe() -> Probe:
    """What contains programs on this machine, tried once with an empty program and the real flags."""
    return chosen().probe


def run(
    program: Program,
    limits: Limits,
    *,
    collect: Path | None = None,
    watch: Watch | None = None,
    given: RunInputs = NO_INPUTS,
    look: bool = False,
) -> Outcome:
    """Run a program from its start; SandboxError when it cannot be contained here.

    Files that it leaves are copied into `collect`; `watch("stdout"|"stderr", text)` is called with what it
    prints, as it comes. `look` asks for its variables. Ctrl-C stops the program and gives an outcome.
    """
    return run_in(chosen(), program, limits, collect, watch, given, look)


def run_in(
    choice: Choice,
    program: Program,
    limits: Limits,
    collect: Path | None = None,
    watch: Watch | None = None,
    given: RunInputs = NO_INPUTS,
    look: bool = False,
) -> Outcome:
    """Run a program in what a probe chose."""
    if choice.backend is None or choice.variant is None:
        raise SandboxError(f"no sandbox works here: {choice.probe.refusal}")
    job = job_of(program, limits, given.arguments, look)
    with supervised(choice.backend, choice.variant, job, limits, watch, given) as ending:
        if not ending.started and not ending.limit:
            reason, fix = choice.backend.explain(ending.stderr)
            raise SandboxError(f"the sandbox did not start: {reason}; {fix}")
        found = gathered(ending, program, limits, given, collect)
        return outcome(program, limits, ending, choice.variant.tier, found)


def gathered(
    ending: Ending, program: Program, limits: Limits, given: RunInputs, collect: Path | None
) -> Harvest:
    """The files in the work folder, without those that were laid there and are unchanged."""
    if ending.work is None:
        return Harvest()
    called, sources = names(program), [chunk.code for chunk in program.chunks]
    counts = range(1, len(sources) + 1) if script.content_of(called, sources) else ()
    begun = {script.content_of(called[:count], sources[:count]) for count in counts} - {b""}
    own = Own(script.name_of(called), tuple(begun))
    return harvest(ending.work, limits.disk_mib << 20, collect, given.files, ending.stopped, own)


def job_of(
    program: Program,
    limits: Limits,
    arguments: tuple[str, ...] = (),
    look: bool = False,
    warm: bool = False,
) -> Job:
    """What the launcher is told to do."""
    python = interpreter()
    return Job(
        names(program),
        [chunk.code for chunk in program.chunks],
        secrets.token_bytes(MARK_BYTES),
        rlimits(limits, MOST_STATES if warm else 0),
        list(python.folders),
        python.prefix,
        arguments=arguments,
        look=look,
        warm=warm,
    )


def chosen(*, without_sandbox: bool = False) -> Choice:
    """The strongest backend that works, found once, by whichever thread comes first.

    `without_sandbox` is for a user who asked for that in so many words: then nothing is contained.
    """
    with PROBING:
        return choose_once(without_sandbox)


@cache
def choose_once(without_sandbox: bool) -> Choice:
    # Runs only read this folder, so without this each would compile the launcher anew: 8 ms.
    compileall.compile_dir(INSIDE, quiet=2)
    return choose((unsafe_way(),) if without_sandbox else backends())


def unsafe_way() -> Backend:
    return cast(Backend, unsafe)


def choose(candidates: tuple[Backend, ...]) -> Choice:
    """The first variant of the first backend that runs an empty program, with why stronger ones did not."""
    failures: list[Probe] = []
    for backend in candidates:
        stronger = failures[0] if failures else Probe()
        try:
            variants = backend.variants()
        except SandboxError as error:
            reason, _, fix = str(error).partition("; ")
            failures.append(Probe(reason=reason, fix=fix))
            continue
        for variant in variants:
            found = attempt(backend, variant)
            if found.ok:
                return Choice(replace(found, reason=stronger.reason, fix=stronger.fix), backend, variant)
            failures.append(found)
    return Choice(
        failures[0] if failures else Probe(reason="no backend is installed", fix="reinstall mtchat")
    )


def attempt(backend: Backend, variant: Variant) -> Probe:
    """Run an empty program: all flags, the launcher and the handing over of the work folder."""
    limits = Limits(seconds=10.0)
    with supervised(backend, variant, job_of(Program(), limits), limits) as ending:
        if ending.started and ending.status == 0:
            return Probe(variant.tier, True, version=variant.version, tool=variant.tool)
        if ending.limit == INTERRUPTED:
            raise KeyboardInterrupt  # and not remembered as a machine without a sandbox
        reason, fix = backend.explain(ending.stderr)
        return Probe(variant.tier, False, reason, fix, variant.version, variant.tool)
