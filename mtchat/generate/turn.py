"""Generates one turn: prompt, completion, chunk; verifies recorded turns in the same way."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mtchat.errors import MtchatError
from mtchat.generate.align import part_for
from mtchat.generate.complete import (
    CompleteMany,
    CompleteStream,
    RawCompletion,
)
from mtchat.generate.context import (
    CountTokens,
    RenderPath,
    TokenBudget,
    TurnContext,
    TurnRequest,
    commented_instructions,
    fit,
    guidance_for,
    has_changes,
    program_before,
    prompt_for,
    state_before,
)
from mtchat.generate.edit_code import asks_to_remove, splice
from mtchat.generate.events import (
    CodeWritten,
    ContextFitted,
    EventHandler,
    PrefillFinished,
    ThoughtWritten,
    TurnWritten,
    ignore,
)
from mtchat.generate.execute import (
    RunProgram,
    carry_over,
    error_report,
    execute,
)
from mtchat.generate.interpretations import Clarification
from mtchat.generate.policy import PLAIN, Policy
from mtchat.generate.postprocess import postprocess
from mtchat.generate.prompt.family import Family, as_conversation, shows_program, shows_state
from mtchat.generate.prompt.program import drop_step_comments
from mtchat.session.context import plan_for
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.provenance import (
    Correction,
    GenerationRecord,
    Provenance,
    Replacement,
    Rework,
    Rewrite,
    Step,
)
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED, Turn

Generated = TypeVar("Generated", bound=GenerationRecord)


@dataclass(frozen=True)
class VerifyDifference:
    """A turn whose code differs when it is generated again from its recorded prompt and seed."""

    number: int
    turn: Turn
    again: str


@dataclass(frozen=True)
class TurnGenerator:
    """Generates turns with one prompt family, one model and one sandbox, each handed in as a function.

    family, complete: how prompts look, and the model as a function of prompt and sampling.
    run: runs a program; None if programs are not run.
    card, family_name: the model's and the family's part of each turn's provenance.
    policy: what is done beyond one completion, as far as the following functions are given.
    candidates: completes one prompt several times in parallel.
    dry_run: like `run`, but silent, leaving no files, and with the variables of the program in its outcome.
    asking: asks the user which interpretation is meant.
    count: the number of tokens of a prompt; with it, a context too long for the model is made to fit.
    files: the description of attached files that prompts contain.
    think: the most tokens that the model thinks before each code that it writes; 0 for no thoughts.
    """

    family: Family
    complete: CompleteStream
    run: RunProgram | None = None
    card: ModelCard = ModelCard("")
    family_name: str = ""
    on_event: EventHandler = field(default=ignore)
    policy: Policy = PLAIN
    candidates: CompleteMany | None = None
    dry_run: RunProgram | None = None
    asking: Clarification | None = None
    count: CountTokens | None = None
    files: str = ""
    think: int = 0

    def prompt(self, session: Session, instruction: str) -> Prompt:
        """The prompt of the next turn, without any turn folded to make it fit."""
        return replace(self, count=None).context(session, instruction, Sampling()).prompt

    def context(self, session: Session, instruction: str, sampling: Sampling) -> TurnContext:
        """The context of the next turn, made to fit the model as far as possible."""
        return self.fitted(self.step(session, instruction, sampling))

    def step(
        self, session: Session, instruction: str, sampling: Sampling, *, typed: str = "", replaces: str = ""
    ) -> TurnRequest:
        """The request for the next turn of a session."""
        guidance = guidance_for(instruction, self.policy.guidance)
        if not shows_program(self.family) or has_changes(session.path):
            guidance = as_conversation(guidance)
        provenance = Step(
            guidance=guidance,
            rules=self.policy.rules,
            error=error_report(session.outcome),
            files=self.files,
            state=state_before(session, instruction, self.state_parts, guidance),
        )
        return TurnRequest(session, instruction, self.signed(provenance, sampling), typed, replaces)

    @property
    def state_parts(self) -> tuple[str, ...]:
        """What prompts say of the state of the program."""
        return self.policy.state if shows_state(self.family) else ()

    def request_again(
        self,
        session: Session,
        number: int,
        instruction: str,
        provenance: Replacement,
        sampling: Sampling,
        *,
        typed: str = "",
    ) -> TurnRequest:
        """The request for another turn in the place of turn `number`; later turns keep their code."""
        base, rest = session.undo(len(session.path) - number + 1), session.path[number:]
        old = session.get(provenance.of).provenance
        continues = isinstance(provenance, Rework) and provenance.continues
        guidance = old.guidance if continues else as_conversation(self.policy.guidance)
        provenance = replace(
            provenance,
            guidance=guidance if shows_program(self.family) else as_conversation(guidance),
            rules=self.policy.rules,
            state=old.state if shows_state(self.family) else "",
        )
        signed = self.signed(provenance, sampling)
        return TurnRequest(base, instruction, signed, typed, provenance.of, rest)

    def signed(self, provenance: Generated, sampling: Sampling) -> Generated:
        """A provenance with this model, this family, the sampling and what the rules do filled in."""
        card = self.card
        return replace(
            provenance,
            model=card.name,
            fingerprint=card.fingerprint,
            precision=card.precision,
            family=self.family_name,
            sampling=sampling,
            drops_repeats=provenance.rules,
            think=self.think,
        )

    def fitted(self, request: TurnRequest) -> TurnContext:
        """The context of a request, made to fit the model as far as possible."""
        turns, whole = request.context, request.asks_again
        plan = plan_for(request.base, turns).without(whole)
        room = self.room(request.provenance.sampling, request.provenance.think)
        return fit(lambda told: request.prompt(self.family, told), turns, plan, room, whole=whole)

    def context_again(
        self,
        session: Session,
        number: int,
        path: tuple[Turn, ...],
        render: RenderPath,
        sampling: Sampling,
    ) -> TurnContext:
        """A context that asks for turn `number` again and shows it in full, made to fit the model."""
        plan = plan_for(session, path).without(number)
        return fit(render, path, plan, self.room(sampling), whole=number)

    def room(self, sampling: Sampling, think: int = 0) -> TokenBudget | None:
        return TokenBudget(self.count, self.card, sampling.max_tokens, think) if self.count else None

    def revise(
        self, session: Session, number: int, wish: str, sampling: Sampling, *, later: bool = True
    ) -> Session:
        """The session with turn `number` changed as the user wishes, and the `later` turns as they are."""
        old = session.turn_at(number)
        request = self.request_again(
            session, number, f"{old.full_instruction}\n{wish}", Correction(of=old.id), sampling
        )
        made = self.make(request if later else replace(request, rest=()))
        return session if made is request.base else made

    def execute(self, session: Session) -> Session:
        return execute(session, self.run, self.on_event)

    def make(self, request: TurnRequest, context: TurnContext | None = None) -> Session:
        """The session with the requested turn and the turns after it; `request.base` itself if nothing was
        written. `context` is the context of the request, if it is already known."""
        context = context or self.fitted(request)
        if context.problem:
            raise MtchatError(context.problem)
        if context.fitted:
            self.on_event(ContextFitted(context.fitted))
        base = request.base
        commented = commented_instructions(request.provenance, base, request.instruction)
        written = self.write(context.prompt, request.provenance.sampling, commented)
        stopped = written.usage.finish == "interrupted"
        prompt = context.prompt
        thought = written.thought if prompt.asks_for_thought else prompt.thought or ""
        provenance = replace(request.provenance, context=context.plan, think=prompt.think, thought=thought)
        if stopped:
            provenance = replace(
                provenance, rules=False
            )  # rules complete code by dropping its unfinished end
        chunk = self.chunk(written.text, base, request.instruction, provenance)
        if stopped and (not chunk.strip() or written.text == prompt.begun):
            if not written.thought or request.asks_again:
                return base
            chunk = ""  # the thought is worth keeping
        status = INTERRUPTED if stopped else COMPLETE
        turn = Turn(
            request.instruction, chunk, base.head, status, provenance, written.usage, typed=request.typed
        )
        made = carry_over(base.add(turn).inherit_options(request.replaces), request.rest)
        self.on_event(TurnWritten(made, turn))
        return made

    def chunk(self, text: str, base: Session, instruction: str, provenance: Provenance) -> str:
        """The chunk that a completion gives after a session.

        A correction is merged into the old chunk, and of a whole program each turn has its own part.
        """
        base, made = program_before(provenance, base), provenance
        code = postprocess(
            self.family,
            text,
            base,
            made.rules,
            made.context,
            drops_repeats=made.drops_repeats,
            commented=commented_instructions(made, base, instruction),
        )
        if isinstance(provenance, Rewrite) and provenance.steps:
            return part_for(code, base.path_to(provenance.of), *provenance.steps)
        if not isinstance(provenance, Correction) or not base.language.runs:
            return code  # only Python can be parsed and merged
        old = base.get(provenance.of)
        removes = asks_to_remove(old.correction_in(instruction))
        return splice(old.chunk, code, base.program.source, whole=removes)

    def write(self, prompt: Prompt, sampling: Sampling, commented: Sequence[str] = ()) -> RawCompletion:
        """One completion, up to its cut, after the thought that the prompt asks for.

        Ctrl-C ends it and keeps the text and the thought so far. The code is shown without comments that
        repeat the instructions in `commented`.
        """
        if not prompt.asks_for_thought:
            return self.write_code(prompt, sampling, commented)
        thought = self.write_thought(prompt, sampling)
        if thought.usage.finish == "interrupted":
            return RawCompletion(prompt.begun, Usage(finish="interrupted")).after(thought)
        after = replace(prompt, thought=thought.text)
        return self.write_code(after, sampling, commented, announce=False).after(thought)

    def write_thought(self, prompt: Prompt, sampling: Sampling) -> RawCompletion:
        """The thought before a completion: the model closes it, or its budget ends it."""

        def show(text: str, usage: Usage) -> bool:
            self.on_event(ThoughtWritten(text, usage.completion_tokens, prompt.think))
            return False

        return self.follow(prompt, sampling, "", show)

    def write_code(
        self, prompt: Prompt, sampling: Sampling, commented: Sequence[str], announce: bool = True
    ) -> RawCompletion:
        """The code, up to its cut; `announce` the end of the prefill."""

        def show(text: str, usage: Usage) -> bool:
            cut = self.family.cut(text)
            self.on_event(CodeWritten(drop_step_comments(cut.code, commented)))
            return cut.finished

        return self.follow(prompt, sampling, prompt.begun, show, announce)

    def follow(
        self,
        prompt: Prompt,
        sampling: Sampling,
        text: str,
        show: Callable[[str, Usage], bool],
        announce: bool = True,
    ) -> RawCompletion:
        """A text that the model continues, until `show` says that it is finished, or Ctrl-C."""
        usage, reading = Usage(), announce
        stream: Iterator[Piece] = iter(())
        try:
            stream = self.complete(prompt, sampling)
            for piece in stream:
                text, usage = text + piece.text, piece.usage
                if reading and (piece.text or usage.completion_tokens):
                    reading = False
                    self.on_event(PrefillFinished(usage))
                if piece.text and show(text, usage):
                    return RawCompletion(text, replace(usage, finish="cut"))
        except KeyboardInterrupt:
            return RawCompletion(text, replace(usage, finish="interrupted"))
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        return RawCompletion(text, usage)

    def verify(self, session: Session, only: Set[str] | None = None) -> Iterator[VerifyDifference | None]:
        """Generate each turn of the live path again: None if its code is the same, else the difference.

        `only` are the ids of the turns to verify, if this model did not write all of them.
        An interrupted turn is the same if the new reply begins with it. Turns that the user edited, or that
        were carried over, did not come from their own prompt and are skipped. A program that was written at
        once is generated once for all the turns that have its parts.
        """
        known: tuple[Prompt, Sampling, RawCompletion] | None = None
        for number, turn in enumerate(session.path, start=1):
            if turn.status not in (COMPLETE, INTERRUPTED) or (only is not None and turn.id not in only):
                continue
            base = replace(session, head=turn.parent)
            provenance = turn.provenance
            prompt = prompt_for(provenance, self.family, base, turn.instruction)
            if known is None or known[:2] != (prompt, provenance.sampling):
                known = prompt, provenance.sampling, self.write(prompt, provenance.sampling)
            written = known[2]
            if written.usage.finish == "interrupted":
                raise KeyboardInterrupt
            code = self.chunk(written.text, base, turn.instruction, provenance)
            part = turn.status == INTERRUPTED and self.begins(written, turn, base)
            yield None if code == turn.chunk or part else VerifyDifference(number, turn, code)

    def begins(self, written: RawCompletion, turn: Turn, base: Session) -> bool:
        """Whether some beginning of a completion, or of its thought, gives a turn."""
        text, thought = written.text, turn.provenance.thought
        if thought and not turn.chunk:
            return written.thought.startswith(thought)
        starts = (text[:end] for end in range(len(text), 0, -1))
        return any(
            self.chunk(start, base, turn.instruction, turn.provenance) == turn.chunk for start in starts
        )
