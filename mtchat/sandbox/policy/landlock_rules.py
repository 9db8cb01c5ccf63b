"""Makes Landlock rulesets: what a process may still do to files once it restricts itself."""

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mtchat.errors import SandboxError

CREATE_RULESET, ADD_RULE = 444, 445
VERSION = 1  # the flag that asks for the version only
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READING = EXECUTE | READ_FILE | READ_DIR
SIGNALS = 2
FIX = "use Linux 5.13 or newer with landlock in the kernel's lsm= option, or install bubblewrap"


@dataclass(frozen=True)
class Rights:
    """The rights that the running kernel can take away: to files, to the network, beyond the process."""

    version: int
    files: int
    network: int
    scopes: int

    @property
    def writing(self) -> int:
        """The rights of a program in its own folders: everything except creating devices and sockets."""
        return self.files & ~(MAKE_CHAR | MAKE_BLOCK | MAKE_SOCK | IOCTL_DEV)

    @property
    def scopes_signals(self) -> bool:
        return bool(self.scopes & SIGNALS)


@dataclass(frozen=True)
class Rule:
    """The rights to a file, or to a folder and everything beneath it."""

    path: Path
    rights: int


@cache
def kernel_rights() -> Rights:
    """Found by asking the kernel for one more right at a time; SandboxError if it has no Landlock."""
    version = syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION))
    if version < 1:
        raise SandboxError(f"Landlock is not available ({errno.errorcode[-version]}); {FIX}")
    files = probe_rights(lambda mask: (mask, 0, 0))
    network = probe_rights(lambda mask: (files, mask, 0))
    return Rights(version, files, network, probe_rights(lambda mask: (files, network, mask)))


def probe_rights(asked: Callable[[int], tuple[int, int, int]]) -> int:
    """The longest run of bits, from the lowest, that the kernel accepts."""
    found = 0
    for bit in range(63):
        try:
            os.close(create_ruleset(*asked(found | 1 << bit)))
        except OSError:
            return found
        found |= 1 << bit
    return found


def create_ruleset(files: int, network: int, scopes: int) -> int:
    """A ruleset that takes these rights away; OSError if the kernel does not know one of them."""
    attributes = struct.pack("=QQQ", files, network, scopes)
    made = syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if made < 0:
        raise OSError(-made, os.strerror(-made))
    return made


def make_ruleset(rules: Iterable[Rule]) -> int:
    """The open descriptor of a ruleset; rules for missing paths are left out."""
    able = kernel_rights()
    made = create_ruleset(able.files, able.network, able.scopes)
    try:
        for rule in rules:
            add_rule(made, rule, able)
    except BaseException:
        os.close(made)
        raise
    return made


def add_rule(made: int, rule: Rule, able: Rights) -> None:
    try:
        there = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        wanted = rule.rights & able.files
        if not os.path.isdir(f"/proc/self/fd/{there}"):
            wanted &= OF_FILES
        attributes = struct.pack("=Qi", wanted, there)
        failed = syscall(ADD_RULE, made, ctypes.c_int(PATH_BENEATH), attributes, ctypes.c_uint32(0))
        if failed:
            raise OSError(-failed, os.strerror(-failed), str(rule.path))
    finally:
        os.close(there)


def syscall(number: int, *arguments: object) -> int:
    """A system call by its number, which is the same on all architectures; -errno if it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.syscall(ctypes.c_long(number), *arguments))
    return -ctypes.get_errno() if result < 0 else result
