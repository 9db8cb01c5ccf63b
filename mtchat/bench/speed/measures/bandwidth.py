"""How near writing comes to the rate at which memory can be read, which limits one token at a time."""

from collections.abc import Mapping

from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Ask, Sizes, Subject

CONTEXT = 100
LIMIT = Quantity("bandwidth", "GB/s", "memory", "reading memory, by the same threads")
FRACTION = Quantity(
    "bandwidth_fraction", "ratio", "memory", "bytes of weights read for tokens in a second, over that"
)


def take(subject: Subject, script: Script, sizes: Sizes, number: int) -> Mapping[str, float]:
    if subject.bandwidth is None:
        return {}
    decode = subject.run(Ask(ids=script.ids[:CONTEXT]), sizes.written, False).decode
    limit = subject.bandwidth(sizes.memory)
    return {LIMIT.name: limit / 1e9, FRACTION.name: subject.weights * decode / limit}


RANK = 6
MEASURES = (Measure("bandwidth", (LIMIT, FRACTION), take),)
