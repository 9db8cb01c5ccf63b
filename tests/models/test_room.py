"""Whether a model finds room beside the one that is loaded, by whatever name it is asked for."""

import shutil
from pathlib import Path

import pytest

from mtchat.bundled_models import cache, hub_files
from mtchat.inference.loaders import devices
from mtchat.inference.loaders import loader as inference
from mtchat.models import hub_models, loader
from mtchat.models.estimates import estimate_file
from mtchat.models.loading import Model, ModelLoader, Report
from tests.support.engine_models import write_gguf
from tests.support.gguf_models import split_gguf
from tests.support.local_hub import hub_with
from tests.support.model_stores import put_into_hub_cache, put_ollama


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.gguf"
    write_gguf(path, hidden_size=128, num_attention_heads=2, num_key_value_heads=1, intermediate_size=128)
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stores of a user of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setattr(cache, "models_folder", lambda: tmp_path / "models")
    monkeypatch.setattr(loader, "converted_folder", lambda: tmp_path / "converted")
    monkeypatch.setattr(hub_files, "hub_cache", lambda: tmp_path / "hub")
    return tmp_path


def names_of(root: Path, weights: Path) -> list[str]:
    """Names of the same model in a folder, in parts, in Ollama, in LM Studio and in the cache of the hub."""
    folder = root / "folder"
    folder.mkdir()
    shutil.copy(weights, folder)
    parts = split_gguf(weights, root / "split", 12)
    content = weights.read_bytes()
    put_ollama(root / ".ollama" / "models", "registry.ollama.ai/library/big/latest", {"model": content})
    (root / ".lmstudio" / "models" / "a" / "b").mkdir(parents=True)
    shutil.copy(weights, root / ".lmstudio" / "models" / "a" / "b" / "it-Q8_0.gguf")
    put_into_hub_cache(root, "m-Q4_K_M.gguf", content)
    return [
        *(str(folder), str(parts[0]), str(parts[1]), "ollama:big", "ollama:Big:latest"),
        *("lmstudio:a/b", "lmstudio:a/b:Q8_0", "owner/repo", "owner/repo:q4_k_m"),
    ]


def test_what_a_model_needs_is_asked_of_its_file_by_any_name(
    root: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = estimate_file(weights, "auto", devices.machine_memory()).need.least
    names = names_of(root, weights)
    monkeypatch.setattr(loader, "free_memory", lambda: need + 1.0)
    assert {name: loader.fits_in_memory(name) for name in names} == dict.fromkeys(names, True)
    monkeypatch.setattr(loader, "free_memory", lambda: need - 1.0)
    assert {name: loader.fits_in_memory(name) for name in names} == dict.fromkeys(names, False)


def test_a_model_of_the_hub_is_downloaded_before_it_is_asked(
    root: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = hub_models.find_or_fetch
    said: list[str] = []
    monkeypatch.setattr(loader, "free_memory", lambda: 1000.0)
    with hub_with("owner/repo", {"m-Q4_K_M.gguf": weights.read_bytes()}) as (endpoint, _):
        monkeypatch.setattr(hub_models, "find_or_fetch", lambda *args: fetch(*args, endpoint))
        assert not loader.fits_in_memory("owner/repo:Q4_K_M", said.append)
    assert any(each.startswith("owner/repo:Q4_K_M: ") for each in said)


def test_the_size_of_all_parts_counts_where_a_file_cannot_be_read(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"m-0000{number}-of-00002.gguf").write_bytes(bytes(1000))
    assert loader.needed_bytes(tmp_path / "m-00001-of-00002.gguf", "auto") == 2000 * loader.HEADROOM


def test_the_download_of_the_next_model_is_reported_while_the_earlier_one_is_kept(
    weights: Path, tmp_path: Path
) -> None:
    stages: list[tuple[str, bool]] = []

    def load(name: str, report: Report) -> Model:
        return inference.load(weights, name, cache=tmp_path, report=lambda *_: None)

    def fits(name: str, report: Report) -> bool:
        report(f"downloading {name}")
        stages.append((second.current_stage, first.engine is not None))
        return True

    shelf = ModelLoader(load, fits)
    first = shelf.get("one")
    assert first.ready(60)
    second = shelf.get("two")
    assert second.ready(60)
    assert stages == [("downloading two", True)]
    shelf.close()
