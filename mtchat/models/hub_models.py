"""GGUF models on the model hub and in folders: finds the files that a name means, downloads them if need be.

Files in the hub's own cache are used where they are; others are downloaded into mtchat's folder of models.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from mtchat.bundled_models import hub_files
from mtchat.bundled_models.fetch import FetchProgress
from mtchat.bundled_models.hub_files import HubFile, RepositoryFiles
from mtchat.errors import ModelError
from mtchat.inference.loaders import devices, hf_loader, loader, model_cache
from mtchat.inference.loaders.model_files import OnProgress
from mtchat.models.gguf_choice import (
    LISTED,
    SUFFIX,
    HubGguf,
    HubName,
    choose,
    explain_excess,
    is_named,
    list_ggufs,
)


@dataclass(frozen=True)
class LocatedModel:
    """The path or hub id of a model, its fingerprint, and what to tell the user about the choice."""

    source: str | Path
    fingerprint: str
    note: str = ""


@dataclass(frozen=True)
class ModelFolders:
    """Where models are: mtchat's own, the converted ones with the hashes of files, and the hub's cache.

    Other programs' stores are below `home`, or where `environment` says.
    """

    models: Path
    converted: Path
    hub: Path
    home: Path
    environment: Mapping[str, str]


def find_or_fetch(
    name: HubName,
    folders: ModelFolders,
    memory: float,
    report: Callable[[FetchProgress], None],
    on_progress: OnProgress,
    on_excess: Callable[[str], None],
    endpoint: str | None = None,
) -> LocatedModel:
    """The model that a name means, downloaded if need be: a GGUF file, or a folder with other weights.

    `on_excess` is told before the download of one that cannot fit in memory; what it raises prevents that.
    """
    cached = hub_files.cached_files(name.repository, folders.hub)
    if not name.choice and any(is_folder_weight(each.path) for each, _ in cached):
        snapshot = hub_files.cached_snapshot(name.repository, folders.hub)
        if snapshot and loader.is_whole(snapshot):
            return LocatedModel(snapshot, "")
    elif found := find_cached(name, cached, memory, folders.converted, on_progress):
        return found
    saved = hub_files.saved_list(name.repository, folders.models)
    if saved is not None and (found := find_saved(name, saved, folders.models, memory)):
        return found
    listed = hub_files.list_repository(name.repository, endpoint)
    if not name.choice and is_folder_model(listed):
        files = folder_files(listed)
        if excess := explain_folder_excess(name.repository, files, memory):
            on_excess(excess)
        hub_files.fetch_files(
            *(listed, files, folders.models, report, name.repository, endpoint), as_folder=True
        )
        return locate_folder(listed, folders.models)
    models = list_ggufs(listed.files)
    chosen, note = choose(name, models, listed.parameters, memory)
    if excess := explain_excess(name, chosen, models, memory):
        on_excess(excess)
    title = f"{name.repository}:{chosen.label or chosen.path}"
    paths = hub_files.fetch_files(listed, chosen.files, folders.models, report, title, endpoint)
    return LocatedModel(paths[0], fingerprint(chosen), note)


def folder_files(listed: RepositoryFiles) -> list[HubFile]:
    """The files of a model folder that are read; ModelError if it is no whole model."""
    top = [each for each in listed.files if "/" not in each.path]
    patterns = loader.hub_patterns(listed.repository, [each.path for each in top])
    found = [each for each in top if any(fnmatch(each.path, pattern) for pattern in patterns)]
    if not any(is_folder_weight(each.path) for each in found):
        raise ModelError(f"{listed.repository} has no weights that mtchat reads; give the name of another")
    return found


def explain_folder_excess(
    repository: str, files: Sequence[HubFile], memory: float, drivers: Sequence[Path] = devices.DRIVERS
) -> str:
    """What to say of weights that cannot fit; "" if they can, or on a machine with a GPU: loading decides."""
    size = sum(each.bytes for each in files if is_folder_weight(each.path))
    if size <= memory or any(map(Path.exists, drivers)):
        return ""
    return (
        f"{repository} has {size / 1e9:.1f} GB of weights, and this machine has {memory / 1e9:.1f} GB of "
        "memory; a GGUF repository of the same model has smaller files, such as Q4_K_M"
    )


def locate_folder(listed: RepositoryFiles, models: Path) -> LocatedModel:
    """A folder that was downloaded, with the fingerprint of its weights."""
    folder = hub_files.repository_folder(listed.repository, models)
    known = {each.path: each.sha256 for each in listed.files}
    hashes = [known.get(each.name, "") for each in hf_loader.weight_files(folder)]
    return LocatedModel(folder, model_cache.join_hashes(hashes) if all(hashes) else "")


def is_folder_model(listed: RepositoryFiles) -> bool:
    """Whether a repository has weights that are loaded as a folder, or no GGUF at all."""
    names = [each.path for each in listed.files]
    return any(map(is_folder_weight, names)) or not any(each.lower().endswith(SUFFIX) for each in names)


def is_folder_weight(path: str) -> bool:
    return path.endswith(".safetensors") or re.fullmatch(r"pytorch_model.*\.bin", path) is not None


def find_cached(
    name: HubName,
    files: Sequence[tuple[HubFile, Path]],
    memory: float,
    converted: Path,
    on_progress: OnProgress,
) -> LocatedModel | None:
    """The model in the hub's own cache; ModelError if its content is not that of the hub."""
    models = list_ggufs([each for each, _ in files])
    if name.choice:  # the hub may have what is meant by less
        models = [each for each in models if is_named(name.choice, each)]
    chosen, note = choose_present(name, models, memory)
    if chosen is None:
        return None
    places = {each.path: path for each, path in files}
    paths = [places[each.path] for each in chosen.files]
    for each, path in zip(chosen.files, paths, strict=True):
        if each.sha256 and model_cache.hash_weights([path], converted, on_progress) != each.sha256:
            raise ModelError(
                f"{path} is damaged: its SHA-256 is not the hub's; delete {path.resolve()}, then try again"
            )
    known = all(each.sha256 for each in chosen.files)
    return LocatedModel(paths[0], fingerprint(chosen) if known else "", note)


def find_saved(name: HubName, saved: RepositoryFiles, models: Path, memory: float) -> LocatedModel | None:
    """The model among the files that were downloaded before."""
    place = hub_files.repository_folder(saved.repository, models)
    if not name.choice and is_folder_model(saved):
        whole = hub_files.locate_files(saved, folder_files(saved), models)
        return locate_folder(saved, models) if whole else None
    ggufs = list_ggufs(saved.files)
    here = [each for each in ggufs if all((place / file.path).exists() for file in each.files)]
    chosen, note = choose_present(name, prefer_named(name, here, ggufs), memory)
    paths = chosen and hub_files.locate_files(saved, chosen.files, models)
    return LocatedModel(paths[0], fingerprint(chosen), note) if chosen and paths else None


def prefer_named(name: HubName, here: Sequence[HubGguf], models: Sequence[HubGguf]) -> Sequence[HubGguf]:
    """The models to choose from: those `here`; with a choice those of them that it names, else all listed."""
    if not name.choice:
        return here
    return [each for each in here if is_named(name.choice, each)] or models


def choose_present(name: HubName, models: Sequence[HubGguf], memory: float) -> tuple[HubGguf | None, str]:
    """The model that a name means among those that are here; None if it is not among them."""
    try:
        return choose(name, [each for each in models if len(each.files) == each.expected], 0, memory)
    except ModelError:  # the hub has more to choose from
        return None, ""


def fingerprint(model: HubGguf) -> str:
    return model_cache.join_hashes([each.sha256 for each in model.files])


def remove(name: HubName, folders: ModelFolders) -> int:
    """Delete a model that mtchat downloaded, its pieces and its converted copies: the bytes freed."""
    saved = hub_files.saved_list(name.repository, folders.models)
    if saved is None:
        raise ModelError(
            f"mtchat has downloaded nothing of {name.repository}; mtchat models lists what it has"
        )
    place = hub_files.repository_folder(name.repository, folders.models)
    if not name.choice and is_folder_model(saved):
        copies = model_cache.remove_copies_of(folders.converted, place)
        return copies + hub_files.remove_files(saved, folder_files(saved), folders.models)
    models = list_ggufs(saved.files)
    here = [each for each in models if any(hub_files.is_begun(saved, file, place) for file in each.files)]
    chosen, _ = choose(name, prefer_named(name, here, models), 0, math.inf) if here else (None, "")
    if chosen not in here:
        typed = f"{name.repository}:{name.choice}" if name.choice else name.repository
        raise ModelError(f"{typed} is not downloaded; mtchat models lists what is")
    copies = model_cache.remove_copies(folders.converted, fingerprint(chosen))
    return copies + hub_files.remove_files(saved, chosen.files, folders.models)


def find_in_folder(folder: Path) -> Path:
    """The GGUF file that a folder stands for; the folder itself if it has other weights or none.

    ModelError that lists them if there are several.
    """
    if [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]:
        return folder
    paths = sorted(folder.glob(f"*{SUFFIX}")) or sorted(folder.glob(f"*/*{SUFFIX}"))
    if len(paths) == 1:
        return paths[0]
    models = list_ggufs([HubFile(each.relative_to(folder).as_posix(), 0, "") for each in paths])
    if len(models) == 1:
        return folder / models[0].path
    found = [folder / each.path for each in models] or paths
    if not found:
        return folder
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    raise ModelError(
        f"{folder} contains {len(found)} GGUF models; give one of them: "
        + ", ".join(f"--model {each}" for each in found[:LISTED])
        + more
    )
