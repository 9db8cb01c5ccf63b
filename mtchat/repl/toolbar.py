"""The bottom toolbar: model, turn, context usage, last run, isolation level of the sandbox."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from prompt_toolkit.formatted_text import StyleAndTextTuples

from mtchat.console.console import Console
from mtchat.console.text import display_width
from mtchat.session.text import escape_controls

BETWEEN = " │ "
MOST_TOKENS = 10**9  # more is a mistake in the session file


@dataclass(frozen=True)
class ToolbarPart:
    """A piece of the toolbar; on a narrow screen those of the highest `rank` are dropped first."""

    rank: int
    text: str
    style: str = ""


def text(console: Console, width: int) -> StyleAndTextTuples:
    """One line of `width` columns; the tokens are what the last turn used of the model's context."""
    line: StyleAndTextTuples = [("", " ")]
    for part in fit_parts(parts(console), width - 1):
        line += [("", BETWEEN)] if len(line) > 1 else []
        line.append((part.style, part.text))
    return line


def parts(console: Console) -> list[ToolbarPart]:
    """All parts, in their order on the screen."""
    found = [
        ToolbarPart(2, console.chat.model.name),
        ToolbarPart(3, console.chat.model.stage()),
        ToolbarPart(6, language(console)),
        ToolbarPart(4, f"turn {len(console.session.path) + 1}"),
        ToolbarPart(7, context(console)),
        ToolbarPart(1, state(console)),
        ToolbarPart(0, "NOT SAVED" if console.chat.unsaved else "", "class:warning"),
        tier(console),
        ToolbarPart(8, console.session.name),
    ]
    return [replace(part, text=escape_controls(part.text)) for part in found if part.text]


def fit_parts(found: Sequence[ToolbarPart], width: int) -> list[ToolbarPart]:
    """The parts that fit, those of the lowest rank first; a part is shown whole or not at all."""
    kept: list[ToolbarPart] = []
    for part in sorted(found, key=lambda part: part.rank):
        if sum(display_width(each.text + BETWEEN) for each in kept) + display_width(part.text) <= width:
            kept.append(part)
    return [part for part in found if part in kept]


def tier(console: Console) -> ToolbarPart:
    """The isolation level; without any sandbox it is a warning."""
    word = console.host.tier()
    return ToolbarPart(0, word, "class:warning") if word.isupper() else ToolbarPart(5, f"sandbox {word}")


def state(console: Console) -> str:
    """How the last run of the program ended."""
    outcome = console.session.outcome
    if outcome is None:
        return "not run" if console.session.path else ""
    if outcome.stopped:
        return "stopped"
    return ("check failed" if outcome.failed_checks else "ok") if outcome.ok else "failed"


def language(console: Console) -> str:
    """The language of the session, unless it is Python."""
    spoken = console.session.language
    return "" if spoken.runs else spoken.title


def context(console: Console) -> str:
    path = console.session.path
    usage = path[-1].usage if path else None
    used = usage.prompt_tokens + usage.completion_tokens if usage else 0
    if console.chat.model.stage() or not 0 < used < MOST_TOKENS:
        return ""
    whole = console.chat.model.card().context
    return f"{used}/{whole} tokens ({100 * used // whole} %)"
