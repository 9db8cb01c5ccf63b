"""How runs end: every kind of outcome, output in the right place, and nothing left behind."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.sandbox.host.execute import choose_backend, probe, run, run_in
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from tests.sandbox.battery.leaks import KINDS_OPENED, descriptors, nothing_new, processes

pytestmark = pytest.mark.sandbox
LIMITS = Limits(seconds=30.0)


def play(*codes: str, limits: Limits = LIMITS, collect: Path | None = None) -> Outcome:
    return run(program(*codes), limits, collect=collect)


def program(*codes: str) -> Program:
    return Program(tuple(Chunk(turn, code) for turn, code in enumerate(codes, start=1)))


def ours() -> set[str]:
    """Our child processes, zombies too, our open files of the kinds that a run opens, and shared memory."""
    return processes() | descriptors(KINDS_OPENED) | set(os.listdir("/dev/shm"))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Each test leaves no process, zombie, descriptor or file of ours behind."""
    if not probe().ok:
        pytest.skip(f"no sandbox works on this machine: {probe().reason}")
    with nothing_new(ours):
        yield


SPINS = {"spin": "while True: pass", "sleep": "import time\ntime.sleep(99)", "C": "10 ** 10 ** 9"}
FLOOD = "while True: print('x' * 1000)"

ERRORS = [
    (("x = 1", "int('a')"), "turn 2, line 1: ValueError: invalid literal for int() with base 10: 'a'"),
    (("def f():\n    return 1 / 0", "y = 1\nf()"), "turn 2, line 2: ZeroDivisionError: division by zero"),
    (("x = 1", "def f():\n    return 1 / 0\n\nf()"), "turn 2, line 2: ZeroDivisionError: division by zero"),
    (("x = (",), "turn 1, line 1: SyntaxError: '(' was never closed"),
    (("x = 1", "\n\nif x:\nprint(x)"), "turn 2, line 4: IndentationError: expected an indented block"),
    (("x = 1\0",), "turn 1, line 1: SyntaxError: source code string cannot contain null bytes"),
    (("def f(): f()", "f()"), "turn 2, line 1: RecursionError: maximum recursion depth exceeded"),
    (("input('name? ')",), "turn 1, line 1: EOFError: EOF when reading a line (the sandbox has no keyboard"),
    (("raise KeyboardInterrupt",), "turn 1, line 1: KeyboardInterrupt"),
    (("class Odd(Exception): pass\nraise Odd('a\\nb')",), "turn 1, line 2: Odd: a"),
    (("import json\njson.loads('{')",), "turn 1, line 2: json.decoder.JSONDecodeError: Expecting property"),
    (("import sys\nsys.exit(3)",), "turn 1: the program ended with exit code 3"),
    (("import sys\nsys.exit('text')",), "turn 1: the program ended with exit code 1"),
    (("import sys\nsys.exit()", "x = 1"), "turn 1 ended the program; turn 2 did not run"),
    (("exit()", "x = 1", "", "y = 1"), "turn 1 ended the program; turns 2-4 did not run"),
    (("import os\nos._exit(7)",), "turn 1: the program ended at once with exit code 7"),
    (("import os\nos._exit(0)",), "turn 1: the program ended at once with exit code 0"),
    (("x = 1", "import os\nos.abort()"), "turn 2, line 2: killed by SIGABRT (abort)"),
    (("import ctypes", "ctypes.string_at(0)"), "turn 2, line 1: killed by SIGSEGV (segmentation fault)"),
    (("import os\nos.kill(os.getpid(), 9)",), "turn 1: killed by SIGKILL"),
    (("import sys", "sys.stdout.close()\n1 / 0"), "turn 2, line 2: ZeroDivisionError"),
    (("import os\nos.closerange(0, 256)", "1 / 0"), "turn 2, line 1: ZeroDivisionError"),
    (("import builtins\nbuiltins.len = builtins.open = None", "1 / 0"), "turn 2, line 1: ZeroDivisionError"),
    (("import sys\nsys.modules.clear()", "1 / 0"), "turn 2, line 1: ZeroDivisionError"),
    (("raise ValueError('y' * 10**6)",), "turn 1, line 1: ValueError: yyy"),
    (("import ast\nast.literal_eval('(' * 10**5)",), "turn 1, line 2: "),
    (("x = '\ud800'",), "turn 1, line 1: UnicodeEncodeError"),
    (("import resource\nresource.setrlimit(resource.RLIMIT_DATA, (-1, -1))",), "turn 1, line 2: ValueError"),
]


@pytest.mark.parametrize(("codes", "error"), ERRORS)
def test_an_error_is_one_line_that_names_turn_and_line(codes: tuple[str, ...], error: str) -> None:
    outcome = play(*codes)
    assert outcome.error.startswith(error)
    assert "\n" not in outcome.error
    assert len(outcome.error) < 600
    assert not outcome.ok
    assert not outcome.limit
    assert len(outcome.traceback) < 20_000


CODES = [
    ("import sys\nsys.exit(0)", 0),
    ("import sys\nsys.exit(3)", 3),
    ("import sys\nsys.exit(300)", 44),
    ("import sys\nsys.exit(-1)", 255),
    ("import sys\nsys.exit('text')", 1),
    ("import sys\nsys.exit(137)", 137),
    ("import os\nos._exit(7)", 7),
    ("1 / 0", 1),
    ("quit()", 0),
]


@pytest.mark.parametrize(("code", "exit_code"), CODES)
def test_the_exit_code_is_the_programs(code: str, exit_code: int) -> None:
    outcome = play(code)
    assert (outcome.exit_code, outcome.signal) == (exit_code, None)


def test_a_signal_is_not_an_exit_code() -> None:
    outcome = play("import os\nos.kill(os.getpid(), 9)")
    assert (outcome.exit_code, outcome.signal) == (None, signal.SIGKILL)


ENDINGS = ["x = 1", "import sys\nsys.exit(0)", "raise SystemExit", "x = 1\n\n"]


@pytest.mark.parametrize("last", ENDINGS)
def test_a_program_that_reaches_its_last_turn_and_leaves_with_0_is_ok(last: str) -> None:
    outcome = play("print('a')", last)
    assert outcome.ok
    assert outcome.error == ""
    assert outcome.finished
    assert outcome.exit_code == 0


def test_an_exit_before_turns_without_code_is_the_end_of_the_program() -> None:
    assert play("print(1)", "exit()", "", "\n").ok


def test_a_program_without_code_is_ok() -> None:
    assert run(Program(), LIMITS).ok
    assert play("").ok


LIMIT_ROWS = [
    *((code, "seconds", "stopped after 0.5 s") for code in SPINS.values()),
    ("import os\nos.kill(os.getpid(), 19)", "seconds", "stopped after 0.5 s"),
    ("import atexit, time\natexit.register(time.sleep, 99)", "seconds", "stopped after 0.5 s"),
    ("import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()", "seconds", "stopped"),
    (FLOOD, "output", "stopped after 64 KiB of output"),
    ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output", "stopped after 64 KiB of output"),
    ("x = bytearray(99 << 20)", "memory", "MemoryError (a run may take 64 MiB of memory)"),
    ("x = []\nwhile True: x.append(bytearray(1 << 20))", "memory", "MemoryError (a run may take 64 MiB"),
    ("open('f', 'wb').write(bytes(9 << 20))", "disk", "File too large (the work folder holds 8 MiB)"),
    ("for n in range(9): open(f'{n}', 'wb').write(bytes(2 << 20))", "disk", "No space left on device (the"),
    ("import os\nos.truncate(os.open('f', os.O_CREAT | os.O_RDWR), 1 << 50)", "disk", "File too large"),
    ("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (0, 9))\nwhile True: pass", "cpu", "CPU time"),
]


@pytest.mark.parametrize(("code", "limit", "error"), LIMIT_ROWS)
def test_a_limit_stops_the_program_and_is_named(code: str, limit: str, error: str) -> None:
    seconds = 0.5 if limit == "seconds" else 20.0
    outcome = play("x = 1", code, limits=Limits(seconds, memory_mib=64, output_kib=64, disk_mib=8))
    assert outcome.limit == limit
    assert outcome.error.startswith("turn 2")
    assert error in outcome.error
    assert not outcome.ok
    assert outcome.truncated == (limit == "output")
    assert len(outcome.stdout) <= 64 * 1024
    assert len(outcome.stderr) <= 64 * 1024


def test_memory_is_counted_over_all_processes() -> None:
    hold = (
        "import os, time\nfor n in range(6):\n    if os.fork() == 0:\n        x = b'x' * (50 << 20)\n        "
    )
    outcome = play(hold + "time.sleep(99)\ntime.sleep(99)", limits=Limits(seconds=20.0, memory_mib=128))
    assert outcome.limit == "memory"
    assert outcome.error.startswith("turn 1, line 6: stopped at 128 MiB")


def test_a_run_that_is_stopped_names_the_line_it_was_at() -> None:
    outcome = play("def wait():\n    while True: pass", "x = 1\nwait()", limits=Limits(seconds=0.5))
    assert outcome.error == "turn 2, line 2: stopped after 0.5 s"
    assert [(frame.place.turn, frame.place.line) for frame in outcome.frames] == [(2, 2), (1, 2)]
    assert outcome.turn == 2


TURNS = [
    (("x = 1", "import sys\nsys.exit(3)"), 2),
    (("import os", "os._exit(0)", "x = 1"), 2),
    (("import os", "os.kill(os.getpid(), 9)"), 2),
    (("exit()", "x = 1"), 1),
    (("x = 1", "exit()"), None),
    (("x = 1", "x = 2"), None),
]


@pytest.mark.parametrize(("codes", "turn"), TURNS)
def test_the_turn_that_failed_is_known_even_without_a_traceback(
    codes: tuple[str, ...], turn: int | None
) -> None:
    assert play(*codes).turn == turn


def test_a_program_that_ignores_every_signal_is_stopped_all_the_same() -> None:
    ignore = "import signal\nfor n in {*range(1, 32)} - {9, 19}: signal.signal(n, signal.SIG_IGN)"
    outcome = play(ignore, "while True: pass", limits=Limits(seconds=0.5))
    assert outcome.error == "turn 2: stopped after 0.5 s"


def test_stopping_is_quick() -> None:
    """A slow machine takes its time as well, but never as long as the program would."""
    began = time.monotonic()
    outcome = play("import time\ntime.sleep(99)", limits=Limits(seconds=0.5))
    assert outcome.limit == "seconds"
    assert outcome.seconds < 10.0
    assert 0.5 <= time.monotonic() - began < 20.0


def test_ctrl_c_stops_the_program_and_gives_an_outcome() -> None:
    def heard(stream: str, text: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    waiting = "print('on', flush=True) or time.sleep(99)"
    outcome = run(program("import time", waiting), LIMITS, on_output=heard)
    assert (outcome.limit, outcome.stdout) == ("interrupted", "on\n")
    assert outcome.error == "turn 2, line 1: interrupted"
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_while_output_is_shown_stops_the_program_too() -> None:
    def shown(stream: str, text: str) -> None:
        raise KeyboardInterrupt

    assert run(program("print(1)", "while True: pass"), LIMITS, on_output=shown).limit == "interrupted"


def test_an_error_while_output_is_shown_is_ours_and_leaves_nothing() -> None:
    def shown(stream: str, text: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(program("print(1)\nwhile True: pass"), LIMITS, on_output=shown)


def test_a_sandbox_without_proc_works_where_a_container_masks_it() -> None:
    choice = choose_backend()
    assert choice.variant is not None
    bare = replace(choice, variant=replace(choice.variant, without=frozenset({"/proc"})))
    outcome = run_in(bare, program("import os\nprint(os.path.exists('/proc/self'))", "1 / 0"), LIMITS)
    assert (outcome.stdout, outcome.error) == (
        "False\n",
        "turn 2, line 1: ZeroDivisionError: division by zero",
    )


def test_runs_in_threads_do_not_meet() -> None:
    found: dict[int, str] = {}

    def one(number: int) -> None:
        found[number] = play(f"open('f', 'x').write('{number}')", "print(open('f').read())").stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{number}\n" for number in range(4)}


def test_stdout_is_split_by_turn_in_order_whoever_wrote_it() -> None:
    first = "import os, subprocess, sys\nprint(1)\nsubprocess.run(['echo', '2'])\nos.write(1, b'3\\n')"
    second = "print(4, end='', flush=True)\nsubprocess.run([sys.executable, '-c', 'print(5)'])"
    outcome = play(first, "", second, "print('é', file=sys.stderr)", "exit()", "never = 1")
    assert outcome.outputs == ("1\n2\n3\n", "", "45\n", "", "")
    assert (outcome.stdout, outcome.stderr) == ("1\n2\n3\n45\n", "é\n")


def test_what_is_printed_at_exit_belongs_to_the_last_turn() -> None:
    last = "class Gone:\n    def __del__(self): print('gone')\n\nkept = Gone()"
    outcome = play("import atexit\natexit.register(print, 'bye')", last)
    assert outcome.outputs == ("", "bye\ngone\n")


def test_bytes_that_are_no_text_are_replaced_and_signs_stay_raw() -> None:
    outcome = play("import os\nos.write(1, b'\\xff\\x1b[31m\\xc3')", "os.write(1, b'\\xa9')")
    assert outcome.outputs == ("�\x1b[31m�", "�")


def test_output_is_shown_as_it_comes_without_marks() -> None:
    pieces: list[tuple[str, str]] = []
    code = "import sys, time\nprint('a')\ntime.sleep(0.3)\nprint('b', file=sys.stderr)"
    outcome = run(
        program(code, "print('c')"), LIMITS, on_output=lambda name, text: pieces.append((name, text))
    )
    assert pieces == [("stdout", "a\n"), ("stderr", "b\n"), ("stdout", "c\n")]
    assert outcome.stdout == "a\nc\n"


def test_a_traceback_shows_the_programs_lines_and_the_last_of_a_library() -> None:
    outcome = play("import json\ndef load(text):\n    return json.loads(text)", "load('{')")
    lines = outcome.traceback.splitlines()
    assert lines[:5] == [
        "Traceback (most recent call last):",
        '  File "<turn 2>", line 1, in <module>',
        "    load('{')",
        '  File "<turn 1>", line 3, in load',
        "    return json.loads(text)",
    ]
    assert outcome.traceback.count("  File ") == 3
    assert lines[-1].startswith("json.decoder.JSONDecodeError: ")
    assert [frame.function for frame in outcome.frames] == ["<module>", "load"]
    assert outcome.frames[1].text == "return json.loads(text)"
    assert outcome.stderr == ""


def test_a_traceback_keeps_its_causes_and_stays_short() -> None:
    code = "def f(n):\n    if n: return f(n - 1)\n    try: 1 / 0\n"
    outcome = play(code + "    except Exception as e: raise KeyError(1) from e\nf(300)")
    assert "ZeroDivisionError" in outcome.traceback
    assert "direct cause" in outcome.traceback
    assert outcome.traceback.count("\n") <= 61
    assert outcome.error == "turn 1, line 4: KeyError: 1"


def test_a_program_that_prints_a_traceback_itself_shows_its_lines() -> None:
    outcome = play("import traceback", "try:\n    1 / 0\nexcept Exception:\n    traceback.print_exc()")
    assert '  File "<turn 2>", line 2, in <module>\n    1 / 0\n' in outcome.stderr
    assert outcome.ok


def test_a_file_goes_by_its_own_name() -> None:
    outcome = run(Program((Chunk(1, "import sys\nprint(sys.argv)\n1 / 0"),), "fib.py"), LIMITS)
    assert outcome.stdout == "['fib.py']\n"
    assert outcome.error == "fib.py, line 3: ZeroDivisionError: division by zero"
    assert 'File "fib.py", line 3' in outcome.traceback


def test_the_preamble_goes_by_its_own_name() -> None:
    outcome = run(Program((Chunk(0, "import nothing_here"), Chunk(1, "x = 1"))), LIMITS)
    assert outcome.error == "preamble, line 1: ModuleNotFoundError: No module named 'nothing_here'"
    assert outcome.turn == 0


def test_a_future_import_holds_for_later_turns() -> None:
    code = "def f(x: Unknown): pass\nprint(f.__annotations__)"
    assert play("from __future__ import annotations", code).stdout == "{'x': 'Unknown'}\n"


def test_a_hook_that_claims_success_changes_nothing() -> None:
    outcome = play("import sys\nsys.excepthook = lambda *_: print('all is well')", "1 / 0")
    assert (outcome.exit_code, outcome.finished, outcome.ok) == (1, False, False)
    assert outcome.stdout == "all is well\n"


def test_a_copy_that_the_program_forked_is_not_the_program() -> None:
    outcome = play("import os\nif os.fork() == 0: 1 / 0\nos.wait()", "print('end')")
    assert outcome.ok
    assert outcome.outputs == ("", "end\n")
    assert "ZeroDivisionError" in outcome.stderr


def test_a_run_repeats_itself() -> None:
    code = "print(list({'a', 'b', 'c', 'd', 'e'}))"
    assert play(code).stdout == play(code).stdout


def test_seconds_and_memory_are_the_programs_own() -> None:
    outcome = play("import time\nx = b'x' * (100 << 20)\ntime.sleep(0.2)")
    assert 0.2 <= outcome.seconds < 20.0
    assert 100 < outcome.memory_mib < 200


WORKS = {
    "pickle": ("import pickle\nclass A: pass", "print(type(pickle.loads(pickle.dumps(A()))).__name__)", "A"),
    "pool": (
        "from concurrent.futures import ProcessPoolExecutor\ndef f(x): return x * x",
        "if __name__ == '__main__':\n    with ProcessPoolExecutor(2) as p: print([*p.map(f, range(3))])",
        "[0, 1, 4]",
    ),
    "spawn": (
        "import multiprocessing as mp\ndef f(x): return x * x",
        "if __name__ == '__main__':\n    with mp.get_context('spawn').Pool(1) as p: print(p.map(f, [3]))",
        "[9]",
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor",
        "with ThreadPoolExecutor(8) as pool: print(sum(pool.map(abs, range(100))))",
        "4950",
    ),
    "shared memory": (
        "from multiprocessing.shared_memory import SharedMemory",
        "m = SharedMemory(create=True, size=9)\nm.buf[0] = 7\nprint(m.buf[0])\nm.close()\nm.unlink()",
        "7",
    ),
    "sqlite": (
        "import sqlite3\ndb = sqlite3.connect('a.db')\ndb.execute('pragma journal_mode=wal')",
        "db.execute('create table t (x)')\nprint(db.execute('select count(*) from t').fetchone())",
        "(0,)",
    ),
    "asyncio": (
        "import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_exec('echo', 'hi')",
        "async def more():\n    await main()\n    await asyncio.sleep(0.1)\nasyncio.run(more())",
        "hi",
    ),
    "loopback": (
        "import socket\ns = socket.create_server(('localhost', 0))",
        "c = socket.create_connection(s.getsockname())\nc.send(b'x')\nprint(s.accept()[0].recv(1))",
        "b'x'",
    ),
    "own module": ("open('mine.py', 'w').write('x = 5')", "import mine\nprint(mine.x)", "5"),
    "stdlib first": ("open('json.py', 'w').write('x = 5')", "import json\nprint(json.dumps(1))", "1"),
    "who": (
        "import getpass, os, time, ssl, zoneinfo, tempfile",
        "print(getpass.getuser(), os.getcwd())",
        "user",
    ),
    "ssl": ("import ssl\nssl.create_default_context()", "print('ok')", "ok"),
    "zones": ("import zoneinfo", "print(zoneinfo.ZoneInfo('Europe/Berlin'))", "Europe/Berlin"),
    "pandas": (
        "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})",
        "df.to_csv('f.csv')\nprint(pd.read_csv('f.csv')['a'].sum())",
        "3",
    ),
    "sklearn": (
        "from sklearn.linear_model import LinearRegression\nm = LinearRegression()",
        "m.fit([[1], [2]], [2, 4])\nprint(m.coef_.round(3))",
        "[2.]",
    ),
}


@pytest.mark.parametrize("name", WORKS)
def test_ordinary_programs_work(name: str) -> None:
    first, second, said = WORKS[name]
    outcome = play(first, second, limits=Limits(seconds=120.0))
    assert (outcome.error, outcome.stderr) == ("", "")
    assert outcome.stdout.split("\n")[-2].startswith(said)


PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"
FILM = (
    "import matplotlib.pyplot as plt\nfrom matplotlib.animation import FuncAnimation\n"
    "figure, axes = plt.subplots()\n(line,) = axes.plot([], [])\n"
    "film = FuncAnimation(figure, lambda n: (line.set_data([0, n], [0, n]),), frames=3)"
)
PLOTS = {
    "shown": ((PLOT, "plt.show()"), ["figure-1.png"]),
    "left open": ((PLOT,), ["figure-1.png"]),
    "left open at an error": ((PLOT, "1 / 0"), ["figure-1.png"]),
    "saved by itself": ((PLOT, "plt.savefig('mine.png')\nplt.show()"), ["mine.png"]),
    "two": ((PLOT, "plt.figure()\nplt.show()", "plt.figure()\nplt.plot([3])"), None),
    "window asked for": (
        ("import matplotlib\nmatplotlib.use('TkAgg')", PLOT, "plt.show()"),
        ["figure-1.png"],
    ),
    "Agg asked for": (("import matplotlib\nmatplotlib.use('Agg')", PLOT, "plt.show()"), ["figure-1.png"]),
    "switched": ((PLOT, "plt.switch_backend('QtAgg')\nplt.plot([1])\nplt.show()"), ["figure-1.png"]),
    "closed after a look": ((PLOT, "plt.show(block=False)\nplt.pause(0.01)\nplt.close()"), ["figure-1.png"]),
    "closed after fig.show": ((PLOT, "plt.gcf().show()\nplt.close('all')"), ["figure-1.png"]),
    "interactive": (
        ("import matplotlib.pyplot as plt\nplt.ion()\nplt.plot([1])\nplt.close()",),
        ["figure-1.png"],
    ),
    "each of a loop": (
        (
            "import matplotlib.pyplot as plt\nfor n in range(3):\n"
            "    plt.plot([n])\n    plt.pause(0.01)\n    plt.close()",
        ),
        None,
    ),
    "never shown": ((f"{PLOT}\nplt.close()",), []),
    "closed by a later turn": ((PLOT, "plt.close()"), ["figure-1.png"]),
    "drawn on after it was saved": (
        (PLOT, "plt.savefig('a.png')\nplt.plot([2, 1])\nplt.show()"),
        ["a.png", "figure-1.png"],
    ),
    "drawn and redrawn after it was saved": (
        (PLOT, "plt.savefig('a.png')\nplt.plot([2, 1])\nplt.draw()\nplt.show()"),
        ["a.png", "figure-1.png"],
    ),
    "saved without a background": (
        (PLOT, "plt.gcf().savefig('a.png', transparent=True)\nplt.show()"),
        ["a.png"],
    ),
    "saved to an open file": ((PLOT, "plt.savefig(open('a.png', 'wb'))\nplt.show()"), ["a.png"]),
    "saved to memory": ((PLOT, "import io\nplt.savefig(io.BytesIO())\nplt.show()"), ["figure-1.png"]),
    "a film": ((FILM, "plt.show()"), ["figure-1.gif"]),
    "a film left open": ((FILM,), ["figure-1.gif"]),
    "a film saved by itself": ((FILM, "film.save('a.gif', writer='pillow')\nplt.show()"), ["a.gif"]),
    "an image": (
        ("from PIL import Image\nfor mode in ('RGB', 'CMYK', 'F'): Image.new(mode, (2, 2)).show()",),
        None,
    ),
    "in the order of their numbers": (
        ("for n in (2, 10, 1): open(f'figure-{n}.png', 'wb').write(b'\\x89PNG')",),
        ["figure-1.png", "figure-2.png", "figure-10.png"],
    ),
}


@pytest.mark.parametrize("name", PLOTS)
def test_figures_become_files_without_a_display(name: str, tmp_path: Path) -> None:
    codes, expected = PLOTS[name]
    outcome = play(*codes, limits=Limits(seconds=120.0), collect=tmp_path)
    expected = ["figure-1.png", "figure-2.png", "figure-3.png"] if expected is None else expected
    assert [file.path for file in outcome.files] == expected
    assert outcome.stderr == ""
    for name in expected:
        assert (tmp_path / name).read_bytes().startswith((b"\x89PNG", b"GIF8"))


def test_a_warning_of_a_figure_names_the_line_of_the_program_once() -> None:
    shown = play(PLOT, "plt.title('\\u65e5')\nplt.show()").stderr
    assert shown.startswith("<turn 2>:2: UserWarning: Glyph 26085")
    assert shown.count("Glyph") == 1
    assert play(PLOT, "plt.title('\\u65e5')").stderr.startswith("<turn 1>:2: UserWarning: Glyph 26085")


def test_nobody_is_waited_for_who_would_click() -> None:
    outcome = play(PLOT, "print(plt.ginput(1), plt.waitforbuttonpress())")
    assert (outcome.stdout, outcome.seconds < 15) == ("[] None\n", True)
    assert outcome.stderr.startswith("<turn 2>:1: UserWarning: the sandbox has no window, so no click")


def test_of_a_long_animation_the_first_frames_are_kept_and_that_is_told() -> None:
    outcome = play(FILM.replace("frames=3", "frames=70").replace("subplots()", "subplots(figsize=(1, 1))"))
    assert [file.path for file in outcome.files] == ["figure-1.gif"]
    assert outcome.stderr.startswith("<turn 1>:3: UserWarning: figure-1.gif has the first 60 frames")


@pytest.mark.parametrize("shown", [False, True])
def test_a_figure_that_cannot_be_drawn_is_told_once_and_the_others_are_kept(shown: bool) -> None:
    broken = "import matplotlib.pyplot as plt\nplt.title('$\\\\frac{$')\n"
    outcome = play(broken + ("plt.show()" if shown else "plt.figure(); plt.plot([1])"))
    assert "/mtchat/" not in outcome.stderr
    assert "Exception ignored" not in outcome.stderr
    if shown:
        assert outcome.error.startswith("turn 1, line 3: ValueError:")
    else:
        assert outcome.ok
        assert outcome.stderr.startswith("<turn 1>:2: UserWarning: a figure cannot be drawn: \\frac{")
        assert len(outcome.files) == 1


def test_labels_are_in_the_picture_and_a_text_astray_does_not_blow_it_up(tmp_path: Path) -> None:
    code = (
        f"{PLOT}\nplt.ylabel('y' * 9 + '\\n' * 9)\nplt.show()\nplt.text(9999, 9999, 'x')\nplt.show()\n"
        "from PIL import Image\nfor n in (1, 2): print(*Image.open(f'figure-{n}.png').size)"
    )
    wide, astray = play(code, "").stdout.split("\n")[:2]
    assert int(wide.split()[0]) > 640
    assert astray == "640 480"


def test_a_page_that_nothing_opens_is_kept_or_told() -> None:
    pages = (
        "import tempfile, webbrowser\npath = tempfile.mkdtemp() + '/a.html'\n"
        "open(path, 'w').close()\nopen('b.html', 'w').close()\n"
        "print(webbrowser.open('file://' + path), webbrowser.open_new_tab('b.html'))"
    )
    outcome = play(pages, "webbrowser.open('https://example.org')")
    assert [file.path for file in outcome.files] == ["b.html", "figure-1.html"]
    assert outcome.stdout == "False False\n"
    assert outcome.stderr.startswith(
        "<turn 2>:1: UserWarning: the sandbox has no browser, so https://example.org was not opened\n"
    )


WINDOWS = {
    "plotly": ("import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1])).show()", ["figure-1.html"]),
    "bokeh": (
        "from bokeh.plotting import figure, show\np = figure()\np.line([1], [2])\nshow(p)",
        ["figure-1.html"],
    ),
    "cv2": (
        "import cv2, numpy\nfor n in range(3):\n    cv2.imshow('w', numpy.ones((9, 9)) / 2)\n"
        "    cv2.waitKey(1)\ncv2.imshow('v', numpy.ones((9, 9), 'uint8'))\n"
        "while cv2.waitKey(0) != 27: pass\ncv2.destroyAllWindows()\n"
        "assert cv2.imread('figure-1.png').max() == 127",
        ["figure-1.png", "figure-2.png"],
    ),
}


WINDOWS["pygame"] = (
    "import pygame\npygame.init()\nscreen = pygame.display.set_mode((40, 30))\n"
    "for n in range(6):\n    screen.fill((n, 9, 9))\n    pygame.display.flip()\npygame.quit()\n"
    "assert pygame.image.load('figure-1.png').get_at((0, 0))[0] == 5",
    ["figure-1.png"],
)


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_of_other_packages_become_files(name: str) -> None:
    pytest.importorskip(name)
    code, expected = WINDOWS[name]
    outcome = play(code, "", limits=Limits(seconds=120.0))
    assert outcome.error == ""
    assert [file.path for file in outcome.files] == expected


def test_a_program_may_reserve_more_than_it_may_use() -> None:
    """As V8, LMDB and WebAssembly do, which guard their memory by pages that nobody can touch."""
    reserve = "import mmap\nm = mmap.mmap(-1, 1 << 42, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)"
    assert play(reserve, "print(len(m) >> 40)").stdout == "4\n"


def test_a_program_sees_few_processors_so_that_its_libraries_start_few_threads() -> None:
    outcome = play("import os\nprint(os.cpu_count(), len(os.sched_getaffinity(0)))")
    seen, usable = map(int, outcome.stdout.split())
    assert 1 <= seen == usable <= 4


def test_whoever_a_program_runs_as_has_a_name() -> None:
    code = "import os, pwd\nfrom pathlib import Path\nopen('a', 'w').close()\n"
    outcome = play(f"{code}print(pwd.getpwuid(os.getuid()).pw_name, Path('a').owner())")
    assert (outcome.stdout, outcome.error) == ("user user\n", "")
