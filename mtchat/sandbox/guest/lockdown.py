"""Shuts a process in by its own hand: another user, Landlock, a system call filter; for good."""

import _ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 8, 22, 38, 47
SECCOMP_MODE_FILTER, PR_CAP_AMBIENT_RAISE = 2, 2
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 445, 446
PATH_BENEATH, READ_FILE, READ_DIR = 1, 4, 8
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
INSTRUCTION_BYTES = 8


class Confinement:
    """What to shut a process in with; -1 for a descriptor that there is none of.

    `user` is whom to become, 0 for no one else; a `reader` may read what Landlock lets it, whoever owns it.
    """

    def __init__(self, user: int = 0, reader: int = 0, ruleset: int = -1, rules: int = -1) -> None:
        self.user, self.reader, self.ruleset, self.rules = user, reader, ruleset, rules

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(each for each in (self.ruleset, self.rules) if each >= 0)


class Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "B"


def apply(fence: Confinement, parent: int) -> None:
    """Restrict this process for good. Where any of it fails, it ends: nothing runs half shut in."""
    if fence.user:
        (become_reader if fence.reader else become_user)(fence.user)
    die_with_parent(parent)
    set_dumpable(1)
    call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if fence.ruleset >= 0:
        allow_own_proc(fence.ruleset)
        call_libc("syscall", LANDLOCK_RESTRICT_SELF, fence.ruleset, 0)
        os.close(fence.ruleset)
    if fence.rules >= 0:
        install_filter(os.pread(fence.rules, 1 << 16, 0))
        os.close(fence.rules)


def become_reader(user: int) -> None:
    """Give up root for good but for the one right to read any file, also after an exec."""
    call_libc("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    become_user(user)
    header = CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
    held = (1 << CAP_DAC_READ_SEARCH).to_bytes(4, sys.byteorder)
    call_libc("capset", header, 3 * held + bytes(12))
    call_libc("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)


def allow_own_proc(ruleset: int) -> None:
    """Reading what /proc tells of this process, which it may know; a host may hide even that."""
    try:
        own = os.open(f"/proc/{os.getpid()}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rule = (READ_FILE | READ_DIR).to_bytes(8, sys.byteorder) + own.to_bytes(4, sys.byteorder)
    call_libc("syscall", LANDLOCK_ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    os.close(own)


def die_with_parent(parent: int) -> None:
    """Becoming another user undoes this, so it comes after."""
    call_libc("prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def install_filter(rules: bytes) -> None:
    """Hand a filter to the kernel: its length in instructions, and where it lies in memory."""
    kind = type("Rules", (_ctypes.Array,), {"_type_": Byte, "_length_": len(rules)})
    kept = kind.from_buffer_copy(rules)  # type: ignore[attr-defined]
    count = (len(rules) // INSTRUCTION_BYTES).to_bytes(2, sys.byteorder)
    address = _ctypes.addressof(kept).to_bytes(8, sys.byteorder)
    call_libc("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, count + bytes(6) + address, 0, 0)


def call_libc(name: str, *arguments: int | bytes) -> None:
    """A function of the C library; when it refuses, the process says so and ends."""
    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]
    if _ctypes.call_function(function, arguments) != 0:
        os.write(2, f"lockdown: {name}{arguments[:2]} was refused\n".encode())
        os._exit(70)


def prctl(option: int, value: int) -> int:
    """The system call; the `ctypes` module itself would cost 2 ms more."""
    itself = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    return int(_ctypes.call_function(_ctypes.dlsym(itself, "prctl"), (option, value, 0, 0, 0)))


def set_dumpable(value: int) -> None:
    """Whether /proc/PID is open to processes of the same user."""
    prctl(PR_SET_DUMPABLE, value)
    if prctl(PR_GET_DUMPABLE, 0) != value:
        os._exit(70)


def become_user(user: int) -> None:
    """Give up root for good: the kernel counts processes against any user but root."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
