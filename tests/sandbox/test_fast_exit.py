"""Which programs may skip Python's finalization, and which would show a difference."""

import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtchat.sandbox.guest.fork.fast_exit import can_skip_finalizers


def made(code: str) -> dict[str, Any]:
    main: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "<turn 1>", "exec"), main)
    del main["__builtins__"]
    return main


@pytest.mark.parametrize(
    "code",
    [
        "x = [1, 'a', (2.0, None), {3: b'b'}]\nlarge = list(range(100_000))",
        "def f(n=1): return n\ng = lambda: f",
        "class A:\n    def __init__(self): self.x = [1]\na = [A(), A()]",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int = 1\np = P()",
        "import math, re, datetime\nday = datetime.date(2000, 1, 1)",
    ],
)
def test_plain_values_say_nothing_as_they_go(code: str) -> None:
    assert can_skip_finalizers(made(code), {}, "/work")


@pytest.mark.parametrize(
    "code",
    [
        "class A:\n    def __del__(self): ...\na = A()",
        "class A: ...\nclass B(A):\n    def __del__(self): ...\na = A()\na.b = [B()]",
        "def g():\n    yield 1\nsteps = [g()]",
        "async def main(): ...\nc = main()\nkeep = {1: c}",
        "import io\nfile = io.StringIO()",
        "def f():\n    def g():\n        yield\n    inner = g()\n    return lambda: inner\nh = f()",
        "import weakref\nclass A: ...\na = A()\nr = weakref.finalize(a, print)",
    ],
)
def test_what_may_have_a_last_word_is_given_one(code: str) -> None:
    main = made(code)
    assert not can_skip_finalizers(main, {}, "/work")
    for value in main.values():
        getattr(value, "close", lambda: None)()


def test_modules_of_the_program_itself_may_have_a_last_word() -> None:
    assert not can_skip_finalizers({}, {"__main__": io, "io": io}, str(Path(io.__file__).parent))
    assert can_skip_finalizers({}, {"__main__": io}, str(Path(io.__file__).parent))
    assert not can_skip_finalizers({}, {"shelve": None}, "/work")


def test_multiprocessing_s_name_of_the_program_is_no_module_of_its_own() -> None:
    assert can_skip_finalizers({}, {"__main__": io, "__mp_main__": io}, str(Path(io.__file__).parent))


@pytest.mark.parametrize(
    ("events", "tasks", "quiet"),
    [
        ({"_event_loop_policy": None}, {"_all_tasks": ()}, True),
        ({}, {}, True),
        ({"_event_loop_policy": object()}, {"_all_tasks": ()}, False),
        ({"_event_loop_policy": None}, {"_scheduled_tasks": {1}}, False),
    ],
)
def test_asyncio_has_a_last_word_only_once_it_was_used(
    events: dict[str, Any], tasks: dict[str, Any], quiet: bool
) -> None:
    modules = {
        "asyncio": None,
        "asyncio.events": SimpleNamespace(**events),
        "asyncio.tasks": SimpleNamespace(**tasks),
    }
    assert can_skip_finalizers({}, modules, "/work") is quiet


def test_a_column_of_objects_is_looked_into_without_a_warning() -> None:
    pandas = pytest.importorskip("pandas")
    assert can_skip_finalizers({"names": pandas.Series([Path("a"), None], dtype=object)}, {}, "/work")
    assert not can_skip_finalizers({"files": pandas.Series([io.StringIO()], dtype=object)}, {}, "/work")


def test_a_container_of_another_kind_is_looked_into() -> None:
    assert can_skip_finalizers({"counts": Counter("abc")}, {}, "/work")
    assert not can_skip_finalizers({"files": Counter({io.StringIO(): 1})}, {}, "/work")
