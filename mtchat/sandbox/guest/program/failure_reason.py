"""Finds out whether the sandbox caused an error, or the code: by where it was raised, then by its message."""

import errno
import os
import resource
import stat
import sys

from mtchat.sandbox.guest.program.library_messages import (
    DISK_WORDS,
    MEMORY_WORDS,
    THREAD_WORDS,
    TYPES_BY_REASON,
    WORDS_BY_REASON,
)
from mtchat.sandbox.guest.wire import (
    ARGUMENTS,
    CHILD_FAILED,
    COMMAND,
    DISK,
    DISPLAY,
    ENVIRONMENT,
    FILE,
    GIVEN,
    INPUT,
    MEMORY,
    NETWORK,
    NOTHING_READ,
    OUTSIDE,
    PACKAGE,
    POOLS,
    PROCESSES,
    SCRATCH,
    SCRATCH_BYTES,
    SYSTEM,
    TERMINAL,
)

TYPE_CHECKING = False  # as in typing, which would cost 12 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType
    from typing import Any

ONLY_AST = 0x400
MOST_CAUSES, MOST_OUTPUT = 40, 4000
NOT_FOUND = 127  # the exit code of a shell if there is no such program
FULL = (errno.EFBIG, errno.ENOSPC, errno.EDQUOT)
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ENETDOWN)
# Errors that are the code's own, even if raised while it handles one that the sandbox caused.
OF_CODE = (NameError, SyntaxError, ZeroDivisionError, AttributeError, TypeError, AssertionError)
# Typical errors if data that was expected from the network is missing.
OF_NO_DATA = (LookupError, AttributeError, TypeError, ValueError)
NO_INPUT = "EOF when reading a line"
READERS = ("getpass", "prompt_toolkit", "readchar", "click")
PARSERS = ("argparse", "optparse", "click", "typer", "docopt", "fire", "plac_core")
WRITING = ("mkdir", "makedirs", "write_text", "write_bytes", "to_csv", "touch", "mkstemp", "symlink")
SOCKET_CALLS = ("connect", "connect_ex", "bind", "listen", "sendto", "socket", "create_connection")
SHARED_CALLS = ("SemLock", "_SemLock", "shm_open", "sem_open")
SYSTEM_FOLDERS = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr")
TTY = "/dev/tty"
NO_TERMINAL = (errno.ENOTTY, errno.ENXIO)
TERMINAL_MODULES = ("_curses", "curses", "termios")
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY")


def find_reason(error: BaseException, asked: "list[str] | None" = None) -> list[str]:
    """[reason, subject] of an error: what the sandbox lacks, or "" if the code is to blame.

    `asked` are the hosts that the program tried to reach.
    """
    if isinstance(error, SystemExit) and reason_of_exit(error)[0]:
        return reason_of_exit(error)
    for each in causes_of(error):
        found = reason_of_error(each)
        if found[0]:
            return found
    if asked and isinstance(error, OF_NO_DATA):
        return [NETWORK, asked[0]]
    return ["", ""]


def clue_for_host(error: BaseException, headline: str) -> str:
    """A reason that only the host can confirm, by what another program or a library printed; "" for none."""
    kind = type(error)
    if (kind.__module__, kind.__qualname__) == ("subprocess", "CalledProcessError"):
        return CHILD_FAILED
    return NOTHING_READ if "NoneType" in headline else ""


def find_limit(error: BaseException) -> str:
    """The limit that caused an error: MEMORY, DISK or PROCESSES; "" if none did.

    A library may not say that the work folder is full, so this is checked.
    """
    for each in causes_of(error):
        text, number = message_of(each), getattr(each, "errno", None)
        if isinstance(each, MemoryError) or is_instance_of(
            each, "MemoryError", "OutOfMemoryException", "OutOfMemoryError"
        ):
            return MEMORY
        if (isinstance(each, OSError) and number in FULL) or contains_any(text, DISK_WORDS):
            return "" if is_scratch_folder_full() else DISK
        if contains_any(text, THREAD_WORDS) or is_fork_failure(each):
            return PROCESSES
        if number == errno.ENOMEM or contains_any(text, MEMORY_WORDS):
            return MEMORY
        if type(each).__module__ == "cv2" and getattr(each, "code", 0) == -4:
            return MEMORY
    return DISK if isinstance(error, OSError | RuntimeError) and is_work_folder_full() else ""


def reason_of_error(error: BaseException) -> list[str]:
    """The same for a single error, without its causes."""
    if isinstance(error, FileNotFoundError):
        found = reason_from_message(error) if error.filename is None else ["", ""]
        return found if found[0] else reason_of_file(error)
    if isinstance(error, EOFError):
        read = str(error) == NO_INPUT or any(is_in_modules(frame, READERS) for frame in frames(error))
        return [INPUT if read else "", ""]
    if isinstance(error, ModuleNotFoundError):
        return reason_of_module(error)
    if isinstance(error, KeyError):
        return reason_of_key(error)
    if isinstance(error, IndexError) and "argv" in failing_line(error) and len(sys.argv) < 2:
        return [ARGUMENTS, ""]
    if isinstance(error, IndexError | ValueError) and has_no_input() and "stdin" in used_names(error):
        return [INPUT, ""]
    if is_instance_of(error, "BdbQuit"):
        return [INPUT, ""]
    if exit_code_of(error) == NOT_FOUND:
        return [COMMAND, first_word(getattr(error, "cmd", ""))]
    return reason_from_message(error)


def reason_from_message(error: BaseException) -> list[str]:
    text, number = message_of(error) + output_of(error), getattr(error, "errno", None)
    if number in FULL and is_scratch_folder_full():
        return [SCRATCH, ""]
    for kind, words in WORDS_BY_REASON.items():
        if contains_any(text, words) or is_instance_of(error, *TYPES_BY_REASON.get(kind, ())):
            return [kind, find_variable(str(error)) if kind == ENVIRONMENT else ""]
    if number in NO_TERMINAL or type(error).__module__ in TERMINAL_MODULES:
        return [TERMINAL, ""]
    if isinstance(error, OSError) and number in UNREACHABLE:
        return [NETWORK, ""]
    if number == errno.EROFS:
        return [OUTSIDE, path_of(error)]
    return reason_of_refusal(error) if isinstance(error, PermissionError) else ["", ""]


def reason_of_refusal(error: PermissionError) -> list[str]:
    """What Landlock forbids: shared memory, sockets, files outside the work folder."""
    if called_name(failed_call(error)) in SHARED_CALLS:
        return [POOLS, ""]
    if error.filename is None:
        return [NETWORK if is_socket_error(error) else "", ""]
    path = path_of(error)
    if not os.path.isabs(path) or path.startswith((work_folder(), scratch_folder(), TTY)):
        return [TERMINAL if path == TTY else "", ""]
    return [OUTSIDE if means_to_write(error) else "", path]


def reason_of_exit(error: SystemExit) -> list[str]:
    """A program that ends because arguments are missing: an argument parser did that, or it checked argv.

    The subject is "given" where it got arguments, but not the ones it wants.
    """
    if error.code in (0, None) or not isinstance(error.code, (int, str)):
        return ["", ""]
    passed = list(frames(error))
    if error.code == 2 and any(is_in_modules(frame, PARSERS) for frame in passed):
        return [ARGUMENTS, GIVEN if len(sys.argv) > 1 else ""]
    looked = [frame for frame in passed if frame.f_globals.get("__name__") == "__main__"]
    names = [name for frame in looked for name in frame.f_code.co_names]
    if len(sys.argv) < 2 and "argv" in names:
        return [ARGUMENTS, ""]
    return reason_from_message(error) if isinstance(error.code, str) else ["", ""]


def reason_of_file(error: FileNotFoundError) -> list[str]:
    """Whether the program tried to read a file of the user's, and not to write one or to start a program."""
    if isinstance(error.filename, int):
        return ["", ""]
    path = path_of(error)
    last = innermost_traceback(error)
    if (
        last is not None
        and is_in_modules(last.tb_frame, ("subprocess",))
        and last.tb_frame.f_code.co_name == "_execute_child"
    ):
        return [FILE if os.path.dirname(path) and not os.path.isabs(path) else COMMAND, path]
    if last is not None and last.tb_frame.f_code.co_name == "_execvpe":
        return [COMMAND, path]
    if path.split("/")[1:2] and path.startswith("/") and path.split("/")[1] in SYSTEM_FOLDERS:
        return [SYSTEM, path]
    if any(
        os.path.isabs(path) and path.startswith(each)
        for each in (sys.prefix, sys.base_prefix, scratch_folder())
    ):
        return ["", ""]
    if means_to_write(error):
        return [OUTSIDE if os.path.isabs(path) and not path.startswith(work_folder()) else "", path]
    if path == vars(sys.modules.get("__main__", sys)).get("__file__"):
        return ["", ""]
    return [FILE, path]


def reason_of_module(error: ModuleNotFoundError) -> list[str]:
    """A package that is not installed; a missing part of an installed package is the code's mistake."""
    top = (error.name or "").partition(".")[0]
    if not top:
        return ["", ""]
    if top != error.name and top in sys.modules:
        return ["", ""]
    return [PACKAGE, top]


def reason_of_key(error: KeyError) -> list[str]:
    last = innermost_traceback(error)
    if (
        last is None
        or not is_in_modules(last.tb_frame, ("os",))
        or last.tb_frame.f_code.co_name != "__getitem__"
    ):
        return ["", ""]
    key = str(error.args[0]) if error.args else ""
    return [DISPLAY if key in DISPLAYS else ENVIRONMENT, key]


def causes_of(error: BaseException) -> "Iterator[BaseException]":
    """An error and its causes, however they are attached: cause, context, argument, group."""
    rest: list[object] = [error]
    seen: list[BaseException] = []
    while rest and len(seen) < MOST_CAUSES:
        each = rest.pop(0)
        if not isinstance(each, BaseException) or any(each is one for one in seen):
            continue
        seen.append(each)
        yield each
        rest += [each.__cause__, *each.args, getattr(each, "reason", None), *getattr(each, "exceptions", ())]
        if not isinstance(each, OF_CODE):
            rest.append(each.__context__)


def message_of(error: BaseException) -> str:
    """The message of an error in lower case; "" if the program itself wrote it."""
    if is_raised_by_program(error):
        return ""
    try:
        return str(error).lower()[:4000]
    except Exception:
        return type(error).__name__.lower()


def is_raised_by_program(error: BaseException) -> bool:
    """Whether a raise statement of the program created the error, and not a library."""
    from opcode import opmap

    last = innermost_traceback(error)
    if last is None or not is_in_modules(last.tb_frame, ("__main__",)):
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == opmap["RAISE_VARARGS"]


def is_instance_of(error: BaseException, *names: str) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def is_socket_error(error: BaseException) -> bool:
    """Whether a socket, or an operation on one, was refused."""
    last = innermost_traceback(error)
    inside = last is not None and is_in_modules(last.tb_frame, ("socket", "ssl"))
    return inside or called_name(failed_call(error)) in SOCKET_CALLS


def is_fork_failure(error: BaseException) -> bool:
    """Whether a process could not be started because of the process limit."""
    return (
        isinstance(error, BlockingIOError)
        and error.errno == errno.EAGAIN
        and (
            any(is_in_modules(frame, ("subprocess", "multiprocessing")) for frame in frames(error))
            or "fork" in called_name(failed_call(error))
        )
    )


def is_work_folder_full() -> bool:
    """Whether the work folder is a file system of its own that is full."""
    return has_no_room(os.environ.get("HOME", "."), resource.getrlimit(resource.RLIMIT_FSIZE)[0])


def is_scratch_folder_full() -> bool:
    """Whether the folder of temporary files is full."""
    return has_no_room(scratch_folder(), SCRATCH_BYTES) and not is_work_folder_full()


def has_no_room(folder: str, size: int) -> bool:
    room = os.statvfs(folder)
    return room.f_blocks * room.f_frsize == size and room.f_bavail * 100 < room.f_blocks


def work_folder() -> str:
    """The work folder."""
    return os.environ.get("HOME", "/work")


def path_of(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""


def contains_any(text: str, words: "tuple[str, ...]") -> bool:
    return any(word in text for word in words)


def find_variable(text: str) -> str:
    """The name of the environment variable in a message."""
    words = [word.strip("'\"`.,:()") for word in text.split()]
    return next((word for word in words if word.isupper() and len(word) > 2), "")


def scratch_folder() -> str:
    return os.environ.get("TMPDIR", "/tmp")


def frames(error: BaseException) -> "Iterator[FrameType]":
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next


def innermost_traceback(error: BaseException) -> "TracebackType | None":
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step


def is_in_modules(frame: "FrameType", modules: "tuple[str, ...]") -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in modules


def failed_call(error: BaseException) -> "Any":
    """The expression that failed, as a syntax tree; None if its source is not available."""
    last = innermost_traceback(error)
    return None if last is None else parse_expression(last)


def parse_expression(step: "TracebackType") -> "Any":
    import linecache

    code = step.tb_frame.f_code
    places = list(code.co_positions())
    first, final, begin, end = places[step.tb_lasti // 2]
    if first is None or final is None or begin is None or end is None:
        return None
    lines = [line.encode() for line in linecache.getlines(code.co_filename)[first - 1 : final]]
    if not lines:
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    try:
        return compile(b"(" + b"".join(lines) + b")", "", "eval", ONLY_AST).body
    except (SyntaxError, ValueError):
        return None


def called_name(node: "Any") -> str:
    """The name of the function in a call."""
    function = getattr(node, "func", None)
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def means_to_write(error: BaseException) -> bool:
    """Whether the program tried to write: into a missing folder, which is its own mistake."""
    node = failed_call(error)
    if called_name(node) in WRITING:
        return True
    given = [*getattr(node, "args", ()), *(word.value for word in getattr(node, "keywords", ()))]
    modes = [getattr(each, "value", None) for each in given[:3]]
    modes += [
        frame.f_locals.get("mode") for frame in frames(error) if not is_in_modules(frame, ("__main__",))
    ]
    return any(
        isinstance(mode, str) and len(mode) < 5 and set(mode) & set("wax") and set(mode) <= set("wxabt+")
        for mode in modes
    )


def has_no_input() -> bool:
    """Whether the program has no input in place of a keyboard."""
    return stat.S_ISCHR(os.fstat(0).st_mode)


def used_names(error: BaseException) -> "list[str]":
    """The names used in the program's functions that the error passed through."""
    own = [frame for frame in frames(error) if is_in_modules(frame, ("__main__",))]
    return [name for frame in own for name in frame.f_code.co_names]


def exit_code_of(error: BaseException) -> int:
    """The exit code of another program that the error reports; 0 if none."""
    code = getattr(error, "returncode", 0)
    return code if isinstance(code, int) else 0


def first_word(command: object) -> str:
    words = command.split() if isinstance(command, str) else command if isinstance(command, list) else []
    return str(words[0]) if words else ""


def output_of(error: BaseException) -> str:
    """The output of another program that the error reports, in lower case."""
    found = [getattr(error, name, "") for name in ("stderr", "output")] if exit_code_of(error) else []
    texts = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in found]
    return "".join(text[-MOST_OUTPUT:].lower() for text in texts if isinstance(text, str))


def failing_line(error: BaseException) -> str:
    """The line of the program where an error was raised."""
    import linecache

    step, line = error.__traceback__, ""
    while step is not None:
        if is_in_modules(step.tb_frame, ("__main__",)):
            line = linecache.getline(step.tb_frame.f_code.co_filename, step.tb_lineno)
        step = step.tb_next
    return line
