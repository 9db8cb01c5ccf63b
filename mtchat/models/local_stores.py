"""GGUF models that other programs have put on this machine: Ollama's and LM Studio's, read and never changed.

Ollama keeps a manifest for each model, which names its files by their SHA-256; LM Studio keeps the files of
the model hub in folders of the same names.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.bundled_models import hub_files
from mtchat.bundled_models.hub_files import HubFile, RepositoryFiles
from mtchat.errors import ModelError
from mtchat.inference.loaders import model_cache, model_files
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.model_files import OnProgress
from mtchat.models.gguf_choice import HubGguf, HubName, choose, list_ggufs
from mtchat.models.hub_models import (
    LocatedModel,
    ModelFolders,
    folder_files,
    is_folder_model,
    is_folder_weight,
)

OLLAMA, LM_STUDIO = "ollama:", "lmstudio:"
OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")  # where Ollama's Linux service keeps its models
REGISTRY, LIBRARY, LATEST = "registry.ollama.ai", "library", "latest"
LAYER = "application/vnd.ollama.image."
DIGEST = re.compile(r"sha256[:-](?P<hash>[0-9a-f]{64})")
POINTER = ".lmstudio-home-pointer"  # a file in the home folder with the path of LM Studio's own
TEMPLATE = "tokenizer.chat_template"
NEAR = 8  # names that an error lists


@dataclass(frozen=True)
class StoredModel:
    """A model in a store: the name to type, its first file, its bytes, and why it cannot be used, or ""."""

    name: str
    store: str
    path: Path
    bytes: int
    problem: str = ""


@dataclass(frozen=True)
class OllamaModel:
    """What a manifest says: the weights and the other layers, by kind, each as a digest and a size."""

    name: str
    folder: Path
    layers: tuple[tuple[str, str, int], ...]

    def files(self, kind: str) -> list[tuple[Path, str]]:
        """The files of a kind, each with its SHA-256."""
        return [
            (self.folder / "blobs" / f"sha256-{digest}", digest)
            for each, digest, _ in self.layers
            if each == kind
        ]

    @property
    def problem(self) -> str:
        """Why it cannot be used, in words that follow its name; "" if it can."""
        weights = self.files("model")
        if not weights:
            return "has no GGUF weights here (a cloud model, or one in another format)"
        if len(weights) > 1:
            return f"has its weights in {len(weights)} files, which mtchat does not read from Ollama's store"
        if not os.access(weights[0][0].parent, os.X_OK):
            return f"cannot be read by this user ({weights[0][0].parent})"
        if not os.path.isfile(weights[0][0]):
            return f"is incomplete; ollama pull {self.name} downloads it again"
        if not os.access(weights[0][0], os.R_OK):
            return f"cannot be read by this user ({weights[0][0]})"
        if self.files("adapter"):
            return (
                "is a model with a LoRA adapter, which is not applied by this name; "
                f"--model {weights[0][0]}+{self.files('adapter')[0][0]} does that"
            )
        return ""


def ollama_folders(home: Path, environment: Mapping[str, str]) -> list[Path]:
    """Where Ollama's models may be, the first of which is its own choice."""
    if named := environment.get("OLLAMA_MODELS"):
        return [Path(named).expanduser()]
    return [home / ".ollama" / "models", OLLAMA_SERVICE]


def read_ollama(folder: Path) -> tuple[list[OllamaModel], list[str]]:
    """The models of a store, and a line for each manifest that cannot be read."""
    found, broken = [], []
    for path in list_files(folder / "manifests"):
        parts = path.relative_to(folder / "manifests").parts
        if len(parts) < 3 + (parts[0] == REGISTRY) or any(each.startswith(".") for each in parts):
            continue
        try:
            found.append(OllamaModel(ollama_name(parts), folder, read_layers(path)))
        except (OSError, ValueError, RecursionError) as error:
            broken.append(f"{path} is not a manifest that can be read ({error}); it is left out")
    return found, broken


def list_files(folder: Path) -> list[Path]:
    """The regular files below a folder, sorted; those that cannot be read are left out."""
    found = []
    for place, _, names in os.walk(folder):
        found += [path for name in names if os.path.isfile(path := Path(place, name))]
    return sorted(found)


def ollama_name(parts: Sequence[str]) -> str:
    """The name that Ollama has for a manifest: that of its own library is short."""
    host, *inner, tag = parts
    if host == REGISTRY:
        inner = inner[1:] if inner[0] == LIBRARY else inner
        return f"{'/'.join(inner)}:{tag}"
    return f"{host}/{'/'.join(inner)}:{tag}"


def read_layers(manifest: Path) -> tuple[tuple[str, str, int], ...]:
    """The kind, SHA-256 and size of each layer; ValueError or OSError if a manifest is damaged."""
    found = json.loads(model_files.read_text(manifest))
    layers = found.get("layers") if isinstance(found, dict) else None
    if not isinstance(layers, list):
        raise ValueError("it has no layers")
    return tuple(read_layer(each) for each in layers)


def read_layer(layer: Any) -> tuple[str, str, int]:
    facts = layer if isinstance(layer, dict) else {}
    kind, digest, size = facts.get("mediaType"), DIGEST.fullmatch(str(facts.get("digest"))), facts.get("size")
    if not isinstance(kind, str) or digest is None or type(size) is not int:
        raise ValueError("a layer is damaged")
    return kind.removeprefix(LAYER), digest["hash"], size


def lm_studio_folders(home: Path) -> list[Path]:
    """Where LM Studio's models may be: in the folder of its settings, else below its own folder."""
    homes = [home / ".lmstudio", home / ".cache" / "lm-studio"]
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # its folder was not moved
        homes.insert(0, Path(model_files.read_text(home / POINTER).strip()).expanduser())
    found = []
    for each in homes:
        named = read_setting(each / "settings.json", "downloadsFolder")
        found += [Path(named)] if named else []
        found.append(each / "models")
    return list(dict.fromkeys(path for path in found if path.is_absolute()))


def read_setting(file: Path, name: str) -> str:
    value = model_files.read_config(file).get(name)
    return value if isinstance(value, str) else ""


def lm_studio_repositories(home: Path) -> dict[str, tuple[Path, list[HubGguf]]]:
    """The GGUF models of each repository, and the folder they are in."""
    found: dict[str, tuple[Path, list[HubGguf]]] = {}
    for folder in lm_studio_folders(home):
        for repository in sorted(each for each in folder.glob("*/*") if os.path.isdir(each)):
            files = [
                HubFile(path.relative_to(repository).as_posix(), path.stat().st_size, "")
                for path in list_files(repository)
            ]
            if models := list_ggufs(files):
                found.setdefault(repository.relative_to(folder).as_posix(), (repository, models))
    return found


def list_stored(folders: ModelFolders) -> tuple[list[StoredModel], list[str]]:
    """The models of all stores, and a line for each manifest that cannot be read."""
    found, broken = [], []
    for folder in ollama_folders(folders.home, folders.environment):
        models, lines = read_ollama(folder)
        broken += lines
        for each in models:
            weights = each.files("model")
            path = weights[0][0] if weights else folder
            size = sum(size for kind, _, size in each.layers if kind == "model")
            found.append(StoredModel(f"{OLLAMA}{each.name}", "Ollama", path, size, each.problem))
    for repository, (place, ggufs) in lm_studio_repositories(folders.home).items():
        for model, name in named_ggufs(f"{LM_STUDIO}{repository}", ggufs):
            found.append(
                StoredModel(name, "LM Studio", place / model.path, model.bytes, missing_parts(model))
            )
    return [*found, *list_hub(folders)], broken


def list_hub(folders: ModelFolders) -> Iterator[StoredModel]:
    """The models that mtchat downloaded from the hub, and the GGUF models in the hub's own cache."""
    for saved in hub_files.saved_repositories(folders.models):
        place = hub_files.repository_folder(saved.repository, folders.models)
        folder = is_folder_model(saved)
        if folder:
            yield from list_folder(saved, place)
        for model, name in named_ggufs(saved.repository, list_ggufs(saved.files)):
            if all((place / each.path).exists() for each in model.files):
                typed = typed_name(model, name, saved.repository, folder)
                yield StoredModel(typed, "downloaded", place / model.path, model.bytes)
    for repository in hub_files.cached_repositories(folders.hub):
        files = hub_files.cached_files(repository, folders.hub)
        places = {each.path: path for each, path in files}
        folder = any(is_folder_weight(each.path) for each, _ in files)
        for model, name in named_ggufs(repository, list_ggufs([each for each, _ in files])):
            typed = typed_name(model, name, repository, folder)
            yield StoredModel(typed, "hub cache", places[model.path], model.bytes, missing_parts(model))


def list_folder(saved: RepositoryFiles, place: Path) -> Iterator[StoredModel]:
    """The model of a repository that is loaded as a folder, if all of its files are here."""
    with contextlib.suppress(ModelError):  # only a GGUF file of it can be used
        files = folder_files(saved)
        if all((place / each.path).exists() for each in files):
            yield StoredModel(saved.repository, "downloaded", place, sum(each.bytes for each in files))


def typed_name(model: HubGguf, name: str, repository: str, folder: bool) -> str:
    """The name of a GGUF model where the repository's own name may mean the model of its `folder`."""
    return f"{repository}:{model.label or model.path}" if folder and name == repository else name


def named_ggufs(repository: str, models: Sequence[HubGguf]) -> Iterator[tuple[HubGguf, str]]:
    """Each model of a repository with the shortest name that means it alone."""
    labels = [each.label for each in models]
    for each in models:
        if len(models) == 1:
            yield each, repository
        else:
            unique = each.label and labels.count(each.label) == 1
            yield each, f"{repository}:{each.label if unique else each.path}"


def missing_parts(model: HubGguf) -> str:
    lost = model.expected - len(model.files)
    return f"lacks {lost} of {model.expected} parts" if lost else ""


def find_stored(name: str, folders: ModelFolders, memory: float, report: OnProgress) -> LocatedModel | None:
    """The model of a store by its name; None if a name is not that of a store."""
    if name.startswith(OLLAMA):
        return find_ollama(name.removeprefix(OLLAMA), folders, report)
    if name.startswith(LM_STUDIO):
        return find_lm_studio(name.removeprefix(LM_STUDIO), folders.home, memory)
    return None


def find_ollama(name: str, folders: ModelFolders, report: OnProgress) -> LocatedModel:
    wanted = name if ":" in name.rpartition("/")[2] else f"{name}:{LATEST}"
    places = ollama_folders(folders.home, folders.environment)
    models = [each for folder in places for each in read_ollama(folder)[0]]
    found = next((each for each in models if each.name.lower() == wanted.lower()), None)
    if found is None:
        raise ModelError(
            f"Ollama has no {wanted} in {' or '.join(map(str, places))}; "
            + listed([f"{OLLAMA}{each.name}" for each in models], f"ollama pull {name} downloads it")
        )
    if found.problem:
        raise ModelError(f"{OLLAMA}{found.name} {found.problem}")
    path, digest = found.files("model")[0]
    try:
        same = model_cache.hash_weights([path], folders.converted, report) == digest
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if not same:
        raise ModelError(
            f"{path} is damaged: its SHA-256 is not that of its name; delete it, then ollama pull {name}"
        )
    return LocatedModel(path, digest, ollama_note(found, path))


def ollama_note(model: OllamaModel, path: Path) -> str:
    """What of a model of Ollama is not used."""
    unused = [kind for kind in ("system", "messages", "params") if model.files(kind)]
    if model.files("template") and not read_gguf(path).metadata.get(TEMPLATE):
        unused.insert(0, "template (the GGUF file has none: the model is prompted as a base model)")
    if not unused:
        return ""
    return f"of Ollama's settings for it, these are not used: {', '.join(unused)}"


def find_lm_studio(name: str, home: Path, memory: float) -> LocatedModel:
    stores = lm_studio_repositories(home)
    for repository, (place, models) in stores.items():
        rest = name[len(repository) :]
        if name.lower().startswith(repository.lower()) and (not rest or rest[:1] in ":/"):
            chosen, note = choose(HubName(f"{LM_STUDIO}{repository}", rest[1:]), models, 0, memory)
            return LocatedModel(place / chosen.path, "", note)
    known = [
        each for repository, (_, models) in stores.items() for _, each in named_ggufs(repository, models)
    ]
    raise ModelError(
        f"LM Studio has no {name} in {' or '.join(map(str, lm_studio_folders(home)))}; "
        + listed([f"{LM_STUDIO}{each}" for each in known], "lms get downloads models")
    )


def listed(names: Sequence[str], otherwise: str) -> str:
    """The names that could be meant, or what to do if there are none."""
    more = f" and {len(names) - NEAR} more" if len(names) > NEAR else ""
    return f"it has {', '.join(names[:NEAR])}{more}" if names else f"it has none; {otherwise}"
