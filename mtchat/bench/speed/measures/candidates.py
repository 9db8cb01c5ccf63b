"""How much longer eight candidates of a turn take than one, written in the same way: without guesses."""

from collections.abc import Mapping

from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Sizes, Subject

COUNT = 8
RATIO = Quantity(
    "candidates_8",
    "ratio",
    "writing",
    "time of 8 replies of 64 tokens over that of one, no guesses",
    less=True,
)
RATE = Quantity("candidates_8_rate", "tok/s", "writing 8 replies", "tokens in a second, of all 8 replies")


def take(subject: Subject, script: Script, sizes: Sizes, number: int) -> Mapping[str, float]:
    """The context has been read before: what is compared is the writing."""
    if subject.together is None:
        return {}
    subject.together(script.single, 2, 1, 0)
    one = subject.together(script.single, sizes.written, 1, number)
    eight = subject.together(script.single, sizes.written, COUNT, number)
    return {RATIO.name: eight / one, RATE.name: COUNT * sizes.written / eight}


RANK = 5
MEASURES = (Measure("candidates", (RATIO, RATE), take),)
