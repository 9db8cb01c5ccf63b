"""Decides what a typed text means: by its form where that is certain, else by what the model makes of it.

A loaded model knows far more about what people say than any list of phrases. Its probe reads the decision
from the very prefill of the next turn (`mtchat.inference.probe`), so a next step costs nothing more.
"""

import re
from collections.abc import Mapping, Sequence

from mtchat.features.understand.reading import Kind, Reading, Understanding, certain
from mtchat.session.prompt import Signals
from mtchat.session.turn import Turn

NUMBERED = re.compile(r"\b(?:turn|step) (?P<number>\d{1,4})\b", re.IGNORECASE)
RENAME = re.compile(r"rename (?P<old>`?\w+`?) (?:to|as|into) (?P<new>`?\w+`?)\.?", re.IGNORECASE)
IDENTIFIER = re.compile(r"[^\W\d]\w*")


def by_form(path: Sequence[Turn], text: str) -> Understanding | None:
    """The reading of a text whose form is certain, such as "rename total to balance"; None for all else."""
    if not path:
        return None
    found = RENAME.fullmatch(text.strip())
    if found:
        old, new = found["old"].strip("`"), found["new"].strip("`")
        if old in names_in(path) and new.isidentifier():
            return certain(text, Kind.RENAME)
    return None


def by_signals(path: Sequence[Turn], text: str, signals: Signals, shown: Sequence[int]) -> Understanding:
    """The readings that a model's signals give; `shown` are the turns of the last exchanges, in order."""
    turns = turn_probabilities(path, text, signals, shown)
    readings = [
        Reading(Kind(label), probability)
        for label, probability in signals.labels.items()
        if label != Kind.CHANGE
    ]
    change = signals.labels.get(Kind.CHANGE, 0.0)
    likely = sorted(turns, key=lambda turn: -turns[turn])
    readings += [
        Reading(Kind.CHANGE, change * turns[turn], (turn, *(each for each in likely if each != turn)))
        for turn in likely
    ]
    ranked = tuple(sorted(readings, key=lambda each: -each.confidence))
    return Understanding(text, best_kind_first(ranked, signals.labels), "probe")


def best_kind_first(readings: tuple[Reading, ...], labels: Mapping[str, float]) -> tuple[Reading, ...]:
    """The readings with one of the likeliest kind first: a change of one turn of many counts as a change."""
    if not readings or not labels:
        return readings
    kind = max(labels, key=lambda label: labels[label])
    first = next((each for each in readings if each.kind == kind), readings[0])
    return (first, *(each for each in readings if each is not first))


def turn_probabilities(
    path: Sequence[Turn], text: str, signals: Signals, shown: Sequence[int]
) -> dict[int, float]:
    """How likely the text is about each turn with code; a turn that it names by its number is the one."""
    named = NUMBERED.search(text)
    if named and 1 <= int(named["number"]) <= len(path):
        return {int(named["number"]): 1.0}
    last = signals.exchanges[len(signals.exchanges) - len(shown) :]
    found = {
        number: probability
        for number, probability in zip(shown, last, strict=False)
        if path[number - 1].chunk.strip()
    }
    total = sum(found.values()) or 1.0
    return {number: probability / total for number, probability in found.items()}


def names_in(path: Sequence[Turn]) -> frozenset[str]:
    """Every identifier in the code of some turns."""
    return frozenset(name for turn in path for name in IDENTIFIER.findall(turn.chunk))
