"""What has changed between two pieces of code, line by line."""

import difflib


def difference(old: str, new: str, around: int = 2) -> list[str]:
    """Lines that went begin with "- ", new ones with "+ ", those around them with two spaces."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=around, lineterm="")
    return [f"{line[0]} {line[1:]}" for line in list(lines)[2:] if not line.startswith("@@")]
