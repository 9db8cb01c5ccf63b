"""Turns a check in words into a Python expression: the model proposes, syntax tree and live state decide.

Several assert statements are drawn for the words. Those that do more than look, lack a number or a name that
the words mention, or say nothing are dropped. Of the rest, the expression is taken whose results on varied
states most of the others share.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtchat.features.checks.expression import (
    Mentions,
    asserted,
    extra_numbers,
    find_mentions,
    free_names,
    invented,
    loop_names,
    missing_mention,
    own_names,
    side_effect,
)
from mtchat.features.checks.inside import ERROR
from mtchat.features.checks.trial import Tried, try_expressions
from mtchat.generate.complete import CompleteMany, RawCompletion, complete_candidates
from mtchat.generate.execute import RunProgram
from mtchat.generate.prompt.family import Cut
from mtchat.session.outcome import Variable
from mtchat.session.program import Program, parse_expression
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling

SAMPLES, TEMPERATURE = 5, 0.7  # beside the greedy one
HOLDS = 2.0  # votes for an expression that is true now: most of what people state is
MOST_TOKENS = 64
MOST_EXTRA = 2  # numbers that the text may have in words
LONGEST_TEXT = 400  # characters of a check in words
LONGEST_PROGRAM, LONGEST_VALUE, MOST_VALUES = 3000, 60, 24
SYSTEM = (
    "You write assert statements in Python. The user shows a program with the values of its variables, and "
    "then says, in any language, what must be true of them. Reply with one assert statement that is true "
    "exactly if what the user says holds. It reads the variables and functions of the program and changes "
    "nothing."
)
EXAMPLE_PROGRAM = """\
import math
orders = [{'id': 1, 'sum': 20}, {'id': 2, 'sum': 35}]
sums = [order['sum'] for order in orders]
label = 'north-7'
stock = {'nut': 40, 'bolt': 12}
def half(n):
    return n / 2
level = half(9)"""
EXAMPLE_VALUES = """\
orders: list of 2 = [{'id': 1, 'sum': 20}, {'id': 2, 'sum': 35}]
sums: list of 2 = [20, 35]
label: str of 7 = 'north-7'
stock: dict of 2 = {'nut': 40, 'bolt': 12}
half: function
level: float = 4.5"""
EXAMPLES = (
    ("we need 2 orders", "len(orders) == 2"),
    ("label must end with 7", "label.endswith('7')"),
    ("no sum may be over 50", "all(order['sum'] <= 50 for order in orders)"),
    ("half(8) gives 4", "half(8) == 4"),
    ("sums soll von klein nach groß geordnet sein", "sums == sorted(sums)"),
    ("level is about 4.4, give or take 0.2", "abs(level - 4.4) <= 0.2"),
    ("level cannot drop below 1", "level >= 1"),
    ("il doit y avoir 12 bolt dans stock", "stock['bolt'] == 12"),
    ("each id occurs only once", "len(set(order['id'] for order in orders)) == len(orders)"),
    ("screw is not in stock", "'screw' not in stock"),
    ("kein Wert in stock ist kleiner als 5", "all(amount >= 5 for amount in stock.values())"),
    ("sums has as many entries as orders", "len(sums) == len(orders)"),
    ("los valores de sums dan 55 en total", "sum(sums) == 55"),
    ("each of the sums is above the one before", "all(sums[i] > sums[i - 1] for i in range(1, len(sums)))"),
    ("level 必须是小数", "isinstance(level, float)"),
)


@dataclass(frozen=True)
class Proposal:
    """The expression for a check in words, or the reason why there is none."""

    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ProposedExpression:
    """An expression that the model proposed: how often, and how likely at best, in nats a token."""

    code: str
    votes: float
    logprob: float
    extra: int = 0
    tried: Tried = Tried()


def propose_check(
    text: str,
    program: Program,
    variables: Sequence[Variable],
    draw: CompleteMany,
    look: RunProgram,
    chat: bool = True,
) -> Proposal:
    """The expression that is true exactly if what a text says holds after a program.

    Where every expression of a first round is refused, the second round names what it must contain.
    """
    mentions = find_mentions(text, program.source)
    left = loop_names(program.source)
    known = [each for each in variables if each.name not in left]
    first = Proposal()
    for number, wish in enumerate((text, f"{text}\n{demand(mentions)}".strip())):
        drawn = draw_expressions(wish, program.source, known, draw, chat, seed=1 + number * SAMPLES)
        proposal = choose(drawn, text, program, mentions, look)
        if proposal.code:
            return proposal
        first = first if first.reason else proposal
    return first


def demand(mentions: Mentions) -> str:
    """What an expression must contain, in words."""
    parts = [*mentions.names, *map(repr, mentions.quoted), *mentions.numbers]
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
    best = most_agreed(good)
    return Proposal(best.code)


def draw_expressions(
    text: str,
    program: str,
    variables: Sequence[Variable],
    draw: CompleteMany,
    chat: bool = True,
    seed: int = 1,
) -> list[ProposedExpression]:
    """What the model proposes, the likeliest first; what is no expression is left out."""
    prompt = check_prompt(text, program, variables, chat)
    greedy = complete_candidates(draw, OneStatement(), prompt, Sampling(max_tokens=MOST_TOKENS), 1)
    warm = Sampling(temperature=TEMPERATURE, seed=seed, max_tokens=MOST_TOKENS)
    sampled = complete_candidates(draw, OneStatement(), prompt, warm, SAMPLES)
    found: dict[str, ProposedExpression] = {}
    for weight, made in [(1.5, each) for each in greedy] + [(1.0, each) for each in sampled]:
        code = first_statement(made)
        if not code:
            continue
        value = parse_expression(code)
        known = found.get(
            key := ast_key(code),
            ProposedExpression(code, 0.0, -100.0, extra_numbers(value, text) if value else 0),
        )
        found[key] = replace(
            known, votes=known.votes + weight, logprob=max(known.logprob, made.usage.mean_logprob)
        )
    return sorted(found.values(), key=lambda each: (each.votes, each.logprob), reverse=True)


def ast_key(code: str) -> str:
    value = parse_expression(code)
    return "" if value is None else ast.unparse(value)


class OneStatement:
    """Ends a reply with its first complete line."""

    def cut(self, text: str) -> Cut:
        line, end, _ = text.partition("\n")
        if "```" in text:
            return Cut(text.partition("```")[0], True)
        whole = bool(end) and bool(asserted(as_assert(line)) or not is_open(line))
        return Cut(line if whole else text, whole)


def is_open(line: str) -> bool:
    """Whether brackets of a line are still open."""
    return sum(map(line.count, "([{")) > sum(map(line.count, ")]}"))


def first_statement(made: RawCompletion) -> str:
    """The expression of the first assert statement of a reply; "" if there is none."""
    text = made.text.partition("```")[0].strip()
    lines = text.split("\n")
    for count in range(1, len(lines) + 1):
        part = "\n".join(lines[:count]).strip()
        code = asserted(as_assert(part))
        if code:
            return code
    return ""


def as_assert(line: str) -> str:
    """A line that goes on from the opening of the reply, or begins the statement again."""
    return line if re.match(r"\s*assert\b", line) else f"assert {line.strip()}"


def check_prompt(text: str, program: str, variables: Sequence[Variable], chat: bool) -> Prompt:
    """What the model sees: worked examples, which never change, then the program, its values and the text."""
    shown = describe_state(short_program(program), [describe(each) for each in variables])
    if not chat:
        examples = "\n".join(f"# {said}\nassert {code}" for said, code in EXAMPLES)
        first = f"{EXAMPLE_PROGRAM}\n{examples}\n\n\n"
        return Prompt(first + f"{short_program(program)}\n# {' '.join(text.split())}\nassert")
    messages = [Message("system", SYSTEM)]
    about = describe_state(EXAMPLE_PROGRAM, EXAMPLE_VALUES.split("\n"))
    for said, code in EXAMPLES:
        messages += [Message("user", about + said), Message("assistant", f"```python\nassert {code}\n```")]
        about = ""
    messages.append(Message("user", shown + text.strip()))
    return Prompt(messages=tuple(messages), opening="```python\nassert")


def describe_state(program: str, values: Sequence[str]) -> str:
    listed = "\n".join(values[:MOST_VALUES])
    return f"```python\n{program}\n```\n\n{listed}\n\n"


def describe(variable: Variable) -> str:
    shape = f" of {variable.shape}" if variable.shape else ""
    value = variable.value if len(variable.value) <= LONGEST_VALUE else variable.value[:LONGEST_VALUE] + "…"
    return f"{variable.name}: {variable.kind}{shape}" + (f" = {value}" if value else "")


def short_program(program: str) -> str:
    """A program as the model sees it; only the end of a very long one."""
    code = program.strip("\n")
    return code if len(code) <= LONGEST_PROGRAM else "# …\n" + code[-LONGEST_PROGRAM:].partition("\n")[2]


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
    if extra_numbers(value, text) > MOST_EXTRA:
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
