"""Holds one conversation of a benchmark: its turns are taken by the function that takes them in the REPL."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mtchat.bench.quality.respondent import Respondent
from mtchat.bench.quality.suite import Row, Scoring, Task
from mtchat.errors import MtchatError
from mtchat.generate.events import CandidateChosen, CandidatesStarted, Event, TurnWritten
from mtchat.generate.running import Run
from mtchat.generate.synthesizer import TurnGenerator
from mtchat.generate.writing import Candidates, Complete
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.session import Session
from mtchat.session.settings import Sampling

APART = 1000  # seeds between samples: a turn's candidates and retries take the next ones


@dataclass
class Meter:
    """A model whose tokens are counted, with the turns that a policy changed."""

    model: Complete
    several: Candidates | None
    prompt_tokens: int = 0
    written: int = 0
    tried: int = 0
    mended: int = 0

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        last = Usage()
        try:
            for piece in self.model(prompt, sampling):
                last = piece.usage
                yield piece
        finally:
            self.count({0: last})

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        assert self.several is not None
        last: dict[int, Usage] = {}
        try:
            for number, piece in self.several(prompt, sampling, count):
                last[number] = piece.usage
                yield number, piece
        finally:
            self.count(last)

    def count(self, usages: dict[int, Usage]) -> None:
        self.prompt_tokens += max((each.prompt_tokens for each in usages.values()), default=0)
        self.written += sum(each.completion_tokens for each in usages.values())

    def hear(self, event: Event) -> None:
        match event:
            case CandidatesStarted(count, _):
                self.tried += count - 1
            case CandidateChosen():
                self.mended += 1
            case TurnWritten(_, turn) if turn.provenance.mends:
                self.tried += 1


@dataclass(frozen=True)
class Bench:
    """What conversations are held with: how turns are made, and how a program is scored.

    `generator` makes the turns of one conversation that are run with `run`; a model that goes on with a text
    itself is asked through `complete`. With `ask` a simulated user says what is meant where that is open.
    """

    scoring: Scoring
    generator: Callable[[Run], TurnGenerator]
    sampling: Sampling
    ask: bool = False


def hold(bench: Bench, task: Task, sample: int, run: Run, judge: Run) -> Row:
    """One sample of a conversation, scored; `run` runs its turns and `judge` the program for the score."""
    began = time.monotonic()
    generator = bench.generator(run)
    meter = Meter(generator.complete, generator.candidates)
    several = meter.candidates if generator.candidates else None
    generator = replace(generator, complete=meter.complete, candidates=several, on_event=meter.hear)
    user = Respondent(bench.scoring, task, judge)
    if bench.ask:
        generator = replace(generator, asking=user.asking)
    sampling = replace(bench.sampling, seed=bench.sampling.seed + APART * sample, max_tokens=task.length)
    clock: list[float] = []
    session = Session(preamble=task.preamble)
    if task.prompt:
        program = continued(generator, task, sampling)
        chunks: tuple[str, ...] = (program,)
    else:
        for instruction in task.instructions:
            start = time.monotonic()
            try:
                session = generator.take(session, instruction, sampling)
            except MtchatError:
                if not session.path:
                    raise
                break  # the context is full: the program is what there is
            clock.append(round(time.monotonic() - start, 3))
        chunks = tuple(turn.chunk for turn in session.path)
        program = session.program.source
    score = bench.scoring(task, chunks, judge)
    return Row(
        problem=task.problem,
        input=task.input,
        sample=sample,
        category=task.category,
        turns=len(task.instructions),
        chunks=chunks,
        program=program,
        prompt_tokens=meter.prompt_tokens,
        written=meter.written,
        seconds=round(time.monotonic() - began, 3),
        tried=meter.tried,
        mended=meter.mended,
        compatible=score.compatible,
        strict=score.strict,
        error=score.error,
        certainty=tuple(round(turn.usage.mean_logprob, 4) for turn in session.path),
        clock=tuple(clock),
        asked=user.asked,
        answered=user.answered,
        needless=user.needless,
    )


def continued(generator: TurnGenerator, task: Task, sampling: Sampling) -> str:
    """How the model goes on with a text, up to the first of its stops."""
    text = ""
    stream = generator.complete(Prompt(text=task.prompt), sampling)
    for piece in stream:
        text += piece.text
        if (end := first(text, task.stops)) < len(text):
            return text[:end]
    return text


def first(text: str, stops: tuple[str, ...]) -> int:
    """Where the first of some texts stands; the length where none does."""
    return min((place for place in map(text.find, stops) if place >= 0), default=len(text))
