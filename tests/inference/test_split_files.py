"""Split GGUF models: any part gives the whole model; missing and mixed parts are named."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.llama_cpp import library
from mtchat.inference.loaders import cpu_loader, loader, split_files
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.tensor_files import count_parameters
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import write_gguf
from tests.support.gguf_models import split_gguf

PROMPT = Prompt(messages=(Message("user", "write a loop"),))


def silent(stage: str, part: float | None) -> None:
    assert stage


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "tiny.gguf"
    write_gguf(path, hidden_size=128, num_attention_heads=2, num_key_value_heads=1, intermediate_size=128)
    return path


@pytest.fixture(scope="module")
def parts(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return split_gguf(whole, tmp_path_factory.mktemp("parts") / "tiny", 12)


def stored(path: Path) -> dict[str, bytes]:
    header = read_gguf(path)
    return {
        name: numpy.fromfile(each.file, numpy.uint8, each.size, offset=each.start).tobytes()
        for name, each in header.tensors.items()
    }


def test_each_part_gives_the_tensors_and_metadata_of_the_whole_file(whole: Path, parts: list[Path]) -> None:
    assert len(parts) >= 3
    for part in parts:
        assert stored(part) == stored(whole)
        found = read_gguf(part)
        assert {each.file for each in found.tensors.values()} == set(parts)
        assert found.metadata.items() >= read_gguf(whole).metadata.items()
    assert sum(map(count_parameters, parts)) == count_parameters(whole)


def text_of(path: Path, precision: str, cache: Path) -> str:
    engine = loader.load(path, "tiny", precision=precision, cache=cache, report=silent)
    try:
        return "".join(
            piece.text for piece in engine.complete(PROMPT, Sampling(temperature=0, max_tokens=24))
        )
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["quantised", "llama.cpp", "float32"])
@pytest.mark.parametrize("number", [0, 1])
def test_a_split_model_writes_what_the_whole_one_writes(
    whole: Path, parts: list[Path], tmp_path: Path, precision: str, number: int
) -> None:
    if precision == "quantised" and cpu_loader.unsupported_reason(whole):
        pytest.skip("no kernels for this processor")
    if precision == "llama.cpp" and library.missing_reason():
        pytest.skip("llama.cpp is not installed")
    expected = text_of(whole, precision, tmp_path / "whole")
    assert expected
    assert text_of(parts[number], precision, tmp_path / "parts") == expected


@pytest.mark.parametrize("given", [0, 1])
def test_missing_parts_are_named(parts: list[Path], tmp_path: Path, given: int) -> None:
    lost = parts[1 - given]
    for part in parts:
        if part != lost:
            shutil.copy(part, tmp_path / part.name)
    with pytest.raises(ModelError, match=f"1 of them is missing in {tmp_path}: {lost.name}; download"):
        loader.load(tmp_path / parts[given].name, "tiny", cache=tmp_path / "cache", report=silent)


Spoil = Callable[[dict[str, Any]], object]
SPOILED: list[tuple[str, Spoil, str]] = [
    ("number", lambda facts: facts.update({"split.no": 2}), "says that it is number 2"),
    ("count", lambda facts: facts.update({"split.count": 7}), "says that it is number 1 .* of 7"),
    ("no number", lambda facts: facts.pop("split.no"), "says that it is number None"),
]


@pytest.mark.parametrize(("spoil", "said"), [row[1:] for row in SPOILED], ids=[row[0] for row in SPOILED])
def test_parts_of_different_models_are_refused(
    whole: Path, parts: list[Path], tmp_path: Path, spoil: Spoil, said: str
) -> None:
    for part in parts:
        shutil.copy(part, tmp_path / part.name)
    split_gguf(whole, tmp_path / "tiny", 12, {1: spoil})
    with pytest.raises(ModelError, match=said):
        read_gguf(tmp_path / parts[0].name)


def test_a_tensor_in_two_parts_or_in_none_is_refused(whole: Path, tmp_path: Path) -> None:
    parts = split_gguf(
        whole, tmp_path / "a", 12, {0: lambda facts: facts.update({"split.tensors.count": 999})}
    )
    with pytest.raises(ModelError, match="of 999 tensors"):
        read_gguf(parts[0])
    parts = split_gguf(whole, tmp_path / "b", 12, repeat=True)
    with pytest.raises(ModelError, match="appears twice"):
        read_gguf(parts[0])


@pytest.mark.parametrize("count", [60_000, True])
def test_an_impossible_count_of_parts_is_refused(whole: Path, tmp_path: Path, count: Any) -> None:
    parts = split_gguf(whole, tmp_path / "odd", 12, {0: lambda facts: facts.update({"split.count": count})})
    with pytest.raises(ModelError, match=r"split\.count is"):
        read_gguf(parts[0])


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("m-00002-of-00003.gguf", "m-00001-of-00003.gguf", 3),
        ("a-00001-of-00002-00002-of-00002.gguf", "a-00001-of-00002-00001-of-00002.gguf", 2),
        ("m-00000-of-00003.gguf", "m-00000-of-00003.gguf", 1),
        ("m-00004-of-00003.gguf", "m-00004-of-00003.gguf", 1),
        ("m.gguf", "m.gguf", 1),
    ],
)
def test_names_of_parts(name: str, first: str, count: int) -> None:
    paths = split_files.part_paths(Path(name))
    assert (paths[0].name, len(paths)) == (first, count)


def test_a_whole_file_may_have_the_name_of_a_part(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny-00001-of-00002.gguf"
    shutil.copy(whole, path)
    assert split_files.find_files(path) == [path]
    assert len(read_gguf(path).tensors) == len(gguf.GGUFReader(whole).tensors)
