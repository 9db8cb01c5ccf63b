"""Scripts of instructions, answered from a table: what they print and how they end."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from mtchat.cli.scripted import Script, run_script
from mtchat.console.view import View
from mtchat.conversation.interfaces import Runner
from mtchat.models.loading import LoadingModel
from mtchat.sandbox.host import execute
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import ModelCard, Piece, Prompt, Signals, Usage
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.store import Log
from mtchat.testing import signals_for
from tests.support.consoles import handed

needs_sandbox = pytest.mark.skipif(not execute.probe().ok, reason=f"no sandbox: {execute.probe().reason}")


def nothing(program: Program, limits: Limits, given: RunInputs) -> Outcome:
    """What trying a program out gives where nothing is."""
    return Outcome()


class Table:
    """An engine that answers from a table; what is not in it raises."""

    def __init__(self, replies: dict[str, str], readings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.replies, self.readings = replies, readings
        self.card = ModelCard("table", chat=True, context=1000)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        wish = prompt.messages[-1].content
        if "stop" in wish:
            yield Piece("half = 1\n", Usage(1, 0, 1))
            raise KeyboardInterrupt
        answer = "mended" if "corrected" in wish else next(key for key in self.replies if wish.endswith(key))
        yield Piece(self.replies[answer] + "\n```\n", Usage(10, 5, 3, 0.1, 0.1, "stop"))

    def classify(self, prompt: Prompt) -> Signals:
        return signals_for(prompt, self.readings)

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        for number in range(count):
            for piece in self.complete(prompt, sampling):
                yield number, piece

    def text(self, prompt: Prompt) -> str:
        return prompt.text

    def close(self) -> None:
        pass

    def count(self, text: str) -> int:
        return len(text)


REAL = Sandbox()


REPLIES = {
    "set": "x = 6\nprint('noise')",
    "show": "print(x * 7)",
    "fail": "print(x)\nraise ValueError('no')",
    "mended": "print(x)",
    "read": "print(open('data.csv').read())",
    "ask": "print(input())",
}


def played(
    folder: Path,
    words: Sequence[str],
    *,
    run: bool = False,
    fix: bool = False,
    box: Runner = REAL,
    attached: Sequence[Path] = (),
    replies: dict[str, str] | None = None,
    readings: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, str]:
    """The exit code of a script and what it said on stderr; the session is saved as `played`."""
    err = io.StringIO()
    model = LoadingModel("table", lambda report: Table(REPLIES | (replies or {}), readings))
    with Log.open(folder / "played.jsonl") as log:
        script = Script(words, run, fix, "", Settings(policy="plain"), attached)
        code = run_script(script, log, model, box, View(err, live=False, color=False))
    return code, err.getvalue()


RUN_NOWHERE = handed(lambda *words: Outcome(), lambda *words: Outcome(), lambda: "")
