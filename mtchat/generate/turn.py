"""Takes a turn: render, complete, cut, run, choose, mend. All that takes turns comes here."""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mtchat.errors import MtchatError
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
    fit,
    guidance_for,
    program_before,
    prompt_for,
)
from mtchat.generate.edit_code import asks_to_remove, splice
from mtchat.generate.events import (
    CodeWritten,
    ContextFitted,
    EventHandler,
    PrefillFinished,
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
from mtchat.generate.prompt.family import Family
from mtchat.session.context import plan_for
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.provenance import (
    Correction,
    GenerationRecord,
    Provenance,
    Replacement,
    Step,
)
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED, Turn

Kind = TypeVar("Kind", bound=GenerationRecord)


@dataclass(frozen=True)
class VerifyDifference:
    """A turn that came out differently when it was made again from its seed."""

    number: int
    turn: Turn
    again: str


@dataclass(frozen=True)
class TurnGenerator:
    """Makes turns with one family, one model and one sandbox, each handed in as a function.

    `run` is None when nothing is to be run; `card` and `family_name` go into the record of each turn. What
    the `policy` asks for beyond that is done where there is a way: `candidates` writes several replies
    together, `look` runs a program as `run` does, but quietly, and tells its variables too, and `asking` asks
    the user. `files` is what the model is told of the files that runs get. Where
    `count` tells the tokens of a prompt, a context too long for the model is made to fit.
    """

    family: Family
    complete: CompleteStream
    run: RunProgram | None = None
    card: ModelCard = ModelCard("")
    family_name: str = ""
    on_event: EventHandler = field(default=ignore)
    policy: Policy = PLAIN
    candidates: CompleteMany | None = None
    look: RunProgram | None = None
    asking: Clarification | None = None
    count: CountTokens | None = None
    files: str = ""

    def prompt(self, session: Session, instruction: str) -> Prompt:
        """The context that the next turn would have if it fits."""
        return replace(self, count=None).context(session, instruction, Sampling()).prompt

    def context(self, session: Session, instruction: str, sampling: Sampling) -> TurnContext:
        """The context that the next turn has, made to fit the model as far as it can be."""
        return self.fitted(self.step(session, instruction, sampling))

    def step(
        self, session: Session, instruction: str, sampling: Sampling, *, typed: str = "", replaces: str = ""
    ) -> TurnRequest:
        """The request for the next turn of a session."""
        provenance = Step(
            guidance=guidance_for(instruction, self.policy.guidance),
            rules=self.policy.rules,
            error=error_report(session.outcome),
            files=self.files,
        )
        return TurnRequest(session, instruction, self.signed(provenance, sampling), typed, replaces)

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
        """The request for turn `number` once more, as a turn in its place; later turns keep their code."""
        base, rest = session.undo(len(session.path) - number + 1), session.path[number:]
        provenance = replace(provenance, guidance=self.policy.guidance, rules=self.policy.rules)
        signed = self.signed(provenance, sampling)
        return TurnRequest(base, instruction, signed, typed, provenance.of, rest)

    def signed(self, provenance: Kind, sampling: Sampling) -> Kind:
        """A provenance with what it records of this model, and with how tokens are sampled."""
        card = self.card
        return replace(
            provenance,
            model=card.name,
            fingerprint=card.fingerprint,
            precision=card.precision,
            family=self.family_name,
            sampling=sampling,
        )

    def fitted(self, request: TurnRequest) -> TurnContext:
        """The prompt of a request, made to fit the model as far as it can be."""
        turns, whole = request.context, request.asks_again
        plan = plan_for(request.base, turns).without(whole)
        room = self.room(request.provenance.sampling)
        return fit(lambda told: request.prompt(self.family, told), turns, plan, room, whole=whole)

    def context_again(
        self,
        session: Session,
        number: int,
        path: tuple[Turn, ...],
        render: RenderPath,
        sampling: Sampling,
    ) -> TurnContext:
        """The context that asks again for turn `number`, which is shown in full, made to fit the model."""
        memory = plan_for(session, path).without(number)
        return fit(render, path, memory, self.room(sampling), whole=number)

    def room(self, sampling: Sampling) -> TokenBudget | None:
        return TokenBudget(self.count, self.card, sampling.max_tokens) if self.count else None

    def revise(self, session: Session, number: int, wish: str, sampling: Sampling) -> Session:
        """Turn `number` written again, changed as the user wishes; later turns keep their code."""
        old = session.numbered(number)
        request = self.request_again(session, number, f"{old.wish}\n{wish}", Correction(of=old.id), sampling)
        made = self.make(request)
        return session if made is request.base else made

    def execute(self, session: Session) -> Session:
        return execute(session, self.run, self.on_event)

    def make(self, request: TurnRequest, context: TurnContext | None = None) -> Session:
        """The session with the requested turn and those that come after it; `request.base` itself where
        nothing was written. `context` is that of the request, where it is known."""
        context = context or self.fitted(request)
        if context.problem:
            raise MtchatError(context.problem)
        if context.fitted:
            self.on_event(ContextFitted(context.fitted))
        base, written = request.base, self.write(context.prompt, request.provenance.sampling)
        stopped = written.usage.finish == "interrupted"
        provenance = replace(request.provenance, context=context.memory)
        if stopped:
            provenance = replace(provenance, rules=False)  # rules make code whole by leaving out what is not
        chunk = self.chunk(written.text, base, request.instruction, provenance)
        if stopped and (not chunk.strip() or written.text == context.prompt.begun):
            return base
        status = INTERRUPTED if stopped else COMPLETE
        turn = Turn(
            request.instruction, chunk, base.head, status, provenance, written.usage, typed=request.typed
        )
        made = carry_over(base.add(turn).inherit(request.replaces), request.rest)
        self.on_event(TurnWritten(made, turn))
        return made

    def chunk(self, text: str, base: Session, instruction: str, provenance: Provenance) -> str:
        """The chunk that a completion gives on a session; of a correction, in the place of the old one."""
        base = program_before(provenance, base)
        code = postprocess(self.family, text, base, provenance.rules, provenance.context)
        if not isinstance(provenance, Correction) or not base.language.runs:
            return code  # only Python is put in its place, as Python reads it
        old = base.get(provenance.of)
        removes = asks_to_remove(old.correction_in(instruction))
        return splice(old.chunk, code, base.program.source, whole=removes)

    def write(self, prompt: Prompt, sampling: Sampling) -> RawCompletion:
        """One completion, up to its cut. Ctrl-C ends it and keeps what was written."""
        text, usage, reading = prompt.begun, Usage(), True
        stream: Iterator[Piece] = iter(())
        try:
            stream = self.complete(prompt, sampling)
            for piece in stream:
                text, usage = text + piece.text, piece.usage
                if reading and (piece.text or usage.completion_tokens):
                    reading = False
                    self.on_event(PrefillFinished(usage))
                if piece.text:
                    cut = self.family.cut(text)
                    self.on_event(CodeWritten(cut.code))
                    if cut.finished:
                        return RawCompletion(text, replace(usage, finish="cut"))
        except KeyboardInterrupt:
            return RawCompletion(text, replace(usage, finish="interrupted"))
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        return RawCompletion(text, usage)

    def verify(self, session: Session, only: Set[str] | None = None) -> Iterator[VerifyDifference | None]:
        """Each turn that a model wrote on the live path, made again: None where it is the same.

        `only` are the ids of the turns to verify, where not all are this model's.

        An interrupted turn is the same when it is how the reply begins. Turns that were edited or kept are
        not made by their own context, so they are passed over.
        """
        for number, turn in enumerate(session.path, start=1):
            if turn.status not in (COMPLETE, INTERRUPTED) or (only is not None and turn.id not in only):
                continue
            base = replace(session, head=turn.parent)
            provenance = turn.provenance
            prompt = prompt_for(provenance, self.family, base, turn.instruction)
            written = self.write(prompt, provenance.sampling)
            if written.usage.finish == "interrupted":
                raise KeyboardInterrupt
            code = self.chunk(written.text, base, turn.instruction, provenance)
            part = turn.status == INTERRUPTED and self.begins(written.text, turn, base)
            yield None if code == turn.chunk or part else VerifyDifference(number, turn, code)

    def begins(self, text: str, turn: Turn, base: Session) -> bool:
        """Whether a completion begins with what gives the chunk of a turn."""
        starts = (text[:end] for end in range(len(text), 0, -1))
        return any(
            self.chunk(start, base, turn.instruction, turn.provenance) == turn.chunk for start in starts
        )
