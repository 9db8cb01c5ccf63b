"""Writes the system call filter of the sandbox: a deny-list as classic BPF, without libseccomp."""

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from mtchat.errors import SandboxError

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NOTHING = 0  # as an error number: the call is skipped and seems to succeed
LOAD, EQUAL, AT_LEAST, ANY_BIT, KEEP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER, ARCH, ARGUMENT = 0, 4, 16
X32_BIT = 0x40000000
NEW_NAMESPACES = 0x7E020080
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_KINDS = 1, 0xF
TIOCSTI, TIOCLINUX = 0x5412, 0x541C
PR_SET_CHILD_SUBREAPER, PRIO_PROCESS, IOPRIO_WHO_PROCESS = 36, 0, 1

# name: (x86_64, aarch64); None where the architecture has no such call.
FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "move_pages": (279, 239),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
    "nfsservctl": (180, 42),
    "lookup_dcookie": (212, 18),
}

# Programs and libraries probe for these and work without them, so they seem not to exist.
# clone3 hides its flags behind a pointer that a filter cannot follow; glibc falls back to clone.
MISSING: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}

# Without namespaces: access to the host's network, and to files outside by watching them.
NETWORK: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "inotify_add_watch": (254, 27),
}

# Landlock does not keep a program from changing the owner, mode, times and labels of its user's files.
# Libraries set modes and times in passing, so these calls seem to succeed but change nothing.
IDLE: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
# Callers expect that a file system may not support labels.
LABELS: dict[str, tuple[int | None, int | None]] = {
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}

# Calls whose first argument is a process, 0 for the caller; Landlock does not protect the host's processes.
OF_PROCESSES: dict[str, tuple[int, int]] = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}


@dataclass(frozen=True)
class Machine:
    """What the filter needs to know about an architecture; `column` is its index in the tables."""

    audit: int
    column: int
    clone: int
    ioctl: int
    socket: int
    socketpair: int
    prctl: int
    setpriority: int
    ioprio_set: int


MACHINES = {
    "x86_64": Machine(0xC000003E, 0, 56, 16, 41, 53, 157, 141, 251),
    "aarch64": Machine(0xC00000B7, 1, 220, 29, 198, 199, 167, 140, 30),
}


def make_filter(machine: str = "", *, on_host: bool = False, owner: bool = False) -> bytes:
    """The filter as an array of `struct sock_filter`; SandboxError for an architecture without a table.

    `on_host` is for a program that shares network and processes with the host: it gets no sockets except
    connected pairs, and no access to other processes. An `owner` may have files outside the sandbox, so its
    program cannot change the mode or times of any file, although the calls seem to succeed.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        raise SandboxError(f"the sandbox has no system call table for {name}, only for {', '.join(MACHINES)}")
    here = MACHINES[name]
    code = [
        *unless_equal(ARCH, here.audit, KILL),
        instruction(LOAD, NUMBER),
        instruction(AT_LEAST, X32_BIT, 0, 1),
        instruction(RETURN, ERRNO | errno.ENOSYS),
    ]
    code += refuse(FORBIDDEN, here.column, errno.EPERM) + refuse(MISSING, here.column, errno.ENOSYS)
    if owner:
        code += refuse(IDLE, here.column, NOTHING)
        code += refuse(LABELS, here.column, errno.EOPNOTSUPP)
    code += refuse_if(here.clone, 0, ANY_BIT, (NEW_NAMESPACES,), errno.EPERM)
    code += refuse_if(here.ioctl, 1, EQUAL, (TIOCSTI, TIOCLINUX), errno.EPERM)
    if on_host:
        code += restrict_host_access(here)
    else:
        code += refuse_unless(here.socket, 0, (AF_UNIX, AF_INET, AF_INET6), errno.EAFNOSUPPORT)
    code += refuse_unless(here.socketpair, 0, (AF_UNIX,), errno.EAFNOSUPPORT)
    return b"".join([*code, instruction(RETURN, ALLOW)])


def restrict_host_access(here: Machine) -> list[bytes]:
    """Deny access to the host's network and processes if no namespace does.

    A pair of datagram sockets could still send to any path. A program that becomes a subreaper could hide
    processes from the launcher.
    """
    code = refuse(NETWORK, here.column, errno.EPERM)
    code += refuse_unless(here.socketpair, 1, (SOCK_STREAM,), errno.EPERM, SOCK_KINDS)
    code += refuse_if(here.prctl, 0, EQUAL, (PR_SET_CHILD_SUBREAPER,), errno.EPERM)
    for numbers in OF_PROCESSES.values():
        code += refuse_unless(numbers[here.column], 0, (0,), errno.EPERM)
    for number, own in ((here.setpriority, PRIO_PROCESS), (here.ioprio_set, IOPRIO_WHO_PROCESS)):
        code += refuse_unless(number, 0, (own,), errno.EPERM) + refuse_unless(number, 1, (0,), errno.EPERM)
    return code


def refuse(calls: Mapping[str, tuple[int | None, int | None]], column: int, refusal: int) -> list[bytes]:
    code = []
    for numbers in calls.values():
        number = numbers[column]
        if number is not None:
            code += [instruction(EQUAL, number, 0, 1), instruction(RETURN, ERRNO | refusal)]
    return code


def instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def unless_equal(field: int, value: int, result: int) -> list[bytes]:
    return [instruction(LOAD, field), instruction(EQUAL, value, 1, 0), instruction(RETURN, result)]


def low_half(argument: int) -> int:
    """The offset of the low 32 bits of an argument; the kernel ignores the rest of these arguments."""
    return ARGUMENT + 8 * argument


def refuse_if(number: int, argument: int, test: int, values: tuple[int, ...], refusal: int) -> list[bytes]:
    """Refuse a call if its argument passes one of the tests; the number is loaded before and after."""
    body = [instruction(LOAD, low_half(argument))]
    for value in values:
        body += [instruction(test, value, 0, 1), instruction(RETURN, ERRNO | refusal)]
    return [instruction(EQUAL, number, 0, len(body) + 1), *body, instruction(LOAD, NUMBER)]


def refuse_unless(
    number: int, argument: int, values: tuple[int, ...], refusal: int, bits: int = 0xFFFFFFFF
) -> list[bytes]:
    """Refuse a call unless these bits of its argument are one of the values; the number is loaded again."""
    tests = [instruction(EQUAL, value, len(values) - index, 0) for index, value in enumerate(values)]
    kept = [instruction(KEEP_BITS, bits)] if bits != 0xFFFFFFFF else []
    body = [instruction(LOAD, low_half(argument)), *kept, *tests, instruction(RETURN, ERRNO | refusal)]
    return [instruction(EQUAL, number, 0, len(body) + 1), *body, instruction(LOAD, NUMBER)]
