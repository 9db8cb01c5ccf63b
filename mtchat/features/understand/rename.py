"""Finds both names of a rename in the words of a request, in whatever language it is made."""

import keyword
import re
from collections.abc import Sequence

from mtchat.features.correction.rename import Rename, kind_said
from mtchat.session.turn import Turn

FORM = re.compile(
    r"rename (?:the (?:\w+ )??)?`?(?P<old>\w+)`? (?:to|as|into) `?(?P<new>\w+)`?[.!]?", re.IGNORECASE
)
IDENTIFIER = re.compile(r"[^\W\d]\w*")
MARKED = re.compile(r"[`'\"“”‘’](?P<name>[^\W\d]\w*)(?:\(\))?[`'\"“”‘’]")
CODE_LIKE = re.compile(r"\w*(?:_|\d|[a-z][A-Z])\w*")


def parse_rename(path: Sequence[Turn], text: str) -> Rename | None:
    """The rename in a text of the form "rename total to balance" whose old name the program has."""
    found = FORM.fullmatch(text.strip())
    if found is None or found["old"] not in names_in(path) or not found["new"].isidentifier():
        return None
    return Rename(found["old"], found["new"], kind_said(text))


def names_in(path: Sequence[Turn]) -> frozenset[str]:
    """Every identifier in the code of some turns."""
    return frozenset(name for turn in path for name in IDENTIFIER.findall(turn.chunk))


def find_rename(path: Sequence[Turn], text: str) -> Rename | None:
    """The rename that a request means; None if its words leave open which name is meant.

    The old name is one of the program. The new one is not, and is marked as code or written like a name,
    unless the form of the request leaves no doubt.
    """
    if certain := parse_rename(path, text):
        return certain
    known = names_in(path)
    words = IDENTIFIER.findall(text)
    old = [name for name in words if name in known and not keyword.iskeyword(name)]
    if not old:
        return None
    news = [name for name in words if name.isidentifier() and name not in known]
    marked = [found["name"] for found in MARKED.finditer(text)]
    for candidates in (
        [name for name in marked if name not in known],
        [name for name in news if CODE_LIKE.fullmatch(name)],
    ):
        if len(dict.fromkeys(candidates)) == 1:
            return chosen(old, marked, candidates[0], kind_said(text))
    return None


def chosen(old: Sequence[str], marked: Sequence[str], new: str, kind: str) -> Rename | None:
    """The rename to a new name of the one old name, or of the one that is marked or written like a name."""
    for candidates in (
        [name for name in old if name in marked],
        [name for name in old if CODE_LIKE.fullmatch(name)],
        old,
    ):
        if len(dict.fromkeys(candidates)) == 1:
            return Rename(candidates[0], new, kind)
    return None
