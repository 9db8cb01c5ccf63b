"""Wires rooms together: models by name, the sandbox, the tools that the REPL is handed."""

import math
import os
import re
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from mtchat import store
from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.progress import Progress, describe
from mtchat.cli.loading import Engine, Loading, Report, Shelf
from mtchat.console.view import View, shown
from mtchat.errors import ModelError, MtchatError
from mtchat.generate.prompt import family
from mtchat.session.given import NO_INPUTS, RunInputs
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.settings import Limits, Sampling
from mtchat.store import Owned

if TYPE_CHECKING:
    from mtchat.sandbox.checkpoints.worker import Worker
    from mtchat.sandbox.sandbox import Choice

Hear = Callable[[str, str], None]
PATIENCE = 3.0  # seconds
BESIDE = 1.5  # of a model's files: its weights, and keys and values


def shelf(precision: str = "auto", guidance: tuple[str, ...] = (), device: str = "auto") -> Shelf:
    """Models by the name of a starter, a path, or a hub id; loading begins when one is first needed.

    Each has then read the guidance that conversations begin with: the first turn does not wait for it.
    """
    return Shelf(lambda name, report: versed(engine(name, precision, report, device), guidance, report), fits)


def fits(name: str) -> bool:
    """Whether a model is likely to find room in memory beside the one that is loaded already."""
    starter = catalogue.known(name)
    try:
        path = cache.locate(name, cache.folder()) if starter else Path(name).expanduser()
        if path is None or not path.exists():
            return True
        files = [path] if path.is_file() else [*path.glob("*.safetensors"), *path.glob("*.bin")]
        size = sum(file.stat().st_size for file in files)
    except (OSError, RuntimeError, ValueError):  # loading says what is wrong with the name
        return True
    return size * BESIDE < available(Path("/proc/meminfo"))


def available(meminfo: Path) -> float:
    """The bytes of memory that are free or can be had; infinite where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024.0 * int(found[1]) if found else math.inf


def owned() -> Owned:
    """Which files the user attached to which session on this machine."""
    return Owned(platformdirs.user_state_path("mtchat", appauthor=False) / "attached")


def goes_on(path: Path, folder: Path | None) -> str:
    """The command that opens a session again, typed where this one was; `folder` was given by --sessions."""
    if path.parent == (folder or store.folder()):
        chosen = ["--sessions", str(folder)] if folder else []
        return shlex.join([*command(), *chosen, path.stem])
    return shlex.join([*command(), str(path)])


def command() -> list[str]:
    """How this program was started."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py" or not os.access(started, os.X_OK):
        return [Path(sys.executable).name, "-m", "mtchat"]
    found = shutil.which(started.name)
    if found and os.path.realpath(found) == os.path.realpath(started):
        return [started.name]
    return [shown(started)]


def versed(engine: Engine, guidance: tuple[str, ...], report: Report) -> Engine:
    """A model that has read what a conversation with some guidance begins with."""
    if not guidance:
        return engine
    prompt = family.load(family.choose(engine.card)).render((), "", "", "", guidance)
    try:
        with suppress(MtchatError):
            for _ in engine.complete(prompt, Sampling(max_tokens=1)):
                report("reading examples")
    except BaseException:
        engine.close()
        raise
    return engine


def wait_for(model: Loading, view: View) -> None:
    """Waits for a model where nothing else can be done; what takes long is told once, off a terminal too."""
    begun, told = time.monotonic(), ""
    with view.waiting(lambda: f"{model.name}: {model.stage()}"):
        while not model.ready(0.2):
            stage = re.sub(r" \d+ %$", "", model.stage())
            if not view.live and stage != told and time.monotonic() - begun > PATIENCE:
                told = stage
                view.note(f"{model.name}: {stage}")
    for note in model.card().notes:
        view.note(note)


def engine(name: str, precision: str, report: Report, device: str = "cpu") -> Engine:
    if name.startswith("openai:"):
        raise ModelError(f"cannot use {name}: remote endpoints are not supported yet; give a local model")
    source, fingerprint = located(name, report)
    report("loading")
    from mtchat.inference import devices, loader

    loaded = loader.load(
        source,
        name,
        fingerprint=fingerprint,
        precision=precision,
        device=devices.chosen(device, precision),
        draft=helper(name),
        cache=converted(),
        report=lambda stage, part: report(stage if part is None else f"{stage} {100 * part:.0f} %"),
    )
    if starter := catalogue.known(name):
        loaded.card = replace(loaded.card, licence=starter.licence)
    return loaded


def converted() -> Path:
    """The folder of the copies that are made of models."""
    return platformdirs.user_cache_path("mtchat", appauthor=False) / "converted"


def located(name: str, report: Report) -> tuple[str | Path, str]:
    """Where a model is, fetched if it must be, and its fingerprint where that is known."""
    if starter := catalogue.known(name):
        here = cache.locate(name, cache.folder())
        path = here or fetched(name, lambda progress, seconds: report(describe(progress, seconds)))
        return path, starter.sha256
    try:
        path = Path(name).expanduser()
        if path.exists():
            return path, ""
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"no model at {name[:80]!r}: {error}") from error
    if name.endswith(".gguf") or name.startswith((".", "/", "~")):
        raise ModelError(f"no model at {name}; mtchat models lists the models that have a name")
    near = get_close_matches(name, [each.name for each in catalogue.load()], n=1, cutoff=0.8)
    if near and "/" not in name:
        raise ModelError(f"no model {name!r}: did you mean {near[0]}?")
    return name, ""


def helper(name: str) -> Path | None:
    """The smaller model that guesses ahead for a starter, where it was fetched too."""
    small = catalogue.HELPERS.get(name)
    return cache.locate(small, cache.folder()) if small else None


def fetched(name: str, report: Callable[[Progress, float], None]) -> Path:
    """The file of a starter; `report` gets the seconds since the present stage began."""
    from mtchat.bundled_models.fetch import fetch

    began: dict[tuple[str, str], float] = {}

    def timed(progress: Progress) -> None:
        start = began.setdefault((progress.stage, progress.source), time.monotonic())
        report(progress, time.monotonic() - start)

    return fetch(name, cache.folder(), timed)


def models() -> list[tuple[str, str]]:
    """The models that have a name, and whether they are here."""
    return [(row.name, f"{row.title}, {row.text}") for row in cache.status(cache.folder())]


@dataclass
class Ground:
    """Where programs run: in the strongest sandbox that works or, `unsafe`, in none.

    Leaving the `with` ends what was kept alive between runs.
    """

    unsafe: bool = False
    worker: "Worker | None" = None

    def __enter__(self) -> "Ground":
        return self

    def __exit__(self, *failure: object) -> None:
        if self.worker is not None:
            self.worker.close()

    def run(
        self,
        program: Program,
        limits: Limits,
        collect: Path | None,
        hear: Hear | None = None,
        given: RunInputs = NO_INPUTS,
    ) -> Outcome:
        """SandboxError where nothing works."""
        from mtchat.sandbox import sandbox

        return sandbox.run_in(self.choice(), program, limits, collect, hear, given)

    def resume(
        self, program: Program, limits: Limits, collect: Path | None, hear: Hear, given: RunInputs, look: bool
    ) -> Outcome:
        """As `run`, from the last state that is alive; `look` gives the variables as well."""
        from mtchat.sandbox.checkpoints.worker import Worker

        if self.worker is None:
            self.worker = Worker(self.choice())
        return self.worker.run(program, limits, collect=collect, watch=hear, given=given, look=look)

    def quietly(self, program: Program, limits: Limits, collect: Path, given: RunInputs) -> Outcome:
        """As `resume`, for output that is shown when the run has ended."""
        return self.resume(program, limits, collect, lambda stream, text: None, given, False)

    def trial(self, program: Program, limits: Limits, given: RunInputs) -> Outcome:
        """As `resume`, for a program that is only tried: its variables are told, its files stay."""
        return self.resume(program, limits, None, lambda stream, text: None, given, True)

    def choice(self) -> "Choice":
        from mtchat.sandbox import sandbox

        return sandbox.chosen(without_sandbox=self.unsafe)

    def refusal(self) -> str:
        """Why nothing can be run here; "" when something can."""
        return self.choice().probe.refusal

    def notice(self) -> str:
        """What to say once, before the first run; "" in the strongest sandbox, or where there is none."""
        return self.warning() or self.choice().probe.notice

    def warning(self) -> str:
        """What it means to run without a sandbox; "" otherwise."""
        if not self.unsafe:
            return ""
        from mtchat.sandbox.unsafe import MEANING

        return MEANING


class Tier:
    """How strong the sandbox is, in a word, found out in the background; "…" until then."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.word = "…"
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.look, name="probing", daemon=True)
            self.thread.start()

    def look(self) -> None:
        self.word = self.ground.choice().probe.tier or "none"
