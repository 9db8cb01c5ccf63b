"""Cells of Python files, which begin with a `# %%` comment, and the commands to IPython in them."""

import io
import re
import tokenize
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from mtchat.generate.prompt.reply import masked, with_prose_commented
from mtchat.session.names import parse_module

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
    """A cell of a file: `title` is what its heading says, without the `metadata` that a cell
    of mtchat's own may have.
    """

    title: str
    metadata: dict[str, str]
    lines: Sequence[str]

    @property
    def is_ours(self) -> bool:
        return OURS.fullmatch(self.title) is not None


def split_cells(lines: Sequence[str], starts: Sequence[int]) -> list[Cell]:
    """The cells that begin at these lines; one that says how many lines its code has hides headings in it."""
    found = []
    end = 0
    for start in starts:
        if start >= end:
            title, metadata = parse_heading(lines[start])
            end = cell_end(lines, starts, start, parse_number(metadata.get("lines")))
            found.append(Cell(title, metadata, lines[start + 1 : end]))
    return found


def nbconvert_cells(lines: Sequence[str]) -> list[Cell]:
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


def cell_end(lines: Sequence[str], starts: Sequence[int], start: int, count: int) -> int:
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
    match = OURS.fullmatch(title)
    if match is None or match[2] is None:
        return title, {}
    metadata = (mark.strip().partition("=") for mark in match[2].split(","))
    return match[1], {name: value for name, _, value in metadata}


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


LINE = re.compile(
    r"(?P<margin>[ \t]*)(?:[%!?]{1,2}[A-Za-z_./~{]|[\w.]+\?{1,2}[ \t]*$|[\w ,.\[\]]+=[ \t]*[!%]{1,2}[ \t]*\w)"
)
SHELL = re.compile(r"[ \t]*!")
TIMED = re.compile(r"(?P<margin>[ \t]*)%time[ \t]+(?P<code>.+)")
CELL = re.compile(r"\s*%%(?P<name>[A-Za-z_][\w.]*)")
COMMENTED = re.compile(r"\s*(?:#[ \t]*)?%%(?P<name>[A-Za-z_][\w.]*)")
INDENTED = re.compile(r"^([ \t]+)(#[ \t]*[!%].*)", re.MULTILINE)
COMMENTED_TIME = re.compile(r"^#[ \t]*%time[ \t]+(.+)", re.MULTILINE)
PYTHONIC = {"time", "timeit", "capture", "prun", "python", "python3", "pypy", "memit", "snakeviz", "debug"}
GET_IPYTHON = re.compile(
    r"(?P<margin>[ \t]*)(?:[\w ,.]+=[ \t]*)?"
    r"get_ipython\(\)\.(?:run_line_magic|run_cell_magic|system|getoutput|magic)\("
)
BRACKETS = re.compile(r"[()\[\]{}]")


def translate_magics(code: str, commented: bool = False) -> tuple[str, int]:
    """The code of a cell with its commands as comments, and how many lines or cells those were.

    A cell whose first line gives it to another program than Python is a comment as a whole; so it is where
    that line is `commented`, as jupytext writes it. Where a command was all of a block, `pass` takes its
    place. What `%time` times is code.
    """
    cell = (COMMENTED if commented else CELL).match(code)
    if commented:
        code = COMMENTED_TIME.sub(
            lambda each: each[1] if parse_module(each[1]) is not None else each[0], code
        )
    if commented and not cell and parse_module(code) is None:
        filled = INDENTED.sub(r"\1pass  \2", code)
        if parse_module(filled) is not None:
            return filled, 0
    if cell and cell["name"] not in PYTHONIC:
        return "\n".join(
            line if line.startswith("#") else f"# {line}".rstrip() for line in code.split("\n")
        ), 1
    if "get_ipython" not in code and parse_module(code) is not None:
        return code, 0
    count, depth, continues, found = 0, 0, False, list[str]()
    broken = parse_module(code) is None
    for line, bare in zip(code.split("\n"), masked(code).split("\n"), strict=True):
        match = (broken and LINE.match(bare)) or GET_IPYTHON.match(bare)
        timed = TIMED.fullmatch(line)
        if continues:
            found.append(f"# {line}".rstrip())
        elif timed and match and parse_module(timed["code"]) is not None:
            found.append(timed["margin"] + timed["code"])
            count += 1
        elif match and not depth:
            margin = match["margin"] or ""
            found.append(f"{margin}{'pass  ' if margin else ''}# {line.strip()}")
            count += 1
        else:
            found.append(line)
            depth += sum(1 if each in "([{" else -1 for each in BRACKETS.findall(bare.partition("#")[0]))
        continues = (continues or bool(match and not depth)) and line.endswith("\\")
    made = "\n".join(found)
    if parse_module(made) is not None:
        return made, count
    kept = with_prose_commented(
        made
    )  # of what IPython takes for commands without their sign: pip install numpy
    module = parse_module(kept)
    if module is None or not module.body:
        return made, count
    pairs = zip(made.split("\n"), kept.split("\n"), strict=True)
    return kept, count + sum(one != two for one, two in pairs)
