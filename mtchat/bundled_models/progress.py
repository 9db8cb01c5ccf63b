"""How far a fetch is, as a value and as a line of text."""

from dataclasses import dataclass

DOWNLOAD = "download"
VERIFY = "verify"
WAIT = "wait"

MIB = 1024 * 1024


@dataclass(frozen=True)
class Progress:
    """How far the fetch of a model is.

    `stage` is "download", "verify" (bytes on disk are hashed), or "wait" (another process is fetching
    this model). `source` is "hub" or "packages", "" outside a download. `piece` counts from 1. `kept`
    is what was here before this source began, so that it does not count as speed.
    """

    name: str
    stage: str
    source: str
    piece: int
    pieces: int
    done: int
    total: int
    kept: int = 0


def describe(progress: Progress, seconds: float) -> str:
    """One line about a fetch that has been in its present stage and source for so many seconds."""
    amount = f"{progress.done // MIB:,} of {mebibytes(progress.total)}"
    if progress.stage == VERIFY:
        return f"{progress.name}: verifying, {amount}"
    if progress.stage == WAIT:
        return f"{progress.name}: another mtchat is fetching it, {amount}"
    piece = f"{progress.name}: piece {progress.piece} of {progress.pieces}, {amount}"
    rate = (progress.done - progress.kept) / seconds if seconds > 0 else 0.0
    if rate <= 0:
        return piece
    return f"{piece}, {speed(rate)}, {duration((progress.total - progress.done) / rate)} left"


def mebibytes(count: int) -> str:
    """A size rounded up to whole MiB."""
    return f"{-(-count // MIB):,} MiB"


def speed(rate: float) -> str:
    return f"{rate / MIB:.0f} MiB/s" if rate >= MIB else f"{rate / 1024:.0f} KiB/s"


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
