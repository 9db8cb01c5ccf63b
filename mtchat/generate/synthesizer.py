"""Takes a turn: render, complete, cut, run, choose, mend. All that takes turns comes here."""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace

from mtchat.errors import MtchatError
from mtchat.features.correction.detect import takes_away, wished
from mtchat.features.correction.splicing import spliced
from mtchat.generate.bettering import bettered
from mtchat.generate.events import (
    CodeWritten,
    ContextFitted,
    EventHandler,
    PrefillFinished,
    RepairStarted,
    TurnWritten,
    ignore,
)
from mtchat.generate.fitting import Context, Count, Render, Room, fit
from mtchat.generate.policy import PLAIN, Policy
from mtchat.generate.prompt.family import Family
from mtchat.generate.readings import Asking, Spread
from mtchat.generate.running import Run, better, complaint, excused, kept, reproach, suspects, tried, unended
from mtchat.generate.spreading import spread
from mtchat.generate.writing import (
    Candidates,
    Complete,
    Written,
    chunk_of,
    guidance_for,
    hotter,
    reworked,
    whole,
)
from mtchat.session.memory import EVERYTHING, ContextPlan, plan_for, plan_of, visible_turns
from mtchat.session.program import PREAMBLE
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.session import ROOT, Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED, Provenance, Turn


@dataclass(frozen=True)
class Fixed:
    """Where mending ended: the best session found, the rounds it took, and why it stopped."""

    session: Session
    rounds: int
    reason: str


@dataclass(frozen=True)
class Difference:
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
    complete: Complete
    run: Run | None = None
    card: ModelCard = ModelCard("")
    family_name: str = ""
    on_event: EventHandler = field(default=ignore)
    policy: Policy = PLAIN
    candidates: Candidates | None = None
    look: Run | None = None
    asking: Asking | None = None
    count: Count | None = None
    files: str = ""

    def prompt(self, session: Session, instruction: str) -> Prompt:
        """The context that the next turn would have if it fits."""
        return replace(self, count=None).context(session, instruction, Sampling()).prompt

    def context(self, session: Session, instruction: str, sampling: Sampling) -> Context:
        """The context that the next turn has, made to fit the model as far as it can be."""
        guidance = guidance_for(instruction, self.policy.guidance)
        error, preamble = complaint(session.outcome), session.preamble
        asked = beside(self.files, instruction)

        def render(path: tuple[Turn, ...]) -> Prompt:
            return self.family.render(path, asked, preamble, error, guidance)

        return fit(render, session.path, plan_for(session, session.path), self.room(sampling))

    def again_about(
        self,
        session: Session,
        number: int,
        path: tuple[Turn, ...],
        render: Render,
        sampling: Sampling,
    ) -> Context:
        """The context that asks again for turn `number`, which is told whole; of a path, made to fit."""
        memory = plan_for(session, path).without(number)
        return fit(render, path, memory, self.room(sampling), whole=number)

    def room(self, sampling: Sampling) -> Room | None:
        return Room(self.count, self.card, sampling.max_tokens) if self.count else None

    def take(
        self, session: Session, instruction: str, sampling: Sampling, *, typed: str = "", replaces: str = ""
    ) -> Session:
        """The session with one more turn, run, and made better as the policy says.

        `typed` is the instruction as it was typed, where that is shorter. What was laid down about the turn
        of the id `replaces` holds for this one.
        An interrupted turn is kept, marked, and not run. An interrupt of what makes a turn better leaves the
        best one found so far.
        """
        context, error = self.context(session, instruction, sampling), complaint(session.outcome)
        made = self.make(session, context, instruction, sampling, error=error, typed=typed, replaces=replaces)
        if made is session:
            return session
        return bettered(self, session, self.tried(made), context.prompt, sampling)

    def retry(self, session: Session, sampling: Sampling) -> Session:
        """The last turn made again beside the first try, warm and from another seed, so that it differs."""
        if not session.path:
            raise MtchatError("nothing to retry: the program has no turns")
        last = session.numbered(len(session.path))
        tries = sum(each.instruction == last.instruction for each in session.children(last.parent))
        policy = self.policy
        if not session.mark(last.id).checks:
            policy = replace(policy, samples=0, rewrites=0)  # which would agree on the same again
        step = self.policy.samples + self.policy.rewrites + 1
        again = replace(self, policy=policy).take(
            session.undo(),
            last.instruction,
            hotter(sampling, tries * step),
            typed=last.typed,
            replaces=last.id,
        )
        return session if again.head == last.parent else again

    def spread(self, session: Session, sampling: Sampling, count: int) -> Spread:
        """The last turn with so many other tries beside it, told by what they do."""
        if not session.path:
            raise MtchatError("nothing to retry: the program has no turns")
        return spread(self, session, sampling, count)

    def revise(self, session: Session, number: int, wish: str, sampling: Sampling) -> Session:
        """Turn `number` written again, changed as the user wishes; later turns keep their code."""
        old, rest = session.numbered(number), session.path[number:]
        base = session.undo(len(session.path) - number + 1)
        preamble, guidance, path = base.preamble, self.policy.guidance, (*base.path, old)
        context = self.again_about(
            session,
            number,
            path,
            lambda path: self.family.revise(path, preamble, wish, guidance),
            sampling,
        )
        text = f"{old.wish}\n{wish}"
        made = self.make(base, context, text, sampling, corrects=old.id, replaces=old.id, rest=rest)
        return session if made is base else made

    def tried(self, session: Session) -> Session:
        return tried(session, self.run, self.on_event)

    def fix(self, session: Session, sampling: Sampling, rounds: int = 3, *, last: bool = False) -> Fixed:
        """Asks the model to mend the turn that goes wrong, at most `rounds` times; keeps the best program.

        That is the turn with the line that fails, then, where mending it does not help, the one that calls
        it; or the first about which a claim does not hold. With `last` no turn before the last is changed.
        It ends early where the model writes the same code again.

        The mended chunk takes the failing one's place on a branch beside it; later turns keep their code.
        A round that does not get the program further, or that gives up names or output of the turn it
        mends, is not kept: the program is never worse than before.
        """
        if self.run is None:
            raise MtchatError("nothing can be mended where nothing is run")
        if unended(session.outcome):
            session = self.tried(session)
        if session.outcome is None or unended(session.outcome):
            raise MtchatError("no run came to its end, so there is nothing to fix; /run runs the program")
        if session.outcome.right:
            raise MtchatError(
                "nothing to fix: the program runs without an error; /edit changes what a turn is asked for"
            )
        if session.outcome.turn == PREAMBLE:
            raise MtchatError(f"only turns can be fixed, and the preamble fails: {session.outcome.error}")
        if excused(session.outcome):
            raise MtchatError(f"other code would fare no better: {session.outcome.error}")
        best, same = session, 0
        for number in range(1, rounds + 1):
            assert best.outcome is not None
            places = (len(best.path),) if last else suspects(best.outcome) or (len(best.path),)
            place = places[(number - 1) % len(places)]
            known = {turn.chunk for turn in best.turns}
            attempt, ended = self.mend(best, sampling, number, rounds, place)
            best = best.beside(attempt)
            if not ended:
                return Fixed(best, number, "interrupted")
            if attempt.numbered(place).chunk in known:
                same += 1
                if same == len(places) + 1 or number == rounds:
                    return Fixed(best, number, f"the model writes the same code for turn {place} again")
                continue
            if excused(attempt.outcome):
                return Fixed(best, number, "what is left is not a fault of the code")
            if better(attempt, best):
                best = attempt
            if best.outcome is not None and best.outcome.right:
                held = ", and all checks hold" if best.outcome.findings else ""
                return Fixed(best, number, f"the program runs{held}")
        return Fixed(best, rounds, f"still failing after {rounds} rounds")

    def mend(
        self, session: Session, sampling: Sampling, number: int, rounds: int, place: int
    ) -> tuple[Session, bool]:
        """One round: a turn written again and the program run, and whether it came to its end."""
        outcome = session.outcome
        assert outcome is not None
        failing, rest = session.numbered(place), session.path[place:]
        error = reproach(outcome)
        self.on_event(RepairStarted(number, rounds, place, outcome.error))
        preamble, guidance = session.preamble, self.policy.guidance
        base = session.undo(len(session.path) - place + 1)
        asked = sum(each.provenance.mends == failing.id for each in session.children(failing.parent))
        chosen = hotter(sampling, asked) if asked else sampling
        context = self.again_about(
            session,
            place,
            session.path[:place],
            lambda path: self.family.mend(path, preamble, error, guidance),
            chosen,
        )
        made = self.make(
            base,
            context,
            failing.instruction,
            chosen,
            error=error,
            typed=failing.typed,
            mends=failing.id,
            rest=rest,
        )
        if made is base or made.numbered(place).status == INTERRUPTED:
            return made, False
        run = self.tried(made)
        return run, not unended(run.outcome)

    def make(
        self,
        session: Session,
        context: Context,
        instruction: str,
        sampling: Sampling,
        *,
        error: str = "",
        typed: str = "",
        mends: str = "",
        replaces: str = "",
        corrects: str = "",
        rest: tuple[Turn, ...] = (),
        asked: str = "",
        start: str | None = None,
    ) -> Session:
        """The session with a turn made from a context, then `rest`; itself where nothing was written.

        The turn takes over the marks of the one that it mends or replaces. `asked` and `start` are those of
        a turn that is reworked: what it was asked for, and what it goes on from.
        """
        if context.problem:
            raise MtchatError(context.problem)
        if context.fitted:
            self.on_event(ContextFitted(context.fitted))
        written = self.write(context.prompt, sampling, start or "")
        stopped = written.usage.finish == "interrupted"
        rules = self.policy.rules and not stopped  # what is not whole is not to be made whole by less of it
        chunk = self.chunk(written.text, session, instruction, rules, corrects, context.memory)
        if stopped and (not chunk.strip() or written.text == context.prompt.begun):
            return session
        guidance = self.policy.guidance
        provenance = replace(
            self.provenance(sampling, context.memory),
            error=error,
            mends=mends,
            guidance=guidance if mends or corrects else guidance_for(instruction, guidance),
            rules=rules,
            asked=asked,
            files="" if mends or corrects or asked or start is not None else self.files,
            goes_on=start is not None,
            corrects=corrects,
        )
        status = INTERRUPTED if stopped else COMPLETE
        turn = Turn(instruction, chunk, session.head, status, provenance, written.usage, typed=typed)
        made = kept(session.add(turn).inherit(mends or replaces), rest)
        self.on_event(TurnWritten(made, turn))
        return made

    def provenance(self, sampling: Sampling, memory: ContextPlan = EVERYTHING) -> Provenance:
        """How this model makes a turn that is told so much of those before; the rest is left to be added."""
        card = self.card
        return Provenance(
            card.name,
            card.fingerprint,
            card.precision,
            self.family_name,
            sampling,
            folded=memory.folded,
            forgotten=memory.forgotten,
        )

    def chunk(
        self, text: str, base: Session, instruction: str, rules: bool, corrects: str, memory: ContextPlan
    ) -> str:
        """The chunk that a completion gives on a session; of a correction, in the place of the old one."""
        code = chunk_of(self.family, text, base, rules, memory)
        if not corrects or not base.language.runs:  # what is put in place is put there as Python reads it
            return code
        old = base.get(corrects)
        return spliced(old.chunk, code, base.program.source, takes_away(wished(old, instruction)))

    def write(self, prompt: Prompt, sampling: Sampling, start: str = "") -> Written:
        """One completion, up to its cut. Ctrl-C ends it and keeps what was written.

        `start` is code that the prompt ends with and that belongs to the completion.
        """
        text, usage, reading = start or prompt.begun, Usage(), True
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
                        return Written(text, replace(usage, finish="cut"))
        except KeyboardInterrupt:
            return Written(text, replace(usage, finish="interrupted"))
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        return Written(text, usage)

    def verify(self, session: Session, only: Set[str] | None = None) -> Iterator[Difference | None]:
        """Each turn that a model wrote on the live path, made again: None where it is the same.

        `only` are the ids of the turns to verify, where not all are this model's.

        An interrupted turn is the same when it is how the reply begins. Turns that were edited or kept are
        not made by their own context, so they are passed over.
        """
        for number, turn in enumerate(session.path, start=1):
            if turn.status not in (COMPLETE, INTERRUPTED) or (only is not None and turn.id not in only):
                continue
            base = replace(session, head=turn.parent)
            memory, start = plan_of(turn.provenance), ""
            if turn.provenance.afresh:
                prompt = whole(self.family, base.path, turn.instruction, base.preamble)
            elif turn.provenance.asked or turn.provenance.goes_on:
                again = reworked(self.family, base, session.get(turn.provenance.mends), turn.provenance)
                prompt, start = again.prompt, again.start
            elif turn.provenance.mends:
                failing = session.get(turn.provenance.mends)
                path = visible_turns((*base.path, failing), memory)
                prompt = self.family.mend(
                    path, base.preamble, turn.provenance.error, turn.provenance.guidance
                )
            elif turn.provenance.corrects:
                old = session.get(turn.provenance.corrects)
                wish, guidance = wished(old, turn.instruction), turn.provenance.guidance
                path = visible_turns((*base.path, old), memory)
                prompt = self.family.revise(path, base.preamble, wish, guidance)
            else:
                error, guidance = turn.provenance.error, turn.provenance.guidance
                path = visible_turns(base.path, memory)
                asked = beside(turn.provenance.files, turn.instruction)
                prompt = self.family.render(path, asked, base.preamble, error, guidance)
            written = self.write(prompt, turn.provenance.sampling, start)
            if written.usage.finish == "interrupted":
                raise KeyboardInterrupt
            if turn.provenance.afresh:
                base = replace(base, head=ROOT)
            code = self.again(written.text, base, turn)
            part = turn.status == INTERRUPTED and self.begins(written.text, turn, base)
            yield None if code == turn.chunk or part else Difference(number, turn, code)

    def again(self, text: str, base: Session, turn: Turn) -> str:
        """The chunk that a completion gives where it is made as a turn was."""
        provenance = turn.provenance
        return self.chunk(
            text, base, turn.instruction, provenance.rules, provenance.corrects, plan_of(provenance)
        )

    def begins(self, text: str, turn: Turn, base: Session) -> bool:
        """Whether a completion begins with what gives the chunk of a turn."""
        return any(self.again(text[:end], base, turn) == turn.chunk for end in range(len(text), 0, -1))


def beside(files: str, instruction: str) -> str:
    """An instruction after what is said of the files that its code finds."""
    return f"{files}\n\n{instruction}" if files else instruction
