"""Compares what a program did before and after a change: what turns print, and what the change breaks.

A turn that a change is not about must print what it printed, and the checks of it that passed must pass.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from mtchat.generate.events import ChunkChange, ValueChange
from mtchat.generate.execute import never_ended
from mtchat.generate.judge.arbitrary import uses_chance
from mtchat.session.names import list_turn_numbers, turns_depending_on
from mtchat.session.outcome import Outcome, output_by_turn
from mtchat.session.session import Session
from mtchat.session.turn import Turn

ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")  # of an object, which differs in every run


def output_changes(before: Session, after: Session, was: Outcome, now: Outcome) -> Iterator[ValueChange]:
    """The turns that print something else, an error as part of what its turn printed."""
    old, new = (printed(session, outcome) for session, outcome in ((before, was), (after, now)))
    for number in range(1, len(after.path) + 1):
        if steady(old.get(number)) != steady(new.get(number)):
            yield ValueChange(old.get(number), new.get(number), number)


def printed(session: Session, outcome: Outcome) -> Mapping[int, str]:
    """What each turn printed, or the error with which it failed; turns that were not reached are left out."""
    found = output_by_turn(session.program, outcome)
    if outcome.error and outcome.turn is not None:
        found[outcome.turn] = outcome.error.partition(": ")[2] or outcome.error
    return found


def steady(text: str | None) -> str | None:
    """A text without what differs in every run."""
    return None if text is None else ADDRESS.sub("at", text)


def chunk_changes(before: Session, after: Session) -> tuple[ChunkChange, ...]:
    """The turns whose code differs between two sessions."""
    pairs = zip(before.path, after.path, strict=False)
    return tuple(
        ChunkChange(number, old.chunk, new.chunk)
        for number, (old, new) in enumerate(pairs, start=1)
        if old.chunk != new.chunk
    )


def changed_turns(before: Session, after: Session) -> tuple[int, ...]:
    """The numbers of the turns whose code differs."""
    return tuple(each.number for each in chunk_changes(before, after))


def broken_beside(before: Session, after: Session) -> tuple[int, ...]:
    """The turns that a change breaks though they used nothing of what it changes."""
    changed = changed_turns(before, after)
    return broken_turns(before, after, reach_of(before, changed)) if changed else ()


def reach_of(before: Session, numbers: Collection[int]) -> frozenset[int]:
    """The turns that use what these made, and those with checks of it; and these."""
    checks: dict[int, str] = {}
    for each in before.program.checks:
        checks[each.at] = f"{checks.get(each.at, '')}\n({each.code}\n)"
    path = [with_code(turn, checks.get(number, "")) for number, turn in enumerate(before.path, start=1)]
    found = turns_depending_on(path, numbers)
    return found | {each.turn for each in before.program.checks if each.at in found}


def with_code(turn: Turn, code: str) -> Turn:
    return replace(turn, chunk=turn.chunk + code) if code else turn


def broken_turns(before: Session, after: Session, reach: Collection[int]) -> tuple[int, ...]:
    """The turns outside the `reach` of a change that it breaks, by the outcomes of the two sessions.

    They ran before and fail now, or print something else, or a check of them that passed fails. What a
    program prints is not compared if it depends on chance or on the clock.
    """
    was, now = before.outcome, after.outcome
    if was is None or now is None or never_ended(was) or never_ended(now):
        return ()
    ran = [number for number in range(1, len(before.path) + 1) if was.passed(number)]
    passed = {(each.turn, each.code) for each in was.check_results if each.passed}
    found = {each.turn for each in now.failed_checks if (each.turn, each.code) in passed}
    found |= {number for number in ran if now.passed(number) is False}
    if not uses_chance(before.program.source):
        found |= {each.number for each in output_changes(before, after, was, now) if each.number in ran}
    return tuple(sorted(found - set(reach)))


def keeps_steps(before: Session, after: Session) -> bool:
    """Whether a rewritten program first prints what was printed for the steps before the last one.

    In which turn it does so does not count. Steps that did not run before have nothing to keep, and nothing
    is compared if a program depends on chance.
    """
    was, now = before.outcome, after.outcome
    if was is None or now is None or uses_chance(before.program.source + after.program.source):
        return True
    old = output_by_turn(before.program, was)
    wanted = "".join(old.get(number, "") for number in range(1, len(before.path)) if was.passed(number))
    return comparable("".join(now.outputs)).startswith(comparable(wanted))


def comparable(text: str) -> str:
    """A text without addresses, and with each run of blanks as one."""
    return " ".join(str(steady(text)).split())


def describe_broken(numbers: Sequence[int]) -> str:
    """Which turns a change breaks that it is not about."""
    does, them = ("does what it did", "it") if len(numbers) == 1 else ("do what they did", "them")
    return f"{list_turn_numbers(numbers)} no longer {does}, though the change is not about {them}"
