"""What the sandbox says of the state of a program: a line for each name, and no code of the program runs."""

import time
from collections.abc import Iterator
from types import ModuleType

import pytest

from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.guest.program.state import LINE_CHARS, MOST_NAMES, describe_state
from mtchat.sandbox.host import execute
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.settings import Limits

LIMITS = Limits(seconds=10.0, memory_mib=512, output_kib=64, disk_mib=16)
ROWS = {
    "total = 42": "total: int 42",
    "rate = 0.5": "rate: float 0.5",
    "on = None": "on: NoneType None",
    "big = 10 ** 200": "big: int an integer of 665 bits",
    "word = 'tea'": "word: str 'tea'",
    "word = 'tea ' * 100": f"word: str of 400 characters '{'tea ' * 14}t...'",
    "names = ['ana', 'bo']": "names: list of 2 str ['ana', 'bo']",
    "empty = []": "empty: list of 0 []",
    "many = list(range(100))": "many: list of 100 int [0, 1, 2, 3, 4, 5, ...]",
    "mixed = (1, 'a', None)": "mixed: tuple of 3 int/str/NoneType (1, 'a', None)",
    "ages = {'ana': 3}": "ages: dict of 1 str to int {'ana': 3}",
    "rows = [{'a': [1, [2]]}]": "rows: list of 1 dict [{'a': ...}]",
    "def top(n, least=0, *more, sign='+', **rest): ...": (
        "top: function (n, least=0, *more, sign='+', **rest)"
    ),
    "from functools import cache\n@cache\ndef fib(n): ...": "fib: function (n)",
    "class Stack:\n    def __init__(self, most=3): ...\n    def push(self, item): ...": (
        "Stack: class (most=3) with methods push(item)"
    ),
    "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\np = P(1)\ndel P": "p: P with x=1",
    "import datetime\nday = datetime.date(2024, 2, 1)": "day: date 2024-02-01",
    "from collections import deque\nlast = deque([1, 2])": "last: deque of 2 int [1, 2]",
    "found = map(str, [1])": "found: map",
}
LIBRARIES = {
    "import numpy as np\ngrid = np.arange(4).reshape(2, 2)": "grid: ndarray 2 x 2 int64 [[0, 1], [2, 3]]",
    "import numpy as np\ngrid = np.zeros((50, 50))": (
        "grid: ndarray 50 x 50 float64 [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, ...]"
    ),
    "import numpy as np\nmean = np.float64(2.5)": "mean: float64 2.5",
    "import pandas as pd\ndf = pd.DataFrame({'item': [None, True], 'qty': [1, 2]})": (
        "df: DataFrame 2 x 2, columns item object, qty int64; first row None, 1"
    ),
    "import pandas as pd\nqty = pd.Series([1, 2], index=['a', 'b'], name='qty')": (
        "qty: Series 'qty' of 2 int64 [1, 2]; index ['a', 'b']"
    ),
}


def state_of(code: str) -> list[str]:
    """The lines about a program that runs in this process, as `__main__` would."""
    module = ModuleType("__main__")
    exec(compile(code, "<turn 1>", "exec"), vars(module))
    return describe_state(vars(module))


@pytest.mark.parametrize("code", ROWS)
def test_each_kind_of_value_is_described_in_a_line(code: str) -> None:
    assert state_of(code) == [ROWS[code]]


@pytest.mark.parametrize("code", LIBRARIES)
def test_arrays_and_tables_are_described_by_shape_columns_and_types(code: str) -> None:
    for name in ("numpy", "pandas"):
        pytest.importorskip(name)
    assert state_of(code) == [LIBRARIES[code]]


def test_what_is_imported_or_private_is_left_out() -> None:
    assert state_of("import math\nfrom math import pi, sqrt\nfrom json import loads\n_x = 1\ny = 2") == [
        "pi: float 3.14159",
        "y: int 2",
    ]


HOSTILE = """
def cry(*given, **named):
    raise SystemExit("code of the program was called")

class Meta(type):
    __getattribute__ = cry

class Loud(list):
    __iter__ = __len__ = __repr__ = __getattribute__ = cry

class Quiet:
    __slots__ = ()
    __repr__ = __getattribute__ = __class_getitem__ = cry

class Made(metaclass=Meta):
    pass

loud, quiet = Loud([1]), Quiet()
held = {"a": [loud, quiet]}
made = object.__new__(Made)
"""


def test_no_code_of_the_program_is_called() -> None:
    lines = state_of(HOSTILE)
    assert "loud: Loud of 1 int [1]" in lines
    assert "quiet: Quiet" in lines
    assert "held: dict of 1 str to list {'a': [..., ...]}" in lines
    assert "made: Made" in lines


def test_the_newest_names_are_kept_and_lines_are_bounded() -> None:
    lines = state_of("\n".join(f"x{number} = list('abc') * 99" for number in range(200)))
    assert 0 < len(lines) <= MOST_NAMES
    assert lines[-1].startswith("x199: ")
    assert state_of(f"x = {{'{'k' * 50}' + str(n): '{'v' * 50}' for n in range(9)}}")[0].endswith("...")
    assert max(map(len, lines)) <= LINE_CHARS


def test_a_large_state_takes_little_time() -> None:
    code = "\n".join(f"x{number} = [list(range(100)) for _ in range(100)]" for number in range(60))
    module = ModuleType("__main__")
    exec(code, vars(module))
    began = time.perf_counter()
    describe_state(vars(module))
    assert time.perf_counter() - began < 0.1


@pytest.fixture
def worker() -> Iterator[Worker]:
    if not execute.probe().ok:
        pytest.skip(f"no sandbox works on this machine: {execute.probe().reason}")
    with Worker() as made:
        yield made


@pytest.mark.sandbox
def test_a_run_tells_its_state_only_if_asked_and_the_same_from_nothing(worker: Worker) -> None:
    codes = ("x = [1]", "x.append(2)\nprint('hello')", "print(x / 2)")
    for count in (1, 2, 3):
        program = Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes[:count], start=1)))
        asked = RunInputs(with_state=True)
        kept = worker.run(program, LIMITS, inputs=asked)
        assert kept.state == (("x: list of 1 int [1]",) if count == 1 else ("x: list of 2 int [1, 2]",))
        assert kept.state == execute.run(program, LIMITS, inputs=asked).state
        assert kept.variables == ()
        assert worker.run(program, LIMITS).state == ()
    assert kept.error.startswith("turn 3, line 1: TypeError")
