"""A Markdown document to read: each instruction with its code and what the code printed."""

import re
from collections.abc import Sequence

from mtchat.export.format import ExportedStep, exported_steps, in_one_line, visible
from mtchat.export.pictures import Picture
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED

SUFFIX = ".md"


def write(session: Session) -> str:
    return illustrate(session, ())


def illustrate(session: Session, pictures: Sequence[Picture]) -> str:
    blocks = [f"# {in_one_line(session.name) or 'A program'}", "Made with mtchat, one section for each turn."]
    if session.preamble.strip():
        blocks += ["## Preamble", fenced(session.language.name, session.preamble)]
    for step in exported_steps(session):
        blocks += section(step, session.language.name)
    if pictures:
        blocks += ["## Pictures", *(f"![{in_one_line(each.name)}]({each.link})" for each in pictures)]
    if session.outcome and session.outcome.error:
        blocks += ["## Error", fenced("text", session.outcome.error)]
    return "\n\n".join(blocks) + "\n"


def section(step: ExportedStep, language: str) -> list[str]:
    blocks = [f"## Turn {step.number}"]
    if step.turn.instruction:
        blocks.append(
            "\n".join(f"> {line}".rstrip() for line in in_one_line(step.turn.instruction).split("\n"))
        )
    if step.turn.status == INTERRUPTED:
        blocks.append("*This turn was interrupted; its code may be incomplete.*")
    if step.turn.chunk.strip():
        blocks.append(fenced(language, step.turn.chunk))
    if step.output.strip():
        blocks += ["Output:", fenced("text", step.output)]
    return blocks


def fenced(language: str, text: str) -> str:
    """A fenced block; the fence is longer than any in the text."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}{language}\n{visible(text).rstrip()}\n{fence}"
