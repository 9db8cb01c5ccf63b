"""Consoles for tests: a model that answers from a list, a sandbox made of functions, and a screen to read."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from mtchat.console import slash
from mtchat.console.console import Console, Host
from mtchat.console.view import View
from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import OnOutput
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.store import Log
from tests.support.fake_repl import READINGS, Fake, FakeSandbox, run


class Spoken(Fake):
    """A model that gives its replies in order, and keeps what it was asked.

    `readings` says what it takes instructions for.
    """

    def __init__(self, *replies: str, readings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.replies = list(replies)
        self.readings = READINGS | readings
        self.asked: list[tuple[Prompt, Sampling]] = []

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        yield Piece(self.replies.pop(0) + "\n```\n")


def console_in(
    folder: Path, model: Fake | None = None, refusal: str = "", runs: Callable[..., Outcome] = run
) -> Console:
    """A console with a session in a folder, whose screen is a text."""
    model = model or Fake()
    chat = Conversation(
        model,
        FakeSandbox(runs, runs, lambda: refusal),
        log=Log.open(folder / "one.jsonl"),
        settings=Settings(policy="plain"),
    )
    host = Host(lambda name: model, lambda: [("fake", "a fake")], tier=lambda: "fake")
    return Console(chat, folder, View(io.StringIO(), live=False, color=False), host, slash.names)


def said(console: Console) -> str:
    assert isinstance(console.view.out, io.StringIO)
    return console.view.out.getvalue()


def broken_log(console: Console) -> None:
    """From now on the session's file cannot be written: its folder is a file."""
    console.chat.log = Log.open(console.folder / "a-file" / "one.jsonl")
    (console.folder / "a-file").write_text("")


def handed(
    run: Callable[..., Outcome],
    look: Callable[..., Outcome],
    unavailable_reason: Callable[[], str] = lambda: "",
    warning: Callable[[], str] = lambda: "",
) -> FakeSandbox:
    """A sandbox of run(program, limits, folder, inputs) and look(program, limits, inputs)."""

    def resume(
        program: Program,
        limits: Limits,
        place: Path | None,
        on_output: OnOutput,
        given: RunInputs,
        tells: bool,
    ) -> Outcome:
        return look(program, limits, given) if tells else run(program, limits, place, given)

    return FakeSandbox(run, resume, unavailable_reason, warning)


def editor(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """An editor that writes this text."""
    script = folder / "editor"
    script.write_text(f"#!/bin/sh\ncat > \"$1\" <<'END'\n{text}\nEND\n")
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
