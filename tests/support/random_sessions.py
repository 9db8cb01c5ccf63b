"""Programs that grow at random, turn by turn, for tests that compare resumed runs with fresh ones."""

import random

# Each may follow any other: what it needs and does not find is an error, which is an outcome too.
CHUNKS = [
    "x = {n}",
    "x = x + {n}\nprint(x)",
    "print('n', {n}, end='')",
    "print({n})\nprint()",
    "",
    "# nothing but a comment",
    "import random\nrandom.seed({n})\nseeded = True",
    "import random\nprint((random.random(), random.gauss(0, 1)) if seeded else 0)",
    "print(random.randint(0, 10 ** 9) if seeded else 0)",
    "import math\nprint(math.sqrt({n}))\ny = math.pi",
    "import json, collections\ncounts = collections.Counter('abca' * {n})\nprint(json.dumps(counts))",
    "counts['z'] += {n}",
    "items = list(range({n}))",
    "items.append(x)\nprint(items)",
    "def double(value):\n    return 2 * value\nprint(double({n}))",
    "print(double(x))",
    "class Thing:\n    count = {n}\n    def __repr__(self):\n"
    "        return f'Thing {{self.count}}'\nthing = Thing()",
    "thing.count += 1\nprint(thing)",
    "class Loud:\n    def __del__(self):\n        print('gone', {n})\nloud = Loud()",
    "loud = None",
    "def counter():\n    try:\n        yield from range({n})\n    finally:\n"
    "        print('closed')\nsteps = counter()",
    "print(next(steps))",
    "with open('notes.txt', 'a') as file:\n    file.write('line {n}\\n')",
    "print(open('notes.txt').read())",
    "import os\nos.remove('notes.txt')",
    "import os\nos.makedirs('deep/er', exist_ok=True)\nopen('deep/er/{n}.txt', 'w').write('x' * {n})",
    "import os\nprint(sorted(os.listdir('.')), len(os.listdir('/tmp')))",
    "import os\nos.chdir('deep')",
    "import os\nprint(os.getcwd())\nos.umask(0o07{n})",
    "import os\nos.environ['WORD'] = 'w{n}'",
    "import os\nprint(os.environ.get('WORD'))",
    "import tempfile\nprint(len(tempfile.mkdtemp()))",
    "log = open('log.txt', 'w')\nlog.write('first {n}')",
    "log.write('more')\nprint(log.tell())",
    "log.close()",
    "import sqlite3\nbase = sqlite3.connect('base.db')\nbase.execute('create table if not exists t (n)')",
    "base.execute('insert into t values ({n})')\nbase.commit()\n"
    "print(base.execute('select n from t').fetchall())",
    "import threading\nstop = threading.Event()\nwatcher = threading.Thread(target=stop.wait, args=[0.2])\n"
    "watcher.start()",
    "stop.set()\nwatcher.join()\nprint('joined')",
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1, stderr=-3)",
    "child.communicate(b'\\n')\nprint(child.returncode)",
    "import atexit\natexit.register(print, 'bye', {n})",
    "import sys\nprint('warned', {n}, file=sys.stderr)",
    "import sys\nsys.exit({n} % 3)",
    "raise ValueError('bad {n}')",
    "def broken(:",
    "from __future__ import annotations\ndef later(value: Missing) -> None: ...",
    "import signal\nsignal.signal(signal.SIGUSR1, lambda number, frame: print('signal', {n}))",
    "import signal, os\nos.kill(os.getpid(), signal.SIGUSR1)",
    "import sys\nsys.setrecursionlimit(2{n}0)\nprint(sys.getrecursionlimit())",
    "def depth(level=0):\n    try:\n        return depth(level + 1)\n    except RecursionError:\n"
    "        return level\nprint(depth() // 5)",
    "import mmap\nmemory = mmap.mmap(-1, 4096)\nmemory[0] = {n}",
    "memory[0] += 1\nprint(memory[0])",
    "import decimal\ndecimal.getcontext().prec = {n} + 1\nprint(decimal.Decimal(1) / 3)",
    "print(len([name for name in globals() if not name.startswith('_')]), __name__, __doc__)",
    "'a text {n}'\nprint(__doc__)",
    "import os\nos.write(1, b'raw {n}\\n')",
    "import io, sys\nsys.stdout = io.StringIO()",
    "import sys\nsys.stdout = sys.__stdout__\nprint('back')",
    "import numpy as np\na = np.arange({n} + 2).reshape(1, -1)\nprint(a @ a.T, np.__name__)",
    "np.random.seed({n})\nb = np.random.rand(2)",
    "print(b, np.random.rand())",
    "import os\nprint(os.getppid(), os.getsid(0) == os.getpid())\nprint(open('/dev/null').fileno())",
    "try:\n    os.wait()\nexcept ChildProcessError:\n    print('no children')",
    "import os\nos.symlink('notes.txt', 'link{n}')",
]


def grow(codes: list[str], past: list[list[str]], chance: random.Random) -> list[str]:
    """The next state of a program: mostly one more turn; or an edit, an undo, a return to another branch."""
    new = chance.choice(CHUNKS).format(n=chance.randint(1, 6))
    deed = chance.random()
    if deed < 0.55 or not codes:
        return [*codes, new]
    if deed < 0.75:
        at = chance.randrange(len(codes))
        return [*codes[:at], new, *codes[at + 1 :]]
    if deed < 0.9:
        return codes[: chance.randint(1, len(codes))]
    return chance.choice(past)
