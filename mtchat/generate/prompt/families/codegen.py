"""Base models, prompted as CodeGen was: one growing program in which each instruction is a comment.

The context and the cut rule are those of the multi-turn benchmark of CodeGen (Nijkamp et al. 2023,
arXiv:2203.13474): a completion ends before its second top-level print, its second top-level def, or the
first comment, docstring, end-of-text mark or double blank line, whichever comes first. Guidance is
ignored, since the context window of these models is small; its effect was not measured.

As CodeGen's users do it, an instruction that is the head of a function or class is not a comment: the code of
its turn begins with it. Other languages use their own comment sign, and may have one top-level function in a
completion if its beginning can be recognised.

`decode(..., truncate_before_pattern=PATTERNS)` of transformers has the same rule for print and def. With the
other ends as patterns, each at the start of a line, it is this rule. Those in CodeGen's README cut later: a
comment right below code stays, and so does a docstring in double quotes.
"""

import re
from collections.abc import Sequence
from functools import cache

from mtchat.generate.prompt import reply
from mtchat.generate.prompt.family import Cut
from mtchat.session.language import PYTHON, Language
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.provenance import Step
from mtchat.session.turn import Turn

END_OF_TEXT = "<|endoftext|>"
HEAD = re.compile(  # of a function or class, after imports and decorators; what follows it is indented
    r"""(?:(?:@|import\ |from\ ).*\n|[\ \t]*\n)*
    (?:(?:async\ )?def\ \w+\(.*\)(?:\ *->.*)?|class\ \w+(?:\(.*\))?):\ *(?:\#.*)?
    (?:\n(?:[\ \t].*)?)*""",
    re.VERBOSE,
)
SHEBANG = "(?=[^!])"  # what follows a sign that begins a comment: elsewhere #! says what runs the file


def matches(card: ModelCard) -> bool:
    return not card.chat


def render(
    path: Sequence[Turn],
    instruction: str,
    preamble: str,
    error: str,
    guidance: Sequence[str] = (),
    language: Language = PYTHON,
) -> Prompt:
    begun = code_begun_by(instruction, language)
    said = begun_after_error(begun, error, language) if begun else as_comments(instruction, error, language)
    return Prompt(text=history(path, preamble, language) + said, begun=begun)


def repair(
    path: Sequence[Turn],
    preamble: str,
    error: str,
    guidance: Sequence[str] = (),
    language: Language = PYTHON,
) -> Prompt:
    failing = path[-1]
    wish = as_comments(failing.full_instruction, f"the code above fails: {error}", language)
    return Prompt(text=history(path, preamble, language) + wish)


def revise(
    path: Sequence[Turn],
    preamble: str,
    wish: str,
    guidance: Sequence[str] = (),
    language: Language = PYTHON,
) -> Prompt:
    """The last turn asked for again, with the wish as a second line: base models take no requests."""
    *before, last = path
    return Prompt(
        text=history(before, preamble, language)
        + as_comments(f"{last.full_instruction}\n{wish}", "", language)
    )


def cut(text: str, language: Language = PYTHON) -> Cut:
    if reply.THOUGHT.match(text.lstrip("\n")):  # of a chat model that is prompted as a base model
        text = reply.without_thoughts(text, language).lstrip("\n")
    seen = set()
    for match in ends(language).finditer(text):
        once = match.lastgroup
        if once is None or once in seen:
            return Cut(text[: match.start()], finished=True)
        seen.add(once)
    return Cut(text, finished=False)


@cache
def ends(language: Language) -> re.Pattern[str]:
    """The patterns that end a completion; a named group may occur once."""
    once = [f"^(?P<once_{number}>{pattern})" for number, pattern in enumerate(language.twice)]
    sign = re.escape(language.sign) + (SHEBANG if language.sign == "#" and not language.runs else "")
    at_once = [f"^(?:{sign}|{'|'.join(language.ends)})"] if language.ends else [f"^{sign}"]
    return re.compile("|".join([*once, *at_once, re.escape(END_OF_TEXT), "\n\n\n"]), re.MULTILINE)


def chunk(text: str, before: str, language: Language = PYTHON) -> str:
    code = cut(text, language).code
    if "```" in code:  # a chat model that is prompted as a base model
        return reply.chunk(code, before, language)
    return reply.without_program(before, code.strip("\n").rstrip(), language)


def history(path: Sequence[Turn], preamble: str, language: Language = PYTHON) -> str:
    parts = [preamble.rstrip("\n") + "\n\n"] if preamble.strip() else []
    for turn in path:
        error = turn.provenance.error if isinstance(turn.provenance, Step) else ""
        begun = code_begun_by(turn.full_instruction, language)
        inside = bool(begun) and f"{turn.chunk}\n".startswith(begun)
        said = (
            begun_after_error("", error, language)
            if inside
            else as_comments(turn.full_instruction, error, language)
        )
        parts.append(f"{said}{turn.chunk}\n\n")
    return "".join(parts)


def as_comments(instruction: str, error: str, language: Language = PYTHON) -> str:
    """An instruction as comments; a line that is already a comment is unchanged."""
    text = f"Error so far: {error}\n{instruction}" if error else instruction
    return "".join(f"{comment(line, language.sign)}\n" for line in text.split("\n"))


def code_begun_by(instruction: str, language: Language) -> str:
    """The code that an instruction begins, with its line end; "" if it is prose."""
    code = instruction.strip() + "\n"
    return code if language.runs and HEAD.fullmatch(code) and not cut(code).finished else ""


def begun_after_error(code: str, error: str, language: Language) -> str:
    """Code that the user has begun, after the error of the program so far."""
    return (as_comments(f"Error so far: {error}", "", language) if error else "") + code


def comment(line: str, sign: str) -> str:
    return line.rstrip() if line.startswith(sign) else f"{sign} {line}".rstrip()
