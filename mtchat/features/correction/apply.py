"""Applies a correction: an instruction that changes an earlier turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mtchat.features.correction.candidates import RequestedChange, choose_change
from mtchat.features.correction.carry import CarryingStopped, carry_change
from mtchat.features.correction.compare import compare_runs
from mtchat.features.correction.rename import Rename, can_rename, rename_everywhere, rename_in_checks, spells
from mtchat.generate.complete import warmer
from mtchat.generate.edit_code import redefined_turn, splice
from mtchat.generate.events import CorrectionFinished, CorrectionStarted, TurnWritten
from mtchat.generate.execute import carry_over, failed, never_ended
from mtchat.generate.judge.regressions import broken_beside, chunk_changes
from mtchat.generate.turn import TurnGenerator
from mtchat.session.prompt import Usage
from mtchat.session.provenance import Correction as CorrectionRecord
from mtchat.session.provenance import Rewrite
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, EDITED, INTERRUPTED, Turn

TRIES = 2
BEST = (True, True, True)  # the best value of `rate`


@dataclass(frozen=True)
class DetectedCorrection:
    """A change of turn `number` as `wish` says; `rename` is set if rules can do it without a model.

    `others` are turns that may be meant instead, the likeliest first: they are tried where the model has
    nothing to change in the one before.
    """

    number: int
    wish: str
    rename: Rename | None = None
    others: tuple[int, ...] = ()


def rename_correction(rename: Rename, path: Sequence[Turn], instruction: str) -> DetectedCorrection:
    """The correction that renames something: of the first turn with the old name."""
    first = next(number for number, turn in enumerate(path, start=1) if spells(turn, rename.old))
    return DetectedCorrection(first, instruction, rename if can_rename(rename, path) else None)


def apply_correction(
    generator: TurnGenerator, session: Session, correction: DetectedCorrection, sampling: Sampling
) -> Session:
    """The session with a turn changed as the user asks, and the others that this reaches, on a new branch.

    If the attempt changes nothing or is interrupted, the program stays unchanged, and the attempt is kept
    as a branch beside it.
    """
    if correction.rename is not None:
        return apply_rename(generator, session, correction, correction.rename)
    numbers = (correction.number, *correction.others)
    return change_turns(generator, session, numbers, correction.wish, sampling)


def change_turns(
    generator: TurnGenerator, session: Session, numbers: Sequence[int], wish: str, sampling: Sampling
) -> Session:
    """The session with one of these turns changed as `wish` says, the likeliest first.

    The next one is tried if the model only repeats the code of the one before. The other turns keep their
    code as far as it fits, and change as well where they have what was replaced.
    """
    made, places = session, tuple(dict.fromkeys(numbers))
    for number in places:
        beside = replace(made, head=session.head, visited=session.visited)
        change = RequestedChange(session, number, wish, elsewhere=number != places[-1])
        made = change_turn(generator, beside, change, sampling)
        if made.head != session.head or was_interrupted(made, session):
            break
    return made


def change_turn(
    generator: TurnGenerator, made: Session, change: RequestedChange, sampling: Sampling
) -> Session:
    """The session with a turn changed; `made` is the session with what was tried before.

    A change whose candidates were compared is tried once, any other twice if the first is not good.
    """
    session, number, wish, old = change.before, change.number, change.wish, change.old
    best, attempts, carries = session, made, session.language.runs
    seeds = generator.policy.samples + 1
    asked = sum(each.corrects == old.id for each in session.children(old.parent))
    generator.on_event(CorrectionStarted(number, old.instruction))
    for tries in range(asked, asked + TRIES):
        beside = replace(made, head=session.head, visited=session.visited)
        warm = warmer(sampling, tries * seeds) if tries else sampling
        made = generator.revise(beside, number, wish, warm, later=not carries)
        if made.head == session.head or made.turn_at(number).status == INTERRUPTED:
            best = session
            break
        chosen = choose_change(generator, made, change, warm) if carries else None
        made = chosen or made
        if made.turn_at(number).chunk == old.chunk:
            generator.on_event(CorrectionFinished(session.with_alternatives(made), ()))
            if chosen:
                break
            continue
        if carries:
            try:
                made = carry_change(generator, session, made, number, wish, sampling)
            except CarryingStopped as stopped:
                made, best = stopped.session, session
                break
        generator.on_event(CorrectionFinished(made, chunk_changes(session, made)))
        made = generator.execute(made)
        if made.outcome is not None and made.outcome.stopped:
            best = session
            break
        if best is session or rate(made, session) > rate(best, session):
            best = made
        if chosen or rate(made, session) == BEST:
            break
    if best is session and made.turns == attempts.turns:
        return session if attempts.turns == session.turns else attempts
    if not chunk_changes(session, best):
        return session.with_alternatives(made)
    branches = {**made.branches, made.branch: best.head} if made.branch else made.branches
    best = replace(made, head=best.head, visited=best.visited, branches=branches)
    if compared := compare_runs(generator, session, best):
        generator.on_event(compared)
    return best


def was_interrupted(made: Session, before: Session) -> bool:
    """Whether one of the turns since was stopped, or what they do."""
    fresh = made.turns[len(before.turns) :]
    if any(turn.status == INTERRUPTED for turn in fresh):
        return True
    return any(made.outcomes[turn.id].stopped for turn in fresh if turn.id in made.outcomes)


def rate(made: Session, before: Session) -> tuple[bool, bool, bool]:
    """How good a correction is: whether it changes anything, the program still runs, and the rest is kept.

    The rest are turns that used nothing of what changes: they print what they printed, and pass their checks.
    """
    runs = not failed(made.outcome) or failed(before.outcome)
    return bool(chunk_changes(before, made)), runs, not broken_beside(before, made)


def apply_rename(
    generator: TurnGenerator, session: Session, correction: DetectedCorrection, rename: Rename
) -> Session:
    """A name changed in all turns, without a model."""
    path, codes = session.path, rename_everywhere(rename, session.path)
    first = next(place for place, turn in enumerate(path) if turn.chunk != codes[place])
    old, later = path[first], path[first + 1 :]
    rest = [replace(turn, chunk=code) for turn, code in zip(later, codes[first + 1 :], strict=True)]
    generator.on_event(CorrectionStarted(first + 1, old.instruction, by_rule=True))
    checks = rename_in_checks(
        rename, path, (check for turn in path for check in session.options_of(turn.id).checks)
    )
    turn = edited_turn(old, correction.wish, codes[first])
    return replace_turn(generator, session, first, turn, tuple(rest), checks)


def edited_turn(old: Turn, wish: str, code: str) -> Turn:
    """A turn with code changed by rules, beside the turn that it corrects."""
    return replace(
        old,
        instruction=f"{old.full_instruction}\n{wish}",
        chunk=code,
        status=EDITED,
        provenance=CorrectionRecord(of=old.id),
        usage=Usage(),
        meant="",
    )


def replace_turn(
    generator: TurnGenerator,
    session: Session,
    place: int,
    turn: Turn,
    rest: tuple[Turn, ...],
    checks: Mapping[str, str] = MappingProxyType({}),
) -> Session:
    """The session with another turn at a place of its path (from 0), then the rest; reported and run.

    `checks` says what takes the place of checks that the user keeps.
    """
    path = session.path
    made = session.undo(len(path) - place).add(turn).inherit_options(path[place].id)
    made = with_checks(made, checks)
    for old, new in zip(path[place + 1 :], rest, strict=False):
        made = with_checks(carry_over(made, (new,)).inherit_options(old.id), checks)
    generator.on_event(TurnWritten(made, turn))
    generator.on_event(CorrectionFinished(made, chunk_changes(session, made)))
    return generator.execute(made)


def with_checks(session: Session, checks: Mapping[str, str]) -> Session:
    """The session with other checks of its last turn, by those that it has."""
    options = session.options_of(session.head)
    wanted = tuple(checks.get(each, each) for each in options.checks)
    return session.with_options(session.head, replace(options, checks=wanted)) if options.checks else session


def merge_redefinition(generator: TurnGenerator, before: Session, made: Session) -> Session:
    """The session with an earlier turn changed, if the new turn only redefines what that one defines.

    The new turn stays if the program would then fail, or if that cannot be tried beforehand; and if it asks
    for another function, which only has the name of the earlier one.
    """
    last = made.path[-1] if made.path else None
    if (
        made is before
        or last is None
        or last.status != COMPLETE
        or isinstance(last.provenance, Rewrite)
        or failed(made.outcome)
        or (made.outcome is not None and made.outcome.replaced_names)
        or (generator.run is not None and (never_ended(made.outcome) or generator.dry_run is None))
    ):
        return made
    path = made.path[:-1]
    place = redefined_turn([turn.chunk for turn in path], last.chunk)
    if place < 0:
        return made
    turn = edited_turn(path[place], last.instruction, splice(path[place].chunk, last.chunk, "", whole=False))
    trial = replace_turn(
        replace(generator, on_event=lambda event: None, run=generator.dry_run),
        made,
        place,
        turn,
        path[place + 1 :],
    )
    if failed(trial.outcome):
        return made
    generator.on_event(CorrectionStarted(place + 1, path[place].instruction, by_rule=True))
    return replace_turn(generator, made, place, turn, path[place + 1 :])
