"""The contract of a model family, which knows the prompts of its models, and the choice of one."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from inspect import isfunction, signature
from types import SimpleNamespace
from typing import Protocol, cast

from mtchat import plugins
from mtchat.errors import PluginError
from mtchat.session.language import PYTHON, Language
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.turn import Turn

FAMILIES = "mtchat.generate.prompt.families"
WORKED = "examples"  # worked examples before the conversation
PROGRAM = "program"  # the program so far in one piece, instead of a conversation
GUIDANCE = (WORKED, PROGRAM)


@dataclass(frozen=True)
class Cut:
    """Where a completion ends: the chunk so far, and whether nothing the model writes next can change it."""

    code: str
    finished: bool


class Family(Protocol):
    """What a file of families/ defines. All functions but `matches` take the language of the program.

    A family whose prompts show the state of the program also in the messages of earlier turns, as their
    `provenance` has it, says so with `SHOWS_STATE = True`; for others no state is described. One that knows
    the guidance `PROGRAM` says so with `SHOWS_PROGRAM = True`.
    """

    def matches(self, card: ModelCard) -> bool:
        """Whether this is the family of a model."""

    def render(
        self,
        path: Sequence[Turn],
        instruction: str,
        preamble: str,
        error: str,
        guidance: Sequence[str] = (),
        language: Language = PYTHON,
    ) -> Prompt:
        """The prompt for the next turn; `error` is how the program so far fails, "" if it runs.

        `guidance` names what the prompt contains beside or instead of the conversation, of `GUIDANCE`; a
        family may ignore it. With `PROGRAM` the instruction begins with the number of its step.
        """

    def repair(
        self,
        path: Sequence[Turn],
        preamble: str,
        error: str,
        guidance: Sequence[str] = (),
        language: Language = PYTHON,
    ) -> Prompt:
        """The prompt that asks for the path's last chunk again because it fails with `error`."""

    def revise(
        self,
        path: Sequence[Turn],
        preamble: str,
        wish: str,
        guidance: Sequence[str] = (),
        language: Language = PYTHON,
    ) -> Prompt:
        """The prompt that asks for the path's last chunk again, changed as the user wishes."""

    def cut(self, text: str, language: Language = PYTHON) -> Cut:
        """The code in a completion, or in as much of it as has been written."""

    def chunk(self, text: str, before: str, language: Language = PYTHON) -> str:
        """The chunk that a whole completion gives after the program `before`."""


def shows_program(family: Family) -> bool:
    """Whether a family can show the program in one piece, instead of the conversation."""
    return bool(getattr(family, "SHOWS_PROGRAM", False))


def as_conversation(guidance: tuple[str, ...]) -> tuple[str, ...]:
    """The guidance for a prompt that has a message for each turn, whatever the policy shows for new steps."""
    return leave_out(guidance, PROGRAM)


def leave_out(guidance: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The guidance without one of its parts."""
    return tuple(each for each in guidance if each != name)


def load(name: str, language: Language = PYTHON) -> Family:
    """A family by the name of its file, with its functions bound to a language other than Python."""
    family = plugins.load(FAMILIES, name)
    if language == PYTHON:
        return cast(Family, family)
    functions = {each: getattr(family, each) for each, kind in vars(Family).items() if isfunction(kind)}
    told = {
        each: partial(function, language=language)
        for each, function in functions.items()
        if not each.startswith("_") and "language" in signature(function).parameters
    }
    return cast(Family, SimpleNamespace(**{**functions, **told}))


def shows_state(family: Family) -> bool:
    """Whether the prompts of a family show the state of the program."""
    return bool(getattr(family, "SHOWS_STATE", False))


def choose(card: ModelCard) -> str:
    """The family of a model: the first by name that claims it, those of other packages before our own.

    One of another package that fails to say so is passed over; `check_families` tells the doctor.
    """
    own, found = plugins.files(FAMILIES), plugins.load_all(FAMILIES)
    for name in sorted(found, key=lambda name: (name in own, name)):
        with suppress(PluginError):
            if cast(Family, found[name]).matches(card):
                return name
    return "codegen"


def check_families() -> Iterator[tuple[str, str]]:
    """The packages whose families cannot say whether a model is theirs, each with what is wrong."""
    for name, family in plugins.values(plugins.group_of(FAMILIES)).items():
        try:
            family.matches(ModelCard("doctor", chat=True))
        except PluginError as error:
            yield plugins.source(plugins.offered(plugins.group_of(FAMILIES))[name]), str(error)
