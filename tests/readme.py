"""Makes the parts of README.md and the manual that come from the code: transcript, commands, settings."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mtchat.cli.arguments import VERBS
from mtchat.console.slash import commands as slash_commands
from mtchat.console.terminal import KEYS
from mtchat.console.view import View
from mtchat.generate import policy
from mtchat.session.outcome import output_by_turn
from mtchat.session.settings import Settings
from mtchat.store import load
from tests import ROOT

README = ROOT / "README.md"
MANUAL = ROOT / "docs" / "manual.md"
STORY = ROOT / "sessions" / "linear-regression.jsonl"


def transcript() -> str:
    """The recorded story as the REPL shows it, with the outputs and the time of its recorded run."""
    session = load(STORY)
    assert session.outcome is not None
    outputs = output_by_turn(session.program, session.outcome)
    out = io.StringIO()
    view = View(out, live=False, color=False)
    for number, turn in enumerate(session.path, start=1):
        view.turn(number, turn)
        outcome = session.outcomes[turn.id]
        view.output(outputs.get(number, ""))
        view.verdict(outcome)
        view.files(outcome, "sessions/linear-regression.files")
        view.line()
    return "```\n" + out.getvalue().rstrip("\n") + "\n```"


def cell(text: str) -> str:
    """Text for a cell of a table, in which a bar would begin the next one."""
    return text.replace("|", "\\|")


def commands() -> str:
    rows = [f"| `{cell(each.words)}` | {cell(each.meaning)} |" for each in slash_commands()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def keys() -> str:
    rows = [f"| {key} | {meaning} |" for key, meaning in KEYS]
    return "\n".join(["| key | what it does |", "|---|---|", *rows])


def settings() -> str:
    rows = [f"| `{name}` | {value} | {meaning} |" for name, value, meaning in Settings().rows()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def verbs() -> str:
    rows = [f"| `mtchat {verb}` | {meaning} |" for verb, meaning in VERBS.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def policies() -> str:
    rows = [f"| `{name}` | {each.description} |" for name, each in policy.POLICIES.items()]
    return "\n".join(["| policy | what it does |", "|---|---|", *rows])


PARTS: Mapping[str, Callable[[], str]] = {
    "policies": policies,
    "transcript": transcript,
    "commands": commands,
    "keys": keys,
    "settings": settings,
    "verbs": verbs,
}


def place_of(part: str) -> Path:
    """The document that holds a generated part."""
    return README if part == "transcript" else MANUAL


def renew(text: str, parts: Mapping[str, str]) -> str:
    """A document with its generated parts replaced."""
    for name, made in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        assert len(pattern.findall(text)) == 1, f"the document needs one part called {name}"
        text = pattern.sub(lambda match, made=made: match[1] + made + "\n" + match[2], text)
    return text


if __name__ == "__main__":
    for document in (README, MANUAL):
        parts = {name: make() for name, make in PARTS.items() if place_of(name) == document}
        document.write_text(renew(document.read_text(encoding="utf-8"), parts), encoding="utf-8")
