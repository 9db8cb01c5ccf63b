"""What the outcome says if the sandbox, and not the code, made a run fail."""

from pathlib import Path

import pytest

from mtchat.console import run_hints
from mtchat.sandbox.host import execute
from mtchat.session.outcome import GIVEN, NOTES, Outcome, Reason
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.settings import Limits, Settings

pytestmark = pytest.mark.sandbox

LIMITS = Limits(seconds=20.0, memory_mib=256, disk_mib=8)


def play(*codes: str, given: RunInputs | None = None, limits: Limits = LIMITS) -> Outcome:
    chunks = tuple(Chunk(number, code) for number, code in enumerate(codes, start=1))
    return execute.run(Program(chunks), limits, inputs=given or RunInputs())


def library(code: str) -> str:
    """A program that meets what a library raises."""
    return f"exec({code!r}, {{'__name__': 'library'}})"


HERE = Path(run_hints.__file__).parents[1]
PARSER = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('n', type=int)\n"
WRAPPED = """\
class LibraryError(Exception):
    pass
def fetch():
    import socket
    try:
        socket.create_connection(('127.0.0.1', 9))
    except OSError as error:
        raise LibraryError(error) from None
"""
SWALLOWED = """\
import socket
def table():
    try:
        socket.getaddrinfo('data.example.org', 443)
    except OSError:
        return []
"""
ASKS = """\
import subprocess, sys
code = "import urllib.request as u; u.urlopen('http://example.org')"
subprocess.run([sys.executable, '-c', code], check=True MORE)
"""
KEPT = [
    ("open('data.csv')", Reason.FILE, "data.csv"),
    ("open('sub/data.csv')", Reason.FILE, "sub/data.csv"),
    ("open('/home/me/data.csv')", Reason.FILE, "/home/me/data.csv"),
    ("import os\nos.listdir('photos')", Reason.FILE, "photos"),
    ("import subprocess\nsubprocess.run(['./mine.sh'])", Reason.FILE, "./mine.sh"),
    ("import subprocess\nsubprocess.run(['no-such-program', 'x'])", Reason.COMMAND, "no-such-program"),
    ("import os\nos.execvp('no-such-program', ['no-such-program'])", Reason.COMMAND, ""),
    ("open('/sys/class/power_supply/x')", Reason.SYSTEM, "/sys/class/power_supply/x"),
    ("open('/etc/no-such-file')", Reason.SYSTEM, "/etc/no-such-file"),
    ("input()", Reason.INPUT, ""),
    ("import getpass, warnings\nwarnings.simplefilter('ignore')\ngetpass.getpass()", Reason.INPUT, ""),
    ("import sys\nn = int(sys.stdin.readline())", Reason.INPUT, ""),
    ("import sys\nline = sys.stdin.readline()\nprint(line.split()[0])", Reason.INPUT, ""),
    ("import sys\na, b = map(int, sys.stdin.read().split())", Reason.INPUT, ""),
    ("import subprocess\nsubprocess.run('no-such x', shell=True, check=True)", Reason.COMMAND, "no-such"),
    (ASKS.replace("MORE", ""), Reason.NETWORK, ""),
    (ASKS.replace("MORE", ", capture_output=True"), Reason.NETWORK, ""),
    (
        library("raise Exception('set it by the API_TOKEN environment variable')"),
        Reason.ENVIRONMENT,
        "API_TOKEN",
    ),
    (library("raise RuntimeError('No CUDA GPUs are available')"), Reason.GPU, ""),
    (library("raise Exception('Gtk: cannot open display: ')"), Reason.DISPLAY, ""),
    ("import warnings\nwarnings.simplefilter('ignore')\nbreakpoint()", Reason.INPUT, ""),
    ("open('/home/me/out.txt', 'w')", Reason.OUTSIDE, "/home/me/out.txt"),
    ("open('/out.txt', 'w')", Reason.OUTSIDE, "/out.txt"),
    ("try:\n    open('a.csv')\nexcept OSError:\n    raise SystemExit('no a.csv')", Reason.FILE, "a.csv"),
    ("import sys\nprint('a.png: No such file or directory', file=sys.stderr)\nNone.shape", Reason.FILE, ""),
    (
        library("raise FileNotFoundError('not in the cache; check your internet connection')"),
        Reason.NETWORK,
        "",
    ),
    ("for n in range(12):\n    open(f'/tmp/{n}', 'wb', 0).write(bytes(7 << 20))", Reason.SCRATCH, ""),
    ("import no_such_package", Reason.PACKAGE, "no_such_package"),
    ("from no_such_package.part import x", Reason.PACKAGE, "no_such_package"),
    (
        "try:\n    import no_such\nexcept ImportError as e:\n    raise ImportError(str(e)) from e",
        Reason.PACKAGE,
        "no_such",
    ),
    ("import os\nkey = os.environ['API_KEY']", Reason.ENVIRONMENT, "API_KEY"),
    ("import os\nos.environ['DISPLAY']", Reason.DISPLAY, "DISPLAY"),
    (library("raise RuntimeError('could not connect to display :0')"), Reason.DISPLAY, ""),
    ("import os\nos.get_terminal_size()", Reason.TERMINAL, ""),
    ("import termios\ntermios.tcgetattr(0)", Reason.TERMINAL, ""),
    ("import curses\ncurses.wrapper(print)", Reason.TERMINAL, ""),
    ("open('/dev/tty')", Reason.TERMINAL, ""),
    ("import socket\nsocket.getaddrinfo('example.org', 80)", Reason.NETWORK, ""),
    ("import socket\nsocket.create_connection(('192.0.2.1', 80))", Reason.NETWORK, ""),
    ("import urllib.request as u\nu.urlopen('http://example.org')", Reason.NETWORK, ""),
    (f"{WRAPPED}fetch()", Reason.NETWORK, ""),
    (f"{SWALLOWED}table()[-1]", Reason.NETWORK, "data.example.org"),
    (f"{PARSER}parser.parse_args()", Reason.ARGUMENTS, ""),
    ("import sys\nprint(sys.argv[1])", Reason.ARGUMENTS, ""),
    ("import sys\nif len(sys.argv) < 2:\n    sys.exit('usage: me FILE')", Reason.ARGUMENTS, ""),
]


@pytest.mark.parametrize(("code", "kept", "subject"), KEPT)
def test_what_the_sandbox_kept_from_a_program_is_known_and_named(code: str, kept: str, subject: str) -> None:
    outcome = play(code)
    assert (outcome.missing, outcome.subject) == (kept, subject), outcome.error
    note = NOTES[kept]
    assert outcome.error.endswith(f"{note})" if note else f"No module named '{subject}'")


OWN = [
    "1 / 0",
    "[][0]",
    "{}['key']",
    "undefined",
    "open('missing/out.txt', 'w')",
    "open(file='missing/out.txt', mode='a')",
    "from pathlib import Path\nPath('missing/out.txt').write_text('x')",
    "import os\nos.mkdir('missing/folder')",
    "import json.no_such_part",
    "from json import no_such_name",
    "import pickle, io\npickle.load(io.BytesIO())",
    "raise EOFError('the archive is cut short')",
    "import sys\nsys.exit(3)",
    "raise ValueError('failed to allocate the budget: out of memory, no display, connection refused')",
    "def check():\n    raise ValueError('the $DISPLAY environment variable')\ncheck()",
    f"{SWALLOWED}table()\n1 / 0",
    "try:\n    open('data.csv')\nexcept OSError:\n    undefined",
    "int('x')",
]


@pytest.mark.parametrize("code", OWN)
def test_the_faults_of_code_are_not_put_down_to_the_sandbox(code: str) -> None:
    outcome = play(code)
    assert not outcome.ok
    assert (outcome.missing, outcome.limit) == ("", "")
    assert "the sandbox" not in outcome.error


MET = [
    (library("raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried')"), "memory"),
    ("class OutOfMemoryException(Exception): pass\nraise OutOfMemoryException('x')", "memory"),
    (library("raise OSError(12, 'Cannot allocate memory')"), "memory"),
    ("import os, sys\nprint('memory allocation of 8 bytes failed', file=sys.stderr)\nos.abort()", "memory"),
    ("x = bytearray(245 << 20)\nimport os, time\ntime.sleep(0.2)\nos.abort()", "memory"),
    (library("raise OSError(28, 'No space left on device')"), "disk"),
    ("for n in range(9):\n    open(f'{n}', 'wb', 0).write(bytes(2**20))\nraise OSError('7 written')", "disk"),
    ("import threading, time\nwait = threading.Event()\nfor _ in range(90):\n"
     "    threading.Thread(target=wait.wait, daemon=True).start()", "processes"),
    (library("raise Exception('Os { code: 11, kind: WouldBlock, message: \"x\" }')"), "processes"),
    ("import os, sys\nprint('libgomp: Thread creation failed: x', file=sys.stderr, flush=True)\nos._exit(1)",
     "processes"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "limit"), MET)
def test_a_limit_that_a_library_meets_is_named(code: str, limit: str) -> None:
    outcome = play(code)
    rooms = {
        "memory": "(a run may take 256 MiB of memory)",
        "disk": "(the work folder holds 8 MiB)",
        "processes": "(a run may have 64 threads and processes)",
    }
    assert outcome.limit == limit
    assert outcome.error.endswith(rooms[limit])


def test_a_headline_is_the_first_line_that_says_something() -> None:
    assert play("raise LookupError('\\n' + '*' * 70 + '\\n  Resource x not found.')").error == (
        "turn 1, line 1: LookupError: Resource x not found."
    )


def test_wrong_arguments_are_not_called_none() -> None:
    outcome = play(f"{PARSER}parser.parse_args()", given=RunInputs(("--wrong",)))
    assert (outcome.missing, outcome.subject) == (Reason.ARGUMENTS, GIVEN)
    assert outcome.error == "turn 1: the program ended with exit code 2"
    assert (
        run_hints.hint_in_shell(outcome, Settings(), name="sum.py")
        == "give it other arguments, for example: mtchat run sum.py 3 4"
    )


def failed(kept: str, subject: str = "") -> Outcome:
    return Outcome(exit_code=1, error=f"turn 1: it failed ({NOTES[kept]})", reason=kept, subject=subject)


def test_each_thing_that_can_be_given_says_how(tmp_path: Path) -> None:
    settings = Settings()
    assert (
        run_hints.hint_in_repl(failed(Reason.ARGUMENTS), settings)
        == "give it arguments, for example: /run 3 4"
    )
    assert (
        run_hints.hint_in_shell(failed(Reason.ARGUMENTS), settings, name="a.py")
        == "give it arguments, for example: mtchat run a.py 3 4"
    )
    assert run_hints.hint_in_repl(failed(Reason.FILE), settings) == "/attach FILE gives the program a copy"
    assert run_hints.hint_in_repl(failed(Reason.DISPLAY), settings) == ""


def test_a_missing_package_is_installed_where_mtchat_runs_and_a_module_of_mine_is_attached(
    tmp_path: Path,
) -> None:
    settings = Settings()
    (tmp_path / "helper.py").touch()
    (tmp_path / "parts").mkdir()
    told = {
        name: run_hints.hint_in_shell(failed(Reason.PACKAGE, name), settings, folder=tmp_path)
        for name in ("helper", "parts", "usb", "winreg")
    }
    assert told["helper"] == "--attach helper.py gives the program a copy of yours"
    assert told["parts"] == "--attach parts gives the program a copy of yours"
    assert told["usb"].endswith(" -m pip install pyusb")
    mine = run_hints.hint_in_shell(failed(Reason.PACKAGE, "mtchat"), settings, folder=tmp_path)
    assert (
        mine
        == f"it is installed from {HERE}, which programs cannot see; --attach {HERE} gives the program a copy"
    )
    assert told["winreg"] == "this Python was built without its module winreg"
