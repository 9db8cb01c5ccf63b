"""A Python file cut in cells: what begins with a `# %%` comment, as editors and Jupyter know it."""

import io
import re
import tokenize
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

HEADING = re.compile(r"#[ \t]*%%+(?=[\s\[]|$)")  # a command such as "# %%time" is a comment in a cell
KIND = re.compile(r"(?P<title>.*?)\[(?P<kind>markdown|md|raw|code)\](?P<rest>.*)")
VALUE = r'(?:"(?:[^"\\]|\\.)*"|\[.*?\]|\{.*?\}+|true|false|null)'
METADATA = re.compile(rf"(?:[\w.-]+={VALUE}\s*)*|\{{.*\}}")
BARE_KIND = re.compile(r"(?P<title>)(?P<kind>markdown|md|raw)(?P<rest>)")  # as PyCharm's
CONVERTED = re.compile(r"# In\[[ \d*]*\]:\s*")
DATABRICKS, NEXT, MAGIC = "# Databricks notebook source", "# COMMAND ----------", "# MAGIC"
NAMED = re.compile(r"# DBTITLE \d+,(.*)")
HEAD = re.compile(r"#!|# coding: ")
MOST_TOKENS = 400_000
LONGEST_TITLE = 500
OURS = re.compile(r"(preamble|turn \d+)(?: \(([^()]*)\))?")


@dataclass(frozen=True)
class Cell:
    """A cell of a file: `title` is what its heading says, without the `marks` that one of ours may have."""

    title: str
    marks: dict[str, str]
    lines: Sequence[str]

    @property
    def ours(self) -> bool:
        return OURS.fullmatch(self.title) is not None


def split_cells(lines: Sequence[str], starts: Sequence[int]) -> list[Cell]:
    """The cells that begin at these lines; one that says how many lines its code has hides headings in it."""
    found = []
    end = 0
    for start in starts:
        if start >= end:
            title, marks = parse_heading(lines[start])
            end = end_of(lines, starts, start, parse_number(marks.get("lines")))
            found.append(Cell(title, marks, lines[start + 1 : end]))
    return found


def converted(lines: Sequence[str]) -> list[Cell]:
    """The cells of a script as nbconvert writes it, words in comments and code below `# In[3]:`, if any."""
    starts = [number for number, line in enumerate(lines) if CONVERTED.fullmatch(line)]
    found = []
    for start, end in zip([-1, *starts], [*starts, len(lines)], strict=True) if starts else ():
        part = lines[start + 1 : end]
        words = len(part)
        while words and (not part[words - 1].strip() or part[words - 1].startswith("#")):
            words -= 1
        while words and words < len(part) and part[words].strip():
            words += 1  # comments right below code are its own
        said = [line for line in part[words:] if not HEAD.match(line)]
        if start >= 0 or any(line.strip() for line in part[:words]):
            found.append(Cell("", {}, ["", *part[:words]]))
        if any(line.strip() for line in said):
            found.append(Cell("[markdown]", {}, [line for line in said if line.strip()]))
    return found


def databricks_cells(lines: Sequence[str]) -> list[Cell]:
    """The cells of a notebook as Databricks writes it, commands in comments; none of another file."""
    found = list[Cell]()
    ends = [number for number, line in enumerate(lines) if line.rstrip() == NEXT]
    if not lines or lines[0].rstrip() != DATABRICKS:
        return found
    for start, end in zip([0, *ends], [*ends, len(lines)], strict=True):
        part = list(lines[start + 1 : end])
        while part and not part[0].strip():
            del part[0]
        name = NAMED.fullmatch(part[0]) if part else None
        part = part[1:] if name else part
        told = [line.removeprefix(MAGIC).strip() for line in part if line.startswith(MAGIC)]
        if told and told[0].startswith("%md"):
            words = [told[0].removeprefix("%md").strip(), *told[1:]]
            found.append(Cell("[markdown]", {}, [f"# {line}" for line in words]))
        elif any(line.strip() for line in part):
            found.append(Cell(name[1] if name else "", {}, ["", *part]))
    return found


def end_of(lines: Sequence[str], starts: Sequence[int], start: int, count: int) -> int:
    """Where a cell ends: after `count` lines of code if only empty lines follow, else at the next heading."""

    def next_heading(line: int) -> int:
        position = bisect_left(starts, line)
        return starts[position] if position < len(starts) else len(lines)

    end = code_start(lines, start + 1) + count
    if count and end <= len(lines) and not any(lines[end : next_heading(end)]):
        return end
    return next_heading(start + 1)


def code_start(lines: Sequence[str], line: int = 0) -> int:
    """The first line of code: after the comments at the top of one of our cells, and an empty line."""
    line += comment_lines(lines, line)
    return line + (lines[line : line + 1] == [""])


def parse_heading(line: str) -> tuple[str, dict[str, str]]:
    title = line.split("%%", 1)[1].lstrip("%").strip()
    ours = OURS.fullmatch(title)
    if ours is None or ours[2] is None:
        return title, {}
    marks = (mark.strip().partition("=") for mark in ours[2].split(","))
    return ours[1], {name: value for name, _, value in marks}


def parse_title(title: str) -> tuple[str, str]:
    """The words of a heading as other tools write it, and its kind of cell, without the cell's metadata."""
    kind = KIND.match(title) or BARE_KIND.fullmatch(title.strip())
    words, rest = (kind["title"], kind["rest"]) if kind else ("", title)
    for match in re.finditer(r"(?:^|(?<=\s))(?=\S)", rest[:LONGEST_TITLE]):
        if METADATA.fullmatch(rest, match.start()):
            rest = rest[: match.start()]
            break
    return f"{words.strip()} {rest.strip()}".strip(), kind["kind"] if kind else ""


def cell_headings(lines: Sequence[str]) -> list[int]:
    return [number for number, line in enumerate(lines) if HEADING.match(line)]


def headings_outside_strings(lines: Sequence[str]) -> list[int]:
    """The headings that are comments to Python, where it can tell."""
    found = cell_headings(lines)
    if not found:
        return found
    try:
        tokens = tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline)
        few = islice(tokens, MOST_TOKENS)
        rows = {token.start[0] - 1 for token in few if token.type == tokenize.COMMENT}
        if next(tokens, None) is not None:
            return found
    except (tokenize.TokenError, SyntaxError, ValueError):
        return found
    return [number for number in found if number in rows]


def comment_lines(lines: Sequence[str], start: int = 0) -> int:
    """How many comment lines follow each other from a line on, up to the next heading."""
    end = start
    while end < len(lines) and lines[end].startswith("#") and not HEADING.match(lines[end]):
        end += 1
    return end - start


def parse_number(text: str | None) -> int:
    """The number that a mark gives, 0 where it gives none."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,7}", text) else 0
