"""Fixtures that several files of tests share."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.host.execute import choose_backend, probe, run
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.settings import Limits
from tests.support.repl import started
from tests.support.terminal import Terminal

settings.register_profile("any machine", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("any machine")

KINDS = {"terminal", "sandbox", "model", "slow"}
KIND_OF_FIXTURE = {"screen": "terminal", "boxed": "sandbox", "worker": "sandbox"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="write golden screens as they are now")


def pytest_configure(config: pytest.Config) -> None:
    """Lets Ctrl-C be tested from a shell that starts this in the background, where SIGINT is ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by the fixtures they use, and as `unit` those that need nothing but Python."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in KIND_OF_FIXTURE:
                item.add_marker(KIND_OF_FIXTURE[name])
        if not any(item.get_closest_marker(kind) for kind in KINDS):
            item.add_marker("unit")


@pytest.fixture
def boxed() -> Callable[[Program], Outcome]:
    """Runs a program in the sandbox; the test is skipped where none works."""
    if not probe().ok:
        pytest.skip(f"no sandbox works here: {probe().reason}")
    return lambda program: run(program, Limits(seconds=20.0))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Keeps the states of programs between runs; tests are skipped where nothing does."""
    if not probe().ok:
        pytest.skip(f"no sandbox works here: {probe().reason}")
    variant = choose_backend().variant
    if variant is None or not variant.checkpoints:
        pytest.skip(f"{probe().tier} keeps no states")
    with Worker() as made:
        yield made


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Terminal]:
    """The REPL with a model from a table, in a pseudo-terminal of 100 columns and 40 rows."""
    with started(tmp_path) as screen:
        yield screen
