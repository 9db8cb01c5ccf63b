"""The copies of models that mtchat makes for itself: closed to others, made again when they are not right."""

import contextlib
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from mtchat.errors import ModelError
from mtchat.inference.facts import facts

RECORD = "made.json"
SEEN = ".seen.npz"
OLD = "the model's copy in the cache was made by another version; making it again"
DAMAGED = "the model's copy in the cache is damaged; making it again"
KEY = 16  # letters of what identifies the content, at the front of a copy's name
Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Recipe:
    """What a copy was made of: a source's path and content, the rules and the packages' versions."""

    source: str
    content: str
    kind: str
    rules: int
    versions: str = ""


def recipe(source: Path, content: str, kind: str, rules: int, packages: tuple[str, ...] = ()) -> Recipe:
    versions = " ".join(f"{each} {metadata.version(each)}" for each in packages)
    return Recipe(str(source.resolve()), content, kind, rules, versions)


def private(folder: Path) -> None:
    """Make a folder that is closed to others, or close it: what is kept there tells what was typed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(stat.S_IMODE(found.st_mode) & 0o700)


def own(path: str, flags: int) -> int:
    """An opener of files that are the user's alone, and no link of somebody else's."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def record(folder: Path, made: Recipe) -> None:
    with open(folder / RECORD, "w", encoding="utf-8", opener=own) as stream:
        json.dump(asdict(made), stream)


@contextlib.contextmanager
def lock(folder: Path, report: Report) -> Iterator[None]:
    """One conversion at a time; the system lets go of the lock when its process ends, however it ends."""
    with open(lock_of(folder), "w", opener=own) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another mtchat that converts this model", None)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def clear(folder: Path, wanted: Recipe, sound: Callable[[Path], bool], report: Report) -> None:
    """Take away a copy that is damaged or was made in another way, so that it is made again."""
    if not folder.is_dir():
        return
    with lock(folder, report):
        made = facts(folder / RECORD) | {"source": wanted.source}  # one content may lie in two places
        if made != asdict(wanted):
            report(OLD, None)
        elif not sound(folder):
            report(DAMAGED, None)
        else:
            return
        discard(folder)


def retire(folder: Path, made: Recipe) -> None:
    """Take away the copies that were made of what the source held before."""
    for other in copies(folder.parent):
        told = facts(other / RECORD)
        if other != folder and (told.get("source"), told.get("kind")) == (made.source, made.kind):
            discard(other)


def remove(cache: Path, content: str) -> int:
    """Take away all copies of a content, and what was seen with it: how many bytes that freed."""
    return taken(each for each in copies(cache) if each.name.startswith(f"{content[:KEY]}-"))


def remove_of(cache: Path, source: Path) -> int:
    """The same for the copies that were made of a file or folder, which stays."""
    place = str(source.resolve())
    return taken(each for each in copies(cache) if facts(each / RECORD).get("source") == place)


def taken(folders: Iterable[Path]) -> int:
    def busy(stage: str, _: float | None) -> None:
        raise ModelError("another mtchat is converting this model; stop it first")

    freed = 0
    for folder in folders:
        with lock(folder, busy):
            freed += discard(folder)
            lock_of(folder).unlink(missing_ok=True)
    return freed


def copies(cache: Path) -> Iterator[Path]:
    if cache.is_dir():
        yield from sorted(each for each in cache.iterdir() if each.is_dir() and not each.name.startswith("."))


def discard(folder: Path) -> int:
    seen = folder.with_name(f"{folder.name}{SEEN}")
    files = [each for each in (*folder.rglob("*"), seen) if each.is_file()]
    freed = sum(each.stat().st_blocks * 512 for each in files)
    gone = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)  # in one step: a copy that is half there is never opened
    shutil.rmtree(gone, ignore_errors=True)
    seen.unlink(missing_ok=True)
    return freed
