"""A hole in code, <<fill>> or <<fill: what is to stand there>>, which a model is to fill. Pure."""

import re
from dataclasses import dataclass

HOLE = re.compile(r"<<fill(?::(?P<hint>(?:(?!>>).)*))?>>")
STAND_IN = "..."  # for a hole that is not the one being filled: Python wherever a value or a statement is


@dataclass(frozen=True)
class Hole:
    """A hole: the code on either side of it, and what is to stand there ("" where that is left open)."""

    before: str
    after: str
    hint: str = ""

    @property
    def margin(self) -> str:
        """What stands before it on its line."""
        return self.before.rpartition("\n")[2]

    @property
    def remainder(self) -> str:
        """What stands after it on its line."""
        return self.after.partition("\n")[0]

    @property
    def is_alone(self) -> bool:
        """Whether it has a line for itself."""
        return not self.margin.strip() and not self.remainder.strip()

    @property
    def above(self) -> str:
        """The whole lines before its line."""
        return self.before[: len(self.before) - len(self.margin)]

    def fill(self, code: str) -> str:
        """All of the code with this in the hole; lines of their own bring their indentation."""
        if self.is_alone:
            return self.above + code + self.after[len(self.remainder) :]
        return self.before + code + self.after


def first_hole(code: str) -> Hole | None:
    """The first hole of some code."""
    found = HOLE.search(code)
    if found is None:
        return None
    return Hole(code[: found.start()], code[found.end() :], (found["hint"] or "").strip())


def fill_with_ellipsis(code: str) -> str:
    """The code with something that parses in each hole."""
    return HOLE.sub(STAND_IN, code)
