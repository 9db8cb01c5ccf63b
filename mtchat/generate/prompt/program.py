"""Shows a chat model the program so far in one piece, with the instruction of each step as a comment.

The alternative is a conversation with a message for each turn. Models lose track in long conversations
(Laban et al. 2025, arXiv:2505.06120); docs/quality.md has what was measured here. The program only grows at
its end, so the KV cache keeps what the prompts of two turns have in common.
"""

import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import suppress

from mtchat.session.prompt import Message
from mtchat.session.turn import Turn

SYSTEM = (
    "You are an expert Python programmer. You write one Python program together with the user, step by step. "
    "The user shows the program so far, which has already run, and the next step. Reply with only the new "
    "code of that step, in one ```python block; use the variables and functions of the program by the same "
    "names, and do not repeat it."
)
ONLY = "Write only the code of this step."
STEP = re.compile(r"#\s*Step \d+(?:: ?(.*?)\s*$|$)", re.MULTILINE)


def messages(path: Sequence[Turn], preamble: str, wish: str) -> tuple[Message, ...]:
    """The messages that show the program of a path and ask for a step."""
    program = "\n\n".join([*([preamble.strip()] if preamble.strip() else []), *commented_steps(path)])
    shown = [f"The program so far:\n\n```python\n{program}\n```"] if program else []
    asked = [wish, ONLY] if shown else [wish]
    return Message("system", SYSTEM), Message("user", "\n\n".join([*shown, *asked]))


def joints(text: str) -> tuple[int, ...]:
    """Where the prompts of other steps differ from a message: behind the program, and before the wish.

    The wish is the last paragraph but for the one that says what to write.
    """
    end = text.rfind("\n```\n\n")
    asked = text.removesuffix(f"\n\n{ONLY}")
    wish = asked.rfind("\n\n") + 2 if "\n\n" in asked else 0
    return tuple(sorted({max(end, 0), wish}))


def commented_steps(path: Sequence[Turn]) -> list[str]:
    """The code of each turn under its instruction; a turn may have none."""
    steps = []
    for number, turn in enumerate(path, start=1):
        said = number_step(number, turn.full_instruction).splitlines()
        steps.append("\n".join([*(f"# {line}".rstrip() for line in said), turn.chunk.strip()]).rstrip())
    return steps


def number_step(number: int, instruction: str) -> str:
    """An instruction as the step with this number."""
    return f"Step {number}: {instruction}"


def drop_step_comments(code: str, instructions: Sequence[str]) -> str:
    """The code without comments that only repeat how the prompt shows a step: its number and its instruction.

    The code may be unfinished; what follows a place where it cannot be read stays as it is, and so does all
    of it if the user wrote such comments.
    """
    if not instructions or not STEP.search(code) or any(STEP.search(text) for text in instructions):
        return code
    firsts = {text.partition("\n")[0].strip() for text in instructions}
    said = {line.strip() for text in instructions for line in text.splitlines()}
    lines = code.split("\n")
    dropped: set[int] = set()
    for token in read_tokens(code):
        row, column = token.start
        if token.type != tokenize.COMMENT or lines[row - 1][:column].strip():
            continue
        echo, last = STEP.match(token.string), row == len(lines)
        text = (echo[1] or "") if echo else ""
        begins = echo and (text in firsts or (last and any(each.startswith(text) for each in firsts)))
        if begins or (row - 1 in dropped and token.string.lstrip("# ") in said):
            dropped.add(row)
    return "\n".join(line for row, line in enumerate(lines, start=1) if row not in dropped)


def read_tokens(code: str) -> Iterator[tokenize.TokenInfo]:
    """The tokens of code, up to where it cannot be read."""
    with suppress(tokenize.TokenError, SyntaxError):
        yield from tokenize.generate_tokens(io.StringIO(code).readline)
