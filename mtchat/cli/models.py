"""mtchat models: which known models fit this machine, and getting and removing them."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mtchat.cli.output import write
from mtchat.console.view import View
from mtchat.errors import ExitCode, ModelError, UsageError

if TYPE_CHECKING:
    from mtchat.bundled_models.catalogue import BundledModel
    from mtchat.bundled_models.fetch import FetchProgress
    from mtchat.inference.loaders.model_files import OnProgress
    from mtchat.models.local_stores import StoredModel
    from mtchat.models.survey import ThisMachine

REPORTED = 5  # percent of a download between two lines where the line cannot be redrawn


def manage_models(args: argparse.Namespace) -> int:
    if args.action == "get":
        get_models(args.names or ["starter"])
    elif args.action == "remove":
        remove_models(args.names)
    elif args.names:
        raise UsageError("mtchat models list takes no name; mtchat models get NAME downloads a model")
    else:
        list_models(args.json, args.measure)
    return ExitCode.DONE


def list_models(as_json: bool, measure: bool) -> None:
    """Print the known models, for people or for programs."""
    from mtchat.cli import model_table
    from mtchat.models import loader, local_stores
    from mtchat.models.survey import survey_models

    view, progress = View.of(sys.stdout), View.of(sys.stderr)

    def report(name: str) -> None:
        progress.transient(f"measuring the speed of {name} on this machine …")

    try:
        survey = survey_models(measure, report)
    finally:
        progress.erase()
    if as_json:
        plugins = [{"name": name, "source": source} for name, source in loader.plugin_models()]
        stored, broken = local_stores.list_stored(loader.model_folders())
        found = {
            **model_table.to_json(survey),
            "other_packages": plugins,
            "stored": [{**asdict(each), "path": str(each.path)} for each in stored],
            "broken": broken,
        }
        write(sys.stdout, json.dumps(found, indent=1) + "\n")
    else:
        model_table.show(survey, view)
        show_other_models(view, survey.machine)


def show_other_models(view: View, machine: "ThisMachine") -> None:
    """Print where the files are, and the models that are no part of the table."""
    from mtchat.bundled_models import cache
    from mtchat.inference.loaders import licences
    from mtchat.models import loader

    for what, folder in (
        ("model files", cache.models_folder()),
        ("converted copies", loader.converted_folder()),
    ):
        view.note(f"{what}: {bytes_on_disk(folder) / 1e9:.1f} GB in {folder}")
    view.line()
    for name, source in loader.plugin_models():
        view.line(f"{name}: {source}")
    show_stored_models(view, machine)
    view.line("CodeGen models, from the model hub or a folder:")
    for names, licence in licences.FAMILY:
        view.line(f"  {names}, {licence}")
    view.line(
        "mtchat --model also takes a folder with safetensors, a .gguf file, or a hub name: owner/repo for "
        "safetensors, owner/repo:Q4_K_M for one of its GGUF models"
    )


def show_stored_models(view: View, machine: "ThisMachine") -> None:
    """Print the models in the stores of other programs and from the hub, each with its name."""
    from mtchat.models import loader, local_stores

    found, broken = local_stores.list_stored(loader.model_folders())
    if found:
        view.line("models on this machine, by the names that --model takes:")
    for each in found:
        view.line(f"  {each.name}  {describe_stored(each, machine)}")
    for line in broken:
        view.warning(line)


def describe_stored(model: "StoredModel", machine: "ThisMachine") -> str:
    """The size and the store of a model, and what it needs here; or why it cannot be used."""
    from mtchat.inference.llama_cpp import library
    from mtchat.inference.loaders.devices import AUTO, LLAMA_CPP
    from mtchat.models import estimates

    if model.problem:
        return f"not usable: it {model.problem}"
    text = f"{model.bytes / 1e9:.1f} GB, {model.store}"
    if model.path.is_dir():
        return text
    try:
        estimate = estimates.estimate_file(model.path, AUTO, machine.memory)
    except ModelError as error:
        return f"{text}; not usable: {error}"
    if estimate.way == LLAMA_CPP and (missing := library.missing_reason()):
        return f"{text}; {missing}"
    return f"{text}; {estimates.describe_estimate(estimate, machine.memory, machine.speed)}"


def bytes_on_disk(folder: Path) -> int:
    """What the files below a folder take."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # another process may be at work there
                found += os.lstat(os.path.join(place, name)).st_blocks * 512
    return found


def get_models(names: list[str]) -> None:
    """Download models; where one is stopped, say how it goes on."""
    from mtchat.bundled_models import cache, catalogue

    view = View.of(sys.stdout)
    for name in names:
        if catalogue.find_or_none(name) is None and (os.path.exists(name) or "/" in name or ":" in name):
            view.line(f"{name}: {name if os.path.exists(name) else get_hub_model(name, view)}")
            continue
        model = catalogue.find(name)
        if cache.locate(name, cache.models_folder()) is None:
            warn_before_download(model)
            path = download_model(model)
            view.line(f"{name}: {path}")
            view.line(f"verified: {model.bytes:,} bytes, SHA-256 {model.sha256}, as pinned for")
            view.line(f"  {model.hub.repository} at revision {model.hub.revision}")
        else:
            view.line(f"{name}: {cache.models_folder() / model.file}")


def get_hub_model(name: str, view: View) -> str | Path:
    """Where a model of the hub or of another program's store is; it is downloaded if need be."""
    from mtchat.models import loader

    try:
        with fetch_progress() as (report, on_progress):
            found = loader.find_elsewhere(name, report, on_progress, View.of(sys.stderr).warning)
    except KeyboardInterrupt:
        View.of(sys.stderr).line(f"stopped; mtchat models get {name} goes on where it was")
        raise
    if found is None:
        raise ModelError(f"no model {name!r}; mtchat models lists those that have a name")
    if found.note:
        view.line(found.note)
    return found.source


@contextmanager
def fetch_progress() -> Iterator[tuple["Callable[[FetchProgress, float], None]", "OnProgress"]]:
    """Reports of a download and of other work; on a terminal, one line that is redrawn, then erased."""
    from mtchat.bundled_models.fetch import describe_progress
    from mtchat.models.loader import describe_stage

    view = View.of(sys.stderr)
    reported = ("", -1)

    def report(progress: "FetchProgress", seconds: float) -> None:
        nonlocal reported
        text = describe_progress(progress, seconds)
        if view.live:
            view.transient(progress_bar(progress) + " " + text)
            return
        now = (progress.stage, 100 * progress.done // max(progress.total, 1) // REPORTED)
        if now != reported:
            reported = now
            view.line(text)

    def on_progress(stage: str, part: float | None) -> None:
        view.transient(describe_stage(stage, part))

    try:
        yield report, on_progress
    finally:
        view.erase()


def warn_before_download(model: "BundledModel") -> None:
    """Say what the user should know before spending time and disk on a model."""
    from mtchat.inference.loaders.devices import machine_memory
    from mtchat.inference.loaders.licences import licence_note
    from mtchat.models.facts import load_facts
    from mtchat.models.memory import describe_memory, free_memory
    from mtchat.models.sizes import memory_need

    view = View.of(sys.stderr)
    view.warning(licence_note(model.licence))
    known = next(each for each in load_facts().models if each.name == model.name)
    need, free = memory_need(known.shape, machine_memory()).least, free_memory()
    if need > free:
        view.warning(
            f"{model.name} needs {describe_memory(need)} of memory to run, and "
            f"{describe_memory(free)} are free"
        )


def download_model(model: "BundledModel") -> Path:
    """Download a model with a progress line."""
    from mtchat.bundled_models import cache
    from mtchat.bundled_models.partial import PartialFile
    from mtchat.models import loader

    try:
        with fetch_progress() as (report, _):
            return loader.fetch(model.name, report)
    except KeyboardInterrupt:
        kept = len(PartialFile(model, cache.models_folder()).kept())
        View.of(sys.stderr).line(
            f"{kept} of {model.pieces} pieces are kept; mtchat models get {model.name} downloads the others"
        )
        raise


def progress_bar(progress: "FetchProgress", width: int = 24) -> str:
    filled = width * progress.done // progress.total if progress.total else 0
    return "█" * filled + "░" * (width - filled)


def remove_models(names: list[str]) -> None:
    """Delete models and what was made of them."""
    from mtchat.bundled_models import cache, catalogue
    from mtchat.inference.loaders import model_cache
    from mtchat.models import loader

    if not names:
        raise UsageError("no model given to remove; mtchat models lists them")
    view = View.of(sys.stdout)
    for name in names:
        if not catalogue.find_or_none(name) and not os.path.exists(name) and "/" in name:
            view.line(f"removed {name}: {loader.remove_downloaded(name) / 2**20:.0f} MiB freed")
            continue
        if not catalogue.find_or_none(name) and os.path.exists(name):
            freed = model_cache.remove_copies_of(loader.converted_folder(), Path(name))
            view.line(f"removed the converted copies of {name}, not the model: {freed / 2**20:.0f} MiB freed")
            continue
        freed = cache.remove(name, cache.models_folder())
        copies = model_cache.remove_copies(loader.converted_folder(), catalogue.find(name).sha256)
        also = " and its converted copy" if copies else ""
        view.line(f"removed {name}{also}: {(freed + copies) / 2**20:.0f} MiB freed")
