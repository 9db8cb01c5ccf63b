"""A simulated user, who says which reading of an instruction is meant, as the wanted value tells.

Only of a conversation's last turn is the wanted value known; other questions are left open. After TiCoder
(Lahiri et al. 2022, arXiv:2208.05950) and ClarifyGPT (Mu et al. 2023, arXiv:2310.10996).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtchat.bench.quality.suite import Run, Scoring, Task
from mtchat.generate.readings import Asking, Interpretation


@dataclass
class Respondent:
    """Answers the questions of one conversation, at most one a turn, and counts them.

    `asked` were put, `answered` had a reading that passes, and of those `needless` had it in the first
    place, where it would have been taken without a question.
    """

    scoring: Scoring
    task: Task
    judge: Run
    asked: int = 0
    answered: int = 0
    needless: int = 0

    @property
    def asking(self) -> Asking:
        return Asking(self.answer)

    def answer(self, instruction: str, found: Sequence[Interpretation]) -> int | None:
        self.asked += 1
        for place, reading in enumerate(found):
            path = reading.candidate.session.path
            if len(path) < len(self.task.instructions):
                return None
            if self.scoring(self.task, tuple(turn.chunk for turn in path), self.judge).strict:
                self.answered += 1
                self.needless += not place
                return place
        return None
