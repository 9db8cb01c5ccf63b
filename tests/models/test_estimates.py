"""Estimates of memory and speed before a file is loaded, and the refusal of what cannot fit."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.llama_cpp import library
from mtchat.inference.llama_cpp.model import LlamaWeights, measure_costs
from mtchat.inference.loaders import cpu_loader
from mtchat.inference.loaders.devices import LLAMA_CPP
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.models import estimates
from mtchat.models.advice import MeasuredSpeed
from mtchat.models.estimates import (
    FileEstimate,
    check_estimate,
    check_file,
    describe_estimate,
    estimate_file,
    slow_note,
    tight_memory_note,
)
from mtchat.models.sizes import OTHER_MEMORY, MemoryNeed
from tests import ROOT
from tests.support.engine_models import write_gguf
from tests.support.gguf_models import split_gguf, write_shape

GIB = 1 << 30
TOYS = ROOT / "tests" / "toys"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_gguf(path, hidden_size=128, num_attention_heads=2, num_key_value_heads=1, intermediate_size=128)
    return path


def test_the_kernels_hold_the_repacked_weights(tiny: Path) -> None:
    if cpu_loader.unsupported_reason(tiny):
        pytest.skip("no kernels for this processor")
    found = estimate_file(tiny, "auto", 8 * GIB)
    assert found.way == estimates.KERNELS
    assert found.need.context == 160
    assert found.need.cache == 3 * 2 * 64 * 2 * 160  # layers, keys and values, width, bytes, tokens
    assert found.file_bytes < found.need.weights < 1.5 * found.file_bytes


def test_a_split_model_needs_what_the_whole_one_needs(tiny: Path, tmp_path: Path) -> None:
    part = split_gguf(tiny, tmp_path / "tiny", 12)[1]
    assert estimate_file(part, "auto", 8 * GIB) == estimate_file(tiny, "auto", 8 * GIB)


@pytest.mark.parametrize(("precision", "width"), [("float32", 4), ("bfloat16", 2)])
def test_transformers_expands_the_weights(tiny: Path, precision: str, width: int) -> None:
    found = estimate_file(tiny, precision, 8 * GIB)
    assert found.way == estimates.TRANSFORMERS
    assert found.need.weights == width * found.parameters


def test_of_a_mixture_all_experts_are_held_and_the_used_ones_are_read(tmp_path: Path) -> None:
    tensors = {
        "token_embd.weight": (100, 64),
        "output.weight": (100, 64),
        "blk.0.ffn_up_exps.weight": (8, 32, 64),
        "blk.0.ffn_up_shexp.weight": (32, 64),
        "blk.0.attn_k.weight": (16, 64),
        "blk.0.attn_v.weight": (24, 64),
        "blk.1.attn_qkv.weight": (64 + 8, 64),
    }
    facts = {"expert_count": 8, "expert_used_count": 2, "embedding_length": 64, "context_length": 1000}
    found = estimate_file(write_shape(tmp_path / "m.gguf", "novel", tensors, **facts), "auto", 8 * GIB)
    sizes = {name: 2 * int(numpy.prod(shape)) for name, shape in tensors.items()}
    assert found.way == LLAMA_CPP
    assert found.need.weights == sum(sizes.values())
    unread = sizes["token_embd.weight"] + sizes["blk.0.ffn_up_exps.weight"] * 6 / 8
    assert found.bytes_per_token == pytest.approx(sum(sizes.values()) - unread, abs=2)
    assert found.need.context == 2000
    assert found.need.cache == 2000 * 2 * (16 + 24 + 8)
    assert found.need.total == sum(sizes.values()) + found.need.cache + OTHER_MEMORY + 512 * 100 * 4


def test_a_tied_embedding_is_read_for_each_token(tmp_path: Path) -> None:
    path = write_shape(
        tmp_path / "m.gguf", "novel", {"token_embd.weight": (100, 64), "blk.0.x.weight": (64,)}
    )
    found = estimate_file(path, "auto", 8 * GIB)
    assert found.bytes_per_token == found.file_bytes


@pytest.mark.parametrize("name", ["qwen35", "granitehybrid", "lfm2", "qwen3"])
def test_the_cache_of_llama_cpp_is_estimated_as_it_is_measured(name: str) -> None:
    if library.missing_reason():
        pytest.skip("llama.cpp is not installed")
    path = TOYS / f"{name}.gguf"
    measured = measure_costs(LlamaWeights(path), 1)
    header = read_gguf(path)
    assert 0 <= measured.token - estimates.cache_bytes(header) < 64
    assert 0 <= measured.state - estimates.state_bytes(header) < 128


def test_all_memory_of_the_cache_of_llama_cpp_counts_at_the_start(tmp_path: Path) -> None:
    tensors = {"blk.0.attn_k.weight": (1 << 14, 2), "blk.0.attn_v.weight": (1 << 14, 2)}
    facts = {"embedding_length": 2, "context_length": 131072}
    path = write_shape(tmp_path / "m.gguf", "novel", tensors, **facts)
    need = estimate_file(path, "auto", 16 * GIB).need
    assert need.cache == 2 * GIB  # 64 KiB a token, 1/8 of the memory
    assert need.least == need.total > 2 * GIB
    assert need.context == 2 * GIB >> 16
    facts["context_length"] = 32768
    tensors = {"blk.0.attn_k.weight": (16, 2)}
    short = estimate_file(write_shape(tmp_path / "n.gguf", "novel", tensors, **facts), "auto", 16 * GIB)
    assert short.need.context == 32768


LARGE = FileEstimate(
    way=LLAMA_CPP,
    need=MemoryNeed(16 * GIB, 4096, GIB // 2),
    bytes_per_token=16 * GIB,
    parameters=8 * 10**9,
    file_bytes=16 * GIB,
)


def test_a_model_that_cannot_fit_is_refused_with_a_quantisation_that_would() -> None:
    with pytest.raises(ModelError) as error:
        check_estimate("it", LARGE, 8 * GIB)
    assert str(error.value) == (
        "it needs 16.8 GiB of memory (16.0 GiB for weights, the rest for a short context and the program), "
        "and this machine has 8.0 GiB; a smaller quantisation such as Q4_K_M of the same model would take "
        "about 5.3 GiB, or force it with --precision llama.cpp"
    )
    check_estimate("it", LARGE, 17 * GIB)


def test_where_no_quantisation_would_fit_the_size_that_would_is_said() -> None:
    with pytest.raises(ModelError, match=r"at most 2\.1 billion weights in Q4_K_M would fit, or"):
        check_estimate("it", LARGE, 2 * GIB)
    with pytest.raises(ModelError, match="would fit, or force it with --precision quantised"):
        check_estimate("it", replace(LARGE, way=estimates.KERNELS), 2 * GIB)


def test_a_short_context_is_enough_to_fit() -> None:
    long = replace(LARGE, need=MemoryNeed(GIB, 131072, 16 * GIB))
    check_estimate("it", long, 2 * GIB)


def test_free_memory_that_is_short_is_a_note() -> None:
    assert tight_memory_note(LARGE, 20 * GIB) == ""
    assert tight_memory_note(LARGE, 8 * GIB).startswith("it needs 16.8 GiB of memory and 8.0 GiB are free")


def test_speed_follows_from_the_bytes_read() -> None:
    speed = MeasuredSpeed("starter", 20.0, GIB, "2026-11-30")
    assert describe_estimate(LARGE, 32 * GIB, speed) == "needs 16.8 GiB, ~1.2 tokens/s"
    assert describe_estimate(LARGE, 32 * GIB, None) == "needs 16.8 GiB"
    assert describe_estimate(LARGE, 8 * GIB, speed) == "needs 16.8 GiB: too large"


def test_a_slow_model_is_a_note() -> None:
    speed = MeasuredSpeed("starter", 20.0, GIB, "2026-11-30")
    assert slow_note(LARGE, speed) == "about 1.2 tokens/s are expected on this machine"
    assert slow_note(replace(LARGE, bytes_per_token=GIB), speed) == ""
    assert slow_note(LARGE, replace(speed, busy=True)) == ""
    assert slow_note(LARGE, None) == ""


@pytest.mark.parametrize("precision", ["quantised", "llama.cpp", "float32"])
def test_what_was_asked_for_is_tried(tiny: Path, precision: str) -> None:
    with pytest.raises(ModelError, match=r"and this machine has 0\.0 GiB"):
        check_file("it", tiny, "auto", 1000, 1000, None)
    assert check_file("it", tiny, precision, 1000, 1000, None) == ()


def test_notes_come_together(tiny: Path) -> None:
    speed = MeasuredSpeed("starter", 1e-6, GIB, "2026-11-30")
    short, slow = check_file("it", tiny, "auto", 8 * GIB, 1000, speed)
    assert short.startswith("it needs 0.3 GiB of memory and 0.0 GiB are free")
    assert slow.startswith("about ")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model"])
def test_what_cannot_be_read_is_left_to_loading(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    assert check_file("it", path, "auto", 1000, 1000, None) == ()
    assert check_file("it", tmp_path / "none.gguf", "auto", 1000, 1000, None) == ()
