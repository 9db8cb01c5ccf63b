"""The program's own process: sets its limits and runs the chunks as one `__main__` module."""

import builtins
import fcntl
import os
import posix  # a program may replace the names in `os`
import resource
import sys
from mmap import mmap
from types import CodeType, ModuleType

from mtchat.sandbox.guest import source_file
from mtchat.sandbox.guest.patches.import_patches import PatchFinder
from mtchat.sandbox.guest.program import report
from mtchat.sandbox.guest.program.state import describe_state
from mtchat.sandbox.guest.wire import (
    FAULT_AT,
    HEAD,
    PROCESSORS,
    REPORT_AT,
    REPORT_BYTES,
    REST,
    STATE_AT,
    STATE_BYTES,
    VARIABLES_AT,
    VARIABLES_BYTES,
    WHOLE,
    LaunchJob,
)

TYPE_CHECKING = False  # as in typing, which would cost 12 ms
if TYPE_CHECKING:
    from typing import Any


ONLY_AST = 0x400
STREAMS = ("stdout", "stderr", "__stdout__", "__stderr__")


# Higher than a program's own descriptors, whose numbers are then as in plain Python.
HIGH_FD = 240


class ProgressReport:
    """Reports to the host: which chunk runs, whether the last one finished, the error, and the variables.

    A process that the program forks runs the same code; only the original process reports.
    """

    def __init__(self, memory: mmap, mark: bytes) -> None:
        self.memory, self.mark, self.owner = memory, mark, posix.getpid()
        self.streams = [OwnDescriptor(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)) for fd in (1, 2)]
        self.begun = False

    @property
    def ours(self) -> bool:
        return posix.getpid() == self.owner

    def begin(self, index: int) -> None:
        if not self.ours:
            return
        self.memory[0:4] = (index + 1).to_bytes(4, "little")
        if self.begun:
            self.write_mark()
        self.begun = True

    def write_mark(self) -> None:
        """Mark in both streams that the next chunk begins."""
        for stream in self.streams:
            try:
                if stream.there:
                    posix.write(stream.fd, self.mark)
            except OSError:
                continue

    def finish(self) -> None:
        if self.ours:
            self.write_mark()
            self.memory[4] = 1

    def write_error(self, fields: list[str]) -> None:
        """Report how the program failed."""
        self.write_fields(fields, REPORT_AT, REPORT_BYTES)

    def write_variables(self, fields: list[str]) -> None:
        """Report the variables."""
        self.write_fields(fields, VARIABLES_AT, VARIABLES_BYTES)

    def write_state(self, lines: list[str]) -> None:
        """Report a line on each variable."""
        self.write_fields(lines, STATE_AT, STATE_BYTES)

    def write_fields(self, fields: list[str], at: int, room: int) -> None:
        """Write a report to the shared memory, each field with its length."""
        encoded = [field.encode("utf-8", "backslashreplace") for field in fields]
        blob = b"".join(len(data).to_bytes(4, "little") + data for data in encoded)[:room]
        self.memory[at + 4 : at + 4 + len(blob)] = blob
        self.memory[at : at + 4] = len(blob).to_bytes(4, "little")

    def close(self) -> None:
        for stream in self.streams:
            if stream.there:
                posix.close(stream.fd)


class OwnDescriptor:
    """A descriptor of the sandbox; the program may close it and reuse its number."""

    def __init__(self, fd: int) -> None:
        self.fd, self.identity = fd, identity(fd)

    @property
    def there(self) -> bool:
        try:
            return identity(self.fd) == self.identity
        except OSError:
            return False


def identity(fd: int) -> tuple[int, int]:
    status = posix.fstat(fd)
    return status.st_dev, status.st_ino


def run_program(job: LaunchJob, memory: mmap, shared: int) -> None:
    """Run the program and report, then end as Python ends: threads, atexit, destructors."""
    os.setsid()
    raise_oom_score()
    watch_faults(shared)
    runner = ProgramRunner(job)
    runner.add_chunks(job.names, job.sources)
    set_limits(job)
    progress = ProgressReport(memory, job.mark)
    try:
        for index in range(len(job.names)):
            runner.step(progress, index)
        runner.finish(progress)
    except BaseException as error:
        runner.fail(error, progress)
    finally:
        runner.report_end(progress, job.with_variables, job.with_state)


def raise_oom_score() -> None:
    """Make the program the first victim if the host runs out of memory."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"500")
        os.close(fd)
    except OSError:
        return


def watch_faults(shared: int) -> int:
    """Let faulthandler write a traceback of fatal signals to the shared memory at FAULT_AT."""
    import faulthandler

    high = fcntl.fcntl(shared, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    os.close(shared)
    os.lseek(high, FAULT_AT, os.SEEK_SET)
    faulthandler.enable(high, all_threads=False)
    return high


def set_limits(job: LaunchJob) -> None:
    """Set the resource limits, and use few processors: libraries start threads for each one that they see.

    They are chosen at random, so that simultaneous runs use different ones.
    """
    if hasattr(os, "sched_setaffinity"):
        all_there = sorted(os.sched_getaffinity(0))
        few = choose_processors(all_there, int.from_bytes(os.urandom(2)))
        os.sched_setaffinity(0, few)
        if sys.version_info < (3, 13):
            os.cpu_count = lambda: len(few)  # as PYTHON_CPU_COUNT does from 3.13 on
    for number, soft, hard in job.rlimits:
        resource.setrlimit(number, (soft, hard))


def choose_processors(processors: list[int], start: int) -> list[int]:
    """PROCESSORS of some processors, beginning at index `start` and wrapping round."""
    start %= len(processors)
    return sorted((processors[start:] + processors[:start])[:PROCESSORS])


class ProgramRunner:
    """The program in this process: its module, the chunks that have run, and those still to run."""

    def __init__(self, job: LaunchJob) -> None:
        self.names: list[str] = []
        self.sources: list[str] = []
        self.source_by_name: dict[str, str] = {}
        self.requested_hosts: list[str] = []
        self.home, self.written_source = os.getcwd(), b""
        self.flags = 0
        self.rlimits = job.rlimits
        self.main = prepare_main(job)
        self.known = dict(vars(builtins))
        sys.meta_path.insert(0, PatchFinder(self.source_by_name, self.requested_hosts))

    def add_chunks(self, names: list[str], sources: list[str]) -> None:
        """Add the next chunks, so that tracebacks show their lines."""
        self.names += names
        self.sources += sources
        self.source_by_name.update(zip(names, sources, strict=True))
        if "linecache" in sys.modules:
            source_file.fill_linecache(sys.modules["linecache"].cache, dict(zip(names, sources, strict=True)))

    def forget(self, count: int) -> None:
        """Forget all but the first `count` chunks."""
        for name in self.names[count:]:
            self.source_by_name.pop(name, None)
            getattr(sys.modules.get("linecache"), "cache", {}).pop(name, None)
        del self.names[count:], self.sources[count:]

    def step(self, progress: ProgressReport, index: int, part: int = WHOLE, head: int = 0) -> None:
        """Run a chunk under its own name, or a part of it: its first `head` statements, or the rest.

        Like one module, a `from __future__` holds for what follows.
        """
        flush()
        if part != REST or not progress.begun:
            progress.begin(index)
        self.write_source(index)
        code = self.compile_chunk(index)
        if part != WHOLE:
            code = self.compile_part(index, *((0, head) if part == HEAD else (head, None)))
        exec(code, vars(self.main))

    def write_source(self, index: int) -> None:
        """Write the chunks that have begun to the source file: a turn reads the same whatever follows."""
        try:
            content = source_file.file_content(self.names[: index + 1], self.sources[: index + 1])
            if content != self.written_source:
                source_file.write_file(
                    self.home, source_file.file_name(self.names), content, self.written_source
                )
                self.written_source = content
        except Exception:  # the program may have replaced len or open
            return

    def compile_chunk(self, index: int) -> CodeType:
        source = self.sources[index]
        code: CodeType = compile(source, self.names[index], "exec", self.flags, dont_inherit=True)
        if "__future__" in source:
            self.flags |= future_flags(code)
        return code

    def compile_part(self, index: int, begin: int, end: "int | None") -> CodeType:
        """Compile some statements of a chunk, keeping their line numbers."""
        name = self.names[index]
        tree: Any = compile(self.sources[index], name, "exec", self.flags | ONLY_AST, dont_inherit=True)
        tree.body = tree.body[begin:end]
        code: CodeType = compile(tree, name, "exec", self.flags, dont_inherit=True)
        return code

    def finish(self, progress: ProgressReport) -> None:
        flush()
        progress.finish()

    def fail(self, error: BaseException, progress: ProgressReport) -> None:
        """Report an error; the memory between soft and hard limit is reserved for reporting a MemoryError."""
        vars(builtins).update(self.known)
        if isinstance(error, SystemExit):
            if progress.ours:
                progress.write_error(
                    report.describe_error(error, self.names, self.sources, self.requested_hosts)
                )
            raise error
        for number, _, hard in self.rlimits:
            if number == resource.RLIMIT_DATA:
                resource.setrlimit(number, (hard, hard))
        if progress.ours:
            progress.write_error(report.describe_error(error, self.names, self.sources, self.requested_hosts))
        # The report replaces Python's own traceback, but not an excepthook of the program.
        if not progress.ours or sys.excepthook is not sys.__excepthook__:
            call_excepthook(error, self.names)
        flush()
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from None

    def report_end(self, progress: ProgressReport, with_variables: bool, with_state: bool) -> None:
        """Report what the program has at its end; it may have broken what this needs."""
        if not progress.ours:
            return
        try:
            if with_state:  # before the variables, whose descriptions may run code of the program
                progress.write_state(describe_state(vars(self.main)))
            if with_variables:
                progress.write_variables(report.describe_variables(vars(self.main)))
        except BaseException:
            return


def prepare_main(job: LaunchJob) -> ModuleType:
    """Create an empty `__main__` and what `site` would set up, without the cost of .pth files."""
    import _sitebuiltins

    home, ours = os.getcwd(), sys.path.pop(0)
    hint = "Ctrl-D (i.e. EOF)"
    vars(builtins).update(exit=_sitebuiltins.Quitter("exit", hint), quit=_sitebuiltins.Quitter("quit", hint))
    vars(builtins).update(help=_sitebuiltins._Helper())
    sys.prefix = sys.exec_prefix = job.prefix
    sys.path += [folder for folder in (*job.folders, home, ours) if folder not in sys.path]
    name = source_file.file_name(job.names)
    sys.argv[:] = [name, *job.arguments]
    sys.orig_argv[:] = [sys.executable, name, *job.arguments]
    module = ModuleType("__main__")
    vars(module).update(__builtins__=builtins, __file__=os.path.join(home, name))
    sys.modules["__main__"] = module
    for name in [name for name in sys.modules if name.split(".")[0] == "mtchat"]:
        del sys.modules[name]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return module


def call_excepthook(error: BaseException, names: list[str]) -> None:
    try:
        sys.excepthook(type(error), error, report.skip_launcher(error, names))
    except BaseException:
        return


def future_flags(code: CodeType) -> int:
    """The flags of the `from __future__` features that a chunk was compiled with."""
    import __future__

    features = (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
    # Features that became the language share their old bits with other flags of a code object.
    return sum({flag for flag in features if flag > 0xFFFF and flag & code.co_flags})


def flush() -> None:
    for name in STREAMS:
        try:
            getattr(sys, name).flush()
        except Exception:
            continue
