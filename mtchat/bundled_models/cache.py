"""The folder of fetched models: what is in it, whether it is whole, and how to take it out again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from mtchat.bundled_models import catalogue
from mtchat.bundled_models.catalogue import Model
from mtchat.bundled_models.disk import digest, read_json, write_json
from mtchat.bundled_models.partial import Partial
from mtchat.errors import ModelError

HERE = "here"
PARTIAL = "partial"
DAMAGED = "damaged"
ABSENT = "not here"


@dataclass(frozen=True)
class Row:
    """One model in a list. `path` is where its file is or would be; `kept` counts pieces of a partial one."""

    name: str
    title: str
    licence: str
    bytes: int
    state: str
    path: Path
    kept: int
    pieces: int

    @property
    def text(self) -> str:
        """The state in words."""
        return f"partial, {self.kept} of {self.pieces} pieces" if self.state == PARTIAL else self.state


def folder() -> Path:
    """The user's own cache folder for models; nothing is created."""
    return user_cache_path("mtchat", appauthor=False) / "models"


def locate(name: str, folder: Path, models: Sequence[Model] | None = None) -> Path | None:
    """The file of a model that is present and whole, else None."""
    model = catalogue.find(name, models)
    path = folder / model.file
    return path if whole(model, path) else None


def whole(model: Model, path: Path) -> bool:
    """Whether a file is the official one. It is hashed once, and again only when it has changed since."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if found.st_size != model.bytes:
        return False
    now = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    mark = read_json(beside(path))
    if {**mark, **now} != mark or "sha256" not in mark:
        mark = {**now, "sha256": digest(path)}
        remember(path, mark)
    return bool(mark["sha256"] == model.sha256)


def remember(path: Path, mark: dict[str, int | str]) -> None:
    """Write down what was found, where that is possible: a read-only folder works too, only slower."""
    try:
        write_json(beside(path), mark)
    except OSError:
        return


def beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified.json")


def mark(model: Model, path: Path) -> None:
    """Remember that a file has just been verified."""
    found = path.stat()
    remember(path, {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "sha256": model.sha256})


def status(folder: Path, models: Sequence[Model] | None = None) -> tuple[Row, ...]:
    """Every model of the table, and how much of it is in the folder."""
    return tuple(row(model, folder) for model in (catalogue.load() if models is None else models))


def row(model: Model, folder: Path) -> Row:
    path = folder / model.file
    kept = len(Partial(model, folder).kept())
    if whole(model, path):
        state = HERE
    elif kept:
        state = PARTIAL
    else:
        state = DAMAGED if path.exists() else ABSENT
    return Row(model.name, model.title, model.licence, model.bytes, state, path, kept, model.pieces)


def remove(name: str, folder: Path, models: Sequence[Model] | None = None) -> int:
    """Delete a model, or the pieces of one, and return how many bytes that freed."""
    model = catalogue.find(name, models)
    path = folder / model.file
    if not folder.is_dir():
        return 0

    def busy() -> None:
        raise ModelError(f"another mtchat is fetching {name}; stop it first")

    partial = Partial(model, folder)
    with partial.lock(busy):
        freed = sum(each.stat().st_blocks * 512 for each in (path, partial.path) if each.exists())
        path.unlink(missing_ok=True)
        beside(path).unlink(missing_ok=True)
        partial.discard()
    return freed
