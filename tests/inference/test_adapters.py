"""LoRA adapters beside a model: as merged float64 weights, as llama.cpp and peft compute them, or refused."""

import math
from pathlib import Path
from typing import Any

import numpy
import pytest

from evals.toys.changes import Change, changed_copy
from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.decoder import CpuDecoder, CpuModel
from mtchat.inference.engine import Engine
from mtchat.inference.llama_cpp import library
from mtchat.inference.loaders import gguf_shape, loader, lora_files, lora_fitting
from mtchat.inference.loaders.devices import LLAMA_CPP
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.loader import AdapterName
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests import ROOT
from tests.support.cpu_models import silent, start, teacher_forced
from tests.support.lora_adapters import Halves, merge, random_halves, write_gguf, write_peft
from tests.support.plain_gguf import PlainModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor"),
]
TOYS = ROOT / "tests" / "toys"
ARCHITECTURES = {"qwen2": "qwen2", "llama": "llama", "gemma3": "gemma3", "granite": "granite", "phi4": "phi3"}
LLAMA = pytest.mark.skipif(bool(library.missing_reason()), reason=library.missing_reason())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapted")


def halves_of(toy: str, rank: int, seed: int = 0, **how: Any) -> Halves:
    return random_halves(read_gguf(TOYS / f"{toy}.gguf"), rank, seed, **how)


def adapted(toy: str, cache: Path, *adapters: AdapterName, precision: str = "auto") -> Engine:
    return loader.load(
        TOYS / f"{toy}.gguf", toy, adapters=adapters, precision=precision, cache=cache, report=silent
    )


def some_ids(toy: str, count: int, seed: int) -> list[int]:
    rows = gguf_shape.read_shape(read_gguf(TOYS / f"{toy}.gguf")).vocabulary
    return [int(each) for each in numpy.random.default_rng(seed).integers(3, rows - 1, count)]


def errors(engine: Engine, toy: str, merged: list[tuple[Halves, float]]) -> list[float]:
    """How far logits are from those of merged weights, by their spread, in some sequences; sorted."""
    plain = PlainModel(TOYS / f"{toy}.gguf")
    for halves, scale in merged:
        merge(plain.tensors, halves, scale)
    found = []
    for seed in range(8):
        ids = some_ids(toy, 4, seed)
        expected = plain.logits(ids)
        found.append(abs(teacher_forced(engine, ids, 3) - expected).max() / expected.std())
    return sorted(found)


def assert_merged(engine: Engine, toy: str, merged: list[tuple[Halves, float]]) -> None:
    """Logits are those of merged weights.

    Sums in another order now and then round an activation to eight bits the other way: in some sequences
    that moves logits by hundredths of their spread, where an adapter that is left out moves them by all.
    """
    found = errors(engine, toy, merged)
    assert found[len(found) // 3] < 1e-5
    assert found[-1] < 0.15


@pytest.mark.parametrize("rank", [4, 16, 64])
@pytest.mark.parametrize("toy", ARCHITECTURES)
def test_an_adapter_is_what_its_merged_weights_are(toy: str, rank: int, cache: Path, tmp_path: Path) -> None:
    halves = halves_of(toy, rank)
    file = write_gguf(tmp_path / "a.gguf", ARCHITECTURES[toy], halves, 2.0 * rank)
    engine = adapted(toy, cache, AdapterName(file, 0.5))
    assert_merged(engine, toy, [(halves, 1.0)])
    assert errors(engine, toy, [])[0] > 0.5


def test_attention_beside_experts_is_adapted(cache: Path, tmp_path: Path) -> None:
    halves = halves_of("qwen3moe", 8, wanted=lambda name: "attn" in name)
    file = write_gguf(tmp_path / "a.gguf", "qwen3moe", halves, 8.0)
    engine = adapted("qwen3moe", cache, AdapterName(file))
    assert_merged(engine, "qwen3moe", [(halves, 1.0)])
    assert errors(engine, "qwen3moe", [])[0] > 0.3


def test_heads_of_which_a_part_is_rotated_are_adapted_in_their_order(cache: Path, tmp_path: Path) -> None:
    toy = str(tmp_path / "partial")
    change = Change({"rope.dimension_count": 32}, {"rope_freqs.weight": None})
    changed_copy(TOYS / "llama.gguf", Path(f"{toy}.gguf"), change)
    halves = halves_of(toy, 8, wanted=lambda name: "attn" in name)
    file = write_gguf(tmp_path / "a.gguf", "llama", halves, 8.0)
    engine = adapted(toy, cache, AdapterName(file))
    assert_merged(engine, toy, [(halves, 1.0)])
    assert errors(engine, toy, [])[0] > 0.3


@pytest.mark.parametrize("toy", ["qwen2", "llama", "phi4"])
@pytest.mark.parametrize("stabilised", [False, True])
def test_a_folder_of_peft_is_scaled_as_it_says(
    toy: str, stabilised: bool, cache: Path, tmp_path: Path
) -> None:
    rank, alpha = 16, 12.0
    halves = halves_of(toy, rank)
    folder = write_peft(tmp_path / "a", read_gguf(TOYS / f"{toy}.gguf"), halves, alpha, use_rslora=stabilised)
    engine = adapted(toy, cache, AdapterName(folder))
    scale = alpha / math.sqrt(rank) if stabilised else alpha / rank
    assert_merged(engine, toy, [(halves, scale)])


def test_patterns_give_some_matrices_another_rank_and_alpha(cache: Path, tmp_path: Path) -> None:
    header = read_gguf(TOYS / "qwen2.gguf")
    small = halves_of("qwen2", 4, wanted=lambda name: "attn_q" in name)
    large = halves_of("qwen2", 8, wanted=lambda name: "attn_q" not in name)
    folder = write_peft(
        tmp_path / "a",
        header,
        {**large, **small},
        8.0,
        rank_pattern={"q_proj": 4},
        alpha_pattern={"q_proj": 2},
    )
    engine = adapted("qwen2", cache, AdapterName(folder))
    assert_merged(engine, "qwen2", [(small, 0.5), (large, 1.0)])


def test_adapters_add_up(cache: Path, tmp_path: Path) -> None:
    first, second = halves_of("llama", 4), halves_of("llama", 8, 1, wanted=lambda name: "ffn" in name)
    header = read_gguf(TOYS / "llama.gguf")
    names = [
        AdapterName(write_gguf(tmp_path / "a.gguf", "llama", first, 4.0), 0.7),
        AdapterName(write_peft(tmp_path / "b", header, second, 8.0), -0.5),
    ]
    engine = adapted("llama", cache, *names)
    assert_merged(engine, "llama", [(first, 0.7), (second, -0.5)])


def test_any_way_to_compute_gives_the_same_bits(cache: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", "llama", halves_of("llama", 8), 8.0)
    engine, ids = adapted("llama", cache, AdapterName(file)), some_ids("llama", 130, 1)
    expected = teacher_forced(engine, ids, 64)
    for width in (1, 3, 8):
        assert numpy.array_equal(
            teacher_forced(adapted("llama", cache, AdapterName(file)), ids, width), expected
        )
    header, adapter = read_gguf(TOYS / "llama.gguf"), lora_files.read_adapter(file)
    fitted = lora_fitting.fit_adapters(header, [lora_fitting.ScaledAdapter(adapter)])
    decoder = engine.decoder
    assert isinstance(decoder, CpuDecoder)
    for build in kernels.usable_builds():
        for threads in (1, 3):
            model = CpuModel(decoder.model.weights, build, threads, 200, adapters=fitted)
            found = start(CpuDecoder(model)).forward(ids[:64])
            if build == kernels.best_build():
                assert numpy.array_equal(found, expected[:64])
            assert numpy.median(abs(found - expected[:64]).max(1)) < 0.1 * expected.std(), build
            model.close()


def test_an_adapter_of_the_output_matrix_changes_the_logits_alone(cache: Path, tmp_path: Path) -> None:
    toy = next(
        each
        for each in ("llama", "qwen3", "phi4", "granite", "qwen2")
        if "output.weight" in read_gguf(TOYS / f"{each}.gguf").tensors
    )
    rows, columns = read_gguf(TOYS / f"{toy}.gguf").tensors["output.weight"].shape
    rng = numpy.random.default_rng(3)
    halves = {
        "output.weight": (
            rng.normal(0, 0.1, (4, columns)).astype(numpy.float32),
            rng.normal(0, 1, (rows, 4)).astype(numpy.float32),
        )
    }
    file = write_gguf(tmp_path / "a.gguf", ARCHITECTURES.get(toy, toy), halves, 4.0)
    engine = adapted(toy, cache, AdapterName(file))
    assert_merged(engine, toy, [(halves, 1.0)])


@LLAMA
@pytest.mark.parametrize("toy", ["qwen2", "llama", "gemma3"])
def test_the_text_is_llama_cpps_with_the_same_file(toy: str, cache: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", ARCHITECTURES[toy], halves_of(toy, 8), 8.0)
    texts = []
    for precision, scale in (("auto", 0.4), (LLAMA_CPP, 0.4), ("auto", 0.0)):
        engine = adapted(toy, cache, AdapterName(file, scale), precision=precision)
        pieces = engine.complete(Prompt("def add(a, b):\n"), Sampling(max_tokens=24))
        texts.append("".join(piece.text for piece in pieces))
        assert "with the adapter a.gguf" in engine.card.notes[0]
        engine.close()
    assert texts[0] == texts[1] != texts[2]


def test_a_model_with_an_adapter_has_another_fingerprint(cache: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", "qwen2", halves_of("qwen2", 4), 4.0)
    cards = [
        adapted("qwen2", cache, *adapters).card
        for adapters in ((), (AdapterName(file),), (AdapterName(file, 0.5),), (AdapterName(file),))
    ]
    prints = [card.fingerprint for card in cards]
    assert len(set(prints)) == 3
    assert prints[1] == prints[3]
    sha = lora_files.hash_file(file)
    assert cards[0].notes != cards[1].notes
    assert f"SHA-256 {sha[:12]}" in cards[1].notes[0]
    assert "rank 4 on 14 matrices" in cards[1].notes[0]
    assert "times 0.5" in cards[2].notes[0]


def test_what_was_read_without_an_adapter_is_not_reused_with_it(cache: Path, tmp_path: Path) -> None:
    """The KV cache that is kept on disk belongs to one model with its adapters."""
    file = write_gguf(tmp_path / "a.gguf", "qwen2", halves_of("qwen2", 4), 40.0)
    ids = some_ids("qwen2", 60, 4)
    found = []
    for adapters in ((), (AdapterName(file),), ()):
        engine = adapted("qwen2", tmp_path, *adapters)
        for logits in engine.decoder.open(ids).prefill():
            last = logits
        found.append(last)
        engine.close()
    assert numpy.array_equal(found[0], found[2])
    fresh = adapted("qwen2", cache, AdapterName(file))
    for logits in fresh.decoder.open(ids).prefill():
        last = logits
    assert numpy.array_equal(found[1], last)


@pytest.mark.parametrize(
    ("made_for", "told"),
    [("Qwen/Qwen2.5-Coder-0.5B", True), ("toys/qwen2", False), ("", False), ("./out/qwen2", False)],
)
def test_a_note_says_that_an_adapter_was_made_for_another_model(
    made_for: str, told: bool, cache: Path, tmp_path: Path
) -> None:
    header = read_gguf(TOYS / "qwen2.gguf")
    folder = write_peft(tmp_path / "a", header, halves_of("qwen2", 4), 4.0, base_model_name_or_path=made_for)
    notes = adapted("qwen2", cache, AdapterName(folder)).card.notes
    assert any(f"was made for {made_for}" in note for note in notes) is told


@pytest.mark.parametrize(
    ("name", "shapes", "words"),
    [
        ("blk.9.attn_q.weight", (64, 64), "blk.9.attn_q.weight is not in this model, which has 2 layers"),
        ("blk.0.attn_q.weight", (64, 96), "blk.0.attn_q.weight is 96 by 64 there and"),
        ("token_embd.weight", (64, 300), "is the embedding"),
        ("blk.0.attn_norm.weight", (64, 64), "is none of the matrices that mtchat adapts"),
        ("blk.0.klingon.weight", (64, 64), "klingon.weight is not in this model"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_by_the_name_of_its_matrix(
    name: str, shapes: tuple[int, int], words: str, cache: Path, tmp_path: Path
) -> None:
    columns, rows = shapes
    halves = {name: (numpy.ones((2, columns), numpy.float32), numpy.ones((rows, 2), numpy.float32))}
    file = write_gguf(tmp_path / "a.gguf", "qwen2", halves, 2.0)
    with pytest.raises(ModelError, match=words):
        adapted("qwen2", cache, AdapterName(file))


def test_an_adapter_of_another_architecture_is_refused(cache: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", "llama", halves_of("llama", 4), 4.0)
    with pytest.raises(ModelError, match="is for llama models, and this one is qwen2"):
        adapted("qwen2", cache, AdapterName(file))


def test_a_tied_head_is_not_adapted(cache: Path, tmp_path: Path) -> None:
    tied = next(
        path
        for path in sorted(TOYS.glob("*.gguf"))
        if "output.weight" not in (header := read_gguf(path)).tensors
        and header.metadata["general.architecture"] in ("gemma2", "gemma3", "llama", "qwen2")
    )
    header = read_gguf(tied)
    rows, columns = header.tensors["token_embd.weight"].shape
    halves = {
        "output.weight": (numpy.ones((2, columns), numpy.float32), numpy.ones((rows, 2), numpy.float32))
    }
    name = str(header.metadata["general.architecture"])
    file = write_gguf(tmp_path / "a.gguf", name, halves, 2.0)
    with pytest.raises(ModelError, match="shares its matrix with the embedding"):
        adapted(tied.stem, cache, AdapterName(file))


def test_an_adapter_that_no_float_can_hold_is_refused(cache: Path, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", "qwen2", halves_of("qwen2", 2), 2.0)
    with pytest.raises(ModelError, match=r"is too large times 1e\+300; give a smaller scale"):
        adapted("qwen2", cache, AdapterName(file, 1e300))


@LLAMA
def test_llama_cpp_takes_adapters_as_files_only(cache: Path, tmp_path: Path) -> None:
    folder = write_peft(tmp_path / "a", read_gguf(TOYS / "qwen2.gguf"), halves_of("qwen2", 4), 4.0)
    with pytest.raises(ModelError, match="reads adapters from GGUF files only"):
        adapted("qwen2", cache, AdapterName(folder), precision=LLAMA_CPP)
    wrong = {"blk.7.attn_q.weight": (numpy.ones((2, 64), numpy.float32), numpy.ones((64, 2), numpy.float32))}
    file = write_gguf(tmp_path / "b.gguf", "qwen2", wrong, 2.0)
    with pytest.raises(ModelError, match=r"llama\.cpp cannot apply the adapter"):
        adapted("qwen2", cache, AdapterName(file), precision=LLAMA_CPP)
