"""Takes a turn: render, complete, cut, run, choose, mend. All that takes turns comes here."""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace

from mtchat.core.program import PREAMBLE
from mtchat.core.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.core.session import ROOT, Session
from mtchat.core.settings import Sampling
from mtchat.core.turn import COMPLETE, INTERRUPTED, Making, Turn
from mtchat.errors import MtchatError
from mtchat.prompting.family import Family
from mtchat.synthesis.bettering import bettered
from mtchat.synthesis.events import Made, Mending, Read, Watch, Wrote, unseen
from mtchat.synthesis.policy import PLAIN, Policy
from mtchat.synthesis.running import Run, better, complaint, kept, tried, unended
from mtchat.synthesis.writing import (
    Candidates,
    Complete,
    Written,
    chunk_of,
    guidance_for,
    hotter,
    reworked,
    whole,
)


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
class Synthesizer:
    """Makes turns with one family, one model and one sandbox, each handed in as a function.

    `run` is None when nothing is to be run; `card` and `family_name` go into the record of each turn. What
    the `policy` asks for beyond that is done where there is a way: `candidates` writes several replies
    together, and `look` runs a program as `run` does, but quietly, and tells its variables too.
    """

    family: Family
    complete: Complete
    run: Run | None = None
    card: ModelCard = ModelCard("")
    family_name: str = ""
    watch: Watch = field(default=unseen)
    policy: Policy = PLAIN
    candidates: Candidates | None = None
    look: Run | None = None

    def prompt(self, session: Session, instruction: str) -> Prompt:
        """The context that the next turn would have."""
        guidance = guidance_for(instruction, self.policy.guidance)
        error = complaint(session.outcome)
        return self.family.render(session.path, instruction, session.preamble, error, guidance)

    def take(self, session: Session, instruction: str, sampling: Sampling) -> Session:
        """The session with one more turn, run, and made better as the policy says.

        An interrupted turn is kept, marked, and not run. An interrupt of what makes a turn better leaves the
        best one found so far.
        """
        prompt, error = self.prompt(session, instruction), complaint(session.outcome)
        made = self.make(session, prompt, instruction, sampling, error=error)
        if made is session:
            return session
        return bettered(self, session, self.tried(made), prompt, sampling)

    def retry(self, session: Session, sampling: Sampling) -> Session:
        """The last turn made again beside the first try, warm and from another seed, so that it differs."""
        if not session.path:
            raise MtchatError("nothing to retry: the program has no turns")
        last = session.numbered(len(session.path))
        tries = sum(each.instruction == last.instruction for each in session.children(last.parent))
        policy = replace(self.policy, samples=0, afresh=0)  # which would agree on the same again
        step = self.policy.samples + self.policy.afresh + 1
        again = replace(self, policy=policy).take(
            session.undo(), last.instruction, hotter(sampling, tries * step)
        )
        return session if again.head == last.parent else again.inherit(last.id)

    def reword(self, session: Session, number: int, instruction: str, sampling: Sampling) -> Session:
        """Turn `number` made again from another instruction; the turns after it keep their code.

        Where it was interrupted, it is kept, marked, and nothing is run.
        """
        rest = session.path[number:]
        base = session.undo(len(session.path) - number + 1)
        prompt, error = self.prompt(base, instruction), complaint(base.outcome)
        old = session.numbered(number).id
        made = self.make(base, prompt, instruction, sampling, error=error, replaces=old, rest=rest)
        if made is base:
            return session
        return made if made.numbered(number).status == INTERRUPTED else self.tried(made)

    def tried(self, session: Session) -> Session:
        return tried(session, self.run, self.watch)

    def fix(self, session: Session, sampling: Sampling, rounds: int = 3) -> Fixed:
        """Asks the model to mend the failing turn, at most `rounds` times, and keeps the best program found.

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
        if session.outcome.ok:
            raise MtchatError(
                "nothing to fix: the program runs without an error; /edit changes what a turn is asked for"
            )
        if session.outcome.turn == PREAMBLE:
            raise MtchatError(f"only turns can be fixed, and the preamble fails: {session.outcome.error}")
        best = session
        for number in range(1, rounds + 1):
            attempt, ended = self.mend(best, sampling, number, rounds)
            best = replace(best, turns=attempt.turns, outcomes=attempt.outcomes)
            if not ended:
                return Fixed(best, number, "interrupted")
            if better(attempt, best):
                best = attempt
            if best.outcome is not None and best.outcome.ok:
                return Fixed(best, number, "the program runs")
        return Fixed(best, rounds, f"still failing after {rounds} rounds")

    def mend(self, session: Session, sampling: Sampling, number: int, rounds: int) -> tuple[Session, bool]:
        """One round: the failing turn written again and the program run, and whether it came to its end."""
        outcome = session.outcome
        assert outcome is not None
        place = outcome.turn or len(session.path)
        failing, rest = session.numbered(place), session.path[place:]
        error = complaint(outcome)
        self.watch(Mending(number, rounds, place, outcome.error))
        prompt = self.family.mend(session.path[:place], session.preamble, error, self.policy.guidance)
        base = session.undo(len(session.path) - place + 1)
        asked = sum(each.making.mends == failing.id for each in session.children(failing.parent))
        chosen = hotter(sampling, asked) if asked else sampling
        made = self.make(base, prompt, failing.instruction, chosen, error=error, mends=failing.id, rest=rest)
        if made is base or made.numbered(place).status == INTERRUPTED:
            return made, False
        run = self.tried(made)
        return run, not unended(run.outcome)

    def make(
        self,
        session: Session,
        prompt: Prompt,
        instruction: str,
        sampling: Sampling,
        *,
        error: str = "",
        mends: str = "",
        replaces: str = "",
        rest: tuple[Turn, ...] = (),
        asked: str = "",
        start: str | None = None,
    ) -> Session:
        """The session with a turn made from a prompt, then `rest`; itself where nothing was written.

        The turn takes over the marks of the one that it mends or replaces. `asked` and `start` are those of
        a turn that is reworked: what it was asked for, and what it goes on from.
        """
        written = self.write(prompt, sampling, start or "")
        stopped = written.usage.finish == "interrupted"
        rules = self.policy.rules and not stopped  # what is not whole is not to be made whole by less of it
        chunk = chunk_of(self.family, written.text, session, rules)
        if stopped and not chunk.strip():
            return session
        card = self.card
        policy = self.policy
        guidance = policy.guidance if mends else guidance_for(instruction, policy.guidance)
        making = Making(
            card.name,
            card.fingerprint,
            card.precision,
            self.family_name,
            sampling,
            error,
            mends,
            guidance,
            rules,
            asked=asked,
            goes_on=start is not None,
        )
        status = INTERRUPTED if stopped else COMPLETE
        turn = Turn(instruction, chunk, session.head, status, making, written.usage)
        made = kept(session.add(turn).inherit(mends or replaces), rest)
        self.watch(Made(made, turn))
        return made

    def write(self, prompt: Prompt, sampling: Sampling, start: str = "") -> Written:
        """One completion, up to its cut. Ctrl-C ends it and keeps what was written.

        `start` is code that the prompt ends with and that belongs to the completion.
        """
        text, usage, reading = start, Usage(), True
        stream: Iterator[Piece] = iter(())
        try:
            stream = self.complete(prompt, sampling)
            for piece in stream:
                text, usage = text + piece.text, piece.usage
                if reading and (piece.text or usage.written):
                    reading = False
                    self.watch(Read(usage))
                if piece.text:
                    cut = self.family.cut(text)
                    self.watch(Wrote(cut.code))
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
            start = ""
            if turn.making.afresh:
                prompt = whole(self.family, base.path, turn.instruction, base.preamble)
            elif turn.making.asked or turn.making.goes_on:
                again = reworked(self.family, base, session.get(turn.making.mends), turn.making)
                prompt, start = again.prompt, again.start
            elif turn.making.mends:
                failing = session.get(turn.making.mends)
                path = (*base.path, failing)
                prompt = self.family.mend(path, base.preamble, turn.making.error, turn.making.guidance)
            else:
                error, guidance = turn.making.error, turn.making.guidance
                prompt = self.family.render(base.path, turn.instruction, base.preamble, error, guidance)
            written = self.write(prompt, turn.making.sampling, start)
            if written.usage.finish == "interrupted":
                raise KeyboardInterrupt
            if turn.making.afresh:
                base = replace(base, head=ROOT)
            code = chunk_of(self.family, written.text, base, turn.making.rules)
            part = turn.status == INTERRUPTED and self.begins(written.text, turn, base)
            yield None if code == turn.chunk or part else Difference(number, turn, code)

    def begins(self, text: str, turn: Turn, base: Session) -> bool:
        """Whether a completion begins with what gives the chunk of a turn."""
        return any(
            chunk_of(self.family, text[:end], base, turn.making.rules) == turn.chunk
            for end in range(len(text), 0, -1)
        )
