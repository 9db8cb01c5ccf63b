"""What a case of the battery says: the attack, how it ends in each tier, and how it ends without any."""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program
from mtchat.session.settings import Limits
from tests.sandbox.battery.bait import Bait
from tests.sandbox.battery.tiers import Tier

LIMITS = Limits(seconds=15.0, memory_mib=256, output_kib=64, disk_mib=16)
BRIEF = Limits(seconds=1.0, memory_mib=256, output_kib=64, disk_mib=16)
TIGHT = Limits(seconds=15.0, memory_mib=128, output_kib=64, disk_mib=16)
ESCAPED = "ESCAPED"


@dataclass(frozen=True)
class Arena:
    """What a case that is a function gets: the tier it is about, the bait, and a folder of its own."""

    tier: Tier
    bait: Bait
    folder: Path

    def play(
        self, *turns: str, limits: Limits = LIMITS, collect: Path | None = None, words: str = ""
    ) -> Outcome:
        """Run turns in the tier, after the words that every attack begins with."""
        first = (Chunk(0, words),) if words else ()
        chunks = (Chunk(number, turn) for number, turn in enumerate(turns, start=1))
        return self.tier.run(Program((*first, *chunks)), limits, collect)


@dataclass(frozen=True)
class Expect:
    """How a contained attack ends. `says` are patterns of the lines it prints, `error` one of the error's
    beginning; `absent` says why a tier has no such case, `hole` why it is known to fail here.

    `status` is the exit code, or minus the signal that ended it; None where it does not matter.
    """

    says: tuple[str, ...] = ()
    error: str = ""
    limit: str = ""
    status: int | None = 0
    check: Callable[[Outcome], None] | None = None
    told: str = ""
    absent: str = ""
    hole: str = ""

    def hold(self, outcome: Outcome) -> None:
        """Assert that a run ended just so."""
        printed = outcome.stdout.splitlines()
        told = f"printed {printed[:20]}, error {outcome.error!r}, stderr {outcome.stderr[-500:]!r}"
        assert matches(self.says, printed), told
        assert re.match(self.error, outcome.error) if self.error else not outcome.error, told
        ended = -outcome.signal if outcome.signal is not None else outcome.exit_code
        assert re.fullmatch(self.limit, outcome.limit), told
        if self.status is not None:
            assert ended == self.status, f"ended with {ended}; {told}"
        if self.check is not None:
            self.check(outcome)

    @property
    def short(self) -> str:
        """What a table says of it."""
        if self.absent:
            return f"no such case: {self.absent}"
        if self.told:
            return self.told
        ends = [plain(line.rpartition(": ")[2]) for line in self.says]
        if self.limit:
            ends.append(f"limit: {plain(self.limit)}")
        if self.error and not self.limit and (self.status or 0) >= 0:
            ends.append(plain(self.error.rpartition(": ")[2]))
        if self.status is not None and self.status < 0 and not self.limit:
            ends.append(signal.Signals(-self.status).name)
        return ", ".join(dict.fromkeys(end for end in ends if end))


@dataclass(frozen=True)
class Control:
    """The same attack with the layer absent; `touches` names the bait that it takes, `survivors` counts the
    processes that outlive it. `status` None: only a kill ended it.

    `code` replaces an attack that would do harm by one that is bounded; `lacks` matches what it says on a
    host that has no such thing; `root` needs root to succeed. `without` says why there is no control.
    """

    says: tuple[str, ...] = ()
    status: int | None = 0
    touches: frozenset[str] = frozenset()
    survivors: int = 0
    code: str = ""
    check: Callable[[Path], None] | None = None
    lacks: str = ""
    root: bool = False
    without: str = ""
    seconds: float = 10.0

    @property
    def short(self) -> str:
        """What a table says of it."""
        if self.without:
            return f"n: {self.without}"
        ends = ["escapes" if any(ESCAPED in line for line in self.says) else ""]
        ends += [f"takes the {name}" for name in sorted(self.touches)]
        ends += [f"leaves {self.survivors} process"] if self.survivors else []
        ends += ["ends only when killed"] if self.status is None else []
        ends += [f"ended by {signal.Signals(-self.status).name}"] if (self.status or 0) < 0 else []
        ends += [f"exit code {self.status}"] if (self.status or 0) > 0 else []
        answered = any(re.search(r": \(?E[A-Z]", line) for line in self.says)
        ends += [] if any(ends) else ["reaches the kernel" if answered else "takes effect"]
        where = " (bounded)" if self.code else ""
        return ", ".join(end for end in ends if end) + where + (", as root" if self.root else "")


@dataclass(frozen=True)
class Row:
    """One case: `turns` are the attack's code, or `play` is a function where code alone cannot tell it."""

    number: int
    title: str
    turns: tuple[str, ...]
    t1: Expect
    t2: Expect
    control: Control
    limits: Limits = LIMITS
    residual: str = ""
    machine: str = ""
    play: Callable[[Arena], None] | None = None

    def expected(self, tier: Tier) -> Expect:
        return self.t1 if tier.name == "T1" else self.t2

    def __str__(self) -> str:
        return f"{self.number:03}"


@dataclass(frozen=True)
class Work:
    """An ordinary program that a sandbox must let be; `t2` is the error it is known to get in tier 2."""

    title: str
    turns: tuple[str, ...]
    said: str
    t2: str = ""

    def __str__(self) -> str:
        return self.title.replace(" ", "-")


def row(
    number: int,
    title: str,
    attack: str,
    t1: Expect,
    t2: Expect | None = None,
    *,
    control: Control,
    **more: object,
) -> Row:
    """A row whose attack is one turn; without a `t2` both tiers expect the same."""
    return Row(number, title, (attack,), t1, t2 or t1, control, **more)  # type: ignore[arg-type]


def played(
    number: int,
    title: str,
    play: Callable[[Arena], None],
    t1: str,
    t2: str = "",
    *,
    without: str,
    **more: object,
) -> Row:
    """A row that is a function; `t1` and `t2` say what it asserts."""
    ours, reduced = Expect(told=t1), Expect(told=t2 or t1)
    return Row(number, title, (), ours, reduced, Control(without=without), play=play, **more)  # type: ignore[arg-type]


def says(*lines: str, **more: object) -> Expect:
    return Expect(lines, **more)  # type: ignore[arg-type]


def stopped(limit: str, *lines: str, **more: object) -> Expect:
    """The supervisor's kill at a limit."""
    return Expect(lines, error=".*stopped", limit=limit, status=-signal.SIGKILL, **more)  # type: ignore[arg-type]


def raises(error: str, *lines: str, **more: object) -> Expect:
    """An exception that the program did not catch."""
    return Expect(lines, error=f"turn 1(, line \\d+)?: {error}", status=1, **more)  # type: ignore[arg-type]


def absent(why: str) -> Expect:
    return Expect(absent=why)


def escapes(*names: str, **more: object) -> Control:
    """A control arm in which attempts of these names succeed."""
    return Control(tuple(f"{ESCAPED} {name}" for name in names), **more)  # type: ignore[arg-type]


def no_control(why: str) -> Control:
    return Control(without=why)


def matches(patterns: tuple[str, ...], lines: list[str]) -> bool:
    pairs = zip(patterns, lines, strict=False)
    return len(patterns) == len(lines) and all(re.fullmatch(pattern, line) for pattern, line in pairs)


def plain(pattern: str) -> str:
    """A pattern as words for people."""
    words = pattern.replace("|", " or ").replace(".*", "").replace(r"\d+", "n")
    return re.sub(r"[\\()?]", "", words).strip()
