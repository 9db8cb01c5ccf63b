"""A user who answers the questions of a conversation, judging by the wanted value."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mtchat.bench.quality.suite import Scoring, Task
from mtchat.features.understand.reading import WRITING, Kind, Reading, Understanding
from mtchat.generate.execute import RunProgram
from mtchat.generate.interpretations import Clarification, Interpretation
from mtchat.session.session import Session

CHANGES = (Kind.CHANGE, Kind.RENAME)


@dataclass
class SimulatedUser:
    """A simulated user, who picks the interpretation that leads to the wanted value.

    The wanted value is that of the whole conversation. `finish` therefore gives the chunks of a session whose
    other instructions, from a number on, have been taken without questions, and the first interpretation is
    picked whose program passes. Whether an instruction changes an earlier turn is known from the data.

    `heard` is the number of the instruction that the conversation is at. `asked` counts questions,
    `answered` those with an answer that is right, and `needless` those of them whose first answer is: it
    would have been taken without asking. After TiCoder (Lahiri et al. 2022, arXiv:2208.05950) and ClarifyGPT
    (Mu et al. 2023, arXiv:2310.10996).
    """

    scoring: Scoring
    task: Task
    judge: RunProgram
    finish: Callable[[Session, int], Sequence[str]]
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
        """The index of the interpretation that is meant; None if none leads to the wanted value."""
        return self.pick(self.leads_to_value(each) for each in found)

    def leads_to_value(self, found: Interpretation) -> bool:
        """Whether the conversation passes if this is what was meant and nothing else is asked."""
        chunks = self.finish(found.candidate.session, self.heard)
        return self.scoring(self.task, chunks, self.judge).strict

    def read(self, understood: Understanding) -> Reading:
        """The reading that is meant, if it is in doubt; else the likeliest."""
        best = understood.among(WRITING).best
        if not understood.is_close:
            return best
        kinds = CHANGES if self.heard - 1 in self.task.changes else (Kind.STEP,)
        picked = self.pick(each.kind in kinds for each in understood.offered)
        return best if picked is None else understood.offered[picked]

    def pick(self, answers: Iterable[bool]) -> int | None:
        """The place of the first answer that is right, counted; later ones are not looked at."""
        self.asked += 1
        for index, right in enumerate(answers):
            if right:
                self.answered += 1
                self.needless += not index
                return index
        return None
