"""Base models, prompted as CodeGen was: one growing program in which each instruction is a comment.

The context and the cut rule are those of the multi-turn benchmark of CodeGen (Nijkamp et al. 2023,
arXiv:2203.13474): a completion ends before its second top-level print, its second top-level def, or the
first comment, docstring, end-of-text mark or double blank line, whichever comes first. No guidance goes into
the context, which is small in these models: what it does for them was not measured.
"""

import re
from collections.abc import Sequence

from mtchat.core.prompt import ModelCard, Prompt
from mtchat.core.turn import Turn
from mtchat.prompting import reply
from mtchat.prompting.family import Cut

ENDS = re.compile(r"""^(?P<twice>print|def)|^(?:\#|'''|\"{3})|<\|endoftext\|>|\n\n\n""", re.MULTILINE)


def matches(card: ModelCard) -> bool:
    return not card.chat


def render(
    path: Sequence[Turn], instruction: str, preamble: str, error: str, guidance: Sequence[str] = ()
) -> Prompt:
    return Prompt(text=history(path, preamble) + asked(instruction, error))


def mend(path: Sequence[Turn], preamble: str, error: str, guidance: Sequence[str] = ()) -> Prompt:
    failing = path[-1]
    wish = asked(failing.wish, f"the code above fails: {error}")
    return Prompt(text=history(path, preamble) + wish)


def revise(path: Sequence[Turn], preamble: str, wish: str, guidance: Sequence[str] = ()) -> Prompt:
    """The last turn asked for anew, with the wish as a second line: a base model is told, not talked to."""
    *before, last = path
    return Prompt(text=history(before, preamble) + asked(f"{last.wish}\n{wish}", ""))


def cut(text: str) -> Cut:
    seen = set()
    for match in ENDS.finditer(text):
        word = match["twice"]
        if word is None or word in seen:
            return Cut(text[: match.start()], finished=True)
        seen.add(word)
    return Cut(text, finished=False)


def chunk(text: str, before: str) -> str:
    code = cut(text).code
    if "```" in code:  # a chat model that is prompted as a base model
        return reply.chunk(code, before)
    return reply.without(before, code.strip("\n").rstrip())


def history(path: Sequence[Turn], preamble: str) -> str:
    parts = [preamble.rstrip("\n") + "\n\n"] if preamble.strip() else []
    for turn in path:
        error = "" if turn.making.mends else turn.making.error
        parts.append(f"{asked(turn.wish, error)}{turn.chunk}\n\n")
    return "".join(parts)


def asked(instruction: str, error: str) -> str:
    text = f"Error so far: {error}\n{instruction}" if error else instruction
    return "".join(f"# {line}".rstrip() + "\n" for line in text.split("\n"))
