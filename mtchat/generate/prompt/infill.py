"""The contract of a way to fill a hole in code, and the choice of one for a model."""

import re
from typing import Protocol, cast

from mtchat import plugins
from mtchat.generate.prompt.family import Cut
from mtchat.session.prompt import ModelCard, Prompt

INFILLS = "mtchat.generate.prompt.infills"


class Infill(Protocol):
    """What a file of infills/ defines."""

    def matches(self, card: ModelCard) -> bool:
        """Whether a model fills holes in this way: its tokenizer then has the marks for it."""

    def render(self, prefix: str, suffix: str) -> Prompt:
        """The context that asks for what stands between two pieces of text, exactly as the model knows it."""

    def cut(self, text: str) -> Cut:
        """What is to stand in the hole, of a completion or of as much of it as has been written."""


def until(ends: re.Pattern[str], text: str) -> Cut:
    """A cut at the first of some marks."""
    end = ends.search(text)
    return Cut(text[: end.start()], finished=True) if end else Cut(text, finished=False)


def load(name: str) -> Infill:
    return cast(Infill, plugins.load(INFILLS, name))


def choose(card: ModelCard) -> str:
    """How a model fills holes: the first way that claims it, by name; "" where there is none."""
    for name in plugins.names(INFILLS):
        if load(name).matches(card):
            return name
    return ""
