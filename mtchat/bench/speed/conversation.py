"""The texts that are measured with: a conversation made of recorded sessions, as prompts of one model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

from mtchat.bench.speed.subject import Ask
from mtchat.session.prompt import Prompt
from mtchat.session.turn import Turn

TURNS = 20
FORK = 10  # the turn after which another branch begins
ASIDE = 2  # turns on it after its first
LONGEST = 4096  # ids for contexts of any length
NEW = "Write a class Queue with methods to add an item, to take the oldest, and to tell how many there are"

Render = Callable[[Sequence[Turn], str], Prompt]


@dataclass(frozen=True)
class Step:
    """A turn: what is asked, and the context once the recorded reply stands in it."""

    ask: Ask
    written: Ask


@dataclass(frozen=True)
class Reply:
    """A turn of a recorded session, how many tokens the model replies, and the context `before` it was asked.

    For the first turn of a session there is none before, and its text is "".
    """

    ask: Ask
    tokens: int
    before: Ask = Ask()


@dataclass(frozen=True)
class Script:
    """`ids` are program text, and `single` is a prompt for a measure that wants only one.

    `undone` is asked after the last step was taken back; `branch` is another end of the first steps, and
    `returned` is asked when the conversation goes on where the steps ended.
    """

    ids: tuple[int, ...]
    single: Ask
    steps: tuple[Step, ...] = ()
    undone: Ask = Ask()
    branch: tuple[Step, ...] = ()
    returned: Ask = Ask()
    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True)
class Writer:
    """Makes prompts as the REPL does: `render` is the family's, `text` and `ids` are the model's.

    `length` is the number of tokens that the model writes to a prompt until its reply is cut.
    """

    render: Render
    text: Callable[[Prompt], str]
    ids: Callable[[str], list[int]]
    length: Callable[[Prompt], int]

    def script(self, sessions: Sequence[Sequence[Turn]], replies: int) -> Script:
        """Of the live paths of sessions; where there are none, without all that is of a conversation."""
        turns = [turn for path in sessions for turn in path]
        new = Turn(NEW, "")  # an instruction that no turn of these has
        if not turns:
            ask = self.asked((), new)
            return Script(self.enough(ask.text), ask)
        path = list(islice(cycle(turns), TURNS))
        aside = [replace(new, chunk=path[-1].chunk), *path[:ASIDE]]
        steps = tuple(self.steps(path))
        returned = self.asked(path, new)
        return Script(
            ids=self.enough(steps[-1].written.text),
            single=returned,
            steps=steps,
            undone=self.asked(path[:-1], new),
            branch=tuple(self.steps([*path[:FORK], *aside]))[FORK:],
            returned=returned,
            replies=tuple(self.replies(sessions, replies)),
        )

    def steps(self, path: Sequence[Turn]) -> Iterable[Step]:
        for number, turn in enumerate(path):
            ask = self.asked(path[:number], turn)
            opened = replace(ask.prompt, opening=ask.prompt.opening + turn.chunk)
            yield Step(ask, self.ask(opened))

    def replies(self, sessions: Sequence[Sequence[Turn]], count: int) -> Iterable[Reply]:
        """To so many of the turns, from the first to the last."""
        every = [path[: number + 1] for path in sessions for number in range(len(path))]
        for place in range(min(count, len(every))):
            *earlier, step = self.steps(every[place * len(every) // min(count, len(every))])
            before = earlier[-1].written if earlier else Ask()
            yield Reply(step.ask, self.length(step.ask.prompt), before)

    def asked(self, path: Sequence[Turn], turn: Turn) -> Ask:
        return self.ask(self.render(path, turn.instruction))

    def ask(self, prompt: Prompt) -> Ask:
        return Ask(prompt, self.text(prompt))

    def enough(self, text: str) -> tuple[int, ...]:
        return tuple(islice(cycle(self.ids(text)), LONGEST))
