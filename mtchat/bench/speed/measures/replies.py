"""How fast the replies of recorded sessions are written, with guesses ahead and without."""

from collections.abc import Mapping

from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Sizes, Subject

PLAIN = Quantity(
    "decode_session_plain", "tok/s", "writing", "writing replies of recorded sessions, no guesses"
)
AHEAD = Quantity(
    "decode_session", "tok/s", "writing", "the same as it is used: with guesses", like=PLAIN.name
)


def take(subject: Subject, script: Script, sizes: Sizes, number: int) -> Mapping[str, float]:
    if not script.replies or not subject.reuses:
        return {}
    values = {PLAIN.name: rate(subject, script, False)}
    return {AHEAD.name: rate(subject, script, True), **values} if subject.speculates else values


def rate(subject: Subject, script: Script, ahead: bool) -> float:
    """Of all tokens but the first of each reply, which the context gives.

    What guesses must read of a new turn is part of the time; what it would have read before is not.
    """
    runs = []
    for reply in script.replies:
        if reply.before.text:
            subject.run(reply.before, 2, ahead)
        runs.append(subject.run(reply.ask, max(reply.tokens, 2), ahead))
    return sum(run.written - 1 for run in runs) / sum(run.rest for run in runs)


RANK = 4
MEASURES = (Measure("replies", (AHEAD, PLAIN), take, fresh=True),)
