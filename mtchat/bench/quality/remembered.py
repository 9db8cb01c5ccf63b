"""Scores that are remembered: of 40 samples of a conversation most end with a program that was there."""

import re
from collections.abc import Sequence

from mtchat.bench.quality.suite import Run, Score, Scoring, Task
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program

CHANCE = re.compile("random|sample|sklearn|time|date|uuid|secrets|thread|process")


class Remembered:
    """Scores a program once for each input, but what may end otherwise each time.

    Programs run with a fixed hash seed and see nothing but their own folder, so the same text on the same
    input ends the same way, unless it asks for chance or the time. An end that a limit brought is not
    remembered: it can be the machine's doing. Threads may share this; two may score the same at once.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.known: dict[tuple[str, int, tuple[str, ...]], Score] = {}

    def __call__(self, task: Task, chunks: Sequence[str], run: Run) -> Score:
        text = (task.problem, task.input, tuple(chunks))
        if known := self.known.get(text):
            return known
        ended: list[Outcome] = []

        def watched(program: Program) -> Outcome:
            ended.append(run(program))
            return ended[-1]

        score = self.scoring(task, chunks, watched)
        if not CHANCE.search("\n".join((*chunks, str(task.facts)))) and not any(end.limit for end in ended):
            self.known[text] = score
        return score
