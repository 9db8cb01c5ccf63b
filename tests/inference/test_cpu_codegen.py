"""CodeGen over the kernels: transformers' own numbers for the same 8-bit weights, and all that Qwen2 has."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save_file

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels, kv_snapshot, repack
from mtchat.inference.cpu.decoder import CpuDecoder, CpuModel
from mtchat.inference.cpu.weights import read_weights
from mtchat.inference.engine import Engine
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import codegen_weights, loader
from mtchat.inference.prefix_tree import PrefixTree
from mtchat.inference.speculative import NgramDrafter
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support.cpu_models import (
    LONG,
    OTHER,
    SHORT,
    WARM,
    in_eight_bits,
    silent,
    start,
    teacher_forced,
    written,
)
from tests.support.engine_models import codegen_tokenizer, random_model, shuffle, tiny_tokenizer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor"),
]
VOCABULARY = 402  # more than the tokenizer has, and no whole strips
SIZES = {"n_positions": 700, "n_layer": 2}
HEADS = {  # as in 350M, in 2B (80 columns, no whole blocks), small, and as in 6B
    "64": {"n_embd": 256, "n_head": 4, "rotary_dim": 32},
    "80": {"n_embd": 320, "n_head": 4, "rotary_dim": 64, "n_inner": 448},
    "16": {"n_embd": 128, "n_head": 8, "rotary_dim": 6},
    "256": {"n_embd": 1024, "n_head": 4, "rotary_dim": 256, "n_layer": 1},
}


def random_codegen(head: str = "80", spread: float = 0.05) -> Any:
    model = random_model("codegen", VOCABULARY, spread, **(SIZES | HEADS[head]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def save(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codegen")
    save(random_codegen(spread=0.2), path)
    return path


def loaded(folder: Path, precision: str = "auto") -> Engine:
    return loader.load(folder, "tiny", precision=precision, cache=folder / "cache", report=silent)


@pytest.fixture
def engine(folder: Path) -> Engine:
    return loaded(folder)


def as_rounded(model: Any) -> Any:
    """transformers' model with the weights that 8 bits leave, and activations rounded before each product."""

    def rounded(_: object, given: tuple[Any, ...]) -> Any:
        rows = given[0]
        flat = in_eight_bits(rows.reshape(-1, rows.shape[-1]).numpy())
        return torch.from_numpy(flat).reshape(rows.shape)

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.copy_(torch.from_numpy(dequantised(parameter.numpy())))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(rounded)
    return model.double()


def dequantised(values: Any) -> Any:
    found = repack.quantise_q8(values)
    return (found.values.astype(numpy.float32) - 128) * found.halves[:, :, 0].repeat(32, axis=1)


def halves() -> Any:
    """A cache of keys and values as the kernels have it."""

    class Halves(fast_import.import_transformers().DynamicCache):  # type: ignore[misc]
        def update(self, keys: Any, values: Any, layer: int, *rest: Any, **more: Any) -> Any:
            return super().update(keys.half().double(), values.half().double(), layer, *rest, **more)

    return Halves()


@pytest.mark.parametrize("head", HEADS)
def test_logits_are_those_of_transformers_with_the_same_weights_and_rounding(
    head: str, tmp_path: Path
) -> None:
    """Sums in another order now and then round an activation the other way, and all that follows differs."""
    model = random_codegen(head)
    save(model, tmp_path)
    ours, errors = loaded(tmp_path), []
    assert ours.card.precision == "quantised"
    reference = as_rounded(model)
    for seed in range(8):
        ids = numpy.random.default_rng(seed).integers(3, 300, 5).tolist()
        with torch.no_grad():
            expected = reference(torch.tensor([ids]), past_key_values=halves()).logits[0].numpy()
        errors.append(abs(teacher_forced(ours, ids, 3) - expected).max() / expected.std())
    assert numpy.median(errors) < 1e-5
    assert max(errors) < 0.1


@pytest.mark.parametrize("stored", ["float32", "float16", "bfloat16", "pickle", "old pickle", "shards"])
def test_logits_are_near_those_of_float32_however_the_weights_are_stored(stored: str, tmp_path: Path) -> None:
    model = random_codegen()
    if "pickle" in stored:
        save(model, tmp_path)
        (tmp_path / "model.safetensors").unlink()
        state = {**model.half().state_dict(), "transformer.h.0.attn.causal_mask": torch.ones(4, 4).bool()}
        old = {"_use_new_zipfile_serialization": stored == "pickle"}
        torch.save(state, tmp_path / "pytorch_model.bin", **old)
    elif stored == "shards":
        save(model, tmp_path)
        (tmp_path / "model.safetensors").unlink()
        state = list(model.state_dict().items())
        for number, some in enumerate((state[:9], state[9:])):
            save_file(dict(some), tmp_path / f"model-{number}.safetensors")
    else:
        save(model.to(getattr(torch, stored)), tmp_path)
    ids = numpy.random.default_rng(0).integers(3, 300, 90).tolist()
    with torch.no_grad():
        expected = model.float()(torch.tensor([ids])).logits[0].numpy()
    found = teacher_forced(loaded(tmp_path), ids, 64)
    assert found.shape == (90, VOCABULARY)
    assert abs(found - expected).mean() < 0.03 * expected.std()
    assert abs(found - expected).max() < 0.2 * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.9


@pytest.mark.parametrize("build", list(kernels.NEEDS))
def test_any_way_to_compute_gives_the_same_bits_in_every_build(
    build: str, folder: Path, engine: Engine
) -> None:
    if build not in kernels.usable_builds():
        pytest.skip(f"the build {build} is not here, or not for this processor")
    weights = read_weights(next((folder / "cache").glob("[!.]*-native-*")))
    ids = numpy.random.default_rng(1).integers(3, 300, 70).tolist()
    reference = teacher_forced(engine, ids, 64)
    expected = None
    for number, width in enumerate((64, 1, 3, 8)):
        model = CpuModel(weights, build, 1 + number % 3, 200)
        engine.decoder = CpuDecoder(model)
        shuffle(engine.decoder.tree, number)
        found = teacher_forced(engine, ids, width)
        expected = found if expected is None else expected
        assert numpy.array_equal(found, expected), width
        model.close()
    assert abs(found - reference).mean() < 0.03 * reference.std()


def test_a_folder_is_computed_in_eight_bits(engine: Engine, folder: Path) -> None:
    card = engine.card
    assert (card.precision, card.architecture, card.context) == ("quantised", "CodeGenForCausalLM", 700)
    assert loaded(folder, "quantised").card.precision == "quantised"
    assert loaded(folder, "float32").card.precision == "float32"
    matrices = (each.stat().st_size for each in (folder / "cache").glob("*-native-*/weights.bin"))
    stored = (folder / "model.safetensors").stat().st_size
    assert next(matrices) < 0.29 * stored


def test_greedy_text_is_that_of_computing_all_again_for_each_token(engine: Engine, folder: Path) -> None:
    text, _ = written(engine, LONG)
    ids = engine.encode(Prompt(LONG))
    chosen: list[int] = []
    while len(chosen) < SHORT.max_tokens:
        engine.decoder.tree = PrefixTree(engine.decoder.model.capacity)
        *_, logits = engine.decoder.open(ids + chosen).prefill()
        chosen.append(int(logits.argmax()))
        if chosen[-1] in engine.stop_ids:
            break
    assert len(set(chosen)) > 5
    assert text == engine.vocabulary.decode([id for id in chosen if id not in engine.stop_ids])


@pytest.mark.parametrize("sampling", [SHORT, WARM], ids=["greedy", "sampled"])
def test_draft_tokens_and_candidates_change_no_text(folder: Path, sampling: Sampling) -> None:
    plain, drafting = loaded(folder), loaded(folder)
    plain.drafter, drafting.drafter = None, NgramDrafter
    for text in (LONG, LONG + LONG[:30], OTHER * 3):
        expected = written(plain, text, sampling)[0]
        assert expected
        assert written(drafting, text, sampling)[0] == expected
        texts = ["", "", ""]
        for number, piece in drafting.candidates(Prompt(text), sampling, 3):
            texts[number] += piece.text
        assert texts[0] == expected


def test_what_was_seen_is_not_read_again_in_this_process_or_the_next(tmp_path: Path) -> None:
    save(random_codegen(spread=0.2), tmp_path)
    first = loaded(tmp_path)
    expected = [written(first, text)[0] for text in (LONG, OTHER, LONG + "x = 1\n")]
    first.close()
    for engine, text in itertools.product((first, loaded(tmp_path)), (LONG, OTHER, LONG + "x = 1\n")):
        again, pieces = written(engine, text)
        assert again in expected
        assert pieces[0].usage.cached_tokens == pieces[0].usage.prompt_tokens - 1


def test_what_is_kept_for_the_next_process_is_bounded_in_bytes(engine: Engine, tmp_path: Path) -> None:
    written(engine, LONG)
    each = 2 * SIZES["n_layer"] * HEADS["80"]["n_embd"] * 2  # keys and values, as halves
    kv_snapshot.save(engine.decoder, tmp_path / "seen", size=5 * each)
    assert kv_snapshot.restore(CpuDecoder(engine.decoder.model), tmp_path / "seen") == 5


def test_ids_that_the_tokenizer_does_not_have_are_no_text(engine: Engine) -> None:
    path = start(engine.decoder)
    assert numpy.isfinite(path.forward([VOCABULARY - 1])).all()
    assert engine.vocabulary.decode([VOCABULARY - 1]) == ""


def test_the_tokens_are_those_of_the_folder(tmp_path: Path) -> None:
    tokenizer = codegen_tokenizer()
    random_codegen("16").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = loaded(tmp_path)
    text = "def f(x):\n\n        return 'naïve ☕'  #\t  end\r\n<|endoftext|>\n"
    assert engine.ids(text, special=False) == tokenizer.encode(text, add_special_tokens=False)
    assert engine.stop_ids == {50256}


def test_the_end_that_a_config_names_ends_a_text(tmp_path: Path) -> None:
    model = random_codegen("16")
    model.config.eos_token_id = model.generation_config.eos_token_id = 77
    save(model, tmp_path)
    assert 77 in loaded(tmp_path).stop_ids


def test_weights_in_eight_blocks_are_those_of_four(tmp_path: Path) -> None:
    model = random_codegen("16")
    save(model, tmp_path)
    expected = teacher_forced(loaded(tmp_path), [3, 4, 5, 6], 4)
    with torch.no_grad():
        for layer in model.transformer.h:
            weight = layer.attn.qkv_proj.weight
            every = weight.reshape(4, 3, 2, 16, 128)  # of each block queries, values, keys: 2 heads each
            weight.copy_(every.transpose(1, 2).reshape(8 * 3 * 16, 128))  # ... and 1 head each
    save(model, tmp_path)
    assert not numpy.array_equal(teacher_forced(loaded(tmp_path), [3, 4, 5, 6], 4), expected)
    change(tmp_path, mp_num=8)
    assert numpy.array_equal(teacher_forced(loaded(tmp_path), [3, 4, 5, 6], 4), expected)


def test_another_config_of_the_same_weights_is_repacked(tmp_path: Path) -> None:
    save(random_codegen("16"), tmp_path)
    before = teacher_forced(loaded(tmp_path), [3, 4, 5], 3)
    change(tmp_path, rotary_dim=8)
    assert abs(teacher_forced(loaded(tmp_path), [3, 4, 5], 3) - before).max() > 0.01


def change(folder: Path, **settings: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


OBSTACLES = [
    ({"model_type": "gptj"}, "only GGUF files and CodeGen models are supported"),
    ({"activation_function": "relu"}, "the activation relu"),
    ({"n_embd": 96}, "attention heads of width 24"),
    ({"n_embd": 128, "n_head": 6}, "6 attention heads in a width of 128"),
    ({"n_embd": 128, "n_head": 2}, "2 attention heads in 4 blocks"),
    ({"mp_num": 8}, "4 attention heads in 8 blocks"),
    ({"mp_num": 0}, "4 attention heads in 0 blocks"),
    ({"n_embd": 2048}, "attention heads of width 512"),
    ({"rotary_dim": 66}, "heads of width 64 of which 66 columns are rotated"),
    ({"rotary_dim": 7}, "heads of width 64 of which 7 columns are rotated"),
    ({"rotary_dim": None}, "a config.json whose sizes are not numbers"),
    ({"n_inner": 100}, "a matrix of 100 by 256"),
]


@pytest.mark.parametrize(("change", "why"), OBSTACLES)
def test_what_the_kernels_cannot_compute_is_said(change: dict[str, object], why: str) -> None:
    config = {"model_type": "codegen", **HEADS["64"]}
    assert not codegen_weights.unsupported_reason(config)
    assert codegen_weights.unsupported_reason(config | change) == why


def test_a_model_that_the_kernels_cannot_compute_is_left_to_transformers(tmp_path: Path) -> None:
    model = random_model("codegen", 330)
    save(model, tmp_path)
    assert loaded(tmp_path).card.precision == "float32"
    with pytest.raises(ModelError, match="attention heads of width 8; leave out --precision"):
        loaded(tmp_path, "quantised")


def damaged(folder: Path) -> Iterator[tuple[str, str]]:
    """Damages a folder in one way after the other: what is done, and what is said of it."""
    state = random_codegen("16").state_dict()
    file = folder / "model.safetensors"
    save_file({name: each for name, each in state.items() if "h.1.mlp.fc_in.bias" not in name}, file)
    yield "a tensor is missing", "no tensor transformer.h.1.mlp.fc_in.bias"
    save_file(state | {"lm_head.weight": torch.zeros(9, 128)}, file)
    yield "a tensor has another shape", r"lm_head.weight is \(9, 128\), but config.json implies \(402"
    save_file(state, file)
    file.write_bytes(file.read_bytes()[:-5000])
    yield "the file is torn", "is truncated: its weights are incomplete; download it again"
    file.write_bytes(b"\x05")
    yield "the file is something else", "not a readable safetensors file"
    file.unlink()
    torch.save({"x": Wicked(folder / "harm")}, folder / "pytorch_model.bin")
    yield "the pickle runs code", "refused .*pytorch_model.bin: it contains more than weights"


class Wicked:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_damaged_weights_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    save(random_codegen("16"), tmp_path)
    for what, said in damaged(tmp_path):
        with pytest.raises(ModelError, match=said):
            loaded(tmp_path, "quantised")
        assert not list((tmp_path / "cache").glob("[!.]*-native-*")), what
    assert not (tmp_path / "harm").exists()


def test_once_laid_out_neither_torch_nor_the_weights_are_read(folder: Path, engine: Engine) -> None:
    code = f"""
import sys
from pathlib import Path
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from mtchat.inference.loaders.loader import load
folder = Path({str(folder)!r})
engine = load(folder, "tiny", cache=folder / "cache", report=lambda *_: None)
print(len(list(engine.complete(Prompt("x"), Sampling(max_tokens=3)))), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
    assert done.stderr == ""
