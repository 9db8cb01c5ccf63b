"""The system call filters, run by a small BPF machine, and their tables, checked against headers."""

import re
from pathlib import Path

import pytest

from mtchat.sandbox.policy import seccomp
from tests.support.filters import judged

EPERM, ENOSYS, EAFNOSUPPORT, EOPNOTSUPP, NO_ERROR = 0x50001, 0x50026, 0x50061, 0x5005F, 0x50000
MACHINES = list(seccomp.MACHINES)
HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"),),
}
TABLES = {
    "FORBIDDEN": seccomp.FORBIDDEN,
    "MISSING": seccomp.MISSING,
    "NETWORK": seccomp.NETWORK,
    "IDLE": seccomp.IDLE,
    "LABELS": seccomp.LABELS,
    "OF_PROCESSES": seccomp.OF_PROCESSES,
}
KINDS = {
    "alone": {},
    "on host": {"on_host": True},
    "owner": {"on_host": True, "owner": True},
}


def call(machine: str, kind: str, number: int, *arguments: int) -> int:
    code = seccomp.make_filter(machine, **KINDS[kind])
    return judged(code, seccomp.MACHINES[machine].audit, number, *arguments)


def numbers(table: str, machine: str) -> list[int]:
    column = seccomp.MACHINES[machine].column
    return [each[column] for each in TABLES[table].values() if each[column] is not None]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    """Calls that are newer than the headers are not looked at, and most must not be."""
    header = next((path for path in HEADERS[machine] if path.is_file()), None)
    if header is None:
        pytest.skip(f"no kernel header for {machine} here: {HEADERS[machine][0]}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    known = {name: int(number) for name, number in found}
    column = seccomp.MACHINES[machine].column
    here = seccomp.MACHINES[machine]
    named = {name: each[column] for table in TABLES.values() for name, each in table.items()}
    named |= {
        name: getattr(here, name)
        for name in ("clone", "ioctl", "socket", "socketpair", "prctl", "setpriority", "ioprio_set")
    }
    wrong = {name: number for name, number in named.items() if name in known and known[name] != number}
    assert not wrong
    unknown = {name for name, number in named.items() if number is not None and name not in known}
    assert len(unknown) <= 6, unknown
    assert all((named[name] or 0) > 440 for name in unknown)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_of_the_tables_is_refused_and_others_are_not(machine: str, kind: str) -> None:
    given = KINDS[kind]
    refusals = {number: EPERM for number in numbers("FORBIDDEN", machine)}
    refusals |= {number: ENOSYS for number in numbers("MISSING", machine)}
    if "on_host" in given:
        refusals |= {number: EPERM for number in numbers("NETWORK", machine)}
    if "owner" in given:
        refusals |= {number: NO_ERROR for number in numbers("IDLE", machine)}
        refusals |= {number: EOPNOTSUPP for number in numbers("LABELS", machine)}
    here = seccomp.MACHINES[machine]
    judge_by_argument = {here.socket, here.socketpair, here.ioprio_set}
    code = seccomp.make_filter(machine, **given)
    for number in range(600):
        if number in refusals or number not in judge_by_argument:
            assert judged(code, here.audit, number) == refusals.get(number, seccomp.ALLOW), number


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_is_killed_and_x32_is_missing(machine: str, kind: str) -> None:
    code = seccomp.make_filter(machine, **KINDS[kind])
    for arch in {0x40000003, 0x40000028, *(each.audit for each in seccomp.MACHINES.values())}:
        if arch != seccomp.MACHINES[machine].audit:
            assert judged(code, arch, 1) == seccomp.KILL
    for number in (0x40000000, 0x40000000 | 39, 0xFFFFFFFF):
        assert call(machine, kind, number) == ENOSYS


NEW = {"NS": 0x20000, "CGROUP": 0x2000000, "UTS": 0x4000000, "IPC": 0x8000000, "USER": 0x10000000}
NEW |= {"PID": 0x20000000, "NET": 0x40000000}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_clone_gets_no_new_namespace(machine: str, kind: str) -> None:
    clone = seccomp.MACHINES[machine].clone
    assert call(machine, kind, clone, 0x1200011) == seccomp.ALLOW  # fork
    assert call(machine, kind, clone, 0x3D0F00) == seccomp.ALLOW  # a thread
    for flag in NEW.values():
        assert call(machine, kind, clone, flag | 17) == EPERM
        assert call(machine, kind, clone, 1 << 32 | flag) == EPERM


FAMILIES = {1: seccomp.ALLOW, 2: seccomp.ALLOW, 10: seccomp.ALLOW}


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_for_the_sandbox_alone_or_not_at_all(machine: str) -> None:
    here = seccomp.MACHINES[machine]
    for family in range(48):
        expected = FAMILIES.get(family, EAFNOSUPPORT)
        assert call(machine, "alone", here.socket, family, 1) == expected
        assert call(machine, "alone", here.socket, 1 << 32 | family, 1) == expected
        assert call(machine, "on host", here.socket, family, 1) == EPERM


FLAGS = (0, 0x800, 0x80000, 0x80800)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_pair_of_sockets_is_a_local_stream_where_the_host_can_be_reached(machine: str) -> None:
    pair = seccomp.MACHINES[machine].socketpair
    for flags in FLAGS:
        for kind in (1, 2, 3, 4, 5, 10):
            assert call(machine, "alone", pair, 1, kind | flags) == seccomp.ALLOW
            expected = seccomp.ALLOW if kind == 1 else EPERM
            assert call(machine, "on host", pair, 1, kind | flags) == expected
        assert call(machine, "on host", pair, 2, 1 | flags) == EAFNOSUPPORT
    assert call(machine, "on host", pair, 1, 1 << 32 | 2) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_terminals_take_no_typed_keys(machine: str) -> None:
    ioctl = seccomp.MACHINES[machine].ioctl
    for wanted, result in {
        0x5412: EPERM,
        0x541C: EPERM,
        1 << 32 | 0x5412: EPERM,
        0x5413: seccomp.ALLOW,
    }.items():
        assert call(machine, "on host", ioctl, 0, wanted) == result


@pytest.mark.parametrize("machine", MACHINES)
def test_on_the_host_only_the_program_itself_may_be_slowed_limited_or_pinned(machine: str) -> None:
    here = seccomp.MACHINES[machine]
    for number in numbers("OF_PROCESSES", machine):
        assert call(machine, "on host", number, 0) == seccomp.ALLOW
        for pid in (1, 4321, 0xFFFFFFFF):
            assert call(machine, "on host", number, pid) == EPERM
            assert call(machine, "alone", number, pid) == seccomp.ALLOW
    for number, own in ((here.setpriority, 0), (here.ioprio_set, 1)):
        assert call(machine, "on host", number, own, 0) == seccomp.ALLOW
        assert call(machine, "on host", number, own, 4321) == EPERM
        assert call(machine, "on host", number, own + 1, 0) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_on_the_host_no_process_may_hide_others_from_the_launcher(machine: str) -> None:
    prctl = seccomp.MACHINES[machine].prctl
    assert call(machine, "on host", prctl, 36) == EPERM
    assert call(machine, "on host", prctl, 15) == seccomp.ALLOW
    assert call(machine, "alone", prctl, 36) == seccomp.ALLOW


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("machine", MACHINES)
def test_a_filter_is_short_enough_for_the_kernel(machine: str, kind: str) -> None:
    code = seccomp.make_filter(machine, **KINDS[kind])
    assert len(code) % 8 == 0
    assert len(code) // 8 <= 4096
