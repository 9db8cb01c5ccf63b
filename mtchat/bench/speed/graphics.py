"""What a GPU is measured by: how fast tokens come, beside transformers and what its memory could give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mtchat.bench.speed.rows import Quantity

OURS, DYNAMIC, STATIC = "mtchat", "generate", "generate, static cache"
ROUNDED = {"int8": "mtchat, 8 bits", "int4": "mtchat, 4 bits"}
CONTEXT, WRITTEN = 100, 256
WARMING = 24  # tokens that are written before anything counts
BATCHES = (8, 40)
READ = (100, 1000, 2000)
WARM = 0.8

DECODE = Quantity("decode", "tok/s", "writing", f"{WRITTEN} tokens after {CONTEXT}, greedy, one at a time")
TOGETHER = {
    number: Quantity(
        f"decode_{number}",
        "tok/s",
        "writing",
        f"{number} replies to one prompt, sampled, all of their tokens",
    )
    for number in BATCHES
}
FIRST = {
    length: Quantity(
        f"first_{length}", "ms", "reading", f"to the first token after a new prompt of {length}", less=True
    )
    for length in READ
}
COPY = Quantity("copy", "GB/s", "memory", "a large copy on the GPU, bytes read and bytes written")
FRACTION = Quantity(
    "of_limit", "ratio", "memory", "bytes of weights that decode reads in a second, over the best copy"
)
QUANTITIES = (DECODE, *TOGETHER.values(), *FIRST.values(), COPY, FRACTION)


@dataclass(frozen=True)
class Player:
    """An engine as functions of ids: `write(ids, count)` gives the ids and the seconds to the first and last;
    `together(ids, count, number)` the seconds that so many replies take from their first token on, where that
    is asked for."""

    write: Callable[[Sequence[int], int], tuple[Sequence[int], float, float]]
    together: Callable[[Sequence[int], int, int], float] | None


def played(player: Player, prompt: Callable[[int], Sequence[int]], repeats: int) -> Mapping[str, list[float]]:
    """All that is asked of an engine, so many times; `prompt(length)` is another one each time."""
    found: dict[str, list[float]] = {}
    context = prompt(CONTEXT)
    player.write(context, WARMING)
    for length in READ:
        player.write(prompt(length), 2)
    batches = [
        (number, quantity, player.together) for number, quantity in TOGETHER.items() if player.together
    ]
    for number, _, together in batches:
        together(context, 4, number)
    for _ in range(repeats):
        ids, first, last = player.write(context, WRITTEN)
        found.setdefault(DECODE.name, []).append((len(ids) - 1) / (last - first))
        for length, quantity in FIRST.items():
            _, first, _ = player.write(prompt(length), 2)
            found.setdefault(quantity.name, []).append(1000 * first)
        for number, quantity, together in batches:
            seconds = together(context, WRITTEN // 2, number)
            found.setdefault(quantity.name, []).append(number * (WRITTEN // 2 - 1) / seconds)
    return found


def fraction(decode: Sequence[float], weights: int, copy: float) -> list[float]:
    """Of what the memory could give: a step reads all weights once, and a copy moves each byte twice."""
    return [each * weights / copy for each in decode]


@dataclass(frozen=True)
class Difference:
    """Where two greedy texts part: after so many equal ids of `count`, the gap between both ids' logits in a
    pass over all of the text, and the spacing of numbers there. `equal` is `count` where they do not."""

    equal: int
    count: int
    gap: float = 0.0
    spacing: float = 0.0

    def __str__(self) -> str:
        if self.equal == self.count:
            return f"the first {self.count} ids are those of generate"
        return (
            f"the first {self.equal} of {self.count} ids are those of generate; there the logits of both ids "
            f"are {self.gap:.4f} apart, where numbers are {self.spacing:.4f} apart"
        )
