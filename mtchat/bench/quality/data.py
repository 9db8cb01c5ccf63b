"""Reads the problems of a benchmark from its data file, which mtchat does not ship."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mtchat.errors import MtchatError

T = TypeVar("T")

Fields = Mapping[str, type | tuple[type, ...]]

NAMES: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class DataFormat:
    """What a data file must hold: the types of each problem's fields, by name, and the field that identifies
    a problem; `source` says where to get the file.
    """

    fields: Fields
    key: str
    source: str


def read_problems(
    path: Path, data: DataFormat, build: Callable[[dict[str, Any]], Iterable[T]]
) -> Sequence[T]:
    """What `build` makes of each problem in a file of JSON lines or one JSON list, gzipped if it ends in .gz.

    `build` raises ValueError for a problem that cannot be used. MtchatError names the line or item of the
    first bad problem.
    """
    if not os.path.isfile(path):
        raise MtchatError(f"{path} does not exist; {data.source}")
    found: list[T] = []
    seen: dict[str, str] = {}
    try:
        for where, problem in numbered_values(path):
            try:
                check_fields(problem, data.fields)
                key = str(problem[data.key])
                if before := seen.get(key):
                    raise ValueError(f"{data.key} {key} is already used by {before}")
                seen[key] = where
                found += build(problem)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where}: {error}") from None
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise MtchatError(f"{path} cannot be used: {error}; correct it, or {data.source}") from None
    if not found:
        raise MtchatError(f"{path} contains no problems; {data.source}")
    return found


def numbered_values(path: Path) -> Iterable[tuple[str, Any]]:
    """The values in a file, each with its line or item."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    if text.lstrip().startswith("["):
        for number, value in enumerate(json.loads(text), start=1):
            yield f"item {number}", value
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is not JSON ({error})") from None


def first_value(path: Path) -> Any:
    """The first value in a file; None if the file cannot be read or does not begin with one."""
    try:
        return next(iter(numbered_values(path)), ("", None))[1]
    except (OSError, EOFError, ValueError, RecursionError, zlib.error):
        return None


def check_fields(problem: object, fields: Fields) -> None:
    """ValueError if a field of a problem is missing or has the wrong type."""
    if not isinstance(problem, dict):
        raise ValueError("a problem must be a JSON object")
    if missing := [name for name in fields if name not in problem]:
        raise ValueError(f"missing {', '.join(missing)}")
    for name, kinds in fields.items():
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if not has_type(problem[name], kinds):
            raise ValueError(f"{name} is not {' or '.join(NAMES[each] for each in kinds)}")
    try:
        json.dumps(problem, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("contains a lone surrogate") from None


def has_type(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def check_texts(value: list[Any], name: str) -> list[str]:
    """A list of strings; ValueError if it is empty, or an item is not a string."""
    if not value:
        raise ValueError(f"{name} is empty")
    for number, each in enumerate(value, start=1):
        if not isinstance(each, str):
            raise ValueError(f"item {number} of {name} is not a string")
    return value
