"""What a JSON file of a model's folder tells, such as its config.json."""

import json
from pathlib import Path
from typing import Any

LARGEST = 16 << 20  # bytes; a config takes some thousands


def facts(file: Path) -> dict[str, Any]:
    """Its entries; {} where it cannot be read: whoever needs one of them says what is wrong."""
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return {}
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
