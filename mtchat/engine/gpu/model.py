"""A model on one GPU: reads prompts into slots of keys and values, and writes a token of each lane a step."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from mtchat.engine.decoder import Logits
from mtchat.engine.gpu import plain
from mtchat.engine.gpu.plain import GATE, GELU, Board
from mtchat.engine.gpu.weights import Layer, Weights
from mtchat.engine.paths import Ints, TreeDecoder, TreePath

SIZES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 40, 48, 64, 96, 128, 160, 192, 256)  # lanes of a step
MOST_SLOTS = 1 << 18
LEAST_SLOTS = 2  # contexts
LIKELIEST, DRAWN, SORTED = range(3)  # how a step chooses: SORTED where top_k is above SORTABLE


class Recorded:
    """Steps of so many lanes, recorded once and played again with a single launch."""

    def __init__(self, place: Board, step: Callable[[Board], None], pool: Any) -> None:
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels are compiled, and libraries set up, before the recording
            for _ in range(2):
                step(place)
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

    most = 1024

    def __init__(self, weights: Weights, slots: int, ops: Any = plain, run: int = 1) -> None:
        super().__init__(slots)
        self.run = run
        shape = weights.shape
        self.weights = weights
        self.ops = ops
        self.device = weights.embedding.device
        size = (len(weights.layers), slots + 1, shape.kv_heads, shape.width)
        self.keys = torch.zeros(size, dtype=weights.embedding.dtype, device=self.device)
        self.values = torch.zeros_like(self.keys)
        self.steps: dict[tuple[int, int, int], Callable[[], None]] = {}
        self.boards: dict[int, Board] = {}
        self.pool: Any = None

    def step(self, rows: Sequence[tuple[Sequence[int], Ints]], wanted: Sequence[int]) -> Logits:
        hidden = self.forward(rows)[torch.tensor(list(wanted), device=self.device)]
        with torch.inference_mode():
            logits: Logits = plain.product(hidden, self.weights.head).float().cpu().numpy()
        return logits

    def read(self, parts: Sequence[tuple[TreePath, Sequence[int]]]) -> None:
        """Take the next ids into some paths, all together and without their logits."""
        self.forward(self.placed(parts))
        for path, ids in parts:
            path.keep(len(ids))

    @torch.inference_mode()
    def forward(self, rows: Sequence[tuple[Sequence[int], Ints]]) -> Tensor:
        """Read the next ids of some sequences, each with the slots of all of it: their hidden states (T, E).

        The layers take all tokens at once, attention (R, T, S): a row a sequence, padded at its end.
        """
        weights, shape = self.weights, self.weights.shape
        counts, lengths = [len(ids) for ids, _ in rows], [len(slots) for _, slots in rows]
        starts = [length - count for length, count in zip(lengths, counts, strict=True)]
        most, longest = max(counts), max(lengths)
        host = numpy.full((len(rows), longest), self.tree.capacity, numpy.int64)
        for row, (_, slots) in enumerate(rows):
            host[row, : len(slots)] = slots
        table = torch.from_numpy(host).to(self.device)
        first = torch.tensor(starts, device=self.device)
        row_of = torch.tensor(
            [row for row, count in enumerate(counts) for _ in range(count)], device=self.device
        )
        place = torch.tensor([place for count in counts for place in range(count)], device=self.device)
        positions = first[row_of] + place
        mine = table[row_of, positions]
        tokens = torch.tensor([id for ids, _ in rows for id in ids], device=self.device)
        cosines, sines = weights.cosines[positions], weights.sines[positions]
        alone = len(rows) == 1 and not starts[0]
        limit = first[:, None] + torch.arange(most, device=self.device)  # (R, T): what a token sees last
        seen = None if alone else torch.arange(longest, device=self.device) <= limit[:, :, None]

        def attend(number: int, inner: Tensor) -> Tensor:
            query, key, value = plain.split(inner, shape)
            keys, values = self.keys[number], self.values[number]
            keys[mine], values[mine] = plain.turned(key, cosines, sines, shape), value
            queries = query.new_zeros(len(rows), most, shape.heads, shape.width)
            queries[row_of, place] = plain.turned(query, cosines, sines, shape)
            found = functional.scaled_dot_product_attention(
                queries.transpose(1, 2),
                keys[table].transpose(1, 2),
                values[table].transpose(1, 2),
                attn_mask=None if seen is None else seen[:, None],
                is_causal=alone,
                enable_gqa=shape.kv_heads != shape.heads,
            )  # (R, H, T, D)
            return found.transpose(1, 2)[row_of, place].flatten(1)

        x = weights.embedding[tokens]
        for number, layer in enumerate(weights.layers):
            x = through(layer, x, number, attend, plain.product)
        return x

    @torch.inference_mode()
    def write(self, place: Board, choice: int, at: int = 0) -> None:
        """One more token of each lane of a board, as step `at` of a run."""
        weights, shape = self.weights, self.weights.shape
        width = shape.heads * shape.width

        def attend(number: int, inner: Tensor) -> Tensor:
            # a parallel layer's attention takes the place of its values, before the feed-forward's inside
            parallel = weights.layers[number].gates is None
            out = inner[:, 2 * width : 3 * width] if parallel else inner.new_empty(len(inner), width)
            self.ops.attend(inner, self.keys[number], self.values[number], place, weights, out)
            return out

        x = self.ops.embed(weights.embedding, place.ids)
        for number, layer in enumerate(weights.layers):
            x = through(layer, x, number, attend, self.ops.product)
        choose = plain.choose if choice == SORTED else self.ops.choose
        choose(self.ops.product(x, weights.head), place, place.found[at], choice != LIKELIEST)

    def board(self, lanes: int) -> Board:
        """That of the least size that has room for so many lanes."""
        size = next((each for each in SIZES if each >= lanes), lanes)
        if size not in self.boards:
            with torch.inference_mode():
                place = plain.board(size, self.weights.shape.context, self.device)
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
            if self.device.type == "cuda":
                idle(place, self.tree.capacity)
                self.pool = self.pool or torch.cuda.graph_pool_handle()
                self.steps[key] = Recorded(place, run, self.pool)
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
        return product(both, layer.outward, residual=x)
    attended = attend(number, product(x, layer.inward))
    x = product(attended, layer.outward, residual=x)
    return product(product(x, layer.gates, activation=GATE), layer.down, residual=x)


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
