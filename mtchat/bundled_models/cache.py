"""The cache folder of models: lists, finds, verifies and removes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from mtchat.bundled_models import catalogue
from mtchat.bundled_models.catalogue import BundledModel
from mtchat.bundled_models.partial import PartialFile, read_json, sha256_of, write_json
from mtchat.errors import ModelError

PRESENT = "downloaded"
PARTIAL = "partial"
DAMAGED = "damaged"
ABSENT = "not downloaded"


@dataclass(frozen=True)
class ModelStatus:
    """A model and its state on disk: `path` is where its file belongs, `kept` counts complete pieces."""

    name: str
    title: str
    licence: str
    bytes: int
    state: str
    path: Path
    kept: int
    pieces: int
    starter: bool = True

    @property
    def text(self) -> str:
        """The state as text."""
        return f"partial, {self.kept} of {self.pieces} pieces" if self.state == PARTIAL else self.state


def models_folder() -> Path:
    """The user's cache folder for models; it is not created."""
    return user_cache_path("mtchat", appauthor=False) / "models"


def locate(name: str, folder: Path, models: Sequence[BundledModel] | None = None) -> Path | None:
    """The verified file of a model; None if it is missing or incomplete."""
    model = catalogue.find(name, models)
    path = folder / model.file
    return path if is_verified(model, path) else None


def is_verified(model: BundledModel, path: Path) -> bool:
    """Whether a file is the official one. It is hashed once, and again only after it changes."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if found.st_size != model.bytes:
        return False
    now = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    record = read_json(verification_file(path))
    if {**record, **now} != record or "sha256" not in record:
        record = {**now, "sha256": sha256_of(path)}
        write_verification(path, record)
    return bool(record["sha256"] == model.sha256)


def write_verification(path: Path, record: dict[str, int | str]) -> None:
    """Save the result of a verification if possible; in a read-only folder each start hashes again."""
    try:
        write_json(verification_file(path), record)
    except OSError:
        return


def verification_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified.json")


def mark_verified(model: BundledModel, path: Path) -> None:
    """Record that a file has just been verified."""
    found = path.stat()
    write_verification(path, {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": model.sha256})


def list_models(folder: Path, models: Sequence[BundledModel] | None = None) -> tuple[ModelStatus, ...]:
    """Every model of the catalogue, with its state in the folder."""
    return tuple(
        model_status(model, folder) for model in (catalogue.load_catalogue() if models is None else models)
    )


def model_status(model: BundledModel, folder: Path) -> ModelStatus:
    path = folder / model.file
    kept = len(PartialFile(model, folder).kept())
    if is_verified(model, path):
        state = PRESENT
    elif kept:
        state = PARTIAL
    else:
        state = DAMAGED if path.exists() else ABSENT
    return ModelStatus(
        *(model.name, model.title, model.licence, model.bytes, state, path, kept, model.pieces),
        model.is_starter,
    )


def remove(name: str, folder: Path, models: Sequence[BundledModel] | None = None) -> int:
    """Delete a model or its pieces; returns the number of bytes freed."""
    model = catalogue.find(name, models)
    path = folder / model.file
    if not path.parent.is_dir():
        return 0

    def busy() -> None:
        raise ModelError(f"another mtchat is downloading {name}; stop it first")

    partial = PartialFile(model, folder)
    with partial.lock(busy):
        freed = sum(each.stat().st_blocks * 512 for each in (path, partial.path) if each.exists())
        path.unlink(missing_ok=True)
        verification_file(path).unlink(missing_ok=True)
        partial.discard()
    return freed
