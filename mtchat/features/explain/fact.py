"""A fact about a program, and where it comes from."""

from dataclasses import dataclass
from enum import StrEnum


class FactSource(StrEnum):
    """What makes a fact certain."""

    CODE = "code"
    VALUE = "value"  # a variable as the last run left it
    OUTPUT = "output"  # what a turn printed, or a file that it wrote
    ERROR = "error"  # why the last run failed
    DOCUMENTATION = "documentation"  # of an installed library
    COMMAND = "command"  # a slash command


@dataclass(frozen=True)
class Fact:
    """Something certain, as a sentence without its full stop; `turn` is what it is about, 0 if none."""

    text: str
    source: FactSource
    turn: int = 0
