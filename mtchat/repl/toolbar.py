"""The bottom toolbar: model, turn, tokens of the context, state of the last run, sandbox tier."""

from prompt_toolkit.formatted_text import StyleAndTextTuples

from mtchat.repl.desk import Desk
from mtchat.repl.escape import escaped

BETWEEN = ("", " │ ")


def text(desk: Desk) -> StyleAndTextTuples:
    """One line; the tokens are those the last turn used of the model's context."""
    parts = [model(desk), language(desk), f"turn {len(desk.session.path) + 1}", context(desk), state(desk)]
    before = [("", escaped(part)) for part in parts if part]
    line: StyleAndTextTuples = [("", " ")]
    for part in (*before, tier(desk)):
        line += [part, BETWEEN]
    return [*line, ("", escaped(desk.session.name))]


def tier(desk: Desk) -> tuple[str, str]:
    """What holds programs; where nothing does, that cannot be overlooked."""
    word = desk.tools.tier()
    return ("class:warning", escaped(word)) if word.isupper() else ("", escaped(f"sandbox {word}"))


def state(desk: Desk) -> str:
    """What the live program last did."""
    outcome = desk.session.outcome
    if outcome is None:
        return "not run" if desk.session.path else ""
    if outcome.limit == "interrupted":
        return "stopped"
    return ("check failed" if outcome.broken else "ok") if outcome.ok else "failed"


def model(desk: Desk) -> str:
    stage = desk.model.stage()
    return f"{desk.model.name} ({stage})" if stage else desk.model.name


def language(desk: Desk) -> str:
    """The language of the session where it is not the usual one."""
    spoken = desk.session.language
    return "" if spoken.runs else spoken.title


def context(desk: Desk) -> str:
    path = desk.session.path
    usage = path[-1].usage if path else None
    used = usage.prompt + usage.written if usage else 0
    if desk.model.stage() or not used:
        return ""
    whole = desk.model.card().context
    return f"{used}/{whole} tokens ({100 * used // whole} %)"
