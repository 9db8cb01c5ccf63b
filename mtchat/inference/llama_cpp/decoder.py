"""Token sequences of llama.cpp: prefixes stay in its KV cache, for undo, branches and candidates."""

import contextlib
import itertools
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy

from mtchat.errors import ModelError
from mtchat.inference.decoder import ExpectedBranches, Logits
from mtchat.inference.llama_cpp.model import MAX_STEP_TOKENS, CacheFull, LlamaModel, LlamaRow
from mtchat.inference.prefix_tree import common_prefix_length

PREFILL_TOKENS = 32  # of a prompt in a step, which ends at a multiple of it
MAX_TOGETHER = 7  # sequences in a step: up to here each is computed as if it were alone


class LlamaPrefix:
    """A numbered sequence of the KV cache: `ids` are those whose keys and values it holds.

    `starts` are the positions at which a step began. llama.cpp rounds differently in a step of another size,
    so a prefix is reused up to such a position: a prompt then gives the same text again.
    An interrupt can come between any two lines. Where it did, `settled` is false: there may be more cells
    than ids, and never fewer.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.settled = True
        self.last_used = 0

    def reusable(self, length: int) -> int:
        """How many of the first `length` ids a prompt that begins with them can go on from."""
        if length == len(self.ids):
            return length
        at = bisect_right(self.starts, length)
        return self.starts[at - 1] if at else 0

    def append(self, ids: Sequence[int]) -> None:
        """Add the ids of a step."""
        self.starts.append(len(self.ids))
        self.ids += ids

    def shorten(self, length: int) -> None:
        del self.starts[bisect_left(self.starts, length) :]
        del self.ids[length:]


class LlamaSequence:
    """A sequence being decoded: the first `length` ids of its prefix are committed."""

    def __init__(
        self, decoder: "LlamaDecoder", prefix: LlamaPrefix, length: int, pending: Sequence[int]
    ) -> None:
        self.decoder = decoder
        self.prefix = prefix
        self.cached = self.length = length
        self.pending = list(pending)
        decoder.live.add(self)

    def prefill(self) -> Iterator[Logits]:
        # Steps end at the same positions, whatever was cached, and where later prompts are likely to part.
        ids = [*self.prefix.ids[: self.length], *self.pending]
        joints = self.decoder.joints(ids)
        while self.pending:
            end = min(self.length + PREFILL_TOKENS - self.length % PREFILL_TOKENS, len(ids))
            end = next((joint for joint in joints if self.length < joint < end), end)
            chunk = ids[self.length : end]
            logits = self.decoder.compute([(self, chunk)], len(chunk) - 1)
            self.commit(len(chunk))
            self.pending = ids[end:]
            if end in joints:
                self.decoder.keep_state(self)
            yield logits[0]

    def extend(self, ids: Sequence[int]) -> None:
        self.pending += ids

    def forward(self, ids: Sequence[int]) -> Logits:
        """The logits after each id; more than one step where they are many."""
        self.decoder.trim(self.prefix, self.length)
        parts = [
            self.decoder.compute([(self, ids[first : first + MAX_STEP_TOKENS])])
            for first in range(0, len(ids), MAX_STEP_TOKENS)
        ]
        return numpy.concatenate(parts) if len(parts) > 1 else parts[0]

    def commit(self, count: int) -> None:
        """Of the ids that were computed: the first one that is sampled after a prompt is not yet."""
        self.length = min(self.length + count, len(self.prefix.ids))

    def fork(self) -> "LlamaSequence":
        twin = LlamaSequence(
            self.decoder, self.decoder.branch(self.prefix, self.length), self.length, self.pending
        )
        twin.cached = self.cached
        return twin


class LlamaDecoder:
    """A model of llama.cpp with the prefixes in its KV cache; the least recently used ones are dropped."""

    def __init__(self, model: LlamaModel) -> None:
        self.model = model
        self.prefixes: list[LlamaPrefix] = []
        self.live: weakref.WeakSet[LlamaSequence] = weakref.WeakSet()
        self.clock = itertools.count(1)
        self.expected = ExpectedBranches()

    @property
    def rows(self) -> int:
        return self.model.rows

    def open(self, ids: Sequence[int]) -> LlamaSequence:
        for each in self.prefixes:
            self.settle(each)
        length, found = self.match_prefix(ids[:-1])
        if found is None:
            prefix = self.new_prefix()
        elif length == len(found.ids) and not self.model.weights.recurrent and found not in self.used():
            prefix = found
        else:
            prefix = self.branch(found, length)
        return LlamaSequence(self, prefix, length, ids[length:])

    def match_prefix(self, ids: Sequence[int]) -> tuple[int, LlamaPrefix | None]:
        """The longest prefix of ids in the cache that can be continued, and its length."""
        best: tuple[int, LlamaPrefix | None] = (0, None)
        for prefix in self.prefixes:
            length = prefix.reusable(common_prefix_length(prefix.ids, ids))
            if self.model.weights.recurrent and length < len(prefix.ids):
                continue  # its state cannot go back
            if length > best[0] and self.model.has_window(prefix.number, length):
                best = length, prefix
        return best

    def new_prefix(self, source: LlamaPrefix | None = None) -> LlamaPrefix:
        """A sequence that nothing uses, emptied; it is not that of `source`."""
        if len(self.prefixes) == self.model.sequences:
            self.drop_oldest(source)
        numbers = {prefix.number for prefix in self.prefixes}
        prefix = LlamaPrefix(next(each for each in itertools.count() if each not in numbers))
        self.model.cut(prefix.number, 0)
        prefix.last_used = next(self.clock)
        self.prefixes.append(prefix)
        return prefix

    def branch(self, source: LlamaPrefix, length: int) -> LlamaPrefix:
        """A new sequence that begins with the first ids of another one; their cells are shared."""
        source.last_used = next(self.clock)
        self.settle(source)
        self.check_position(source, length)
        prefix = self.new_prefix(source)
        self.model.copy(source.number, prefix.number, length)
        prefix.starts = source.starts[: bisect_left(source.starts, length)]
        prefix.ids = source.ids[:length]
        return prefix

    def check_position(self, prefix: LlamaPrefix, length: int) -> None:
        """ModelError if a prefix cannot go on after its first `length` ids."""
        if length < len(prefix.ids) and self.model.weights.recurrent:
            raise ModelError("a model with a recurrent state cannot go back by single tokens")
        if length > len(prefix.ids):
            raise ModelError("the state of this reply was lost when it was interrupted; ask again")

    def expect_branch(self, ids: Sequence[int]) -> None:
        self.expected.add(ids)

    def joints(self, ids: Sequence[int]) -> list[int]:
        """Where later prompts may part from a prompt: the same one goes on before its last id."""
        return sorted({*self.expected.within(ids), len(ids) - 1})

    def keep_state(self, sequence: LlamaSequence) -> None:
        """Keep the recurrent state after a part of a prompt: the next turn, undo and retry go on from it."""
        if self.model.weights.recurrent:
            with contextlib.suppress(ModelError):  # all others are in use
                self.branch(sequence.prefix, sequence.length)

    def used(self) -> list[LlamaPrefix]:
        """The prefixes of sequences that are being decoded."""
        return [sequence.prefix for sequence in self.live]

    def drop_oldest(self, source: LlamaPrefix | None = None) -> None:
        """Drop the least recently used prefix but `source`; ModelError if all are in use."""
        used = [*self.used(), source]
        free = [prefix for prefix in self.prefixes if prefix not in used]
        if not free:
            raise ModelError(
                "the KV cache is full; ask for fewer candidates or tokens at once (/set n, /set max_tokens)"
            )
        self.drop(min(free, key=lambda prefix: prefix.last_used))

    def drop(self, prefix: LlamaPrefix) -> None:
        prefix.shorten(0)
        self.model.cut(prefix.number, 0)
        self.prefixes.remove(prefix)

    def trim(self, prefix: LlamaPrefix, length: int) -> None:
        """Forget what was computed beyond a length and never committed."""
        self.settle(prefix)
        self.check_position(prefix, length)
        if len(prefix.ids) > length:
            prefix.settled = False
            prefix.shorten(length)
            self.settle(prefix)

    def forward_each(self, sequences: Sequence[LlamaSequence], ids: Sequence[int]) -> Logits:
        for sequence in sequences:
            self.trim(sequence.prefix, sequence.length)
        pairs = [(sequence, [id]) for sequence, id in zip(sequences, ids, strict=True)]
        parts = [
            self.compute(pairs[first : first + MAX_TOGETHER]) for first in range(0, len(pairs), MAX_TOGETHER)
        ]
        return numpy.concatenate(parts) if len(parts) > 1 else parts[0]

    def compute(self, parts: Sequence[tuple[LlamaSequence, Sequence[int]]], wanted: int = 0) -> Logits:
        """One step over the next ids of some sequences: the logits after those from `wanted` on, of each."""
        for sequence, _ in parts:
            self.settle(sequence.prefix)
            if len(sequence.prefix.ids) < sequence.length:
                self.check_position(sequence.prefix, sequence.length)
            sequence.prefix.settled = False
            sequence.prefix.last_used = next(self.clock)
        rows = [
            LlamaRow(sequence.prefix.number, len(sequence.prefix.ids), ids, wanted) for sequence, ids in parts
        ]
        while True:
            try:
                logits = self.model.step(rows)
                break
            except CacheFull:
                self.drop_oldest()
        for sequence, ids in parts:
            sequence.prefix.append(ids)
            sequence.prefix.settled = True
        return logits

    def settle(self, prefix: LlamaPrefix) -> None:
        """Remove the cells that a prefix has beyond its ids, which an interrupt left behind.

        A recurrent state that a step may have changed is of no use.
        """
        if prefix.settled:
            return
        if self.model.weights.recurrent:
            prefix.shorten(0)
        if not self.model.cut(prefix.number, len(prefix.ids)):
            prefix.shorten(0)
            self.model.cut(prefix.number, 0)
        prefix.settled = True
