"""Ordinary programs that must go on working, and what tier 2 is known to refuse them."""

from tests.sandbox.battery.row import Work

NO_SOCKETS = "turn [12], line \\d+: (PermissionError|socket.gaierror): .*"
NO_SHARED_MEMORY = "turn [12], line \\d+: PermissionError: .*"
NO_TERMINALS = ".*OSError: out of pty devices"

WORKS: tuple[Work, ...] = (
    Work(
        "sqlite with a write-ahead log",
        (
            "import sqlite3\ndb = sqlite3.connect('a.db')\n"
            "print(*db.execute('pragma journal_mode=wal').fetchone())",
            "db.execute('create table t (x)')\ndb.execute('insert into t values (1)')\ndb.commit()\n"
            "print(sqlite3.connect('a.db').execute('select count(*) from t').fetchone())",
        ),
        "(1,)",
    ),
    Work(
        "temporary files",
        (
            "import tempfile\nwith tempfile.NamedTemporaryFile() as file:\n"
            "    file.write(b'x')\n    print(file.tell())",
        ),
        "1",
    ),
    Work(
        "a pool of processes",
        (
            "from concurrent.futures import ProcessPoolExecutor\ndef f(x):\n    return x * x",
            "if __name__ == '__main__':\n    with ProcessPoolExecutor(2) as pool:\n"
            "        print([*pool.map(f, range(3))])",
        ),
        "[0, 1, 4]",
        NO_SHARED_MEMORY,
    ),
    Work(
        "a manager of multiprocessing",
        (
            "from multiprocessing import Manager\nif __name__ == '__main__':\n"
            "    with Manager() as manager:\n        print(manager.list([1, 2]))",
        ),
        "[1, 2]",
        ".*",
    ),
    Work(
        "shared memory",
        (
            "from multiprocessing.shared_memory import SharedMemory\nm = SharedMemory(create=True, size=9)",
            "m.buf[0] = 7\nprint(m.buf[0])\nm.close()\nm.unlink()",
        ),
        "7",
        NO_SHARED_MEMORY,
    ),
    Work(
        "a process of asyncio",
        (
            "import asyncio\nasync def main():\n"
            "    child = await asyncio.create_subprocess_exec('echo', 'hi')\n"
            "    await child.wait()\nasyncio.run(main())",
        ),
        "hi",
    ),
    Work(
        "a web server on loopback",
        (
            "import threading, urllib.request\nfrom http.server import BaseHTTPRequestHandler, HTTPServer\n"
            "class Hello(BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n"
            "        self.end_headers()\n        self.wfile.write(b'hello')\n"
            "    def log_message(self, *_): pass",
            "server = HTTPServer(('localhost', 0), Hello)\n"
            "threading.Thread(target=server.serve_forever, daemon=True).start()\n"
            "print(urllib.request.urlopen(f'http://localhost:{server.server_port}').read())\nserver.shutdown()\n"
            "server.server_close()",
        ),
        "b'hello'",
        NO_SOCKETS,
    ),
    Work("time zones", ("import zoneinfo\nprint(zoneinfo.ZoneInfo('Europe/Berlin'))",), "Europe/Berlin"),
    Work(
        "a context of ssl", ("import ssl\nprint(type(ssl.create_default_context()).__name__)",), "SSLContext"
    ),
    Work(
        "a terminal of its own",
        (
            "import os, pty\nhost, own = pty.openpty()\n"
            "os.write(own, b'x')\nprint(os.read(host, 9), os.isatty(own))",
        ),
        "b'x' True",
        NO_TERMINALS,
    ),
    Work(
        "threads",
        (
            "from concurrent.futures import ThreadPoolExecutor",
            "with ThreadPoolExecutor(8) as pool:\n    print(sum(pool.map(abs, range(100))))",
        ),
        "4950",
    ),
    Work(
        "a figure saved by matplotlib",
        (
            "import matplotlib.pyplot as plt\nplt.plot([1, 2])",
            "plt.savefig('mine.png')\nprint(open('mine.png', 'rb').read(4))",
        ),
        r"b'\x89PNG'",
    ),
    Work("the user's name", ("import getpass\nprint(getpass.getuser())",), "user"),
    Work(
        "the name localhost",
        ("import socket\nprint(socket.gethostbyname('localhost'))",),
        "127.0.0.1",
        NO_SOCKETS,
    ),
)
