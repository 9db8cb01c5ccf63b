"""Models of Ollama and LM Studio: found, listed with the names to type, and never changed."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from mtchat.errors import ModelError
from mtchat.inference.llama_cpp import library
from mtchat.inference.loaders import cpu_loader, loader
from mtchat.models import local_stores
from mtchat.models.hub_models import LocatedModel, ModelFolders
from mtchat.models.local_stores import list_stored
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import write_gguf
from tests.support.gguf_models import rewritten
from tests.support.model_stores import folders_in, put_into_hub_cache, put_ollama


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.gguf"
    write_gguf(path, hidden_size=128, num_attention_heads=2, num_key_value_heads=1, intermediate_size=128)
    return path


def find(name: str, folders: ModelFolders) -> LocatedModel | None:
    return local_stores.find_stored(name, folders, 1e9, lambda stage, part: None)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_mtime_ns, each.stat().st_size) for each in folder.rglob("*")}


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("registry.ollama.ai/library/qwen3/0.6b", "ollama:qwen3:0.6b"),
        ("registry.ollama.ai/library/starter/latest", "ollama:starter"),
        ("registry.ollama.ai/someone/tuned/7b", "ollama:someone/tuned:7b"),
        ("hf.co/unsloth/Qwen3-GGUF/Q4_K_M", "ollama:hf.co/unsloth/Qwen3-GGUF:q4_k_m"),
    ],
)
def test_a_model_of_ollama_is_found_by_its_name(
    tmp_path: Path, weights: Path, manifest: str, name: str
) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    put_ollama(store, manifest, {"model": weights.read_bytes(), "license": b"MIT"})
    before = snapshot(store)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert find(name, folders_in(tmp_path)) == LocatedModel(store / "blobs" / f"sha256-{digest}", digest)
    assert snapshot(store) == before


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["quantised", "llama.cpp", "float32"])
def test_a_blob_without_a_suffix_writes_what_the_file_writes(
    tmp_path: Path, weights: Path, precision: str
) -> None:
    if precision == "quantised" and cpu_loader.unsupported_reason(weights):
        pytest.skip("no kernels for this processor")
    if precision == "llama.cpp" and library.missing_reason():
        pytest.skip("llama.cpp is not installed")
    blob = tmp_path / "sha256-0123"
    shutil.copy(weights, blob)
    texts = []
    for path in (weights, blob):
        engine = loader.load(
            path,
            "it",
            precision=precision,
            cache=tmp_path / "cache" / path.stem,
            report=lambda stage, part: None,
        )
        prompt = Prompt(messages=(Message("user", "write a loop"),))
        texts.append(
            "".join(each.text for each in engine.complete(prompt, Sampling(temperature=0, max_tokens=16)))
        )
        engine.close()
    assert texts[0] == texts[1]
    assert texts[0]


def test_the_folder_of_the_environment_is_the_only_one(tmp_path: Path, weights: Path) -> None:
    put_ollama(
        tmp_path / "home" / ".ollama" / "models", "registry.ollama.ai/library/a/1b", {"model": b"GGUF"}
    )
    put_ollama(tmp_path / "big", "registry.ollama.ai/library/b/1b", {"model": weights.read_bytes()})
    found, _ = list_stored(folders_in(tmp_path, OLLAMA_MODELS=str(tmp_path / "big")))
    assert [each.name for each in found] == ["ollama:b:1b"]


def test_what_of_ollamas_settings_is_not_used_is_said(tmp_path: Path, weights: Path) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    layers = {
        "model": weights.read_bytes(),
        "template": b"{{ .Prompt }}",
        "params": b"{}",
        "system": b"Be brief.",
    }
    put_ollama(store, "registry.ollama.ai/library/a/1b", layers)
    bare = rewritten(weights, tmp_path / "bare.gguf", lambda facts, _: facts.pop("tokenizer.chat_template"))
    put_ollama(store, "registry.ollama.ai/library/b/1b", {**layers, "model": bare.read_bytes()})
    with_template, without = (
        find("ollama:a:1b", folders_in(tmp_path)),
        find("ollama:b:1b", folders_in(tmp_path)),
    )
    assert with_template is not None
    assert without is not None
    assert with_template.note == "of Ollama's settings for it, these are not used: system, params"
    assert "template (the GGUF file has none: the model is prompted as a base model)" in without.note


REFUSED: list[tuple[str, dict[str, bytes], str]] = [
    ("adapter", {"model": b"GGUF", "adapter": b"GGUF lora"}, "is a model with a LoRA adapter"),
    ("cloud", {"license": b"MIT"}, "has no GGUF weights here"),
    ("tensors", {"tensor": b"x"}, "has no GGUF weights here"),
]


@pytest.mark.parametrize(("name", "layers", "said"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_model_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, layers: dict[str, bytes], said: str
) -> None:
    put_ollama(tmp_path / "home" / ".ollama" / "models", f"registry.ollama.ai/library/{name}/1b", layers)
    with pytest.raises(ModelError, match=f"ollama:{name}:1b {said}"):
        find(f"ollama:{name}:1b", folders_in(tmp_path))
    found, _ = list_stored(folders_in(tmp_path))
    assert said in found[0].problem


def test_a_missing_and_a_damaged_blob_are_refused(tmp_path: Path) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    put_ollama(store, "registry.ollama.ai/library/a/1b", {"model": b"GGUF 1"})
    blob = next((store / "blobs").iterdir())
    blob.write_bytes(b"GGUF 2")
    with pytest.raises(ModelError, match="is damaged: its SHA-256 is not that of its name"):
        find("ollama:a:1b", folders_in(tmp_path))
    blob.unlink()
    with pytest.raises(ModelError, match="is incomplete; ollama pull a:1b downloads it again"):
        find("ollama:a:1b", folders_in(tmp_path))


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_store_of_another_user_says_so(tmp_path: Path) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    put_ollama(store, "registry.ollama.ai/library/a/1b", {"model": b"GGUF 1"})
    (store / "blobs").chmod(0)
    found, _ = list_stored(folders_in(tmp_path))
    (store / "blobs").chmod(0o755)
    assert found[0].problem == f"cannot be read by this user ({store / 'blobs'})"


BROKEN = [
    "",
    "[]",
    "{",
    '{"layers": 3}',
    '{"layers": [3]}',
    '{"layers": [{"mediaType": "application/x", "digest": "sha256:../../../x", "size": 1}]}',
    '{"layers": [{"mediaType": "application/x", "digest": "sha256:00", "size": 1}]}',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_manifest_is_left_out_with_a_word(tmp_path: Path, text: str) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    put_ollama(store, "registry.ollama.ai/library/good/1b", {"model": b"GGUF"})
    path = put_ollama(store, "registry.ollama.ai/library/bad/1b", {"model": b"GGUF"})
    path.write_text(text)
    found, broken = list_stored(folders_in(tmp_path))
    assert [each.name for each in found] == ["ollama:good:1b"]
    assert len(broken) == 1
    assert str(path) in broken[0]


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    with pytest.raises(
        ModelError, match=r"Ollama has no x:latest in .*; it has none; ollama pull x downloads it"
    ):
        find("ollama:x", folders_in(tmp_path))
    put_ollama(store, "registry.ollama.ai/library/a/1b", {"model": b"GGUF"})
    with pytest.raises(ModelError, match=r"; it has ollama:a:1b$"):
        find("ollama:x", folders_in(tmp_path))


def put_lm_studio(folder: Path, *files: str) -> None:
    for each in files:
        path = folder / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"GGUF" * 100)


@pytest.mark.parametrize("place", ["standard", "old", "pointer", "settings"])
def test_models_of_lm_studio_are_found_where_it_keeps_them(tmp_path: Path, place: str) -> None:
    home, moved = tmp_path / "home", tmp_path / "moved"
    home.mkdir()
    models = {
        "standard": home / ".lmstudio" / "models",
        "old": home / ".cache" / "lm-studio" / "models",
        "pointer": moved / "models",
        "settings": moved / "elsewhere",
    }[place]
    if place == "pointer":
        (home / ".lmstudio-home-pointer").write_text(f"{moved}\n")
    if place == "settings":
        (home / ".lmstudio").mkdir()
        (home / ".lmstudio" / "settings.json").write_text(json.dumps({"downloadsFolder": str(models)}))
    put_lm_studio(models, "qwen/Qwen3-GGUF/Qwen3-Q4_K_M.gguf", "qwen/Qwen3-GGUF/mmproj-F16.gguf")
    found, broken = list_stored(folders_in(tmp_path))
    assert [(each.name, each.store, each.bytes) for each in found] == [
        ("lmstudio:qwen/Qwen3-GGUF", "LM Studio", 400)
    ]
    assert not broken
    assert find(found[0].name, folders_in(tmp_path)) == LocatedModel(
        models / "qwen" / "Qwen3-GGUF" / "Qwen3-Q4_K_M.gguf",
        "",
        "Q4_K_M (0.0 GB) of lmstudio:qwen/Qwen3-GGUF",
    )


def test_several_files_of_one_repository_have_names_of_their_own(tmp_path: Path) -> None:
    models = tmp_path / "home" / ".lmstudio" / "models"
    names = ["m-Q4_K_M.gguf", "m-Q8_0.gguf", "n-Q8_0.gguf", "m-F16-00001-of-00002.gguf"]
    put_lm_studio(models, *(f"a/b/{each}" for each in names))
    found, _ = list_stored(folders_in(tmp_path))
    usable = {each.name: each.path.name for each in found if not each.problem}
    assert usable == {
        "lmstudio:a/b:Q4_K_M": "m-Q4_K_M.gguf",
        "lmstudio:a/b:m-Q8_0.gguf": "m-Q8_0.gguf",
        "lmstudio:a/b:n-Q8_0.gguf": "n-Q8_0.gguf",
    }
    assert [each.problem for each in found if each.problem] == ["lacks 1 of 2 parts"]
    for name, file in usable.items():
        located = find(name, folders_in(tmp_path))
        assert located is not None
        assert Path(located.source).name == file
    assert find("lmstudio:a/b/n-Q8_0.gguf", folders_in(tmp_path)) == find(
        "lmstudio:a/b:n-Q8_0.gguf", folders_in(tmp_path)
    )
    with pytest.raises(ModelError, match="lmstudio:a/b has no Q5_K; it has"):
        find("lmstudio:a/b:Q5_K", folders_in(tmp_path))
    with pytest.raises(ModelError, match=r"LM Studio has no x/y in .*; it has lmstudio:a/b:F16"):
        find("lmstudio:x/y", folders_in(tmp_path))


def test_models_of_the_hubs_cache_are_listed(tmp_path: Path) -> None:
    put_into_hub_cache(tmp_path, "m-Q4_K_M.gguf", b"GGUF")
    found, _ = list_stored(folders_in(tmp_path))
    assert [(each.name, each.store) for each in found] == [("owner/repo", "hub cache")]
    put_into_hub_cache(tmp_path, "model.safetensors", b"1")
    found, _ = list_stored(folders_in(tmp_path))
    assert [each.name for each in found] == ["owner/repo:Q4_K_M"]


def test_other_names_are_none_of_a_store(tmp_path: Path) -> None:
    assert find("starter", folders_in(tmp_path)) is None
    assert list_stored(folders_in(tmp_path)) == ([], [])


def test_a_manifest_without_a_model_is_left_out(tmp_path: Path, weights: Path) -> None:
    store = tmp_path / "home" / ".ollama" / "models"
    put_ollama(store, "registry.ollama.ai/library/odd", {"model": weights.read_bytes()})
    put_ollama(store, "registry.ollama.ai/library/even/1b", {"model": weights.read_bytes()})
    assert [each.name for each in list_stored(folders_in(tmp_path))[0]] == ["ollama:even:1b"]
