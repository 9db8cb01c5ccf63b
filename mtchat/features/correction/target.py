"""Finds the turn that a correction refers to: by its number, by names and literals, or by its topic."""

import re
from collections.abc import Callable, Iterator, Sequence

from mtchat.features.correction.facts import KINDS, WORD, TurnFacts, name_candidates, stem
from mtchat.features.correction.patterns import LazyPattern, word_set

NUMBERED = LazyPattern(r"\b(?:turn|step|instruction) (?P<number>\d{1,4})\b")
LITERAL = LazyPattern(
    r"(?:instead of|rather than|not|change|replace|from)\s+(?:the\s+)?(?P<text>\"[^\"]*\"|'[^']*'"
    r"|-?\d+(?:\.\d+)?)"
)
GIVES_WAY = LazyPattern(r"\b(?:instead of|rather than|not) (?:an? |the )?(?P<word>[a-z]\w*)")
COUNT = LazyPattern(r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve) (?P<thing>[a-z]\w+)")
KIND = LazyPattern(rf"\b(?:the|this|that|your)\s+(?:\w+\s+)?(?P<kind>{'|'.join(KINDS)})\b")
OUTPUT = LazyPattern(
    r"\b(?:print(?:ed|s|ing)?|show(?:n|s)?|display|output|decimals?|decimal places|line|lines|header"
    r"|message|label|"
    r"format|separated|brackets|comma|round(?:ed)?|percent(?:age)?|dollar|euro|sign|column|table|align\w*)\b"
)
COMMON = frozenset(
    stem(word)
    for word in word_set(
        """
        a an the it this that they them to of in on with and or not no is be are as by for from make should
        also use instead must have has only too well change rename handle support return print show call
        function class list want meant i you please don't do does so at one two first last all each every when
        if than then
        """
    )
)


def find_target(wish: str, turns: Sequence[TurnFacts]) -> int:
    """The number of the turn that a request refers to; by default the last one with code."""
    for find in (
        by_number,
        by_name,
        by_replaced_value,
        by_kind,
        by_count,
        by_related_name,
        by_output,
        by_topic,
    ):
        found = find(wish, turns)
        if found is not None:
            return found.number
    return (deciding_turn(turns) or source_turn(turns)).number


def last_matching(turns: Sequence[TurnFacts], claim: Callable[[TurnFacts], bool]) -> TurnFacts | None:
    return next((each for each in reversed(turns) if claim(each)), None)


def by_number(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    match = NUMBERED.search(wish)
    return last_matching(turns, lambda each: each.number == int(match["number"])) if match else None


def by_name(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The turn that defines, or else assigns, a name in the request; the first such name decides."""
    said = name_candidates(WORD.findall(wish))
    for word in said:
        found = last_matching(turns, lambda each, word=word: word in each.defines)  # type: ignore[misc]
        if found is not None:
            return found
    for word in said:
        if OUTPUT.search(wish) and turns[-1].prints and "_" not in word:
            continue
        if (len(word) > 1 and stem(word) not in COMMON) or f"`{word}`" in wish:
            found = last_matching(turns, lambda each, word=word: word in each.binds)  # type: ignore[misc]
            if found is not None:
                return found
    return None


def by_replaced_value(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The turn with the number or text that is to be replaced."""
    for match in LITERAL.finditer(wish):
        text = match["text"].strip("\"'").lower()
        found = last_matching(turns, lambda each, text=text: text in each.literals)  # type: ignore[misc]
        if found is not None:
            return found
    for match in GIVES_WAY.finditer(wish):
        word = stem(match["word"])
        if match["word"].lower() not in KINDS and word not in COMMON:
            found = last_matching(turns, lambda each, word=word: word in instruction_stems(each))  # type: ignore[misc]
            if found is not None:
                return found
    return None


def instruction_stems(turn: TurnFacts) -> frozenset[str]:
    """The word stems of a turn's instruction."""
    return frozenset(stem(word) for word in WORD.findall(turn.turn.instruction))


def by_kind(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    match = KIND.search(wish)
    if match is None:
        return None
    kind = match["kind"].lower()
    return last_matching(turns, lambda each: each.has(kind))


def by_count(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The turn that asked for another number of the same things: five dice instead of three."""
    things = {match["thing"].lower() for match in COUNT.finditer(wish)}
    return last_matching(
        turns,
        lambda each: any(match["thing"].lower() in things for match in COUNT.finditer(each.turn.instruction)),
    )


def content_words(wish: str) -> frozenset[str]:
    """The word stems of a request, without common words."""
    words = WORD.findall(re.sub(r"\w+'\w+", " ", wish))
    return frozenset(stem(word) for word in words) - COMMON


def by_related_name(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The turn that defines something with a related name: "the greeting" for a function greet."""
    own = content_words(wish)
    return last_matching(
        turns, lambda each: bool(own & {stem(part) for name in each.defines for part in name.split("_")})
    )


def by_output(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The last turn that prints, if the request is about output; a function may do the printing."""
    if not OUTPUT.search(wish):
        return None
    found = last_matching(turns, lambda each: each.prints)
    function = deciding_turn(turns)
    if function is not None and function.prints:
        return function
    return found


def by_topic(wish: str, turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The turn that shares most words with the request; None if there is no single best one."""
    own = content_words(wish)
    counts = [len(own & each.nouns) for each in turns]
    most = max(counts)
    best = [each for each, count in zip(turns, counts, strict=True) if count == most]
    function = deciding_turn(turns)
    if not most or function in best:
        return function
    return best[-1] if len(best) == 1 and best[0].defines else None


def deciding_turn(turns: Sequence[TurnFacts]) -> TurnFacts | None:
    """The turn whose function decides what the last turn does: its own, or one that provides its values."""
    for each in trace_back(turns):
        if each.defines:
            return each
        found = last_matching(turns, lambda other, each=each: bool(other.defines & each.calls))  # type: ignore[misc]
        if found is not None:
            return found
    return None


def source_turn(turns: Sequence[TurnFacts]) -> TurnFacts:
    """The last turn, or the one that computes what the last turn only prints."""
    return next((each for each in trace_back(turns) if each.binds or not each.loads - {"print"}), turns[-1])


def trace_back(turns: Sequence[TurnFacts]) -> Iterator[TurnFacts]:
    """The last turn, then the turns that its printed values come from, one by one."""
    at = len(turns) - 1
    yield turns[at]
    while not turns[at].binds:
        before = [place for place in range(at) if turns[place].binds & turns[at].loads]
        if not before:
            return
        at = before[-1]
        yield turns[at]
