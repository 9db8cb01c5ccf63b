"""Turns a check in words into a Python expression: the model proposes, syntax tree and live state decide.

Several assert statements are drawn for the words. Those that do more than look, lack a number or a name that
the words mention, or say nothing are dropped. Of the rest, the expression is taken whose results on varied
states most of the others share.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtchat.features.checks.drawing import SAMPLES, CheckWriter, ProposedExpression
from mtchat.features.checks.expression import (
    Mentions,
    extra_numbers,
    find_mentions,
    free_names,
    invented,
    loop_names,
    missing_mention,
    missing_value,
    own_names,
    side_effect,
)
from mtchat.features.checks.inside import ERROR
from mtchat.features.checks.trial import Tried, try_expressions
from mtchat.generate.execute import RunProgram
from mtchat.session.outcome import Variable
from mtchat.session.program import Program, parse_expression

HOLDS = 2.0  # votes for an expression that is true now: most of what people state is
CLEAR = 0.6  # of the votes, which an expression needs whose words name nothing of the program
SURE = 0.8  # of the votes, which one needs that lacks a text of the program
MOST_EXTRA = 2  # numbers that the text may have in words
NOTHING_NAMED = "your words name nothing of the program"
NEUTRAL = "everything is right"  # what a model makes of these words says nothing about others


@dataclass(frozen=True)
class Proposal:
    """The expression for a check in words, or the reason why there is none.

    `agreement` is the share of the model's votes for it, and `lacks` a text of the program that only the
    words mention.
    """

    code: str = ""
    reason: str = ""
    agreement: float = 0.0
    lacks: str = ""


def propose_check(
    text: str, program: Program, variables: Sequence[Variable], writer: CheckWriter, look: RunProgram
) -> Proposal:
    """The expression that is true exactly if what a text says holds after a program.

    Where a first round gives none, or none with all that the text mentions, a second names what is missing.
    """
    mentions, left = find_mentions(text, program.source), loop_names(program.source)
    known = [each for each in variables if each.name not in left]
    drawn = writer.propose(text, program.source, known)
    proposal = choose(drawn, text, program, mentions, look)
    if proposal.code and not proposal.lacks:
        if mentions != Mentions():
            return proposal
        return without_usual(proposal, writer.propose(NEUTRAL, program.source, known))
    drawn = writer.propose(f"{text}\n{demand(mentions)}".strip(), program.source, known, 1 + SAMPLES)
    again = choose(drawn, text, program, mentions, look)
    return again if again.code and not again.lacks else without_doubt(proposal)


def without_usual(proposal: Proposal, usual: Sequence[ProposedExpression]) -> Proposal:
    """A proposal, unless the model proposes the same, at least half as often, for words that say nothing."""
    votes = sum(each.votes for each in usual)
    share = sum(each.votes for each in usual if each.code == proposal.code) / votes if votes else 0.0
    if 2 * share < proposal.agreement:
        return proposal
    return Proposal(reason=f"{proposal.code} is refused: {NOTHING_NAMED}")


def without_doubt(proposal: Proposal) -> Proposal:
    """A proposal, unless it lacks a text of the program and the model is not quite sure of it."""
    if not proposal.lacks or proposal.agreement >= SURE:
        return proposal
    return Proposal(reason=f"{proposal.code} is refused: it does not contain {proposal.lacks}")


def demand(mentions: Mentions) -> str:
    """What an expression must contain, in words."""
    texts = map(repr, (*mentions.quoted, *mentions.values))
    parts = [*mentions.names, *texts, *mentions.numbers]
    return f"The statement contains {' and '.join(parts)}." if parts else ""


def choose(
    drawn: Sequence[ProposedExpression], text: str, program: Program, mentions: Mentions, look: RunProgram
) -> Proposal:
    """The best of the expressions that the tree and the state allow."""
    fit, reason = fitting(drawn, text, program.source, mentions)
    if not fit:
        return Proposal(reason=reason)
    tried = try_expressions(program, [each.code for each in fit], look)
    if not tried:
        return Proposal(reason="the program does not run to the end of that turn")
    weighed = [replace(each, tried=seen) for each, seen in zip(fit, tried, strict=True)]
    good = [each for each in weighed if not refusal(each.tried)]
    if not good:
        return Proposal(reason=f"{weighed[0].code} is refused: {refusal(weighed[0].tried)}")
    best = most_agreed([each for each in good if not missing_value(each.code, mentions)] or good)
    same = sum(each.votes for each in good if each.tried.states == best.tried.states)
    agreement = same / sum(each.votes for each in drawn)
    if mentions == Mentions() and agreement < CLEAR:
        return Proposal(reason=f"{best.code} is refused: {NOTHING_NAMED}")
    return Proposal(best.code, "", agreement, missing_value(best.code, mentions))


def fitting(
    drawn: Sequence[ProposedExpression], text: str, program: str, mentions: Mentions
) -> tuple[list[ProposedExpression], str]:
    """The candidates whose tree allows them, and why the first of the others is refused."""
    found, reason = [], ""
    for each in drawn:
        why = objection(each.code, text, program, mentions)
        if not why:
            found.append(each)
        reason = reason or (f"{each.code} is refused: {why}" if why else "")
    return found, reason or "the model proposed no expression"


def objection(code: str, text: str, program: str, mentions: Mentions) -> str:
    """Why an expression cannot be the check that a text means, as far as its tree tells; "" if it can."""
    value = parse_expression(code)
    if value is None:
        return "it cannot be read"
    own = own_names(program)
    if why := side_effect(value, own):
        return why
    if not free_names(value) & own:
        return "it does not depend on the program"
    if left := free_names(value) & loop_names(program):
        return f"{min(left)} is only what a loop left behind"
    if lacking := missing_mention(value, mentions):
        return f"it does not contain {lacking}"
    if extra_numbers(value, text) > (0 if mentions == Mentions() else MOST_EXTRA):
        return "it contains numbers that are not in your text"
    if made_up := invented(value, text, program):
        return f"{made_up} is not in your text"
    return ""


def refusal(tried: Tried) -> str:
    """Why the state refuses an expression; "" if it does not."""
    if tried.changes:
        return "it changes the state"
    if tried.states.startswith(ERROR):
        return tried.error or "it fails"
    if not tried.steady:
        return "it gives another result each time"
    if not tried.can_fail:
        return "it is true whatever the values are"
    return ""


def most_agreed(good: Sequence[ProposedExpression]) -> ProposedExpression:
    """The candidate whose results on all states have the most votes; of those, the likeliest."""

    def votes(one: ProposedExpression) -> float:
        same = (each for each in good if each.tried.states == one.tried.states)
        return sum(each.votes for each in same) - one.extra + HOLDS * one.tried.held

    return max(good, key=lambda each: (votes(each), each.votes, each.logprob))
