"""What the last run says about what a question mentions: values, rounds of loops, output, a failure."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from mtchat.features.explain import failure
from mtchat.features.explain.code_facts import contains, guarded, statements
from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.loops import round_facts
from mtchat.features.explain.mentions import FUNCTIONS, Mention, MentionKind, ProgramWords, names_in
from mtchat.session.names import names_of, unparse
from mtchat.session.outcome import Outcome, Variable, output_by_turn
from mtchat.session.program import Program, parse_expression
from mtchat.session.text import quantity

CODE_KINDS = (*failure.CODE_KINDS, "module", "ABCMeta")
LONGEST_OUTPUT = 200
MOST_VALUES = 3
PART = re.compile(r"[A-Za-z_]\w*\[[^\[\]]{1,60}\]")
KINDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}


def value_facts(program: ProgramWords, mention: Mention, values: Mapping[str, Variable]) -> Iterator[Fact]:
    """The values of the variables that a mention is about: its own, or those that stand with its text."""
    names = [mention.name] if mention.kind is MentionKind.NAME else []
    if mention.kind is MentionKind.LITERAL:
        names = variables_near(program, mention.name, values)
    for name in [name for name in names if name in values and values[name].kind not in CODE_KINDS]:
        yield Fact(f"`{name}` is {describe_value(values[name])}", FactSource.VALUE)


def variables_near(program: ProgramWords, literal: str, values: Mapping[str, Variable]) -> list[str]:
    """The variables that a statement with a text sets, and those that decide whether it runs."""
    found: dict[str, None] = {}
    for module in program.modules.values():
        for node, conditions in guarded(module.body):
            if not contains(node, literal):
                continue
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                found |= dict.fromkeys(names_of(unparse(node)).binds)
            found |= dict.fromkeys(sorted(names_in(conditions, values)))
    return list(found)[:MOST_VALUES]


def result_facts(program: ProgramWords, mention: Mention, values: Mapping[str, Variable]) -> Iterator[Fact]:
    """What calls gave that an assignment kept, if it is still there."""
    last = mention.name.rpartition(".")[2]
    found: dict[str, Fact] = {}
    for turn, module in program.modules.items():
        for node in statements(module.body):
            match node:
                case ast.Assign([ast.Name(name)], ast.Call(ast.Name(called) | ast.Attribute(_, called))):
                    if called == last and name in values:
                        now = describe_value(values[name])
                        what = f"in turn {turn}, `{mention.name}` gave `{name}`, now {now}"
                        found[name] = Fact(what, FactSource.VALUE, turn)
    yield from list(found.values())[-MOST_VALUES:]


def part_facts(text: str, values: Mapping[str, Variable]) -> Iterator[Fact]:
    """The parts of variables that a text writes as code, such as rows[0], where the whole value is known."""
    for code in PART.findall(text):
        match parse_expression(code):
            case ast.Subscript(ast.Name(name), ast.Constant(key)) if name in values:
                try:
                    whole = ast.literal_eval(values[name].value)
                    part = whole[key]
                except (ValueError, SyntaxError, TypeError, LookupError, RecursionError, MemoryError):
                    continue
                if not is_cut(whole):
                    kind, size = type(part).__name__, str(len(part)) if hasattr(part, "__len__") else ""
                    described = describe_value(Variable(code, kind, size, repr(part)))
                    yield Fact(f"`{code}` is {described}", FactSource.VALUE)


def is_cut(value: object) -> bool:
    """Whether a literal has `...` in the place of left out values."""
    inside = list(value.values()) if isinstance(value, dict) else value
    return value is ... or (isinstance(inside, list | tuple | set) and any(map(is_cut, inside)))


def describe_value(variable: Variable) -> str:
    """What a variable is, in one line: its type, its size and its value."""
    kind = KINDS.get(variable.kind, variable.kind)
    if kind == variable.kind:
        kind = f"{'an' if kind[:1] in 'aeioAEIO' or kind == 'ndarray' else 'a'} {kind}"
    size = ""
    if variable.shape.isdecimal():
        size = " with " + quantity(int(variable.shape), "character" if variable.kind == "str" else "item")
    elif variable.shape and variable.shape != "scalar":
        size = f" of {variable.shape}"
    return f"{kind}{size}: {variable.value}"


def output_facts(
    program: ProgramWords, outcome: Outcome, turns: Sequence[int], silent: bool = True
) -> Iterator[Fact]:
    """What turns printed in the last run; of the `silent` ones that they did not."""
    printed = output_by_turn(program.session.program, outcome)
    for turn in turns:
        if turn not in printed:
            if not outcome.ok:
                yield Fact(f"the last run did not get to the end of turn {turn}", FactSource.RUN, turn)
            continue
        text = printed[turn].strip()
        lines = len(text.splitlines())
        what = f"turn {turn} printed {quantity(lines, 'line')}" if lines > 1 else f"turn {turn} printed"
        if not text and silent:
            yield Fact(f"turn {turn} printed nothing", FactSource.RUN, turn)
        elif text:
            shown = " / ".join(text.splitlines())
            yield Fact(f"{what}: {clip(shown)}", FactSource.RUN, turn)


def clip(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else f"{text[: LONGEST_OUTPUT - 1]}…"


def loop_facts(
    program: ProgramWords, outcome: Outcome, values: Mapping[str, Variable], about: Mention | None = None
) -> Iterator[Fact]:
    """How often the loops at top level ran, where what they went over is still as it was.

    Only those of the turn that a mention is about, or that have the name it is about.
    """
    changed = set(names_in_doubt(program))
    found: list[Fact] = []
    for turn, module in reversed(list(program.modules.items())):
        for node in reversed(module.body):
            names = names_of(unparse(node))
            changed |= names.changes | (names.binds if isinstance(node, ast.For) else set())
            if isinstance(node, ast.For) and outcome.passed(turn):
                steady = {name: each for name, each in values.items() if name not in changed}
                lengths = {name: int(each.shape) for name, each in steady.items() if each.shape.isdecimal()}
                texts = {
                    name: text for name, each in steady.items() if (text := plain_text(each)) is not None
                }
                if about is None or is_loop_about(node, turn, about):
                    found += [Fact(text, FactSource.RUN, turn) for text in round_facts(node, lengths, texts)]
            changed |= names.binds
    yield from reversed(found)


def is_loop_about(loop: ast.For, turn: int, mention: Mention) -> bool:
    if mention.kind is MentionKind.TURN:
        return turn == int(mention.name)
    return bool(names_in([unparse(loop)], [mention.name.rpartition(".")[2]]))


def names_in_doubt(program: ProgramWords) -> Iterator[str]:
    """Names whose values may change unseen: functions use them, or another name holds the same value."""
    for _, node in program.nodes:
        if isinstance(node, FUNCTIONS | ast.ClassDef | ast.Lambda):
            yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            yield node.value.id


def plain_text(variable: Variable) -> str | None:
    """The value of a string or a whole number that is short enough to be known whole."""
    if variable.kind not in ("str", "int"):
        return None
    try:
        value = ast.literal_eval(variable.value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return str(value) if isinstance(value, str | int) else None


def failure_facts(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> Iterator[Fact]:
    """Why the last run failed: the line, what Python says, what that means, and the values involved."""
    turn = outcome.turn or 0
    if place := failure.describe_place(program, outcome):
        code = failure.failing_line(program, outcome.frames[-1]).strip()
        yield Fact(f"{place} `{code}`", FactSource.ERROR, turn)
    for sentence in failure.describe_failure(program, outcome, variables):
        yield Fact(sentence.rstrip("."), FactSource.ERROR, turn)


def concerns_failure(why: Sequence[Fact], outcome: Outcome, mentions: Sequence[Mention]) -> bool:
    """Whether a question may be about a failure: it mentions nothing else, or what the failure is about."""
    if not mentions or any(each.kind is MentionKind.ERROR for each in mentions):
        return True
    named = [each.name.rpartition(".")[2] for each in mentions if each.kind is not MentionKind.TURN]
    turns = [int(each.name) for each in mentions if each.kind is MentionKind.TURN]
    return bool(names_in((fact.text for fact in why), named)) or outcome.turn in turns


def number_facts(rows: Sequence[Mapping[str, object]]) -> Iterator[Fact]:
    """What a probe found out of numbers and words among the values."""
    for row in rows:
        if "entry" in row:
            yield Fact(str(row["entry"]), FactSource.VALUE)
        elif {"name", "least", "most", "sum", "count"} <= row.keys():
            yield Fact(describe_numbers(row), FactSource.VALUE)


def describe_numbers(row: Mapping[str, object]) -> str:
    least, most, total, count = (row[key] for key in ("least", "most", "sum", "count"))
    at = [f" (of `{row[key]}`)" if key in row else "" for key in ("least_key", "most_key")]
    mean = total / count if isinstance(total, int | float) and isinstance(count, int) else total
    return (
        f"the greatest number in `{row['name']}` is {show_number(most)}{at[1]}, "
        f"the least {show_number(least)}{at[0]}; "
        f"their sum is {show_number(total)}, their mean {show_number(mean)}"
    )


def show_number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
