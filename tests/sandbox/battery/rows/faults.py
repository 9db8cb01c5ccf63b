"""Cases 83-112: programs that crash, leave early or rebuild Python, and the kernel's odd corners."""

from tests.sandbox.battery.hosted import exit_code_is_no_signal, exit_codes
from tests.sandbox.battery.row import (
    BRIEF,
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

OWN_FAULT = "it is a fault of the program's own, in reach of nothing"

FRAMES = """\
secret = ''.join(bait.halves)
def places():
    frame = sys._getframe()
    while frame is not None:
        yield from (*frame.f_globals.values(), *frame.f_locals.values())
        frame = frame.f_back
    yield os.environ
    for module in list(sys.modules.values()):
        yield from vars(module).values()
def tells(value):
    if isinstance(value, (str, bytes)):
        return secret in str(value) and value != secret
    return value is os.environ and secret in str(dict(value))
print('ESCAPED secret' if any(tells(value) for value in places()) else 'secret: absent')
"""

INT80 = """\
import mmap
# mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
code = mmap.mmap(-1, 4096, prot=7)
code.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')
pid = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print('ESCAPED call' if pid == os.getpid() else 'another number')
"""

CLOCKS = """\
wrong = -1
calls(
    settimeofday=(1, 0), clock_settime=(999, 0), clock_adjtime=(999, 0), adjtimex=(1,),
    syslog=(10, 0, 0), acct=(1,),
)
attempt('hostname', lambda: os.open('/proc/sys/kernel/hostname', os.O_WRONLY))
"""

RENAME = "import socket\nattempt('rename', socket.sethostname, 'x')\n"

MACHINE_WIDE = """\
wrong = -1
calls(
    kexec_load=(0, 99999, 0, wrong), kexec_file_load=(wrong, wrong, 0, 0, wrong),
    init_module=(0, 0, 0), finit_module=(wrong, 0, wrong), delete_module=(0, 0),
    reboot=(1, 2, 3, 0), swapon=(0, wrong), swapoff=(0,), quotactl=(wrong, 0, 0, 0),
)
"""
WIDE_NAMES = (
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("reboot", "swapon", "swapoff", "quotactl"),
)

PICKLE = """\
import pickle
class Bomb:
    def __reduce__(self):
        return os.system, ('echo inside; head -c 1 %s > /dev/null 2>&1 && echo ESCAPED' % bait.key,)
pickle.loads(pickle.dumps(Bomb()))
"""

SHADOW = """\
with open('json.py', 'w') as file:
    file.write('dumps = lambda _: "shadow"')
import json
print(json.dumps(1))
"""

UNHOOKED = """\
class Hook:
    def find_spec(self, name, path=None, target=None):
        raise ImportError('hooked')
sys.meta_path.insert(0, Hook())
1 / 0
"""

ZERO = "ZeroDivisionError: division by zero"


def ends_with(error: str, status: int | None = 1, **more: object) -> Expect:
    return Expect((), error, status=status, **more)  # type: ignore[arg-type]


def bounded_story(outcome: object) -> None:
    assert len(outcome.error) < 700  # type: ignore[attr-defined]
    assert len(outcome.traceback) < 20_000  # type: ignore[attr-defined]


def unfinished(outcome: object) -> None:
    assert not outcome.ok  # type: ignore[attr-defined]
    assert not outcome.finished  # type: ignore[attr-defined]


ROWS: tuple[Row, ...] = (
    row(
        83,
        "recursion without end",
        "def f():\n    f()\nf()",
        raises("RecursionError", check=bounded_story),
        control=Control((), 1),
    ),
    row(
        84,
        "recursion with the limit lifted",
        "sys.setrecursionlimit(10**9)\ndef f():\n    f()\nf()",
        ends_with(
            "turn 1.*(MemoryError|SIGSEGV|stopped)",
            None,
            limit="(memory|seconds|)",
            told="MemoryError, SIGSEGV or a limit",
        ),
        control=escapes(
            "depth",
            code="sys.setrecursionlimit(10**9)\ndef f(n):\n    n and f(n - 1)\nattempt('depth', f, 10**4)",
        ),
        limits=BRIEF,
    ),
    row(
        85,
        "the compiler's own stack",
        "import ast\nast.literal_eval('(' * 10**6)",
        ends_with(
            "turn 1, line 2: (SyntaxError|MemoryError|RecursionError)",
            limit="(memory|)",
            check=bounded_story,
            told="one short error",
        ),
        control=Control((), 1),
    ),
    row(
        86,
        "an immense traceback",
        "def f(n):\n    if n:\n        f(n - 1)\n    raise ValueError('y' * 10**7)\nf(900)",
        raises("ValueError: yyy", check=bounded_story, told="cut"),
        control=Control((), 1),
    ),
    row(
        87,
        "segmentation fault",
        "def bad():\n    ctypes.string_at(0)\nbad()",
        ends_with("turn 1, line 2: killed by SIGSEGV", -11),
        control=Control((), -11),
    ),
    row(
        88, "abort", "os.abort()", ends_with("turn 1, line 1: killed by SIGABRT", -6), control=Control((), -6)
    ),
    played(89, "exit codes", exit_codes, "3, 1, 44, 255", without=OWN_FAULT),
    played(
        90,
        "exit code 137 that looks like a kill",
        exit_code_is_no_signal,
        "told apart",
        without="a shell cannot tell them apart, which is the point",
    ),
    row(
        91,
        "leave at once",
        "print('x')\nos._exit(7)",
        Expect(
            ("x",),
            r"turn 1: the program ended at once with exit code 7 \(os._exit\)",
            status=7,
            told="7, told",
        ),
        control=Control(("x",), 7, code="print('x', flush=True)\nos._exit(7)"),
    ),
    Row(
        92,
        "leave with 0 before the last turn",
        ("sys.exit(0)", "print('never')"),
        ends_with(
            "turn 1 ended the program; turn 2 did not run", 0, check=unfinished, told="not taken for success"
        ),
        ends_with(
            "turn 1 ended the program; turn 2 did not run", 0, check=unfinished, told="not taken for success"
        ),
        Control((), 0),
    ),
    row(
        93,
        "close every descriptor",
        "os.closerange(0, 1024)\n1 / 0",
        ends_with(f"turn 1, line 2: {ZERO}", None, told="reported all the same"),
        control=no_control(OWN_FAULT),
    ),
    row(
        94,
        "close stdout",
        "sys.stdout.close()\n1 / 0",
        raises(ZERO, told="reported all the same"),
        control=Control((), 1),
    ),
    row(
        95,
        "trace everything",
        "sys.settrace(lambda *_: None)\nsys.setprofile(lambda *_: None)\nprint('traced')",
        says("traced", told="harmless"),
        control=Control(("traced",)),
    ),
    row(
        96,
        "replace the hook for errors",
        "sys.excepthook = lambda *_: print('all is well')\n1 / 0",
        raises(ZERO, "all is well", told="reported all the same"),
        control=Control(("all is well",), 1),
    ),
    row(
        97,
        "patch the builtins",
        "import builtins\nbuiltins.open = builtins.len = builtins.print = None\n1 / 0",
        raises(ZERO, told="reported all the same"),
        control=Control((), 1),
    ),
    row(98, "hook the imports", UNHOOKED, raises(".*", told="reported all the same"), control=Control((), 1)),
    row(
        99,
        "a module that shadows Python's own",
        SHADOW,
        says("1", told="Python's own wins"),
        control=Control(("shadow",), code="sys.path.insert(0, '')\n" + SHADOW),
    ),
    row(
        100,
        "code in a pickle",
        PICKLE,
        says("inside", told="stays inside"),
        control=Control(("inside", "ESCAPED")),
    ),
    row(
        101,
        "look through frames and modules for secrets",
        FRAMES,
        says("secret: absent"),
        control=escapes("secret"),
    ),
    row(
        102,
        "hang at exit",
        "import atexit\natexit.register(time.sleep, 99)",
        stopped("seconds"),
        control=Control((), -15, seconds=0.7),
        limits=BRIEF,
    ),
    row(
        103,
        "a thread that does not end",
        "import threading\nthreading.Thread(target=time.sleep, args=(99,)).start()",
        stopped("seconds"),
        control=Control((), -15, seconds=0.7),
        limits=BRIEF,
    ),
    row(
        104,
        "raise Ctrl-C itself",
        "raise KeyboardInterrupt",
        Expect((), "turn 1, line 1: KeyboardInterrupt", status=130),
        control=Control((), -2),
    ),
    row(
        105,
        "source with a null character",
        "x = 1\0",
        Expect(
            (), "turn 1, line 1: (SyntaxError|ValueError): source code", status=1, told="a clean SyntaxError"
        ),
        control=no_control("a null character cannot be passed to a program on its command line"),
    ),
    row(
        106,
        "io_uring",
        "calls(io_uring_setup=(0, 0))",
        says("io_uring_setup: ENOSYS"),
        control=Control(("io_uring_setup: (EFAULT|EINVAL)",), lacks="io_uring_setup: (EPERM|ENOSYS)"),
    ),
    row(
        107,
        "bpf, perf, userfaultfd",
        "calls(bpf=(99999, 0, 0), perf_event_open=(1, 0, -1, -1, -1),\n"
        "      userfaultfd=(-1,), pidfd_getfd=(-1, 0, 0))",
        says("bpf: EPERM", "perf_event_open: EPERM", "userfaultfd: ENOSYS", "pidfd_getfd: EPERM"),
        control=Control(
            (
                *("bpf: (EINVAL|EFAULT)", "perf_event_open: (EINVAL|EFAULT|E2BIG|ENOSYS)"),
                *("userfaultfd: (EINVAL|ENOSYS)", "pidfd_getfd: (EBADF|EINVAL)"),
            ),
            root=True,
        ),
    ),
    row(
        108,
        "system calls of the 32-bit table",
        INT80,
        ends_with("turn 1: killed by SIGSYS", -31),
        control=escapes("call"),
        machine="x86_64",
    ),
    row(
        109,
        "system calls of the x32 table",
        "attempt('x32', call, 0x40000000 | 39)",
        says("x32: ENOSYS"),
        control=no_control("most kernels are built without it"),
        machine="x86_64",
    ),
    row(
        110,
        "clock, kernel log and host name",
        CLOCKS + RENAME,
        says(
            *(f"{name}: EPERM" for name in ("settimeofday", "clock_settime", "clock_adjtime", "adjtimex")),
            *("syslog: EPERM", "acct: EPERM", "hostname: (EROFS|EACCES)", "rename: EPERM"),
        ),
        control=Control(
            (
                *(
                    "settimeofday: EFAULT",
                    "clock_settime: EINVAL",
                    "clock_adjtime: (EINVAL|EFAULT)",
                    "adjtimex: EFAULT",
                ),
                *("(ESCAPED syslog|syslog: .*)", "acct: (EFAULT|ENOSYS)", "ESCAPED hostname"),
            ),
            code=CLOCKS,
            root=True,
        ),
    ),
    row(
        111,
        "kernel, modules, reboot, swap, quota",
        MACHINE_WIDE,
        says(*(f"{name}: EPERM" for name in WIDE_NAMES)),
        control=Control(
            tuple(f"{name}: (EINVAL|EFAULT|EBADF|ENOEXEC|ENOSYS)" for name in WIDE_NAMES), root=True
        ),
    ),
    row(
        112,
        "unmount what covers the host",
        "calls(umount2=(b'/no/such/folder', 2))\n"
        "attempt('nested', call, 'unshare', 0x10000000 | 0x20000)\n"
        "attempt('remount', call, 'mount', 0, b'/no', 0, 32, 0)",
        says("umount2: EPERM", "nested: EPERM", "remount: EPERM"),
        control=Control(("umount2: (ENOENT|EPERM)", "ESCAPED nested", "remount: ENOENT"), root=True),
    ),
)
