"""Turns how a run ended into an outcome, with its error as one line that names turn and line."""

import os
import re
import signal
from dataclasses import replace

from mtchat.sandbox.collect import Harvest
from mtchat.sandbox.guest import complaints, wire
from mtchat.sandbox.guest.wire import DISK, EXITED, MEMORY, RAISED
from mtchat.sandbox.report import Report, beginning, read, variables
from mtchat.sandbox.supervise import Ending
from mtchat.sandbox.watching import INTERRUPTED
from mtchat.session import world
from mtchat.session.outcome import File, Outcome
from mtchat.session.program import Program
from mtchat.session.settings import PROCESSES, Limits

LAST_WORDS = 4000  # characters of stderr that tell how a library ended the process
NOTHING_READ = "NoneType"  # what a library gives that warns of a missing file
CHILD_FAILED = "subprocess.CalledProcessError"
NEARLY = 0.9  # of the memory that a run may take, from where on an abort is put down to it
FATAL = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGTRAP, signal.SIGILL)
SIGNALS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGFPE: "arithmetic fault",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "a library gave up",
    signal.SIGSYS: "a system call that the sandbox forbids",
    signal.SIGKILL: "perhaps out of memory",
}


def outcome(program: Program, limits: Limits, ending: Ending, tier: str, found: Harvest) -> Outcome:
    """The outcome of a run that began; copying its files is a part of it that the user may stop."""
    if found.stopped:
        ending = replace(ending, limit=ending.limit or INTERRUPTED)
    report = read(ending.shared, program)
    last = max((number for number, chunk in enumerate(program.chunks) if chunk.code.strip()), default=0)
    stopped = stopping_signal(ending)
    exit_code = (
        None if stopped is not None or ending.status is None else os.waitstatus_to_exitcode(ending.status)
    )
    limit = limit_of(ending, report, stopped) or died_of(ending, report, limits, stopped)
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
        complaints=ending.complaints,
        traceback=report.traceback,
        files=tuple(sorted(found.files, key=in_order)),
        skipped=found.skipped,
        seconds=ending.seconds,
        memory_mib=ending.memory_mib,
        variables=variables(ending.shared),
        world=report.world or unseen(ending, report),
        subject=report.subject,
    )
    error = error_of(program, limits, report, bare, ending)
    if not error:
        return replace(bare, world="", subject="")
    return replace(bare, error=error, frames=report.frames or beginning(report.index, program))


def in_order(file: File) -> list[tuple[int, int, str]]:
    """Where a file stands in a list: figure-2 before figure-10, folders before what is in them."""
    pieces = re.split(r"([0-9]+)", file.path)
    return [(1, int(piece), piece) if piece.isdecimal() else (0, 0, piece) for piece in pieces]


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
    known = (MEMORY, DISK, wire.PROCESSES)
    return report.kind if report.how == RAISED and report.kind in known else ""


def died_of(ending: Ending, report: Report, limits: Limits, stopped: int | None) -> str:
    """The limit that a library met which then ended the process, by its last words and by what it held."""
    if report.how or report.finished:
        return ""
    words = last_words(ending)
    if any(word in words for word in complaints.THREAD):
        return wire.PROCESSES
    full = ending.memory_mib > NEARLY * limits.memory_mib
    if any(word in words for word in complaints.MEMORY) or (stopped in FATAL and full):
        return MEMORY
    return ""


def unseen(ending: Ending, report: Report) -> str:
    """What was kept from a program that a library ended, or from one that it started."""
    if report.how == RAISED and report.headline.startswith(CHILD_FAILED):
        return world.NETWORK if any(word in last_words(ending) for word in complaints.NETWORK) else ""
    if report.how == RAISED and NOTHING_READ in report.headline:
        return world.FILE if any(word in last_words(ending) for word in complaints.FILE) else ""
    words = "" if report.how == RAISED or report.finished else last_words(ending)
    if any(word in words for word in complaints.TERMINAL):
        return world.TERMINAL
    return world.DISPLAY if any(word in words for word in complaints.DISPLAY) else ""


def last_words(ending: Ending) -> str:
    return ending.stderr[-LAST_WORDS:].lower()


def error_of(program: Program, limits: Limits, report: Report, outcome: Outcome, ending: Ending) -> str:
    """The one line; "" when all went well."""
    told = report.how == RAISED and report.headline
    place = place_of(program, report)
    if told:
        room = room_of(outcome.limit, limits) or noted(outcome, report)
        also = f" ({room})" if room else f" (and {stop_of(outcome.limit, limits)})" if outcome.limit else ""
        return f"{place}: {report.headline}{also}"
    if outcome.limit and (outcome.limit == ending.limit or outcome.signal == signal.SIGXCPU):
        return f"{place}: {stop_of(outcome.limit, limits)}"
    room = room_of(outcome.limit, limits) or noted(outcome, report)
    also = f" ({room})" if room else ""
    if outcome.signal is not None:
        return f"{place}: killed by {name_of(outcome.signal)}{also}"
    if report.how == EXITED:
        return "" if outcome.finished else exit_of(program, report, outcome.exit_code) + also
    if report.finished:
        return "" if outcome.exit_code == 0 else f"the program ended with exit code {outcome.exit_code}"
    code = outcome.exit_code
    return f"{current(program, report)}: the program ended at once with exit code {code} (os._exit){also}"


def noted(outcome: Outcome, report: Report) -> str:
    """What the sandbox lacks that the program asked for."""
    note = world.NOTES.get(outcome.world, "")
    if outcome.subject == world.GIVEN and outcome.world == world.ARGUMENTS:
        return ""
    host = outcome.subject if outcome.world == world.NETWORK else ""
    return f"it asked for {host}, and {note}" if host and host not in report.headline else note


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
        wire.PROCESSES: f"a run may have {PROCESSES} threads and processes",
    }
    return rooms.get(limit, "")
