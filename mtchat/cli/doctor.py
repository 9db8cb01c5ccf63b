"""mtchat doctor: checks what works on this machine, and says how to fix what does not."""

import importlib.metadata
import importlib.util
import locale
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mtchat import plugins
from mtchat.bundled_models import cache
from mtchat.console import slash
from mtchat.console.view import GREEN, RED, YELLOW, View
from mtchat.errors import ExitCode
from mtchat.export import format
from mtchat.generate import policy
from mtchat.generate.prompt import family
from mtchat.models import loader
from mtchat.sandbox import backend
from mtchat.version import __version__

SCIENCE = ("numpy", "pandas", "sklearn", "matplotlib")
GOOD, POOR, BAD = "✓", "!", "✗"
STYLES = {GOOD: GREEN, POOR: YELLOW, BAD: RED}


@dataclass(frozen=True)
class Finding:
    """One line of the report: a mark, what was checked, what was found, and how to fix it."""

    mark: str
    what: str
    found: str
    advice: str = ""


def run_checks() -> int:
    """Print every finding; fail if something that mtchat needs is missing."""
    view = View.of(sys.stdout)
    worst = False
    for check in (
        check_python,
        check_torch,
        check_kernels,
        check_llama_cpp,
        check_memory,
        check_gpu,
        check_sandbox,
        check_models,
        check_disk,
        check_terminal,
        check_science,
        check_extensions,
    ):
        for finding in check():
            view.line(f"{finding.mark} {finding.what:<13} {finding.found}", STYLES[finding.mark])
            if finding.advice:
                view.line(f"  {'':<13} {finding.advice}")
            worst = worst or finding.mark == BAD
    return ExitCode.FAILED if worst else ExitCode.DONE


def in_checkout() -> bool:
    """Whether mtchat runs from a checkout, where make does what pip does elsewhere."""
    return Path(__file__).parents[2].joinpath("Makefile").is_file()


def explain_how_to_install(extra: str) -> str:
    if in_checkout():
        return "make torch" if extra == "torch" else "make install"
    return f"{sys.executable} -m pip install 'mtchat[{extra}]'"


def explain_how_to_build() -> str:
    if in_checkout():
        return "make clean install"
    return f"{sys.executable} -m pip install --force-reinstall . (in a checkout of mtchat)"


def check_python() -> Iterator[Finding]:
    yield Finding(GOOD, "mtchat", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")


def check_extensions() -> Iterator[Finding]:
    """The packages that extend mtchat, and those that try to."""
    found = {plugins.source(each) for group in plugins.GROUPS for each in plugins.offered(group).values()}
    folders = (family.FAMILIES, format.FORMATS, backend.PACKAGE)
    own = {
        **{plugins.group_of(folder): plugins.files(folder) for folder in folders},
        slash.GROUP: tuple(slash.own_commands()),
        policy.GROUP: tuple(policy.POLICIES),
        loader.PLUGINS: loader.own_names(),
    }
    problems = [*plugins.problems(own), *family.check_families()]
    if good := found - {package for package, _ in problems}:
        yield Finding(GOOD, "extensions", ", ".join(sorted(good)))
    for _, problem in problems:
        yield Finding(POOR, "extensions", problem)


def check_torch() -> Iterator[Finding]:
    for name in ("torch", "transformers"):
        try:
            yield Finding(GOOD, name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(
                *(POOR, name, "not installed: only GGUF files can be used, on the CPU"),
                explain_how_to_install("torch"),
            )


def check_kernels() -> Iterator[Finding]:
    from mtchat.inference.cpu import kernels

    count = kernels.thread_count()
    threads = f"{count} thread{'s' if count > 1 else ''}"
    if os.environ.get(kernels.VARIABLE):
        threads += f" ({kernels.VARIABLE})"
    if build := kernels.best_build():
        yield Finding(GOOD, "kernels", f"{build}, {threads}")
    else:
        yield Finding(
            POOR,
            "kernels",
            f"none for this CPU; models run slowly, in float32 with torch, {threads}",
            f"install a C compiler (apt install gcc), then {explain_how_to_build()}",
        )


def check_llama_cpp() -> Iterator[Finding]:
    """llama.cpp computes GGUF files that the kernels cannot."""
    from mtchat.inference.llama_cpp import library

    if not (missing := library.missing_reason()):
        yield Finding(GOOD, "llama.cpp", f"{library.PACKAGE} {importlib.metadata.version(library.PACKAGE)}")
    elif importlib.util.find_spec(library.PACKAGE) is None:
        yield Finding(
            POOR,
            "llama.cpp",
            "not installed: GGUF files of few architectures can be used",
            f"{sys.executable} -m pip install 'mtchat[llamacpp]'",
        )
    else:
        yield Finding(POOR, "llama.cpp", missing)


def check_memory() -> Iterator[Finding]:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return
    if total < 3.5:
        yield Finding(
            POOR, "memory", f"{total:.1f} GiB", "starter needs 4 GiB; --model starter-small needs 2 GiB"
        )
    else:
        yield Finding(GOOD, "memory", f"{total:.1f} GiB")


def check_gpu() -> Iterator[Finding]:
    try:
        from mtchat.inference.loaders.devices import DRIVERS, list_gpus

        if importlib.util.find_spec("torch") is None and any(map(Path.exists, DRIVERS)):
            yield Finding(
                POOR, "GPU", "found but not used: PyTorch is not installed", explain_how_to_install("torch")
            )
        else:
            yield Finding(GOOD, "GPU", ", ".join(list_gpus()) or "none; models run on the CPU")
    except ImportError as error:
        yield Finding(BAD, "GPU", f"torch cannot be imported: {error}", explain_how_to_install("torch"))


def check_sandbox() -> Iterator[Finding]:
    from mtchat.sandbox.host import execute as room

    found = room.probe()
    if found.ok and not found.reason:
        yield Finding(GOOD, "sandbox", found.tier)
    elif found.ok:
        yield Finding(POOR, "sandbox", f"{found.tier}: {found.reason}", found.fix)
    else:
        yield Finding(BAD, "sandbox", found.reason, found.fix)


def check_models() -> Iterator[Finding]:
    for row in cache.list_models(cache.models_folder()):
        if not row.starter and row.state == cache.ABSENT:
            continue
        advice = "" if row.state == cache.PRESENT else f"mtchat models get {row.name}"
        yield Finding(GOOD if row.state == cache.PRESENT else POOR, row.name, row.text, advice)


def check_disk() -> Iterator[Finding]:
    for what, path in (
        ("cache", platformdirs.user_cache_path("mtchat", appauthor=False)),
        ("this folder", Path.cwd()),
    ):
        there = next(each for each in (path, *path.parents) if each.exists())
        free = shutil.disk_usage(there).free / 2**30
        writable = os.access(there, os.W_OK)
        advice = "" if writable else "not writable; set XDG_CACHE_HOME to use another folder"
        yield Finding(GOOD if writable else BAD, what, f"{path}, {free:.0f} GiB free", advice)


def check_terminal() -> Iterator[Finding]:
    encoding = locale.getpreferredencoding(False)
    name = os.environ.get("TERM", "none")
    if encoding.lower().replace("-", "") != "utf8":
        yield Finding(POOR, "terminal", f"{name}, {encoding}", "symbols need UTF-8: export LANG=C.UTF-8")
    else:
        yield Finding(
            GOOD, "terminal", f"{name}, {encoding}{'' if sys.stdout.isatty() else ', not a terminal'}"
        )


def check_science() -> Iterator[Finding]:
    missing = [name for name in SCIENCE if importlib.util.find_spec(name) is None]
    if missing:
        found = f"programs cannot import {', '.join(missing)}"
        yield Finding(POOR, "packages", found, explain_how_to_install("science"))
    else:
        yield Finding(GOOD, "packages", f"programs can import {', '.join(SCIENCE)}")
