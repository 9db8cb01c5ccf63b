"""One matrix in the kernels' layout, and its products with activations."""

from ctypes import byref, c_void_p

import numpy
from numpy.typing import NDArray

from mtchat.inference.cpu import kernels, repack
from mtchat.inference.cpu.weights import OVERRUN

Array = NDArray[numpy.float32]


class Product:
    """A matrix in the kernels' layout."""

    def __init__(self, build: str, rows: repack.QuantBlocks) -> None:
        count, columns = self.shape = rows.values.shape
        laid = numpy.ascontiguousarray(repack.repack(rows))
        assert laid.shape == (count // repack.STRIP, repack.strip_bytes(rows.kind, columns))
        self.data = numpy.concatenate([laid.ravel(), numpy.zeros(OVERRUN, numpy.uint8)])
        self.matrix = kernels.MatrixStruct(self.data.ctypes.data, count, columns, rows.kind)
        self.library = kernels.load(build)

    def rows(self) -> Array:
        found = numpy.empty(self.shape, numpy.float32)
        for row in range(self.shape[0]):
            self.library.mtchat_read_row(byref(self.matrix), row, found[row].ctypes.data)
        return found

    def times(self, activations: Array, threads: int = 2) -> Array:
        sizes = {"layers": 0, "width": 64, "heads": 1, "kv_heads": 1, "head": 64, "feed": self.shape[1]}
        model = kernels.ModelStruct(**sizes, vocabulary=16, capacity=16, epsilon=1e-6)
        state = c_void_p(self.library.mtchat_open(byref(model), None, threads, 8))
        found = numpy.empty((len(activations), self.shape[0]), numpy.float32)
        data = activations.ctypes.data
        assert (
            self.library.mtchat_product(state, byref(self.matrix), data, len(activations), found.ctypes.data)
            == 0
        )
        self.library.mtchat_close(state)
        return found
