"""How fast a reply is written token by token, after contexts of 100, 1000 and 4000 tokens."""

from collections.abc import Mapping

from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Ask, Sizes, Subject

LONG = 2000  # a context that is not worth reading anew for every run


def after(length: int, name: str) -> Measure:
    def take(subject: Subject, script: Script, sizes: Sizes, number: int) -> Mapping[str, float]:
        count = sizes.tokens(subject)
        if not subject.sees(length + count) or (length > LONG and not subject.reuses):
            return {}
        return {name: subject.run(Ask(ids=script.ids[:length]), count, False).decode}

    return Measure(
        name, (Quantity(name, "tok/s", "writing", f"writing after {length} tokens, no guesses"),), take
    )


RANK = 3
MEASURES = (after(100, "decode"), after(1000, "decode_1000"), after(4000, "decode_4000"))
