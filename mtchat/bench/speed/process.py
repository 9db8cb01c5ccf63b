"""A measured engine in a process of its own, so that its memory and threads are its own."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from mtchat.errors import MtchatError


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], work: str) -> Iterator["Process"]:
    """A process whose engine is loaded; `work` is its first request. It ends with the block.

    It is not in the terminal's foreground group: Ctrl-C is for us, who end it. When we are gone, so is its
    input, and it ends by itself.
    """
    began = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
            encoding="utf-8",
            process_group=0,
        ) as process,
    ):
        try:
            yield Process(process, errors, began, work)
        finally:
            process.kill()


class Process:
    """`load` is the time from its start to its engine, in seconds; `peak` its most memory so far, in MiB."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str], began: float, work: str) -> None:
        self.process = process
        self.errors = errors
        self.answer()
        self.load = time.perf_counter() - began
        self.peak = 0.0
        self.send(work)

    def take(self, measure: str, number: int) -> Mapping[str, float]:
        """The values of a measure."""
        self.send(json.dumps({"take": measure, "number": number}))
        answer = self.answer()
        self.peak = answer["peak"]
        values: Mapping[str, float] = answer["values"]
        return values

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
            self.answer()  # says why it has ended

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": self.last_words()}
        if "failed" in answer:
            raise MtchatError(answer["failed"])
        return answer

    def last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"its process ended with {code}"
