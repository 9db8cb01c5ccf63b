"""Turns how a run ended into an outcome, with its error as one line that names turn and line."""

import os
import signal
from dataclasses import replace

from mtchat.core.outcome import Outcome
from mtchat.core.program import Program
from mtchat.core.settings import Limits
from mtchat.sandbox.collect import Harvest
from mtchat.sandbox.inside.wire import DISK, EXITED, MEMORY, RAISED
from mtchat.sandbox.report import Report, beginning, read, variables
from mtchat.sandbox.supervise import Ending
from mtchat.sandbox.watching import INTERRUPTED

SIGNALS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGFPE: "arithmetic fault",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGSYS: "a system call that the sandbox forbids",
    signal.SIGKILL: "perhaps out of memory",
}


def outcome(program: Program, limits: Limits, ending: Ending, tier: str, found: Harvest) -> Outcome:
    """The outcome of a run that began."""
    report = read(ending.shared, program)
    last = max((number for number, chunk in enumerate(program.chunks) if chunk.code.strip()), default=0)
    stopped = stopping_signal(ending)
    exit_code = (
        None if stopped is not None or ending.status is None else os.waitstatus_to_exitcode(ending.status)
    )
    limit = limit_of(ending, report, stopped)
    left = report.how == EXITED and exit_code == 0 and (report.index or 0) >= last
    bare = Outcome(
        tier=tier,
        exit_code=exit_code,
        signal=stopped,
        limit=limit,
        finished=report.finished or left,
        stdout="".join(ending.stdout),
        stderr=ending.stderr,
        truncated=ending.truncated,
        outputs=ending.stdout,
        traceback=report.traceback,
        files=found.files,
        skipped=found.skipped,
        seconds=ending.seconds,
        memory_mib=ending.memory_mib,
        variables=variables(ending.shared),
    )
    error = error_of(program, limits, report, bare)
    return replace(
        bare, error=error, frames=(report.frames or beginning(report.index, program)) if error else ()
    )


def stopping_signal(ending: Ending) -> int | None:
    """The signal that ended the program; SIGKILL when it was us who stopped it."""
    if ending.status is None:
        return int(signal.SIGKILL)
    if not os.WIFSIGNALED(ending.status):
        return None
    return int(signal.SIGKILL) if ending.limit else os.WTERMSIG(ending.status)


def limit_of(ending: Ending, report: Report, stopped: int | None) -> str:
    if ending.limit:
        return ending.limit
    if stopped == signal.SIGXCPU:
        return "cpu"
    return report.kind if report.how == RAISED and report.kind in (MEMORY, DISK) else ""


def error_of(program: Program, limits: Limits, report: Report, outcome: Outcome) -> str:
    """The one line; "" when all went well."""
    told = report.how == RAISED and report.headline
    place = place_of(program, report)
    if told:
        room = room_of(outcome.limit, limits)
        also = f" ({room})" if room else f" (and {stop_of(outcome.limit, limits)})" if outcome.limit else ""
        return f"{place}: {report.headline}{also}"
    if outcome.limit:
        return f"{place}: {stop_of(outcome.limit, limits)}"
    if outcome.signal is not None:
        return f"{place}: killed by {name_of(outcome.signal)}"
    if report.how == EXITED:
        return "" if outcome.finished else exit_of(program, report, outcome.exit_code)
    if report.finished:
        return "" if outcome.exit_code == 0 else f"the program ended with exit code {outcome.exit_code}"
    code = outcome.exit_code
    return f"{current(program, report)}: the program ended at once with exit code {code} (os._exit)"


def current(program: Program, report: Report) -> str:
    """The chunk that ran when the run ended."""
    return program.label(program.chunks[report.index].turn) if report.index is not None else "the program"


def place_of(program: Program, report: Report) -> str:
    """Turn and line: the turn where the error surfaced at top level, the innermost line in that turn."""
    if not report.frames:
        return current(program, report)
    turn = report.frames[0].place.turn
    line = [frame.place.line for frame in report.frames if frame.place.turn == turn][-1]
    return f"{program.label(turn)}, line {line}"


def exit_of(program: Program, report: Report, code: int | None) -> str:
    if code != 0 or report.index is None:
        return f"{current(program, report)}: the program ended with exit code {code}"
    rest = [chunk.turn for chunk in program.chunks[report.index + 1 :] if chunk.code.strip()]
    missed = f"turn {rest[0]}" if len(rest) == 1 else f"turns {rest[0]}-{rest[-1]}"
    return f"{current(program, report)} ended the program; {missed} did not run"


def name_of(number: int) -> str:
    """A signal by its name, with what it usually means."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    return known.name + (f" ({SIGNALS[known]})" if known in SIGNALS else "")


def stop_of(limit: str, limits: Limits) -> str:
    """What to say of a run that was stopped."""
    return {
        "seconds": f"stopped after {limits.seconds:g} s",
        "cpu": "stopped after too much CPU time",
        "memory": f"stopped at {limits.memory_mib} MiB of memory",
        "output": f"stopped after {limits.output_kib} KiB of output",
        "disk": f"stopped at {limits.disk_mib} MiB of files",
        "processes": "stopped for starting too many processes",
        INTERRUPTED: "interrupted",
    }[limit]


def room_of(limit: str, limits: Limits) -> str:
    """The limit behind an error that the program itself met."""
    rooms = {
        MEMORY: f"a run may take {limits.memory_mib} MiB of memory",
        DISK: f"the work folder holds {limits.disk_mib} MiB",
    }
    return rooms.get(limit, "")
