"""What a small file of a model's folder tells, such as its config.json."""

import json
from pathlib import Path
from typing import Any

LARGEST = 32 << 20  # bytes; a tokenizer takes some millions


def facts(file: Path) -> dict[str, Any]:
    """Its entries; {} where it cannot be read: whoever needs one of them says what is wrong."""
    try:
        found = json.loads(text(file))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def text(file: Path, errors: str = "strict") -> str:
    """What a small file says; OSError where it is none: a pipe would wait, a device never end."""
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise OSError(f"{file} is not an ordinary file, or too large")
    return file.read_text("utf-8", errors)
