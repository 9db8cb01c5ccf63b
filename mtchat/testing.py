"""A model that answers from a script, to test programs that use mtchat without loading a real one.

model = FakeModel({"define x": "x = 1", "print x": "print(x)"})
with mtchat.Conversation(model) as chat:
    assert chat.send("define x").code == "x = 1"
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from mtchat.errors import ModelError
from mtchat.session.prompt import ABLE, ModelCard, Piece, Prompt, Signals, Usage
from mtchat.session.settings import Sampling

PIECE = 8  # characters of each piece of a reply
FENCE = "\n```\n"  # how a chat model ends its code


class FakeModel:
    """A chat model with scripted replies.

    `replies` maps an instruction to the code that answers it: one text, or several, which are used in turn
    (the last is repeated). The longest key that the model's input ends with counts, or that it ends with but
    for its last paragraph, so an instruction that is asked again for a repair or a correction needs a key for
    what is asked then. `default` answers everything else; without it, an unknown instruction raises
    ModelError. `seconds` is the pause between two pieces.
    A text with ``` in it is the whole reply; any other is code, and gets the fence that ends a reply.

    With `thoughts` it can think: they hold what it thinks before a reply, by instruction as in `replies`.

    `readings` says what the model takes an instruction for: "step", "change 2" (of turn 2), "rename",
    "check", "question" or "talk"; the longest key that the instruction ends with counts, and all else is a
    step.

    `requests` holds what the model was asked, oldest first: the prompt and the sampling.
    """

    def __init__(
        self,
        replies: Mapping[str, str | Sequence[str]],
        *,
        default: str | None = None,
        name: str = "fake",
        context: int = 4096,
        seconds: float = 0.0,
        readings: Mapping[str, str] = MappingProxyType({}),
        thoughts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.replies = {
            key: (each,) if isinstance(each, str) else tuple(each) for key, each in replies.items()
        }
        self.default = default
        self.seconds = seconds
        self.readings = readings
        self.thoughts = thoughts
        thinks = ABLE if thoughts else ""
        self.card = ModelCard(name, chat=True, context=context, fingerprint="0" * 64, thinks=thinks)
        self.requests: list[tuple[Prompt, Sampling]] = []
        self.used: dict[str, int] = {}

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """The reply in pieces of a few characters; a token is a piece."""
        self.requests.append((prompt, sampling))
        text = self.thought(prompt) if prompt.asks_for_thought else self.reply(prompt)
        tokens = self.count(self.text(prompt))
        for number, start in enumerate(range(0, len(text), PIECE), start=1):
            if self.seconds:
                time.sleep(self.seconds)
            last = prompt.asks_for_thought and number == prompt.think
            end = "length" if last and start + PIECE < len(text) else ""
            yield Piece(text[start : start + PIECE], usage(tokens, number, end))
            if last:
                return

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        """The pieces of `count` replies, each with the number of its reply from 0."""
        for number in range(count):
            for piece in self.complete(prompt, sampling):
                yield number, piece

    def classify(self, prompt: Prompt) -> Signals:
        """What `readings` says of the last message."""
        return signals_for(prompt, self.readings)

    def text(self, prompt: Prompt) -> str:
        """The prompt as one text."""
        return prompt.text or "\n".join(message.content for message in prompt.messages) + prompt.opening

    def count(self, text: str) -> int:
        """The tokens in a text: one for each word."""
        return len(text.split())

    def close(self) -> None:
        """Nothing has to be freed."""

    def thought(self, prompt: Prompt) -> str:
        """What is thought before the reply to the last message."""
        asked = prompt.messages[-1].content
        shorter = asked.rpartition("\n\n")[0]
        fitting = [key for key in self.thoughts if asked.endswith(key) or shorter.endswith(key)]
        return self.thoughts[max(fitting, key=len)] if fitting else ""

    def reply(self, prompt: Prompt) -> str:
        asked = prompt.messages[-1].content if prompt.messages else prompt.text
        shorter = asked.rpartition("\n\n")[0]
        keys = [key for key in self.replies if asked.endswith(key)]
        keys = keys or [key for key in self.replies if shorter.endswith(key)]
        if not keys:
            if self.default is None:
                known = ", ".join(map(repr, self.replies)) or "none"
                raise ModelError(f"{self.card.name} has no reply to {asked[-80:]!r}; it knows: {known}")
            code = self.default
        else:
            key = max(keys, key=len)
            turn = self.used.get(key, 0)
            self.used[key] = turn + 1
            code = self.replies[key][min(turn, len(self.replies[key]) - 1)]
        return code if "```" in code else code + FENCE


def usage(prompt: int, completion: int, finish: str = "") -> Usage:
    """What a reply has cost after so many pieces."""
    return Usage(prompt, 0, completion, finish=finish)


def signals_for(prompt: Prompt, readings: Mapping[str, str]) -> Signals:
    """What a table of readings, as `FakeModel` has it, says of the last message of a prompt."""
    asked = prompt.messages[-1].content if prompt.messages else prompt.text
    key = max((key for key in readings if asked.endswith(key)), key=len, default="")
    label, _, number = readings.get(key, "step").partition(" ")
    pairs = (len(prompt.messages) - 2) // 2
    about = int(number) if number else pairs
    return Signals({label: 1.0}, tuple(float(place == about) for place in range(1, pairs + 1)))
