"""Puts what a model wrote for a hole into the code: without what it repeats, as deep as the hole stands. Pure.

Models that were trained to chat often go on after the hole and write again what follows it, or begin with what
stands before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtchat.core.hole import Hole, stood_in
from mtchat.core.names import parses
from mtchat.prompting.family import Cut
from mtchat.synthesis.writing import Ending

CERTAIN = 2  # lines in a row that are those after the hole, so that they are no accident
LEAST = 3  # characters of the rest of the hole's line that are no accident either
FENCE = "```"


@dataclass(frozen=True)
class Middle:
    """Where what is written into a hole ends: by the model's own marks, or where it goes on behind the hole."""

    ending: Ending
    hole: Hole

    def cut(self, text: str) -> Cut:
        found = self.ending.cut(text)
        if found.finished:
            return found
        whole = text.split("\n")[:-1]  # the last line may still grow
        lines = placed(whole, self.hole.margin) if self.hole.alone else whole
        ended = fenced(lines) or repeats(lines, self.hole) < len(lines) or leaves(lines, self.hole)
        return Cut("\n".join(whole), finished=True) if ended else found


def placings(text: str, hole: Hole) -> Iterator[str]:
    """The code with the hole filled by what was written, in the ways that it may be meant, the likeliest first.

    All of them parse, with anything in the holes that are left, and put something into this one.
    """
    seen = set()
    for piece in pieces(unfenced(text).rstrip().split("\n"), hole):
        code = hole.filled(piece)
        if piece.strip() and piece not in seen and parses(stood_in(code)):
            yield code
        seen.add(piece)


def pieces(lines: Sequence[str], hole: Hole) -> Iterator[str]:
    """What may be meant to stand in the hole; ever less of it, since the end may be missing or too much."""
    if not hole.alone:
        yield from within("\n".join(lines), hole)
        lines = lines[: repeats(lines, hole)]
    else:
        for own in (placed(unspoken(lines, hole), hole.margin), list(lines)):
            short = own[: repeats(own, hole)]
            yield "\n".join(inner(short, hole))
            yield "\n".join(short)
            yield "\n".join(own)
        lines = placed(unspoken(lines, hole), hole.margin)
    for end in range(len(lines), 0, -1):
        yield "\n".join(lines[:end])


def within(text: str, hole: Hole) -> Iterator[str]:
    """What may be meant within a line: without the rest of that line where the model wrote it too."""
    first, rest = text.partition("\n")[0], hole.remainder.rstrip()
    for each in (first, text):
        if rest and each.endswith(rest):
            less = each.removesuffix(rest)
            yield from (less, each) if len(rest.strip()) >= LEAST else (each, less)
        elif len(rest.strip()) >= LEAST and rest in each:
            yield each[: each.index(rest)]
        else:
            yield each


def placed(lines: Sequence[str], margin: str) -> list[str]:
    """Lines with the first as deep as the hole, and the others as deep below it as they were written."""
    first = next((line for line in lines if line.strip()), "")
    depth = len(first) - len(first.lstrip())
    return [
        (margin + line[min(depth, len(line) - len(line.lstrip())) :]).rstrip() if line.strip() else ""
        for line in lines
    ]


def unspoken(lines: Sequence[str], hole: Hole) -> Sequence[str]:
    """The lines without those at the beginning that stand right before the hole."""
    before = [line.rstrip() for line in hole.above.split("\n") if line.strip()]
    said = [line.rstrip() for line in lines]
    for count in range(min(len(before), len(said)), CERTAIN - 1, -1):
        if before[-count:] == said[:count]:
            return lines[count:]
    return lines


def repeats(lines: Sequence[str], hole: Hole) -> int:
    """Where lines begin that stand after the hole; the end where there are none."""
    below = hole.after.partition("\n")[2] if hole.alone else hole.after
    after = [line.rstrip() for line in stood_in(below).split("\n") if line.strip()][:CERTAIN]
    said = [(place, line.rstrip()) for place, line in enumerate(lines) if line.strip()]
    for at, (place, _) in enumerate(said):
        found = [line for _, line in said[at : at + len(after)]]
        if after and found == after[: len(found)] and (place or len(found) == len(after)):
            return place
    return len(lines)


def inner(lines: Sequence[str], hole: Hole) -> Sequence[str]:
    """The lines up to the first that is less deep than the hole."""
    for place, line in enumerate(lines):
        if line.strip() and not line.startswith(hole.margin):
            return lines[:place]
    return lines


def leaves(lines: Sequence[str], hole: Hole) -> bool:
    """Whether lines leave the block that the hole stands in, where what they are before that parses."""
    if not hole.alone or not hole.margin:
        return False
    inside = inner(lines, hole)
    return len(inside) < len(lines) and parses(stood_in(hole.filled("\n".join(inside))))


def fenced(lines: Sequence[str]) -> bool:
    """Whether a block of Markdown has ended."""
    marks = sum(line.lstrip().startswith(FENCE) for line in lines)
    return marks > (1 if lines and lines[0].lstrip().startswith(FENCE) else 0)


def unfenced(text: str) -> str:
    """The code of what was written as a block of Markdown, or before one."""
    head, mark, block = text.partition(FENCE)
    if not mark or head.strip():
        return head
    return block.partition("\n")[2].partition(FENCE)[0]
