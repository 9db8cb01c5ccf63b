"""Small trained models of each architecture: mtchat writes what llama.cpp writes, or says why it cannot.

`python -m evals.toys tests/toys` makes the files and records llama.cpp's texts.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.cpu.decoder import CpuDecoder
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.loaders import loader
from tests import ROOT
from tests.support.cpu_models import silent

pytestmark = pytest.mark.slow

TOYS = ROOT / "tests" / "toys"
RECORDED: dict[str, Any] = json.loads((TOYS / "texts.json").read_text(encoding="utf-8"))
KERNELS, FLOATS = CpuDecoder, TorchDecoder
# what computes a toy, or the words with which it is refused
STATE: dict[str, type | str] = {
    **dict.fromkeys(("llama", "llama-biases", "llama-linear", "qwen2", "qwen2-yarn", "qwen3"), KERNELS),
    **dict.fromkeys(("gemma2", "gemma3", "phi4", "phi-plain", "granite", "qwen3moe", "gpt-oss"), KERNELS),
    "lfm2": FLOATS,
    "starcoder2": "starcoder2.rope.freq_base = 999999",
    "qwen2moe": "qwen2moe.expert_count = 4",
    "qwen35": "qwen35.attention.recurrent_layers",
    **{name: f"architecture {name}" for name in ("olmo2", "granitemoe", "granitehybrid")},
}
# Both round activations to eight bits in their own ways, and so far are log-probabilities apart.
NEAR = {KERNELS: 0.3, FLOATS: 0.3}


def open_toy(path: Path, cache: Path) -> Engine:
    return loader.load(path, path.stem, cache=cache, report=silent)


def greedy(engine: Engine, prompt: Sequence[int], count: int) -> list[int]:
    sequence = engine.decoder.open(list(prompt))
    for logits in sequence.prefill():
        last = logits
    found: list[int] = []
    while len(found) < count:
        found.append(int(last.argmax()))
        last = sequence.forward(found[-1:])[-1]
        sequence.commit(1)
    return found


def distance(engine: Engine, place: dict[str, Any]) -> float:
    """How far the log-probabilities after a prompt are from those of llama.cpp's likeliest ids."""
    for logits in engine.decoder.open(place["prompt"]).prefill():
        last = logits.astype(numpy.float64)
    found = last - last.max() - numpy.log(numpy.exp(last - last.max()).sum())
    return max(abs(float(found[int(id)]) - value) for id, value in place["likeliest"].items())


def test_every_toy_has_a_text_and_a_state() -> None:
    files = {path.stem for path in TOYS.glob("*.gguf")}
    assert files == RECORDED.keys() == STATE.keys()
    assert all(len(text["ids"]) >= 100 for toy in RECORDED.values() for text in toy["texts"])


@pytest.mark.parametrize("name", [name for name, state in STATE.items() if not isinstance(state, str)])
def test_a_toy_writes_the_text_that_llama_cpp_writes(name: str, tmp_path: Path) -> None:
    engine = open_toy(TOYS / f"{name}.gguf", tmp_path)
    assert type(engine.decoder) is STATE[name]
    for text in RECORDED[name]["texts"]:
        ids = greedy(engine, text["prompt"], len(text["ids"]))
        assert ids == text["ids"]
        assert engine.tokens.decode(ids[:-1]).strip() == text["text"].strip()
    apart = [distance(engine, place) for place in RECORDED[name]["places"]]
    assert max(apart) < NEAR[type(engine.decoder)], apart
    engine.close()


@pytest.mark.parametrize("name", [name for name, state in STATE.items() if isinstance(state, str)])
def test_a_toy_that_cannot_be_computed_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(STATE[name])):
        open_toy(TOYS / f"{name}.gguf", tmp_path)
