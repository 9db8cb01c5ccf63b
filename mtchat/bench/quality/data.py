"""Reads the data of a benchmark, which is somebody else's and lies in no package of ours."""

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
    str: "a text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class DataFormat:
    """What a suite wants of its data: the types of the fields that each problem must have, by name; which
    field tells problems apart; and where the data is to be had.
    """

    fields: Fields
    key: str
    source: str


def read(path: Path, data: DataFormat, build: Callable[[dict[str, Any]], Iterable[T]]) -> Sequence[T]:
    """All that `build` makes of the problems in a file: JSON lines, or one JSON list; packed where its name
    ends in .gz. `build` raises a ValueError for a problem that cannot be used.

    Raises MtchatError with the line or item of the first bad problem.
    """
    if not os.path.isfile(path):
        raise MtchatError(f"there is no {path}; {data.source}")
    found: list[T] = []
    seen: dict[str, str] = {}
    try:
        for where, problem in located(path):
            try:
                check(problem, data.fields)
                key = str(problem[data.key])
                if before := seen.get(key):
                    raise ValueError(f"{data.key} {key} is that of {before} too")
                seen[key] = where
                found += build(problem)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{where}: {error}") from None
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise MtchatError(f"{path} cannot be used: {error}; mend it, or {data.source}") from None
    if not found:
        raise MtchatError(f"{path} holds no problems; {data.source}")
    return found


def located(path: Path) -> Iterable[tuple[str, Any]]:
    """The values in a file, each with its place."""
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


def check(problem: object, fields: Fields) -> None:
    """Raises ValueError where a problem lacks a field, or has it with a value of another type."""
    if not isinstance(problem, dict):
        raise ValueError("not a problem: it must be an object with names")
    if missing := [name for name in fields if name not in problem]:
        raise ValueError(f"lacks {', '.join(missing)}")
    for name, kinds in fields.items():
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if not is_a(problem[name], kinds):
            raise ValueError(f"{name} is not {' or '.join(NAMES[each] for each in kinds)}")
    try:
        json.dumps(problem, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a character (a lone surrogate)") from None


def is_a(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def texts(value: list[Any], name: str) -> list[str]:
    """A field's list, each of whose items must be a text; ValueError where one is not, or there is none."""
    if not value:
        raise ValueError(f"{name} is empty")
    for number, each in enumerate(value, start=1):
        if not isinstance(each, str):
            raise ValueError(f"item {number} of {name} is not a text")
    return value
