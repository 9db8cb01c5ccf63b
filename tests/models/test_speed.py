"""The speed is measured once per machine and model, and again when it was measured beside other work."""

import json
from pathlib import Path

import pytest

from mtchat.bundled_models.catalogue import BundledModel, HubRepository
from mtchat.inference.cpu import kernels, weights
from mtchat.inference.loaders import cpu_loader, decode_probe
from mtchat.models import speed
from tests.support.cpu_models import SIZES, silent
from tests.support.engine_models import write_gguf

pytestmark = pytest.mark.skipif(not kernels.best_build(), reason="no kernels for this CPU")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[BundledModel, Path, Path]:
    """A random model, its file, and the folder with its repacked copy."""
    folder = tmp_path_factory.mktemp("tiny")
    path, converted = folder / "tiny.gguf", folder / "converted"
    write_gguf(path, **SIZES)
    model = BundledModel(
        *("tiny", "A tiny model", "MIT", path.name, path.stat().st_size, "ab" * 32),
        HubRepository("us/tiny", "abc"),
    )
    cpu_loader.repack_once(path, [path], model.sha256, converted, silent)
    return model, path, converted


def test_a_probe_counts_the_tokens_of_the_fastest_window(tiny: tuple[BundledModel, Path, Path]) -> None:
    model, path, converted = tiny
    ticks = [0.0, 0.0, 2.0, 2.0, 3.0, 3.0, 6.0, 6.0]
    times = iter(ticks)
    rate = decode_probe.measure_decoding(path, model.sha256, converted, 0.0, lambda: next(times))
    assert rate.tokens_per_second == decode_probe.WINDOW / 1.0


def test_a_probe_counts_the_bytes_of_all_weights_but_the_embedding(
    tiny: tuple[BundledModel, Path, Path],
) -> None:
    model, path, converted = tiny
    found = weights.read_weights(cpu_loader.repacked_path(path, model.sha256, converted))
    expected = sum(part.size for name, part in found.parts.items() if name != "embedding")
    assert found.read_per_token == expected
    assert decode_probe.measure_decoding(path, model.sha256, converted, 0.0).bytes_per_token == expected


def test_a_measurement_is_kept_for_the_machine(tiny: tuple[BundledModel, Path, Path], tmp_path: Path) -> None:
    model, path, converted = tiny
    asked: list[str] = []
    first = speed.machine_speed([(model, path)], tmp_path, converted, on_measure=asked.append)
    assert first is not None
    assert first.tokens_per_second > 0
    assert first.model == "tiny"
    record = json.loads((tmp_path / speed.RECORD).read_text())
    for entry in record.values():
        entry["busy"] = False
    (tmp_path / speed.RECORD).write_text(json.dumps(record))
    again = speed.machine_speed([(model, path)], tmp_path, converted, on_measure=asked.append)
    assert again is not None
    assert again.tokens_per_second == first.tokens_per_second
    assert speed.recorded_speed(tmp_path) == again
    assert speed.recorded_speed(tmp_path / "none") is None
    assert asked == ["tiny"]
    speed.machine_speed([(model, path)], tmp_path, converted, again=True, on_measure=asked.append)
    assert asked == ["tiny", "tiny"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": {"model": 1}}', '{"x": 3}'])
def test_a_damaged_record_is_made_again(
    tiny: tuple[BundledModel, Path, Path], tmp_path: Path, text: str
) -> None:
    model, path, converted = tiny
    (tmp_path / speed.RECORD).write_text(text)
    assert speed.machine_speed([(model, path)], tmp_path, converted) is not None


def test_a_model_that_was_never_used_is_not_measured(
    tiny: tuple[BundledModel, Path, Path], tmp_path: Path
) -> None:
    model, path, _ = tiny
    asked: list[str] = []
    assert speed.machine_speed([(model, path)], tmp_path, tmp_path / "none", on_measure=asked.append) is None
    assert speed.machine_speed([], tmp_path, tmp_path, on_measure=asked.append) is None
    assert asked == []
    assert not (tmp_path / speed.RECORD).exists()


def test_a_folder_that_cannot_be_written_only_costs_the_record(
    tiny: tuple[BundledModel, Path, Path], tmp_path: Path
) -> None:
    model, path, converted = tiny
    (tmp_path / "file").write_text("")
    assert speed.machine_speed([(model, path)], tmp_path / "file", converted) is not None
