"""Keys of a GGUF file that change what is computed: used, or refused by their names; never left out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy
import pytest
import torch

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import gguf_metadata, gguf_weights, loader
from mtchat.inference.loaders.gguf_reader import GgufHeader, read_gguf
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support import gguf_models
from tests.support.cpu_models import SIZES, silent
from tests.support.engine_models import write_gguf
from tests.support.gguf_models import rewritten


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "tiny.gguf"
    write_gguf(path, "Q8_0", **SIZES | {"num_hidden_layers": 1})
    return path


# keys, and what is said of them; some of them the kernels compute, and transformers does not
ODD: list[tuple[dict[str, Any], str, bool]] = [
    ({"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": 4.0}, "rope.scaling.type = yarn", True),
    ({"qwen2.rope.scaling.factor": 4.0}, "rope.scaling.factor = 4", True),
    ({"qwen2.rope.scaling.attn_factor": 1.2}, "rope.scaling.attn_factor = 1.2", True),
    ({"qwen2.rope.dimension_count": 32}, "rope.dimension_count = 32", True),
    ({"qwen2.rope.dimension_sections": [16, 24, 24]}, "rope.dimension_sections, an array", False),
    ({"qwen2.attention.value_length": 128}, "attention.value_length = 128", False),
    ({"qwen2.attention.sliding_window": 64}, "attention.sliding_window = 64", False),
    ({"qwen2.attention.scale": 0.5}, "attention.scale = 0.5", False),
    ({"qwen2.attention.causal": False}, "attention.causal = False", False),
    ({"qwen2.final_logit_softcapping": 30.0}, "final_logit_softcapping = 30", False),
    ({"qwen2.logit_scale": 0.5}, "logit_scale = 0.5", False),
    ({"qwen2.attention.layer_norm_epsilon": 1e-3}, "attention.layer_norm_epsilon = 0.001", False),
    ({"qwen2.expert_count": 8}, "expert_count = 8", False),
    ({"qwen2.something_new": 1}, "something_new = 1", False),
]


def test_weights_of_a_type_without_a_kind_are_refused_by_its_name(good: Path) -> None:
    header = read_gguf(good)
    name = "blk.0.ffn_down.weight"
    odd = replace(header.tensors[name], kind=gguf.GGMLQuantizationType.Q8_K)
    changed = replace(header, tensors=header.tensors | {name: odd})
    assert gguf_weights.unsupported_reason(header) == ""
    assert gguf_weights.unsupported_reason(changed) == "weights of the type Q8_K"


@pytest.mark.parametrize(("facts", "said", "ours"), ODD, ids=[said for _, said, _ in ODD])
def test_a_key_that_is_not_computed_with_is_refused_by_its_name(
    good: Path, tmp_path: Path, facts: dict[str, Any], said: str, ours: bool
) -> None:
    path = rewritten(good, tmp_path / "odd.gguf", lambda known, _: known.update(facts))
    reason = gguf_weights.unsupported_reason(read_gguf(path))
    assert (reason == "") == ours
    assert ours or f"qwen2.{said}" in reason
    with pytest.raises(ModelError, match=f"has qwen2.{said}, which mtchat does not support"):
        loader.load(path, "odd", precision="float32", cache=tmp_path / "cache", report=silent)


SAME: list[dict[str, Any]] = [
    {"qwen2.rope.scaling.type": "none"},
    {"qwen2.rope.scaling.type": "linear", "qwen2.rope.scaling.factor": 1.0},
    {"qwen2.rope.scaling.original_context_length": 700, "qwen2.rope.scaling.finetuned": False},
    {"qwen2.rope.dimension_count": 64, "qwen2.attention.key_length": 64, "qwen2.attention.value_length": 64},
    {"qwen2.attention.sliding_window": 700},
    {"qwen2.attention.causal": True, "qwen2.expert_count": 0, "qwen2.vocab_size": 315},
]


@pytest.mark.parametrize("facts", SAME, ids=[" ".join(each) for each in SAME])
def test_a_key_that_changes_nothing_is_let_be(good: Path, tmp_path: Path, facts: dict[str, Any]) -> None:
    path = rewritten(good, tmp_path / "same.gguf", lambda known, _: known.update(facts))
    assert gguf_weights.unsupported_reason(read_gguf(path)) == ""


@pytest.mark.parametrize("name", ["rope_freqs.weight", "blk.0.attn_q_norm.weight", "blk.0.attn_output.bias"])
def test_a_tensor_that_is_not_used_is_refused_by_its_name(good: Path, tmp_path: Path, name: str) -> None:
    values = numpy.linspace(1, 8, 32)
    path = rewritten(good, tmp_path / "odd.gguf", lambda _, tensors: tensors.update({name: values}))
    assert gguf_weights.unsupported_reason(read_gguf(path)) == f"the tensor {name}"
    with pytest.raises(ModelError, match=f"has the tensor {name}, which mtchat does not support"):
        loader.load(path, "odd", precision="float32", cache=tmp_path / "cache", report=silent)


def header(name: str, told: dict[str, Any], lists: tuple[str, ...] = ()) -> GgufHeader:
    facts = {"general.architecture": name} | {f"{name}.{key}": value for key, value in told.items()}
    return GgufHeader(facts, {}, {f"{name}.{key}": 3 for key in lists})


def config(name: str, **changes: Any) -> Any:
    return fast_import.import_transformers().CONFIG_MAPPING[name](**changes)


LLAMA = {
    "context_length": 4096,
    "embedding_length": 4096,
    "block_count": 32,
    "attention.head_count": 32,
    "attention.head_count_kv": 8,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "rope.freq_base": 500000.0,
    "rope.dimension_count": 128,
}
LLAMA_CONFIG = {
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}
GEMMA = {
    "context_length": 32768,
    "embedding_length": 1152,
    "block_count": 26,
    "attention.head_count": 4,
    "attention.head_count_kv": 1,
    "attention.key_length": 256,
    "attention.value_length": 256,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "attention.sliding_window": 512,
    "rope.freq_base": 1e6,
}
GEMMA_CONFIG = {
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "hidden_size": 1152,
    "num_hidden_layers": 26,
    "max_position_embeddings": 32768,
    "sliding_window": 512,
}
STARCODER = {
    "context_length": 16384,
    "embedding_length": 3072,
    "block_count": 30,
    "attention.head_count": 24,
    "attention.head_count_kv": 2,
    "attention.layer_norm_epsilon": 1e-5,
}
PHI = {
    "context_length": 4096,
    "embedding_length": 3072,
    "block_count": 32,
    "attention.head_count": 32,
    "attention.head_count_kv": 32,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 10000.0,
}
TOLD: list[tuple[str, dict[str, Any], str, dict[str, Any], str]] = [
    ("llama", LLAMA, "llama", LLAMA_CONFIG, ""),
    ("llama", LLAMA | {"rope.freq_base": 10000.0}, "llama", LLAMA_CONFIG, "rope.freq_base = 10000"),
    (
        "llama",
        LLAMA | {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
        "llama",
        LLAMA_CONFIG,
        "type = linear",
    ),
    ("llama", LLAMA | {"attention.head_count_kv": 4}, "llama", LLAMA_CONFIG, "head_count_kv = 4"),
    (
        "llama",
        LLAMA | {"rope.freq_base": 10000.0},
        "mistral",
        {"max_position_embeddings": 8192},
        "no llama.attention.sliding_window",
    ),
    ("gemma3", GEMMA, "gemma3_text", GEMMA_CONFIG, ""),
    ("gemma3", GEMMA | {"rope.scaling.factor": 8.0}, "gemma3_text", GEMMA_CONFIG, "rope.scaling.factor = 8"),
    (
        "gemma3",
        GEMMA | {"attention.key_length": 128, "attention.value_length": 128},
        "gemma3_text",
        GEMMA_CONFIG | {"head_dim": 128},
        "query_pre_attn_scalar",
    ),
    (
        "gemma3",
        GEMMA | {"attention.sliding_window": 1024},
        "gemma3_text",
        GEMMA_CONFIG,
        "sliding_window = 1024",
    ),
    ("gemma3", GEMMA | {"rope.freq_base_swa": 20000.0}, "gemma3_text", GEMMA_CONFIG, "freq_base_swa = 20000"),
    ("gemma3", GEMMA | {"attention.sliding_window_pattern": 6}, "gemma3_text", GEMMA_CONFIG, ""),
    (
        "gemma3",
        GEMMA | {"attention.sliding_window_pattern": 4},
        "gemma3_text",
        GEMMA_CONFIG,
        "window_pattern = 4",
    ),
    ("starcoder2", STARCODER, "starcoder2", {}, ""),
    (
        "starcoder2",
        STARCODER | {"rope.freq_base": 999999.4},
        "starcoder2",
        {},
        "starcoder2.rope.freq_base = 999999",
    ),
    (
        "qwen3",
        PHI | {"attention.head_count_kv": 8},
        "qwen3",
        {"hidden_size": 3072, "num_key_value_heads": 8, "rms_norm_eps": 1e-5},
        "no qwen3.attention.key_length, which defaults to 96",
    ),
    (
        "qwen3",
        PHI | {"attention.key_length": 64},
        "qwen3",
        {"hidden_size": 3072, "rms_norm_eps": 1e-5},
        "qwen3.attention.key_length = 64",
    ),
    ("phi3", PHI, "phi3", {"pad_token_id": 0}, ""),
    (
        "phi3",
        PHI | {"rope.dimension_count": 72},
        "phi3",
        {"pad_token_id": 0},
        "phi3.rope.dimension_count = 72",
    ),
    (
        "phi3",
        PHI | {"attention.sliding_window": 2047},
        "phi3",
        {"pad_token_id": 0},
        "phi3.attention.sliding_window = 2047",
    ),
    ("phi3", PHI | {"attention.sliding_window": 262144}, "phi3", {"pad_token_id": 0}, ""),
    (
        "stablelm",
        STARCODER,
        "stablelm",
        {"num_attention_heads": 24, "hidden_size": 3072, "num_key_value_heads": 2},
        "no stablelm.rope.dimension_count, which defaults to 128",
    ),
]


@pytest.mark.parametrize(
    ("name", "told", "kind", "changes", "said"), TOLD, ids=[f"{row[0]} {row[4] or 'plain'}" for row in TOLD]
)
def test_what_a_file_tells_is_compared_with_what_transformers_computes(
    name: str, told: dict[str, Any], kind: str, changes: dict[str, Any], said: str
) -> None:
    computed = gguf_metadata.config_metadata(config(kind, **changes))
    if not said:
        gguf_metadata.check_metadata(header(name, told), computed)
        return
    with pytest.raises(ModelError, match=said):
        gguf_metadata.check_metadata(header(name, told), computed)


def test_a_list_where_a_number_is_due_is_refused() -> None:
    with pytest.raises(ModelError, match=r"llama\.attention\.head_count, an array"):
        gguf_metadata.check_metadata(
            header("llama", LLAMA, ("attention.head_count",)), gguf_metadata.config_metadata(config("llama"))
        )


@pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor")
def test_a_file_whose_frequencies_are_stated_as_they_are_computed_gives_the_same_text(
    good: Path, tmp_path: Path
) -> None:
    facts = {"qwen2.rope.dimension_count": 64, "qwen2.rope.scaling.type": "none"}
    path = rewritten(good, tmp_path / "same.gguf", lambda known, _: known.update(facts))
    texts = []
    for each in (good, path):
        engine = loader.load(each, "tiny", cache=tmp_path / "cache", report=silent)
        texts.append("".join(p.text for p in engine.complete(Prompt("def f(x):"), Sampling(max_tokens=8))))
    assert texts[0] == texts[1] != ""


@pytest.mark.slow
@pytest.mark.parametrize("kind", gguf_models.KINDS)
def test_a_file_of_another_architecture_is_computed_as_its_model(kind: str, tmp_path: Path) -> None:
    model = gguf_models.write(tmp_path / "it.gguf", kind)
    engine = loader.load(
        tmp_path / "it.gguf", kind, precision="float32", cache=tmp_path / "cache", report=silent
    )
    ids = engine.encode(Prompt("def add(a, b):"))
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0, -1]
    *_, found = engine.decoder.open(ids).prefill()
    assert numpy.allclose(found, expected.numpy(), atol=1e-4)


ONES, TURNS = numpy.ones(8), numpy.linspace(1, 8, 8)
OTHERS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("llama", {}, {"rope_freqs.weight": TURNS}, "the tensor rope_freqs.weight"),
    ("llama", {}, {"blk.0.attn_q.bias": numpy.ones(64)}, "the tensor blk.0.attn_q.bias"),
    ("llama", {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}, {}, "llama.rope.scaling.type"),
    ("phi3", {}, {"rope_factors_long.weight": TURNS}, "the tensor rope_factors_long.weight"),
    ("phi3", {"attention.sliding_window": 64}, {}, "phi3.attention.sliding_window = 64"),
    ("phi3", {"rope.dimension_count": 12}, {}, "phi3.rope.dimension_count = 12"),
    ("starcoder2", {"rope.freq_base": 999999.0}, {}, "starcoder2.rope.freq_base = 999999"),
    ("stablelm", {"rope.freq_base": 50000.0}, {}, "stablelm.rope.freq_base = 50000"),
    ("stablelm", {"rope.dimension_count": 16}, {}, "stablelm.rope.dimension_count = 16"),
    ("qwen3", {"attention.key_length": 64}, {}, "qwen3.attention.key_length = 64"),
    ("llama", {"expert_count": 4, "expert_used_count": 2}, {}, "llama.expert_count = 4"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "facts", "tensors", "said"), OTHERS, ids=[row[3] for row in OTHERS])
def test_what_transformers_would_leave_out_is_refused(
    kind: str, facts: dict[str, Any], tensors: dict[str, Any], said: str, tmp_path: Path
) -> None:
    gguf_models.write(tmp_path / "odd.gguf", kind, facts, tensors)
    with pytest.raises(ModelError, match=said):
        loader.load(
            tmp_path / "odd.gguf", "odd", precision="float32", cache=tmp_path / "cache", report=silent
        )


def test_frequency_factors_that_are_all_1_change_nothing(tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "it.gguf", "llama", tensors={"rope_freqs.weight": ONES})
    assert (
        loader.load(tmp_path / "it.gguf", "it", cache=tmp_path / "cache", report=silent).card.context == 160
    )
