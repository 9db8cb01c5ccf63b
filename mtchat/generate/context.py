"""Makes a context that fits the model: where it would not, the oldest turns are told folded."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mtchat.session.context import can_fold, visible_turns
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.provenance import ContextPlan
from mtchat.session.turn import Turn

FILL_AFTER_FOLDING = (
    0.75  # of what fits is filled after folding: each time it folds, all of the context is read anew
)

CountTokens = Callable[[Prompt], int]
RenderPath = Callable[[tuple[Turn, ...]], Prompt]


@dataclass(frozen=True)
class TurnContext:
    """A prompt, and what it tells of the turns before; those in `fitted` are folded so that it fits.

    `problem` says why it does not fit all the same, and what the user can do.
    """

    prompt: Prompt
    memory: ContextPlan = ContextPlan()
    fitted: tuple[int, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class TokenBudget:
    """What a model can read and write: `count` tells the tokens of a prompt, `reply` is max_tokens."""

    count: CountTokens
    card: ModelCard
    reply: int

    @property
    def most(self) -> int:
        """The tokens that a prompt may have. A reply is promised half the context at most."""
        return self.card.context - min(self.reply, self.card.context // 2)


def fit(
    render: RenderPath, path: Sequence[Turn], wanted: ContextPlan, room: TokenBudget | None, *, whole: int = 0
) -> TurnContext:
    """The context of a path: as it is wanted where that fits, else with the oldest turns folded too.

    Turns that the last turn's context held folded stay so, and when more must go, enough go to last for a
    while. The turn of the number `whole` is not folded.
    """
    if room is None:
        return TurnContext(render(visible_turns(path, wanted)), wanted)

    def attempt(numbers: Sequence[int]) -> TurnContext:
        memory = wanted.fold(numbers)
        return TurnContext(render(visible_turns(path, memory)), memory, tuple(numbers))

    context = attempt([])
    if room.count(context.prompt) <= room.most:
        return context
    left = [number for number in foldable_turns(path, wanted) if number != whole]
    context = attempt([number for number in left if number in path[-1].provenance.context.folded])
    if room.count(context.prompt) <= room.most:
        return context

    def size(oldest: int) -> int:
        return room.count(attempt(left[:oldest]).prompt)

    for most in (int(FILL_AFTER_FOLDING * room.most), room.most):
        oldest = bisect_left(range(len(left) + 1), True, key=lambda oldest: size(oldest) <= most)
        if oldest <= len(left):
            return attempt(left[:oldest])
    return replace(attempt(left), problem=explain_excess(size(len(left)), room, bool(path)))


def foldable_turns(path: Sequence[Turn], memory: ContextPlan) -> list[int]:
    """The turns that are told whole, and would be shorter if they were not."""
    known = {*memory.folded, *memory.forgotten}
    return [number for number, turn in enumerate(path, start=1) if number not in known and can_fold(turn)]


def explain_excess(tokens: int, room: TokenBudget, later: bool) -> str:
    """What to say of a context that cannot be made to fit, and what the user can do."""
    name, context = room.card.name or "the model", room.card.context
    fitting = f"/set max_tokens {context - tokens} makes it fit, " if tokens < context else ""
    how = "with every turn folded that can be, " if later else ""
    remedies = (
        "/context shows what takes it, /fold K and /forget K make it shorter, /recap writes the program anew"
    )
    return (
        f"{how}the context takes {tokens} tokens and a reply up to {room.reply} (max_tokens), "
        f"but {name} sees {context}: {fitting}{remedies if later else 'shorten the instruction'}"
    )
