"""The child in the sandbox: sets its limits and runs the chunks as one `__main__` module."""

import builtins
import fcntl
import os
import resource
import sys
from mmap import mmap
from types import CodeType, ModuleType

from mtchat.sandbox.inside import account
from mtchat.sandbox.inside.touches import AfterImport
from mtchat.sandbox.inside.wire import EXITED, FAULT_AT, REPORT_AT, REPORT_BYTES, Job

# Above what a program opens, so that its own descriptors are numbered as without us.
HIGH_FD = 240


def play(job: Job, memory: mmap, shared: int) -> None:
    """Run the program and report, then end as Python ends: threads, atexit, destructors."""
    os.setsid()
    prefer_as_victim()
    watch_faults(shared)
    main = furnish(job)
    sys.meta_path.insert(0, AfterImport(dict(zip(job.names, job.sources, strict=True))))
    for number, soft, hard in job.rlimits:
        resource.setrlimit(number, (soft, hard))
    run_chunks(job, Progress(memory, job.mark), main)


def prefer_as_victim() -> None:
    """When the host runs out of memory, the program goes first."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"500")
        os.close(fd)
    except OSError:
        return


def watch_faults(shared: int) -> None:
    """Where a segmentation fault goes on record: the part of the shared memory that starts at FAULT_AT."""
    import faulthandler

    high = fcntl.fcntl(shared, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    os.close(shared)
    os.lseek(high, FAULT_AT, os.SEEK_SET)
    faulthandler.enable(high, all_threads=False)


def furnish(job: Job) -> ModuleType:
    """An empty `__main__`, and what `site` would have set up, without the cost of its .pth files."""
    import _sitebuiltins

    home, ours = os.getcwd(), sys.path.pop(0)
    hint = "Ctrl-D (i.e. EOF)"
    vars(builtins).update(exit=_sitebuiltins.Quitter("exit", hint), quit=_sitebuiltins.Quitter("quit", hint))
    vars(builtins).update(help=_sitebuiltins._Helper())
    sys.prefix = sys.exec_prefix = job.prefix
    sys.path += [folder for folder in (*job.folders, home, ours) if folder not in sys.path]
    alone = len(job.names) == 1 and not job.names[0].startswith("<")
    script = job.names[0] if alone else "main.py"
    sys.argv[:] = [script]
    sys.orig_argv[:] = [sys.executable, script]
    module = ModuleType("__main__")
    vars(module).update(__builtins__=builtins, __file__=os.path.join(home, script))
    sys.modules["__main__"] = module
    for name in [name for name in sys.modules if name.split(".")[0] == "mtchat"]:
        del sys.modules[name]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return module


class Progress:
    """Tells the host which chunk runs, that the last one finished, and how the program failed.

    A copy that the program forked goes through the same code; only the process that began may tell.
    """

    def __init__(self, memory: mmap, mark: bytes) -> None:
        self.memory, self.mark, self.owner = memory, mark, os.getpid()
        self.out = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
        self.pipe = self.identity()

    @property
    def ours(self) -> bool:
        return os.getpid() == self.owner

    def identity(self) -> tuple[int, int]:
        status = os.fstat(self.out)
        return status.st_dev, status.st_ino

    def begin(self, index: int) -> None:
        if not self.ours:
            return
        self.memory[0:4] = (index + 1).to_bytes(4, "little")
        try:
            # The program may have closed our descriptor and opened a file of its own in its place.
            if index and self.identity() == self.pipe:
                os.write(self.out, self.mark)
        except OSError:
            return

    def finish(self) -> None:
        if self.ours:
            self.memory[4] = 1

    def tell(self, fields: list[str]) -> None:
        """Leave a report for the host, each field with its length."""
        encoded = [field.encode("utf-8", "backslashreplace") for field in fields]
        blob = b"".join(len(data).to_bytes(4, "little") + data for data in encoded)[:REPORT_BYTES]
        self.memory[REPORT_AT + 4 : REPORT_AT + 4 + len(blob)] = blob
        self.memory[REPORT_AT : REPORT_AT + 4] = len(blob).to_bytes(4, "little")


def run_chunks(job: Job, progress: Progress, main: ModuleType) -> None:
    """Run each chunk under its own name; like one module, a `from __future__` holds for what follows."""
    flags = 0
    known = dict(vars(builtins))
    try:
        for index, (name, source) in enumerate(zip(job.names, job.sources, strict=True)):
            flush()
            progress.begin(index)
            code = compile(source, name, "exec", flags, dont_inherit=True)
            if "__future__" in source:
                flags |= future_flags(code)
            exec(code, vars(main))
        flush()
        progress.finish()
    except SystemExit as leaving:
        vars(builtins).update(known)
        if progress.ours:
            progress.tell([EXITED, "", "", "", *account.told_frames(leaving, job.names, job.sources)])
        raise
    except BaseException as error:
        vars(builtins).update(known)
        fail(error, job, progress)


def fail(error: BaseException, job: Job, progress: Progress) -> None:
    """Report an error; the spare memory between soft and hard limit is for telling of a MemoryError."""
    for number, _, hard in job.rlimits:
        if number in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
            resource.setrlimit(number, (hard, hard))
    if progress.ours:
        progress.tell(account.fields(error, job.names, job.sources))
    # The report stands for Python's own traceback, not for a hook that the program put there.
    if not progress.ours or sys.excepthook is not sys.__excepthook__:
        attempt_hook(error)
    flush()
    raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 1) from None


def attempt_hook(error: BaseException) -> None:
    try:
        sys.excepthook(type(error), error, account.after_launcher(error))
    except BaseException:
        return


def future_flags(code: CodeType) -> int:
    """The `from __future__` features that a chunk was compiled with."""
    import __future__

    features = (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
    # Features that became the language share their old bits with other flags of a code object.
    return sum({flag for flag in features if flag > 0xFFFF and flag & code.co_flags})


def flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:
            continue
