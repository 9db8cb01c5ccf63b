"""Cases 15-31: what a program could do to other processes, and what its own could do to the host."""

from dataclasses import replace

from tests.sandbox.battery.hosted import dies_with_its_host
from tests.sandbox.battery.row import (
    BRIEF,
    Control,
    Expect,
    Row,
    escapes,
    no_control,
    played,
    row,
    says,
    stopped,
)

KILL = """\
import signal
def by_descriptor():
    signal.pidfd_send_signal(os.pidfd_open(bait.victim), 0)
attempt('pidfd', by_descriptor)
attempt('kill', os.kill, bait.victim, 9)
"""

KILL_PARENT = """\
try:
    os.kill(os.getppid(), 9)
except OSError as error:
    print('kill:', errno.errorcode[error.errno])
else:
    print('kill: ignored')
time.sleep(0.1)
print('alive')
"""

PARENT_OF_ITS_OWN = """\
if os.fork() == 0:
    os.kill(os.getppid(), 9)
    os._exit(0)
time.sleep(5)
print('alive')
"""

# The second kill is for all processes in reach; only where the first one is refused is it tried at all.
KILL_ALL = """\
try:
    os.kill(bait.victim, 0)
except OSError:
    try:
        os.kill(-1, 9)
    except OSError as error:
        print('all:', errno.errorcode[error.errno])
    else:
        print('all: none of the host')
else:
    print('ESCAPED victim')
"""

FORKS = """\
import signal
count, refused = 0, ''
while count < 150 and not refused:
    try:
        if os.fork() == 0:
            signal.pause()
        count += 1
    except OSError as error:
        refused = errno.errorcode[error.errno]
print('ESCAPED forks' if count > 70 else f'forks: {refused}')
"""
# The bomb itself, only where the count before it met the limit.
BOMB = """\
while refused:
    try:
        os.fork()
    except OSError:
        pass
"""
EIGHTY = """\
pids = []
for _ in range(80):
    pid = os.fork()
    if pid == 0:
        time.sleep(1)
        os._exit(0)
    pids.append(pid)
print('ESCAPED forks' if len(pids) == 80 else 'few')
for pid in pids:
    os.waitpid(pid, 0)
"""

THREADS = """\
import threading
def start():
    for _ in range(COUNT):
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
attempt('threads', start)
"""

ZOMBIES = """\
pids = [os.fork() or os._exit(0) for _ in range(40)]
print(len(pids), 'zombies')
"""

DAEMON = """\
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (0, 1, 2):
            os.close(number)
        os.write(write, b'x')
        time.sleep(30)
    os._exit(0)
os.wait()
os.read(read, 1)
print('daemon is up')
"""

IGNORE = """\
import signal
for number in {*range(1, 32)} - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
print('ignoring', flush=True)
while True:
    pass
"""

RAISE = """\
import resource
infinite = resource.RLIM_INFINITY
for name in ('NOFILE', 'NPROC', 'DATA'):
    number = getattr(resource, 'RLIMIT_' + name)
    hard = resource.getrlimit(number)[1]
    more = hard + 1 if name == 'NOFILE' else infinite
    attempt(name, resource.setrlimit, number, (more, more))
"""

SCHEDULING = """\
attempt('nice', os.nice, -5)
attempt('real time', os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
"""

SPARED = """\
def spare():
    with open('/proc/self/oom_score_adj', 'w') as file:
        file.write('-1000')
effort('oom', spare)
"""


def soon(outcome: object) -> None:
    assert outcome.seconds < 12  # type: ignore[attr-defined]


ROWS: tuple[Row, ...] = (
    row(
        15,
        "kill a process of the host",
        KILL,
        says("pidfd: ESRCH", "kill: ESRCH"),
        says("pidfd: EPERM", "kill: EPERM"),
        control=escapes("pidfd", "kill", touches=frozenset({"victim process"})),
    ),
    row(
        16,
        "kill its parent",
        KILL_PARENT,
        says("kill: ignored", "alive"),
        says("kill: EPERM", "alive"),
        control=Control((), -9, code=PARENT_OF_ITS_OWN),
    ),
    row(
        17,
        "kill everything",
        KILL_ALL,
        says("all: ESRCH"),
        says("all: (ESRCH|none of the host)"),
        control=escapes("victim"),
    ),
    row(
        18,
        "attach a debugger",
        "PTRACE_SEIZE = 0x4206\nattempt('seize', call, 'ptrace', PTRACE_SEIZE, bait.victim, 0, 0)",
        says("seize: EPERM"),
        control=escapes("seize"),
    ),
    row(
        19,
        "read another process's memory",
        "calls(process_vm_readv=(bait.victim, 0, 0, 0, 0, 0),\n"
        "      process_vm_writev=(bait.victim, 0, 0, 0, 0, 0),\n"
        "      kcmp=(bait.victim, bait.victim, 1, 0, 0))",
        says("process_vm_readv: EPERM", "process_vm_writev: EPERM", "kcmp: EPERM"),
        control=Control(
            ("ESCAPED process_vm_readv", "ESCAPED process_vm_writev", "(ESCAPED kcmp|kcmp: ENOSYS)")
        ),
    ),
    row(
        20,
        "patch pid 1",
        "attempt('patch', os.open, '/proc/1/mem', os.O_RDWR)\n"
        "attempt('parent', os.open, f'/proc/{os.getppid()}/mem', os.O_RDWR)",
        says("patch: EACCES", "parent: EACCES"),
        control=Control(("(ESCAPED patch|patch: EACCES)", "ESCAPED parent")),
    ),
    replace(
        row(
            21,
            "fork bomb",
            FORKS,
            Expect(
                ("forks: EAGAIN",),
                ".*stopped",
                "(seconds|processes)",
                -9,
                told="EAGAIN, then killed at a limit",
            ),
            control=Control(("ESCAPED forks",), code=EIGHTY),
            limits=BRIEF,
        ),
        turns=(FORKS, BOMB),
    ),
    row(
        22,
        "thread bomb",
        THREADS.replace("COUNT", "400"),
        says("threads: RuntimeError"),
        control=escapes("threads", code=THREADS.replace("COUNT", "100")),
    ),
    row(
        23,
        "zombies",
        ZOMBIES,
        says("40 zombies", told="reaped"),
        control=no_control("zombies end with their parent on a bare host too"),
    ),
    row(
        24,
        "a daemon by double fork",
        DAEMON,
        says("daemon is up", check=soon, told="dead when the run ends"),
        control=Control(("daemon is up",), survivors=1),
    ),
    row(
        25,
        "a child holds the output pipe",
        "if os.fork() == 0:\n    time.sleep(30)\n    os._exit(0)\nprint('end')",
        says("end", check=soon, told="ends with the program"),
        control=Control(("end",), None, seconds=3.0),
    ),
    row(
        26,
        "ignore every signal",
        IGNORE,
        stopped("seconds", "ignoring", told="killed at the wall limit"),
        control=Control(("ignoring",), None, seconds=3.0),
        limits=BRIEF,
    ),
    row(
        27,
        "stop itself",
        "os.kill(os.getpid(), 19)",
        stopped("seconds"),
        control=Control((), None, seconds=0.7),
        limits=BRIEF,
    ),
    played(
        28,
        "the process that started the run is killed",
        dies_with_its_host,
        "nothing stays",
        without="a child that outlives its parent is what a bare host does",
    ),
    row(
        29,
        "raise its own limits",
        RAISE,
        says(*(f"{name}: ValueError" for name in ("NOFILE", "NPROC", "DATA"))),
        control=Control(("(ESCAPED )?NOFILE.*", "(ESCAPED )?NPROC.*", "ESCAPED DATA")),
    ),
    row(
        30,
        "take precedence",
        SCHEDULING,
        says("nice: EPERM", "real time: EPERM"),
        control=escapes("nice", "real time", root=True),
    ),
    row(
        31,
        "be spared when memory runs out",
        SPARED,
        says("oom: (done|EACCES)", told="refused, or harmless within the memory limit"),
        says("oom: EACCES"),
        control=Control(("oom: done",), root=True, lacks="oom: EACCES"),
        residual="with a user namespace the score may be lowered again to what the host's process has",
    ),
)
