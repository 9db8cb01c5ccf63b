"""The cache of converted models: private copies, made once, and made again if outdated or damaged.

Also cached: the SHA-256 of weight files, and the tokenizer of each model.
"""

import contextlib
import fcntl
import glob
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
SNAPSHOT = ".seen.npz"
KEPT_SNAPSHOTS = 4  # of a copy with adapters
OUTDATED = "the converted copy was made by another version; converting the model again"
DAMAGED = "the converted copy is damaged; converting the model again"
KEY_LENGTH = 16  # hex digits of the content's hash at the start of a copy's name
BLOCK = 1 << 22  # bytes that are hashed at a time
HASHES = "fingerprints.json"
TOKENS_FORMAT = 2  # raised when the ids of some vocabulary change
TOKENS_PACKAGES = ("tokenizers", "transformers")


@dataclass(frozen=True)
class Recipe:
    """What a copy was made from: the path and hash of its source, and the versions of rules and packages."""

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
    """Make a folder that only its owner can read: KV snapshots in it reveal what the user typed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(stat.S_IMODE(found.st_mode) & 0o700)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    with open(folder / RECORD, "w", encoding="utf-8", opener=open_private) as stream:
        json.dump(asdict(recipe), stream)


@contextlib.contextmanager
def lock_folder(folder: Path, report: OnProgress) -> Iterator[None]:
    """Allow one conversion at a time; the system releases the lock when the process ends, however it ends."""
    with open(lock_path(folder), "w", opener=open_private) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another mtchat that is converting this model", None)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def make_once(folder: Path, fill: Callable[[Path], None], report: OnProgress) -> None:
    """Make a folder and fill it, all or nothing; a second process waits for the first."""
    make_private(folder.parent)
    with lock_folder(folder, report):
        if folder.is_dir():
            return
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed: we hold the lock
        part.mkdir()
        try:
            fill(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def lock_path(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def discard_stale(
    folder: Path,
    wanted: Recipe,
    sound: Callable[[Path], bool],
    report: OnProgress,
    current: Callable[[Path], bool] = lambda _: True,
) -> None:
    """Delete a copy that is damaged or was made by another recipe; a sound one must be `current`, too."""
    if not folder.is_dir():
        return
    with lock_folder(folder, report):
        made = read_config(folder / RECORD) | {"source": wanted.source}  # two files can have one content
        if made != asdict(wanted):
            report(OUTDATED, None)
        elif not sound(folder):
            report(DAMAGED, None)
        elif not current(folder):
            report(OUTDATED, None)
        else:
            return
        discard(folder)


def discard_superseded(folder: Path, made: Recipe) -> None:
    """Delete the copies of what the source contained before."""
    for other in list_copies(folder.parent):
        recipe = read_config(other / RECORD)
        if other != folder and (recipe.get("source"), recipe.get("kind")) == (made.source, made.kind):
            discard(other)


def remove_copies(cache: Path, content: str) -> int:
    """Delete all copies of a content and their KV snapshots: the bytes freed."""
    return remove_folders(
        each for each in list_copies(cache) if each.name.startswith(f"{content[:KEY_LENGTH]}-")
    )


def remove_copies_of(cache: Path, source: Path) -> int:
    """Delete all copies of a file or folder, which itself stays: the bytes freed."""
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
    seen = list_snapshots(folder)
    files = [each for each in (*folder.rglob("*"), *seen) if each.is_file()]
    freed = sum(each.stat().st_blocks * 512 for each in files)
    gone = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)  # in one step: a half-deleted copy is never opened
    shutil.rmtree(gone, ignore_errors=True)
    for each in seen:
        each.unlink(missing_ok=True)
    return freed


def snapshot_path(folder: Path, fingerprint: str = "") -> Path:
    """The KV snapshot of a copy; `fingerprint` is that of the model with adapters beside it."""
    return folder.with_name(f"{folder.name}{fingerprint and '-' + fingerprint[:KEY_LENGTH]}{SNAPSHOT}")


def list_snapshots(folder: Path) -> list[Path]:
    """The KV snapshots of a copy, alone and with adapters."""
    adapted = folder.parent.glob(f"{glob.escape(folder.name)}-*{SNAPSHOT}")
    return [each for each in (snapshot_path(folder), *adapted) if each.is_file()]


def drop_old_snapshots(folder: Path) -> None:
    """Delete all but the newest KV snapshots of a copy with adapters: each new scale makes one more."""
    adapted = [each for each in list_snapshots(folder) if each != snapshot_path(folder)]
    with contextlib.suppress(OSError):  # another process deletes them, too
        for each in sorted(adapted, key=lambda file: file.stat().st_mtime_ns)[:-KEPT_SNAPSHOTS]:
            each.unlink(missing_ok=True)


def hash_weights(files: Sequence[Path], cache: Path, report: Callable[[str, float | None], None]) -> str:
    """The SHA-256 of a file; for several (shards), that of their hashes, joined in the given order."""
    known = read_hashes(cache)
    hashes = []
    for file in files:
        key = file_identity(file)
        if key not in known:
            known[key] = hash_file(file, report)
            write_hashes(cache, known)
        hashes.append(known[key])
    return join_hashes(hashes)


def join_hashes(hashes: Sequence[str]) -> str:
    """The fingerprint of a model by the SHA-256 of each of its files."""
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
    """A key that changes when the content of a file does: path, size and times."""
    status = file.stat()
    return f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


def read_hashes(cache: Path) -> dict[str, str]:
    try:
        known = json.loads((cache / HASHES).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_hashes(cache: Path, known: dict[str, str]) -> None:
    """Write the known hashes in one step: two processes at once lose one hash at most, never the file."""
    make_private(cache)
    part = cache / f".{HASHES}.{os.getpid()}"
    with open(part, "w", encoding="utf-8", opener=open_private) as stream:
        json.dump(known, stream, indent=0)
    part.replace(cache / HASHES)


def cached_tokenizer(
    folder: Path,
    make: Callable[[], Tokenizer],
    fill: Callable[[], object],
    report: OnProgress,
    first: bool = True,
) -> Tokenizer:
    """The tokenizer in a folder of converted weights; `fill` converts the weights if need be.

    If it is made `first`, an error in the vocabulary appears before the slow conversion of the weights.
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
        write_recipe(part, wanted)

    report("building the tokenizer (once)", None)
    make_once(place, save, report)
    return Tokenizer.load(place)
