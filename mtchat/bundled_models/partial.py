"""A partly downloaded model: one sparse file, and a ledger of the pieces that are complete."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.bundled_models.catalogue import BundledModel

LOCK_POLL_SECONDS = 0.2


class WrongHashError(Exception):
    """A source delivered bytes whose hash is not the pinned one."""


@dataclass(frozen=True)
class PartialFile:
    """A model's file during its download. Only the holder of the lock changes anything in the folder."""

    model: BundledModel
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.model.file}.part"

    @property
    def ledger(self) -> Path:
        return self.folder / f"{self.model.file}.part.json"

    @property
    def scratch(self) -> Path:
        return self.folder / f"{self.model.file}.scratch"

    def kept(self) -> Mapping[int, str]:
        """The SHA-256 of each complete piece, from the ledger."""
        entries = read_json(self.ledger)
        if entries.get("sha256") != self.model.sha256 or not self.path.exists():
            return {}
        pieces = entries.get("pieces")
        return {int(piece): sha256 for piece, sha256 in pieces.items()} if isinstance(pieces, dict) else {}

    def missing(self) -> tuple[int, ...]:
        kept = self.kept()
        return tuple(piece for piece in range(self.model.pieces) if piece not in kept)

    def size(self, pieces: Iterable[int]) -> int:
        return sum(map(self.model.piece_bytes, pieces))

    def verify_pieces(self, on_progress: Callable[[int], None]) -> dict[int, str]:
        """Hash the kept pieces again and forget changed ones; `on_progress` gets the bytes hashed so far."""
        kept = self.kept()
        verified: dict[int, str] = {}
        seen = 0
        for piece, expected in kept.items():
            size = self.model.piece_bytes(piece)
            if sha256_of(self.path, self.model.start(piece), size) == expected:
                verified[piece] = expected
            seen += size
            on_progress(seen)
        if verified != kept:
            self.record(verified)
        return verified

    def write(self, piece: int, blocks: Iterable[bytes]) -> str:
        """Write a piece at its offset and return its SHA-256."""
        sha256 = hashlib.sha256()
        size = self.model.piece_bytes(piece)
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self.model.start(piece))
            for block in blocks:
                size -= len(block)
                if size < 0:
                    break
                sha256.update(block)
                file.write(block)
        if size:
            raise WrongHashError(f"piece {piece + 1} is longer or shorter than in the catalogue")
        return sha256.hexdigest()

    def record(self, pieces: Mapping[int, str]) -> None:
        entries = {str(piece): sha256 for piece, sha256 in sorted(pieces.items())}
        write_json(self.ledger, {"sha256": self.model.sha256, "pieces": entries})

    def finish(self, on_progress: Callable[[int], None]) -> Path:
        """Verify the whole file and put it in place."""
        found = sha256_of(self.path, on_progress=on_progress)
        if found != self.model.sha256:
            raise WrongHashError(f"the joined file has SHA-256 {found}, not {self.model.sha256}")
        target = self.folder / self.model.file
        put_in_place(self.path, target)
        self.ledger.unlink(missing_ok=True)
        return target

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.ledger.unlink(missing_ok=True)
        self.remove_temporary_files()

    def remove_temporary_files(self) -> None:
        """Remove temporary files, including those of a killed process."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @contextmanager
    def lock(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Lock the partial file; `on_wait` is called repeatedly while another process holds the lock.

        The kernel releases the lock of a killed process.
        """
        file = self.open()
        while file is None:
            on_wait()
            time.sleep(LOCK_POLL_SECONDS)
            file = self.open()
        try:
            yield
        finally:
            os.close(file)

    def open(self) -> int | None:
        """The locked partial file, created if missing; None while another process holds the lock."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The previous holder may have moved or removed the file between the two calls.
            if os.path.samestat(os.fstat(file), os.stat(self.path)):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(file)
        return None


BLOCK = 1024 * 1024


def sha256_of(
    path: Path,
    start: int = 0,
    size: int | None = None,
    on_progress: Callable[[int], None] = lambda count: None,
) -> str:
    """The SHA-256 of a file, or of `size` bytes of it; `on_progress` gets the number of bytes read so far."""
    sha256 = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while block := file.read(BLOCK if size is None else min(BLOCK, size - done)):
            sha256.update(block)
            done += len(block)
            on_progress(done)
    return sha256.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The content of a small JSON file; empty if it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    write_whole(path, json.dumps(value).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all, whoever else writes it."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Wait until no other process holds a folder, and hold it; the folder itself is what is locked."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def put_in_place(path: Path, target: Path) -> None:
    """Move a finished file into place so that its bytes and its name survive a power cut."""
    sync(path)
    os.replace(path, target)
    sync(target.parent)


def sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
