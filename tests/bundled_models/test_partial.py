"""Small files that several processes write at once, and ledgers that are damaged."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtchat.bundled_models.catalogue import BundledModel, HubRepository
from mtchat.bundled_models.partial import PartialFile, folder_lock, read_json, write_json

WRITERS, TIMES = 4, 40


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "record"

    def write(writer: int) -> None:
        for _ in range(TIMES):
            write_json(path, {"writer": str(writer) * 1000})

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    assert len(set(read_json(path)["writer"])) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["record"]


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    inside = 0

    def enter(_: int) -> int:
        nonlocal inside
        with folder_lock(tmp_path):
            inside += 1
            found = inside
            write_json(tmp_path / "x", {})
            inside -= 1
        return found

    with ThreadPoolExecutor(WRITERS) as pool:
        assert set(pool.map(enter, range(TIMES))) == {1}


@pytest.mark.parametrize("facts", [{}, {"pieces": None}, {"pieces": [1]}])
def test_a_ledger_without_pieces_has_none(tmp_path: Path, facts: dict[str, object]) -> None:
    model = BundledModel("m", "m", "", "m.gguf", 5, "0" * 64, HubRepository("o/r", "main"))
    partial = PartialFile(model, tmp_path)
    partial.path.write_bytes(b"part")
    partial.ledger.write_text(json.dumps({"sha256": "0" * 64, **facts}))
    assert partial.kept() == {}
