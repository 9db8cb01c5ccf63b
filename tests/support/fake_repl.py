"""A REPL with a model that answers from a table and a run that is a function, for tests on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mtchat.console import slash
from mtchat.console.console import Console, Host
from mtchat.console.view import View
from mtchat.conversation.conversation import Conversation
from mtchat.conversation.interfaces import OnOutput
from mtchat.repl import app
from mtchat.session.outcome import Frame, Outcome, Variable
from mtchat.session.program import Location, Program, RunInputs
from mtchat.session.prompt import ABLE, ModelCard, Piece, Prompt, Signals, Usage
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.store import Log
from mtchat.testing import signals_for

REPLIES = {
    "define x": "x = 1\n```\n",
    "make x two": "x = 2\n```\n",
    "print x": "print(x)\n```\n",
    "after this x must be 2": " x == 2\n```\n",  # a check in words
    "count the letters": "def count(text):\n    return 1\n```\n",
    "how many are there": "count = 3\n```\n",
    "fail": "raise ValueError('no')\n```\n",
    "define x\nprint x\nwobble": "x = 1\n\n# Print x.\nprint(x)\n\nwobble = x\n```\n",
    "wobble": "wobble = x\nraise ValueError('no')\n```\n",
    "flaky": "raise ValueError('no')\n```\n",
    "escape": "s = '\x1b[31mred\x1b]0;title\x07'\n```\n",
    "talk": "Sure! Here is the code:\n\n```python\ny = 2\n```\nIt sets y.",
    "two lines\nof text": "both = True\n```\n",
    "stub": "def f():\n    ...\n```\n",
    "the names that it defines.": "def f():\n    raise ValueError('no')\n```\n",  # asked to finish the stub
    "define f": "function f() {\n  return 1;\n}\n```\n",
}

THOUGHT = (
    "The user wants a variable.\nIts name is x, and\x1b[31m nothing else is said of it,\n"
    "so that one assignment is enough. " + 100 * "Really? "
)

# What it takes instructions for; all others are steps.
READINGS = {
    "make x two instead": "change 1",
    "after this x must be 2": "check",
    "what does this do?": "question",
}


class Fake:
    """A model that is always ready; "slowly" writes a line a tick until it is stopped, "briefly" twenty."""

    name = "fake"
    readings: Mapping[str, str] = READINGS

    def begin(self) -> None: ...

    def stage(self) -> str:
        return ""

    def ready(self, seconds: float) -> bool:
        return True

    def card(self) -> ModelCard:
        return ModelCard("fake", chat=True, context=1000, fingerprint="f", thinks=ABLE)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        wish = prompt.messages[-1].content
        if prompt.asks_for_thought:
            yield from think(prompt.think, 12 if wish == "brackets" else 0)
            return
        if "corrected" in wish:
            yield Piece("z = 3\n```\n", Usage(30, 20, 5))
            return
        if wish in ("slowly", "briefly"):
            for number in range(1000 if wish == "slowly" else 20):
                yield Piece(f"line_{number} = {number}\n", Usage(10, 0, number))
                time.sleep(0.05)
        if wish == "brackets":
            yield Piece("items = [\n", Usage(10, 0, 1))
            time.sleep(60)
        if wish == "flaky" and sampling.temperature:
            yield Piece("steady = 2\n```\n", Usage(30, 20, 5, finish="stop"))
            return
        if wish == "hopeless":
            yield Piece(f"raise ValueError({sampling.temperature})\n```\n", Usage(30, 20, 5, finish="stop"))
            return
        if wish == "unclear":
            code = "print(x)\nprint(x)" if sampling.temperature else "print(x)"
            yield Piece(f"{code}\n```\n", Usage(30, 20, 5, finish="stop"))
            return
        text = next((reply for key, reply in REPLIES.items() if wish.endswith(key)), "pass\n```\n")
        for start in range(0, len(text), 5):
            yield Piece(text[start : start + 5], Usage(100, 60, start // 5 + 1, 0.1, 0.2))

    def classify(self, prompt: Prompt) -> Signals:
        return signals_for(prompt, self.readings)

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        for number in range(count):
            for piece in self.complete(prompt, sampling):
                yield number, piece

    def text(self, prompt: Prompt) -> str:
        return "\n".join(f"<{each.role}> {each.content}" for each in prompt.messages) + prompt.opening

    def close(self) -> None:
        pass

    def count(self, text: str) -> int:
        return len(text.split())


def think(most: int, pause: int) -> Iterator[Piece]:
    """A thought of at most so many words, with a long pause after some of them."""
    for number, word in enumerate(THOUGHT.split(" ")[:most], start=1):
        yield Piece(word if number == 1 else f" {word}", Usage(100, 60, number, 0.1, 0.2))
        if number == pause:
            time.sleep(60)


def run(
    program: Program,
    limits: Limits,
    place: Path | None,
    on_output: OnOutput,
    given: RunInputs,
    look: bool = False,
) -> Outcome:
    """Runs nothing: fails at the first `raise`, prints x for each print; x is its variable and its state."""
    outputs, x = [], "1"
    for chunk in program.chunks:
        if "raise" in chunk.code:
            error = f"turn {chunk.turn}, line 1: ValueError: no"
            frames = (Frame(Location(chunk.turn, 1), "<module>"),)
            return Outcome("fake", 1, finished=False, error=error, frames=frames, outputs=tuple(outputs))
        x = "2" if chunk.code == "x = 2" else x
        outputs.append(f"{x}\n" * chunk.code.count("print("))
    text = "".join(outputs)
    on_output("stdout", text)
    variables = (Variable("x", "int", "", "1"),) if look else ()
    state = (f"x: int {x}",) if given.with_state else ()
    return Outcome("fake", stdout=text, outputs=tuple(outputs), seconds=0.1, variables=variables, state=state)


@dataclass(frozen=True)
class FakeSandbox:
    """A sandbox made of functions."""

    run: Callable[..., Outcome] = run
    resume: Callable[..., Outcome] = run
    unavailable_reason: Callable[[], str] = lambda: ""
    warning: Callable[[], str] = lambda: ""


def main() -> None:
    folder = Path(sys.argv[1])
    log = (
        Log.open(folder / f"{sys.argv[2]}.jsonl")
        if len(sys.argv) > 2
        else Log.fresh(folder, date(2026, 1, 1))
    )
    chat = Conversation(Fake(), FakeSandbox(), log=log, settings=Settings(policy="plain"))
    host = Host(lambda name: Fake(), lambda: [("fake", "a fake")], tier=lambda: "fake")
    app.start(Console(chat, folder, View.of(sys.stdout), host, slash.names), folder / "history")


if __name__ == "__main__":
    main()
