"""Holds one conversation of a benchmark: what is said in it is done as in the REPL; its program is scored."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mtchat.bench.quality.program_measures import measure_program
from mtchat.bench.quality.simulated_user import SimulatedUser
from mtchat.bench.quality.suite import ScoredSample, Scoring, Task
from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import OnOutput
from mtchat.conversation.live import ReadyModel
from mtchat.errors import MtchatError
from mtchat.features.understand.reading import Kind
from mtchat.generate.complete import CompleteStream
from mtchat.generate.events import CandidateChosen, CandidatesStarted, Event, TurnWritten
from mtchat.generate.execute import RunProgram
from mtchat.models.loading import Model
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.provenance import Repair, Rework
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Sampling, Settings

REFUSED = "refused"
SEED_STEP = 1000  # between samples: the candidates and retries of a turn use the seeds between


class OverTimeError(Exception):
    """The time of a benchmark is over; the conversation that it ends is not scored."""


@dataclass(frozen=True)
class TimeLimit:
    """When a benchmark stops starting conversations, and drops those still running; by time.monotonic()."""

    last_start: float = math.inf
    end: float = math.inf

    def allows_start(self) -> bool:
        return time.monotonic() < self.last_start

    def check(self) -> None:
        if time.monotonic() >= self.end:
            raise OverTimeError


ENDLESS = TimeLimit()


class UsageMeter(ReadyModel):
    """A model that counts the tokens of its completions, and the turns that a policy changed."""

    def __init__(self, model: Model, limit: TimeLimit = ENDLESS) -> None:
        super().__init__(model)
        self.limit = limit
        self.prompt_tokens = self.written = self.thought = self.tried = self.mended = 0

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        last = Usage()
        try:
            for piece in super().complete(prompt, sampling):
                self.limit.check()
                last = piece.usage
                yield piece
        finally:
            self.add_usage(prompt, {0: last})

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        last: dict[int, Usage] = {}
        try:
            for number, piece in super().candidates(prompt, sampling, count):
                self.limit.check()
                last[number] = piece.usage
                yield number, piece
        finally:
            self.add_usage(prompt, last)

    def add_usage(self, prompt: Prompt, usages: dict[int, Usage]) -> None:
        """Count one request. The prompt of a reply after a thought counts with the thought."""
        written = sum(each.completion_tokens for each in usages.values())
        if prompt.asks_for_thought:
            self.thought += written
        else:
            self.written += written
        if prompt.thought is None:
            self.prompt_tokens += max((each.prompt_tokens for each in usages.values()), default=0)

    def on_event(self, event: Event) -> None:
        match event:
            case CandidatesStarted(count, _):
                self.tried += count - 1
            case CandidateChosen():
                self.mended += 1
            case TurnWritten(_, turn) if isinstance(turn.provenance, Repair | Rework):
                self.tried += 1


@dataclass(frozen=True)
class Runners:
    """How the programs of one conversation run: those of its turns, and the one that is scored."""

    run: RunProgram
    judge: RunProgram


OpenRunners = Callable[[], AbstractContextManager[Runners]]


@dataclass(frozen=True)
class Evaluation:
    """How conversations are held and programs scored.

    With `settings.corrections` each instruction is understood as in the REPL, a change of an earlier turn for
    example; where that is in doubt, the likelier is taken. With `ask` a simulated user answers the questions
    about ambiguous instructions. `family` is the name of the prompt family, "" for that of the model.
    """

    scoring: Scoring
    model: Model
    settings: Settings
    family: str = ""
    ask: bool = False
    limit: TimeLimit = ENDLESS
    conversation: type[Conversation] = Conversation

    def hold(self, task: Task, sample: int, runners: OpenRunners) -> ScoredSample | None:
        """One conversation, held and scored; None if the time is over."""
        if not self.limit.allows_start():
            return None
        try:
            with runners() as how:
                return run_task(self, task, sample, how.run, how.judge)
        except OverTimeError:
            return None


@dataclass(frozen=True)
class FunctionRunner:
    """A sandbox made of one function, for a conversation in memory: files and output are not kept."""

    function: RunProgram

    def run(
        self, program: Program, limits: Limits, collect: Path | None, on_output: OnOutput, inputs: RunInputs
    ) -> Outcome:
        return self.function(program)

    def resume(
        self,
        program: Program,
        limits: Limits,
        collect: Path | None,
        on_output: OnOutput,
        inputs: RunInputs,
        with_variables: bool,
    ) -> Outcome:
        return self.function(program)

    def unavailable_reason(self) -> str:
        return ""

    def warning(self) -> str:
        return ""

    def close(self) -> None: ...


def run_task(
    evaluation: Evaluation, task: Task, sample: int, run: RunProgram, judge: RunProgram
) -> ScoredSample:
    """One sample of a conversation, scored; `run` runs its turns, and `judge` the program to be scored."""
    began, limit = time.monotonic(), evaluation.limit
    run, judge = in_time(run, limit), in_time(judge, limit)
    meter, settings = UsageMeter(evaluation.model, limit), settings_for(evaluation, task, sample)

    def begin(model: UsageMeter, user: SimulatedUser | None) -> Conversation:
        runner, family, listen = FunctionRunner(run), evaluation.family, model.on_event
        return evaluation.conversation(
            model, runner, settings=settings, family=family, on_event=listen, questions=user
        )

    def finish(session: Session, heard: int) -> tuple[str, ...]:
        other = begin(UsageMeter(evaluation.model, limit), None)  # what a user knows costs nothing
        other.session = session
        for instruction in task.instructions[heard:]:
            with suppress(MtchatError):
                other.take(instruction)
        return tuple(turn.chunk for turn in other.session.path)

    user = SimulatedUser(evaluation.scoring, task, judge, finish)
    chat = begin(meter, user if evaluation.ask else None)
    chat.session = replace(chat.session, preamble=task.preamble)
    clock: list[float] = []
    readings: tuple[str, ...] = ()
    if task.prompt:
        program = continue_text(meter.complete, task, chat.settings.sampling)
        chunks: tuple[str, ...] = (program,)
    else:
        for user.heard, instruction in enumerate(task.instructions, start=1):
            start = time.monotonic()
            try:
                if evaluation.ask and chat.detects_corrections:
                    chat.follow(instruction, user.read(chat.understand(instruction)))
                else:
                    chat.take(instruction)
            except MtchatError:  # the context is full, or a change was refused, as of a name that is taken
                if not chat.session.path:
                    raise
                readings += (REFUSED,)
                continue
            readings += (describe_reading(chat),)
            clock.append(round(time.monotonic() - start, 3))
        chunks = tuple(turn.chunk for turn in chat.session.path)
        program = chat.session.program.source
    score = evaluation.scoring(task, chunks, judge)
    return ScoredSample(
        problem=task.problem,
        input=task.input,
        sample=sample,
        category=task.category,
        turns=len(task.instructions),
        chunks=chunks,
        program=program,
        prompt_tokens=meter.prompt_tokens,
        written=meter.written,
        thought=meter.thought,
        seconds=round(time.monotonic() - began, 3),
        tried=meter.tried,
        mended=meter.mended,
        compatible=score.compatible,
        strict=score.strict,
        error=score.error,
        certainty=tuple(round(turn.usage.mean_logprob, 4) for turn in chat.session.path),
        clock=tuple(clock),
        asked=user.asked,
        answered=user.answered,
        needless=user.needless,
        readings=readings,
        measures=measure_program(program, chunks, task.reference),
    )


def settings_for(evaluation: Evaluation, task: Task, sample: int) -> Settings:
    """The settings of one sample of a conversation."""
    seed = evaluation.settings.seed + SEED_STEP * sample
    return replace(evaluation.settings, seed=seed, max_tokens=task.length)


def in_time(run: RunProgram, limit: TimeLimit) -> RunProgram:
    """A function that runs programs up to a limit of time."""

    def run_in_time(program: Program) -> Outcome:
        limit.check()
        return run(program)

    return run_in_time


def describe_reading(chat: Conversation) -> str:
    """What the last instruction was taken for: "step", "change 2" or "rename 1"."""
    kind, number, _ = chat.last_text.results[0]
    return kind if kind is Kind.STEP else f"{kind} {number}"


def continue_text(complete: CompleteStream, task: Task, sampling: Sampling) -> str:
    """The model's continuation of a text, up to the first of its stops."""
    text = ""
    stream = complete(Prompt(text=task.prompt), sampling)
    for piece in stream:
        text += piece.text
        if (end := find_stop(text, task.stops)) < len(text):
            return text[:end]
    return text


def find_stop(text: str, stops: tuple[str, ...]) -> int:
    """The index of the first stop in a text; its length without any."""
    return min((index for index in map(text.find, stops) if index >= 0), default=len(text))
