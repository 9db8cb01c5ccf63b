"""How many threads compute, by what a machine says of its cores and its container of its share."""

import os
from pathlib import Path

import pytest

from mtchat.inference.cpu.kernels import cpu_quota, thread_count


def machine(folder: Path, siblings: dict[int, str]) -> Path:
    for processor, text in siblings.items():
        place = folder / f"cpu{processor}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(f"{text}\n")
    return folder


def test_the_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    topology = machine(tmp_path, dict.fromkeys(mine, "0-63"))
    assert thread_count({}, topology, tmp_path / "none") == 1


def test_processors_count_each_where_the_topology_is_unknown(tmp_path: Path) -> None:
    assert thread_count({}, tmp_path, tmp_path / "none") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "count"), [("150000 100000", 2), ("100000 100000", 1), ("max 100000", None)]
)
def test_a_container_gives_a_share(tmp_path: Path, text: str, count: int | None) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text(text)
    assert cpu_quota(quota) == (count or os.cpu_count())


@pytest.mark.parametrize(("chosen", "count"), [("3", 3), ("1", 1), ("0", None), ("many", None), ("", None)])
def test_what_the_user_says_goes_first(tmp_path: Path, chosen: str, count: int | None) -> None:
    by_itself = thread_count({}, tmp_path, tmp_path / "none")
    assert thread_count({"OMP_NUM_THREADS": chosen}, tmp_path, tmp_path / "none") == (count or by_itself)
