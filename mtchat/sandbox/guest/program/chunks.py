"""The program's own process: sets its limits and runs the chunks as one `__main__` module."""

import builtins
import fcntl
import os
import posix  # what a program makes of the names in `os` does not reach us
import resource
import sys
from mmap import mmap
from types import CodeType, ModuleType

from mtchat.sandbox.guest import source_file
from mtchat.sandbox.guest.patches.import_patches import PatchFinder
from mtchat.sandbox.guest.program import report
from mtchat.sandbox.guest.wire import (
    FAULT_AT,
    HEAD,
    PROCESSORS,
    REPORT_AT,
    REPORT_BYTES,
    REST,
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


# Above what a program opens, so that its own descriptors are numbered as without us.
HIGH_FD = 240


class ProgressReport:
    """Which chunk runs, that the last one finished, how the program failed, and its variables.

    A copy that the program forked goes through the same code; only the process that began may tell.
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
            self.part()
        self.begun = True

    def part(self) -> None:
        """What is printed from here on is a part of its own."""
        for stream in self.streams:
            try:
                if stream.there:
                    posix.write(stream.fd, self.mark)
            except OSError:
                continue

    def finish(self) -> None:
        if self.ours:
            self.part()
            self.memory[4] = 1

    def tell(self, fields: list[str]) -> None:
        """How the program failed."""
        self.leave(fields, REPORT_AT, REPORT_BYTES)

    def show(self, fields: list[str]) -> None:
        """The variables."""
        self.leave(fields, VARIABLES_AT, VARIABLES_BYTES)

    def leave(self, fields: list[str], at: int, room: int) -> None:
        """Leave a report for the host, each field with its length."""
        encoded = [field.encode("utf-8", "backslashreplace") for field in fields]
        blob = b"".join(len(data).to_bytes(4, "little") + data for data in encoded)[:room]
        self.memory[at + 4 : at + 4 + len(blob)] = blob
        self.memory[at : at + 4] = len(blob).to_bytes(4, "little")

    def close(self) -> None:
        for stream in self.streams:
            if stream.there:
                posix.close(stream.fd)


class OwnDescriptor:
    """A descriptor of ours; the program may close it and open a file of its own in its place."""

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
    player = ProgramRunner(job)
    player.add_chunks(job.names, job.sources)
    set_limits(job)
    progress = ProgressReport(memory, job.mark)
    try:
        for index in range(len(job.names)):
            player.step(progress, index)
        player.finish(progress)
    except BaseException as error:
        player.fail(error, progress)
    finally:
        if job.look:
            player.look(progress)


def raise_oom_score() -> None:
    """When the host runs out of memory, the program goes first."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"500")
        os.close(fd)
    except OSError:
        return


def watch_faults(shared: int) -> int:
    """Where a segmentation fault goes on record: the part of the shared memory that starts at FAULT_AT."""
    import faulthandler

    high = fcntl.fcntl(shared, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    os.close(shared)
    os.lseek(high, FAULT_AT, os.SEEK_SET)
    faulthandler.enable(high, all_threads=False)
    return high


def set_limits(job: LaunchJob) -> None:
    """Set the limits, and keep to a few processors: a library starts threads for each one that it sees.

    They are others for each run, so that many runs at once are spread over all.
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
    """So many of some processors as a run is to see, from one of them on, round the end."""
    start %= len(processors)
    return sorted((processors[start:] + processors[:start])[:PROCESSORS])


class ProgramRunner:
    """The program in this process: its module, and the chunks that have been run or are to be."""

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
        """The chunks that come next, so that every traceback shows their lines."""
        self.names += names
        self.sources += sources
        self.source_by_name.update(zip(names, sources, strict=True))
        if "linecache" in sys.modules:
            source_file.fill_linecache(sys.modules["linecache"].cache, dict(zip(names, sources, strict=True)))

    def forget(self, count: int) -> None:
        """Only the first chunks have been run."""
        for name in self.names[count:]:
            self.source_by_name.pop(name, None)
            getattr(sys.modules.get("linecache"), "cache", {}).pop(name, None)
        del self.names[count:], self.sources[count:]

    def step(self, progress: ProgressReport, index: int, part: int = WHOLE, head: int = 0) -> None:
        """Run a chunk under its own name, or a part of it: its first `head` statements or what follows them.

        Like one module, a `from __future__` holds for what follows.
        """
        flush()
        if part != REST or not progress.begun:
            progress.begin(index)
        self.write_source(index)
        code = self.compiled(index)
        if part != WHOLE:
            code = self.cut(index, *((0, head) if part == HEAD else (head, None)))
        exec(code, vars(self.main))

    def write_source(self, index: int) -> None:
        """The program's own file holds what has begun, so that a turn reads the same whatever comes after."""
        try:
            content = source_file.content_of(self.names[: index + 1], self.sources[: index + 1])
            if content != self.written_source:
                source_file.write_file(
                    self.home, source_file.name_of(self.names), content, self.written_source
                )
                self.written_source = content
        except Exception:  # of a program that has put something else in the place of len or open
            return

    def compiled(self, index: int) -> CodeType:
        source = self.sources[index]
        code: CodeType = compile(source, self.names[index], "exec", self.flags, dont_inherit=True)
        if "__future__" in source:
            self.flags |= future_flags(code)
        return code

    def cut(self, index: int, begin: int, end: "int | None") -> CodeType:
        """Some statements of a chunk, with their own line numbers."""
        name = self.names[index]
        tree: Any = compile(self.sources[index], name, "exec", self.flags | ONLY_AST, dont_inherit=True)
        tree.body = tree.body[begin:end]
        code: CodeType = compile(tree, name, "exec", self.flags, dont_inherit=True)
        return code

    def finish(self, progress: ProgressReport) -> None:
        flush()
        progress.finish()

    def fail(self, error: BaseException, progress: ProgressReport) -> None:
        """Report an error; the spare memory between soft and hard limit is for telling of a MemoryError."""
        vars(builtins).update(self.known)
        if isinstance(error, SystemExit):
            if progress.ours:
                progress.tell(report.describe_error(error, self.names, self.sources, self.requested_hosts))
            raise error
        for number, _, hard in self.rlimits:
            if number == resource.RLIMIT_DATA:
                resource.setrlimit(number, (hard, hard))
        if progress.ours:
            progress.tell(report.describe_error(error, self.names, self.sources, self.requested_hosts))
        # The report stands for Python's own traceback, not for a hook that the program put there.
        if not progress.ours or sys.excepthook is not sys.__excepthook__:
            call_excepthook(error, self.names)
        flush()
        raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from None

    def look(self, progress: ProgressReport) -> None:
        """Tell the host of the variables, whatever the program did to the means of telling."""
        if not progress.ours:
            return
        try:
            progress.show(report.describe_variables(vars(self.main)))
        except BaseException:
            return


def prepare_main(job: LaunchJob) -> ModuleType:
    """An empty `__main__`, and what `site` would have set up, without the cost of its .pth files."""
    import _sitebuiltins

    home, ours = os.getcwd(), sys.path.pop(0)
    hint = "Ctrl-D (i.e. EOF)"
    vars(builtins).update(exit=_sitebuiltins.Quitter("exit", hint), quit=_sitebuiltins.Quitter("quit", hint))
    vars(builtins).update(help=_sitebuiltins._Helper())
    sys.prefix = sys.exec_prefix = job.prefix
    sys.path += [folder for folder in (*job.folders, home, ours) if folder not in sys.path]
    name = source_file.name_of(job.names)
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
    """The `from __future__` features that a chunk was compiled with."""
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
