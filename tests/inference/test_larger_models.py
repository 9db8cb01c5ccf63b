"""The kernels take what the files of the larger known models hold: their types, widths, groups and layers."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gguf
import numpy
import pytest

from mtchat.inference.cpu import kernels, repack, weights
from mtchat.inference.cpu.block_readers import READERS
from mtchat.inference.cpu.decoder import CpuDecoder
from mtchat.inference.loaders import gguf_architectures, gguf_weights, loader
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.speculative import DraftModel, NgramDrafter
from mtchat.models import sizes
from mtchat.models.facts import KnownModel, load_facts
from mtchat.session.settings import Sampling
from tests.support.cpu_models import LONG, in_eight_bits, silent, teacher_forced, written
from tests.support.packed_product import Product
from tests.support.plain_qwen2 import plainly, random_blocks, write_q4_k_m

LARGER = load_facts().models[2:]
NAMES = {repack.Q4_MINIMA: "Q4_K", repack.Q6_SIGNED: "Q6_K"}
TOKENS = 315  # of the tokenizer of the tests
ROWS = 32  # the rows of a matrix are computed strip by strip, so some stand for all

pytestmark = pytest.mark.skipif(not kernels.best_build(), reason="no kernels for this CPU")


def matrices() -> list[tuple[str, int]]:
    """The type and width of every matrix of the larger models."""
    found = {
        (NAMES[sizes.matrix_kind(name, size[1], known.shape.layers)], size[1])
        for known in LARGER
        for name, size in weights.part_sizes(weights.LLAMA_CLASS, known.shape, weights.QWEN2_BIASES)
        if len(size) == 2
    }
    return sorted(found)


def test_the_widths_are_those_of_the_larger_models() -> None:
    assert {width for _, width in matrices()} == {2048, 11008, 3584, 18944, 5120, 13824}


@pytest.mark.parametrize(("name", "columns"), matrices())
def test_a_product_of_this_width_is_exact_but_for_the_rounded_activations(name: str, columns: int) -> None:
    raw = random_blocks(name, ROWS, columns, columns)
    activations = numpy.random.default_rng(3).normal(size=(9, columns)).astype(numpy.float32)
    values = gguf.dequantize(raw, gguf.GGMLQuantizationType[name]).astype(numpy.float64)
    expected = in_eight_bits(activations).astype(numpy.float64) @ values.T
    found = Product(kernels.best_build(), READERS[name](raw)).times(activations)
    assert abs(found - expected).max() < 1e-5 * abs(expected).max()


def smaller(known: KnownModel, layers: int, head: int = 64) -> weights.CpuShape:
    """A model with the attention groups of a known one and fewer, narrower layers."""
    group = known.shape.heads // known.shape.kv_heads
    kv_heads = 4 if group % 4 else 1  # rows are whole blocks of 256
    heads = group * kv_heads
    return replace(
        known.shape,
        layers=layers,
        width=heads * head,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        rotary=head,
        feed=512,
        vocabulary=TOKENS,
        context=256,
    )


def load(path: Path, precision: str = "auto"):
    return loader.load(path, "tiny", precision=precision, cache=path.parent, report=silent)


@pytest.mark.slow
@pytest.mark.parametrize("known", LARGER, ids=lambda each: each.name)
def test_a_model_with_these_groups_is_computed_as_plain_arithmetic_does(
    known: KnownModel, tmp_path: Path
) -> None:
    """Where no activation is rounded the other way, the logits agree to 1e-5; a wrong head would never."""
    shape, path = smaller(known, 2), tmp_path / "tiny.gguf"
    write_q4_k_m(path, shape)
    ours = load(path)
    assert ours.card.precision == "quantised"
    assert not ours.card.notes
    state = load(path, "float32").decoder.model.state_dict()
    plain = {name: each.double().numpy() for name, each in state.items()}
    config = SimpleNamespace(
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        hidden_size=shape.width,
        rms_norm_eps=shape.epsilon,
        num_hidden_layers=shape.layers,
    )
    errors = []
    for seed in range(16):
        ids = numpy.random.default_rng(seed).integers(3, 300, 3).tolist()
        expected = plainly(plain, config, ids, shape.theta)
        errors.append(abs(teacher_forced(ours, ids, 3) - expected).max() / expected.std())
    assert sorted(errors)[1] < 1e-5, sorted(errors)
    assert max(errors) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True], ids=["separate output", "tied output"])
@pytest.mark.parametrize("known", LARGER, ids=lambda each: each.name)
def test_a_model_with_as_many_layers_is_loaded_and_writes(
    known: KnownModel, tied: bool, tmp_path: Path
) -> None:
    shape, path = replace(smaller(known, known.shape.layers), feed=256), tmp_path / "tiny.gguf"
    if shape.width > 1024:
        shape = replace(shape, width=256, heads=4, kv_heads=4)
    write_q4_k_m(path, shape, tied)
    header = read_gguf(path)
    assert gguf_weights.unsupported_reason(header) == ""
    assert (gguf_architectures.OUTPUT in header.tensors) != tied
    engine = load(path)
    assert isinstance(engine.decoder, CpuDecoder)
    assert engine.decoder.model.shape.layers == known.shape.layers
    if not tied:
        assert engine.decoder.model.weights.data.nbytes == sizes.repacked_bytes(engine.decoder.model.shape)
    greedy = Sampling(max_tokens=12)
    assert written(engine, LONG, greedy)[0] == written(load(path), LONG, greedy)[0]
    ids = numpy.random.default_rng(1).integers(3, 300, 20).tolist()
    assert numpy.array_equal(teacher_forced(engine, ids, 7), teacher_forced(load(path), ids, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("large_rows", "small_rows", "drafts"),
    [(TOKENS, TOKENS, True), (TOKENS + 128, TOKENS, True), (TOKENS, TOKENS + 128, False)],
)
def test_a_model_with_as_many_rows_or_fewer_drafts_and_changes_no_text(
    large_rows: int, small_rows: int, drafts: bool, tmp_path: Path
) -> None:
    """The 7B and 14B models have 128 more rows than the one that drafts for them, none of them a token."""
    large, small = tmp_path / "large.gguf", tmp_path / "small.gguf"
    shape = smaller(LARGER[0], 2)
    write_q4_k_m(large, replace(shape, layers=3, vocabulary=large_rows))
    write_q4_k_m(small, replace(shape, vocabulary=small_rows))
    drafting = loader.load(large, "large", cache=tmp_path, draft=small, report=silent)
    assert isinstance(drafting.drafter([1]), DraftModel if drafts else NgramDrafter)
    if drafts:
        decoder = drafting.drafter([1]).sequence.decoder
        drafting.drafter = lambda ids: DraftModel(decoder, ids, min_probability=0.0)
    greedy = Sampling(max_tokens=16)
    assert written(drafting, LONG, greedy)[0] == written(load(large), LONG, greedy)[0]
