"""Takes a turn: render, complete, cut, run, choose, mend. All that takes turns comes here."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from mtchat.core.program import PREAMBLE, Chunk, Program
from mtchat.core.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.core.session import Session
from mtchat.core.settings import Sampling
from mtchat.core.turn import COMPLETE, INTERRUPTED, Making, Turn
from mtchat.errors import MtchatError
from mtchat.prompting.family import Family
from mtchat.synthesis.checks import Check, Checked, asserted, calls, functions, read, told
from mtchat.synthesis.checks import code as code_of
from mtchat.synthesis.choice import Candidate, best, doubtful
from mtchat.synthesis.events import Chose, Made, Mending, Read, Watch, Weighing, Wrote, unseen
from mtchat.synthesis.policy import PLAIN, Policy
from mtchat.synthesis.rules import repaired
from mtchat.synthesis.running import Run, better, complaint, failed, kept, tried, unended

RETRY_TEMPERATURE = 0.6

Complete = Callable[[Prompt, Sampling], Iterator[Piece]]
Candidates = Callable[[Prompt, Sampling, int], Iterator[tuple[int, Piece]]]


@dataclass(frozen=True)
class Written:
    """One completion: its text as the model wrote it, and what it cost."""

    text: str
    usage: Usage


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
        error, guidance = complaint(session.outcome), self.policy.guidance
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
        made = self.tried(made)
        try:
            made = self.chosen(session, made, prompt, sampling)
            return self.settled(made, sampling)
        except KeyboardInterrupt:
            return made

    def chosen(self, base: Session, made: Session, prompt: Prompt, sampling: Sampling) -> Session:
        """The session with the best of several candidates for its last turn, where the first is in doubt."""
        draft = made.path[-1]
        look = self.look or self.run
        if not self.policy.samples or draft.status == INTERRUPTED or self.candidates is None or look is None:
            return made
        examples = told(draft.instruction)
        first = self.weighed(made, 1, look, examples)
        if not doubtful(first, self.policy):
            return made
        count = self.policy.samples
        self.watch(Weighing(count + 1, len(made.path)))
        drawn = hotter(sampling, 1, self.policy.temperature)
        turns = [draft, *self.draw(draft, prompt, base, drawn, count)]
        copies = Counter(turn.chunk for turn in turns)
        trials = {turn.chunk: base.add(turn) for turn in reversed(turns)}
        checks = self.made_up(made, sampling)
        candidates = [
            self.weighed(trial.with_outcome(look(trial.program)), copies[chunk], look, examples, checks)
            for chunk, trial in trials.items()
        ]
        winner = best(candidates, self.policy).session
        turn = winner.path[-1]
        if turn.chunk == draft.chunk:
            return made
        assert winner.outcome is not None
        made = made.undo().add(turn).with_outcome(winner.outcome)
        self.watch(Chose(made, turn, winner.outcome, len(turns)))
        return made

    def weighed(
        self,
        trial: Session,
        copies: int,
        look: Run,
        examples: Sequence[Check] = (),
        checks: Sequence[Check] = (),
    ) -> Candidate:
        """A candidate with what comes of the checks that can be made of its functions."""
        names = functions(trial.path[-1].chunk)
        mine = calls([*examples, *checks], names)
        if not mine or trial.outcome is None or not trial.outcome.ok:
            return Candidate(trial, copies)
        program = trial.program
        number = len(trial.path) + 1
        outcome = look(Program((*program.chunks, Chunk(number, code_of(mine)))))
        said = outcome.outputs[-1] if len(outcome.outputs) > len(program.chunks) else ""
        checked = read(said, len(mine))
        cut = len(calls(examples, names))
        return Candidate(
            trial,
            copies,
            Checked(checked.given[:cut], checked.passed[:cut]),
            Checked(checked.given[cut:], checked.passed[cut:]),
        )

    def made_up(self, made: Session, sampling: Sampling) -> tuple[Check, ...]:
        """Checks that the model makes up for the functions of the last turn."""
        names = functions(made.path[-1].chunk)
        if not names or not self.policy.checks or failed(made.outcome):
            return ()
        wish = (
            f"Write {self.policy.checks} different one-line assert statements that test "
            f"{' and '.join(names)} with simple arguments, and nothing else."
        )
        prompt = self.family.render(made.path, wish, made.preamble, "", self.policy.guidance)
        text = "".join(piece.text for piece in self.complete(prompt, sampling))
        return calls(tuple(asserted(self.family.chunk(text, ""))), names)

    def draw(
        self, draft: Turn, prompt: Prompt, base: Session, sampling: Sampling, count: int
    ) -> Iterator[Turn]:
        """Turns like a draft, from so many replies that are written together."""
        assert self.candidates is not None
        for number, written in enumerate(self.write_each(prompt, sampling, count)):
            seeded = replace(sampling, seed=sampling.seed + number)
            chunk = self.chunk(written.text, base)
            if chunk.strip():
                yield replace(
                    draft, chunk=chunk, making=replace(draft.making, sampling=seeded), usage=written.usage
                )

    def write_each(self, prompt: Prompt, sampling: Sampling, count: int) -> "list[Written]":
        """So many completions, each up to its cut; the writing ends when the last one has come to it."""
        assert self.candidates is not None
        found = [Written("", Usage()) for _ in range(count)]
        writing = set(range(count))
        stream = self.candidates(prompt, sampling, count)
        try:
            for number, piece in stream:
                if number not in writing:
                    continue
                found[number] = Written(found[number].text + piece.text, piece.usage)
                if piece.usage.finish or (piece.text and self.family.cut(found[number].text).finished):
                    writing.discard(number)
                    if not writing:
                        break
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        return found

    def settled(self, made: Session, sampling: Sampling) -> Session:
        """The session with its last turn mended, where the policy has rounds for it and it fails."""
        outcome = made.outcome
        if not self.policy.rounds or self.run is None or not failed(outcome):
            return made
        if outcome is None or outcome.turn == PREAMBLE or made.path[-1].status == INTERRUPTED:
            return made
        return self.fix(made, sampling, self.policy.rounds).session

    def chunk(self, text: str, base: Session) -> str:
        """The chunk that a completion gives on top of a session, repaired where the policy says so."""
        return chunk_of(self.family, text, base, self.policy.rules)

    def retry(self, session: Session, sampling: Sampling) -> Session:
        """The last turn made again beside the first try, warm and from another seed, so that it differs."""
        if not session.path:
            raise MtchatError("nothing to retry: the program has no turns")
        last = session.numbered(len(session.path))
        tries = sum(each.instruction == last.instruction for each in session.children(last.parent))
        again = self.take(session.undo(), last.instruction, hotter(sampling, tries))
        return session if again.head == last.parent else again

    def reword(self, session: Session, number: int, instruction: str, sampling: Sampling) -> Session:
        """Turn `number` made again from another instruction; the turns after it keep their code.

        Where it was interrupted, it is kept, marked, and nothing is run.
        """
        rest = session.path[number:]
        base = session.undo(len(session.path) - number + 1)
        prompt, error = self.prompt(base, instruction), complaint(base.outcome)
        made = self.make(base, prompt, instruction, sampling, error=error, rest=rest)
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
            raise MtchatError("nothing to fix: the program runs without an error")
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
        rest: tuple[Turn, ...] = (),
    ) -> Session:
        """The session with a turn made from a prompt, then `rest`; itself where nothing was written."""
        written = self.write(prompt, sampling)
        chunk = self.chunk(written.text, session)
        stopped = written.usage.finish == "interrupted"
        if stopped and not chunk.strip():
            return session
        card = self.card
        policy = self.policy
        making = Making(
            card.name,
            card.fingerprint,
            card.precision,
            self.family_name,
            sampling,
            error,
            mends,
            policy.guidance,
            policy.rules,
        )
        status = INTERRUPTED if stopped else COMPLETE
        turn = Turn(instruction, chunk, session.head, status, making, written.usage)
        made = kept(session.add(turn), rest)
        self.watch(Made(made, turn))
        return made

    def write(self, prompt: Prompt, sampling: Sampling) -> Written:
        """One completion, up to its cut. Ctrl-C ends it and keeps what was written."""
        text, usage, reading = "", Usage(), True
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
            if turn.making.mends:
                failing = session.get(turn.making.mends)
                path = (*base.path, failing)
                prompt = self.family.mend(path, base.preamble, turn.making.error, turn.making.guidance)
            else:
                error, guidance = turn.making.error, turn.making.guidance
                prompt = self.family.render(base.path, turn.instruction, base.preamble, error, guidance)
            written = self.write(prompt, turn.making.sampling)
            if written.usage.finish == "interrupted":
                raise KeyboardInterrupt
            again = chunk_of(self.family, written.text, base, turn.making.rules)
            part = turn.status == INTERRUPTED and self.begins(written.text, turn, base)
            yield None if again == turn.chunk or part else Difference(number, turn, again)

    def begins(self, text: str, turn: Turn, base: Session) -> bool:
        """Whether a completion begins with what gives the chunk of a turn."""
        return any(
            chunk_of(self.family, text[:end], base, turn.making.rules) == turn.chunk
            for end in range(len(text), 0, -1)
        )


def chunk_of(family: Family, text: str, base: Session, rules: bool) -> str:
    """The chunk that a completion gives on top of a session."""
    before = base.program.source
    code = family.chunk(text, before)
    return repaired(code, before) if rules else code


def hotter(sampling: Sampling, number: int, temperature: float = RETRY_TEMPERATURE) -> Sampling:
    """Sampling for a question that was asked before: warm enough that the answer can differ."""
    return replace(sampling, temperature=max(sampling.temperature, temperature), seed=sampling.seed + number)
