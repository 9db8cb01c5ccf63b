"""A worker's outcome equals that of a run from nothing, whatever ran before."""

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.host import execute
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.settings import Limits
from tests.support.random_sessions import CHUNKS, grow

pytestmark = pytest.mark.sandbox
ADDRESS = re.compile(
    "0x[0-9a-f]+|(started|stopped) [0-9]+|(parent|pid)=[0-9]+|^0[.][0-9]+$|float 0[.][0-9]+$"
)
SESSIONS, RUNS = 200, 5
ASKED = RunInputs(with_state=True)
LIMITS = Limits(seconds=20.0, memory_mib=256, disk_mib=16)

# CPython itself may count one frame more or less, so depths are compared in fives.


def program(codes: list[str]) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))


def told(outcome: Outcome, folder: Path) -> tuple[object, ...]:
    """All of an outcome that does not depend on the clock, and what the files hold."""
    variables = tuple(replace(each, value=ADDRESS.sub("", each.value)) for each in outcome.variables)
    same = replace(outcome, seconds=0.0, memory_mib=0.0, resumed=0, note="", files=(), variables=variables)
    same = replace(same, state=tuple(ADDRESS.sub("", line) for line in outcome.state))
    return same, {file.path: (folder / file.path).read_bytes() for file in outcome.files}


@pytest.mark.parametrize("part", range(10))
def test_random_sessions_equal_runs_from_nothing(worker: Worker, tmp_path: Path, part: int) -> None:
    resumed = 0
    for session in range(SESSIONS // 10):
        chance = random.Random(f"{part} {session}")
        codes = [
            each.format(n=chance.randint(1, 6)) for each in chance.choices(CHUNKS, k=chance.randint(0, 5))
        ]
        past = [codes]
        for run in range(RUNS):
            codes = grow(codes, past, chance)
            past.append(codes)
            here, there = tmp_path / f"w{session}-{run}", tmp_path / f"t{session}-{run}"
            kept = worker.run(program(codes), LIMITS, collect=here, inputs=ASKED, with_variables=True)
            true = execute.run(program(codes), LIMITS, collect=there, inputs=ASKED, with_variables=True)
            assert told(kept, here) == told(true, there), "\n---\n".join(codes)
            resumed += kept.resumed
    assert resumed > SESSIONS // 10


# What turns did that a worker once told differently: programs one after the other.
SEQUENCES = {
    "a copy of stdout": [["import os\nsaved = os.dup(1)", "os.write(saved, b'hello\\n')"]],
    "stderr to stdout": [["import os\nos.dup2(1, 2)", "import sys\nprint('x', file=sys.stderr)"]],
    "a closed stdout": [["import os\nos.close(1)", "print('x')"]],
    "buffered stdout of its own": [["out = open(1, 'w', closefd=False)\nout.write('hello')"]],
    "a shelf": [["import shelve\ns = shelve.open('s', writeback=True)\ns['l'] = [1]", "s['l'].append(2)"]],
    "a coroutine never awaited": [["async def main(): ...\nc = main()", "print(1)"]],
    "a folder that was made anew": [
        ["import os\nos.mkdir('deep')\nos.chdir('deep')"],
        ["import os\nos.mkdir('deep')\nos.chdir('deep')", "open('g', 'w').close()"],
        ["import os\nos.mkdir('deep')\nos.chdir('deep')", "open('f', 'w').close()\nprint(os.listdir())"],
    ],
    "files that look the same": [
        [OLD := "import os\nopen('a', 'w').write('one')\nos.utime('a', (0, 0))"],
        [OLD, "open('a', 'w').write('two')\nos.utime('a', (0, 0))"],
        [OLD, "print(open('a').read())"],
    ],
    "the order of files": [
        [NEW := "for name in 'abc': open(name, 'w').close()"],
        [NEW, "open('b', 'a').write('x')"],
        [NEW, "import os\nprint(os.listdir())"],
    ],
    "an orphan": [
        ["import os, time\nos.system('(sleep 0.3; echo done > f) &')", "time.sleep(2)\nprint(os.listdir())"]
    ],
    "few descriptors": [
        ["import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", "print(1)"]
    ],
    "no processes": [["import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (1, 1))", "print(1)"]],
    "a patched fork": [["import os\nos.fork = lambda: 1", "print(1)"]],
    "a process to start": [
        ["import multiprocessing\np = multiprocessing.Process(target=print)", "p.start()\np.join()"]
    ],
    "a thread to start": [["import threading\nt = threading.Thread(target=print)", "t.start()\nt.join()"]],
    "processor time": [
        ["import time\nt = time.process_time()\nprint(t > 0)", "print(time.process_time() >= t)"]
    ],
    "bytes that are no text": [["import os\nos.write(1, b'\\xff' * 30000)", "print('x')"]],
    "half a character": [["import os\nos.write(1, b'\\xc3')", "os.write(1, b'\\xa9')"]],
    "waiting at the end": [["import atexit, os\natexit.register(lambda: print(os.fork() and os.wait()[1]))"]],
    "warnings": [
        ["import warnings\nwarnings.simplefilter('always')\nclass A:\n    def __del__(self): ...\na = A()"]
    ],
    "a module of its own": [
        ["open('own.py', 'w').write('x = 1')", "import own\nprint(own.x)"],
        ["open('own.py', 'w').write('x = 2')", "import own\nprint(own.x)"],
    ],
    "a patched open": [["import builtins\nbuiltins.open = None", "print(1)"]],
    "a dropped turn in a spawned child": [
        ["print('a')", "x = 1", "print('gone')"],
        [
            "print('a')",
            "import multiprocessing as mp\nif __name__ == '__main__':\n"
            "    p = mp.get_context('spawn').Process(target=print, args=('child',))\n"
            "    p.start()\n    p.join()\n    del p",
        ],
    ],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence_equals_runs_from_nothing(worker: Worker, tmp_path: Path, name: str) -> None:
    for number, codes in enumerate(SEQUENCES[name]):
        for length in range(1, len(codes) + 1):
            here, there = tmp_path / f"w{number}-{length}", tmp_path / f"t{number}-{length}"
            kept = worker.run(
                program(codes[:length]), LIMITS, collect=here, inputs=ASKED, with_variables=True
            )
            true = execute.run(
                program(codes[:length]), LIMITS, collect=there, inputs=ASKED, with_variables=True
            )
            assert told(kept, here) == told(true, there)
            assert kept.seconds < 15
