"""What does not fit, in a script: it is said on stderr, nothing blocks, and what was made is saved."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.cli.scripted import Script, run_script
from mtchat.console.view import View
from mtchat.errors import ExitCode, MtchatError
from mtchat.generate.prompt.families import instruct
from mtchat.models.loading import LoadingModel
from mtchat.session.outcome import Outcome
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Settings
from mtchat.store import Log, load
from tests.support.consoles import handed
from tests.support.scripts import Table, nothing

BODY = "\n".join(f"    step_{number} = x + {number}" for number in range(20))
LONG = f"def grow(x):\n{BODY}\n    return x"
BASE = len(instruct.SYSTEM.split())
BOX = handed(lambda program, limits, place, given: Outcome(), nothing, lambda: "")


class Seeing(Table):
    """An engine that sees so many words more than it is told how to answer."""

    def __init__(self, more: int) -> None:
        super().__init__({"long": LONG, "set": "x = 6"})
        self.card = replace(self.card, context=BASE + more)

    def text(self, prompt: Prompt) -> str:
        return " ".join(message.content for message in prompt.messages)

    def count(self, text: str) -> int:
        return len(text.split())


def said(folder: Path, *words: str, more: int) -> str:
    """What a script says on stderr."""
    err = io.StringIO()
    model = LoadingModel("table", lambda report: Seeing(more))
    settings = Settings(policy="plain", max_tokens=10)
    with Log.open(folder / "played.jsonl") as log:
        script = Script(words, False, False, "", settings)
        assert run_script(script, log, model, BOX, View(err, live=False, color=False)) == ExitCode.DONE
    return err.getvalue()


def test_a_script_says_what_is_folded_to_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(tmp_path, "long", "set", more=60)
    assert told.count("turn 1 is folded to fit") == 1
    assert load(tmp_path / "played.jsonl").path[-1].provenance.context.folded == (1,)
    assert capsys.readouterr().out == f"{LONG}\n\nx = 6\n"


def test_a_script_whose_turn_cannot_fit_ends_with_the_ways_out_and_what_was_made(tmp_path: Path) -> None:
    with pytest.raises(
        MtchatError, match=r"window of table .*/fold K and /forget K shorten the prompt, /recap"
    ):
        said(tmp_path, "long", "word " * 60 + "set", more=60)
    assert [turn.chunk for turn in load(tmp_path / "played.jsonl").path] == [LONG]
