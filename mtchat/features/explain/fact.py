"""A fact about a program, and where it comes from."""

from dataclasses import dataclass
from enum import StrEnum


class FactSource(StrEnum):
    """What makes a fact certain."""

    CODE = "code"
    VALUE = "value"  # a variable as the last run left it
    RUN = "run"  # what the last run did: what it printed and wrote, how often a loop ran
    ERROR = "error"  # why the last run failed
    DOCUMENTATION = "documentation"  # of an installed library
    COMMAND = "command"  # a slash command


@dataclass(frozen=True)
class Fact:
    """Something certain, as a sentence without its full stop; `turn` is what it is about, 0 if none."""

    text: str
    source: FactSource
    turn: int = 0
