"""The tiers of the sandbox that the battery runs in, as far as they work on this machine."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from mtchat import plugins
from mtchat.sandbox.backend import PACKAGE, Backend
from mtchat.sandbox.host.execute import BackendChoice, choose, run_in
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.settings import Limits

BACKENDS = {"T1": "bubblewrap", "T2": "landlock"}


@dataclass(frozen=True)
class Tier:
    """One tier: what runs programs in it, or why nothing does."""

    name: str
    choice: BackendChoice | None = None
    reason: str = ""

    def run(self, program: Program, limits: Limits, collect: Path | None = None) -> Outcome:
        assert self.choice is not None
        return run_in(self.choice, program, limits, collect=collect)

    @property
    def backend(self) -> str:
        return BACKENDS[self.name]

    def __str__(self) -> str:
        return self.name


@cache
def tier(name: str) -> Tier:
    """A tier by its name, tried once."""
    backend = BACKENDS[name]
    if backend not in plugins.names(PACKAGE):
        return Tier(name, reason=f"mtchat has no backend {backend}")
    choice = choose((cast(Backend, plugins.load(PACKAGE, backend)),))
    return Tier(name, choice if choice.probe.ok else None, choice.probe.reason)
