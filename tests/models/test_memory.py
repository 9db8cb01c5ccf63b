"""The free memory is that of the machine, or what the limits of a container leave."""

import math
from pathlib import Path

import pytest

from mtchat.models.memory import available_memory, free_memory

MIB = 1 << 20


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def version_2(limit: str, used: int, cached: int, folder: str) -> dict[str, str]:
    return {
        f"{folder}/memory.max": limit + "\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\ninactive_file {cached}\nactive_file 7\n",
    }


def machine(tmp_path: Path, membership: str, cgroups: dict[str, str], available: int = 8192) -> float:
    process = write(
        tmp_path / "proc", {"meminfo": f"MemAvailable: {available} kB\n", "self/cgroup": membership}
    )
    return free_memory(process, write(tmp_path / "cgroup", cgroups))


def test_what_is_available_is_read_from_the_system(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert available_memory(tmp_path / "meminfo") == 2 * MIB
    assert available_memory(tmp_path / "none") == math.inf


def test_a_system_that_says_nothing_has_no_limit(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "proc", tmp_path / "cgroup") == math.inf


def test_file_cache_in_a_container_is_free(tmp_path: Path) -> None:
    files = version_2(str(4 * MIB), 3 * MIB, MIB, "app")
    assert machine(tmp_path, "0::/app\n", files) == 2 * MIB


def test_the_tightest_limit_counts_also_one_further_out(tmp_path: Path) -> None:
    files = version_2("max", MIB, 0, "outer/inner") | version_2(str(3 * MIB), 2 * MIB, 0, "outer")
    assert machine(tmp_path, "0::/outer/inner\n", files) == MIB


def test_a_container_that_sees_its_own_limit_at_the_top(tmp_path: Path) -> None:
    files = version_2(str(2 * MIB), MIB, 0, ".")
    assert machine(tmp_path, "0::/\n", files) == MIB


def test_a_container_over_its_limit_has_nothing_free(tmp_path: Path) -> None:
    files = version_2(str(MIB), 2 * MIB, 0, "app")
    assert machine(tmp_path, "0::/app\n", files) == 0


@pytest.mark.parametrize(("limit", "free"), [(5 * MIB, 3 * MIB), (9223372036854771712, 8 * MIB)])
def test_limits_of_version_1_count_too(tmp_path: Path, limit: int, free: int) -> None:
    files = {
        "memory/app/memory.limit_in_bytes": str(limit),
        "memory/app/memory.usage_in_bytes": str(3 * MIB),
        "memory/app/memory.stat": f"cache 1\ntotal_inactive_file {MIB}\n",
    }
    assert machine(tmp_path, "5:cpu,cpuacct:/app\n4:memory:/app\n", files) == free


def test_this_machine_has_some_memory_free() -> None:
    assert free_memory() > MIB
