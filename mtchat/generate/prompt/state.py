"""Says in a prompt what a notebook user would see: what the last turn printed, and which variables changed.

The text goes before the instruction of the next turn, and stays there in the prompts of later turns. So a
turn says only what the turns before have not said already.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set

from mtchat.session.outcome import Outcome

OUTPUT, VARIABLES, MENTIONED = "output", "variables", "mentioned"
PARTS = (OUTPUT, VARIABLES)
PRINTED, NOW = "The code so far printed:", "Variables now:"
BUDGET, OUTPUT_BUDGET = 150, 60  # tokens
TOKEN = re.compile(
    r"\d|[^\W\d]{1,5}|[^\w\s]|\n|[^\S\n]{4,16}"
)  # about what a tokenizer for code makes of a text


def describe_state(
    outcome: Outcome | None, told: Mapping[str, str], instruction: str, parts: Sequence[str]
) -> str:
    """What there is to say of a program that has run, within the budget; "" if there is nothing new.

    `told` has the line that was last said about each name; with MENTIONED among the parts, a line about a
    name in the instruction is said again. Lines about such names come before others, and later names before
    earlier ones, until the budget is used up.
    """
    if outcome is None:
        return ""
    printed = outcome.outputs[-1].strip("\n") if OUTPUT in parts and outcome.outputs else ""
    printed = cut_middle(printed, OUTPUT_BUDGET) if printed.strip() else ""
    words = frozenset(re.findall(r"\w+", instruction))
    again = words if MENTIONED in parts else frozenset()
    lines = [line for line in outcome.state if told.get(name_of(line)) != line or name_of(line) in again]
    lines = choose_lines(lines, words, BUDGET - count_tokens(printed)) if VARIABLES in parts else []
    sections = [f"{PRINTED}\n{printed}"] if printed.strip() else []
    sections += ["\n".join([NOW, *lines])] if lines else []
    return "\n\n".join(sections)


def choose_lines(lines: Sequence[str], words: Set[str], budget: int) -> list[str]:
    """The lines that matter most and fit, in their order; `words` are those of the instruction."""
    ranked = sorted(range(len(lines)), key=lambda at: (name_of(lines[at]) in words, at), reverse=True)
    chosen: set[int] = set()
    for at in ranked:
        size = count_tokens(lines[at]) + 1
        if size <= budget:
            chosen.add(at)
            budget -= size
    return [lines[at] for at in sorted(chosen)]


def name_of(line: str) -> str:
    """The name that a line of the state is about."""
    return line.partition(":")[0]


def told_lines(states: Iterable[str]) -> dict[str, str]:
    """The line that was last said about each name in the states that earlier turns were told."""
    found: dict[str, str] = {}
    for state in states:
        _, heading, lines = f"\n{state}".rpartition(f"\n{NOW}\n")
        if heading:
            found.update((name_of(line), line) for line in lines.split("\n"))
    return found


def count_tokens(text: str) -> int:
    """About how many tokens a text has, whatever the model: the same text is told by each."""
    return sum(1 for _ in TOKEN.finditer(text))


def cut_middle(text: str, budget: int) -> str:
    """A text of at most about `budget` tokens: its beginning and its end."""
    ends = [match.end() for match in TOKEN.finditer(text)]
    if len(ends) <= budget:
        return text
    head, tail = ends[2 * budget // 3], ends[-(budget // 3) - 1]
    return f"{text[:head].rstrip()}\n...\n{text[tail:].strip()}"


def with_state(state: str, instruction: str) -> str:
    """An instruction, preceded by what the model is told of the state."""
    return f"{state}\n\n{instruction}" if state else instruction
