"""Fixtures that several files of tests share."""

from collections.abc import Callable

import pytest

from mtchat.core.outcome import Outcome
from mtchat.core.program import Program
from mtchat.core.settings import Limits
from mtchat.sandbox.sandbox import probe, run


@pytest.fixture
def boxed() -> Callable[[Program], Outcome]:
    """Runs a program in the sandbox; the test is skipped where none works."""
    if not probe().ok:
        pytest.skip(f"no sandbox works here: {probe().reason}")
    return lambda program: run(program, Limits(seconds=20.0))
