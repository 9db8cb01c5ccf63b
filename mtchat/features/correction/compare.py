"""Compares what a program did before and after a correction: the outputs, and the values of variables."""

import re
from collections.abc import Iterator, Mapping

from mtchat.generate.events import ChunkChange, CorrectionCompared, ValueChange
from mtchat.generate.execute import execute, never_ended
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome, Variable, output_by_turn
from mtchat.session.session import Session

ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")  # of an object, which differs in every run


def chunk_changes(before: Session, after: Session) -> tuple[ChunkChange, ...]:
    """The turns whose code differs between two sessions."""
    pairs = zip(before.path, after.path, strict=False)
    return tuple(
        ChunkChange(number, old.chunk, new.chunk)
        for number, (old, new) in enumerate(pairs, start=1)
        if old.chunk != new.chunk
    )


def compare_runs(generator: TurnGenerator, before: Session, after: Session) -> CorrectionCompared | None:
    """What a correction changed in what the program does; None if one of the two did not run.

    With a way to run programs quietly, variables are compared as well.
    """
    if generator.dry_run is not None and not never_ended(after.outcome):
        was, now = (execute(each, generator.dry_run).outcome for each in (before, after))
    else:
        was, now = before.outcome, after.outcome
    if was is None or now is None or never_ended(was) or never_ended(now):
        return None
    changed = chunk_changes(before, after)
    values = None if generator.dry_run is None else tuple(value_changes(was, now))
    outputs = tuple(output_changes(before, after, was, now))
    left = after.outcome or now  # a quiet run leaves no files
    files = tuple(each.path for each in left.files)
    return CorrectionCompared(changed, outputs, values, len(after.path) - len(changed), files)


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


def value_changes(was: Outcome, now: Outcome) -> Iterator[ValueChange]:
    """The variables that have another value, are new or are gone."""
    old, new = ({each.name: each for each in outcome.variables} for outcome in (was, now))
    for name in [*old, *(name for name in new if name not in old)]:
        first, second = old.get(name), new.get(name)
        same_kind = first and second and (first.kind, first.shape) == (second.kind, second.shape)
        if not same_kind or steady(describe(first)) != steady(describe(second)):
            yield ValueChange(describe(first), describe(second), name=name)


def steady(text: str | None) -> str | None:
    """A text without what differs in every run."""
    return None if text is None else ADDRESS.sub("at", text)


def describe(variable: Variable | None) -> str | None:
    return variable.value if variable else None
