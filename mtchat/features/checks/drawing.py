"""Asks a model for assert statements that say in Python what a text says of a program."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mtchat.features.checks.expression import WORD, asserted, extra_numbers
from mtchat.features.checks.trial import Tried
from mtchat.generate.complete import CompleteMany, RawCompletion, complete_candidates
from mtchat.generate.prompt.family import Cut
from mtchat.session.names import unparse
from mtchat.session.outcome import Variable
from mtchat.session.program import parse_expression
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling

SAMPLES, TEMPERATURE = 5, 0.7  # beside the greedy one, which counts for more
GREEDY = 1.5
CERTAIN = -0.03  # nats a token, above which no samples are drawn; exactly 0 says that a model has none
MOST_TOKENS = 64
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
class ProposedExpression:
    """An expression that the model proposed: how often, and how likely at best, in nats a token."""

    code: str
    votes: float
    logprob: float
    extra: int = 0
    tried: Tried = Tried()


@dataclass(frozen=True)
class CheckWriter:
    """A model that writes assert statements; `draw` completes one prompt several times as one batch.

    `fits` says whether the model can see a prompt with its reply; one that does not fit shows less.
    """

    draw: CompleteMany
    chat: bool = True
    fits: Callable[[Prompt], bool] = lambda prompt: True

    def propose(
        self, text: str, program: str, variables: Sequence[Variable], seed: int = 1
    ) -> list[ProposedExpression]:
        """What the model proposes for a text, the likeliest first; what is no expression is left out."""
        prompt = self.prompt(text, program, variables)
        greedy = Sampling(max_tokens=MOST_TOKENS)
        warm = replace(greedy, temperature=TEMPERATURE, seed=seed)
        first = complete_candidates(self.draw, OneStatement(), prompt, greedy, 1)
        if CERTAIN < first[0].usage.mean_logprob < 0:
            return count_votes(first, [], text)
        others = complete_candidates(self.draw, OneStatement(), prompt, warm, SAMPLES)
        return count_votes(first, others, text)

    def prompt(self, text: str, program: str, variables: Sequence[Variable]) -> Prompt:
        """The fullest prompt that the model can see: with fewer values, then with less of the program."""
        prompt, words = check_prompt(text, program, variables, self.chat), set(WORD.findall(text))
        for values, characters in ((8, LONGEST_PROGRAM), (8, 1000), (0, 500)):
            if self.fits(prompt):
                break
            named = sorted(variables, key=lambda each: each.name not in words)[:values]
            prompt = check_prompt(text, program, named, self.chat, characters)
        return prompt


def count_votes(
    greedy: Sequence[RawCompletion], others: Sequence[RawCompletion], text: str
) -> list[ProposedExpression]:
    """The expressions in some replies, each once with its votes."""
    found: dict[str, ProposedExpression] = {}
    for weight, made in [(GREEDY, each) for each in greedy] + [(1.0, each) for each in others]:
        said = first_statement(made)
        value = parse_expression(said) if said else None
        if value is None:
            continue
        code = unparse(value)
        known = found.get(code, ProposedExpression(code, 0.0, float("-inf"), extra_numbers(value, text)))
        likely = max(known.logprob, made.usage.mean_logprob)
        found[code] = replace(known, votes=known.votes + weight, logprob=likely)
    return sorted(found.values(), key=lambda each: (each.votes, each.logprob), reverse=True)


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


def check_prompt(
    text: str,
    program: str,
    variables: Sequence[Variable],
    chat: bool,
    characters: int = LONGEST_PROGRAM,
) -> Prompt:
    """What the model sees: worked examples, which never change, then the program, its values and the text."""
    code = short_program(program, characters)
    if not chat:
        examples = "\n".join(f"# {said}\nassert {example}" for said, example in EXAMPLES)
        return Prompt(f"{EXAMPLE_PROGRAM}\n{examples}\n\n\n{code}\n# {' '.join(text.split())}\nassert")
    messages = [Message("system", SYSTEM)]
    about = describe_state(EXAMPLE_PROGRAM, EXAMPLE_VALUES.split("\n"))
    for said, example in EXAMPLES:
        messages += [Message("user", about + said), Message("assistant", f"```python\nassert {example}\n```")]
        about = ""
    shown = describe_state(code, [describe(each) for each in variables])
    messages.append(Message("user", shown + text.strip()))
    return Prompt(messages=tuple(messages), opening="```python\nassert")


def describe_state(program: str, values: Sequence[str]) -> str:
    listed = "\n".join(values[:MOST_VALUES])
    return f"```python\n{program}\n```\n\n{listed}\n\n"


def describe(variable: Variable) -> str:
    shape = f" of {variable.shape}" if variable.shape else ""
    value = variable.value if len(variable.value) <= LONGEST_VALUE else variable.value[:LONGEST_VALUE] + "…"
    return f"{variable.name}: {variable.kind}{shape}" + (f" = {value}" if value else "")


def short_program(program: str, characters: int) -> str:
    """A program as the model sees it; only the end of a very long one."""
    code = program.strip("\n")
    return code if len(code) <= characters else "# …\n" + code[-characters:].partition("\n")[2]
