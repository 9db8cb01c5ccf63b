"""What a file of weights can hold: whatever it is, a ModelError that says so, never a read outside of it."""

import os
import random
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest

from mtchat.errors import ModelError, MtchatError
from mtchat.inference.cpu import kernels, weights
from mtchat.inference.cpu.decoder import CpuModel
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import gguf_shape, gguf_weights, licences, loader, model_files
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.tensor_files import count_parameters, read_safetensors
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support.cpu_models import SIZES, silent
from tests.support.engine_models import write_gguf
from tests.support.gguf_models import Damage, rewritten

KERNELS = pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "tiny.gguf"
    write_gguf(path, "Q8_0", **SIZES | {"num_hidden_layers": 1})
    return path


@pytest.fixture(scope="module")
def engine(good: Path) -> Engine:
    return loader.load(good, "tiny", cache=good.parent / "cache", report=silent)


def fact(name: str, value: object) -> Damage:
    return lambda facts, _: facts.update({name: value})


def rows(name: str, count: int) -> Damage:
    return lambda _, tensors: tensors.update({name: numpy.resize(tensors[name], (count, 256))})


def columns(name: str, count: int) -> Damage:
    return lambda _, tensors: tensors.update({name: numpy.resize(tensors[name], (len(tensors[name]), count))})


def numbers(name: str, count: int) -> Damage:
    return lambda _, tensors: tensors.update({name: numpy.resize(tensors[name], (count,))})


def narrower(facts: dict[str, Any], tensors: dict[str, Any]) -> None:
    for name in ("blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"):
        tensors[name] = tensors[name][:128]


def gates_alone(facts: dict[str, Any], tensors: dict[str, Any]) -> None:
    tensors["blk.0.ffn_up.weight"] = tensors["blk.0.ffn_up.weight"][:128]


def wide_heads(facts: dict[str, Any], tensors: dict[str, Any]) -> None:
    facts |= {"qwen2.attention.key_length": 128, "qwen2.attention.value_length": 128}


def few_words(facts: dict[str, Any], tensors: dict[str, Any]) -> None:
    for name in ("token_embd.weight", "output.weight"):
        tensors[name] = tensors[name][:64]


MISFITS: list[tuple[Damage, str]] = [
    (rows("blk.0.attn_q.weight", 4096), r"attn_q.weight .* \(4096, 256\), but .* \(256, 256\)"),
    (rows("blk.0.attn_k.weight", 4096), r"attn_k.weight"),
    (rows("blk.0.attn_v.weight", 64), r"attn_v.weight"),
    (rows("blk.0.attn_output.weight", 4096), r"attn_output.weight"),
    (rows("blk.0.ffn_down.weight", 16), r"ffn_down.weight"),
    (columns("blk.0.ffn_down.weight", 4096), r"ffn_down.weight"),
    (columns("token_embd.weight", 4096), r"token_embd.weight"),
    (columns("blk.0.attn_q.weight", 4096), r"attn_q.weight"),
    (columns("blk.0.attn_q.weight", 64), r"attn_q.weight"),
    (numbers("blk.0.attn_norm.weight", 1), r"attn_norm.weight .* \(1,\), but .* \(256,\)"),
    (numbers("blk.0.ffn_norm.weight", 64), r"ffn_norm.weight"),
    (numbers("output_norm.weight", 64), r"output_norm.weight"),
    (numbers("blk.0.attn_q.bias", 64), r"attn_q.bias"),
    (numbers("blk.0.attn_v.bias", 64), r"attn_v.bias"),
    (numbers("blk.0.attn_q.weight", 65536), r"attn_q.weight"),
    (narrower, r"ffn_gate.weight .* \(128, 256\), but .* \(512, 256\)"),
    (gates_alone, r"ffn_up.weight"),
    (fact("qwen2.feed_forward_length", 65536), r"ffn_gate.weight"),
    (fact("qwen2.attention.head_count_kv", 1), r"attn_k.weight"),
    (wide_heads, r"attn_q.weight"),
    (few_words, r"tokens but token_embd.weight has 64 rows"),
    (rows("output.weight", 64), r"output.weight"),
    (fact("qwen2.attention.head_count", 0), r"head_count is 0"),
    (fact("qwen2.attention.head_count_kv", 0), r"head_count_kv is 0"),
    (fact("qwen2.attention.head_count_kv", 3), r"4 heads of 64 with 3 KV heads"),
    (fact("qwen2.attention.head_count", float("nan")), r"head_count is nan"),
    (fact("qwen2.attention.head_count", "four"), r"head_count is four"),
    (fact("qwen2.rope.freq_base", float("inf")), r"freq_base is inf"),
    (fact("qwen2.rope.freq_base", 0.0), r"impossible sizes"),
    (fact("qwen2.rope.freq_base", "10000"), r"freq_base is 10000"),
    (fact("qwen2.attention.layer_norm_rms_epsilon", -1.0), r"epsilon is -1"),
    (fact("qwen2.block_count", 2**32 - 1), r"block_count is 4294967295"),
    (fact("qwen2.block_count", 2**31 - 1), r"block_count is 2147483647, with 15 tensors"),
    (fact("qwen2.block_count", 0), r"block_count is 0"),
    (fact("qwen2.context_length", 0), r"context_length is 0|impossible sizes"),
    (fact("general.alignment", 0), r"alignment 0"),
    (fact("general.alignment", 48), r"alignment 48"),
    (fact("general.alignment", "x"), r"alignment x"),
    (fact("qwen2.attention.scale\n\x1b[2J", 5), r"an invalid name: 'qwen2.attention.scale.n.x1b"),
    (fact("general.architecture", "a\nb"), r"an invalid name: 'a.nb'"),
]


@pytest.mark.parametrize(("damage", "said"), MISFITS, ids=[said for _, said in MISFITS])
def test_a_file_whose_tensors_do_not_fit_its_sizes_is_refused(
    good: Path, tmp_path: Path, damage: Damage, said: str
) -> None:
    path = rewritten(good, tmp_path / "odd.gguf", damage)
    began = time.process_time()
    with pytest.raises(ModelError, match=said):
        gguf_weights.unsupported_reason(read_gguf(path))
    assert time.process_time() - began < 1
    if kernels.usable_builds():
        with pytest.raises(ModelError, match=said):
            loader.load(path, "odd", cache=tmp_path / "cache", report=silent)


def test_a_file_that_was_only_written_again_is_still_good(good: Path, tmp_path: Path) -> None:
    path = rewritten(good, tmp_path / "same.gguf", lambda facts, tensors: None)
    assert gguf_weights.unsupported_reason(read_gguf(path)) == ""


def patched(good: Path, path: Path, at: int, form: str, value: int) -> Path:
    data = bytearray(good.read_bytes())
    struct.pack_into(form, data, at, value)
    path.write_bytes(data)
    return path


def place(good: Path, name: str) -> int:
    """Where the entry of a tensor begins, after its name."""
    return good.read_bytes().index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)


TENSOR = "blk.0.attn_q.weight"
COUNTS = [
    ("a type that is not known", lambda good: place(good, TENSOR) + 20, "<I", 255, "the unknown type 255"),
    ("a type that was taken out", lambda good: place(good, TENSOR) + 20, "<I", 4, "the unknown type 4"),
    ("no dimensions", lambda good: place(good, TENSOR), "<I", 0, "has 0 dimensions"),
    ("many dimensions", lambda good: place(good, TENSOR), "<I", 2**32 - 1, "has 4294967295 dimensions"),
    ("no rows", lambda good: place(good, TENSOR) + 12, "<Q", 0, "cannot have"),
    ("half a block", lambda good: place(good, TENSOR) + 4, "<Q", 48, "cannot have"),
    ("2^63 rows", lambda good: place(good, TENSOR) + 12, "<Q", 2**63, "is truncated"),
    ("far away", lambda good: place(good, TENSOR) + 24, "<Q", 2**63, "is truncated"),
    ("2^63 tensors", lambda good: 8, "<Q", 2**63, "tensors in"),
    ("2^40 tensors", lambda good: 8, "<Q", 2**40, "tensors in"),
    ("2^63 facts", lambda good: 16, "<Q", 2**63, "not a readable GGUF file"),
    ("version 4", lambda good: 4, "<I", 4, "version 4"),
]


@pytest.mark.parametrize(
    ("at", "form", "value", "said"), [row[1:] for row in COUNTS], ids=[r[0] for r in COUNTS]
)
def test_a_table_with_odd_numbers_is_refused_at_once(
    good: Path, tmp_path: Path, at: Callable[[Path], int], form: str, value: int, said: str
) -> None:
    path = patched(good, tmp_path / "odd.gguf", at(good), form, value)
    began = time.process_time()
    for read in (read_gguf, count_parameters):
        with pytest.raises(ModelError, match=said):
            read(path)
    assert time.process_time() - began < 1


@pytest.mark.slow
def test_random_changes_of_a_table_give_only_model_errors(good: Path, tmp_path: Path) -> None:
    """Whatever is taken for good has its tensors inside the file, and parts that fit the kernels."""
    data, path, chance = good.read_bytes(), tmp_path / "odd.gguf", random.Random(11)
    end = min(each.start for each in read_gguf(good).tensors.values())
    refused = taken = 0
    for _ in range(700):
        odd = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8))):
            odd[chance.randrange(end)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        path.write_bytes(odd)
        try:
            found = read_gguf(path)
            if gguf_weights.unsupported_reason(found) == "":
                contents = gguf_weights.part_sources(found)
                placed, size = weights.plan_file(contents)
                parts = {name: placed[content] for name, content in contents.items()}
                room = numpy.broadcast_to(numpy.uint8(0), (size,))
                weights.check_weights(weights.CpuWeights("qwen2", gguf_shape.read_shape(found), parts, room))
            assert all(each.start + each.size <= len(odd) for each in found.tensors.values())
            taken += 1
        except ModelError:
            refused += 1
    assert taken > 50
    assert refused > 50


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_file_with_random_changes_is_computed_or_refused(
    good: Path, tmp_path: Path, precision: str
) -> None:
    data, path, chance = good.read_bytes(), tmp_path / "odd.gguf", random.Random(4)
    end = min(each.start for each in read_gguf(good).tensors.values())
    ends = set()
    for _ in range(40):
        odd = bytearray(data)
        odd[chance.randrange(end)] = chance.randrange(256)
        path.write_bytes(odd)
        try:
            engine = loader.load(path, "odd", precision=precision, cache=tmp_path / "cache", report=silent)
            list(engine.complete(Prompt("x = 1"), Sampling(max_tokens=2)))
            ends.add("computed")
        except MtchatError as error:
            ends.add("refused" if "\n" not in str(error) else str(error))
    assert ends == {"computed", "refused"}


STRANGE = [
    (b"", "is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
    (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
    (b"GGUF\0\0\0\x03" + bytes(40), "big-endian"),
    (b"PK\x03\x04" + bytes(40), "zip archive"),
    (b"\x1f\x8b\x08" + bytes(40), "gzip archive"),
    (b"GGML" + bytes(40), "does not start with GGUF"),
    (b"tjgg" + bytes(40), "GGML file, the format before GGUF"),
    (b"{}", "does not start with GGUF"),
]


@pytest.mark.parametrize(("content", "said"), STRANGE, ids=[said for _, said in STRANGE])
def test_a_file_that_is_something_else_is_named_as_what_it_is(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said) as found:
        loader.load(path, "odd", cache=tmp_path / "cache", report=silent)
    assert "\n" not in str(found.value)


ENDLESS: list[tuple[str, Callable[[Path], object]]] = [
    ("a pipe", lambda path: os.mkfifo(path)),
    ("a device", lambda path: path.symlink_to("/dev/zero")),
]


@pytest.mark.parametrize("make", [make for _, make in ENDLESS], ids=[name for name, _ in ENDLESS])
@pytest.mark.parametrize("name", ["odd.gguf", "folder/model.safetensors", "folder/pytorch_model.bin"])
def test_pipes_and_devices_are_not_read(tmp_path: Path, make: Callable[[Path], object], name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    make(path)
    place = path if path.suffix == ".gguf" else path.parent
    with pytest.raises(ModelError, match="not a regular file"):
        loader.load(place, "odd", cache=tmp_path / "cache", report=silent)


@pytest.mark.parametrize("make", [make for _, make in ENDLESS], ids=[name for name, _ in ENDLESS])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "modeling_codegen.py"])
def test_no_file_beside_the_weights_is_waited_for(
    tmp_path: Path, make: Callable[[Path], object], name: str
) -> None:
    table = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    (tmp_path / "model.safetensors").write_bytes(len(table).to_bytes(8, "little") + table + bytes(4))
    (tmp_path / "config.json").write_text(
        '{"model_type": "codegen", "architectures": ["CodeGenForCausalLM"]}'
    )
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    said = "not a regular file" if name.endswith(".json") else "no tokenizer in|transformer.h.0.ln_1.weight"
    with pytest.raises(ModelError, match=said):
        loader.load(tmp_path, "odd", precision="quantised", cache=tmp_path / "cache", report=silent)


@pytest.mark.parametrize("make", [make for _, make in ENDLESS], ids=[name for name, _ in ENDLESS])
def test_a_readme_that_never_ends_names_no_licence(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "README.md")
    assert licences.find_licence(tmp_path, "odd") == ""


UNFIT = [
    ({"split.count": 3, "split.no": 0}, "is one of 3 parts of a split model, but its name does not say so"),
    ({"general.type": "adapter", "adapter.type": "lora"}, "LoRA adapter"),
    ({"general.type": "mmproj"}, "image encoder"),
]


@pytest.mark.parametrize(("facts", "said"), UNFIT, ids=[said for _, said in UNFIT])
def test_a_file_that_is_no_whole_model_says_what_to_do(
    good: Path, tmp_path: Path, facts: dict[str, Any], said: str
) -> None:
    path = rewritten(good, tmp_path / "odd.gguf", lambda known, _: known.update(facts))
    with pytest.raises(ModelError, match=said):
        loader.load(path, "odd", cache=tmp_path / "cache", report=silent)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json"])
def test_a_file_of_a_folder_leads_to_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x10" + bytes(40))
    with pytest.raises(ModelError, match=f"give the folder: mtchat --model {tmp_path}"):
        loader.load(tmp_path / name, "odd", cache=tmp_path / "cache", report=silent)


def test_a_file_without_an_architecture_is_refused() -> None:
    assert "general.architecture" in model_files.unsupported_reason({})
    assert not model_files.unsupported_reason({"general.architecture": "gpt-oss", "gpt-oss.expert_count": 32})


def test_a_folder_of_gguf_files_names_one_of_them(good: Path, tmp_path: Path) -> None:
    (tmp_path / "it.gguf").write_bytes(good.read_bytes())
    with pytest.raises(ModelError, match=r"contains GGUF files; give one of them: mtchat --model .*it\.gguf"):
        loader.load(tmp_path, "it", cache=tmp_path / "cache", report=silent)


def test_a_folder_with_an_adapter_says_so(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="LoRA adapter"):
        loader.load(tmp_path, "it", cache=tmp_path / "cache", report=silent)


TABLES = [
    "[]",
    "[" * 100_000,
    '{"a": 5}',
    '{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
    '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
    '{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
    '{"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}',
    '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}',
    '{"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}}',
    '{"a": {"shape": [1], "data_offsets": [0, 4]}}',
]


@pytest.mark.parametrize("table", TABLES, ids=[each[:60] for each in TABLES])
def test_a_safetensors_table_that_is_not_true_is_refused(tmp_path: Path, table: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(table).to_bytes(8, "little") + table.encode() + bytes(16))
    for read in (read_safetensors, count_parameters):
        with pytest.raises(
            ModelError, match=r"model\.safetensors (is not a readable safetensors file|is truncated)"
        ):
            read(path)


def test_a_table_said_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        stream.write((2**62).to_bytes(8, "little"))
        stream.truncate(1 << 40)  # takes no room
    with pytest.raises(ModelError, match="a header of 4611686018427387904 bytes"):
        count_parameters(path)


@KERNELS
@pytest.mark.parametrize("id", [-1, 315, 319, 2**30])
def test_an_id_without_a_row_never_reaches_the_kernels(engine: Engine, id: int) -> None:
    rows = engine.decoder.rows
    assert rows <= 315
    with pytest.raises(ModelError, match=f"token {id} is outside the model's {rows} embedding rows"):
        engine.decoder.open([1]).forward([id])


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_token_without_a_row_is_named(good: Path, precision: str) -> None:
    engine = loader.load(good, "tiny", precision=precision, cache=good.parent / "cache", report=silent)
    engine.tokens.backend.add_tokens(["<numbers9>"])
    with pytest.raises(ModelError, match="the prompt contains '<numbers9>'"):
        list(engine.complete(Prompt("add <numbers9>"), Sampling(max_tokens=2)))
    assert list(engine.complete(Prompt("add"), Sampling(max_tokens=2)))


def part(name: str, **changes: Any) -> Callable[[weights.CpuWeights], weights.CpuWeights]:
    def change(found: weights.CpuWeights) -> weights.CpuWeights:
        return replace(found, parts=found.parts | {name: replace(found.parts[name], **changes)})

    return change


def without(name: str) -> Callable[[weights.CpuWeights], weights.CpuWeights]:
    return lambda found: replace(found, parts={key: each for key, each in found.parts.items() if key != name})


def shape(**changes: Any) -> Callable[[weights.CpuWeights], weights.CpuWeights]:
    return lambda found: replace(found, shape=replace(found.shape, **changes))


OUTSIDE = [
    part("0.query", rows=4096),
    part("0.query", columns=4096),
    part("0.query", kind=99),
    part("0.query", kind=-1),
    part("0.query", start=1 << 40),
    part("0.query", start=-64),
    part("0.query", start="0"),
    part("0.query", size=1),
    part("0.attention_norm", columns=16),
    part("0.query_bias", columns=16),
    part("norm", start=1 << 50),
    part("output", rows=16),
    without("0.down"),
    without("norm"),
    shape(layers=2),
    shape(layers=0),
    shape(vocabulary=4000),
    shape(head=80),
    shape(head=512),
    shape(kv_heads=3),
    shape(feed=1 << 30),
    shape(rotary=128),
    shape(epsilon=float("nan")),
    lambda found: replace(found, data=found.data[: found.data.size // 2]),
    lambda found: replace(found, architecture="codegen"),
]


@KERNELS
@pytest.mark.parametrize("change", OUTSIDE)
def test_parts_that_the_kernels_would_leave_are_refused(
    engine: Engine, change: Callable[[weights.CpuWeights], weights.CpuWeights]
) -> None:
    good = engine.decoder.model.weights
    weights.check_weights(good)
    with pytest.raises(ModelError, match="this model cannot run"):
        CpuModel(change(good), kernels.best_build(), 1, 64)


def test_weights_that_are_no_numbers_end_in_a_model_error(good: Path, tmp_path: Path) -> None:
    def damage(_: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors["output_norm.weight"] = numpy.full(256, numpy.nan)

    path = rewritten(good, tmp_path / "odd.gguf", damage)
    engine = loader.load(path, "odd", cache=tmp_path / "cache", report=silent)
    for sampling in (Sampling(max_tokens=3), Sampling(temperature=0.8, max_tokens=3)):
        with pytest.raises(ModelError, match="its weights are damaged; download it again"):
            list(engine.complete(Prompt("add"), sampling))
