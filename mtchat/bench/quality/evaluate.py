"""Runs the conversations of a benchmark: what is said in them is done as in the REPL; programs are scored.

Several run at once, and each is written to the results file once it is scored.
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue

from mtchat.bench.quality.run_file import RunFile
from mtchat.bench.quality.suite import Score, ScoredSample, Scoring, Task
from mtchat.console.view import View
from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import OnOutput
from mtchat.conversation.live import ReadyModel
from mtchat.errors import MtchatError
from mtchat.features.understand.reading import Kind
from mtchat.generate.complete import CompleteStream
from mtchat.generate.events import CandidateChosen, CandidatesStarted, Event, TurnWritten
from mtchat.generate.execute import RunProgram
from mtchat.generate.interpretations import Clarification, Interpretation
from mtchat.models.loading import Model
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.provenance import Repair, Rework
from mtchat.session.settings import Limits, Sampling, Settings

REFUSED = "refused"
SEED_STEP = 1000  # between samples: the candidates and retries of a turn use the seeds between


class UsageMeter(ReadyModel):
    """A model that counts the tokens of its completions, and the turns that a policy changed."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.prompt_tokens = self.written = self.tried = self.mended = 0

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        last = Usage()
        try:
            for piece in super().complete(prompt, sampling):
                last = piece.usage
                yield piece
        finally:
            self.add_usage({0: last})

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        last: dict[int, Usage] = {}
        try:
            for number, piece in super().candidates(prompt, sampling, count):
                last[number] = piece.usage
                yield number, piece
        finally:
            self.add_usage(last)

    def add_usage(self, usages: dict[int, Usage]) -> None:
        self.prompt_tokens += max((each.prompt_tokens for each in usages.values()), default=0)
        self.written += sum(each.completion_tokens for each in usages.values())

    def on_event(self, event: Event) -> None:
        match event:
            case CandidatesStarted(count, _):
                self.tried += count - 1
            case CandidateChosen():
                self.mended += 1
            case TurnWritten(_, turn) if isinstance(turn.provenance, Repair | Rework):
                self.tried += 1


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
    conversation: type[Conversation] = Conversation


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
    began = time.monotonic()
    meter, user = UsageMeter(evaluation.model), SimulatedUser(evaluation.scoring, task, judge)
    seed = evaluation.settings.seed + SEED_STEP * sample
    chat = evaluation.conversation(
        meter,
        FunctionRunner(run),
        settings=replace(evaluation.settings, seed=seed, max_tokens=task.length),
        family=evaluation.family,
        on_event=meter.on_event,
        questions=user if evaluation.ask else None,
    )
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
    )


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


@dataclass(frozen=True)
class Runners:
    """How the programs of one conversation run: those of its turns, and the one that is scored."""

    run: RunProgram
    judge: RunProgram


def evaluate(
    evaluation: Evaluation,
    tasks: Sequence[Task],
    samples: int,
    file: RunFile,
    runners: Callable[[], AbstractContextManager[Runners]],
    concurrency: int,
    view: View,
) -> None:
    """Run the conversations that the file lacks. Each has its own sandbox with its snapshots."""
    done = {(row.problem, row.input, row.sample) for row in file.rows}
    left = [
        (task, sample)
        for sample in range(samples)
        for task in tasks
        if (task.problem, task.input, sample) not in done
    ]
    progress = EvaluationProgress(len(left), view)

    def run_one(task: Task, sample: int) -> ScoredSample:
        with runners() as how:
            return run_task(evaluation, task, sample, how.run, how.judge)

    def keep(row: ScoredSample) -> None:
        file.append(row)
        progress.add(row)

    pool = ThreadPoolExecutor(concurrency)
    ended: SimpleQueue[Future[ScoredSample]] = SimpleQueue()  # futures.wait would scan all of them each time
    try:
        for task, sample in left:
            pool.submit(run_one, task, sample).add_done_callback(ended.put)
        for _ in left:
            keep(ended.get().result())
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(Empty):
            while True:
                each = ended.get_nowait()
                if not each.cancelled() and each.exception() is None:  # keep what is finished
                    keep(each.result())
        raise
    finally:
        progress.end()
    pool.shutdown()


class EvaluationProgress:
    """How many conversations are done: a moving line in a terminal, else a line every half minute."""

    def __init__(self, count: int, view: View) -> None:
        self.count, self.view = count, view
        self.began = self.reported = time.monotonic()
        self.ended = self.passed = 0

    def add(self, row: ScoredSample) -> None:
        self.ended += 1
        self.passed += row.compatible
        now = time.monotonic()
        left = (now - self.began) / self.ended * (self.count - self.ended)
        text = (
            f"{self.ended} of {self.count} conversations, {100 * self.passed / self.ended:.1f} % pass, "
            f"{format_duration(left)} left"
        )
        if self.view.live:
            self.view.transient(text)
        elif now - self.reported > 30 or self.ended == self.count:
            self.reported = now
            self.view.line(text)

    def end(self) -> None:
        self.view.erase()


def format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def select_tasks(tasks: Sequence[Task], limit: int | None, inputs: int | None) -> list[Task]:
    """The conversations of the first `limit` problems, with their first `inputs` inputs."""
    names = list(dict.fromkeys(task.problem for task in tasks))[:limit]
    return [task for task in tasks if task.problem in names and (inputs is None or task.input < inputs)]


def hash_tasks(tasks: Sequence[Task]) -> str:
    """A SHA-256 of all instructions and wanted values."""
    text = json.dumps(
        [[task.problem, task.input, task.instructions, task.prompt, task.facts] for task in tasks]
    )
    return hashlib.sha256(text.encode()).hexdigest()
