"""The literals of code, each with its role in the syntax tree, and edits that replace one by another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from mtchat.edits.library import cst
from mtchat.edits.text import TextEdit, apply_edits
from mtchat.edits.tree import BrokenCodeError, CodeTree, parse_tree, walk
from mtchat.session.names import dump, parse_module

TEXT = "text"  # shown to people: in an f-string, or printed
KEY = "key"  # of a dictionary, a row or a table
FORMAT = "format"  # how an f-string shows a value
TOKEN = re.compile(r"\w+|[^\w\s]+|\s+")


@dataclass(frozen=True)
class LiteralUse:
    """A number, or the characters of a string between its quotes, from `start` up to `end`.

    `role` says what it is for: "key", "argument 1 of linspace", "compared with x"; "" if the tree does not
    tell.
    """

    role: str
    value: str
    number: bool
    start: int
    end: int


@dataclass(frozen=True)
class LiteralChange:
    """A literal that a change of code has replaced; unless `whole`, a part of a longer text."""

    role: str
    old: str
    new: str
    number: bool = False
    whole: bool = True


def literal_uses(code: str) -> list[LiteralUse]:
    """The numbers and texts of code in their order; none if the code cannot be read."""
    try:
        tree = parse_tree(code)
    except BrokenCodeError:
        return []
    return sorted(uses_in(tree), key=lambda use: use.start)


def uses_in(tree: CodeTree) -> Iterator[LiteralUse]:
    for node in walk(tree.module):
        if isinstance(node, cst.Integer | cst.Float):
            place = tree.span(node)
            yield LiteralUse(role_of(tree, node), tree.text(node), True, place.start, place.end)
        elif isinstance(node, cst.SimpleString):
            place, text = tree.span(node), tree.text(node)
            head = len(node.prefix) + len(node.quote)
            start, end = place.start + head, place.end - len(node.quote)
            yield LiteralUse(role_of(tree, node), text[head : len(text) - len(node.quote)], False, start, end)
        elif isinstance(node, cst.FormattedStringText):
            place = tree.span(node)
            inner = isinstance(tree.parents.get(id(node)), cst.FormattedStringExpression)
            yield LiteralUse(FORMAT if inner else TEXT, tree.text(node), False, place.start, place.end)


def role_of(tree: CodeTree, node: cst.CSTNode) -> str:
    """What a literal is for, as the nodes around it say."""
    around = tree.parents.get(id(node))
    while isinstance(around, cst.ConcatenatedString | cst.UnaryOperation):
        node, around = around, tree.parents.get(id(around))
    match around:
        case cst.Arg():
            return argument_role(tree, around)
        case cst.DictElement():
            return KEY if around.key is node else f"value of {tree.text(around.key)}"
        case cst.Index():
            return KEY
        case cst.Assign():
            return "value of " + ", ".join(tree.text(each.target) for each in around.targets)
        case cst.AnnAssign() | cst.AugAssign():
            return f"value of {tree.text(around.target)}"
        case cst.Param():
            return f"default of {around.name.value}"
        case cst.Comparison():
            first = around.comparisons[0]
            if isinstance(first.operator, cst.In | cst.NotIn):
                return KEY
            return f"compared with {tree.text(first.comparator)}"
        case cst.ComparisonTarget():
            whole = tree.parents[id(around)]
            assert isinstance(whole, cst.Comparison)
            return f"compared with {tree.text(whole.left)}"
        case cst.BinaryOperation():
            left = around.left is node
            other = tree.text(around.right if left else around.left)
            return f"{type(around.operator).__name__} {'before' if left else 'after'} {other}"
        case cst.Element():
            holder = tree.parents[id(around)]
            return f"item of {role_of(tree, holder)}"
    return ""


def argument_role(tree: CodeTree, argument: cst.Arg) -> str:
    """The role of an argument: its function by its last name, and its place or its keyword."""
    call = tree.parents.get(id(argument))
    if not isinstance(call, cst.Call):
        return ""
    function = call.func
    name = function.attr.value if isinstance(function, cst.Attribute) else tree.text(function)
    if argument.keyword is None and name == "print":
        return TEXT
    place = argument.keyword.value if argument.keyword else str(list(call.args).index(argument) + 1)
    return f"argument {place} of {name}"


def literal_changes(old: str, new: str) -> tuple[LiteralChange, ...]:
    """The literals of old code that new code has others for, in the same roles.

    One that the new code also still has in that role is left out, and so is one with several successors.
    """
    before, after = literal_uses(old), literal_uses(new)
    found = list(dict.fromkeys(change for pair in pairs(before, after) for change in compare(*pair)))
    still = {(use.role, use.value) for use in after}
    successors = Counter((each.role, each.old, each.whole) for each in found)
    return tuple(
        each
        for each in found
        if successors[each.role, each.old, each.whole] == 1
        and not (each.whole and (each.role, each.old) in still)
        and not (not each.whole and any(has_word(use.value, each.old) for use in after if not use.number))
    )


def pairs(
    before: Sequence[LiteralUse], after: Sequence[LiteralUse]
) -> Iterator[tuple[LiteralUse, LiteralUse]]:
    """The uses that take each other's place: in the same role, or the only ones that differ."""
    olds, news = without(before, after), without(after, before)
    for role in dict.fromkeys(use.role for use in olds):
        mine = [use for use in olds if use.role == role]
        theirs = [use for use in news if use.role == role]
        if role and len(mine) == len(theirs):
            yield from zip(mine, theirs, strict=True)
    if len({use.value for use in olds}) == len({use.value for use in news}) == 1:
        yield olds[0], news[0]


def without(uses: Sequence[LiteralUse], others: Iterable[LiteralUse]) -> list[LiteralUse]:
    """The uses that others do not have as well, each as often as it is too many."""
    rest, left = Counter((use.role, use.value) for use in others), list[LiteralUse]()
    for use in uses:
        if rest[use.role, use.value]:
            rest[use.role, use.value] -= 1
        else:
            left.append(use)
    return left


def compare(old: LiteralUse, new: LiteralUse) -> Iterator[LiteralChange]:
    """What one literal in the place of another has replaced."""
    if old.number != new.number or old.value == new.value:
        return
    if old.number or old.role in (KEY, FORMAT):
        yield LiteralChange(old.role, old.value, new.value, old.number)
        return
    if old.role != TEXT:
        yield LiteralChange(old.role, old.value, new.value)
    was, now = TOKEN.findall(old.value), TOKEN.findall(new.value)
    for kind, start, end, first, last in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        part, other = "".join(was[start:end]).strip(), "".join(now[first:last]).strip()
        if kind == "replace" and part and other:
            yield LiteralChange(TEXT, part, other, whole=False)


def has_word(text: str, word: str) -> bool:
    return word_pattern(word).search(text) is not None


def word_pattern(word: str) -> re.Pattern[str]:
    """A part of a text that begins and ends no longer word."""
    first, last = (r"(?<!\w)" if word[0].isalnum() else ""), (r"(?!\w)" if word[-1].isalnum() else "")
    return re.compile(f"{first}{re.escape(word)}{last}")


def apply_change(code: str, change: LiteralChange, anywhere: bool = False) -> str:
    """The code with a literal replaced wherever it has the same role, or `anywhere`.

    A key is replaced only by itself, never within a text. The code as it is if it could not be read then.
    """
    made = apply_edits(code, change_edits(literal_uses(code), change, anywhere))
    return made if made == code or parse_module(made) is not None else code


def change_edits(uses: Iterable[LiteralUse], change: LiteralChange, anywhere: bool) -> Iterator[TextEdit]:
    for use in uses:
        same = use.role == change.role
        if use.value == change.old and use.number == change.number and (same or anywhere):
            yield TextEdit(use.start, use.end, change.new)
        elif not use.number and change.role not in (KEY, FORMAT) and use.role not in (KEY, FORMAT):
            if not (same and not change.whole) and not anywhere:
                continue
            if not any(map(str.isalnum, change.old)) and use.value != change.old:
                continue  # a mark within a text means something else
            for match in word_pattern(change.old).finditer(use.value):
                yield TextEdit(use.start + match.start(), use.start + match.end(), change.new)


def differs_in_literals_only(old: str, new: str) -> bool:
    """Whether two pieces of code are the same but for their numbers and texts."""
    first, second = parse_module(blank(old)), parse_module(blank(new))
    if first is None or second is None:
        return False
    return dump(first) == dump(second)


def blank(code: str) -> str:
    """Code with every number 0 and every text the same, so that only the rest of it is compared."""
    uses = literal_uses(code)
    return apply_edits(
        code, [TextEdit(use.start, use.end, "0" if use.number or use.role == FORMAT else "_") for use in uses]
    )
