"""Time to the first token at turns 1, 5, 10 and 20 of a session, after an undo, and back on a branch."""

from collections.abc import Mapping

from mtchat.bench.speed.conversation import TURNS, Script
from mtchat.bench.speed.measure import Measure
from mtchat.bench.speed.rows import Quantity
from mtchat.bench.speed.subject import Sizes, Subject

FIRST = "to the first token"
SHOWN = (1, 5, 10, TURNS)
UNDO = Quantity("undo", "s", FIRST, "time to the first token once the last turn is taken back", less=True)
BRANCH = Quantity("branch", "s", FIRST, "time to the first token back on a branch that was left", less=True)
QUANTITIES = (
    *(
        Quantity(
            f"ttft_turn_{turn}", "s", FIRST, f"time to the first token at turn {turn} of a session", less=True
        )
        for turn in SHOWN
    ),
    UNDO,
    BRANCH,
)


def take(subject: Subject, script: Script, sizes: Sizes, number: int) -> Mapping[str, float]:
    """Between two turns the engine reads the recorded reply, as if it had written that itself."""
    if not script.steps:
        return {}
    values = {}
    for turn, step in enumerate(script.steps, start=1):
        if not subject.reuses and turn not in (SHOWN[0], SHOWN[-1]):
            continue
        first = subject.run(step.ask, 1, True).first
        if turn in SHOWN:
            values[f"ttft_turn_{turn}"] = first
        if subject.reuses:
            subject.run(step.written, 1, True)
    if subject.reuses:
        values[UNDO.name] = subject.run(script.undone, 1, True).first
        for step in script.branch:
            subject.run(step.written, 1, True)
        values[BRANCH.name] = subject.run(script.returned, 1, True).first
    return values


RANK = 1
MEASURES = (Measure("session", QUANTITIES, take, fresh=True),)
