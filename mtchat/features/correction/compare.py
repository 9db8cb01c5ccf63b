"""Compares what a program did before and after a correction: the outputs, and the values of variables."""

from collections.abc import Iterator

from mtchat.generate.events import CorrectionCompared, ValueChange
from mtchat.generate.execute import execute, never_ended
from mtchat.generate.judge.regressions import broken_beside, chunk_changes, output_changes, steady
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.session import Session


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
    kept, broken = len(after.path) - len(changed), broken_beside(before, after)
    return CorrectionCompared(changed, outputs, values, kept, files, broken)


def value_changes(was: Outcome, now: Outcome) -> Iterator[ValueChange]:
    """The variables that have another value, are new or are gone."""
    old, new = ({each.name: each for each in outcome.variables} for outcome in (was, now))
    for name in [*old, *(name for name in new if name not in old)]:
        first, second = old.get(name), new.get(name)
        same_kind = first and second and (first.kind, first.shape) == (second.kind, second.shape)
        if not same_kind or steady(describe(first)) != steady(describe(second)):
            yield ValueChange(describe(first), describe(second), name=name)


def describe(variable: Variable | None) -> str | None:
    return variable.value if variable else None
