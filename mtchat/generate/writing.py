"""What a model is asked for, what it wrote, and the chunk that this gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from mtchat.generate.checks import told
from mtchat.generate.prompt.family import WORKED, Cut, Family
from mtchat.generate.rules import repaired
from mtchat.session.fold import unrepeated
from mtchat.session.memory import folds
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.provenance import ContextPlan
from mtchat.session.session import Session
from mtchat.session.settings import Sampling

RETRY_TEMPERATURE = 0.6
WHOLE = ContextPlan()
LONGEST = 1024  # tokens of a program that is written again as a whole, where a turn has fewer

Complete = Callable[[Prompt, Sampling], Iterator[Piece]]
Candidates = Callable[[Prompt, Sampling, int], Iterator[tuple[int, Piece]]]


class Ending(Protocol):
    """What knows where completions end: a family, or a way to fill holes."""

    def cut(self, text: str) -> Cut: ...


@dataclass(frozen=True)
class Written:
    """One completion: its text as the model wrote it, and what it cost."""

    text: str
    usage: Usage


def one(complete: Complete, family: Ending, prompt: Prompt, sampling: Sampling) -> Written:
    """A completion up to its cut, which nobody watches."""
    pieces = several(
        lambda prompt, sampling, count: ((0, piece) for piece in complete(prompt, sampling)),
        family,
        prompt,
        sampling,
        1,
    )
    return pieces[0]


def several(
    candidates: Candidates,
    family: Ending,
    prompt: Prompt,
    sampling: Sampling,
    count: int,
    tell: Callable[[int, int], None] = lambda written, pieces: None,
) -> list[Written]:
    """So many completions, each up to its cut; the writing ends when the last one has come to it.

    `tell` hears with each piece how many are written, and of the pieces so far.
    """
    found = [Written(prompt.begun, Usage()) for _ in range(count)]
    writing = set(range(count))
    stream = candidates(prompt, sampling, count)
    try:
        for pieces, (number, piece) in enumerate(stream, start=1):
            if number not in writing:
                continue
            tell(count - len(writing), pieces)
            found[number] = Written(found[number].text + piece.text, piece.usage)
            if piece.usage.finish or (piece.text and family.cut(found[number].text).finished):
                writing.discard(number)
                if not writing:
                    break
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    return found


def longer(sampling: Sampling, turns: int) -> Sampling:
    """Sampling for a program of so many turns."""
    most = max(sampling.max_tokens, min(LONGEST, turns * sampling.max_tokens))
    return replace(sampling, max_tokens=most)


def guidance_for(instruction: str, guidance: tuple[str, ...]) -> tuple[str, ...]:
    """The guidance without worked examples where the instruction brings its own.

    Measured: with them, Qwen2.5-Coder-1.5B-Instruct passed 63.4 and not 65.9 % of HumanEval, 60.2 and not
    65.1 % of MBPP.
    """
    if "```" in instruction or told(instruction):
        return tuple(each for each in guidance if each != WORKED)
    return guidance


def chunk_of(family: Family, text: str, base: Session, rules: bool, memory: ContextPlan = WHOLE) -> str:
    """The chunk that a completion gives on top of a session, repaired by rule where that is asked for.

    Where the model was told folded code, it is not taken for new code when the model says it again.
    """
    before = base.program.source
    code = unrepeated(family.chunk(text, before), folds(base.path, memory))
    return repaired(code, before) if rules else code


def hotter(sampling: Sampling, number: int, temperature: float = RETRY_TEMPERATURE) -> Sampling:
    """Sampling for a question that was asked before: warm enough that the answer can differ."""
    warm = max(sampling.temperature, temperature)
    return replace(sampling, temperature=warm, seed=sampling.seed + number)
