"""A Markdown document to read: each instruction with its code and what the code printed."""

import re
from collections.abc import Sequence

from mtchat.export.format import ExportedStep, Picture, escape_invisible, exported_steps, to_one_line
from mtchat.session.session import Session

SUFFIX = ".md"


def write(session: Session) -> str:
    return illustrate(session, ())


def illustrate(session: Session, pictures: Sequence[Picture]) -> str:
    blocks = [f"# {to_one_line(session.name) or 'A program'}", "Made with mtchat, one section for each turn."]
    if session.preamble.strip():
        blocks += ["## Preamble", fence_block(session.language.name, session.preamble)]
    for step in exported_steps(session):
        blocks += section(step, session.language.name)
    if pictures:
        blocks += ["## Pictures", *(f"![{to_one_line(each.name)}]({each.link})" for each in pictures)]
    if session.outcome and session.outcome.error:
        blocks += ["## Error", fence_block("text", session.outcome.error)]
    return "\n\n".join(blocks) + "\n"


def section(step: ExportedStep, language: str) -> list[str]:
    blocks = [f"## Turn {step.number}"]
    if step.turn.instruction:
        blocks.append(
            "\n".join(f"> {line}".rstrip() for line in to_one_line(step.turn.instruction).split("\n"))
        )
    if step.note:
        blocks.append(f"*{step.note}*")
    if step.turn.chunk.strip():
        blocks.append(fence_block(language, step.turn.chunk))
    if step.output.strip():
        blocks += ["Output:", fence_block("text", step.output)]
    return blocks


def fence_block(language: str, text: str) -> str:
    """A fenced block; the fence is longer than any in the text."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{escape_invisible(text).rstrip()}\n{fence}"
