"""How fast a context is read of which nothing is known."""

from collections.abc import Mapping

from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Ask, Sizes, Subject

PREFILL = Quantity("prefill", "tok/s", "reading", "reading a context of 512 tokens")


def take(subject: Subject, script: Script, sizes: Sizes, number: int) -> Mapping[str, float]:
    """Each time another first id, so that the context begins like none before."""
    other = max(script.ids) - number
    return {PREFILL.name: subject.run(Ask(ids=(other, *script.ids[1 : sizes.read])), 1, False).prefill}


RANK = 2
MEASURES = (Measure("prefill", (PREFILL,), take),)
