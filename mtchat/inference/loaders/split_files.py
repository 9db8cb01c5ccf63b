"""Finds the parts of a split GGUF model, NAME-00001-of-0000N.gguf, beside each other."""

import re
from pathlib import Path

from mtchat.errors import ModelError

PART_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)?", re.DOTALL)
SHOWN = 5  # missing parts that an error names
COUNT, NUMBER, TENSORS = "split.count", "split.no", "split.tensors.count"  # the keys of each part's metadata


def is_later_part(name: str) -> bool:
    """Whether a file name is that of a part but not of the first."""
    found = PART_NAME.fullmatch(name)
    return found is not None and 1 < int(found["number"]) <= int(found["count"])


def find_files(file: Path) -> list[Path]:
    """The files of the model that a file is, or is a part of, the first part first.

    ModelError if a later part is given and others are missing; for the first, its metadata decide.
    """
    paths = part_paths(file)
    if is_later_part(file.name):
        return find_parts(file, len(paths))
    return paths if all(each.exists() for each in paths) else [file]


def part_paths(file: Path) -> list[Path]:
    """The paths of all parts by the name of one; the file alone if its name is not that of a part."""
    found = PART_NAME.fullmatch(file.name)
    if found is None or not 1 <= int(found["number"]) <= int(found["count"]):
        return [file]
    count, suffix = int(found["count"]), found["suffix"] or ""
    return [
        file.with_name(f"{found['stem']}-{number:05}-of-{count:05}{suffix}") for number in range(1, count + 1)
    ]


def find_parts(file: Path, count: int) -> list[Path]:
    """The `count` parts of a model in order; ModelError that names those that are missing."""
    paths = part_paths(file)
    if len(paths) != count:
        raise ModelError(
            f"{file} is one of {count} parts of a split model, but its name does not say so; name the parts "
            f"NAME-00001-of-{count:05}.gguf and so on, as they were published"
        )
    missing = [each.name for each in paths if not each.exists()]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ModelError(
            f"{file.name} is one of {count} parts of a split model, and {len(missing)} of them "
            f"{'are' if len(missing) > 1 else 'is'} missing in {file.parent}: "
            f"{', '.join(missing[:SHOWN])}{more}; download all parts into one folder"
        )
    return paths
