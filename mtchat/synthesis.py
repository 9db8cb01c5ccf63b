"""Takes a turn: render, complete, cut, run, mend. The REPL, the scripted mode and replay all come here."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace

from mtchat.core.names import bound, parses
from mtchat.core.outcome import Outcome
from mtchat.core.program import PREAMBLE, Program
from mtchat.core.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.core.session import Session
from mtchat.core.settings import Sampling
from mtchat.core.turn import COMPLETE, EDITED, INTERRUPTED, KEPT, Making, Turn
from mtchat.errors import MtchatError, SandboxError
from mtchat.prompting.family import Family

RETRY_TEMPERATURE = 0.6
LONGEST_COMPLAINT = 800


@dataclass(frozen=True)
class Read:
    """The prompt is prefilled; the model has begun to write."""

    usage: Usage


@dataclass(frozen=True)
class Wrote:
    """The code of the turn as far as it has been written; the last line may still grow."""

    code: str


@dataclass(frozen=True)
class Made:
    """A turn is finished, or was interrupted; the session that has it has not run yet."""

    session: Session
    turn: Turn


@dataclass(frozen=True)
class Running:
    """The program starts; its last turn has this number."""

    number: int


@dataclass(frozen=True)
class Ran:
    """The program ended, on the path whose last turn has this number."""

    outcome: Outcome
    number: int


@dataclass(frozen=True)
class Mending:
    """One round of asking the model to mend a turn starts."""

    round: int
    rounds: int
    number: int
    error: str


Event = Read | Wrote | Made | Running | Ran | Mending
Watch = Callable[[Event], None]
Complete = Callable[[Prompt, Sampling], Iterator[Piece]]
Run = Callable[[Program], Outcome]


def unseen(event: Event) -> None:
    """A watcher for those who only want the result."""


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

    `run` is None when nothing is to be run; `card` and `family_name` go into the record of each turn.
    """

    family: Family
    complete: Complete
    run: Run | None = None
    card: ModelCard = ModelCard("")
    family_name: str = ""
    watch: Watch = field(default=unseen)

    def prompt(self, session: Session, instruction: str) -> Prompt:
        """The context that the next turn would have."""
        return self.family.render(session.path, instruction, session.preamble, complaint(session.outcome))

    def take(self, session: Session, instruction: str, sampling: Sampling) -> Session:
        """The session with one more turn, run. An interrupted turn is kept, marked, and not run."""
        prompt, error = self.prompt(session, instruction), complaint(session.outcome)
        made = self.make(session, prompt, instruction, sampling, error=error)
        return self.tried(made) if made is not session else session

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
        prompt = self.family.mend(session.path[:place], session.preamble, error)
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
        chunk = self.family.chunk(written.text, session.program.source)
        stopped = written.usage.finish == "interrupted"
        if stopped and not chunk.strip():
            return session
        card = self.card
        making = Making(card.name, card.fingerprint, card.precision, self.family_name, sampling, error, mends)
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
                prompt = self.family.mend((*base.path, failing), base.preamble, turn.making.error)
            else:
                prompt = self.family.render(base.path, turn.instruction, base.preamble, turn.making.error)
            written = self.write(prompt, turn.making.sampling)
            if written.usage.finish == "interrupted":
                raise KeyboardInterrupt
            before = base.program.source
            again = self.family.chunk(written.text, before)
            part = turn.status == INTERRUPTED and self.begins(written.text, turn.chunk, before)
            yield None if again == turn.chunk or part else Difference(number, turn, again)

    def begins(self, text: str, chunk: str, before: str) -> bool:
        """Whether a completion begins with what gives this chunk."""
        return any(self.family.chunk(text[:end], before) == chunk for end in range(len(text), 0, -1))


def rewrite(session: Session, number: int, code: str, run: Run | None, watch: Watch = unseen) -> Session:
    """Turn `number` with code the user wrote, run; the turns after it keep theirs."""
    turn = session.numbered(number)
    edited = replace(turn, chunk=code, status=EDITED, making=Making(), usage=Usage())
    base = session.undo(len(session.path) - number + 1)
    made = kept(base.add(edited), session.path[number:])
    watch(Made(made, edited))
    return tried(made, run, watch)


def tried(session: Session, run: Run | None, watch: Watch = unseen) -> Session:
    """The session with the outcome of its live program, where there is a way to run it."""
    turn = session.path[-1] if session.path else None
    if run is None or turn is None or turn.status == INTERRUPTED:
        return session
    watch(Running(len(session.path)))
    try:
        outcome = run(session.program)
    except SandboxError as error:
        outcome = Outcome("none", None, limit="sandbox", finished=False, error=str(error))
    watch(Ran(outcome, len(session.path)))
    return session.with_outcome(outcome)


def kept(session: Session, rest: tuple[Turn, ...]) -> Session:
    """The session with later turns carried over to its new branch, code unchanged."""
    again = (replace(turn, status=KEPT, making=Making(), usage=Usage()) for turn in rest)
    return session.extend(tuple(again))


def failed(outcome: Outcome | None) -> bool:
    """Whether the program ended by itself, and badly."""
    return outcome is not None and not outcome.ok and not unended(outcome)


def unended(outcome: Outcome | None) -> bool:
    """Whether there is no run that the program itself ended, well or badly."""
    return outcome is None or outcome.limit in ("interrupted", "sandbox")


def hotter(sampling: Sampling, number: int) -> Sampling:
    """Sampling for a question that was asked before: warm enough that the answer can differ."""
    warm = max(sampling.temperature, RETRY_TEMPERATURE)
    return replace(sampling, temperature=warm, seed=sampling.seed + number)


def better(attempt: Session, than: Session) -> bool:
    """Whether a mended program is better: it gets further, and its turns still do what they did."""
    return keeps(attempt, than) and reach(attempt) > reach(than)


def reach(session: Session) -> tuple[bool, int, int]:
    """How far a program gets: whether it runs, else the turn and the line of that turn where it fails."""
    outcome = session.outcome
    if outcome is None:
        return (False, 0, 0)
    if outcome.ok or not outcome.frames:
        reached = session.program.chunks[: len(outcome.outputs)]
        return (outcome.ok, reached[-1].turn if reached else 0, 0)
    place = outcome.frames[0].place
    return (False, place.turn, place.line)


def keeps(attempt: Session, than: Session) -> bool:
    """Whether each turn still binds the names it bound, and still prints where it printed."""
    for old, new in zip(than.path, attempt.path, strict=True):
        if old.chunk == new.chunk:
            continue
        if not parses(new.chunk) or not bound(old.chunk) <= bound(new.chunk):
            return False
        if "print(" in old.chunk and "print(" not in new.chunk:
            return False
    return True


def complaint(outcome: Outcome | None) -> str:
    """What to tell the model about a failing program: the line, and all that the exception says.

    "" when the program runs, or was stopped by choice.
    """
    if outcome is None or not failed(outcome):
        return ""
    lines = outcome.traceback.rstrip("\n").split("\n")
    indented = [number for number, line in enumerate(lines) if line.startswith("  ")]
    message = "\n".join(lines[indented[-1] + 1 :]) if indented else ""
    if not message or not outcome.frames:
        return outcome.error
    frame = outcome.frames[-1]
    return f"turn {frame.place.turn}, line {frame.place.line}: {frame.text}\n{message}"[:LONGEST_COMPLAINT]
