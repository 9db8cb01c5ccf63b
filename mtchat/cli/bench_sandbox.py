"""The sandbox suite of mtchat bench speed: what a run costs, in milliseconds."""

import argparse
import itertools
import platform
import sys
from collections.abc import Callable, Iterator

from mtchat.bench.speed.timing import Case, measure, table
from mtchat.errors import MtchatError, SandboxError
from mtchat.sandbox import sandbox
from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.plain import bare
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from mtchat.version import __version__

LIMITS = Limits(seconds=20.0)
CANDIDATES = 8
REPEATS = 30
SMALL = ("import math\nwords = ['a', 'b']", "def double(value):\n    return 2 * value")
TABLE = ("import pandas as pd\ntable = pd.DataFrame({'a': range(10_000), 'b': range(10_000)})",)
FIGURE = ("import matplotlib.pyplot as plt",)
PLOT = "plt.plot([1, {0}, 2])\nplt.savefig('plot.png')"


def bench_sandbox(args: argparse.Namespace) -> bool:
    """Prints a table; whether every target was met."""
    repeats = args.repeats or REPEATS
    found = sandbox.probe()
    if not found.ok:
        raise SandboxError(f"nothing can be measured without a sandbox: {found.reason}; {found.fix}")
    with Worker() as worker:
        timings = list(measure(cases(worker), repeats))
    print(f"mtchat {__version__}, Python {platform.python_version()}, {platform.machine()},", end=" ")
    print(f"sandbox {found.tier}, medians of {repeats}, milliseconds\n")
    sys.stdout.write(table(timings))
    return all(timing.met is not False for timing in timings)


def cases(worker: Worker) -> Iterator[Case]:
    """Every case does something it has not done before, so that no answer is ready."""
    fresh = itertools.count(10)

    def turn(*codes: str, keep: bool = True) -> None:
        resumed = len(codes) - 1
        met = worker.run(program(*codes), LIMITS, keep=keep)
        if not met.ok or met.resumed < resumed:
            raise MtchatError(f"a measured run went wrong: {met.error or met.note or 'it resumed nothing'}")

    def candidates() -> None:
        for _ in range(CANDIDATES):
            turn(*TABLE, f"print(table.a.sum() + {next(fresh)})", keep=False)

    def after(
        codes: tuple[str, ...], act: Callable[[], None], name: str, target: float | None = None
    ) -> Case:
        return Case(name, act, target, prepare=lambda: worker.run(program(*codes), LIMITS))

    yield Case("bare `python -I -c pass`", bare)
    yield Case("sandbox, cold start", cold, 15.0, "bare `python -I -c pass`")
    yield after(SMALL, lambda: turn(*SMALL, f"print(double({next(fresh)}))"), "incremental turn", 5.0)
    yield after(TABLE, lambda: turn(*TABLE, f"x = {next(fresh)}"), "incremental turn on a pandas state")
    yield after(TABLE, candidates, f"{CANDIDATES} candidates on a pandas state", 100.0)
    yield after(FIGURE, lambda: turn(*FIGURE, PLOT.format(next(fresh))), "a plot, matplotlib imported", 120.0)


def cold() -> None:
    if not sandbox.run(program("pass"), LIMITS).ok:
        raise MtchatError("a measured run went wrong")


def program(*codes: str) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))
