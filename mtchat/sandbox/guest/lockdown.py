"""Lets a process restrict itself for good: another user, Landlock, a system call filter."""

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
    """The restrictions of a process; `ruleset` and `rules` are descriptors, -1 for none.

    `user` is the user to become, 0 for no change; a `reader` may read everything that Landlock allows,
    whoever owns it.
    """

    def __init__(self, user: int = 0, reader: int = 0, ruleset: int = -1, rules: int = -1) -> None:
        self.user, self.reader, self.ruleset, self.rules = user, reader, ruleset, rules

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(each for each in (self.ruleset, self.rules) if each >= 0)


class Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "B"


def apply(confinement: Confinement, parent: int) -> None:
    """Restrict this process for good. If any step fails, it ends: nothing runs half restricted."""
    if confinement.user:
        (become_reader if confinement.reader else become_user)(confinement.user)
    die_with_parent(parent)
    set_dumpable(1)
    call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if confinement.ruleset >= 0:
        allow_own_proc(confinement.ruleset)
        call_libc("syscall", LANDLOCK_RESTRICT_SELF, confinement.ruleset, 0)
        os.close(confinement.ruleset)
    if confinement.rules >= 0:
        install_filter(os.pread(confinement.rules, 1 << 16, 0))
        os.close(confinement.rules)


def become_reader(user: int) -> None:
    """Give up root for good, except the right to read any file, which also survives an exec."""
    call_libc("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    become_user(user)
    header = CAPABILITY_VERSION_3.to_bytes(4, sys.byteorder) + bytes(4)
    held = (1 << CAP_DAC_READ_SEARCH).to_bytes(4, sys.byteorder)
    call_libc("capset", header, 3 * held + bytes(12))
    call_libc("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0)


def allow_own_proc(ruleset: int) -> None:
    """Allow reading this process's own /proc entry, if the host shows it."""
    try:
        own = os.open(f"/proc/{os.getpid()}", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rule = (READ_FILE | READ_DIR).to_bytes(8, sys.byteorder) + own.to_bytes(4, sys.byteorder)
    call_libc("syscall", LANDLOCK_ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    os.close(own)


def die_with_parent(parent: int) -> None:
    """End with the parent. Becoming another user undoes this, so that has to happen before."""
    call_libc("prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def install_filter(rules: bytes) -> None:
    """Install a system call filter, given as an array of `struct sock_filter`."""
    kind = type("Rules", (_ctypes.Array,), {"_type_": Byte, "_length_": len(rules)})
    kept = kind.from_buffer_copy(rules)  # type: ignore[attr-defined]
    count = (len(rules) // INSTRUCTION_BYTES).to_bytes(2, sys.byteorder)
    address = _ctypes.addressof(kept).to_bytes(8, sys.byteorder)
    call_libc("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, count + bytes(6) + address, 0, 0)


def call_libc(name: str, *arguments: int | bytes) -> None:
    """Call a function of the C library; if it fails, the process prints that and ends."""
    function = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]
    if _ctypes.call_function(function, arguments) != 0:
        os.write(2, f"lockdown: {name}{arguments[:2]} was refused\n".encode())
        os._exit(70)


def prctl(option: int, value: int) -> int:
    """The system call; importing `ctypes` itself would take 2 ms more."""
    itself = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    return int(_ctypes.call_function(_ctypes.dlsym(itself, "prctl"), (option, value, 0, 0, 0)))


def set_dumpable(value: int) -> None:
    """Set whether processes of the same user may access this one through /proc/PID."""
    prctl(PR_SET_DUMPABLE, value)
    if prctl(PR_GET_DUMPABLE, 0) != value:
        os._exit(70)


def become_user(user: int) -> None:
    """Give up root for good: the kernel counts processes against any user but root."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
