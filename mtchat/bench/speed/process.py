"""An engine measured in its own process: the side that asks, and the side that measures.

Requests and answers are lines of JSON: first a WorkloadRequest, then {"take": measure, "number": n}.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mtchat.bench.speed.engine import OURS, EngineSetup, MeasuredEngine, Sizes, find_peer
from mtchat.bench.speed.measures import find_measure
from mtchat.bench.speed.our_engine import OurEngine
from mtchat.bench.speed.workload import Workload
from mtchat.errors import MtchatError
from mtchat.models import loader
from mtchat.store.values import rebuild

STATUS = Path("/proc/self/status")
SendAnswer = Callable[[Mapping[str, object]], None]


@contextmanager
def start_engine(
    command: Sequence[str], environment: Mapping[str, str], work: str
) -> Iterator["EngineProcess"]:
    """A process whose engine is loaded; `work` is its first request. It ends with the block.

    It has its own process group: on Ctrl-C we end it. If we are killed, its input closes and it ends.
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
            yield EngineProcess(process, errors, began, work)
        finally:
            process.kill()


class EngineProcess:
    """`load` is the time from process start to a loaded engine in seconds, `peak` its peak memory in MiB."""

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
            self.answer()  # raises with the reason why it ended

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": self.failure()}
        if "failed" in answer:
            raise MtchatError(answer["failed"])
        return answer

    def failure(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"the process exited with {code}"


@dataclass(frozen=True)
class WorkloadRequest:
    """What all measures are taken with: the first request."""

    workload: Workload
    sizes: Sizes


def serve(setup: EngineSetup, begin: Callable[[], MeasuredEngine]) -> None:
    """The whole life of a measured process: load the engine, then answer requests from standard input."""
    # libraries print what they like, so the answers need an output of their own
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)

        def send(answer: Mapping[str, object]) -> None:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()

        try:
            engine = begin()
            send({"ready": setup.engine})
            answer_requests(engine, sys.stdin, send)
        except MtchatError as error:
            send({"failed": str(error)})


def answer_requests(engine: MeasuredEngine, requests: Iterable[str], send: SendAnswer) -> None:
    lines = iter(requests)
    work = rebuild(WorkloadRequest, json.loads(next(lines, "{}")))
    for line in lines:
        wanted = json.loads(line)
        measure = find_measure(wanted["take"])
        values = measure.take(engine, work.workload, work.sizes, wanted["number"])
        send({"values": values, "peak": peak_memory()})


def peak_memory() -> float:
    """The peak memory of this process in MiB, including mapped files that it touched."""
    try:
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):  # elsewhere ru_maxrss may still count the process that forked this one
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**20 if sys.platform == "darwin" else most / 1024


def load_measured_engine(setup: EngineSetup) -> MeasuredEngine:
    def load(precision: str) -> Any:
        return loader.load(setup.model, precision, lambda stage: None)

    if setup.engine == OURS:
        return OurEngine(load(setup.precision)).measured()
    return find_peer(setup.engine).begin(setup, load)


if __name__ == "__main__":
    setup = EngineSetup(**json.loads(sys.argv[1]))
    serve(setup, lambda: load_measured_engine(setup))
