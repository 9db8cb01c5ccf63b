"""What a change of one turn means for another: the same literals and names in it, and labels that follow."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from mtchat.edits.literals import (
    KEY,
    TEXT,
    LiteralChange,
    apply_change,
    differs_in_literals_only,
    literal_changes,
    literal_uses,
)
from mtchat.edits.rename import rename_name
from mtchat.errors import MtchatError
from mtchat.generate.events import ChunkChange
from mtchat.session.names import bound_names, find_uses, names_of
from mtchat.session.text import join_words
from mtchat.session.turn import Turn

SMALL = 10  # a number up to this one often means something else in another turn
ROLES = frozenset({"argument", "of", "value", "compared", "with", "default", "item"})  # words of every role
WORD = re.compile(r"[^\W_]+(?:/[^\W_]+)*")  # also of a unit such as km/h


@dataclass(frozen=True)
class CarriedCode:
    """Code of another turn after the change, and what was replaced in it."""

    code: str
    replaced: tuple[str, ...]

    @property
    def reason(self) -> str:
        return join_words(self.replaced) if self.replaced else ""


@dataclass(frozen=True)
class Spread:
    """How far a change of turn `change.number`, made because of a `wish`, reaches in a program."""

    path: Sequence[Turn]
    change: ChunkChange
    wish: str

    @cached_property
    def literals(self) -> tuple[LiteralChange, ...]:
        return literal_changes(self.change.old, self.change.new)

    @cached_property
    def renamed(self) -> tuple[str, str] | None:
        """The only name that the turn no longer binds, and the only one that it binds instead."""
        old, new = bound_names(self.change.old), bound_names(self.change.new)
        gone, fresh = sorted(old - new), sorted(new - old)
        return (gone[0], fresh[0]) if len(gone) == len(fresh) == 1 else None

    @cached_property
    def related(self) -> frozenset[int]:
        """The turns that share names with the changed turn, directly or through others."""
        uses = [(use.by, use.of) for use in find_uses([turn.chunk for turn in self.path])]
        found = {self.change.number}
        while more := {at for pair in uses if found & {*pair} for at in pair} - found:
            found |= more
        return frozenset(found)

    def carry(self, number: int, code: str) -> CarriedCode:
        """The code of another turn with what is certainly the same in it: names, literals in their roles."""
        made, replaced = self.rename(number, code), list[str]()
        if made != code and self.renamed:
            replaced.append("`{}` became `{}`".format(*self.renamed))
        for each in self.literals:
            if not self.is_telling(number, each):
                continue
            after = apply_change(made, each)
            if after != made:
                made = after
                replaced.append(describe_literal(each))
        return CarriedCode(made, tuple(dict.fromkeys(replaced)))

    def is_telling(self, number: int, each: LiteralChange) -> bool:
        """Whether a literal in the same role of another turn is the same thing, and not just equal to it."""
        if number in self.related and (each.number or any(map(str.isalnum, each.old))):
            return True
        if each.number:
            return is_large(each.old) and (self.is_meant(each) or self.shares_number(number))
        if each.whole:
            return each.role != KEY and len(each.old) > 1 and any(map(str.isalpha, each.old))
        return self.is_meant(each)

    def is_meant(self, each: LiteralChange) -> bool:
        """Whether the wish speaks of what is replaced, or of what it is for."""
        said = words_of(self.wish)
        about = words_of(each.old) | (words_of(each.role) - ROLES if each.number else frozenset())
        return any(stands_for(word, said) for word in about)

    def shares_number(self, number: int) -> bool:
        """Whether another turn was asked for with a number that the changed turn was asked for with."""
        first, second = (words_of(self.path[at - 1].instruction) for at in (self.change.number, number))
        return any(word.isdecimal() for word in first & second)

    def carry_anywhere(self, code: str) -> CarriedCode:
        """The code with every literal replaced that the change has replaced, whatever its role there."""
        return self.replace_literals(code, self.literals)

    def carry_texts(self, number: int, code: str) -> CarriedCode:
        """The code of another turn with the texts replaced that may be the same thing in another role."""
        texts = [each for each in self.literals if any(map(str.isalpha, each.old)) and not each.number]
        known = [each for each in texts if each.whole or number in self.related or self.is_meant(each)]
        return self.replace_literals(code, known)

    def replace_literals(self, code: str, changes: Sequence[LiteralChange]) -> CarriedCode:
        made, replaced = code, list[str]()
        for each in changes:
            after = apply_change(made, each, anywhere=True)
            if after != made:
                made = after
                replaced.append(describe_literal(each))
        return CarriedCode(made, tuple(dict.fromkeys(replaced)))

    def rename(self, number: int, code: str) -> str:
        """The code of a later turn with the new name of what the changed turn binds."""
        if self.renamed is None or number < self.change.number or self.renamed[0] not in names_of(code).reads:
            return code
        try:
            return rename_name([self.change.old, code], *self.renamed)[1]
        except MtchatError:
            return code

    def may_be_worded_otherwise(self, code: str) -> bool:
        """Whether a text in code has a word for something that the changed turn was about and is no more."""
        asked = f"{self.turn.full_instruction}\n{self.change.old}"
        gone = words_of(asked) - words_of(self.change.new)
        return any(any(stands_for(part, gone) for part in WORD.findall(text)) for text in texts_of(code))

    @property
    def turn(self) -> Turn:
        return self.path[self.change.number - 1]

    def is_reworded(self, old: str, new: str) -> bool:
        """Whether only texts differ, in words that the wish or the changed code has."""
        if old == new or not differs_in_literals_only(old, new):
            return False
        before, after = literal_uses(old), literal_uses(new)
        known = words_of(self.wish) | words_of(self.change.new)
        for was, now in zip(before, after, strict=False):
            if was.value == now.value:
                continue
            fresh = set(WORD.findall(now.value)) - set(WORD.findall(was.value))
            if was.number or was.role != TEXT or not all(stands_for(word, known) for word in fresh):
                return False
        return len(before) == len(after)

    @cached_property
    def gone(self) -> frozenset[str]:
        """The literals that the new code has nowhere, but for numbers that gave way to others.

        Those mean the same thing only in the same role.
        """
        old, new = (
            {use.value for use in literal_uses(code) if use.value.strip()}
            for code in (self.change.old, self.change.new)
        )
        return frozenset(old - new - {each.old for each in self.literals if each.number})

    def has_what_is_gone(self, number: int, code: str) -> bool:
        """Whether a turn that uses the changed one has a literal that this one has no more."""
        return number in self.related and any(use.value in self.gone for use in literal_uses(code))

    def is_adapted(self, number: int, old: str, new: str) -> bool:
        """Whether code binds what it did, and has none of those literals any more."""
        return bound_names(old) == bound_names(new) and not self.has_what_is_gone(number, new)

    def is_carried(self, number: int, old: str, new: str) -> bool:
        """Whether only literals differ, and no text is left that the change has replaced."""
        carried = self.carry_texts(number, new).code
        return old != new and differs_in_literals_only(old, new) and carried == new


def is_large(number: str) -> bool:
    try:
        return abs(float(number.replace("_", ""))) > SMALL or "." in number
    except ValueError:
        return True


def describe_literal(each: LiteralChange) -> str:
    return f"`{each.old}` became `{each.new}`"


def words_of(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in re.findall(r"[^\W\d_]+|\d+", text))


def texts_of(code: str) -> Iterator[str]:
    """The texts of code that people read."""
    return (use.value for use in literal_uses(code) if not use.number and use.role == TEXT)


def stands_for(word: str, known: frozenset[str] | set[str]) -> bool:
    """Whether a word of a text is one of these words, another form or an abbreviation of one."""
    parts = [part.lower() for part in word.split("/")]
    return all(part in known or abbreviates(part, known) or is_form_of(part, known) for part in parts)


def is_form_of(part: str, known: frozenset[str] | set[str]) -> bool:
    """Whether a word begins as a known one does and has another ending, as "squared" and "squares"."""
    return any(part[:size] == each[:size] for each in known if (size := stem_length(part, each)) >= 4)


def stem_length(first: str, second: str) -> int:
    """How many letters two forms of a word have in common at least."""
    return ceil(0.7 * max(len(first), len(second)))


def abbreviates(part: str, known: frozenset[str] | set[str]) -> bool:
    """Whether a short word has its letters in this order in a longer one, the first of them first."""
    return len(part) <= 3 and any(
        len(each) > len(part) + 1 and each[0] == part[0] and is_within(part, each) for each in known
    )


def is_within(part: str, word: str) -> bool:
    letters = iter(word)
    return all(letter in letters for letter in part)
