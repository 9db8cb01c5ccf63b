"""What a model is asked for to write a turn: one function builds the prompt, for making and for verifying."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtchat.generate.prompt.family import Family
from mtchat.session.context import visible_turns
from mtchat.session.prompt import Prompt
from mtchat.session.provenance import (
    Correction,
    Fill,
    Provenance,
    Repair,
    Replacement,
    Rework,
    Rewrite,
    Step,
)
from mtchat.session.session import ROOT, Session
from mtchat.session.turn import Turn


@dataclass(frozen=True)
class TurnRequest:
    """A turn that a model is to write after the last turn of `base`.

    `provenance` says what its prompt is made of; the context plan and the repair by rule are settled when it
    is written. `typed` is the instruction as it was typed, where that is shorter. The turn takes over the
    options of the turn with the id `replaces`; the turns of `rest` come after it, with their code.
    """

    base: Session
    instruction: str
    provenance: Provenance
    typed: str = ""
    replaces: str = ""
    rest: tuple[Turn, ...] = ()

    @property
    def context(self) -> tuple[Turn, ...]:
        """The turns that the prompt is made of, before any is folded."""
        return context_of(self.provenance, self.base)

    @property
    def asks_again(self) -> int:
        """The number of the turn that is asked for again and so shown in full; 0 for a new turn."""
        return len(self.base.path) + 1 if isinstance(self.provenance, Replacement) else 0

    def prompt(self, family: Family, turns: Sequence[Turn]) -> Prompt:
        """The prompt that shows these turns."""
        return prompt_with(self.provenance, family, self.base, self.instruction, turns)


def context_of(provenance: Provenance, base: Session) -> tuple[Turn, ...]:
    """The turns that the prompt of a turn after `base` is made of: of one that is asked for again, it too."""
    match provenance:
        case Rework(of=of, continues=False) | Repair(of=of) | Correction(of=of):
            return (*base.path, base.get(of))
        case Rewrite():
            return ()
    return base.path


def prompt_for(provenance: Provenance, family: Family, base: Session, instruction: str) -> Prompt:
    """The prompt of a turn after `base` exactly as its provenance says it was."""
    turns = visible_turns(context_of(provenance, base), provenance.context)
    return prompt_with(provenance, family, base, instruction, turns)


def prompt_with(
    provenance: Provenance, family: Family, base: Session, instruction: str, turns: Sequence[Turn]
) -> Prompt:
    """The prompt of a turn after `base` that shows these turns, each as it stands here."""
    preamble, guidance = base.preamble, provenance.guidance
    match provenance:
        case Repair(error=error):
            return family.mend(turns, preamble, error, guidance)
        case Correction(of=of):
            return family.revise(turns, preamble, base.get(of).correction_in(instruction), guidance)
        case Rework(of=of, continues=True, error=error):
            old = base.get(of)
            return continued(family.render(turns, old.wish, preamble, error, guidance), begun(old.chunk))
        case Rework(wish=wish):
            return family.render(turns, wish, preamble, "", guidance)
        case Rewrite():
            steps = [*(turn.wish for turn in base.path), instruction]
            return family.render((), "\n".join(steps), preamble, "")
        case Step(error=error, files=files):
            return family.render(turns, beside(files, instruction), preamble, error, guidance)
        case Fill():
            return family.render(turns, instruction, preamble, "", guidance)


def continued(prompt: Prompt, start: str) -> Prompt:
    """The prompt with `start` as the beginning of the reply, instead of code that its instruction begins."""
    if prompt.messages:
        return replace(prompt, opening=prompt.opening + start, begun=start)
    return replace(prompt, text=prompt.text.removesuffix(prompt.begun) + start, begun=start)


def begun(code: str) -> str:
    """The whole lines of code that was cut off: its last line may be half a line."""
    return "".join(code.splitlines(keepends=True)[:-1])


def beside(files: str, instruction: str) -> str:
    """An instruction after the description of the attached files."""
    return f"{files}\n\n{instruction}" if files else instruction


def program_before(provenance: Provenance, base: Session) -> Session:
    """The session whose program the new code is added to: an empty one where it is the whole program."""
    return replace(base, head=ROOT) if isinstance(provenance, Rewrite) else base
