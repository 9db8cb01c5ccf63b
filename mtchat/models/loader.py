"""Loads a model by its name: a bundled one, a path, a hub id, or one that another package offers."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, cast

import platformdirs

from mtchat import plugins
from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.catalogue import BundledModel
from mtchat.errors import ModelError, MtchatError, PluginError
from mtchat.generate.prompt import family
from mtchat.models.adapter_names import split_name
from mtchat.models.loading import Model, ModelLoader, Report
from mtchat.models.memory import free_memory
from mtchat.session.settings import Sampling

if TYPE_CHECKING:  # downloads need half of the network library, which the prompt does not wait for
    from importlib.metadata import EntryPoint

    from mtchat.bundled_models.fetch import FetchProgress
    from mtchat.inference.loaders.model_files import OnProgress
    from mtchat.models.hub_models import LocatedModel, ModelFolders

HEADROOM = 1.5  # memory that a model takes, by the size of its files: weights, keys and values
REMOTE = "openai:"  # before the name of a model of an endpoint
PLUGINS = "mtchat.models"  # the entry points of models from other packages
MEMBERS = ("card", "complete", "candidates", "text", "count", "close")  # of a Model


def model_loader(
    precision: str = "auto", guidance: tuple[str, ...] = (), device: str = "auto"
) -> ModelLoader:
    """Models by name; loading begins when one is first needed.

    Each has then read the guidance that conversations begin with, so the first turn need not wait for it.
    """
    return ModelLoader(
        lambda name, report: warm_up(load(name, precision, report, device), guidance, report),
        lambda name, report: fits_in_memory(name, report, precision),
    )


def fits_in_memory(name: str, report: Report = lambda stage: None, precision: str = "auto") -> bool:
    """Whether a model is likely to fit in memory beside the one that is loaded already.

    It is fetched first if need be: only its file tells what it needs.
    """
    if name.startswith(REMOTE) or (name in plugins.offered(PLUGINS) and not catalogue.find_or_none(name)):
        return True
    try:
        found = find_model(split_name(name).model, report)
        return needed_bytes(found.source, precision) < free_memory()
    except (OSError, ModelError):  # loading says what is wrong with the name
        return True


def needed_bytes(source: str | Path, precision: str) -> float:
    """The memory that a model takes at least; 0 if it is not known."""
    from mtchat.inference.loaders import split_files
    from mtchat.inference.loaders.devices import machine_memory
    from mtchat.models import estimates

    if isinstance(source, str):
        return 0
    if source.is_dir():
        files = [*source.glob("*.safetensors"), *source.glob("*.bin")]
    else:
        with suppress(ModelError):  # it is no GGUF file that can be read
            return estimates.estimate_file(source, precision, machine_memory()).need.least
        files = [each for each in split_files.part_paths(source) if each.exists()]
    return sum(each.stat().st_size for each in files) * HEADROOM


def warm_up(engine: Model, guidance: tuple[str, ...], report: Report) -> Model:
    """The model, once the start of every conversation with this guidance is in its KV cache."""
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


def load(name: str, precision: str, report: Report, device: str = "cpu") -> Model:
    """Loads a model, fetching it first if need be. ModelError says why it cannot be had."""
    if name.startswith(REMOTE):
        raise ModelError(f"cannot use {name}: remote endpoints are not supported yet; give a local model")
    offered = plugins.offered(PLUGINS).get(name)
    if offered is not None and catalogue.find_or_none(name) is None:
        return load_offered(offered, report)
    wanted = split_name(name)
    from mtchat.inference.loaders import devices
    from mtchat.inference.loaders import loader as inference

    where = devices.choose_device(device, precision)
    tried = precision != devices.AUTO or where != devices.CPU  # even if it seems too large
    found = find_model(wanted.model, report, ignore_excess if tried else refuse_excess)
    report("loading")
    bundled = catalogue.find_or_none(wanted.model)

    def load_on(where: str, *notes: str) -> Model:
        if where == devices.CPU:
            notes += check_before_loading(name, found, precision)
        loaded = inference.load(
            found.source,
            name,
            fingerprint=found.fingerprint,
            precision=precision,
            device=where,
            draft=draft_model_path(wanted.model),
            adapters=[inference.AdapterName(*each) for each in wanted.adapters],
            cache=converted_folder(),
            report=lambda stage, part: report(describe_stage(stage, part)),
        )
        licence = bundled.licence if bundled else loaded.card.licence
        known = filter(None, (found.note, *notes, *loaded.card.notes))
        loaded.card = replace(loaded.card, licence=licence, notes=tuple(known))
        return loaded

    try:
        return load_on(where)
    except ModelError as error:
        # a GPU computes fewer GGUF files than the CPU, and no adapters
        local = isinstance(found.source, Path) and (found.source.is_file() or wanted.adapters)
        if device != devices.AUTO or where == devices.CPU or not local:
            raise
        return load_on(devices.CPU, f"it runs on the CPU: {error}")


def check_before_loading(name: str, found: "LocatedModel", precision: str) -> tuple[str, ...]:
    """Refuse a GGUF file that cannot fit in memory; notes on one that will be short of it, or slow."""
    if not isinstance(found.source, Path) or catalogue.find_or_none(name):
        return ()  # mtchat models shows what the bundled ones need
    from mtchat.inference.loaders.devices import machine_memory
    from mtchat.models import estimates, speed

    known = speed.recorded_speed(cache.models_folder().parent)
    return estimates.check_file(name, found.source, precision, machine_memory(), free_memory(), known)


def describe_stage(stage: str, part: float | None) -> str:
    return stage if part is None else f"{stage} {100 * part:.0f} %"


def load_offered(found: "EntryPoint", report: Report) -> Model:
    """Loads a model that another package offers. PluginError says what is wrong with it."""
    load_it = cast(Callable[..., object], plugins.get(found))
    model = plugins.guard(found, load_it)(found.name, report)
    if missing := [each for each in MEMBERS if not hasattr(model, each)]:
        raise PluginError(
            f"{found.name} of {plugins.source(found)} failed: load returned {type(model).__name__}, "
            f"which lacks {', '.join(missing)}; update or uninstall that package"
        )
    return cast(Model, model)


def converted_folder() -> Path:
    """Where copies of models lie that were converted for our kernels."""
    return platformdirs.user_cache_path("mtchat", appauthor=False) / "converted"


def locate(name: str, report: Report) -> tuple[str | Path, str]:
    """The path or hub id of a model, and its fingerprint if known; it is fetched first if need be."""
    found = find_model(split_name(name).model, report)
    return found.source, found.fingerprint


def refuse_excess(text: str) -> None:
    """ModelError for a model that needs more memory than the machine has, before its download."""
    raise ModelError(f"{text}; --precision llama.cpp, or another precision, tries it all the same")


def ignore_excess(text: str) -> None:
    """Nothing: what was asked for is tried."""


def find_model(name: str, report: Report, on_excess: Callable[[str], None] = refuse_excess) -> "LocatedModel":
    """Where a model is: a bundled one, a path, one in another program's store, or one on the hub.

    `on_excess` is told before the download of a model that cannot fit in memory.
    """
    from mtchat.bundled_models.fetch import describe_progress
    from mtchat.models.hub_models import LocatedModel, find_in_folder

    if bundled := catalogue.find_or_none(name):
        here = cache.locate(name, cache.models_folder())
        if here is None and not bundled.is_starter:
            raise ModelError(explain_how_to_get(bundled))
        return LocatedModel(here or fetch_reporting(name, report), bundled.sha256)
    try:
        path = Path(name).expanduser()
        if path.exists():
            return LocatedModel(find_in_folder(path) if path.is_dir() else path, "")
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"no model at {name[:80]!r}: {error}") from error
    found = find_elsewhere(
        name,
        lambda progress, seconds: report(describe_progress(progress, seconds)),
        lambda stage, part: report(describe_stage(stage, part)),
        on_excess,
    )
    if found is not None:
        return found
    if name.endswith(".gguf") or name.startswith((".", "/", "~")):
        raise ModelError(f"no model at {name}; mtchat models lists the models that have a name")
    near = get_close_matches(name, [each.name for each in catalogue.load_catalogue()], n=1, cutoff=0.8)
    if "/" not in name and (meant := near or stored_names_like(name)):
        raise ModelError(f"no model {name!r}: did you mean {meant[0]}?")
    return LocatedModel(name, "")


def stored_names_like(name: str) -> list[str]:
    """The names of Ollama's models that are `name` to Ollama."""
    from mtchat.models import local_stores

    wanted = {f"{local_stores.OLLAMA}{name}", f"{local_stores.OLLAMA}{name}:{local_stores.LATEST}"}
    return [each.name for each in local_stores.list_stored(model_folders())[0] if each.name in wanted]


def find_elsewhere(
    name: str,
    report: "Callable[[FetchProgress, float], None]",
    on_progress: "OnProgress",
    on_excess: Callable[[str], None] = refuse_excess,
) -> "LocatedModel | None":
    """A model of another program's store, or one of the hub, which is downloaded if need be.

    None if the name is that of neither. `report` gets the progress of a download with its seconds.
    """
    from mtchat.inference.loaders.devices import machine_memory
    from mtchat.models import gguf_choice, hub_models, local_stores

    folders, memory = model_folders(), machine_memory()
    stored = local_stores.find_stored(name, folders, memory, on_progress)
    wanted = gguf_choice.parse_name(name)
    if stored is not None or wanted is None:
        return stored
    return hub_models.find_or_fetch(wanted, folders, memory, timed(report), on_progress, on_excess)


def model_folders() -> "ModelFolders":
    """Where this user's models are."""
    from mtchat.bundled_models.hub_files import hub_cache
    from mtchat.models.hub_models import ModelFolders

    return ModelFolders(cache.models_folder(), converted_folder(), hub_cache(), Path.home(), os.environ)


def explain_how_to_get(model: BundledModel) -> str:
    """What to do about a model that is not downloaded on first use, because it is large."""
    size = f"{model.bytes / 1e9:.1f} GB"
    return f"{model.name} is not downloaded ({size}); mtchat models get {model.name} downloads it"


def draft_model_path(name: str) -> Path | None:
    """The smaller bundled model that drafts tokens for a bundled one, if it has been fetched."""
    small = catalogue.DRAFT_MODELS.get(name)
    return cache.locate(small, cache.models_folder()) if small else None


def fetch_reporting(name: str, report: Report) -> Path:
    """Fetches a bundled model, and reports each step as text."""
    from mtchat.bundled_models.fetch import describe_progress

    return fetch(name, lambda progress, seconds: report(describe_progress(progress, seconds)))


def fetch(name: str, report: "Callable[[FetchProgress, float], None]") -> Path:
    """Fetches a bundled model; `report` gets the seconds since the current stage began."""
    from mtchat.bundled_models import fetch as fetching

    return fetching.fetch(name, cache.models_folder(), timed(report))


def timed(report: "Callable[[FetchProgress, float], None]") -> "Callable[[FetchProgress], None]":
    """Reports progress together with the seconds since its stage began."""
    began: dict[tuple[str, str], float] = {}

    def tell(progress: "FetchProgress") -> None:
        start = began.setdefault((progress.stage, progress.source), time.monotonic())
        report(progress, time.monotonic() - start)

    return tell


def remove_downloaded(name: str) -> int:
    """Delete a GGUF model that was downloaded from the hub, and its converted copies: the bytes freed."""
    from mtchat.models import gguf_choice, hub_models

    wanted = gguf_choice.parse_name(name)
    if wanted is None:
        raise ModelError(f"no model {name!r}; mtchat models lists those that have a name")
    return hub_models.remove(wanted, model_folders())


def list_models() -> list[tuple[str, str]]:
    """The bundled models and whether they are fetched, then those in stores and of other packages.

    Each is a name and a description.
    """
    from mtchat.models import local_stores

    bundled = [(row.name, f"{row.title}, {row.text}") for row in cache.list_models(cache.models_folder())]
    found, _ = local_stores.list_stored(model_folders())
    stored = [(each.name, f"{each.bytes / 1e9:.1f} GB, {each.store}") for each in found if not each.problem]
    return [*bundled, *stored, *plugin_models()]


def plugin_models() -> list[tuple[str, str]]:
    """The models that other packages offer, each with its package."""
    offered = {name: found for name, found in plugins.offered(PLUGINS).items() if name not in own_names()}
    return [(name, f"from {plugins.source(found)}") for name, found in sorted(offered.items())]


def own_names() -> tuple[str, ...]:
    """The names of the bundled models, which no other package can take."""
    return tuple(each.name for each in catalogue.load_catalogue())


def load_model(name: str = "starter", *, precision: str = "auto", device: str = "auto") -> Model:
    """Loads a model and returns when it is ready.

    `name` is what `--model` takes: a bundled model ("starter", fetched on first use), the path of a `.gguf`
    file or folder, a hub name such as "owner/repo:Q4_K_M", a model of Ollama or LM Studio, each with adapters
    behind a "+", or a name that an installed package offers. `precision` is "auto", "quantised", "llama.cpp",
    "float32", "bfloat16", "float16", "int8" or "int4", `device` "auto", "cpu" or "cuda". ModelError says why
    it cannot be had.
    """
    return load(name, precision, lambda stage: None, device)
