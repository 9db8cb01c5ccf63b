"""How much of the processors other programs took meanwhile: where it is much, times say little."""

import os
import time
from collections.abc import Callable
from pathlib import Path

STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6)  # user, nice, system and interrupts, as the first line of STAT counts them
MUCH = 0.05


class Others:
    """Counts from when it is made; what this process and those that it has waited for took is not theirs."""

    def __init__(
        self,
        stat: Path = STAT,
        clock: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = lambda: sum(os.times()[:4]),
    ) -> None:
        self.stat = stat
        self.clock = clock
        self.own = own
        self.began, self.before = clock(), self.worked()

    def worked(self) -> float:
        """Seconds that processors have worked for others."""
        return busy(self.stat) - self.own()

    def note(self) -> str:
        """What to say of it; "" where it was little, or is not known."""
        share = (self.worked() - self.before) / (self.clock() - self.began) / (os.cpu_count() or 1)
        if share < MUCH:
            return ""
        return f"other programs took {100 * share:.0f} % of the processors meanwhile: times say little"


def busy(stat: Path) -> float:
    """Seconds since the machine started, of all processors together; 0 where they are not counted."""
    try:
        fields = stat.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    return sum(int(fields[place]) for place in BUSY) / os.sysconf("SC_CLK_TCK")
