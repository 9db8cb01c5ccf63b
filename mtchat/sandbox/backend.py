"""The contract of a sandbox backend; one file in backends/, or an entry point mtchat.backends, adds one."""

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
    """One way in which a backend may work on this machine: the tool, its version, and features left out.

    With `checkpoints` the launcher is alone with the program in a process namespace, so it can keep fork
    servers and end everything else.
    """

    tier: str
    tool: Path | None = None
    version: str = ""
    without: frozenset[str] = frozenset()
    checkpoints: bool = False


@dataclass(frozen=True)
class LaunchRequest:
    """What to contain: the launcher, started with two inherited descriptors, and the limits of the run.

    With `checkpoints` it needs space for copies of the work folder.
    """

    control: int
    shared: int
    limits: Limits
    checkpoints: bool = False


@dataclass(frozen=True)
class LaunchCommand:
    """What to start; `environ` is the whole environment, and only `descriptors` are inherited.

    The launcher becomes `user` unless that is 0; a `reader` may then still read any file it can see.
    `disk_full` says whether the run has filled its folders, if no file system of its own prevents that.
    """

    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    user: int = 0
    reader: bool = False
    disk_full: Callable[[], bool] = lambda: False


class Backend(Protocol):
    """A way to contain programs, as a module with these functions; the module's name is the backend's name.

    `RANK` orders backends, the strongest first (1). `variants` lists what to try on this machine, best first;
    it raises SandboxError with the reason and the fix if there is nothing to try. `prepare` sets up one
    run and cleans up after it. `explain` turns the error output of a failed start into (reason, fix). The
    command starts in the work folder; the launcher opens it and hands it to the host.
    """

    RANK: int

    def variants(self) -> tuple[Variant, ...]: ...

    def prepare(self, variant: Variant, request: LaunchRequest) -> AbstractContextManager[LaunchCommand]: ...

    def explain(self, stderr: str) -> tuple[str, str]: ...


def backends() -> tuple[Backend, ...]:
    """All backends, the strongest first."""
    loaded = (cast(Backend, module) for module in plugins.load_all(PACKAGE).values())
    return tuple(sorted(loaded, key=lambda backend: backend.RANK))
