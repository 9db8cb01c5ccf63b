"""Small trained models of each architecture: mtchat writes what llama.cpp writes, and leaves nothing out.

`python -m evals.toys tests/toys` makes the files and records llama.cpp's texts.
"""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy
import pytest

from evals.toys.changes import SEEN, Change, changed_copy, ramp
from mtchat.errors import ModelError
from mtchat.inference.cpu.decoder import CpuDecoder
from mtchat.inference.engine import Engine
from mtchat.inference.hf.decoder import TorchDecoder
from mtchat.inference.llama_cpp import library
from mtchat.inference.llama_cpp.decoder import LlamaDecoder
from mtchat.inference.loaders import cpu_loader, loader
from tests import ROOT
from tests.support.cpu_models import silent

pytestmark = pytest.mark.slow

TOYS = ROOT / "tests" / "toys"
RECORDED: dict[str, Any] = json.loads((TOYS / "texts.json").read_text(encoding="utf-8"))
CHANGED: dict[str, Any] = json.loads((TOYS / "changes.json").read_text(encoding="utf-8"))
KERNELS, FLOATS, LLAMA_CPP = CpuDecoder, TorchDecoder, LlamaDecoder
CHANGED_NEAR = 0.5  # changed models are less sure, and their activations larger
# keys that our kernels compute as they are meant, where llama.cpp ignores them or refuses the file
SCALE, WINDOW, ROTATED = "attention.scale", "attention.sliding_window", "rope.dimension_count"
YARN = {f"rope.scaling.yarn_{each}" for each in ("beta_fast", "beta_slow", "log_multiplier")}
MEANT: dict[str, set[str]] = {
    "llama": {SCALE, WINDOW, ROTATED},
    "llama-biases": {SCALE, WINDOW, ROTATED},
    "llama-linear": {SCALE, WINDOW, ROTATED},
    "qwen2": {WINDOW},
    "qwen2-yarn": {WINDOW, *YARN},
    "phi4": {WINDOW},
    "phi-plain": {WINDOW, "rope_freqs.weight"},
    "granite": {ROTATED},
    "gpt-oss": YARN,
}
# what computes a toy
STATE: dict[str, type] = {
    **dict.fromkeys(("llama", "llama-biases", "llama-linear", "qwen2", "qwen2-yarn", "qwen3"), KERNELS),
    **dict.fromkeys(("gemma2", "gemma3", "phi4", "phi-plain", "granite", "qwen3moe", "gpt-oss"), KERNELS),
    **dict.fromkeys(("starcoder2", "olmo2", "qwen2moe", "granitemoe"), LLAMA_CPP),
    **dict.fromkeys(("lfm2", "granitehybrid", "qwen35"), LLAMA_CPP),
}
# Steps of other sizes and other roundings of activations to eight bits give log-probabilities so far apart.
NEAR = {KERNELS: 0.3, FLOATS: 0.3, LLAMA_CPP: 0.2}


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


def distance(engine: Engine, prompt: Sequence[int], likeliest: dict[str, float]) -> float:
    """How far the log-probabilities after a prompt are from those of llama.cpp's likeliest ids."""
    for logits in engine.decoder.open(prompt).prefill():
        last = logits.astype(numpy.float64)
    found = last - last.max() - numpy.log(numpy.exp(last - last.max()).sum())
    return max(abs(float(found[int(id)]) - value) for id, value in likeliest.items())


def test_every_toy_has_a_text_and_a_state() -> None:
    files = {path.stem for path in TOYS.glob("*.gguf")}
    assert files == RECORDED.keys() == STATE.keys()
    assert CHANGED.keys() == {name for name, state in STATE.items() if state is KERNELS}
    assert all(len(text["ids"]) >= 100 for toy in RECORDED.values() for text in toy["texts"])


@pytest.mark.parametrize("name", STATE)
def test_a_toy_writes_the_text_that_llama_cpp_writes(name: str, tmp_path: Path) -> None:
    if STATE[name] is LLAMA_CPP:
        pytest.importorskip("xllamacpp")
    engine = open_toy(TOYS / f"{name}.gguf", tmp_path)
    assert type(engine.decoder) is STATE[name]
    for text in RECORDED[name]["texts"]:
        ids = greedy(engine, text["prompt"], len(text["ids"]))
        assert ids == text["ids"]
        assert engine.tokens.decode(ids[:-1]).strip() == text["text"].strip()
    apart = [distance(engine, place["prompt"], place["likeliest"]) for place in RECORDED[name]["places"]]
    assert max(apart) < NEAR[type(engine.decoder)], apart
    engine.close()


@pytest.mark.parametrize("name", [name for name, state in STATE.items() if state is LLAMA_CPP])
def test_what_llama_cpp_computes_is_refused_without_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "PACKAGE", "no_such_wheel")
    with pytest.raises(ModelError) as raised:
        open_toy(TOYS / f"{name}.gguf", tmp_path)
    assert f"{name}.gguf (the architecture {name}), and llama.cpp is not installed" in str(raised.value)
    assert "pip install 'mtchat[llamacpp]'" in str(raised.value)


@pytest.mark.parametrize("name", [name for name, state in STATE.items() if state is KERNELS])
def test_our_kernels_leave_no_key_or_tensor_out_in_silence(name: str, tmp_path: Path) -> None:
    """Copies with other values give what llama.cpp computes with them, or the kernels refuse them."""
    wrong = [f"{names} is {apart:.2f} off" for names, apart in changed_distances(name, tmp_path)]
    assert not wrong, "\n".join(wrong)


def changed_distances(name: str, folder: Path) -> Iterator[tuple[str, float]]:
    """The changed copies that the kernels compute otherwise than llama.cpp does, and how far they are off."""
    prompts = [RECORDED[name]["places"][at]["prompt"] for at in SEEN]
    for row in CHANGED[name]:
        change = Change(row["facts"], {tensor: ramp(size) for tensor, size in row["tensors"].items()})
        copy = changed_copy(TOYS / f"{name}.gguf", folder / "copy.gguf", change)
        try:
            if cpu_loader.unsupported_reason(copy):
                continue
            engine = open_toy(copy, folder)
        except ModelError:
            continue
        told = row["likeliest"]  # None if llama.cpp refuses the file
        apart = max(map(partial(distance, engine), prompts, told)) if told else inf
        engine.close()
        names = change.facts.keys() | change.tensors.keys()
        if apart > CHANGED_NEAR and not names & MEANT.get(name, set()):
            yield str(sorted(names)), apart


def test_a_token_reads_only_the_experts_that_it_uses(tmp_path: Path) -> None:
    engine = open_toy(TOYS / "qwen3moe.gguf", tmp_path)
    decoder = engine.decoder
    assert isinstance(decoder, CpuDecoder)
    sizes = {name: part.size for name, part in decoder.model.weights.parts.items() if name != "embedding"}
    routed = sum(size for name, size in sizes.items() if name.endswith((".gate_up", ".down")))
    assert decoder.model.weights.read_per_token == sum(sizes.values()) - routed * 6 // 8
    engine.close()
