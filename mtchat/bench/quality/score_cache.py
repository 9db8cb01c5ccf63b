"""Scores a program that occurs again only once."""

import re
from collections.abc import Sequence

from mtchat.bench.quality.suite import Score, Scoring, Task
from mtchat.generate.execute import RunProgram
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program

NONDETERMINISTIC = re.compile("random|sample|sklearn|time|date|uuid|secrets|thread|process")


class ScoreCache:
    """Scores the same program on the same input only once: of 40 samples most end in a program seen before.

    Programs run with a fixed hash seed and see only their own folder, so a program ends the same way each
    time unless it uses randomness or the time. Runs stopped by a limit are not cached: that can depend on
    the machine's load. Threads may share this; two may score the same program at once.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.known: dict[tuple[str, int, tuple[str, ...]], Score] = {}

    def __call__(self, task: Task, chunks: Sequence[str], run: RunProgram) -> Score:
        text = (task.problem, task.input, tuple(chunks))
        if known := self.known.get(text):
            return known
        ended: list[Outcome] = []

        def run_and_note(program: Program) -> Outcome:
            ended.append(run(program))
            return ended[-1]

        score = self.scoring(task, chunks, run_and_note)
        if not NONDETERMINISTIC.search("\n".join((*chunks, str(task.facts)))) and not any(
            end.limit for end in ended
        ):
            self.known[text] = score
        return score
