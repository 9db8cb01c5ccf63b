"""A rename in the making: what is known of the program, the edits so far, and how one is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mtchat.edits.library import cst
from mtchat.edits.objects import ObjectKinds
from mtchat.edits.scopes import Placed, Scope, ScopedProgram
from mtchat.edits.text import TextEdit
from mtchat.edits.tree import CodeTree
from mtchat.errors import MtchatError

BODY = re.compile(r"""(?P<prefix>[A-Za-z]*)(?P<quote>\"{3}|'{3}|"|')(?P<text>.*)(?P=quote)""", re.DOTALL)


class UnsafeRenameError(MtchatError):
    """A rename that could break the program, or change what it does."""


@dataclass
class RenamePlan:
    """The rename of a name: which variables and attributes it means, and what is to be written where.

    `variables` are the scopes whose variable of this name changes, `functions` those of its parameters.
    """

    program: ScopedProgram
    old: str
    new: str
    variables: set[Scope] = field(default_factory=set)
    functions: set[Scope] = field(default_factory=set)
    attributes: bool = False
    edits: dict[int, list[TextEdit]] = field(default_factory=dict)

    @cached_property
    def objects(self) -> ObjectKinds:
        return ObjectKinds(self.program)

    @cached_property
    def word(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w){re.escape(self.old)}(?!\w)")

    @cached_property
    def literals(self) -> list[Placed]:
        """The strings of the program, but for docstrings."""
        return [each for each in self.program.nodes_of(cst.SimpleString) if not self.is_statement(each)]

    def tree(self, place: Placed) -> CodeTree:
        return self.program.trees[place.turn]

    def parent(self, place: Placed, node: cst.CSTNode | None = None) -> cst.CSTNode | None:
        """The node around a node."""
        return self.tree(place).parents.get(id(node or place.node))

    def is_statement(self, place: Placed) -> bool:
        return isinstance(self.parent(place), cst.Expr)

    def refuse(self, place: Placed, what: str) -> UnsafeRenameError:
        """The reason why the name stays, with the turn that it is about."""
        turn, text = place.turn + 1, " ".join(self.tree(place).text(place.node).split())
        shown = text if len(text) <= 60 else f"{text[:59]}…"
        return UnsafeRenameError(
            f"{self.old} was not renamed: {what} (`{shown}` in turn {turn}). Nothing was changed; "
            f"/edit {turn} opens the code of the turn"
        )

    def rename_word(self, turn: int, name: cst.Name) -> None:
        span = self.program.trees[turn].span(name)
        self.add(turn, TextEdit(span.start, span.end, self.new))

    def add(self, turn: int, edit: TextEdit) -> None:
        self.edits.setdefault(turn, []).append(edit)

    def is_name(self, node: cst.CSTNode | None) -> bool:
        """Whether a node is a string that is exactly the old name."""
        return isinstance(node, cst.SimpleString) and node.evaluated_value == self.old

    def rename_string(self, place: Placed, node: cst.CSTNode, pattern: str = "") -> None:
        """Change the name in a string: all of it, or where the pattern, with NAME in it, matches."""
        assert isinstance(node, cst.SimpleString)
        start = self.tree(place).span(node).start
        written = self.tree(place).text(node)
        body = (
            BODY.fullmatch(written.strip("()").strip())
            if written.startswith("(")
            else BODY.fullmatch(written)
        )
        if body is None or written.startswith("("):
            if self.word.search(written):
                raise self.refuse(place, "the string that looks it up cannot be read")
            return
        wanted = (
            pattern.replace("NAME", rf"(?P<old>{re.escape(self.old)})(?!\w)")
            or rf"(?P<old>{re.escape(self.old)})$"
        )
        text, offset = body["text"], start + body.start("text")
        found = re.finditer(wanted, text) if pattern else filter(None, [re.match(wanted, text)])
        for match in found:
            self.add(place.turn, TextEdit(offset + match.start("old"), offset + match.end("old"), self.new))

    def mentioning(self, exactly: bool = False) -> Iterator[Placed]:
        """The strings, docstrings aside, that have the name as a word, or that are the name."""
        for each in self.literals:
            assert isinstance(each.node, cst.SimpleString)
            value = each.node.evaluated_value
            if value == self.old or (not exactly and isinstance(value, str) and self.word.search(value)):
                yield each

    def is_builtin(self, node: cst.CSTNode, scope: Scope, names: Sequence[str]) -> bool:
        """Whether a node is one of these built-in functions, which the program has not replaced."""
        return (
            isinstance(node, cst.Name)
            and node.value in names
            and not self.program.sources_of(scope.home(node.value), node.value)
        )
