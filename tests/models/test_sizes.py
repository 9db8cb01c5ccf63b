"""Sizes computed from shapes are those of the official files, and what the engine allocates."""

from dataclasses import replace

import pytest

from mtchat.bundled_models import cache, catalogue
from mtchat.inference.cpu import decoder, kernels, weights
from mtchat.inference.cpu.decoder import CpuModel
from mtchat.inference.loaders import gguf_shape, gguf_weights
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.models import sizes
from mtchat.models.facts import KnownModel, load_facts

MODELS = load_facts().models
STARTERS = [each for each in MODELS if catalogue.find(each.name).is_starter]
GIB = 1 << 30
VOCABULARY = range(5_940_000, 5_970_000)  # bytes: the words and merges that every file of the family holds


def by_name(name: str) -> KnownModel:
    return next(each for each in MODELS if each.name == name)


@pytest.mark.parametrize("known", MODELS, ids=lambda each: each.name)
def test_the_official_file_is_as_long_as_its_shape_implies(known: KnownModel) -> None:
    assert catalogue.find(known.name).bytes - sizes.file_bytes(known.shape) in VOCABULARY


def test_16_bit_weights_are_two_bytes_for_each_parameter() -> None:
    billions = [round(sizes.half_bytes(each.shape) / 2e9, 2) for each in MODELS]
    assert billions == [0.63, 1.78, 3.4, 7.62, 14.77]  # the embedding counts twice where the original ties it


def test_another_shape_gives_another_length() -> None:
    known = by_name("qwen2.5-coder-7b")
    wrong = replace(known.shape, layers=known.shape.layers - 1)
    assert catalogue.find(known.name).bytes - sizes.file_bytes(wrong) not in VOCABULARY


def test_the_catalogue_and_the_facts_name_the_same_models_smallest_first() -> None:
    assert {each.name for each in MODELS} == {each.name for each in catalogue.load_catalogue()}
    lengths = [catalogue.find(each.name).bytes for each in MODELS]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("known", MODELS, ids=lambda each: each.name)
def test_every_row_of_a_known_model_fits_the_blocks_of_the_kernels(known: KnownModel) -> None:
    weights.check_shape(weights.LLAMA_CLASS, known.shape)
    for each in sizes.matrix_sizes(known.shape):
        assert each.kind in (weights.FLOATS, *sizes.FILE_BITS)
    for name, size in weights.part_sizes(weights.LLAMA_CLASS, known.shape, weights.QWEN2_BIASES):
        if len(size) == 2:
            kind = sizes.matrix_kind(name, size[1], known.shape.layers)
            assert size[1] % weights.group_columns(kind) == 0
            assert size[0] % weights.STRIP == 0


@pytest.mark.parametrize("known", MODELS[1:], ids=lambda each: each.name)
def test_from_1_5b_on_all_matrices_are_q4_k_and_q6_k(known: KnownModel) -> None:
    kinds = {each.kind for each in sizes.matrix_sizes(known.shape)}
    assert kinds == {weights.FLOATS, sizes.Q4_MINIMA, sizes.Q6_SIGNED}


@pytest.mark.slow
@pytest.mark.parametrize("known", STARTERS, ids=lambda each: each.name)
def test_a_starter_takes_the_memory_that_was_computed(known: KnownModel) -> None:
    path = cache.locate(known.name, cache.models_folder())
    if path is None:
        pytest.skip(f"{known.name} is not here: mtchat models get {known.name}")
    header = read_gguf(path)
    shape = gguf_shape.read_shape(header)
    assert replace(shape, epsilon=known.shape.epsilon) == known.shape
    assert shape.epsilon == pytest.approx(known.shape.epsilon)
    planned, size = weights.plan_file(gguf_weights.part_sources(header))
    assert size == sizes.repacked_bytes(known.shape)
    read = sum(part.size for part in planned.values())
    embedding = next(each for each in sizes.matrix_sizes(known.shape) if each.name == sizes.EMBEDDING)
    assert read - embedding.repacked_bytes == sizes.bytes_per_token(known.shape)


@pytest.mark.skipif(not kernels.best_build(), reason="no kernels for this CPU")
@pytest.mark.parametrize("known", STARTERS, ids=lambda each: each.name)
def test_the_engine_allocates_the_keys_and_values_that_were_computed(known: KnownModel) -> None:
    folder = cache.models_folder().parent / "converted"
    content = catalogue.find(known.name).sha256[:16]
    repacked = folder / f"{content}-native-{weights.FORMAT}"
    if not repacked.is_dir():
        pytest.skip(f"{known.name} was not used here yet")
    need = sizes.memory_need(known.shape, 8 * GIB)
    found = weights.read_weights(repacked)
    model = CpuModel(found, kernels.best_build(), 1, decoder.kv_capacity(found.shape, 8 * GIB))
    try:
        per_token = (model.keys.nbytes + model.values.nbytes) // model.capacity
        assert per_token * need.context == need.cache
        assert need.context == min(known.shape.context, model.capacity)
        assert found.data.nbytes == need.weights
    finally:
        model.close()


@pytest.mark.parametrize(
    ("name", "memory", "context"),
    [
        ("starter", 32 * GIB, 32_768),
        ("starter", 2 * GIB, 9_362),
        ("qwen2.5-coder-7b", 16 * GIB, 32_768),
        ("qwen2.5-coder-14b", 32 * GIB, 10_922),
        ("qwen2.5-coder-14b", 4 * GIB, 4_096),
    ],
)
def test_the_context_is_what_the_memory_of_the_machine_allows(name: str, memory: int, context: int) -> None:
    need = sizes.memory_need(by_name(name).shape, memory)
    assert need.context == context
    assert need.total == need.weights + need.cache + need.other


def test_a_model_that_drafts_takes_memory_too() -> None:
    small, starter = by_name("starter-small").shape, by_name("starter").shape
    alone, both = sizes.memory_need(starter, 32 * GIB), sizes.memory_need(starter, 32 * GIB, small)
    assert both.draft == sizes.repacked_bytes(small)
    assert both.cache - alone.cache == sizes.cache_bytes(small, both.context)
    assert both.total - alone.total == both.draft + both.cache - alone.cache
    assert both.total - both.least == both.cache * 7 // 8
