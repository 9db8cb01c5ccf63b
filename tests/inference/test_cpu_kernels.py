"""The kernels against gguf-py's own values and plain arithmetic, in every build that this processor runs."""

import numpy
import pytest
from numpy.typing import NDArray

from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.block_readers import KIND_OF_TYPE, READERS
from mtchat.inference.cpu.repack import QuantBlocks, group_columns, quantise_q8
from tests.support.cpu_models import in_eight_bits
from tests.support.packed_product import Product
from tests.support.stored_blocks import dequantised, stored

ROWS, COLUMNS = 64, 512
TYPES = sorted(READERS)
Array = NDArray[numpy.float32]


def rows_of(name: str, columns: int = COLUMNS, rows: int = ROWS) -> QuantBlocks:
    return READERS[name](stored(name, rows, columns))


def some_activations(count: int, columns: int = COLUMNS) -> Array:
    return numpy.random.default_rng(count).normal(size=(count, columns)).astype(numpy.float32)


@pytest.fixture(params=list(kernels.NEEDS))
def build(request: pytest.FixtureRequest) -> str:
    if request.param not in kernels.usable_builds():
        pytest.skip(f"the build {request.param} is not here, or not for this processor")
    return str(request.param)


def widths(name: str) -> list[int]:
    """The narrowest rows of a type, and some whose last group is not whole where a type allows that."""
    least = group_columns(KIND_OF_TYPE[name])
    return [least, 3 * least, COLUMNS, COLUMNS + 5 * least]


@pytest.mark.parametrize("name", TYPES)
def test_a_matrix_has_the_values_that_the_file_has(build: str, name: str) -> None:
    for columns in widths(name):
        raw = stored(name, 48, columns)
        expected = dequantised(raw, name)
        assert abs(expected).max() > 0.01
        assert numpy.array_equal(Product(build, READERS[name](raw)).rows(), expected)


@pytest.mark.parametrize("name", TYPES)
def test_a_product_is_that_of_its_values_and_rounded_activations(build: str, name: str) -> None:
    for columns in widths(name):
        values = dequantised(stored(name, ROWS, columns), name).astype(numpy.float64)
        activations = some_activations(11, columns)
        expected = in_eight_bits(activations).astype(numpy.float64) @ values.T
        product = Product(build, rows_of(name, columns))
        for count in (*range(1, 9), 11):
            found, right = product.times(activations[:count]), expected[:count]
            assert abs(found - right).max() < 1e-5 * abs(right).max()


@pytest.mark.parametrize("name", TYPES)
def test_a_row_gives_the_same_bits_whatever_is_computed_beside_it(build: str, name: str) -> None:
    product, activations = Product(build, rows_of(name)), some_activations(19)
    together = product.times(activations)
    for count in (1, 2, 3, 5, 8):
        for first in range(0, 19 - count, count):
            some = numpy.ascontiguousarray(activations[first : first + count])
            assert numpy.array_equal(
                product.times(some, threads=1 + count % 3), together[first : first + count]
            )


def test_every_type_that_is_read_has_a_kind() -> None:
    assert KIND_OF_TYPE.keys() == READERS.keys()
    for name in TYPES:
        assert rows_of(name).kind == KIND_OF_TYPE[name]


@pytest.mark.parametrize("name", ["MXFP4", "NVFP4"])
def test_every_scale_of_eight_bits_is_exact(build: str, name: str) -> None:
    """Subnormal ones and those beyond the range of halves too."""
    raw = stored(name, 256, 64).reshape(256, -1, 17 if name == "MXFP4" else 36)
    raw[:, :, : 1 if name == "MXFP4" else 4] = numpy.arange(256, dtype=numpy.uint8)[:, None, None]
    raw = raw.reshape(256, -1)
    with numpy.errstate(over="ignore"):
        expected = dequantised(raw, name)
    assert numpy.isinf(expected).any() == (name == "MXFP4")
    assert numpy.array_equal(Product(build, READERS[name](raw)).rows(), expected)


def test_floats_become_the_nearest_of_eight_bits(build: str) -> None:
    values = numpy.random.default_rng(5).normal(size=(ROWS, COLUMNS)).astype(numpy.float32)
    values[3] = 0
    found = Product(build, quantise_q8(values)).rows()
    peaks = abs(values.reshape(ROWS, -1, 32)).max(axis=2).repeat(32, axis=1)
    assert (abs(found - values) <= peaks / 127 * 0.51 + 1e-7).all()
    assert (found[3] == 0).all()


@pytest.mark.parametrize("name", TYPES)
def test_all_builds_agree_but_for_the_order_of_sums(name: str) -> None:
    activations = some_activations(4)
    found = [Product(each, rows_of(name)).times(activations) for each in kernels.usable_builds()]
    for other in found[1:]:
        assert abs(found[0] - other).max() < 1e-5 * abs(found[0]).max()
