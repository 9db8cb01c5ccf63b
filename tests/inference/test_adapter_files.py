"""Files and folders of adapters that are damaged, or do more than LoRA: refused with the reason."""

from pathlib import Path
from typing import Any

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.loaders import lora_files
from mtchat.inference.loaders.gguf_reader import read_gguf
from tests import ROOT
from tests.support.lora_adapters import random_halves, write_gguf, write_peft

QWEN2 = read_gguf(ROOT / "tests" / "toys" / "qwen2.gguf")


def write_facts(file: Path, facts: dict[str, str]) -> Path:
    """A GGUF adapter with other facts."""
    import gguf

    out = gguf.GGUFWriter(file, "qwen2")
    for key, value in {"general.type": "adapter", "adapter.type": "lora", **facts}.items():
        out.add_string(key, value)
    for name, (a, b) in random_halves(QWEN2, 2).items():
        out.add_tensor(f"{name}.lora_a", a)
        out.add_tensor(f"{name}.lora_b", b)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    return file


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "its use_dora is True"),
        ({"bias": "all"}, "its bias is all"),
        ({"lora_bias": True}, "its lora_bias is True"),
        ({"modules_to_save": ["lm_head"]}, "its modules_to_save is"),
        ({"init_lora_weights": "pissa"}, "its init_lora_weights is pissa"),
        ({"layer_replication": [[0, 1]]}, "its layer_replication is"),
        ({"target_parameters": ["mlp.experts"]}, "its target_parameters is"),
        ({"a_setting_of_tomorrow": 3}, "its a_setting_of_tomorrow is 3"),
        ({"peft_type": "IA3"}, "an adapter of type 'IA3'"),
        ({"alpha_pattern": ["x"]}, "an unreadable alpha_pattern"),
    ],
)
def test_what_a_folder_does_beside_lora_is_refused_by_name(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = write_peft(tmp_path / "a", QWEN2, random_halves(QWEN2, 4), 4.0, **config)
    with pytest.raises(ModelError, match=words):
        lora_files.read_adapter(folder)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"general.type": "model"}, "is not a LoRA adapter but a model"),
        ({"adapter.type": "dora"}, "of type 'dora', not a LoRA"),
        ({"adapter.lora.prompt_prefix": "Hi"}, "it has adapter.lora.prompt_prefix"),
    ],
)
def test_what_a_file_does_beside_lora_is_refused_by_name(
    facts: dict[str, str], words: str, tmp_path: Path
) -> None:
    file = write_facts(tmp_path / "a.gguf", facts)
    with pytest.raises(ModelError, match=words):
        lora_files.read_adapter(file)


def test_damaged_adapters_are_refused(tmp_path: Path) -> None:
    halves = random_halves(QWEN2, 2)
    name = next(iter(halves))
    a, b = halves[name]
    odd = {**halves, name: (a, b[:, :1])}
    with pytest.raises(ModelError, match=f"its halves for {name}"):
        lora_files.read_adapter(write_gguf(tmp_path / "a.gguf", "qwen2", odd, 2.0))
    wild = {**halves, name: (a * numpy.float32(numpy.nan), b)}
    with pytest.raises(ModelError, match="not finite"):
        lora_files.read_adapter(write_gguf(tmp_path / "b.gguf", "qwen2", wild, 2.0))
    folder = write_peft(tmp_path / "c", QWEN2, halves, 2.0)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors"):
        lora_files.read_adapter(folder)
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="no readable adapter_config"):
        lora_files.read_adapter(folder)
    (tmp_path / "d.txt").write_text("x")
    with pytest.raises(ModelError, match="is not an adapter"):
        lora_files.read_adapter(tmp_path / "d.txt")


@pytest.mark.parametrize(
    "config",
    [
        {"lora_alpha": None},
        {"lora_alpha": "x"},
        {"lora_alpha": True},
        {"lora_alpha": 10**400},
        {"alpha_pattern": {"q_proj": None}},
        {"alpha_pattern": {"q_proj": [1]}},
    ],
    ids=str,
)
def test_a_folder_whose_alpha_is_no_number_is_refused(config: dict[str, Any], tmp_path: Path) -> None:
    folder = write_peft(tmp_path / "a", QWEN2, random_halves(QWEN2, 4), 4.0, **config)
    with pytest.raises(ModelError, match=r"its alpha for \S+ is no number"):
        lora_files.read_adapter(folder)


def test_a_file_whose_alpha_is_no_number_is_refused(tmp_path: Path) -> None:
    file = write_facts(tmp_path / "a.gguf", {"adapter.lora.alpha": "x"})
    with pytest.raises(ModelError, match=r"its alpha for \S+ is no number"):
        lora_files.read_adapter(file)


def test_halves_of_rank_0_are_refused(tmp_path: Path) -> None:
    empty = {name: (a[:0], b[:, :0]) for name, (a, b) in random_halves(QWEN2, 2).items()}
    folder = write_peft(tmp_path / "a", QWEN2, empty, 4.0)
    with pytest.raises(ModelError, match=r"its halves for \S+ are \(0, "):
        lora_files.read_adapter(folder)
