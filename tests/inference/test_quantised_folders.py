"""Folders with quantised weights, or of models that also see images: loaded, or one line says why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mtchat.errors import ModelError
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import loader, quantised_folders
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import random_model, tiny_tokenizer

pytestmark = pytest.mark.slow
GREEDY = Sampling(temperature=0, max_tokens=20)
FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
Tensors = dict[str, torch.Tensor]


def silent(stage: str, part: float | None) -> None:
    assert stage


def prompt_of(words: str) -> Prompt:
    return Prompt(messages=(Message("user", words),))


def texts_of(folder: Path, cache: Path, *words: str) -> list[str]:
    engine = loader.load(folder, folder.name, cache=cache, report=silent)
    try:
        return ["".join(each.text for each in engine.complete(prompt_of(word), GREEDY)) for word in words]
    finally:
        engine.close()


def write_model(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def quantise(
    plain: Path, folder: Path, quantise_one: Callable[[str, torch.Tensor], Tensors], settings: dict[str, Any]
) -> None:
    """Quantise the weights of a folder; the plain one then has the values that they stand for."""
    shutil.copytree(plain, folder)
    stored: Tensors = {}
    for name, tensor in load_file(plain / "model.safetensors").items():
        stored |= quantise_one(name, tensor)
    values = {name: each for name, each in stored.items() if name.startswith("value:")}
    kept = {name: each for name, each in stored.items() if not name.startswith("value:")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    expanded = {name: each for name, each in load_file(plain / "model.safetensors").items()}
    expanded |= {name.removeprefix("value:"): each for name, each in values.items()}
    save_file(expanded, plain / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))


def to_fp8(name: str, tensor: torch.Tensor) -> Tensors:
    """Blocks of 128 x 128, each with a scale."""
    if tensor.dim() != 2 or "embed" in name or "lm_head" in name:
        return {name: tensor}
    rows, columns = (each // 128 for each in tensor.shape)
    blocks = tensor.reshape(rows, 128, columns, 128)
    scales = blocks.abs().amax((1, 3)) / 448
    small = (blocks / scales[:, None, :, None]).to(torch.float8_e4m3fn)
    return {
        name: small.reshape(tensor.shape),
        name.replace("weight", "weight_scale_inv"): scales,
        f"value:{name}": (small.float() * scales[:, None, :, None]).reshape(tensor.shape),
    }


def to_mxfp4(name: str, tensor: torch.Tensor) -> Tensors:
    """Experts (E, in, out) as blocks of 32 inputs, two values in a byte, with an exponent each."""
    if not name.endswith(("gate_up_proj", "down_proj")):
        return {name: tensor}
    groups = tensor.transpose(1, 2).reshape(tensor.shape[0], tensor.shape[2], -1, 32)
    exponents = torch.floor(torch.log2(groups.abs().amax(-1))) - 2
    steps = torch.exp2(exponents)[..., None]
    codes = ((groups / steps)[..., None] - FP4).abs().argmin(-1)
    values = (FP4[codes] * steps).reshape(tensor.shape[0], tensor.shape[2], -1).transpose(1, 2)
    return {
        f"{name}_blocks": (codes[..., 0::2] | (codes[..., 1::2] << 4)).to(torch.uint8),
        f"{name}_scales": (exponents + 127).to(torch.uint8),
        f"value:{name}": values.contiguous(),
    }


def qwen2() -> Any:
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_key_value_heads": 2}
    return random_model("qwen2", len(tiny_tokenizer()), **sizes)


def spread(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.2)
    return model.eval()


def gpt_oss() -> Any:
    transformers = fast_import.import_transformers()
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING["gpt_oss"](
        vocab_size=len(tiny_tokenizer()),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_local_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=160,
        pad_token_id=0,
        eos_token_id=2,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    return spread(transformers.AutoModelForCausalLM.from_config(config))


FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
OUTSIDE = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": OUTSIDE}


@pytest.mark.parametrize(
    ("make", "quantise_one", "settings"),
    [(qwen2, to_fp8, FP8), (gpt_oss, to_mxfp4, MXFP4)],
    ids=["fp8", "mxfp4"],
)
def test_weights_that_need_no_package_write_what_their_values_write(
    tmp_path: Path,
    make: Callable[[], Any],
    quantise_one: Callable[[str, torch.Tensor], Tensors],
    settings: dict[str, Any],
) -> None:
    plain, packed = write_model(tmp_path / "plain", make()), tmp_path / "packed"
    quantise(plain, packed, quantise_one, settings)
    expected = texts_of(plain, tmp_path / "cache", "write a loop")
    assert expected[0]
    assert texts_of(packed, tmp_path / "cache", "write a loop") == expected


def test_two_values_in_a_byte_count_as_two(tmp_path: Path) -> None:
    plain, packed = write_model(tmp_path / "plain", gpt_oss()), tmp_path / "packed"
    quantise(plain, packed, to_mxfp4, MXFP4)
    count = [quantised_folders.count_values([each / "model.safetensors"]) for each in (plain, packed)]
    scales = sum(
        each.numel() for name, each in load_file(packed / "model.safetensors").items() if "_scales" in name
    )
    assert count[1] == count[0] + scales


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("plain") / "it", qwen2())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"quant_method": "gptq", "bits": 4}, r"quantised \(gptq\).*pip install optimum"),
    ({"quant_method": "awq", "bits": 4}, r"quantised \(awq\).*pip install gptqmodel"),
    (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        r"\(bitsandbytes\).*pip install -U bitsandbytes",
    ),
    (
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int"}}},
        },
        r"\(compressed-tensors\).*pip install compressed-tensors",
    ),
    (
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        "quantised by 'modelopt', which transformers does not load",
    ),
    ({"bits": 4}, "quantised by 'an unnamed method', which transformers does not load"),
]


@pytest.mark.parametrize(
    ("settings", "said"), REFUSED, ids=[str(each.get("quant_method")) for each, _ in REFUSED]
)
def test_a_missing_package_and_an_unknown_method_are_one_line(
    plain: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    folder = shutil.copytree(plain, tmp_path / "it")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    with pytest.raises(ModelError, match=said) as error:
        texts_of(folder, tmp_path / "cache", "x")
    assert "\n" not in str(error.value)


def test_the_quantisation_of_a_text_part_is_found(tmp_path: Path) -> None:
    settings = {"quant_method": "fp8"}
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"quantization_config": settings}}))
    assert quantised_folders.quantisation(tmp_path) == settings
    (tmp_path / "config.json").write_text(json.dumps({"text_config": 3, "quantization_config": []}))
    assert quantised_folders.quantisation(tmp_path) == {}


def text_settings(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": len(tiny_tokenizer()),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 160,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
        **more,
    }


SMALL_EYES = {
    "model_type": "pixtral",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
QWEN_EYES = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64}
SECTIONS = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
MARKS = {
    f"{name}_token_id": 5 + at for at, name in enumerate(("image", "video", "vision_start", "vision_end"))
}
SEEING: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": (
        "mistral3",
        {"text_config": text_settings("mistral"), "vision_config": SMALL_EYES, "image_token_index": 10},
    ),
    "ministral3": (
        "mistral3",
        {"text_config": text_settings("ministral3"), "vision_config": SMALL_EYES, "image_token_index": 10},
    ),
    "qwen2_5_vl": (
        "qwen2_5_vl",
        {
            "text_config": text_settings("qwen2_5_vl_text", rope_parameters=SECTIONS),
            "vision_config": QWEN_EYES,
            **MARKS,
        },
    ),
}


@pytest.mark.parametrize("kind", SEEING)
def test_of_a_model_that_sees_images_the_text_part_is_used(tmp_path: Path, kind: str) -> None:
    """The second and third text reuse the KV cache of the first, which is cut."""
    transformers = fast_import.import_transformers()
    name, settings = SEEING[kind]
    torch.manual_seed(1)
    model = spread(
        transformers.AutoModelForImageTextToText.from_config(transformers.CONFIG_MAPPING[name](**settings))
    )
    folder = write_model(tmp_path / "it", model)
    words = ("write a loop", "write a list", "write a loop")
    tokenizer = tiny_tokenizer()
    expected = []
    for word in words:
        chat = [{"role": "user", "content": word}]
        ids = torch.tensor(
            [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)]
        )
        with torch.no_grad():
            found = model.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0, eos_token_id=2)
        expected.append(tokenizer.decode(found[0, ids.shape[1] :]).partition("<|im_end|>")[0])
    assert texts_of(folder, tmp_path / "cache", *words) == expected
