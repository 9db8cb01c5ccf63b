"""What a comparison is measured with: a conversation made of recorded sessions, as prompts for one model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

from mtchat.bench.speed.engine import BenchPrompt
from mtchat.session.prompt import Prompt
from mtchat.session.turn import Turn

TURNS = 20
FORK = 10  # the turn after which another branch begins
ASIDE = 2  # turns on that branch after its first
LONGEST = 4096  # ids for contexts of any length
NEW = "Write a class Queue with methods to add an item, to take the oldest, and to tell how many there are"


@dataclass(frozen=True)
class WorkloadTurn:
    """A turn: its prompt, and the context that ends with the recorded reply."""

    prompt: BenchPrompt
    context: BenchPrompt


@dataclass(frozen=True)
class RecordedReply:
    """A turn of a recorded session: its prompt, how many tokens the model replies, and the context `before`.

    The first turn of a session has an empty `before`.
    """

    prompt: BenchPrompt
    tokens: int
    before: BenchPrompt = BenchPrompt()


@dataclass(frozen=True)
class Workload:
    """`ids` are program text, and `single` is a prompt for a measure that needs only one.

    `undone` is the next prompt after the last step was undone; `branch` is another continuation of the first
    steps, and `returned` the next prompt after returning to where the steps ended.
    """

    ids: tuple[int, ...]
    single: BenchPrompt
    steps: tuple[WorkloadTurn, ...] = ()
    undone: BenchPrompt = BenchPrompt()
    branch: tuple[WorkloadTurn, ...] = ()
    returned: BenchPrompt = BenchPrompt()
    replies: tuple[RecordedReply, ...] = ()


@dataclass(frozen=True)
class WorkloadBuilder:
    """Builds prompts as the REPL does: `render` is the family's, `text` and `ids` are the model's.

    `length` is the number of tokens that the model replies to a prompt.
    """

    render: Callable[[Sequence[Turn], str], Prompt]
    text: Callable[[Prompt], str]
    ids: Callable[[str], list[int]]
    length: Callable[[Prompt], int]

    def build(self, sessions: Sequence[Sequence[Turn]], replies: int) -> Workload:
        """From the live paths of sessions; without any, only what needs no conversation."""
        turns = [turn for path in sessions for turn in path]
        new = Turn(NEW, "")  # an instruction that no recorded turn has
        if not turns:
            ask = self.prompt_for((), new)
            return Workload(self.repeat_ids(ask.text), ask)
        path = list(islice(cycle(turns), TURNS))
        aside = [replace(new, chunk=path[-1].chunk), *path[:ASIDE]]
        steps = tuple(self.steps(path))
        returned = self.prompt_for(path, new)
        return Workload(
            ids=self.repeat_ids(steps[-1].context.text),
            single=returned,
            steps=steps,
            undone=self.prompt_for(path[:-1], new),
            branch=tuple(self.steps([*path[:FORK], *aside]))[FORK:],
            returned=returned,
            replies=tuple(self.replies(sessions, replies)),
        )

    def steps(self, path: Sequence[Turn]) -> Iterable[WorkloadTurn]:
        for number, turn in enumerate(path):
            ask = self.prompt_for(path[:number], turn)
            opened = replace(ask.prompt, opening=ask.prompt.opening + turn.chunk)
            yield WorkloadTurn(ask, self.with_text(opened))

    def replies(self, sessions: Sequence[Sequence[Turn]], count: int) -> Iterable[RecordedReply]:
        """For `count` of the turns, spread evenly over all of them."""
        every = [path[: number + 1] for path in sessions for number in range(len(path))]
        for position in range(min(count, len(every))):
            *earlier, step = self.steps(every[position * len(every) // min(count, len(every))])
            before = earlier[-1].context if earlier else BenchPrompt()
            yield RecordedReply(step.prompt, self.length(step.prompt.prompt), before)

    def prompt_for(self, path: Sequence[Turn], turn: Turn) -> BenchPrompt:
        return self.with_text(self.render(path, turn.instruction))

    def with_text(self, prompt: Prompt) -> BenchPrompt:
        return BenchPrompt(prompt, self.text(prompt))

    def repeat_ids(self, text: str) -> tuple[int, ...]:
        return tuple(islice(cycle(self.ids(text)), LONGEST))
