"""LoRA adapters beside the weights of the CPU kernels: two thin float32 products for each matrix."""

from collections.abc import Iterator, Mapping
from ctypes import addressof, pointer
from dataclasses import dataclass

import numpy

from mtchat.inference.cpu import kernels
from mtchat.inference.decoder import Floats

HEAD = "output"  # the part of the output matrix; those of layers are named like "0.query"


@dataclass(frozen=True)
class LowRank:
    """What is added to a matrix: `b.T @ a`; `a` is (rank, columns), and `b` (rank, rows) has the scale."""

    a: Floats
    b: Floats

    def beside(self, other: "LowRank | None") -> "LowRank":
        """The sum of both."""
        if other is None:
            return self
        return LowRank(numpy.concatenate([self.a, other.a]), numpy.concatenate([self.b, other.b]))


class PackedAdapters:
    """The adapters of a model as the kernels read them; the arrays stay alive with it."""

    def __init__(self, adapters: Mapping[str, LowRank], layers: int, head_rows: int) -> None:
        self.kept: list[Floats] = []
        self.ranks = [0]
        numbers = sorted({int(name.partition(".")[0]) for name in adapters if name != HEAD})
        self.layers = {number: self.layer(adapters, number) for number in numbers}
        assert all(0 <= number < layers for number in numbers)
        found = adapters.get(HEAD)
        if found is not None:  # the vocabulary is padded to whole strips
            found = LowRank(found.a, numpy.pad(found.b, ((0, 0), (0, head_rows - found.b.shape[1]))))
        self.head = pointer(self.struct(found, 0)) if found else None
        self.ranks.append(len(found.a) if found else 0)

    @property
    def widest(self) -> int:
        """The most ranks of adapters that read the same activations."""
        return max(self.ranks)

    def layer(self, adapters: Mapping[str, LowRank], number: int) -> kernels.AdaptersStruct:
        return kernels.AdaptersStruct(**dict(self.structs(adapters, number)))

    def structs(
        self, adapters: Mapping[str, LowRank], number: int
    ) -> Iterator[tuple[str, kernels.AdapterStruct]]:
        for names in kernels.SAME_INPUT:
            first = 0
            for name in names:
                found = adapters.get(f"{number}.{name}")
                yield name, self.struct(found, first)
                first += len(found.a) if found else 0
            self.ranks.append(first)

    def struct(self, found: LowRank | None, first: int) -> kernels.AdapterStruct:
        if found is None:
            return kernels.AdapterStruct(first=first)
        a, b = (numpy.ascontiguousarray(each, numpy.float32) for each in (found.a, found.b))
        self.kept += [a, b]
        return kernels.AdapterStruct(a.ctypes.data, b.ctypes.data, len(a), first)

    def layer_address(self, number: int) -> int | None:
        found = self.layers.get(number)
        return addressof(found) if found else None

    def head_address(self) -> int | None:
        return addressof(self.head.contents) if self.head else None
