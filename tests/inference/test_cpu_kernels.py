"""The kernels against gguf-py's own values and plain arithmetic, in every build that this processor runs."""

import gguf
import numpy
import pytest
from numpy.typing import NDArray

from mtchat.inference.cpu import kernels, repack
from tests.support.cpu_models import in_eight_bits
from tests.support.packed_product import Product

ROWS, COLUMNS = 64, 512
HALVES = {"Q6_K": slice(208, 210), "Q4_K": slice(0, 4), "Q5_K": slice(0, 4)}
TYPES = sorted(repack.READERS)
Array = NDArray[numpy.float32]


def stored(name: str) -> NDArray[numpy.uint8]:
    """Random rows of a type of GGUF, whose scales are numbers."""
    items, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    random = numpy.random.default_rng(len(name) + TYPES.index(name))
    raw = random.integers(0, 256, (ROWS, COLUMNS // items, width), numpy.uint8)
    where = HALVES.get(name, slice(0, 2))
    scales = random.normal(size=(ROWS, COLUMNS // items, (where.stop - where.start) // 2)) / 64
    raw[:, :, where] = scales.astype(numpy.float16).view(numpy.uint8)
    return raw.reshape(ROWS, -1)


def some_activations(count: int) -> Array:
    return numpy.random.default_rng(count).normal(size=(count, COLUMNS)).astype(numpy.float32)


@pytest.fixture(params=list(kernels.NEEDS))
def build(request: pytest.FixtureRequest) -> str:
    if request.param not in kernels.usable_builds():
        pytest.skip(f"the build {request.param} is not here, or not for this processor")
    return str(request.param)


@pytest.mark.parametrize("name", TYPES)
def test_a_matrix_has_the_values_that_the_file_has(build: str, name: str) -> None:
    raw = stored(name)
    expected = gguf.dequantize(raw, gguf.GGMLQuantizationType[name])
    assert abs(expected).max() > 0.1
    assert numpy.array_equal(Product(build, repack.READERS[name](raw)).rows(), expected)


@pytest.mark.parametrize("name", TYPES)
def test_a_product_is_that_of_its_values_and_rounded_activations(build: str, name: str) -> None:
    raw, activations = stored(name), some_activations(11)
    values = gguf.dequantize(raw, gguf.GGMLQuantizationType[name]).astype(numpy.float64)
    expected = in_eight_bits(activations).astype(numpy.float64) @ values.T
    found = Product(build, repack.READERS[name](raw)).times(activations)
    assert abs(found - expected).max() < 1e-5 * abs(expected).max()


@pytest.mark.parametrize("name", TYPES)
def test_a_row_gives_the_same_bits_whatever_is_computed_beside_it(build: str, name: str) -> None:
    product, activations = Product(build, repack.READERS[name](stored(name))), some_activations(19)
    together = product.times(activations)
    for count in (1, 2, 3, 5, 8):
        for first in range(0, 19 - count, count):
            some = numpy.ascontiguousarray(activations[first : first + count])
            assert numpy.array_equal(
                product.times(some, threads=1 + count % 3), together[first : first + count]
            )


def test_floats_become_the_nearest_of_eight_bits(build: str) -> None:
    values = numpy.random.default_rng(5).normal(size=(ROWS, COLUMNS)).astype(numpy.float32)
    values[3] = 0
    found = Product(build, repack.quantise_q8(values)).rows()
    peaks = abs(values.reshape(ROWS, -1, 32)).max(axis=2).repeat(32, axis=1)
    assert (abs(found - values) <= peaks / 127 * 0.51 + 1e-7).all()
    assert (found[3] == 0).all()


def test_all_builds_agree_but_for_the_order_of_sums() -> None:
    activations = some_activations(4)
    found = [
        Product(each, repack.READERS["Q4_K"](stored("Q4_K"))).times(activations)
        for each in kernels.usable_builds()
    ]
    for other in found[1:]:
        assert abs(found[0] - other).max() < 1e-5 * abs(found[0]).max()
