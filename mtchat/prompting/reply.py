"""Takes the code out of a chat model's reply: fences, prose, and repetitions of the program go."""

import ast
import io
import re
import textwrap
import tokenize

from mtchat.core.names import parses
from mtchat.prompting.family import Cut

FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*(?P<tag>[^`\n]*?)[ \t]*")
PYTHON = {"python", "py", "python3", "ipython", "pycon"}
PROSE = re.compile(
    r"""(?:[#>*-]+\ |\d+\.\ )?                           # a heading, quotation or list item
    (?: [A-Z`"'*][\w`'"*()./-]*[,:;.!?]?                # a word with a capital letter
        (?:\ [\w`'"*(,.:;!?)/%&+=-]+){2,}              # and at least two more,
      | [A-Z][a-z]+(?:\ \w+)?[:.!?] )\s*               # or one or two that end as a sentence does""",
    re.VERBOSE,
)
RAGGED_FENCE = re.compile(r"(?:^|\n)[ \t]*[`~]{1,2}\s*\Z")


def cut(text: str) -> Cut:
    """The first Python block of a reply whose own opening fence is already in the context.

    Until a fence comes, the text is code. The first fence ends it, unless what stands before it is blank
    or prose: then the fence opens the block. Blocks of other languages are passed over.
    """
    lines = text.split("\n")
    code: list[str] = []
    foreign = False
    for number, line in enumerate(lines):
        last = number == len(lines) - 1
        match = FENCE.fullmatch(line)
        if match is None or open_string("\n".join(code)):
            code.append(line)
        elif foreign:
            foreign, code = False, []
        elif is_code("\n".join(code)):
            return Cut("\n".join(code) + "\n", finished=True)
        elif last:
            return Cut("", finished=False)
        else:
            tag = match["tag"].lower()
            foreign, code = bool(tag) and tag.split()[0] not in PYTHON, []
    return Cut("" if foreign else "\n".join(code), finished=False)


def chunk(text: str, before: str) -> str:
    """The code of a whole reply: never Markdown, and less the program `before` where it is repeated."""
    code = textwrap.dedent(RAGGED_FENCE.sub("", cut(text).code)).strip("\n").rstrip()
    return without(before, commented(code))


def is_code(text: str) -> bool:
    """Whether text before a fence is code: it is there, and it is not all prose."""
    lines = [line for line in text.split("\n") if line.strip()]
    return bool(lines) and (parses(text) or not all(is_prose(line) for line in lines))


def is_prose(line: str) -> bool:
    """Whether a line is an English sentence and no statement."""
    return PROSE.fullmatch(line) is not None and not parses(line.strip())


def commented(code: str) -> str:
    """Code with its lines of prose made comments, where that makes it Python; else as it was."""
    if parses(code):
        return code
    lines = [f"# {line.strip()}" if is_prose(line) else line for line in code.split("\n")]
    mended = "\n".join(lines)
    return mended if parses(mended) else code


def without(before: str, code: str) -> str:
    """The code less a repetition of the whole program before it, statement by statement.

    Only a whole repetition goes: leaving out a part could change what the rest means.
    """
    try:
        known, said = ast.parse(before).body, ast.parse(code).body
    except (SyntaxError, ValueError):
        return code
    if not known or len(said) <= len(known):
        return code
    if any(ast.dump(old) != ast.dump(new) for old, new in zip(known, said, strict=False)):
        return code
    first = said[len(known)]
    start = min([first.lineno, *(each.lineno for each in getattr(first, "decorator_list", []))])
    return "\n".join(code.split("\n")[comment_above(code, start) - 1 :]).strip("\n")


def comment_above(code: str, line: int) -> int:
    """Where the comment right above a line begins; the line itself when there is none."""
    lines = code.split("\n")
    while line > 1 and lines[line - 2].startswith("#"):
        line -= 1
    return line


def open_string(code: str) -> bool:
    """Whether the code ends inside a triple-quoted string, where a fence is text."""
    if '"""' not in code and "'''" not in code:
        return False
    try:
        for _ in tokenize.generate_tokens(io.StringIO(code).readline):
            pass
    except tokenize.TokenError as error:
        return "multi-line string" in error.args[0] or "triple-quoted" in error.args[0]
    except (SyntaxError, IndentationError):
        return False
    return False
