"""The live session with its file, model and sandbox: the only place that makes turns and runs programs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkstemp
from weakref import finalize

from mtchat.conversation.interfaces import (
    BackgroundModel,
    Label,
    OnOutput,
    Questions,
    Runner,
    Waiting,
)
from mtchat.conversation.ownership import Ownership
from mtchat.conversation.saved import SavedSession, open_log
from mtchat.errors import ModelError, SandboxError, UsageError
from mtchat.features.checks.evaluate import evaluate_checks
from mtchat.features.understand.reading import LastText
from mtchat.files import short
from mtchat.generate import policy
from mtchat.generate.events import (
    CandidateChosen,
    CorrectionCompared,
    Event,
    EventHandler,
    RunStopped,
    TurnWritten,
    ignore,
)
from mtchat.generate.execute import Declined, RunProgram, execute
from mtchat.generate.prompt import family
from mtchat.generate.prompt.family import Family
from mtchat.generate.turn import TurnGenerator
from mtchat.models.loading import Model, classify_with, score_with
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session import language
from mtchat.session.language import Language
from mtchat.session.outcome import Outcome
from mtchat.session.program import AttachedFile, Program, RunInputs
from mtchat.session.prompt import ModelCard, Piece, Prompt, Signals
from mtchat.session.reference import ResolvedInstruction, resolve_references
from mtchat.session.session import Session
from mtchat.session.settings import ASK, OFF, ON, Sampling, Settings, thought_budget
from mtchat.session.source import reads_keyboard
from mtchat.store import Log, OwnedFiles, describe_files, present_files

TRIAL_SECONDS = 10.0
LONGEST_TAIL = 4000


def wait_silently(label: Label, news: Label) -> AbstractContextManager[None]:
    """Shows nothing while something is waited for."""
    return nullcontext()


def ignore_output(stream: str, text: str) -> None:
    """Ignores the output of a program while it runs; its outcome has all of it."""


def do_nothing() -> None:
    """Does nothing."""


class LiveSession(SavedSession):
    """A session with a model and a sandbox.

    It is saved in `store`, the name of a session or a path that ends in .jsonl, or in an open `log`;
    without either it lives in memory. Without a `sandbox` it has one of its own, which ends with it.
    `on_event` hears of all that happens, `waiting` shows that something is waited for, and `questions`
    knows who can be asked; without it nobody is. `last_run` is the latest outcome, recorded or not, and
    `last_change` what the latest correction changed in what the program does.
    """

    def __init__(
        self,
        model: Model | BackgroundModel,
        sandbox: Runner | None = None,
        *,
        store: str | Path | None = None,
        log: Log | None = None,
        settings: Settings | None = None,
        family: str = "",
        on_event: EventHandler = ignore,
        waiting: Waiting = wait_silently,
        questions: Questions | None = None,
        owned: OwnedFiles | None = None,
    ) -> None:
        if isinstance(model, str):
            raise UsageError(
                f"a conversation takes a model, not its name: mtchat.load_model({model!r}) loads it"
            )
        self.model = model if isinstance(model, BackgroundModel) else ReadyModel(model)
        self.sandbox: Runner = sandbox or Sandbox()
        super().__init__(log or (open_log(store) if store is not None else None), settings, on_event, owned)
        self._close_sandbox = self.sandbox.close if sandbox is None else do_nothing
        self.family, self.waiting, self.questions = family, waiting, questions
        self.last_run: Outcome | None = None
        self.last_change: CorrectionCompared | None = None
        self.keyboard: Path | None = None
        self._delete_typed: Callable[[], object] = lambda: None
        self.stopping = False
        self.ownership = Ownership()
        self._announced = False
        self._noted: BackgroundModel | None = None
        self.last_text = LastText()
        self._prompts: tuple[object, tuple[str, Family]] | None = None

    def close(self) -> None:
        """Ends the processes of a sandbox of its own, and releases the session's file.

        A turn that another thread is taking is stopped first, as by Ctrl-C. Nothing can be changed later.
        """
        self.stopping = True
        self.ownership.close()
        self.stopping = False
        self._close_sandbox()
        self.release()

    def release(self) -> None:
        super().release()
        self.replay_typed(b"")
        self.last_run = None

    def handle(self, event: Event) -> None:
        """Saves each turn before it is run, and passes on what happens."""
        self.stop_if_asked()
        if isinstance(event, TurnWritten | CandidateChosen):
            self.save_turn(event.session, aside=bool(event.turn.replaces))
        if isinstance(event, CorrectionCompared):
            self.last_change = event
        self.on_event(event)

    def stop_if_asked(self) -> None:
        """Interrupts what is done, once, if another thread has set `stopping`."""
        if self.stopping:
            self.stopping = False
            raise KeyboardInterrupt

    # The model

    def generator(self, on_event: EventHandler | None = None) -> TurnGenerator:
        """What makes turns, once the model is ready."""
        self.await_model()
        card, session_language, ask = self.model.card(), self.session.language, self.questions
        name, prompt_family = self.prompt_family(card, session_language)
        run = self.runner()
        may_run_unseen = run is not None and self.runs_unseen_code
        turn_policy = policy.for_language(self.settings.policy, session_language)
        if not self.tells_state:
            turn_policy = replace(turn_policy, state=())
        if ask is None or not ask.can_choose:
            turn_policy = policy.with_candidates(turn_policy, self.settings.n)
        return TurnGenerator(
            prompt_family,
            self.complete,
            run,
            card,
            name,
            on_event or self.handle,
            turn_policy if may_run_unseen else turn_policy.quiet,
            self.model.candidates,
            self.dry_run if may_run_unseen else None,
            ask.clarification() if ask and may_run_unseen else None,
            count=self.count,
            files=describe_files(present_files(self.session)) if self.session.attached else "",
            think=thought_budget(self.settings.think, card),
        )

    def prompt_family(self, card: ModelCard, session_language: Language) -> tuple[str, Family]:
        """The prompt family of a model by its name, and as its functions; found once for each model."""
        key = (card, session_language, self.family)
        if self._prompts is None or self._prompts[0] != key:
            self.notify(language.training_warning(card.name, session_language), "warning")
            name = self.family or family.choose(card)
            self._prompts = key, (name, family.load(name, session_language))
        return self._prompts[1]

    def quiet_generator(self) -> TurnGenerator:
        """A generator for what is not shown while it is written."""
        return replace(self.generator(ignore), complete=self.model.complete)

    def count(self, prompt: Prompt) -> int:
        """The tokens of a prompt."""
        return self.model.count(self.model.text(prompt))

    def score(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str]) -> tuple[float, ...] | None:
        """The log-probability of each text after a prompt and its lead, in nats.

        None if the model gives none, or if its context is too short for them.
        """
        self.await_model()
        lines = [lead + text for lead, text in zip(leads, texts, strict=True)]
        longest = max(map(self.model.count, lines), default=0)
        if self.count(prompt) + longest >= self.model.card().context:
            return None
        return score_with(self.model, prompt, texts, leads)

    def substitute(self, error: ModelError) -> BackgroundModel:
        """Another model if this one cannot be loaded; the error if there is none."""
        raise error

    def await_model(self) -> None:
        """Waits until the model can be asked; what it has to say for itself is said once."""
        try:
            with self.waiting(lambda: self.model.stage() or f"loading {self.model.name}", str):
                while not self.model.ready(0.1):
                    pass
        except ModelError as error:
            self.model = self.substitute(error)
        if self._noted is not self.model:
            self._noted = self.model
            for note in self.model.card().notes:
                self.notify(note)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The model's pieces; prefill is shown as waiting."""
        stream = self.interruptible(self.model.complete(prompt, sampling))
        with self.waiting(lambda: "reading", str):
            first = next((piece for piece in stream if piece.text or piece.usage.finish), None)
        if first is not None:
            yield first
            yield from stream

    def interruptible(self, stream: Iterator[Piece]) -> Iterator[Piece]:
        for piece in stream:
            self.stop_if_asked()
            yield piece

    def resolve_references(self, instruction: str) -> ResolvedInstruction:
        """An instruction with what it refers to in its place."""
        if "{" not in instruction:
            return ResolvedInstruction(instruction)
        return resolve_references(instruction, self.session, self.last_run)

    # Runs

    @property
    def detects_corrections(self) -> bool:
        """Whether instructions may be taken for corrections, which are recognised by names in Python code."""
        return self.settings.corrections and self.session.language.runs

    @property
    def tells_state(self) -> bool:
        """Whether the model is told the state that the program has after each turn."""
        known = policy.for_language(self.settings.policy, self.session.language)
        return self.settings.state and bool(known.state)

    @property
    def runs_unseen_code(self) -> bool:
        """Whether programs may run that the user has not seen."""
        return self.settings.run != ASK

    @property
    def can_dry_run(self) -> bool:
        """Whether programs run unasked, as far as the user, the language and the machine let them."""
        return (
            self.settings.run == ON and self.session.language.runs and not self.sandbox.unavailable_reason()
        )

    def runner(self) -> RunProgram | None:
        """How turns are run; None if the user, the machine or the language does not let them."""
        if self.settings.run == OFF or not self.session.language.runs:
            return None
        if refusal := self.sandbox.unavailable_reason():
            self.notify(f"programs are not run: {refusal}; mtchat doctor says more", "error")
            return None
        self.warn_about_sandbox()
        return self.approved_run

    @property
    def approved_run(self) -> RunProgram:
        """Runs a program; the user is asked first if the settings say so."""
        return self.run_program if self.runs_unseen_code else self.run_program_if_approved

    def require_sandbox(self) -> None:
        """SandboxError if nothing can be run here."""
        if refusal := self.sandbox.unavailable_reason():
            raise SandboxError(refusal)

    def warn_about_sandbox(self) -> None:
        """Says before the first run that programs are confined less strictly than they could be."""
        if not self._announced:
            self._announced = True
            self.notify(self.sandbox.warning(), "warning")

    def run_session(self, session: Session) -> Session:
        """A session with what its program does, as far as it may run."""
        return execute(session, self.runner(), self.handle)

    def run_program(self, program: Program) -> Outcome:
        """The program after a change, with its checks."""
        self.last_run = self.with_checks(program, self.resume(program, self.files_folder))
        return self.last_run

    def with_checks(self, program: Program, outcome: Outcome) -> Outcome:
        """An outcome with what came of the program's checks."""
        return evaluate_checks(program, outcome, self.probe) if program.checks else outcome

    def run_program_if_approved(self, program: Program) -> Outcome:
        if self.questions is None:
            raise Declined
        self.questions.approve()
        return self.run_program(program)

    def probe(self, program: Program, inputs: RunInputs | None = None) -> Outcome:
        """A program that evaluates the checks of another; its files are not kept."""
        inputs = inputs or RunInputs(files=self.attached_files())
        limits = self.settings.limits
        with self.waiting(lambda: "checking", str):
            return self.report_stop(
                self.sandbox.resume(program, limits, None, self.last_line(), inputs, False)
            )

    def dry_run(self, program: Program) -> Outcome:
        """A dry run of a program, with its variables; its files are not kept."""
        limits = replace(self.settings.limits, seconds=min(self.settings.seconds, TRIAL_SECONDS))
        given = self.inputs()
        outcome = self.report_stop(self.sandbox.resume(program, limits, None, self.last_line(), given, True))
        return self.with_checks(program, outcome)

    def run_for_variables(self) -> Outcome:
        """The live program with its variables; its files are not kept."""
        self.require_sandbox()
        self.warn_about_sandbox()
        return self.resume(self.session.program, None, with_variables=True)

    def resume(self, program: Program, folder: Path | None, with_variables: bool = False) -> Outcome:
        """A run from the latest checkpoint that fits, its last line of output shown meanwhile."""
        inputs, tail = self.inputs(), self.last_line()
        with self.waiting(lambda: "running", tail.line):
            return self.report_stop(
                self.sandbox.resume(program, self.settings.limits, folder, tail, inputs, with_variables)
            )

    def run_whole(
        self,
        arguments: tuple[str, ...] = (),
        stdin: Path | None = None,
        on_output: OnOutput = ignore_output,
        terminal: Path | None = None,
    ) -> Outcome:
        """The live program from its first line, its output heard as it comes.

        `terminal` is a pipe that gives it what is typed meanwhile. What it did is recorded if it was given
        nothing that the next run will not have.
        """
        self.warn_about_sandbox()
        program, inputs = self.session.program, self.inputs(arguments, stdin)
        if terminal is not None:
            inputs = replace(inputs, stdin=terminal, live=True)
        self.last_run = self.sandbox.run(program, self.settings.limits, self.files_folder, on_output, inputs)
        return self.last_run

    def record(self, arguments: tuple[str, ...] = (), stdin: Path | None = None) -> Outcome:
        """The outcome of the last whole run with its checks; recorded if the next run is given the same."""
        assert self.last_run is not None
        inputs = self.inputs(arguments, stdin, warn=False)
        self.last_run = evaluate_checks(
            self.session.program, self.last_run, lambda part: self.probe(part, inputs)
        )
        if not arguments and stdin is None:
            self.keep(self.session.with_outcome(self.last_run), "run")
        return self.last_run

    def replay_typed(self, typed: bytes) -> None:
        """Gives later runs what was typed at the keyboard of one; nothing any more if it is empty."""
        self._delete_typed()
        self.keyboard = None
        if typed:
            descriptor, name = mkstemp(prefix="mtchat-typed-")
            self.keyboard = Path(name)
            self._delete_typed = finalize(self, self.keyboard.unlink, missing_ok=True)
            with open(descriptor, "wb") as file:
                file.write(typed)

    def inputs(
        self, arguments: tuple[str, ...] = (), stdin: Path | None = None, warn: bool = True
    ) -> RunInputs:
        """What a run is given; attached files that are gone are named."""
        if stdin is None and self.keyboard is not None and reads_keyboard(self.session.program.source):
            stdin = self.keyboard
        files = self.attached_files()
        for file in self.session.attached:
            if warn and file not in files:
                self.notify(
                    f"{short(Path(file.path))} no longer exists: the program runs without {file.name}",
                    "warning",
                )
        return RunInputs(arguments, stdin, files, with_state=self.tells_state)

    def attached_files(self) -> tuple[AttachedFile, ...]:
        """The attached files that are still there."""
        return present_files(self.session) if self.session.attached else ()

    def report_stop(self, outcome: Outcome) -> Outcome:
        """An outcome; a run that was stopped has had the Ctrl-C to itself."""
        if outcome.stopped:
            self.on_event(RunStopped())
        return outcome

    def last_line(self) -> "LastLine":
        return LastLine(self)


class ReadyModel:
    """A loaded model as one that has nothing left to load."""

    def __init__(self, model: Model) -> None:
        self.loaded = model
        self.name = model.card.name

    def begin(self) -> None: ...

    def stage(self) -> str:
        return ""

    def ready(self, seconds: float) -> bool:
        return True

    def card(self) -> ModelCard:
        return self.loaded.card

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        return self.loaded.complete(prompt, sampling)

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        return self.loaded.candidates(prompt, sampling, count)

    def score(
        self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str] = ()
    ) -> tuple[float, ...] | None:
        return score_with(self.loaded, prompt, texts, leads)

    def classify(self, prompt: Prompt) -> Signals | None:
        return classify_with(self.loaded, prompt)

    def text(self, prompt: Prompt) -> str:
        return self.loaded.text(prompt)

    def count(self, text: str) -> int:
        return self.loaded.count(text)


@dataclass
class LastLine:
    """Hears a running program, and knows the last line it printed; a carriage return begins it again."""

    live: LiveSession
    text: str = ""

    def __call__(self, stream: str, text: str) -> None:
        self.live.stop_if_asked()
        self.text = (self.text + text)[-LONGEST_TAIL:]

    def line(self) -> str:
        lines = [line for line in self.text.replace("\r", "\n").split("\n") if line.strip()]
        return lines[-1] if lines else ""
