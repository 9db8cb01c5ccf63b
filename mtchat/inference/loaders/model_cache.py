"""The copies of models that mtchat makes for itself: closed to others, made again when they are not right."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from mtchat.errors import ModelError
from mtchat.files import open_private
from mtchat.inference.loaders.model_files import OnProgress, read_config
from mtchat.inference.tokens.tokenizer import Tokenizer

RECORD = "made.json"
SEEN = ".seen.npz"
OUTDATED = "the model's copy in the cache was made by another version; making it again"
DAMAGED = "the model's copy in the cache is damaged; making it again"
KEY_LENGTH = 16  # letters of what identifies the content, at the front of a copy's name


@dataclass(frozen=True)
class Recipe:
    """What a copy was made of: a source's path and content, the rules and the packages' versions."""

    source: str
    content: str
    kind: str
    rules: int
    versions: str = ""


def make_recipe(source: Path, content: str, kind: str, rules: int, packages: tuple[str, ...] = ()) -> Recipe:
    versions = " ".join(f"{each} {installed_version(each)}" for each in packages)
    return Recipe(str(source.resolve()), content, kind, rules, versions)


def installed_version(package: str) -> str:
    """The version of a package, or "-" if it is not installed: bundled models do not need transformers."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


def make_private(folder: Path) -> None:
    """Make a folder that is closed to others, or close it: what is kept there tells what was typed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(stat.S_IMODE(found.st_mode) & 0o700)


def write_record(folder: Path, made: Recipe) -> None:
    with open(folder / RECORD, "w", encoding="utf-8", opener=open_private) as stream:
        json.dump(asdict(made), stream)


@contextlib.contextmanager
def lock_folder(folder: Path, report: OnProgress) -> Iterator[None]:
    """One conversion at a time; the system lets go of the lock when its process ends, however it ends."""
    with open(lock_path(folder), "w", opener=open_private) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another mtchat that converts this model", None)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def make_once(folder: Path, fill: Callable[[Path], None], report: OnProgress) -> None:
    """Make a folder and fill it, all or nothing; a second process waits for the first."""
    make_private(folder.parent)
    with lock_folder(folder, report):
        if folder.is_dir():
            return
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed: the lock is ours
        part.mkdir()
        try:
            fill(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def lock_path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def discard_stale(folder: Path, wanted: Recipe, sound: Callable[[Path], bool], report: OnProgress) -> None:
    """Take away a copy that is damaged or was made in another way, so that it is made again."""
    if not folder.is_dir():
        return
    with lock_folder(folder, report):
        made = read_config(folder / RECORD) | {"source": wanted.source}  # one content may lie in two places
        if made != asdict(wanted):
            report(OUTDATED, None)
        elif not sound(folder):
            report(DAMAGED, None)
        else:
            return
        discard(folder)


def discard_superseded(folder: Path, made: Recipe) -> None:
    """Take away the copies that were made of what the source held before."""
    for other in list_copies(folder.parent):
        recipe = read_config(other / RECORD)
        if other != folder and (recipe.get("source"), recipe.get("kind")) == (made.source, made.kind):
            discard(other)


def remove_copies(cache: Path, content: str) -> int:
    """Take away all copies of a content, and what was seen with it: how many bytes that freed."""
    return remove_folders(
        each for each in list_copies(cache) if each.name.startswith(f"{content[:KEY_LENGTH]}-")
    )


def remove_copies_of(cache: Path, source: Path) -> int:
    """The same for the copies that were made of a file or folder, which stays."""
    place = str(source.resolve())
    return remove_folders(
        each for each in list_copies(cache) if read_config(each / RECORD).get("source") == place
    )


def remove_folders(folders: Iterable[Path]) -> int:
    def busy(stage: str, _: float | None) -> None:
        raise ModelError("another mtchat is converting this model; stop it first")

    freed = 0
    for folder in folders:
        with lock_folder(folder, busy):
            freed += discard(folder)
            lock_path(folder).unlink(missing_ok=True)
    return freed


def list_copies(cache: Path) -> Iterator[Path]:
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


BLOCK = 1 << 22
HASHES = "fingerprints.json"


def hash_weights(files: Sequence[Path], cache: Path, report: Callable[[str, float | None], None]) -> str:
    """The SHA-256 of a file; of several (shards), that of their own hashes, joined in the given order."""
    known = read_hashes(cache)
    hashes = []
    for file in files:
        key = file_identity(file)
        if key not in known:
            known[key] = hash_file(file, report)
            write_hashes(cache, known)
        hashes.append(known[key])
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def hash_file(file: Path, report: Callable[[str, float | None], None]) -> str:
    digest, done, size = hashlib.sha256(), 0, max(file.stat().st_size, 1)
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            done += len(block)
            report(f"hashing {file.name}", done / size)
    return digest.hexdigest()


def file_identity(file: Path) -> str:
    """What must change when a file's content does."""
    status = file.stat()
    return f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


def read_hashes(cache: Path) -> dict[str, str]:
    try:
        known = json.loads((cache / HASHES).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_hashes(cache: Path, known: dict[str, str]) -> None:
    """Write the memory in one step: two processes at once lose at most a hash, never the file."""
    make_private(cache)
    part = cache / f".{HASHES}.{os.getpid()}"
    with open(part, "w", encoding="utf-8", opener=open_private) as stream:
        json.dump(known, stream, indent=0)
    part.replace(cache / HASHES)


TOKENS_FORMAT = 1
TOKENS_PACKAGES = ("tokenizers", "transformers")


def cached_tokenizer(
    folder: Path,
    make: Callable[[], Tokenizer],
    fill: Callable[[], object],
    report: OnProgress,
    first: bool = True,
) -> Tokenizer:
    """The tokenizer that is kept in a folder of weights, which `fill` makes where it is not sound.

    Made `first`, one that cannot be made is told before the weights are converted, which takes its time.
    """
    place = folder / f"tokens-{TOKENS_FORMAT}"
    wanted = make_recipe(folder, folder.name, "tokens", TOKENS_FORMAT, TOKENS_PACKAGES)
    discard_stale(place, wanted, lambda _: True, report)
    made = make() if first and not place.is_dir() else None
    fill()
    if place.is_dir():
        try:
            return Tokenizer.load(place)
        except Exception:  # tokenizers raises nothing narrower
            discard_stale(place, wanted, lambda _: False, report)

    def save(part: Path) -> None:
        (made or make()).save(part)
        write_record(part, wanted)

    report("reading the vocabulary, once", None)
    make_once(place, save, report)
    return Tokenizer.load(place)
