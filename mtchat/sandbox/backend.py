"""What a way of containing programs must offer, so that one file in backends/ adds it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from mtchat import plugins
from mtchat.session.settings import Limits

PACKAGE = "mtchat.sandbox.backends"


@dataclass(frozen=True)
class Variant:
    """One way a backend may work on this machine: the tool it found, its version, and what it leaves out.

    `warm` says that its launcher is alone with the program, so that it can keep states and end the rest.
    """

    tier: str
    tool: Path | None = None
    version: str = ""
    without: frozenset[str] = frozenset()
    warm: bool = False


@dataclass(frozen=True)
class LaunchRequest:
    """What to contain: the launcher, started with two inherited descriptors, and the limits of the run.

    A `warm` one needs room for the files of the states that it keeps.
    """

    control: int
    shared: int
    limits: Limits
    warm: bool = False


@dataclass(frozen=True)
class LaunchCommand:
    """What to start: the program's whole environment is `environ`, it inherits only `descriptors`.

    The launcher becomes `user`, unless that is 0; a `reader` may then still read any file it can see.
    `spilled` says whether the run has filled its folders, where no file system of its own keeps it from that.
    """

    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    user: int = 0
    reader: bool = False
    spilled: Callable[[], bool] = lambda: False


class Backend(Protocol):
    """A file in backends/; its name is the backend's.

    `RANK` orders them, the strongest first (1). `variants` lists what to try on this machine, best first; it
    raises SandboxError with the reason and the fix where there is nothing to try. `prepared` readies one
    run, and cleans up after it. `explain` reads what a variant that failed wrote: (reason, fix). The
    command's working folder is the work folder; the launcher opens it there and hands it to the host.
    """

    RANK: int

    def variants(self) -> tuple[Variant, ...]: ...

    def prepared(self, variant: Variant, box: LaunchRequest) -> AbstractContextManager[LaunchCommand]: ...

    def explain(self, wrote: str) -> tuple[str, str]: ...


def backends() -> tuple[Backend, ...]:
    """Every backend, the strongest first."""
    loaded = (cast(Backend, plugins.load(PACKAGE, name)) for name in plugins.names(PACKAGE))
    return tuple(sorted(loaded, key=lambda backend: backend.RANK))
