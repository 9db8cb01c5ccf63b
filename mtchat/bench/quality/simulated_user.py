"""A user who answers the questions of a conversation, judging by the wanted value."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtchat.bench.quality.suite import Scoring, Task
from mtchat.generate.execute import RunProgram
from mtchat.generate.interpretations import Clarification, Interpretation


@dataclass
class SimulatedUser:
    """A simulated user, who picks the interpretation of an instruction that gives the wanted value.

    The wanted value is known only for the last instruction; earlier questions stay open. `heard` is the
    number of the instruction that the conversation is at. `asked` counts questions,
    `answered` those with an interpretation that passes, and `needless` those of them whose first one does:
    it would have been taken without asking. After TiCoder (Lahiri et al. 2022, arXiv:2208.05950) and
    ClarifyGPT (Mu et al. 2023, arXiv:2310.10996).
    """

    scoring: Scoring
    task: Task
    judge: RunProgram
    asked: int = 0
    answered: int = 0
    needless: int = 0
    heard: int = 0
    declined: bool = False
    can_choose: bool = False

    def approve(self) -> None: ...

    def clarification(self) -> Clarification:
        return Clarification(self.answer)

    def choose(self, found: Sequence[Interpretation], live: str) -> int | None:
        return None

    def answer(self, instruction: str, found: Sequence[Interpretation]) -> int | None:
        self.asked += 1
        if self.heard < len(self.task.instructions):
            return None
        for index, reading in enumerate(found):
            path = reading.candidate.session.path
            if self.scoring(self.task, tuple(turn.chunk for turn in path), self.judge).strict:
                self.answered += 1
                self.needless += not index
                return index
        return None
