"""Puts the code that a model wrote for a hole into place: without repeated lines, at the right indentation.

Models that were trained to chat often continue past the hole and repeat the code after it, or begin by
repeating the code before it.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mtchat.edits.statements import fixed_lines
from mtchat.generate.complete import CutRule
from mtchat.generate.prompt.family import Cut
from mtchat.generate.prompt.reply import masked
from mtchat.session.hole import STAND_IN, Hole, fill_with_ellipsis
from mtchat.session.language import PYTHON, Language
from mtchat.session.names import parse_module, parses

CERTAIN = 2  # consecutive lines that repeat the code before the hole: fewer may be a coincidence
LEAST = 3  # characters that repeat the rest of the hole's line: fewer may be a coincidence
FENCE = "```"
LEAVING = ast.Return | ast.Raise | ast.Break | ast.Continue


@dataclass(frozen=True)
class HoleEnding:
    """Where the completion of a hole ends: at the model's end token, or where it repeats the code after it.

    `suffix` is all the code that the model saw after the hole.
    """

    ending: CutRule
    hole: Hole
    suffix: str
    language: Language = PYTHON

    def cut(self, text: str) -> Cut:
        found = self.ending.cut(text)
        if found.finished:
            return found
        if not self.hole.is_alone:
            return Cut(text, finished=end_of_value(text) < len(text.rstrip()))
        whole = text.split("\n")[:-1]  # the last line may be unfinished
        lines = indent_to(whole, self.hole.margin)
        ended = is_fence_closed(lines) or start_of_repeat(lines, self.suffix) < len(lines)
        ended = ended or leaves_block(lines, self.hole, self.language)
        return Cut("\n".join(whole), finished=True) if ended else found


def place_in_hole(text: str, hole: Hole, suffix: str, language: Language = PYTHON) -> Iterator[str]:
    """The code with the hole filled, in each way that the completion can be meant, most likely first.

    Each of them parses, whatever fills the remaining holes, is not empty, and leaves the code after the hole
    reachable. For languages other than Python, brackets must be balanced.
    """
    seen = set()
    dead = count_unreachable(hole.fill(hole.margin + STAND_IN if hole.is_alone else STAND_IN))
    for piece in candidate_pieces(strip_fence(text).rstrip().split("\n"), hole, suffix):
        code = hole.fill(piece)
        fits = piece.strip() and piece not in seen and parses_with(piece, hole, language)
        if fits and count_unreachable(code) <= dead:
            yield code
        seen.add(piece)


def parses_with(piece: str, hole: Hole, language: Language) -> bool:
    """Whether the code parses with this piece in the hole, as far as that can be known for the language."""
    return parses(fill_with_ellipsis(hole.fill(piece))) if language.runs else is_balanced(piece, hole)


def is_balanced(piece: str, hole: Hole) -> bool:
    """Whether a piece closes each bracket that it opens and does not repeat the end of its line."""
    depth = 0
    for sign in masked(piece):
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            return False
    rest = hole.remainder.strip()
    return depth == 0 and not (rest and piece.rstrip().endswith(rest))


def candidate_pieces(lines: Sequence[str], hole: Hole, suffix: str) -> Iterator[str]:
    """The candidates for the hole, ever shorter, since the completion may be cut off or too long."""
    if not hole.is_alone:
        yield from pieces_within_line("\n".join(lines), hole)
        lines = lines[: start_of_repeat(lines, suffix)]
    else:
        own, said = list(lines), drop_repeated_start(lines, hole)
        fixed = fixed_lines("\n".join(said))
        lines = lines_inside(indent_to(said, hole.margin, fixed), hole, fixed)
        theirs = [own[: start_of_repeat(own, suffix)], own] if is_misindented(own, hole) else []
        if hole.after[len(hole.remainder) :].strip("\n").startswith((" ", "\t")) and not hole.margin:
            yield from map("\n".join, theirs)
        yield "\n".join(lines[: start_of_repeat(lines, suffix)])
        yield "\n".join(lines)
        yield from map("\n".join, theirs)
    for end in range(len(lines), 0, -1):
        yield "\n".join(lines[:end])


def pieces_within_line(text: str, hole: Hole) -> Iterator[str]:
    """The candidates for a hole within a line, without the rest of that line if the model repeated it."""
    value, rest = text[: end_of_value(text)].rstrip(), hole.remainder.strip()
    least = max(value.rfind(rest), 0) if len(rest) >= LEAST else 0
    if least:
        yield value[:least].rstrip()
    yield value
    if rest and value.endswith(rest):
        yield value.removesuffix(rest).rstrip()
    yield text.partition("\n")[0]


def end_of_value(text: str) -> int:
    """Where a value ends: at an unmatched closing bracket, a comment, or the end of its line."""
    depth = 0
    for place, sign in enumerate(masked(text)):
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0 or (depth == 0 and (sign == "#" or (sign == "\n" and text[:place].strip()))):
            return place
    return len(text)


def count_unreachable(code: str) -> int:
    """The number of statements that follow one that leaves their block."""
    module = parse_module(fill_with_ellipsis(code))
    blocks = [
        block
        for node in ast.walk(module or ast.Module([], []))
        for name in ("body", "orelse", "finalbody")
        if isinstance(block := getattr(node, name, None), list)
    ]
    return sum(isinstance(each, LEAVING) for block in blocks for each in block[:-1])


def indent_to(lines: Sequence[str], margin: str, fixed: frozenset[int] = frozenset()) -> list[str]:
    """The lines indented to the hole, with their relative indentation kept; `fixed` ones stay as they are."""
    first = next((line for line in lines if line.strip()), "")
    depth = len(first) - len(first.lstrip())
    return [line if place in fixed else shift_line(line, depth, margin) for place, line in enumerate(lines)]


def shift_line(line: str, depth: int, margin: str) -> str:
    """A line with its indentation relative to `depth` moved to `margin`."""
    own = len(line) - len(line.lstrip())
    if not line.strip():
        return ""
    if own < depth:
        return (margin[: max(len(margin) - depth + own, 0)] + line.lstrip()).rstrip()
    return (margin + line[depth:]).rstrip()


def drop_repeated_start(lines: Sequence[str], hole: Hole) -> Sequence[str]:
    """The lines without those at the start that repeat the code right before the hole."""
    before = [line.rstrip() for line in hole.above.split("\n") if line.strip()]
    said = [line.rstrip() for line in lines]
    for count in range(min(len(before), len(said)), CERTAIN - 1, -1):
        if before[-count:] == said[:count]:
            return lines[count:]
    return lines


def start_of_repeat(lines: Sequence[str], suffix: str) -> int:
    """The index of the first line that repeats the code after the hole; the number of lines if none does.

    A single repeated line must be the first one after the hole and the last one written.
    """
    after = [line.rstrip() for line in suffix.split("\n") if line.strip()]
    pairs = set(pairwise(after))
    said = [(place, line.rstrip()) for place, line in enumerate(lines) if line.strip()]
    for (place, line), (_, following) in pairwise(said):
        if (line, following) in pairs:
            return place
    if after and len(said) > 1 and said[-1][1] == after[0]:
        return said[-1][0]
    return len(lines)


def is_misindented(lines: Sequence[str], hole: Hole) -> bool:
    """Whether the completion has another indentation than the hole: the user may not have been careful."""
    first = next((line for line in lines if line.strip()), hole.margin)
    return first[: len(first) - len(first.lstrip())] != hole.margin


def lines_inside(lines: Sequence[str], hole: Hole, fixed: frozenset[int] = frozenset()) -> Sequence[str]:
    """The lines up to the first that is indented less than the hole, and is not `fixed` within a string."""
    for place, line in enumerate(lines):
        if line.strip() and place not in fixed and not line.startswith(hole.margin):
            return lines[:place]
    return lines


def leaves_block(lines: Sequence[str], hole: Hole, language: Language = PYTHON) -> bool:
    """Whether the lines leave the block of the hole after code that parses."""
    if not hole.is_alone or not hole.margin:
        return False
    inside = lines_inside(lines, hole)
    text = "\n".join(inside)
    return (
        len(inside) < len(lines)
        and (language.runs or bool(text.strip()))
        and parses_with(text, hole, language)
    )


def is_fence_closed(lines: Sequence[str]) -> bool:
    """Whether a Markdown code block has ended."""
    marks = sum(line.lstrip().startswith(FENCE) for line in lines)
    return marks > (1 if lines and lines[0].lstrip().startswith(FENCE) else 0)


def strip_fence(text: str) -> str:
    """The code in a Markdown code block, or before one."""
    head, mark, block = text.partition(FENCE)
    if not mark or head.strip():
        return head
    return block.partition("\n")[2].partition(FENCE)[0]
