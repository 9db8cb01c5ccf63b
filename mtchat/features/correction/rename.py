"""Renames a name of the program in all turns, without a model."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mtchat.edits.rename import binds_name, rename_name
from mtchat.edits.tree import can_edit
from mtchat.errors import MtchatError
from mtchat.session.turn import Turn

KIND = re.compile(
    r"\b(?:the|its|this|that) (?P<kind>variable|function|method|class|parameter|argument|attribute|property"
    r"|field|constant)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rename:
    """A name and its replacement; `kind` is what it names, such as "method", or "" if that was not said."""

    old: str
    new: str
    kind: str = ""


def kind_said(wish: str) -> str:
    """What kind of name a request speaks of; "" if it does not say."""
    match = KIND.search(wish)
    return match["kind"].lower() if match else ""


def spells(turn: Turn, name: str) -> bool:
    """Whether the code of a turn has a name, in whatever role."""
    return re.search(rf"\b{re.escape(name)}\b", turn.chunk) is not None


def can_rename(rename: Rename, path: Sequence[Turn]) -> bool:
    """Whether rules can do it: the program itself binds the old name, and all its turns can be read."""
    return binds_name([turn.chunk for turn in path], rename.old)


def rename_everywhere(rename: Rename, path: Sequence[Turn]) -> tuple[str, ...]:
    """The chunks of a path with the name changed; MtchatError with the reason if that could break them."""
    return rename_name([turn.chunk for turn in path], rename.old, rename.new, rename.kind)


def rename_in_checks(rename: Rename, path: Sequence[Turn], checks: Iterable[str]) -> Mapping[str, str]:
    """By each check of a path that can be read: what it is called with the name changed."""
    known = [each for each in dict.fromkeys(checks) if can_edit(each)]
    try:
        made = rename_name([*(turn.chunk for turn in path), *known], rename.old, rename.new, rename.kind)
    except MtchatError:
        return {}
    return dict(zip(known, made[len(path) :], strict=True))
