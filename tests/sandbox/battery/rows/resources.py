"""Cases 67-82: taking memory, time, descriptors and output without end, and reaching for the terminal."""

from dataclasses import replace

from mtchat.session.outcome import Outcome
from tests.sandbox.battery.hosted import shown_without_signs
from tests.sandbox.battery.row import (
    BRIEF,
    TIGHT,
    Control,
    Expect,
    Row,
    escapes,
    no_control,
    played,
    raises,
    row,
    says,
    stopped,
)

MEMORY = """\
held = []
def take():
    for _ in range(200):
        held.append(bytearray(1 << 20))
attempt('memory', take)
"""

SHARES = """\
for _ in range(6):
    if os.fork() == 0:
        held = b'x' * (50 << 20)
        time.sleep(2)
        os._exit(0)
for _ in range(6):
    os.wait()
print('ESCAPED sum')
"""

MEMFD = """\
def hide():
    number = os.memfd_create('x')
    for _ in range(150):
        os.write(number, bytes(1 << 20))
attempt('memfd', hide)
"""

RESERVE = "import mmap\neffort('map', mmap.mmap, -1, 2 << 30)"
TOUCH = """\
held = mmap.mmap(-1, 400 << 20)
for at in range(0, len(held), 4096):
    held[at] = 1
print('ESCAPED pages')
"""

PAIRS = """\
import socket
held = []
def fill():
    for _ in range(300):
        held.append(socket.socketpair())
        for end in held[-1]:
            end.setblocking(False)
            try:
                while True:
                    end.send(bytes(65536))
            except BlockingIOError:
                pass
attempt('pairs', fill)
"""

DESCRIPTORS = """\
held = []
def take():
    for _ in range(400):
        held.append(open(os.devnull))
attempt('files', take)
"""

SIGNS = "os.write(1, b'\\x1b]52;c;eA==\\x07\\x1b[6n\\x9b31m')"
TERMINAL = """\
import fcntl, pty
TIOCSTI, WIDE, TIOCSCTTY = 0x5412, 1 << 32 | 0x5412, 0x540E
attempt('input', fcntl.ioctl, 0, TIOCSTI, b'Z')
attempt('wide', call, 'ioctl', 0, WIDE, b'Z')
def inject():
    os.setsid()
    _, own = pty.openpty()
    fcntl.ioctl(own, TIOCSCTTY, 0)
    fcntl.ioctl(own, TIOCSTI, b'Z')
if os.fork() == 0:
    attempt('own', inject)
    os._exit(0)
os.wait()
"""
OWN_TERMINAL = """\
import fcntl, pty
if os.fork() == 0:
    os.setsid()
    _, own = pty.openpty()
    fcntl.ioctl(own, 0x540E, 0)
    attempt('terminal', os.open, '/dev/tty', os.O_RDWR)
    os._exit(0)
os.wait()
"""


def cut(outcome: Outcome) -> None:
    assert outcome.truncated
    assert len(outcome.stdout) <= 64 << 10
    assert len(outcome.stderr) <= 64 << 10


def flood(**more: object) -> Expect:
    """Stopped by its output, of which a bounded part is kept; what was printed is not looked at."""
    return Expect((".*",), ".*stopped after 64 KiB of output", "output", -9, check=cut, **more)  # type: ignore[arg-type]


ROWS: tuple[Row, ...] = (
    row(67, "memory bomb", MEMORY, says("memory: MemoryError"), control=escapes("memory"), limits=TIGHT),
    row(
        68,
        "memory of many processes",
        SHARES,
        stopped("memory"),
        control=escapes("sum"),
        limits=TIGHT,
        residual="the sum is polled every 50 ms: a fast burst may pass it for that long",
    ),
    row(
        69,
        "memory behind a descriptor",
        MEMFD,
        says("memfd: ENOSYS"),
        control=escapes("memfd"),
        limits=TIGHT,
    ),
    replace(
        row(
            70,
            "shared pages",
            RESERVE,
            stopped(
                "memory", "map: done", told="reserved, then killed at the memory limit once it is written"
            ),
            control=Control(("map: done",), code=RESERVE),
            limits=TIGHT,
        ),
        turns=(RESERVE, TOUCH),
    ),
    row(
        71,
        "socket buffers",
        PAIRS,
        says("pairs: EMFILE"),
        control=escapes(
            "pairs",
            code="import socket\nheld = []\nattempt('pairs', lambda: "
            "held.extend(socket.socketpair() for _ in range(300)))",
        ),
        residual="bounded by descriptors only: 43 MiB a process, up to 2.7 GiB without control groups",
    ),
    row(72, "descriptors", DESCRIPTORS, says("files: EMFILE"), control=escapes("files")),
    row(
        73,
        "spin",
        "while True:\n    pass",
        stopped("seconds"),
        control=Control((), -15, seconds=0.7),
        limits=BRIEF,
    ),
    row(
        74,
        "spin in C, where no signal handler runs",
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(0))\nsum(range(10**12))",
        stopped("seconds"),
        control=Control((), None, seconds=0.7),
        limits=BRIEF,
    ),
    row(
        75,
        "sleep",
        "time.sleep(1e6)",
        stopped("seconds"),
        control=Control((), -15, seconds=0.7),
        limits=BRIEF,
    ),
    row(
        76,
        "endless output",
        "while True:\n    sys.stdout.write('x' * 1000)",
        flood(),
        control=escapes("cap", code="sys.stderr.write('x' * (128 << 10))\nprint('ESCAPED cap')"),
    ),
    row(
        77,
        "endless errors, one line of 8 MB",
        "sys.stderr.write('x' * (8 << 20))\nwhile True:\n    sys.stderr.write('x' * 1000)",
        Expect((), ".*stopped after 64 KiB of output", "output", -9, check=cut),
        control=escapes("cap", code="sys.stderr.write('x' * (128 << 10))\nprint('ESCAPED cap')"),
    ),
    played(
        78,
        "signs that command a terminal",
        shown_without_signs,
        "arrive raw, are shown as visible escapes",
        without="what a terminal would do cannot be seen from here",
    ),
    row(
        79,
        "bytes that are no text",
        "sys.stdout.buffer.write(bytes(range(128, 256)) + b'\\n')\nprint('\\ud800')",
        says("�+", r"\\ud800", told="replaced"),
        control=Control(without="it takes nothing; an editor would show the same bytes"),
    ),
    row(
        80,
        "wait for keyboard input",
        "input()",
        raises("EOFError", told="EOFError at once"),
        control=no_control("a child of the tests has no keyboard either"),
    ),
    row(
        81,
        "type into the terminal",
        TERMINAL,
        says("input: EPERM", "wide: EPERM", "own: EPERM"),
        says("input: EPERM", "wide: EPERM", "own: OSError", told="EPERM, no terminal to be had"),
        control=Control(("input: ENOTTY", "wide: ENOTTY", "ESCAPED own"), root=True),
    ),
    row(
        82,
        "open the controlling terminal",
        "attempt('terminal', os.open, '/dev/tty', os.O_RDWR)",
        says("terminal: ENXIO"),
        says("terminal: (EACCES|ENXIO)"),
        control=escapes("terminal", code=OWN_TERMINAL),
    ),
)
