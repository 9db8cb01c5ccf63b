"""Cases 1-14: what a program could learn of the host."""

from mtchat.sandbox.host.interpreter import make_environment
from tests.sandbox.battery.hosted import project_around_the_environment
from tests.sandbox.battery.row import Control, Row, escapes, played, row, says

NAMES = " ".join(sorted({*make_environment("/work"), "PWD"}))

# What is listed besides the way to Python itself.
HOMES = """\
def beside(folder):
    ways = (sys.prefix, sys.base_prefix, sys.executable)
    leads = {name for name in os.listdir(folder) for way in ways if way.startswith(f'{folder}/{name}')}
    if not set(os.listdir(folder)) - leads:
        raise FileNotFoundError(errno.ENOENT, 'nothing')
for name in (bait.home, '/home', '/root'):
    attempt('list', beside, name)
print('home is work' if os.environ['HOME'] == os.getcwd() else 'home is elsewhere')
"""

ENVIRONMENT = """\
print('ESCAPED secret' if bait.variable in os.environ else 'secret: absent')
print('names:', *sorted(os.environ))
"""

PIDS = """\
def see():
    found = [name for name in os.listdir('/proc') if name.isdecimal()]
    print('ESCAPED pids' if str(bait.victim) in found else f'pids: {len(found)}')

try:
    see()
except OSError as error:
    print('pids:', errno.errorcode[error.errno])
"""

KERNEL = """\
try:
    print('ESCAPED addresses' if set(open('/proc/kallsyms').read(16)) - {'0'} else 'addresses: zeros')
except OSError as error:
    print('addresses:', errno.errorcode[error.errno])
attempt('memory', os.open, '/proc/kcore', os.O_RDONLY)
"""

SOCKETS = """\
import socket
known = ('/run/docker.sock', '/run/dbus/system_bus_socket', '/tmp/.X11-unix', bait.stream)
print('ESCAPED sight' if any(map(os.path.exists, known)) else 'sight: none')
attempt('use', lambda: socket.socket(socket.AF_UNIX).connect(bait.stream))
"""

DESCRIPTORS = """\
import subprocess
look = '''
import os
def held(most):
    for number in range(3, most):
        try:
            yield number, os.fstat(number).st_ino
        except OSError:
            continue
'''
exec(look)
most = max(1024, bait.handle + 1)
print('ESCAPED key' if bait.inode in [inode for _, inode in held(most)] else 'key: absent')
show = f'for number, _ in held({most}): print(number)'
anew = [sys.executable, '-I', '-S', '-c', look + show]
told = subprocess.run(anew, close_fds=False, capture_output=True, text=True)
print('started anew:', *told.stdout.split(), told.stderr[-300:])
"""

ROWS: tuple[Row, ...] = (
    row(
        1,
        "read /etc/shadow",
        "attempt('shadow', open, '/etc/shadow')",
        says("shadow: ENOENT"),
        says("shadow: EACCES"),
        control=escapes("shadow", root=True),
    ),
    row(
        2,
        "read /etc/passwd",
        "try:\n"
        "    names = [line.split(':')[0] for line in open('/etc/passwd')]\n"
        "    print('ESCAPED accounts' if 'daemon' in names else 'accounts: synthetic')\n"
        "except OSError as error:\n    print('accounts:', errno.errorcode[error.errno])",
        says("accounts: synthetic"),
        says("accounts: EACCES"),
        control=escapes("accounts", lacks="accounts: .*"),
    ),
    row(
        3,
        "read a key file",
        "attempt('key', open, bait.key)",
        says("key: ENOENT"),
        says("key: EACCES"),
        control=escapes("key"),
    ),
    row(
        4,
        "list the homes",
        HOMES,
        says("list: ENOENT", "list: ENOENT", "list: (ENOENT|EACCES)", "home is work"),
        says("list: EACCES", "list: EACCES", "list: EACCES", "home is work"),
        control=Control(("ESCAPED list", "(ESCAPED )?list.*", "(ESCAPED )?list.*", "home is elsewhere")),
    ),
    row(
        5,
        "secrets of the environment",
        ENVIRONMENT,
        says("secret: absent", f"names: {NAMES}", told="only our own names"),
        says("secret: absent", "names: [A-Z_ ]+", told="only our own names"),
        control=Control(("ESCAPED secret", "names: .*")),
    ),
    row(
        6,
        "the parent's environment",
        "attempt('environ', lambda: open(f'/proc/{os.getppid()}/environ').read(1))",
        says("environ: EACCES"),
        control=escapes("environ"),
    ),
    row(
        7,
        "descriptors and command line of pid 1",
        "attempt('fds', os.listdir, '/proc/1/fd')\n"
        "attempt('memory map', lambda: open('/proc/1/maps').read(1))",
        says("fds: EACCES", "memory map: EACCES"),
        control=Control(("ESCAPED fds", "(ESCAPED memory map|memory map: EACCES)"), root=True),
    ),
    row(
        8,
        "see the host's processes",
        PIDS,
        says(r"pids: [23]", told="its own only"),
        says("pids: EACCES"),
        control=escapes("pids"),
    ),
    row(
        9,
        "/sys and the control groups",
        "attempt('sys', os.listdir, '/sys')\nattempt('cgroup', os.listdir, '/sys/fs/cgroup')",
        says("sys: ENOENT", "cgroup: ENOENT"),
        says("sys: EACCES", "cgroup: EACCES"),
        control=escapes("sys", "cgroup", lacks=".*: ENOENT"),
    ),
    row(
        10,
        "addresses and memory of the kernel",
        KERNEL,
        says("addresses: zeros", "memory: (EACCES|EPERM|ENOENT)"),
        says("addresses: EACCES", "memory: (EACCES|ENOENT)"),
        control=Control(
            ("ESCAPED addresses", "(ESCAPED memory|memory: ENOENT)"),
            root=True,
            lacks=".*: (zeros|ENOENT|EPERM)",
        ),
        residual="kernel version, CPU and mount sources are visible",
    ),
    row(
        11,
        "sockets of docker, dbus, X11",
        SOCKETS,
        says("sight: none", "use: ENOENT"),
        says("(ESCAPED )?sight.*", "use: EPERM", told="may see them, use: EPERM"),
        control=escapes("sight", "use", touches=frozenset({"unix listener"})),
    ),
    row(
        12,
        "inherited descriptors",
        DESCRIPTORS,
        says("key: absent", "started anew: ", told="none of the host's, none in a new program"),
        control=Control(("ESCAPED key", r"started anew: \d+ ")),
    ),
    played(
        13,
        "a project around its environment",
        project_around_the_environment,
        "ENOENT",
        "EACCES",
        without="the file is made for the case and is read by the host",
    ),
    row(
        14,
        "who the host is",
        "import socket\n"
        "print('ESCAPED host' if socket.gethostname() == bait.host else 'host: sbx')\n"
        "attempt('machine', open, '/etc/machine-id')",
        says("host: sbx", "machine: ENOENT"),
        says("(ESCAPED host|host: sbx)", "machine: EACCES", told="host name visible, machine: EACCES"),
        control=Control(("ESCAPED host", "(ESCAPED machine|machine: ENOENT)")),
        residual="tier 2 shows the host's name",
    ),
)
