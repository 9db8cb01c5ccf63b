"""Cases 32-45: ways to talk to the host, to the world, or to other processes."""

from tests.sandbox.battery.row import Control, Row, escapes, no_control, row, says

UDP = """\
import socket
def send():
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect(('127.0.0.1', bait.udp))
    for _ in range(3):
        link.send(b'x')
        time.sleep(0.05)
attempt('udp', send)
"""

FAMILIES = """\
import socket
for name, words in dict(netlink=(16, 3, 0), packet=(17, 3, 0), raw=(2, 3, 1), crypto=(38, 5, 0)).items():
    attempt(name, socket.socket, *words)
"""

KEYS = """\
PROCESS_KEYRING, GET_ID = -2, 0
calls(
    add_key=(b'user', b'mtchat', b'y', 1, PROCESS_KEYRING),
    keyctl=(GET_ID, PROCESS_KEYRING, 1),
    request_key=(0, 0, 0, 0),
)
"""

IPC = """\
CREATE = 0o1600
calls(
    shmget=(bait.number, 4096, CREATE), msgget=(bait.number, 0), semget=(bait.number, 1, 0),
    mq_open=(0, 0, 0, 0),
)
"""

NAMES = ("netlink", "packet", "raw", "crypto")
TAKES_STREAM = frozenset({"unix listener"})
TAKES_DATAGRAM = frozenset({"unix datagram listener"})

ROWS: tuple[Row, ...] = (
    row(
        32,
        "TCP to the host's loopback",
        "import socket\nattempt('tcp', socket.create_connection, ('127.0.0.1', bait.port), 2)",
        says("tcp: ECONNREFUSED"),
        says("tcp: EPERM"),
        control=escapes("tcp", touches=frozenset({"TCP listener"})),
    ),
    row(
        33,
        "TCP to the internet",
        "import socket\nattempt('tcp', socket.create_connection, ('192.0.2.1', 80), 2)",
        says("tcp: ENETUNREACH"),
        says("tcp: EPERM"),
        control=no_control("it would need a network"),
    ),
    row(
        34,
        "MPTCP around Landlock",
        "import socket\nattempt('mptcp', lambda: socket.socket(2, 1, 262).connect(('127.0.0.1', bait.port)))",
        says("mptcp: (ECONNREFUSED|EPROTONOSUPPORT|ENOPROTOOPT)"),
        says("mptcp: EPERM"),
        control=escapes("mptcp", touches=frozenset({"TCP listener"}), lacks="mptcp: E.*PROTO.*"),
    ),
    row(
        35,
        "UDP to the host's loopback",
        UDP,
        says("udp: ECONNREFUSED"),
        says("udp: EPERM"),
        control=escapes("udp", touches=frozenset({"UDP listener"})),
    ),
    row(
        36,
        "look up a name",
        "import socket\nattempt('dns', socket.getaddrinfo, 'example.com', 80)",
        says("dns: gaierror"),
        control=no_control("it would ask the network"),
    ),
    row(
        37,
        "unix socket by path",
        "import socket\nattempt('connect', lambda: socket.socket(socket.AF_UNIX).connect(bait.stream))",
        says("connect: ENOENT"),
        says("connect: EPERM"),
        control=escapes("connect", touches=TAKES_STREAM),
    ),
    row(
        38,
        "unix datagram by sendmsg with a path",
        "import socket\nattempt('sendmsg', lambda:\n"
        "    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, bait.dgram))",
        says("sendmsg: ENOENT"),
        says("sendmsg: EPERM"),
        control=escapes("sendmsg", touches=TAKES_DATAGRAM),
    ),
    row(
        39,
        "the same from a pair of sockets",
        "import socket\nattempt('pair', lambda:\n"
        "    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendmsg([b'x'], [], 0, bait.dgram))",
        says("pair: ENOENT"),
        says("pair: EPERM"),
        control=escapes("pair", touches=TAKES_DATAGRAM),
    ),
    row(
        40,
        "abstract unix socket",
        "import socket\nattempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect(bait.abstract))",
        says("abstract: ECONNREFUSED"),
        says("abstract: EPERM"),
        control=escapes("abstract", touches=frozenset({"abstract listener"})),
    ),
    row(
        41,
        "vsock to the host of a virtual machine",
        "import socket\nattempt('vsock', socket.socket, 40, socket.SOCK_STREAM)",
        says("vsock: EAFNOSUPPORT"),
        says("vsock: EPERM"),
        control=escapes("vsock", lacks="vsock: EAFNOSUPPORT"),
    ),
    row(
        42,
        "netlink, packet, raw and crypto sockets",
        FAMILIES,
        says("netlink: EAFNOSUPPORT", "packet: EAFNOSUPPORT", "raw: EPERM", "crypto: EAFNOSUPPORT"),
        says(*(f"{name}: EPERM" for name in NAMES)),
        control=Control(
            (
                *("ESCAPED netlink", "(ESCAPED packet|packet: EAFNOSUPPORT)"),
                *("ESCAPED raw", "(ESCAPED crypto|crypto: EAFNOSUPPORT)"),
            ),
            root=True,
        ),
    ),
    row(
        43,
        "smuggle through the kernel's keyrings",
        KEYS,
        says("add_key: EPERM", "keyctl: EPERM", "request_key: EPERM"),
        control=Control(
            ("ESCAPED add_key", "ESCAPED keyctl", "request_key: EFAULT"), lacks="add_key: ENOSYS"
        ),
    ),
    row(
        44,
        "System V and POSIX messages",
        IPC,
        says("shmget: EPERM", "msgget: EPERM", "semget: EPERM", "mq_open: EPERM"),
        control=Control(
            ("ESCAPED shmget", "msgget: ENOENT", "semget: ENOENT", "mq_open: EFAULT"),
            touches=frozenset({"shared memory"}),
        ),
    ),
    row(
        45,
        "leave word in /dev/shm",
        "for folder in ('/dev/shm', '/tmp', '/var/tmp'):\n"
        "    effort(folder, lambda: open(f'{folder}/{bait.mark}', 'w').close())",
        says("/dev/shm: done", "/tmp: done", "/var/tmp: ENOENT", told="private"),
        says("/dev/shm: EACCES", "/tmp: EACCES", "/var/tmp: EACCES"),
        control=Control(
            ("/dev/shm: done", "/tmp: done", "/var/tmp: .*"), touches=frozenset({"shared folders"})
        ),
    ),
)
