"""Fills the holes in the code of a turn: by infilling (FIM) if the model can, else by rewriting the code.

Of several attempts the first that parses and runs is used, else the one that gets furthest. With several
holes, programs are run once all of them are filled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from mtchat.errors import MtchatError
from mtchat.features.infill.placement import HoleEnding, place_in_hole
from mtchat.features.own_code.user_code import with_user_code
from mtchat.generate.complete import complete_quietly, warmer
from mtchat.generate.context import TurnContext, fit
from mtchat.generate.events import ContextFitted
from mtchat.generate.execute import carry_over, execute
from mtchat.generate.improve import stop_on_interrupt
from mtchat.generate.postprocess import postprocess
from mtchat.generate.prompt import infill
from mtchat.generate.prompt.family import as_conversation
from mtchat.generate.prompt.infill import InfillFormat
from mtchat.generate.repair import progress_of
from mtchat.generate.turn import TurnGenerator
from mtchat.session.context import plan_for
from mtchat.session.hole import HOLE, Hole, fill_with_ellipsis, first_hole
from mtchat.session.names import parses
from mtchat.session.prompt import Prompt
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import Turn

TRIES = 4
MISSING = "the missing code"


@dataclass(frozen=True)
class HoleInTurn:
    """A hole in the code of turn `number` of a session."""

    session: Session
    number: int
    hole: Hole

    @property
    def turn(self) -> Turn:
        return self.session.turn_at(self.number)

    @property
    def base(self) -> Session:
        """The session before the turn."""
        return self.session.undo(len(self.session.path) - self.number + 1)

    @property
    def sign(self) -> str:
        """The sign that begins a comment."""
        return self.session.language.sign

    @property
    def later(self) -> tuple[Turn, ...]:
        return self.session.path[self.number :]


def unfinished_code(session: Session, number: int) -> str:
    """The latest code with a hole for a turn, unless it has been replaced since."""
    turn = session.turn_at(number)
    latest = session.children(turn.parent)[-1]
    return latest.chunk if latest.instruction == turn.instruction and first_hole(latest.chunk) else ""


def fill_holes(generator: TurnGenerator, session: Session, number: int, code: str, sampling: Sampling) -> str:
    """The code for turn `number` with each hole filled, by the first attempt that runs.

    MtchatError if the model cannot fill holes or wrote nothing that fits; KeyboardInterrupt if interrupted.
    """
    look = generator.dry_run and stop_on_interrupt(generator.dry_run)
    best, furthest = "", None
    for whole in complete_codes(generator, session, number, code, sampling):
        if look is None:
            return whole
        now = execute(carry_over(with_user_code(session, number, whole), session.path[number:]), look)
        if now.outcome is not None and now.outcome.succeeded:
            return whole
        if furthest is None or progress_of(now) > furthest:
            best, furthest = whole, progress_of(now)
    if not best:
        raise MtchatError(
            f"{generator.card.name or 'the model'} wrote nothing that fits the hole in turn {number}; "
            "describe the missing code, for example <<fill: compute the median>>, or write it yourself"
        )
    return best


def complete_codes(
    generator: TurnGenerator, session: Session, number: int, code: str, sampling: Sampling
) -> Iterator[str]:
    """The code with all its holes filled, in one way after another: the last hole varies first.

    When an earlier hole varies, the holes after it are filled in only one way: all combinations are too many.
    """
    hole = first_hole(code)
    if hole is None:
        yield code
        return
    seen: set[str] = set()
    for start in candidate_fills(generator, HoleInTurn(session, number, hole), sampling):
        if start in seen:
            continue
        found = 0
        for whole in islice(complete_codes(generator, session, number, start, sampling), 1 if seen else None):
            found += 1
            yield whole
        if not (found or seen):
            return
        seen.add(start)


def candidate_fills(generator: TurnGenerator, place: HoleInTurn, sampling: Sampling) -> Iterator[str]:
    """The code with the hole filled, attempt by attempt, at rising temperature; only code that parses."""
    known = infill.choose(generator.card)
    if known is None and not generator.card.chat:
        raise MtchatError(
            f"{generator.card.name or 'the model'} cannot fill holes: it was not trained for it. "
            f"Write the code without <<fill>>, change the instruction (/edit {place.number} TEXT), or use a "
            "model that can fill holes: starter, starter-small, CodeGen2 or CodeGen2.5"
        )
    tries = [sampling, *(warmer(sampling, number) for number in range(1, TRIES))]
    if known is not None:
        for chosen in tries:
            yield from fill_between(generator, place, known, chosen)
    for chosen in tries[: 1 if known else TRIES] if generator.card.chat else ():
        yield from rewrite_with_hole(generator, place, chosen)


def fill_between(
    generator: TurnGenerator, place: HoleInTurn, way: InfillFormat, sampling: Sampling
) -> Iterator[str]:
    """The code with the hole filled by a model that sees the code before and after it."""
    context = hole_context(generator, place, way, sampling)
    if context.problem:
        raise MtchatError(context.problem)
    if context.fitted:
        generator.on_event(ContextFitted(context.fitted))
    suffix, language = text_after(place.hole, place.later, place.sign), place.session.language
    made = complete_quietly(
        generator.complete, HoleEnding(way, place.hole, suffix, language), context.prompt, sampling
    )
    if made.usage.finish != "length":  # a completion that was cut off cannot be placed
        yield from islice(place_in_hole(way.cut(made.text).code, place.hole, suffix, language), 1)


def hole_context(
    generator: TurnGenerator, place: HoleInTurn, way: InfillFormat, sampling: Sampling
) -> TurnContext:
    """The context for a hole, with the later turns if everything fits, else without them."""
    base, room = place.base, generator.room(sampling)

    def context(later: Sequence[Turn]) -> TurnContext:
        def render(path: tuple[Turn, ...]) -> Prompt:
            return way.render(
                text_before(path, place, base.preamble), text_after(place.hole, later, place.sign)
            )

        return fit(render, base.path, plan_for(base, base.path), room)

    whole = context(place.later)
    return context(()) if whole.fitted or whole.problem else whole


def text_before(path: Sequence[Turn], place: HoleInTurn, preamble: str) -> str:
    """All code before a hole: the program, each turn under its instruction, and the lines above the hole."""
    hole = place.hole
    parts = [f"{preamble.strip()}\n\n"] if preamble.strip() else []
    parts += [
        f"{as_comment(turn.full_instruction, place.sign)}{turn.chunk.rstrip()}\n\n"
        for turn in path
        if turn.chunk.strip()
    ]
    hint = as_comment(hole.hint, place.sign, hole.margin[: len(hole.margin) - len(hole.margin.lstrip())])
    own = "" if hole.is_alone else hole.margin
    return "".join([*parts, as_comment(place.turn.full_instruction, place.sign), hole.above, hint, own])


def text_after(hole: Hole, later: Sequence[Turn], sign: str) -> str:
    """All code after a hole: the rest of its turn and the later turns."""
    rest = hole.after[len(hole.remainder) :] if hole.is_alone else hole.after
    parts = [
        f"\n\n{as_comment(turn.full_instruction, sign)}{turn.chunk.rstrip()}"
        for turn in later
        if turn.chunk.strip()
    ]
    return fill_with_ellipsis(rest.rstrip("\n")) + "".join(parts) + "\n"


def as_comment(words: str, sign: str, margin: str = "") -> str:
    return "".join(f"{margin}{sign} {line}".rstrip() + "\n" for line in words.split("\n")) if words else ""


def rewrite_with_hole(generator: TurnGenerator, place: HoleInTurn, sampling: Sampling) -> Iterator[str]:
    """The code as a chat model rewrites it with the missing part, if it parses."""
    base, family, hole = place.base, generator.family, place.hole
    guidance = as_conversation(generator.policy.guidance)
    wanted, spoken = hole.hint or MISSING, place.session.language
    mark = f"{place.sign} TODO: {wanted}"
    holed = replace(place.turn, chunk=hole.fill(hole.margin + mark if hole.is_alone else "..."))
    line = f"{hole.margin.strip()}...{hole.remainder.rstrip()}"
    gap = f"the line `{mark}`" if hole.is_alone else f"the `...` in the line `{line}`"
    wish = (
        f"Code is missing where {gap} is. "
        f"Put {wanted} in its place: real {spoken.title} that does what the step says."
    )
    context = generator.context_again(
        base,
        place.number,
        (*base.path, holed),
        lambda path: family.revise(path, base.preamble, wish, guidance),
        sampling,
    )
    if context.problem:
        raise MtchatError(context.problem)
    text = complete_quietly(generator.complete, family, context.prompt, sampling).text
    code = postprocess(family, text, base, False, context.plan)
    if code.strip() and (parses(code) or not spoken.runs) and mark not in code and not HOLE.search(code):
        yield code
