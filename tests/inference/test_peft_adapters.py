"""Adapters of peft beside models that transformers computes: applied as peft does, whole, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.loader import AdapterName
from tests import ROOT
from tests.support.cpu_models import silent
from tests.support.lora_adapters import random_halves, write_gguf

pytestmark = pytest.mark.slow
TOY = ROOT / "tests" / "toys" / "qwen2.gguf"


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft calls what transformers will drop
def test_peft_applies_its_folders_to_models_of_transformers(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    import torch

    from tests.support.engine_models import tiny_tokenizer

    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes)
    ).eval()
    model.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    ids = torch.tensor([[5, 9, 30, 12, 7]])
    expected = []
    for number, stabilised in enumerate((False, True)):
        base = transformers.Qwen2ForCausalLM.from_pretrained(tmp_path / "m")
        config = peft.LoraConfig(
            r=4, lora_alpha=8, use_rslora=stabilised, target_modules="all-linear", init_lora_weights=False
        )
        held = peft.get_peft_model(base, config)
        held.save_pretrained(tmp_path / f"a{number}")
        for layer in base.modules():
            if isinstance(layer, peft.tuners.lora.LoraLayer):
                layer.scaling["default"] *= 0.5
        with torch.no_grad():
            expected.append(held.eval()(ids).logits[0].numpy())
        found = load_floats(tmp_path, tmp_path / f"a{number}", 0.5)
        sequence = found.decoder.open(ids[0].tolist())
        for logits in sequence.prefill():
            last = logits
        assert numpy.allclose(last, expected[number][-1], atol=1e-4)
        assert f"with the adapter a{number}" in found.card.notes[0]
    assert not numpy.allclose(expected[0], expected[1], atol=1e-2)
    file = write_gguf(tmp_path / "a.gguf", "qwen2", random_halves(read_gguf(TOY), 4), 4.0)
    with pytest.raises(ModelError, match="is an adapter for a GGUF model"):
        load_floats(tmp_path, file)


def load_floats(folder: Path, adapter: Path, scale: float = 1.0) -> Engine:
    """The model in the folder `m`, computed by transformers with an adapter."""
    return loader.load(
        *(folder / "m", "m"),
        adapters=[AdapterName(adapter, scale)],
        precision="float32",
        cache=folder / "cache",
        report=silent,
    )


SURPLUS: dict[str, tuple[int, Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "more layers": (4, lambda config, tensors: None, r"layers\.2\.\S+ is no matrix of this model"),
    "a module of another name": (
        2,
        lambda config, tensors: tensors.update({renamed(name): tensors[name] for name in list(tensors)[:2]}),
        r"layers\.0\.\S+_other is no matrix",
    ),
    "another shape": (
        2,
        lambda config, tensors: tensors.update({name: widened(each) for name, each in tensors.items()}),
        "is 96 by 128 there and 96 by 64",
    ),
    "a module that its config leaves out": (
        2,
        lambda config, tensors: config.update(exclude_modules=["q_proj"]),
        "leaves out model.layers.0.self_attn.q_proj",
    ),
    "a module without weights": (
        2,
        lambda config, tensors: [tensors.pop(name) for name in list(tensors) if "v_proj" in name],
        "names model.layers.0.self_attn.v_proj, which has no weights",
    ),
}


def renamed(name: str) -> str:
    return name.replace("_proj.", "_other.")


def widened(matrix: Any) -> Any:
    """The half A of a matrix with 64 columns, with twice as many."""
    return numpy.concatenate([matrix, matrix], 1) if matrix.shape == (4, 64) else matrix


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft calls what transformers will drop
@pytest.mark.parametrize("case", SURPLUS)
def test_a_folder_that_peft_would_apply_in_part_is_refused(case: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    from safetensors.numpy import load_file, save_file

    from tests.support.engine_models import tiny_tokenizer

    tokenizer = tiny_tokenizer()

    def make(layers: int) -> Any:
        sizes = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
        config = transformers.Qwen2Config(
            vocab_size=len(tokenizer), num_key_value_heads=4, num_hidden_layers=layers, **sizes
        )
        return transformers.Qwen2ForCausalLM(config)

    layers, change, words = SURPLUS[case]
    make(2).save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    how = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    peft.get_peft_model(make(layers), how).save_pretrained(folder := tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    change(config, tensors)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=words):
        load_floats(tmp_path, folder)
