"""Turns how a run ended into an outcome, with its error as one line that names turn and line.

The report in the shared memory is the program's own word: bounded, checked, and never trusted.
"""

import os
import re
import signal
from dataclasses import dataclass, replace

from mtchat.sandbox.guest import wire
from mtchat.sandbox.guest.program import library_messages
from mtchat.sandbox.guest.program.report import LINE_CHARS, TRACEBACK_LINES, clip, limit_lines
from mtchat.sandbox.guest.wire import (
    DISK,
    EXITED,
    FAULT_AT,
    FAULT_BYTES,
    HEADER_FIELDS,
    MEMORY,
    RAISED,
    REPORT_AT,
    REPORT_BYTES,
    STATE_AT,
    STATE_BYTES,
    VARIABLES_AT,
    VARIABLES_BYTES,
)
from mtchat.sandbox.host.collect import CollectedFiles
from mtchat.sandbox.host.monitor import INTERRUPTED
from mtchat.sandbox.host.supervise import RunResult
from mtchat.session.outcome import GIVEN, NOTES, File, Frame, Outcome, Reason, Variable
from mtchat.session.program import Location, Program
from mtchat.session.settings import PROCESSES, Limits
from mtchat.session.source import split_lines as lines_of

MAX_FIELDS, MAX_VARIABLE_FIELDS, MAX_WORD = 200, 1200, 400
MAX_NAME = 100
FAULT_LINE = re.compile(r'  File "(.*)", line (\d+) in (.*)')


@dataclass(frozen=True)
class GuestReport:
    """How the program says it ended: `how` is raised, exited or "" (unknown); `index` is the last chunk that
    ran, None if none began."""

    index: int | None = None
    finished: bool = False
    how: str = ""
    limit: str = ""
    headline: str = ""
    traceback: str = ""
    reason: str = ""
    subject: str = ""
    frames: tuple[Frame, ...] = ()


def read_report(shared: bytes, program: Program) -> GuestReport:
    """The report in the shared memory; invalid parts are left out."""
    began = int.from_bytes(shared[0:4], "little")
    index = min(began, len(program.chunks)) - 1 if began and program.chunks else None
    words = read_fields(shared)
    how, kind, headline, traceback, what, subject = (words + [""] * HEADER_FIELDS)[:HEADER_FIELDS]
    frames = tuple(
        frame for group in group_fields(words[HEADER_FIELDS:]) if (frame := parse_frame(group, program))
    )
    if not how:
        frames, traceback = read_fault(shared, program)
    if how == RAISED and not frames:
        frames = first_line_frame(index, program)
    known = (*NOTES, wire.CHILD_FAILED, wire.NOTHING_READ)
    return GuestReport(
        index,
        shared[4:5] == b"\x01" and index in (None, len(program.chunks) - 1),
        how,
        kind,
        one_line(headline, MAX_WORD),
        limit_lines(traceback.splitlines(), TRACEBACK_LINES + 1),
        what if what in known else "",
        one_line(subject, MAX_WORD),
        frames,
    )


def first_line_frame(index: int | None, program: Program) -> tuple[Frame, ...]:
    """The best guess at a location if only the chunk is known: its first line."""
    return (Frame(Location(program.chunks[index].turn, 1), "<module>"),) if index is not None else ()


def read_variables(shared: bytes) -> tuple[Variable, ...]:
    """The variables that the program described, if it was asked to."""
    words = read_fields(shared, VARIABLES_AT, VARIABLES_BYTES, MAX_VARIABLE_FIELDS)
    return tuple(Variable(*(one_line(word, MAX_WORD) for word in group)) for group in group_fields(words))


def read_state(shared: bytes) -> tuple[str, ...]:
    """A line on each variable as the program described it, if it was asked to."""
    return tuple(one_line(line, MAX_WORD) for line in read_fields(shared, STATE_AT, STATE_BYTES))


def read_fields(
    shared: bytes, at: int = REPORT_AT, room: int = REPORT_BYTES, most: int = MAX_FIELDS
) -> list[str]:
    size = min(int.from_bytes(shared[at : at + 4], "little"), room)
    blob = shared[at + 4 : at + 4 + size]
    found: list[str] = []
    while len(blob) >= 4 and len(found) < most:
        length = int.from_bytes(blob[:4], "little")
        found.append(blob[4 : 4 + length].decode("utf-8", "replace"))
        blob = blob[4 + length :]
    return found


def one_line(text: str, most: int) -> str:
    """A text from the program in one line of at most `most` characters."""
    return clip(" ".join(text.split()), most)


def group_fields(words: list[str]) -> list[list[str]]:
    return [words[at : at + 4] for at in range(0, len(words) - 3, 4)]


def parse_frame(words: list[str], program: Program) -> Frame | None:
    """A frame from chunk, line, function and text; None if the numbers are invalid."""
    index, line, function, text = words
    if not (index.isdecimal() and line.isdecimal() and len(index) < 10 and len(line) < 10):
        return None
    if int(index) >= len(program.chunks):
        return None
    chunk = program.chunks[int(index)]
    if int(line) > len(lines_of(chunk.code)) + 1:
        return None
    return Frame(Location(chunk.turn, int(line)), one_line(function, MAX_NAME), text[:LINE_CHARS])


def read_fault(shared: bytes, program: Program) -> tuple[tuple[Frame, ...], str]:
    """The frames, outermost first, and the traceback that faulthandler wrote before a fatal signal."""
    text = shared[FAULT_AT : FAULT_AT + FAULT_BYTES].split(b"\0", 1)[0].decode("utf-8", "replace")
    chunks = {name: number for number, name in enumerate(chunk_names(program))}
    frames, lines = [], []
    for match in reversed(list(FAULT_LINE.finditer(text))):
        name, line, function = match.groups()
        if name not in chunks:
            continue
        chunk = program.chunks[chunks[name]]
        source = lines_of(chunk.code)[int(line) - 1 : int(line)] if len(line) < 10 else []
        shown = source[0].strip()[:240] if source else ""
        function = one_line(function, MAX_NAME)
        frames.append(Frame(Location(chunk.turn, int(line[:9])), function, shown))
        lines.append(f'  File "{name}", line {line}, in {function}\n' + (f"    {shown}\n" if shown else ""))
    head = "Traceback (most recent call last):\n" if lines else ""
    return tuple(frames), head + "".join(lines)


def chunk_names(program: Program) -> list[str]:
    """The file name under which each chunk is compiled: "<turn 3>", or the file's own name."""
    return [program.name or f"<{program.label(chunk.turn)}>" for chunk in program.chunks]


LAST_WORDS = 4000  # characters of stderr that show why a library ended the process
NEARLY = 0.9  # an abort above this share of the memory limit is attributed to the limit
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


def make_outcome(
    program: Program, limits: Limits, result: RunResult, tier: str, collected: CollectedFiles
) -> Outcome:
    """The outcome of a run that began; the user may also have stopped the copying of its files."""
    if collected.stopped:
        result = replace(result, limit=result.limit or INTERRUPTED)
    report = read_report(result.shared, program)
    last = max((number for number, chunk in enumerate(program.chunks) if chunk.code.strip()), default=0)
    stopped = stopping_signal(result)
    exit_code = (
        None if stopped is not None or result.status is None else os.waitstatus_to_exitcode(result.status)
    )
    limit = find_limit(result, report, stopped) or guess_limit(result, report, limits, stopped)
    missing = find_missing(result, report)
    ended_early = report.how == EXITED and exit_code == 0 and (report.index or 0) >= last
    outcome = Outcome(
        tier=tier,
        exit_code=exit_code,
        signal=stopped,
        reason=Reason(limit or missing),
        finished=report.finished or ended_early,
        stdout="".join(result.stdout),
        stderr=result.stderr,
        truncated=result.truncated,
        outputs=result.stdout,
        error_outputs=result.error_outputs,
        traceback=report.traceback,
        files=tuple(sorted(collected.files, key=natural_order)),
        skipped=collected.skipped,
        seconds=result.seconds,
        memory_mib=result.memory_mib,
        variables=read_variables(result.shared),
        state=read_state(result.shared),
        subject=report.subject,
    )
    error = error_line(program, limits, report, outcome, result, missing)
    if not error:
        return replace(outcome, reason=Reason(limit), subject="")
    return replace(outcome, error=error, frames=report.frames or first_line_frame(report.index, program))


def natural_order(file: File) -> list[tuple[int, int, str]]:
    """A sort key for files: figure-2 before figure-10, and folders before their content."""
    pieces = re.split(r"([0-9]+)", file.path)
    return [(1, int(piece), piece) if piece.isdecimal() else (0, 0, piece) for piece in pieces]


def stopping_signal(result: RunResult) -> int | None:
    """The signal that ended the program; SIGKILL if mtchat stopped it."""
    if result.status is None:
        return int(signal.SIGKILL)
    if not os.WIFSIGNALED(result.status):
        return None
    return int(signal.SIGKILL) if result.limit else os.WTERMSIG(result.status)


def find_limit(result: RunResult, report: GuestReport, stopped: int | None) -> str:
    if result.limit:
        return result.limit
    if stopped == signal.SIGXCPU:
        return "cpu"
    known = (MEMORY, DISK, wire.PROCESSES)
    return report.limit if report.how == RAISED and report.limit in known else ""


def guess_limit(result: RunResult, report: GuestReport, limits: Limits, stopped: int | None) -> str:
    """The limit at which a library ended the process, guessed from stderr and the memory used."""
    if report.how or report.finished:
        return ""
    words = stderr_tail(result)
    if contains_any(words, library_messages.THREAD_WORDS):
        return wire.PROCESSES
    full = result.memory_mib > NEARLY * limits.memory_mib
    if contains_any(words, library_messages.MEMORY_WORDS) or (stopped in FATAL and full):
        return MEMORY
    return ""


def find_missing(result: RunResult, report: GuestReport) -> Reason:
    """What the sandbox lacks that the program asked for: its own word, or what a library has printed."""
    words = stderr_tail(result)
    if report.reason == wire.CHILD_FAILED:
        return Reason.NETWORK if contains_any(words, library_messages.NETWORK_WORDS) else Reason.NONE
    if report.reason == wire.NOTHING_READ:
        return Reason.FILE if contains_any(words, library_messages.FILE_WORDS) else Reason.NONE
    if report.reason or report.how == RAISED or report.finished:
        return Reason(report.reason)
    if contains_any(words, library_messages.TERMINAL_WORDS):
        return Reason.TERMINAL
    return Reason.DISPLAY if contains_any(words, library_messages.DISPLAY_WORDS) else Reason.NONE


def contains_any(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def stderr_tail(result: RunResult) -> str:
    return result.stderr[-LAST_WORDS:].lower()


def error_line(
    program: Program,
    limits: Limits,
    report: GuestReport,
    outcome: Outcome,
    result: RunResult,
    missing: Reason,
) -> str:
    """The error in one line; "" if all went well."""
    has_headline = report.how == RAISED and report.headline
    location = locate(program, report)
    if has_headline:
        explanation = describe_limit(outcome.limit, limits) or missing_note(missing, report)
        suffix = (
            f" ({explanation})"
            if explanation
            else f" (and {describe_stop(outcome.limit, limits)})"
            if outcome.limit
            else ""
        )
        return f"{location}: {report.headline}{suffix}"
    if outcome.limit and (outcome.limit == result.limit or outcome.signal == signal.SIGXCPU):
        return f"{location}: {describe_stop(outcome.limit, limits)}"
    explanation = describe_limit(outcome.limit, limits) or missing_note(missing, report)
    suffix = f" ({explanation})" if explanation else ""
    if outcome.signal is not None:
        return f"{location}: killed by {signal_name(outcome.signal)}{suffix}"
    if report.how == EXITED:
        return "" if outcome.finished else explain_exit(program, report, outcome.exit_code) + suffix
    if report.finished:
        return "" if outcome.exit_code == 0 else f"the program ended with exit code {outcome.exit_code}"
    ending = f"the program ended at once with exit code {outcome.exit_code} (os._exit)"
    return f"{current_chunk(program, report)}: {ending}{suffix}"


def missing_note(missing: Reason, report: GuestReport) -> str:
    """A note on what the sandbox lacks that the program asked for."""
    note = NOTES.get(missing, "")
    if report.subject == GIVEN and missing is Reason.ARGUMENTS:
        return ""
    host = report.subject if missing is Reason.NETWORK else ""
    return f"it asked for {host}, and {note}" if host and host not in report.headline else note


def current_chunk(program: Program, report: GuestReport) -> str:
    """The label of the chunk that ran when the run ended."""
    return program.label(program.chunks[report.index].turn) if report.index is not None else "the program"


def locate(program: Program, report: GuestReport) -> str:
    """Turn and line: the turn where the error surfaced at top level, the innermost line in that turn."""
    if not report.frames:
        return current_chunk(program, report)
    turn = report.frames[0].place.turn
    line = [frame.place.line for frame in report.frames if frame.place.turn == turn][-1]
    return f"{program.label(turn)}, line {line}"


def explain_exit(program: Program, report: GuestReport, code: int | None) -> str:
    if code != 0 or report.index is None:
        return f"{current_chunk(program, report)}: the program ended with exit code {code}"
    rest = [chunk.turn for chunk in program.chunks[report.index + 1 :] if chunk.code.strip()]
    missed = f"turn {rest[0]}" if len(rest) == 1 else f"turns {rest[0]}-{rest[-1]}"
    return f"{current_chunk(program, report)} ended the program; {missed} did not run"


def signal_name(number: int) -> str:
    """The name of a signal, with what it usually means."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    return known.name + (f" ({SIGNALS[known]})" if known in SIGNALS else "")


def describe_stop(limit: str, limits: Limits) -> str:
    """What to say about a run that was stopped."""
    return {
        "seconds": f"stopped after {limits.seconds:g} s",
        "cpu": "stopped after too much CPU time",
        "memory": f"stopped at {limits.memory_mib} MiB of memory",
        "output": f"stopped after {limits.output_kib} KiB of output",
        "disk": f"stopped at {limits.disk_mib} MiB of files",
        "processes": f"stopped for starting more than {PROCESSES} processes and threads",
        INTERRUPTED: "interrupted",
    }[limit]


def describe_limit(limit: str, limits: Limits) -> str:
    """The limit behind an error that the program itself met."""
    explanations = {
        MEMORY: f"a run may take {limits.memory_mib} MiB of memory",
        DISK: f"the work folder holds {limits.disk_mib} MiB",
        wire.PROCESSES: f"a run may have {PROCESSES} threads and processes",
    }
    return explanations.get(limit, "")
