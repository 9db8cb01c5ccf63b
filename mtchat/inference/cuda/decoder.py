"""A model on one GPU: reads prompts into slots of keys and values, and writes a token of each lane a step."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

from mtchat.inference.cuda import reference
from mtchat.inference.cuda.reference import BLOCK, GATE, GELU, Board, Page
from mtchat.inference.cuda.weights import Layer, Weights
from mtchat.inference.decoder import Logits
from mtchat.inference.sequence import Ints, TreeDecoder, TreePath

SIZES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 96, 128, 160, 192, 256)  # lanes of a step
MOST_SLOTS = 1 << 18
LEAST_SLOTS = 2  # contexts
SHORT = (16, 32, 64, 128, 256)  # tokens of a pass that is recorded: more take longer than to start it
FEW_ROWS = 8  # sequences of one that is recorded
LIKELIEST, DRAWN, SORTED = range(3)  # how a step chooses: SORTED where top_k is above SORTABLE

Place = TypeVar("Place", Board, Page)


class Recorded:
    """Steps of so many lanes, or a pass over so many tokens: recorded once, played with a single launch."""

    def __init__(self, place: Place, step: Callable[[Place], Any], pool: Any) -> None:
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        try:  # kernels are compiled, and libraries set up, before the recording
            with torch.cuda.stream(stream):
                for _ in range(2):
                    step(place)
        finally:  # an interrupt too leaves nothing under way beside what comes next
            torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool):
            step(place)

    def __call__(self) -> None:
        self.graph.replay()


class GpuDecoder(TreeDecoder):
    """Fused weights with their tree of keys and values, (layers, slots, kv heads, width) each.

    `ops` are the kernels, or `plain`, which computes on any device without recording. The last slot is
    nobody's: what idle lanes write goes there. A `run` of steps is started at once where there are few lanes.
    """

    most = 4096

    def __init__(self, weights: Weights, slots: int, ops: Any = reference, run: int = 1) -> None:
        super().__init__(slots)
        self.run = run
        shape = weights.shape
        self.weights = weights
        self.ops = ops
        self.device = weights.embedding.device
        self.records = self.device.type == "cuda" and ops is not reference  # plain asks the host
        size = (len(weights.layers), slots + 1, shape.kv_heads, shape.width)
        self.keys = torch.zeros(size, dtype=weights.embedding.dtype, device=self.device)
        self.values = torch.zeros_like(self.keys)
        self.steps: dict[tuple[int, int, int], Callable[[], None]] = {}
        self.boards: dict[int, Board] = {}
        self.readers: dict[int, tuple[Page, Callable[[], None]]] = {}
        self.pool: Any = None

    @property
    def rows(self) -> int:
        return self.weights.embedding.shape[0]

    @torch.inference_mode()
    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        hidden = self.forward(rows)[torch.tensor(list(wanted), device=self.device)]
        logits: Logits = reference.product(hidden, self.weights.head).float().cpu().numpy()
        return logits

    def read(self, parts: Sequence[tuple[TreePath, Sequence[int]]]) -> None:
        """Take the next ids into some paths, all together and without their logits."""
        rows = self.placed(parts)
        size = next((each for each in SHORT if each >= sum(len(ids) for ids, _ in rows)), 0)
        if self.records and size and len(rows) <= FEW_ROWS:
            self.read_again(rows, size)
        else:
            self.forward(rows)
        for path, ids in parts:
            path.keep(len(ids))

    @torch.inference_mode()
    def forward(self, rows: Sequence[tuple[Sequence[int], Ints]]) -> Tensor:
        """Read the next ids of some sequences, each with the slots of all of it: hidden states (T, E)."""
        return self.pass_over(paged(rows, self.tree.capacity).to(self.device))

    @torch.inference_mode()
    def read_again(self, rows: Sequence[tuple[Sequence[int], Ints]], size: int) -> None:
        """Read few tokens as so many: the pass is recorded when it is first met."""
        if size not in self.readers:
            blocks = numpy.zeros((size // BLOCK + FEW_ROWS, 4), numpy.int64)
            tables = numpy.full((FEW_ROWS, self.weights.shape.context), self.tree.capacity, numpy.int32)
            ids = numpy.zeros(size, numpy.int64)
            empty = Page(*map(torch.from_numpy, (ids, ids, ids + self.tree.capacity, tables, blocks)))
            place = empty.to(self.device)
            self.readers[size] = place, self.recorded(place, self.pass_over)
        place, player = self.readers[size]
        place.take(paged(rows, self.tree.capacity, size, len(place.blocks)))
        player()

    def recorded(self, place: Place, step: Callable[[Place], Any]) -> Recorded:
        """Steps, or a pass, whose memory is that of all recordings: they are played one after the other."""
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        return Recorded(place, step, self.pool)

    def pass_over(self, page: Page) -> Tensor:
        return self.layers(self.ops.embed(self.weights.embedding, page.ids), self.ops.attend_all, page)

    def layers(self, x: Tensor, attention: Callable[..., None], place: Board | Page) -> Tensor:
        """Hidden states (T, E) through all layers, with what `attention` needs to know of their tokens."""
        weights, width = self.weights, self.weights.shape.heads * self.weights.shape.width

        def attend(number: int, inner: Tensor) -> Tensor:
            # a parallel layer's attention takes the place of its values, before the feed-forward's inside
            parallel = weights.layers[number].gates is None
            out = inner[:, 2 * width : 3 * width] if parallel else inner.new_empty(len(inner), width)
            attention(inner, self.keys[number], self.values[number], place, weights, out)
            return out

        for number, layer in enumerate(weights.layers):
            x = through(layer, x, number, attend, self.ops.product)
        return x

    @torch.inference_mode()
    def write(self, place: Board, choice: int, at: int = 0) -> None:
        """One more token of each lane of a board, as step `at` of a run."""
        x = self.layers(self.ops.embed(self.weights.embedding, place.ids), self.ops.attend, place)
        choose = reference.choose if choice == SORTED else self.ops.choose
        choose(self.ops.product(x, self.weights.head), place, place.found[at], choice != LIKELIEST)

    def board(self, lanes: int) -> Board:
        """That of the least size that has room for so many lanes."""
        size = next((each for each in SIZES if each >= lanes), lanes)
        if size not in self.boards:
            with torch.inference_mode():
                place = reference.board(size, self.weights.shape.context, self.device)
                place.tables.fill_(self.tree.capacity)
            self.boards[size] = place
        return self.boards[size]

    def player(self, place: Board, choice: int, count: int) -> Callable[[], None]:
        """What writes so many more tokens of each lane of a board; whatever is on the board now is lost."""

        def run(board: Board) -> None:
            for at in range(count):
                self.write(board, choice, at)

        key = (len(place.ids), choice, count)
        if key not in self.steps:
            if self.records:
                idle(place, self.tree.capacity)
                self.steps[key] = self.recorded(place, run)
            else:
                self.steps[key] = lambda: run(place)
        return self.steps[key]


def through(
    layer: Layer,
    x: Tensor,
    number: int,
    attend: Callable[[int, Tensor], Tensor],
    product: Callable[..., Tensor],
) -> Tensor:
    """Hidden states (T, E) through one layer."""
    if layer.gates is None or layer.down is None:
        width = layer.outward.weight.shape[0]
        inner = product(x, layer.inward, activation=GELU, first=3 * width)
        attended = attend(number, inner)
        both = inner[:, 2 * width :]
        if attended.data_ptr() != both.data_ptr():
            both[:, :width] = attended
        return product(both, layer.outward, residual=x, late=width)
    attended = attend(number, product(x, layer.inward))
    x = product(attended, layer.outward, residual=x)
    return product(product(x, layer.gates, activation=GATE), layer.down, residual=x)


def paged(rows: Sequence[tuple[Sequence[int], Ints]], nowhere: int, tokens: int = 0, blocks: int = 0) -> Page:
    """The next ids of some sequences, each with the slots of all of it, on the host.

    There are so many tokens and blocks at least: the rest are nobody's.
    """
    count, longest = sum(len(ids) for ids, _ in rows), max(len(slots) for _, slots in rows)
    size = max(count, tokens)
    ids, positions = numpy.zeros(size, numpy.int64), numpy.zeros(size, numpy.int64)
    slots = numpy.full(size, nowhere, numpy.int64)
    tables = numpy.full((len(rows), longest), nowhere, numpy.int32)
    cuts: list[tuple[int, int, int, int]] = []
    begin = 0
    for row, (some, path) in enumerate(rows):
        first, end = len(path) - len(some), begin + len(some)
        ids[begin:end], positions[begin:end] = some, range(first, len(path))
        slots[begin:end], tables[row, : len(path)] = path[first:], path
        for at in range(0, len(some), BLOCK):
            cuts.append((row, begin + at, min(BLOCK, len(some) - at), first + at))
        begin = end
    cuts += [(0, 0, 0, 0)] * (blocks - len(cuts))
    return Page(*map(torch.from_numpy, (ids, positions, slots, tables, numpy.array(cuts))))


@torch.inference_mode()
def idle(place: Board, nowhere: int) -> None:
    """Clear a board: all lanes at the first position, writing into a slot that is nobody's."""
    for each in fields(place):
        getattr(place, each.name).zero_()
    place.tables.fill_(nowhere)


def slots(weights: Weights, free: int) -> int:
    """How many tokens' keys and values so many bytes hold; of few contexts at least, of many at most."""
    shape = weights.shape
    each = 2 * len(weights.layers) * shape.kv_heads * shape.width * weights.embedding.element_size()
    return max(min(free // each, MOST_SLOTS), LEAST_SLOTS * min(shape.context, 4096))
