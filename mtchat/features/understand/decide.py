"""Decides what a typed text means: by its form where that is certain, else by what the model makes of it.

A loaded model knows far more about what people say than any list of phrases. Its probe reads the decision
from the very prefill of the next turn (`mtchat.inference.probe`), so a next step costs nothing more.
"""

import re
from collections.abc import Mapping, Sequence

from mtchat.errors import UsageError
from mtchat.features.understand.reading import Kind, Reading, Understanding, certain
from mtchat.features.understand.rename import parse_rename
from mtchat.session.prompt import Signals
from mtchat.session.turn import Turn

PLACED = re.compile(
    r"(?:in (?:turn|step) (?P<number>\d{1,4})\b|turn (?P<named>\d{1,4}) ?[,:])[,:]?\s*\S.*",
    re.IGNORECASE | re.DOTALL,
)
NUMBERED = re.compile(r"\b(?:turn|step) (?P<number>\d{1,4})\b", re.IGNORECASE)


def by_form(path: Sequence[Turn], text: str) -> Understanding | None:
    """The reading of a text whose form is certain, such as "rename total to balance" or "in turn 2, ...".

    None for all else, such as "step 2: ...", which may be the next one of the user's own list; UsageError if
    the turn that it names does not exist.
    """
    if parse_rename(path, text):
        return certain(text, Kind.RENAME)
    placed = PLACED.fullmatch(text.strip())
    number = int(placed["number"] or placed["named"]) if placed and not text.rstrip().endswith("?") else 0
    if number > len(path) > 0:
        raise UsageError(f"there is no turn {number}; the last one is turn {len(path)}")
    if number and path and path[number - 1].chunk.strip():
        return certain(text, Kind.CHANGE, [number])
    return None


def by_signals(path: Sequence[Turn], text: str, signals: Signals, shown: Sequence[int]) -> Understanding:
    """The readings that a model's signals give; `shown` are the turns of the last exchanges, in order."""
    turns = turn_probabilities(path, text, signals, shown)
    likely = sorted(turns, key=lambda turn: -turns[turn])
    readings = [
        Reading(Kind(label), probability, tuple(likely) if label == Kind.RENAME else ())
        for label, probability in signals.labels.items()
        if label != Kind.CHANGE
    ]
    change = signals.labels.get(Kind.CHANGE, 0.0)
    readings += [
        Reading(Kind.CHANGE, change * turns[turn], (turn, *(each for each in likely if each != turn)))
        for turn in likely
    ]
    ranked = tuple(sorted(readings, key=lambda each: -each.confidence))
    first = best_kind_first(ranked, signals.labels)
    changes = first[0].kind is Kind.CHANGE
    ask_below = signals.ask_change_below if changes else signals.ask_below
    return Understanding(text, first, "probe", ask_below)


def by_first_signals(text: str, signals: Signals) -> Understanding:
    """What a text means where there is no program yet: what changes one can only be a step."""
    labels = signals.labels
    apart = {kind: labels.get(kind, 0.0) for kind in (Kind.QUESTION, Kind.TALK)}
    readings = [Reading(Kind.STEP, max(sum(labels.values()) - sum(apart.values()), 0.0))]
    readings += [Reading(kind, probability) for kind, probability in apart.items()]
    return Understanding(text, tuple(sorted(readings, key=lambda each: -each.confidence)), "probe")


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
    last = signals.exchanges[len(signals.exchanges) - len(shown) :] or (0.0,) * (len(shown) - 1) + (1.0,)
    found = {
        number: probability
        for number, probability in zip(shown, last, strict=False)
        if path[number - 1].chunk.strip()
    }
    total = sum(found.values()) or 1.0
    return {number: probability / total for number, probability in found.items()}
