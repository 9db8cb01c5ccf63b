"""Thousands of runs, attacks among them: no resource may grow, and resumed runs must stay correct."""

import argparse
import faulthandler
import gc
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from mtchat.sandbox.checkpoints.snapshots import MOST_SNAPSHOTS
from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.guest.wire import STORE
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.monitor import list_children, list_descendants, read_numbers, sum_fields_kib
from mtchat.session.outcome import Outcome
from mtchat.session.program import PREAMBLE, Chunk, Program
from mtchat.session.settings import Limits
from tests.sandbox.battery.arms import words
from tests.sandbox.battery.bait import SECRET_NAME, Bait
from tests.sandbox.battery.leaks import PATIENCE_SECONDS, abandoned, described, resident_mib, subreaper
from tests.sandbox.battery.row import Row
from tests.sandbox.battery.rows import ROWS
from tests.sandbox.battery.tiers import tier
from tests.support.random_sessions import CHUNKS, grow

LIMITS = Limits(seconds=1.0, memory_mib=256, output_kib=64, disk_mib=16)
BRIEF_SECONDS, LONG_SECONDS, HANG_SECONDS = 0.3, 5.0, 30.0
KINDS = {
    **{"fresh": 25, "reduced": 10, "session": 40, "candidate": 9, "attack": 10},
    **{"forgery": 2, "deaf": 1, "interrupt": 3},
}
SESSION_RUNS, FEWEST_SIGHTS = 8, 5
MOST_PROCESSES = 1000
SLACK_MIB, SLACK = 5.0, 1.1
SANDBOX_MIB = LIMITS.memory_mib + 64.0  # the states together as much as one run, and their Python
ATTACKS = [row for row in ROWS if row.play is None and row.machine in ("", os.uname().machine)]
SPIN = "while True: pass"
# Known to differ in a sandbox that is kept: states are seen, a kill of all meets them, more may be forked.
DIFFERENT = {turn for row in ROWS if row.number in (8, 17, 21) for turn in row.turns}

# A program that finds the socket on which its process offers states, and speaks for it.
SPEAK = """\
import os, socket, stat, time
links = []
for number in range(3, 300):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            links.append(socket.socket(fileno=os.dup(number)))
    except OSError:
        pass
link = next((each for each in links if each.type == socket.SOCK_SEQPACKET), None)
def offer(index):
    link.send(b'step' + index.to_bytes(4, 'little') + b'\\0')
def answer():
    data, extras, _, _ = link.recvmsg(16, 100)
    return [int.from_bytes(each[2][:4], 'little') for each in extras]
"""
FORGERIES = {
    "descriptors with the answer": "offer({at})\nfor fd in answer():\n"
    "    socket.send_fds(socket.socket(fileno=fd), [b'held'], [0, 0, 0])\nanswer()",
    "descriptors with an offer": "socket.send_fds(link, [b'step'], [0, 0, 0])\nanswer()",
    "states without end": "while fds := (offer({at}), answer())[1]:\n"
    "    socket.socket(fileno=fds[0]).send(b'held')\n    answer()",
    "an offer and silence": "offer({at})\nanswer()\ntime.sleep(20)",
    "words without end": "while True:\n    link.send(b'busy')",
    "an offer while a child prints": "if os.fork() == 0:\n    while True:\n"
    "        os.write(1, b'x' * 65536)\noffer({at})\ntime.sleep(20)",
    "an offer while children grow": "for _ in range(6):\n    if os.fork() == 0:\n"
    "        grown = bytearray(b'x') * (100 << 20)\n        time.sleep(20)\noffer({at})\ntime.sleep(20)",
    "another state": "offer({at})\nstate = socket.socket(fileno=answer()[0])\nif os.fork() == 0:\n"
    "    state.send(b'held')\n    time.sleep(20)\n    state.send(b'held')\n    time.sleep(20)\nanswer()",
}


@dataclass(frozen=True)
class Sight:
    """What there was after a run: of this process beyond its start, and of the worker's sandbox."""

    run: int
    processes: int
    zombies: int
    descriptors: int
    files: int
    rss_mib: float
    states: int = 0
    copies: int = 0
    keeper: int = 0
    keeper_mib: float = 0.0
    sandbox_mib: float = 0.0

    def line(self) -> str:
        return (
            f"{self.run:6} {self.processes:6} {self.zombies:5} {self.descriptors:5} {self.files:6}"
            f" {self.rss_mib:9.1f} {self.states:7} {self.copies:7} {self.keeper:8} {self.keeper_mib:9.1f}"
            f" {self.sandbox_mib:8.1f}"
        )


HEADING = "   run procs zombies  fds  files   rss MiB  states  copies pid 1 fds pid 1 MiB  all MiB"


@dataclass
class Report:
    """What a soak saw; it failed when `failures` are not empty."""

    sights: list[Sight] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Bell:
    """Rings SIGINT once, some time after it is wound, unless the run is over by then."""

    def __init__(self) -> None:
        self.wound = False

    def heard(self, number: int, frame: FrameType | None) -> None:
        if self.wound:
            raise KeyboardInterrupt

    @contextmanager
    def after(self, seconds: float) -> Iterator[None]:
        self.wound = True
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            yield
        finally:
            self.wound = False
            timer.cancel()
            timer.join()


class Eye:
    """Looks at what is held, beyond what was held when it was opened."""

    def __init__(self, worker: Worker, bait: Bait) -> None:
        self.worker, self.bait = worker, bait
        self.warm_descriptors: int | None = None
        self.fds = 0
        self.known = self.files()
        self.fds = self.descriptors()

    def files(self) -> set[str]:
        ours = {f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if "mtchat" in name}
        runs = {name for name in abandoned() if f"/mtchat-{os.getpid()}-" in name}
        return {*os.listdir(tempfile.gettempdir()), *ours, *runs}

    def sandboxed(self) -> list[int]:
        """The processes of the worker's sandbox, the one that contains it first, pid 1 second."""
        warm = self.worker.sandbox
        return [] if warm is None else list_descendants(warm.process.pid, MOST_PROCESSES)

    def processes(self) -> tuple[list[int], list[int]]:
        """Processes that nobody should have left, and zombies. Orphans come to us, so none can hide."""
        everything = set(list_descendants(os.getpid(), MOST_PROCESSES)) - {os.getpid(), self.bait.victim.pid}
        zombies = [pid for pid in everything if zombie(pid) and not buried(pid)]
        return sorted(everything - set(self.sandboxed()) - set(zombies)), zombies

    def descriptors(self) -> int:
        """Those that are open, without what a sandbox that is kept and its states need."""
        warm = self.worker.sandbox
        count = len(os.listdir("/proc/self/fd")) - self.fds
        if warm is None:
            return count
        count -= 2 * len(self.worker.snapshots.alive)
        if self.warm_descriptors is None:
            self.warm_descriptors = count
        return count - self.warm_descriptors

    def left(self) -> list[str]:
        """What a run has left behind."""
        processes, zombies = self.processes()
        left = [f"process {described(pid)}" for pid in processes]
        left += [f"zombie {described(pid)}" for pid in zombies]
        left += [f"file {name}" for name in sorted(self.files() - self.known)]
        count = self.descriptors()
        left += [f"{count} descriptors"] if count else []
        left += self.left_inside()
        return left

    def left_inside(self) -> list[str]:
        """What the sandbox that is kept has beyond its states: bwrap and pid 1 are two more."""
        inside, states, warm = self.sandboxed(), self.worker.snapshots.alive, self.worker.sandbox
        if warm is None:
            return [f"{len(states)} states without a sandbox"] if states else []
        left = []
        if len(inside) > 2 + len(states):
            left.append(f"{len(inside)} processes for {len(states)} states")
        if warm.snapshot_pids != {each.pid for each in states.values()}:
            left.append(f"{len(warm.snapshot_pids)} states watched for {len(states)}")
        if len(states) > MOST_SNAPSHOTS or len(warm.saved) > len(states):
            left.append(f"{len(states)} states, {len(warm.saved)} copies of folders")
        return left

    def settled(self) -> list[str]:
        """What is still left after a moment."""
        until = time.monotonic() + PATIENCE_SECONDS
        while (left := self.left()) and time.monotonic() < until:
            time.sleep(0.01)
        return left

    def forgive(self) -> None:
        """Take what is there now as the start, so that each leak is told of once."""
        self.known = self.files()
        self.fds += self.descriptors()

    def sight(self, run: int) -> Sight:
        gc.collect()
        processes, zombies = self.processes()
        inside = self.sandboxed()
        return Sight(
            run,
            len(processes),
            len(zombies),
            self.descriptors(),
            len(self.files() - self.known),
            resident_mib(),
            len(self.worker.snapshots.alive),
            entries(inside[1], f"root{STORE}") if inside[1:] else 0,
            entries(inside[1], "fd") if inside[1:] else 0,
            sum(sum_fields_kib(pid, "status", ("RssAnon:",)) for pid in inside[1:2]) / 1024,
            sum(sum_fields_kib(pid, "smaps_rollup", ("Pss:",)) for pid in inside) / 1024,
        )


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def buried(pid: int) -> bool:
    """Bury pid 1 of a sandbox that came to us as the nearest reaper: elsewhere that is init's work."""
    if len(read_numbers(pid, "NSpid:")) < 2 or pid not in list_children(os.getpid()):
        return False
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def entries(pid: int, folder: str) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/{folder}"))
    except OSError:
        return 0


class Soak:
    """One soak: what is run next, and what is thought of how it ended."""

    def __init__(self, seed: int, worker: Worker, bait: Bait, bell: Bell, compare: int) -> None:
        self.chance, self.worker, self.bait, self.bell = random.Random(seed), worker, bait, bell
        self.compare = compare
        self.preamble = Chunk(PREAMBLE, words(bait))
        self.codes: list[str] = []
        self.past: list[list[str]] = [[]]
        self.worked = 0
        self.report = Report()
        self.deeds: dict[str, Callable[[], str]] = {
            "fresh": self.fresh,
            "reduced": self.reduced,
            "session": self.session,
            "candidate": self.candidate,
            "attack": self.attack,
            "forgery": self.forgery,
            "deaf": self.deaf,
            "interrupt": self.interrupt,
        }

    def step(self) -> str:
        """One run of some kind; what it was."""
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        self.report.counts[kind] += 1
        return f"{kind}: {self.deeds[kind]()}"

    def program(self, *codes: str) -> Program:
        return Program((self.preamble, *(Chunk(turn, code) for turn, code in enumerate(codes, start=1))))

    def fresh(self) -> str:
        row = self.chance.choice(ATTACKS)
        execute.run(self.program(*row.turns), shortened(row))
        return f"{row.number} {row.title}"

    def reduced(self) -> str:
        """In the second tier, where it works."""
        row, second = self.chance.choice(ATTACKS), tier("T2")
        if second.choice is not None and not row.t2.absent:
            second.run(self.program(*row.turns), shortened(row))
        return f"{row.number} {row.title}"

    def session(self) -> str:
        """A turn, an edit, an undo or another branch of a session, as users make them."""
        if len(self.past) > SESSION_RUNS:
            self.codes, self.past = [], [[]]
        self.codes = grow(self.codes, self.past, self.chance)
        self.past.append(self.codes)
        ended = self.work(self.codes)
        if not ended.ok and self.codes and self.chance.random() < 0.7:
            self.codes = self.codes[:-1]
        return repr(self.codes)

    def candidate(self) -> str:
        """A reply that is tried and not kept."""
        codes = [*self.codes, self.chance.choice(CHUNKS).format(n=self.chance.randint(1, 6))]
        self.work(codes, keep=False)
        return repr(codes)

    def attack(self) -> str:
        """A turn of the session that attacks; sometimes the session goes on after it."""
        row = self.chance.choice(ATTACKS)
        codes = [*self.codes, *row.turns]
        self.work(codes, keep=self.chance.random() < 0.7)
        if self.chance.random() < 0.3 and "seconds" not in row.t1.limit:
            self.codes = codes
            self.past.append(codes)
        return f"{row.number} {row.title}"

    def forgery(self) -> str:
        """A turn that offers states of its own; later turns may even go on from one."""
        name = self.chance.choice(list(FORGERIES))
        code = SPEAK + FORGERIES[name].format(at=len(self.codes) + 1)
        self.worker.run(self.program(*self.codes, code), LIMITS)
        if self.chance.random() < 0.5:
            self.worker.run(self.program(*self.codes, code, "print(1)"), LIMITS)
        return name

    def deaf(self) -> str:
        """Who hears the output fails, while the run goes on."""
        try:
            self.worker.run(self.program(*self.codes, "print(1, flush=True)", SPIN), LIMITS, on_output=refuse)
        except BrokenPipeError:
            return "raised"
        return "heard nothing"

    def interrupt(self) -> str:
        """Ctrl-C at some moment of a run that would not end."""
        program, seconds = self.program(*self.codes, SPIN), 0.4 * self.chance.random()
        try:
            with self.bell.after(seconds):
                if self.chance.random() < 0.3:
                    execute.run(program, LIMITS)
                else:
                    self.worker.run(program, LIMITS)
        except KeyboardInterrupt:
            self.report.counts["raised Ctrl-C"] += 1
        return f"after {seconds:.3f} s"

    def work(self, codes: list[str], keep: bool = True) -> Outcome:
        """A run of the worker; now and then it is compared with one from nothing."""
        program = self.program(*codes)
        ended = self.worker.run(program, LIMITS, keep=keep)
        self.worked += 1
        self.report.counts["turns resumed"] += ended.resumed
        if self.worked % self.compare == 0:
            self.judge(program, ended)
        return ended

    def judge(self, program: Program, ended: Outcome) -> None:
        """Where two runs from nothing differ from each other, nothing can be said."""
        if any(chunk.code in DIFFERENT for chunk in program.chunks):
            return
        true = execute.run(program, LIMITS)
        self.report.counts["compared"] += 1
        if told(ended) == told(true):
            return
        if told(execute.run(program, LIMITS)) != told(true):
            self.report.counts["unsteady"] += 1
            return
        text = "\n---\n".join(chunk.code for chunk in program.chunks[1:])
        self.report.failures.append(f"worker: {told(ended)}\nfresh:  {told(true)}\n{text}")


def refuse(name: str, text: str) -> None:
    raise BrokenPipeError("nobody is there")


def told(outcome: Outcome) -> tuple[str, str, int | None]:
    return outcome.stdout, outcome.error, outcome.exit_code


def shortened(row: Row) -> Limits:
    """The limits of a case, with little time where it needs all the time there is."""
    return replace(row.limits, seconds=BRIEF_SECONDS if "seconds" in row.t1.limit else LONG_SECONDS)


def soak(
    runs: int,
    seed: int = 0,
    *,
    every: int = 100,
    compare: int = 50,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Run so often and watch; `say` hears the table as it grows and each failure."""
    with ExitStack() as stack:
        bait = stack.enter_context(baited())
        bell = stack.enter_context(belled())
        execute.probe()
        tier("T2")
        worker = stack.enter_context(Worker())
        eye = Eye(worker, bait)
        one = Soak(seed, worker, bait, bell, compare)
        report = one.report
        say(HEADING)
        for run in range(1, runs + 1):
            watched(one, eye, run, say)
            if run % every == 0 or run == runs:
                report.sights.append(eye.sight(run))
                say(report.sights[-1].line())
        worker.close()
        report.failures += [f"after the end: {each}" for each in eye.settled()]
        report.failures += growth(report.sights)
        return report


def watched(one: Soak, eye: Eye, run: int, say: Callable[[str], None]) -> None:
    """One run, and whether it took too long, left something or touched the bait."""
    before, began = len(one.report.failures), time.monotonic()
    what = one.step()
    took = time.monotonic() - began
    left = eye.settled()
    left += [f"bait: {name}" for name in eye.bait.touched()]
    left += [f"took {took:.1f} s"] if took > HANG_SECONDS else []
    if left:
        one.report.failures.append(f"run {run} ({what}): {'; '.join(left)}")
        eye.forgive()
    for failure in one.report.failures[before:]:
        say(f"FAILED {failure}")


@contextmanager
def baited() -> Iterator[Bait]:
    """Bait, a secret in the environment and a temporary folder of our own; orphans come to us."""
    inherited, folder = os.environ.get("TMPDIR"), tempfile.tempdir
    with tempfile.TemporaryDirectory() as bag, ExitStack() as stack:
        os.chmod(bag, 0o755)
        places = [Path(bag, name) for name in ("bait", "temporary")]
        for place in places:
            place.mkdir()
        bait = Bait(places[0], stack)
        os.environ.update({"TMPDIR": str(places[1]), SECRET_NAME: bait.secret})
        tempfile.tempdir = None
        subreaper(True)
        try:
            yield bait
        finally:
            subreaper(False)
            del os.environ["TMPDIR"], os.environ[SECRET_NAME]
            os.environ.update({"TMPDIR": inherited} if inherited else {})
            tempfile.tempdir = folder


@contextmanager
def belled() -> Iterator[Bell]:
    """A bell whose SIGINT is heard only while it is wound."""
    bell = Bell()
    before = signal.signal(signal.SIGINT, bell.heard)
    try:
        yield bell
    finally:
        signal.signal(signal.SIGINT, before)


def growth(sights: list[Sight]) -> list[str]:
    """What is more in the last quarter of a soak than in its second quarter."""
    quarter = len(sights) // 4
    if not quarter:
        return []
    early, late = sights[quarter : 2 * quarter], sights[-quarter:]
    found = []
    for name in ("rss_mib", "keeper_mib"):
        before, after = (sum(getattr(each, name) for each in part) / quarter for part in (early, late))
        if after > before * SLACK + SLACK_MIB:
            found.append(f"{name} grew from {before:.1f} to {after:.1f}")
    before, after = (sum(each.states for each in part) / quarter for part in (early, late))
    if quarter >= FEWEST_SIGHTS and after < before / 4:
        found.append(f"states kept fell from {before:.1f} to {after:.1f}")
    if len({each.keeper for each in early + late if each.keeper}) > 1:
        found.append("pid 1 of the sandbox has more descriptors than before")
    if max(each.sandbox_mib for each in sights) > SANDBOX_MIB:
        found.append(f"the sandbox held more than {SANDBOX_MIB:.0f} MiB")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evals.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=100, help="runs per line of the table (default: 100)")
    parser.add_argument(
        "--compare",
        type=int,
        default=50,
        help="resumed runs between comparisons with a fresh run (default: 50)",
    )
    asked = parser.parse_args()
    if not execute.probe().ok:
        print(f"no sandbox works on this machine: {execute.probe().reason}")
        return 1
    faulthandler.register(signal.SIGUSR1)
    began = time.monotonic()
    report = soak(
        asked.runs,
        asked.seed,
        every=asked.every,
        compare=asked.compare,
        say=lambda line: print(line, flush=True),
    )
    print(f"{asked.runs} runs in {time.monotonic() - began:.0f} s: {dict(report.counts)}")
    print("\n".join(f"FAILED {each}" for each in report.failures) or "nothing grew, nothing differed")
    return bool(report.failures)


if __name__ == "__main__":
    sys.exit(main())
