"""Numbers of turns as the user types and reads them: "2", "1-3 5", "turns 1-3, 5 are folded"."""

from collections.abc import Sequence
from dataclasses import replace

from mtchat.console.captions import one_line
from mtchat.console.parsing import parse_number
from mtchat.errors import MtchatError, UsageError
from mtchat.session.context import describe_turns
from mtchat.session.session import Session


def turn_number(session: Session, text: str) -> int:
    """A turn number as typed; the last turn if nothing is typed."""
    if not session.path:
        raise MtchatError("the program has no turns yet; type an instruction")
    if not text.strip():
        return len(session.path)
    chosen = parse_number(text, "the number of a turn; /show shows them")
    session.turn_at(chosen)
    return chosen


def parse_turns(session: Session, argument: str, verb: str) -> tuple[int, ...]:
    """Turn numbers as typed, sorted, each once: "3", "1 4", "1-3, 5"."""
    found: set[int] = set()
    for word in argument.replace(",", " ").split():
        first, dash, last = word.partition("-")
        start = turn_number(session, first or word)
        end = turn_number(session, last or word) if dash else start
        if end < start:
            raise UsageError(f"{word} contains no turns; write the lower number first: {end}-{start}")
        found.update(range(start, end + 1))
    if not found:
        raise UsageError(f"{verb} which turn? /context shows the tokens of each")
    return tuple(sorted(found))


def set_context(session: Session, number: int, context: str) -> Session:
    """The session where the model sees a turn as `context` says from now on."""
    turn = session.turn_at(number)
    return session.with_options(turn.id, replace(session.options_of(turn.id), context=context))


def turn_choices(session: Session) -> list[tuple[str, str]]:
    """The turns for completion: number and instruction."""
    return [(str(at), one_line(turn.instruction, 40)) for at, turn in enumerate(session.path, 1)]


def folded_note(numbers: Sequence[int]) -> str:
    """The note that turns are folded so that the context fits the model."""
    return (
        f"{turns_are(numbers)} folded to fit the context: the model sees only imports, names and signatures"
    )


def turns_are(numbers: Sequence[int]) -> str:
    """Turns with their verb: "turn 2 is", "turns 1-3 are"."""
    return f"{describe_turns(numbers)} {'is' if len(numbers) == 1 else 'are'}"
