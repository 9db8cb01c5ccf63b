"""Detects instructions that correct an earlier turn, by their words and by what they refer to.

An ordinary next step must never be treated as a correction, so in case of doubt it is a next step.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtchat.errors import MtchatError
from mtchat.features.correction.facts import TurnFacts, name_candidates, stem, turn_facts
from mtchat.features.correction.patterns import (
    ADD,
    ADVERBS,
    ASKED,
    BEHAVE,
    CALL_IT,
    CHANGE,
    CODE_PARTS,
    COURTESY,
    CREATE,
    DATA,
    FAULT,
    FRAGMENT,
    INNER,
    INSTEAD,
    INTO,
    LITERALS,
    MAKE,
    MEANT,
    NEGATED,
    NEW_THING,
    PLACED,
    PRONOUNS,
    PROPERTIES,
    PURPOSE,
    QUESTION,
    REFUSAL,
    REMOVE,
    RENAMES,
    REPLACE,
    REWRITE,
    ROUND,
    SHOULD,
    SHOWN,
    STRUCTURES,
    SURE,
    TOO,
    TURN_INTO,
    USE,
    VERB,
)
from mtchat.features.correction.rename import Rename, can_rename, kind_said
from mtchat.features.correction.target import deciding_turn, find_target
from mtchat.session.turn import Turn

LONGEST = 40  # words; a longer text describes something new


@dataclass(frozen=True)
class DetectedCorrection:
    """A change of turn `number` as `wish` says; `rename` is set if rules can do it without a model.

    `others` are turns that may be meant instead, the likeliest first: they are tried where the model has
    nothing to change in the one before.
    """

    number: int
    wish: str
    rename: Rename | None = None
    others: tuple[int, ...] = ()


def detect_correction(path: Sequence[Turn], instruction: str) -> DetectedCorrection | None:
    """The correction that an instruction asks for; None if it is, or may be, a next step."""
    turns = turn_facts(path)
    wish = strip_courtesy(instruction)
    if not turns or not wish or len(wish.split()) > LONGEST or "\n" in wish:
        return None
    rename = find_rename(wish, turns)
    if rename is not None:
        return rename_correction(rename, path, instruction)
    if not is_correction(wish, turns):
        return None
    return target_correction(path, instruction)


def target_correction(path: Sequence[Turn], instruction: str, number: int = 0) -> DetectedCorrection:
    """The correction for an instruction known to be one: of turn `number`, or of the one it refers to."""
    turns, wish = turn_facts(path), strip_courtesy(instruction)
    if not turns:
        raise MtchatError("no turn has code to change yet")
    rename = find_rename(wish, turns)
    if rename is not None and not number:
        return rename_correction(rename, path, instruction)
    return DetectedCorrection(number or find_target(REFUSAL.sub("", wish), turns), instruction)


def rename_correction(rename: Rename, path: Sequence[Turn], instruction: str) -> DetectedCorrection:
    first = next(each.number for each in turn_facts(path) if rename.old in each.spells)
    return DetectedCorrection(first, instruction, rename if can_rename(rename, path) else None)


def strip_courtesy(instruction: str) -> str:
    """An instruction without polite phrases."""
    if ASKED.match(instruction.strip()):
        instruction = instruction.strip().removesuffix("?")
    text = COURTESY.sub("", " ".join(instruction.split()) if "\n" not in instruction else instruction)
    text = re.sub(r",? (?:please|thanks|thank you)[.!]*$", "", text, flags=re.IGNORECASE)
    return text.strip().rstrip(".!")


def find_rename(wish: str, turns: Sequence[TurnFacts]) -> Rename | None:
    """The rename that a request asks for, if the program has the old name."""
    text = COURTESY.sub("", REFUSAL.sub("", wish))
    spelled = frozenset(name for each in turns for name in each.spells)
    for pattern in RENAMES:
        match = pattern.match(text)
        if match and match["old"] in spelled and match["old"] != match["new"]:
            if (
                match["old"].lower() in PRONOUNS
                or match["new"].lower() in ADVERBS
                or only_in_texts(match["old"], turns)
            ):
                continue
            return Rename(match["old"], match["new"], kind_said(wish))
    match = CALL_IT.match(text)
    if not match or match["new"].lower() in ADVERBS or match["new"] in spelled:
        return None
    last = turns[-1]
    kind = match["kind"] or match["sort"]
    if kind in ("function", "class"):
        last = next((each for each in reversed(turns) if each.has(kind)), last)
    owned = {"function": last.functions, "class": last.classes}.get(
        kind, last.defines
    ) & last.binds or last.binds
    return Rename(next(iter(owned)), match["new"]) if len(owned) == 1 else None


def only_in_texts(name: str, turns: Sequence[TurnFacts]) -> bool:
    """Whether a word occurs only in the program's texts and comments."""
    used = (each.binds | each.defines | inner_names(each) for each in turns)
    return not any(name in each for each in used)


def inner_names(turn: TurnFacts) -> frozenset[str]:
    """Parameters, local names and attributes of a turn."""
    found = (
        getattr(each, "arg", None) or getattr(each, "id", None) or getattr(each, "attr", None) or ""
        for each in turn.nodes
    )
    return frozenset(name for name in found if isinstance(name, str))


def is_correction(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Whether a request can only mean a change of existing code."""
    if REFUSAL.match(wish) and REFUSAL.sub("", wish):
        return True
    if MEANT.match(wish):
        return True
    if QUESTION.search(wish):
        return False
    if PLACED.search(wish):
        return True
    if CREATE.search(wish) and not ADD.match(wish) and not INTO.match(wish):
        return bool(re.search(r"\binstead$", wish, re.IGNORECASE))
    tests = (
        says_should,
        says_make,
        says_instead,
        says_change,
        describes_behaviour,
        is_negated,
        says_remove,
        says_add,
        says_use,
        is_fragment,
        says_round,
    )
    return any(test(wish, turns) for test in tests)


def refers_to_code(subject: str, turns: Sequence[TurnFacts]) -> bool:
    """Whether a subject is something that an earlier turn made, rather than part of the data."""
    words = subject.lower().strip("`()").split()
    if len(words) == 1:
        name = subject.strip("`()")
        return words[0] in PRONOUNS or any(name in each.defines or name in each.binds for each in turns)
    noun = words[-1]
    if noun in STRUCTURES | CODE_PARTS | PROPERTIES | {"program", "result", "game"}:
        return True
    if {*name_candidates(words)} & {
        name.lower() for each in turns for name in each.defines | each.binds if len(name) > 1
    }:
        return True
    return noun not in DATA and any(each.hints(noun) for each in turns)


def says_should(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """It should ..., the greeting must ..., the loop is too slow."""
    match = SHOULD.match(wish) or FAULT.match(wish)
    if match is None or SHOWN.search(wish):
        return False
    own = stem(match["subject"].split()[-1])
    return refers_to_code(match["subject"], turns) or any(own in each.nouns for each in turns)


def says_make(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Make it ..., let the function ..., have count return ..."""
    match = MAKE.match(wish)
    if match is None or NEW_THING.match(match["rest"]):
        return False
    subject = match["subject"].lower().strip("`()")
    if subject in PRONOUNS:
        return True
    if wish[:3].lower() in ("get", "hav") and not re.match(r"(?:return|ignore|accept|print)", match["rest"]):
        return False
    if subject.split()[-1] in DATA and not deciding_turn(turns):
        return False
    name = match["subject"].strip("`()")
    variable = any(name in each.binds for each in turns) and not any(name in each.defines for each in turns)
    if variable:
        return bool(
            re.match(r"(?:be )?(?:an? |equal|default|\d|global|constant)", match["rest"], re.IGNORECASE)
        )
    return any(refers_to_code(each, turns) for each in extended_subjects(match["subject"], match["rest"]))


def extended_subjects(subject: str, rest: str) -> Iterator[str]:
    """A subject with up to two words of what follows, since a name may have several: the upper limit."""
    words = rest.split()[:2] if subject.lower().startswith(("the ", "its ")) else []
    yield from (" ".join([subject, *words[:count]]) for count in range(len(words) + 1))


def says_instead(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """... instead, ... instead of the existing code."""
    return bool(INSTEAD.search(wish)) and not re.search(r"\breturns? \S+ instead of\b", wish)


def says_change(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Change it to ..., replace the loop by ..., turn it into a function, rewrite ..."""
    literal = LITERALS.match(wish)
    if literal:
        old = literal["old"].strip("\"'").lower()
        return any(old in each.literals for each in turns) and not re.search(
            r"\bin (?:the|my|all|each)\b", wish
        )
    match = CHANGE.match(wish)
    if match:
        return is_changeable(match["subject"], turns)
    match = REWRITE.match(wish)
    if match and (match["subject"].lower() in PRONOUNS or refers_to_code(match["subject"], turns)):
        return True
    match = TURN_INTO.match(wish)
    if match:
        return refers_to_code(match["subject"], turns) and bool({*match["what"].lower().split()} & STRUCTURES)
    match = REPLACE.match(wish)
    return match is not None and (
        match["old"] is None or bool({*match["old"].lower().strip("`").split()} & (CODE_PARTS | STRUCTURES))
    )


def is_changeable(subject: str, turns: Sequence[TurnFacts]) -> bool:
    """Whether changing this means changing the code, not the value of a variable at run time."""
    name = subject.strip("`()")
    if name.lower() in PRONOUNS or any(name in each.defines or name in each.constants for each in turns):
        return True
    words = name.lower().split()
    if len(words) < 2 or {*words} & {"first", "last", "second", "third", "element", "item", "key", "row"}:
        return False
    if any(word in each.constants for word in name_candidates(words) for each in turns):
        return True
    return words[-1] not in DATA and refers_to_code(subject, turns)


def describes_behaviour(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Also handle ..., ignore case, return a list: what only a function can do, or already does."""
    match = BEHAVE.match(wish)
    function = deciding_turn(turns)
    if match is None or function is None:
        return False
    verb = match["verb"].lower()
    if verb in SURE:
        return verb != "return" or not turns[-1].prints or turns[-1] is function
    also = bool(TOO.search(wish)) or match["also"] is not None
    data = frozenset(name for each in turns for name in each.binds - each.defines)
    return also and (stem(verb) in function.nouns or verb in INNER) and not data & {*wish.split()}


def is_negated(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Don't print the header, stop rounding."""
    return bool(NEGATED.match(wish))


def says_remove(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Remove the docstring, drop the function f: parts of the code, not of the data."""
    match = REMOVE.match(wish)
    if match is None or re.search(
        r"\bfrom (?:the|each|every|all|it|my|a) (?!program|code|function|output|class)", wish
    ):
        return False
    words = [word.strip("`\"'()") for word in match["what"].split()]
    named = any(word in each.defines for word in words[:3] for each in turns)
    return named or bool({word.lower() for word in words[:3]} & CODE_PARTS)


def says_add(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Add a docstring, add a method to the class: what can only go inside existing code."""
    into = INTO.match(wish)
    if into and any(into["name"] in each.classes for each in turns):
        return True
    match = ADD.match(wish)
    if match is None:
        return False
    what = match["what"].lower()
    if what in ("method", "property", "attribute", "field") or what.startswith("__"):
        return any(each.classes for each in turns)
    return any(each.defines for each in turns) or what.startswith("comment")


def says_use(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Use recursion, use f-strings, use two decimals: how to do something, not what for."""
    match = USE.match(wish)
    if match is None or len(wish.split()) > 7 or PURPOSE.search(match["what"]):
        return False
    words = {word.lower().strip("`.,") for word in match["what"].split()}
    manner = {
        "f-string",
        "f-strings",
        "decimals",
        "decimal",
        "digits",
        "quotes",
        "spaces",
        "tabs",
        "while",
        "for",
    }
    return bool(words & (STRUCTURES | manner)) or bool(words & {"list", "set", "tuple", "dict", "dictionary"})


def is_fragment(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Without the brackets, in descending order, two decimals: a fragment of a sentence."""
    return bool(FRAGMENT.match(wish)) and len(wish.split()) <= 8 and not VERB.search(wish)


def says_round(wish: str, turns: Sequence[TurnFacts]) -> bool:
    """Round it to two decimals, after it was printed: it is not a request to print it again."""
    return bool(ROUND.match(wish)) and (turns[-1].prints or turns[-1] is deciding_turn(turns))
