"""The SHA-256 of a model's weights, computed once and remembered by path, size and time of change."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mtchat.inference.conversions import own, private

BLOCK = 1 << 22
MEMORY = "fingerprints.json"


def fingerprint(files: Sequence[Path], cache: Path, report: Callable[[str, float | None], None]) -> str:
    """The SHA-256 of a file; of several (shards), that of their own hashes, joined in the given order."""
    known = recall(cache)
    hashes = []
    for file in files:
        key = identity(file)
        if key not in known:
            known[key] = sha256(file, report)
            remember(cache, known)
        hashes.append(known[key])
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def sha256(file: Path, report: Callable[[str, float | None], None]) -> str:
    digest, done, size = hashlib.sha256(), 0, max(file.stat().st_size, 1)
    with file.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            done += len(block)
            report(f"hashing {file.name}", done / size)
    return digest.hexdigest()


def identity(file: Path) -> str:
    """What must change when a file's content does."""
    status = file.stat()
    return f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ctime_ns}"


def recall(cache: Path) -> dict[str, str]:
    try:
        known = json.loads((cache / MEMORY).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def remember(cache: Path, known: dict[str, str]) -> None:
    """Write the memory in one step: two processes at once lose at most a hash, never the file."""
    private(cache)
    part = cache / f".{MEMORY}.{os.getpid()}"
    with open(part, "w", encoding="utf-8", opener=own) as stream:
        json.dump(known, stream, indent=0)
    part.replace(cache / MEMORY)
