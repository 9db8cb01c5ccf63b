"""Reads the data of a benchmark, which is somebody else's and lies in no package of ours."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtchat.errors import MtchatError


def problems(path: Path, needed: frozenset[str], source: str) -> Sequence[dict[str, Any]]:
    """The problems in a file: JSON lines, or one JSON list; packed where its name ends in .gz.

    `needed` are the names that each problem must have, `source` is where the file is to be had.
    """
    if not path.is_file():
        raise MtchatError(f"there is no {path}; {source}")
    try:
        found = parsed(path)
    except (OSError, EOFError, ValueError) as error:
        raise MtchatError(f"{path} cannot be read: {error}; {source}") from None
    if not found or not all(isinstance(each, dict) and each.keys() >= needed for each in found):
        raise MtchatError(f"{path} holds no problems with {', '.join(sorted(needed))}; {source}")
    return found


def parsed(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    if text.lstrip().startswith("["):
        listed: list[dict[str, Any]] = json.loads(text)
        return listed
    return [json.loads(line) for line in text.split("\n") if line.strip()]
