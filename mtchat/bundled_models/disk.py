"""How bytes are hashed, and how small files are written so that a crash leaves the old or the new one."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK = 1024 * 1024


def digest(
    path: Path, start: int = 0, size: int | None = None, moved: Callable[[int], None] = lambda count: None
) -> str:
    """The SHA-256 of a file, or of `size` bytes of it; `moved` hears how many have been read."""
    sha256 = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while block := file.read(BLOCK if size is None else min(BLOCK, size - done)):
            sha256.update(block)
            done += len(block)
            moved(done)
    return sha256.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """What a small file holds; empty when it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def move(path: Path, target: Path) -> None:
    """Put a finished file in place, for good: its bytes and its name survive a power cut."""
    sync(path)
    os.replace(path, target)
    sync(target.parent)


def sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
