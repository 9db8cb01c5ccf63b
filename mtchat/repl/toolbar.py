"""The bottom toolbar: model, turn, tokens of the context, state of the last run, sandbox tier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prompt_toolkit.formatted_text import StyleAndTextTuples

from mtchat.console.desk import Desk
from mtchat.console.text import display_width
from mtchat.session.escape import escaped

BETWEEN = " │ "
MOST_TOKENS = 10**9  # what is more is a mistake in the file


@dataclass(frozen=True)
class Part:
    """A piece of the toolbar; those of the lowest `rank` go last where the screen is narrow."""

    rank: int
    text: str
    style: str = ""


def text(desk: Desk, width: int) -> StyleAndTextTuples:
    """One line of so many columns; the tokens are those the last turn used of the model's context."""
    line: StyleAndTextTuples = [("", " ")]
    for part in fitting(parts(desk), width - 1):
        line += [("", BETWEEN)] if len(line) > 1 else []
        line.append((part.style, part.text))
    return line


def parts(desk: Desk) -> list[Part]:
    """All that can be said, in its order on the screen."""
    found = [
        Part(2, desk.model.name),
        Part(3, desk.model.stage()),
        Part(6, language(desk)),
        Part(4, f"turn {len(desk.session.path) + 1}"),
        Part(7, context(desk)),
        Part(1, state(desk)),
        Part(0, "NOT SAVED" if desk.unsaved else "", "class:warning"),
        tier(desk),
        Part(8, desk.session.name),
    ]
    return [replace(part, text=escaped(part.text)) for part in found if part.text]


def fitting(found: Sequence[Part], width: int) -> list[Part]:
    """The parts that have room, each of them whole: first what ranks first."""
    kept: list[Part] = []
    for part in sorted(found, key=lambda part: part.rank):
        if sum(display_width(each.text + BETWEEN) for each in kept) + display_width(part.text) <= width:
            kept.append(part)
    return [part for part in found if part in kept]


def tier(desk: Desk) -> Part:
    """What holds programs; where nothing does, that cannot be overlooked."""
    word = desk.tools.tier()
    return Part(0, word, "class:warning") if word.isupper() else Part(5, f"sandbox {word}")


def state(desk: Desk) -> str:
    """What the live program last did."""
    outcome = desk.session.outcome
    if outcome is None:
        return "not run" if desk.session.path else ""
    if outcome.stopped:
        return "stopped"
    return ("check failed" if outcome.broken else "ok") if outcome.ok else "failed"


def language(desk: Desk) -> str:
    """The language of the session where it is not the usual one."""
    spoken = desk.session.language
    return "" if spoken.runs else spoken.title


def context(desk: Desk) -> str:
    path = desk.session.path
    usage = path[-1].usage if path else None
    used = usage.prompt_tokens + usage.completion_tokens if usage else 0
    if desk.model.stage() or not 0 < used < MOST_TOKENS:
        return ""
    whole = desk.model.card().context
    return f"{used}/{whole} tokens ({100 * used // whole} %)"
