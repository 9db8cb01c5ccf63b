"""The host suite of mtchat bench speed: what mtchat itself spends on a turn, by the length of the session.

The model answers at once and programs are not run, so that the time is that of the conversation: prompt,
session, checks of the code, and the session's file.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mtchat.bench.quality.evaluate import FunctionRunner
from mtchat.conversation.conversation import Conversation
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.settings import Sampling

TURNS = (5, 50, 200)
AROUND = 2  # turns on either side that are timed too
TARGET = 1.3  # times what the first of TURNS takes, at most
REPEATS = 3
TOKENS = 1 << 20  # the context of the model: nothing is ever folded


class OutsideTimer:
    """Adds up the seconds that are spent outside the host: in the model and in programs."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time_outside(self, function: Callable[[], Outcome]) -> Outcome:
        began = time.perf_counter()
        try:
            return function()
        finally:
            self.seconds += time.perf_counter() - began


@dataclass
class InstantModel:
    """A model that answers at once: each reply defines a name from the one before it, and prints it."""

    timer: OutsideTimer
    written: int = 0
    card: ModelCard = ModelCard("instant", chat=True, context=TOKENS, fingerprint="0" * 64)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.written += 1
        before = f"value_{self.written - 1} + " if self.written > 1 else ""
        code = f"value_{self.written} = {before}{self.written}\nprint(value_{self.written})\n```\n"
        yield Piece(code, Usage(100, 90, 20, 0.1, 0.1, "stop", -1.0, -0.5))

    def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        for number in range(count):
            for piece in self.complete(prompt, sampling):
                yield number, piece

    def text(self, prompt: Prompt) -> str:
        return ""  # the chat template is the model's part

    def count(self, text: str) -> int:
        return 100

    def close(self) -> None:
        """Nothing has to be freed."""


@dataclass(frozen=True)
class HostTimes:
    """Milliseconds of a turn by its number; the median of the turns around it, the best of the repeats."""

    milliseconds: dict[int, float]

    @property
    def ratio(self) -> float:
        """How much longer the last of these turns takes than the first."""
        times = [self.milliseconds[turn] for turn in sorted(self.milliseconds)]
        return times[-1] / times[0]

    @property
    def met(self) -> bool:
        return self.ratio <= TARGET


def measure_host(turns: tuple[int, ...] = TURNS, repeats: int = REPEATS) -> HostTimes:
    """The times of conversations that grow from nothing to the last of `turns`."""
    found = [time_conversation(turns) for _ in range(repeats)]
    return HostTimes({turn: min(each[turn] for each in found) for turn in turns})


def time_conversation(turns: tuple[int, ...]) -> dict[int, float]:
    """Milliseconds of each of `turns` in one conversation, saved in a file as any other."""
    times: list[float] = []
    timer = OutsideTimer()

    def run(program: Program) -> Outcome:
        return timer.time_outside(lambda: pretend_to_run(program))

    with TemporaryDirectory(prefix="mtchat-bench-") as folder:
        store = Path(folder, "host.jsonl")
        with Conversation(InstantModel(timer), FunctionRunner(run), store=store) as chat:
            for number in range(1, max(turns) + AROUND + 1):
                timer.seconds, began = 0.0, time.perf_counter()
                chat.send(f"Define value {number} and print it")
                times.append(1000 * (time.perf_counter() - began - timer.seconds))
    return {turn: statistics.median(times[max(0, turn - 1 - AROUND) : turn + AROUND]) for turn in turns}


def pretend_to_run(program: Program) -> Outcome:
    """The outcome that a run of the program has."""
    outputs = tuple(f"{chunk.turn}\n" for chunk in program.chunks)
    return Outcome("none", stdout="".join(outputs), outputs=outputs, error_outputs=("",) * len(outputs))


def format_table(found: HostTimes) -> str:
    """The times as a Markdown table."""
    rows = [f"| turn {turn} | {each:.2f} |" for turn, each in found.milliseconds.items()]
    met = "met" if found.met else "missed"
    last = f"| ratio of the last to the first | {found.ratio:.2f} (target at most {TARGET:g}: {met}) |"
    return "\n".join(["| host time of a turn | ms |", "|---|---:|", *rows, last]) + "\n"
