"""The side of a measured process that does the work: one request a line in, one answer a line out."""

import json
import resource
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mtchat.bench.speed.conversation import Script
from mtchat.bench.speed.measure import find
from mtchat.bench.speed.subject import Sizes, Subject
from mtchat.store.values import rebuild

STATUS = Path("/proc/self/status")
Answer = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True)
class Work:
    """What all measures are taken with; the first request."""

    script: Script
    sizes: Sizes


def serve(subject: Subject, requests: Iterable[str], answer: Answer) -> None:
    """Take what is asked for until nothing more comes."""
    lines = iter(requests)
    work = rebuild(Work, json.loads(next(lines, "{}")))
    for line in lines:
        wanted = json.loads(line)
        values = find(wanted["take"]).take(subject, work.script, work.sizes, wanted["number"])
        answer({"values": values, "peak": peak()})


def peak() -> float:
    """The most memory that this process has held, in MiB, mapped files that it touched included."""
    try:
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):  # elsewhere the kernel's count may still have what forked it
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 2**20 if sys.platform == "darwin" else most / 1024
