"""Copies of models in the cache: closed to others, made again where they are not right, gone when old."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels, kv_snapshot
from mtchat.inference.cpu.weights import BYTES, TABLE
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader, model_cache
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support.cpu_models import SIZES
from tests.support.engine_models import write_gguf

pytestmark = pytest.mark.skipif(
    not kernels.usable_builds(), reason="no kernels were built for this processor"
)
TEXT = "def add(a, b):\n    return"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of one shape."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        write_gguf(folder / f"{seed}.gguf", "Q8_0", **SIZES | {"num_hidden_layers": 1, "seed": seed})
    return folder / "1.gguf", folder / "2.gguf"


@pytest.fixture
def file(files: tuple[Path, Path], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(files[0].read_bytes())
    return path


def opened(file: Path, said: list[str], precision: str = "auto") -> Engine:
    cache = file.parent / "cache"
    return loader.load(
        file, "tiny", precision=precision, cache=cache, report=lambda stage, _: said.append(stage)
    )


def text(engine: Engine) -> str:
    return "".join(piece.text for piece in engine.complete(Prompt(TEXT), Sampling(max_tokens=12)))


def copy(file: Path) -> Path:
    (found,) = model_cache.list_copies(file.parent / "cache")
    return found


def tokens(folder: Path) -> Path:
    return folder / f"tokens-{model_cache.TOKENS_FORMAT}"


def halved(path: Path) -> None:
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)


def changed(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "the weights are cut": ("auto", lambda folder: halved(folder / BYTES)),
    "the weights are gone": ("auto", lambda folder: (folder / BYTES).unlink()),
    "the weights are empty": ("auto", lambda folder: (folder / BYTES).write_bytes(b"")),
    "the table is torn": ("auto", lambda folder: halved(folder / TABLE)),
    "the table is no object": ("auto", lambda folder: (folder / TABLE).write_text("[]")),
    "the table says another shape": (
        "auto",
        lambda folder: changed(folder / TABLE, lambda table: table.update(shape={"head": 64})),
    ),
    "the vocabulary is torn": ("auto", lambda folder: halved(tokens(folder) / "tokenizer.json")),
    "what is said of it is gone": ("auto", lambda folder: (tokens(folder) / "about.json").unlink()),
    "converted weights are cut": ("float32", lambda folder: halved(folder / "model.safetensors")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_copy_is_made_again_and_it_is_said(file: Path, name: str) -> None:
    precision, damage = DAMAGES[name]
    expected = text(opened(file, [], precision))
    damage(copy(file))
    said: list[str] = []
    engine = opened(file, said, precision)
    assert text(engine) == expected
    assert "the converted copy is damaged; converting the model again" in said
    assert "its converted copy was damaged and has been recreated" in engine.card.notes
    said.clear()
    engine = opened(file, said, precision)
    assert said == ["loading the model"]
    assert not any("damaged" in note for note in engine.card.notes)


def test_a_copy_that_was_rounded_before_its_type_had_a_kind_is_made_again(file: Path) -> None:
    opened(file, [])
    changed(copy(file) / TABLE, lambda table: table.update(rounded=["F16"]))
    said: list[str] = []
    opened(file, said)
    assert "the converted copy was made by another version; converting the model again" in said
    said.clear()
    opened(file, said)
    assert said == ["loading the model"]


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_copy_made_by_other_rules_is_made_again(file: Path, precision: str) -> None:
    opened(file, [], precision)
    changed(copy(file) / model_cache.RECORD, lambda made: made.update(rules=0, versions="transformers 1.0"))
    said: list[str] = []
    opened(file, said, precision)
    assert "the converted copy was made by another version; converting the model again" in said


def test_the_copy_of_what_a_file_held_before_goes(file: Path, files: tuple[Path, Path]) -> None:
    opened(file, []).close()
    opened(file, [], "float32")
    first = {each.name for each in model_cache.list_copies(file.parent / "cache")}
    file.write_bytes(files[1].read_bytes())
    opened(file, [])
    second = {each.name for each in model_cache.list_copies(file.parent / "cache")}
    assert len(first) == len(second) == 2
    assert len(first & second) == 1  # that in float32, until it is asked for
    opened(file, [], "float32")
    assert not first & {each.name for each in model_cache.list_copies(file.parent / "cache")}


def test_a_tokenizer_beside_a_file_does_not_speak_for_it(file: Path, files: tuple[Path, Path]) -> None:
    plain = opened(files[0], [], "auto").encode(Prompt(TEXT))
    (file.parent / "tokenizer.json").write_text(
        '{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}}}'
    )
    (file.parent / "chat_template.jinja").write_text("other")
    (file.parent / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    for precision in ("auto", "float32"):
        assert opened(file, [], precision).encode(Prompt(TEXT)) == plain


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def test_a_tokenizer_of_older_rules_is_made_again(file: Path) -> None:
    """Format 1 split the text of some vocabularies in other ways."""
    expected = opened(file, []).encode(Prompt(TEXT))
    (folder,) = (each for each in model_cache.list_copies(file.parent / "cache"))
    older = folder / "tokens-1"
    shutil.copytree(tokens(folder), older, dirs_exist_ok=True)
    recipe = json.loads((older / model_cache.RECORD).read_text())
    (older / model_cache.RECORD).write_text(json.dumps({**recipe, "rules": 1}))
    made = json.loads((older / "tokenizer.json").read_text())
    made["model"]["merges"] = []
    (older / "tokenizer.json").write_text(json.dumps(made))
    assert opened(file, []).encode(Prompt(TEXT)) == expected


def test_what_a_model_has_seen_is_closed_to_others(file: Path) -> None:
    cache = file.parent / "cache"
    cache.mkdir(mode=0o755)
    engine = opened(file, [])
    text(engine)
    engine.close()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    found = modes(cache)
    assert {mode for name, mode in found.items() if name.endswith((".npz", ".json"))} == {0o600}
    assert any(name.endswith(model_cache.SNAPSHOT) for name in found)


WRONG: dict[str, Callable[[dict[str, numpy.ndarray]], object]] = {  # type: ignore[type-arg]
    "an id without a row": lambda kept: kept["ids"].__setitem__(0, 315),
    "a negative id": lambda kept: kept["ids"].__setitem__(0, -2),
    "a parent that comes later": lambda kept: kept["parents"].__setitem__(0, 3),
    "a parent that is nowhere": lambda kept: kept["parents"].__setitem__(1, -9),
    "fewer ids": lambda kept: kept.update(ids=kept["ids"][:-1]),
    "fewer keys": lambda kept: kept.update(keys=kept["keys"][:, :-1]),
    "wider keys": lambda kept: kept.update(keys=kept["keys"].repeat(2, axis=2)),
    "other numbers": lambda kept: kept.update(values=kept["values"].astype(float)),
    "no list": lambda kept: kept.update(ids=kept["ids"].reshape(1, -1)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_memory_that_does_not_fit_is_passed_over(file: Path, name: str) -> None:
    engine = opened(file, [])
    expected = text(engine)
    engine.close()
    seen = next((file.parent / "cache").glob(f"*{model_cache.SNAPSHOT}"))
    with numpy.load(seen) as stored:
        kept = dict(stored)
    WRONG[name](kept)
    with seen.open("wb") as stream:
        numpy.savez(stream, **kept)
    again = opened(file, [])
    assert kv_snapshot.restore(again.decoder, seen) == len(again.decoder.tree) == 0
    assert text(again) == expected


def test_removing_a_model_takes_its_copies_and_what_it_has_seen(file: Path) -> None:
    cache = file.parent / "cache"
    engine = opened(file, [])
    text(engine)
    engine.close()
    opened(file, [], "float32")
    content = engine.card.fingerprint
    assert model_cache.remove_copies(cache, "0" * 64) == 0
    assert model_cache.remove_copies(cache, content) > 1000
    assert [each.name for each in cache.iterdir()] == ["fingerprints.json"]


def test_what_a_model_has_seen_beside_adapters_goes_with_it(tmp_path: Path) -> None:
    copies = [tmp_path / f"{'a' * 16}-native-{number}" for number in (1, 10)]
    for each in copies:
        (each / "inside").mkdir(parents=True)
        for fingerprint in ("", "b" * 64, "c" * 64):
            model_cache.snapshot_path(each, fingerprint).write_bytes(bytes(5000))
    assert model_cache.discard(copies[0]) >= 3 * 5000
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {copies[1].name, *(each.name for each in model_cache.list_snapshots(copies[1]))}
    assert len(left) == 4


def test_the_newest_of_what_was_seen_beside_adapters_stay(tmp_path: Path) -> None:
    copy = tmp_path / f"{'a' * 16}-native-1"
    for number in range(7):
        seen = model_cache.snapshot_path(copy, f"{number}" * 64)
        seen.write_bytes(b"x")
        os.utime(seen, (1000 - number, 1000 - number))
    alone = model_cache.snapshot_path(copy)
    alone.write_bytes(b"x")
    os.utime(alone, (1, 1))
    model_cache.drop_old_snapshots(copy)
    newest = {model_cache.snapshot_path(copy, f"{number}" * 64) for number in range(4)}
    assert set(model_cache.list_snapshots(copy)) == {alone, *newest}


def test_the_copies_of_a_file_go_without_it(file: Path) -> None:
    cache = file.parent / "cache"
    opened(file, [])
    assert model_cache.remove_copies_of(cache, file.parent) == 0
    assert model_cache.remove_copies_of(cache, file) > 1000
    assert not list(model_cache.list_copies(cache))
    assert file.exists()


def test_a_copy_that_is_being_made_is_not_removed(file: Path) -> None:
    engine = opened(file, [])
    with (
        model_cache.lock_folder(copy(file), lambda *_: None),
        pytest.raises(ModelError, match="another mtchat is converting this model"),
    ):
        model_cache.remove_copies(file.parent / "cache", engine.card.fingerprint)
    assert copy(file).is_dir()
