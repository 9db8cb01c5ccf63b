"""Frozen dataclasses as JSON values and back, checked against their own type hints."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import PurePath
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from mtchat.session.prompt import FILE_KEY
from mtchat.session.provenance import Provenance, ProvenanceRecord, as_json, provenance_of
from mtchat.session.settings import Sampling

T = TypeVar("T")
MOST = 10**300  # what a float holds, so that counts of any file can be divided and shown
LONGEST = 60  # characters of a value in a message


def rebuild(kind: type[T], value: object) -> T:
    """A dataclass from its fields; unknown fields are ignored, absent ones take their defaults.

    ValueError or TypeError says what does not fit.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{kind.__name__.lower()} is not a JSON object")
    known = field_hints(cast(Hashable, kind))
    values = {
        known[key].name: convert(known[key].kind, each, key) for key, each in value.items() if key in known
    }
    if kind is Sampling:  # as recorded: a file may hold values that no model can sample with
        return cast(T, Sampling.from_record(**values))
    return kind(**values)


def to_json(value: object) -> Any:
    """A dataclass as what JSON can say: its fields under their file keys, tuples as lists."""
    if isinstance(value, Provenance):
        return as_json(value)
    if is_dataclass(value):
        known = field_hints(cast(Hashable, type(value)))
        return {key: to_json(getattr(value, each.name)) for key, each in known.items()}
    if isinstance(value, tuple):
        if all(type(each) is str for each in value):
            return list(value)  # what a run printed, by turn: long in a long session
        return [to_json(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value


def convert(kind: object, value: object, name: str) -> object:
    """A JSON value as what a type hint says.

    That is str, int, float, bool, PurePath, X | None, tuple[X, ...], a dataclass or a provenance.
    """
    if kind == Provenance:
        if not isinstance(value, dict):
            raise ValueError(f"{name} is not a JSON object")
        return provenance_of(rebuild(ProvenanceRecord, value))
    if isinstance(kind, UnionType):
        return None if value is None else convert(get_args(kind)[0], value, name)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list")
        if get_args(kind)[0] is str and all(type(each) is str for each in value):
            return tuple(value)  # what a run printed, by turn: long in a long session
        return tuple(convert(get_args(kind)[0], each, name) for each in value)
    if is_dataclass(kind):
        return rebuild(cast(type[object], kind), value)
    if kind is PurePath:
        return PurePath(str(convert(str, value, name)))
    # a whole number is a good float, and keeps its form: the id of a turn is made from it
    fitting = (float, int) if kind is float else (kind,)
    if type(value) not in fitting:
        raise ValueError(f"{name} is {shorten_value(value)}, not {getattr(kind, '__name__', kind)}")
    if type(value) is int and abs(value) > MOST:
        raise ValueError(f"{name} is a number of {len(str(value))} digits")
    return value


def shorten_value(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class Hint:
    """A field of a dataclass: its name and its type."""

    name: str
    kind: object


@cache
def field_hints(kind: Hashable) -> Mapping[str, Hint]:
    """The fields of a dataclass by their keys in session files."""
    kinds = get_type_hints(kind)
    found = fields(cast(Any, kind))
    return {each.metadata.get(FILE_KEY, each.name): Hint(each.name, kinds[each.name]) for each in found}
