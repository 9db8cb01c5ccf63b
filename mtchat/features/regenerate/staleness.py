"""Whether code still fits after turns before it have changed, and why not."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mtchat.generate.execute import failed
from mtchat.generate.judge.requirements import ARTICLES, unmet_requirements
from mtchat.generate.postprocess import undefined_names
from mtchat.session.names import bound_names, dump, names_of, parse_module, parses, turns_depending_on
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.provenance import Rewrite
from mtchat.session.session import Session
from mtchat.session.text import join_words, quantity
from mtchat.session.turn import KEPT, Turn

QUOTED = re.compile(r"""(?<!\w)(["'`])(?P<text>(?:(?!\1).)+)\1(?!\w)""")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
WORD = re.compile(r"[A-Za-z_]\w*")
BACK = re.compile(r"\b(?:it|its|this|that|them|their|these|those|each|result)\b", re.IGNORECASE)
EVERYWHERE = (-1, 0, 1, 2)  # too common to be telling
SMALL = 10  # numbers in a list up to this one may mean something else,
ROUND = (100, 1000)  # and so may these
PART = re.compile(r"\w{4,}")  # a word of a text that is long enough to be recognised alone
SILENT = "prints nothing"
NUMBERS = re.compile(r"u?int\d*|float\d*")  # Python's and numpy's


@dataclass(frozen=True)
class TurnChange:
    """A turn before and after a change."""

    number: int
    old: Turn
    new: Turn


@dataclass(frozen=True)
class Staleness:
    """Why code should be regenerated. If `certain`, it cannot stay; otherwise the reason may be wrong."""

    reason: str
    certain: bool = False


@dataclass(frozen=True)
class PrefixComparison:
    """A later turn after the old turns before it and after the new ones.

    `was` and `now` are the sessions that end with it; `before` and `after` are the outcomes of the programs
    without it, variables included, or None if nothing is run. `changes` are the earlier turns that differ.
    `by_instruction`: it counts what the turn's instruction says of the old turns, and a number that it only
    has in common with them.
    """

    was: Session
    now: Session
    before: Outcome | None
    after: Outcome | None
    changes: Sequence[TurnChange]
    by_instruction: bool = True

    @property
    def turn(self) -> Turn:
        return self.was.path[-1]

    @property
    def number(self) -> int:
        return len(self.was.path)


def find_staleness(scene: PrefixComparison) -> Staleness | None:
    """The first reason to regenerate the turn, certain reasons first; None if its code can stay."""
    for reason in certain_reasons(scene):
        return Staleness(reason, certain=True)
    for reason in possible_reasons(scene):
        return Staleness(reason)
    return None


def certain_reasons(scene: PrefixComparison) -> Iterator[str]:
    turn, now = scene.turn, scene.now
    if turn.status == KEPT and not turn.chunk.strip():
        yield "it has no code of its own"
    if not parses(turn.chunk):
        yield "it is incomplete"
    if isinstance(turn.provenance, Rewrite) and not turn.provenance.steps:
        yield "it contains the code of earlier turns"
    old, new = scene.was.undo().program.source, now.undo().program.source
    gone = sorted(names_of(turn.chunk).reads & (bound_names(old) - bound_names(new)))
    if gone:
        yield f"{quote_names(gone)} no longer exist{'s' if len(gone) == 1 else ''}"
    known = {
        *undefined_names(scene.was.program.source),
        *undefined_names(new),
    }  # the turns before it have their own faults
    lurking = set(undefined_names(now.program.source)) - known
    if lurking:
        yield f"{quote_names(sorted(lurking))} would be undefined"
    if now.outcome and newly_fails(scene):
        yield f"it fails: {now.outcome.error.partition(': ')[2] or now.outcome.error}"


def newly_fails(scene: PrefixComparison) -> bool:
    """Whether the turn fails although the turns before it run, except for a limit that it exceeded before."""
    now, was = scene.now.outcome, scene.was.outcome
    slow = bool(now and now.limit and was and was.limit)
    return failed(now) and not failed(scene.after) and not slow


def possible_reasons(scene: PrefixComparison) -> Iterator[str]:
    chunk, instruction = scene.turn.chunk, scene.turn.instruction
    before, after = variables_by_name(scene.before), variables_by_name(scene.after)
    if broken := sorted(
        failing_checks(scene.now.outcome, scene.number) - failing_checks(scene.was.outcome, scene.number)
    ):
        yield f"its check {broken[0]} fails"
    for name in sorted(names_of(chunk).reads & before.keys() & after.keys()):
        if describe_kind(before[name]) != describe_kind(after[name]):
            yield f"`{name}` is now {describe_kind(after[name])}, not {describe_kind(before[name])}"
        elif uses_each_part(chunk, before[name]) and before[name].shape != after[name].shape:
            yield f"`{name}` now has length {after[name].shape}, not {before[name].shape}"
    for change in scene.changes:
        if repeats_old_code(change, chunk):
            yield f"it repeats code from the old turn {change.number}"
        replaced = replaced_values(change) if scene.by_instruction else replaced_texts(change)
        if held := sorted(unrequested_values(chunk, instruction) & replaced, key=len):
            yield f"it contains {held[-1]} from the old turn {change.number}"
        if not scene.by_instruction:
            continue
        if held := [
            value
            for value in turn_values(change.old) - turn_values(change.new)
            if mentions(instruction, value)
        ]:
            yield f"its instruction mentions {max(held, key=len)} from the old turn {change.number}"
        lost = bound_names(change.old.chunk) - bound_names(change.new.chunk)
        if held := sorted(lost & set(WORD.findall(instruction))):
            yield f"its instruction mentions {quote_names(held)}, no longer defined by turn {change.number}"
    results = vanished_results(before, after)
    if not scene.by_instruction:
        results = results.difference(*(distinctive_values(change.old.chunk) for change in scene.changes))
    if held := sorted(unrequested_values(chunk, instruction) & results, key=len):
        yield f"it contains {held[-1]}, a result of the old turns"
    if missed := sorted(missing_behaviour(scene.now) - missing_behaviour(scene.was)):
        yield f"it {missed[0]}"
    yield from ignored_changes(scene)


def ignored_changes(scene: PrefixComparison) -> Iterator[str]:
    """Reasons to think that the code ignores changed turns that its instruction refers to."""
    path, turn = scene.now.path, scene.turn
    if scene.number in turns_depending_on(path, [change.number for change in scene.changes]):
        return
    words = {word for word in WORD.findall(turn.instruction) if word not in ARTICLES}
    for change in scene.changes:
        if ignored := sorted(words & bound_names(change.new.chunk)):
            yield f"it does not use {quote_names(ignored)}"
    alone = not names_of(turn.chunk).reads & bound_names(scene.now.undo().program.source)
    values = {value for value in plain_values(turn.chunk) if not mentions(turn.instruction, value)}
    if alone and values and BACK.search(turn.instruction):
        yield f"it contains {max(values, key=len)}, which its instruction does not mention"


def missing_behaviour(session: Session) -> set[str]:
    """What the last turn was asked to do and evidently does not."""
    turn, outcome = session.path[-1], session.outcome
    found = set(unmet_requirements(turn.instruction, turn.chunk, session.program.source, outcome))
    empty = outcome is not None and bool(outcome.outputs) and bool(outcome.outputs[-1])
    return found - {SILENT} if empty else found  # an empty line counts as output


def failing_checks(outcome: Outcome | None, number: int) -> set[str]:
    """The checks of a turn that fail."""
    return {each.code for each in outcome.failed_checks if each.turn == number} if outcome else set()


def variables_by_name(outcome: Outcome | None) -> Mapping[str, Variable]:
    return {each.name: each for each in outcome.variables} if outcome else {}


def describe_kind(variable: Variable) -> str:
    """The type of a variable, as far as code that uses it depends on it."""
    if NUMBERS.fullmatch(variable.kind):
        return "a number"
    if variable.kind == "function":
        _, _, parameters = variable.value.partition("(")
        count = len(parameters.rstrip(")").split(", ")) if parameters.rstrip(")") else 0
        return f"a function with {quantity(count, 'argument')}"
    dimensions = f" with {variable.shape.count('x') + 1} dimensions" if "x" in variable.shape else ""
    return f"{'an' if variable.kind[0] in 'aeiouAEIOU' else 'a'} {variable.kind}{dimensions}"


def uses_each_part(chunk: str, variable: Variable) -> bool:
    """Whether code names each part of a sequence by its index, so that it depends on how many there are."""
    module = parse_module(chunk)
    if module is None or not variable.shape.isdecimal() or int(variable.shape) < 2:
        return False
    used = {
        node.slice.value
        for node in ast.walk(module)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == variable.name
        and isinstance(node.slice, ast.Constant)
    }
    return used == set(range(int(variable.shape)))


def repeats_old_code(change: TurnChange, chunk: str) -> bool:
    """Whether a chunk repeats a whole statement of the old turn that the new one lacks."""
    return bool(
        (top_level_statements(change.old.chunk) - top_level_statements(change.new.chunk))
        & top_level_statements(chunk)
    )


def top_level_statements(code: str) -> set[str]:
    """The top-level statements, without imports and bare expressions."""
    module = parse_module(code)
    plain = (ast.Import, ast.ImportFrom, ast.Expr, ast.Pass)
    return {dump_shallow(each) for each in module.body if not isinstance(each, plain)} if module else set()


def replaced_values(change: TurnChange) -> set[str]:
    """The values of the old turn that the new one lacks."""
    return turn_values(change.old) - turn_values(change.new)


def replaced_texts(change: TurnChange) -> set[str]:
    """The texts in the code of the old turn that the code of the new one lacks."""
    found = distinctive_values(change.old.chunk) - distinctive_values(change.new.chunk)
    return {value for value in found if isinstance(literal_value(value), str)}


def turn_values(turn: Turn) -> set[str]:
    """The distinctive values in a turn's instruction and code, as Python literals."""
    return distinctive_values(turn.chunk) | instruction_values(turn.instruction)


def distinctive_values(code: str) -> set[str]:
    """The values in code that are rare enough to be recognised."""
    return {repr(value) for value, within in literal_values(code) if is_distinctive(value, within)}


def unrequested_values(code: str, instruction: str) -> set[str]:
    """The values in code that its own instruction does not mention, and words of its texts."""
    found = {repr(value) for value, _ in literal_values(code)}
    texts = [value for value, _ in literal_values(code) if isinstance(value, str)]
    words = {repr(word) for text in texts for word in PART.findall(text)}
    return {value for value in found | words if not mentions(instruction, value)}


def vanished_results(before: Mapping[str, Variable], after: Mapping[str, Variable]) -> set[str]:
    """Distinctive values that variables had before the change and no longer have."""
    found = set()
    for name, variable in before.items():
        value = literal_value(variable.value)
        if value is not None and is_distinctive(value, within=False) and variable != after.get(name):
            found.add(repr(value))
    return found - {repr(literal_value(each.value)) for each in after.values()}


def plain_values(code: str) -> Iterator[str]:
    """The distinctive values that code only assigns or prints."""
    module = parse_module(code)
    for statement in module.body if module else ():
        match statement:
            case ast.Assign(_, value):
                whole: list[ast.expr] = [value]
            case ast.Expr(ast.Call(ast.Name("print"), arguments)):
                whole = arguments
            case _:
                whole = []
        yield from (repr(each) for each in map(literal_value, whole) if is_distinctive(each, within=False))


def literal_values(code: str) -> Iterator[tuple[object, bool]]:
    """Each literal in code, and whether it is part of a larger one."""
    module = parse_module(code)
    if module is None:
        return
    inside: set[int] = set()
    for node in ast.walk(module):
        if not isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.Set | ast.Dict | ast.UnaryOp):
            continue
        value = literal_value(node)
        if value is not None:
            yield value, id(node) in inside
            inside |= {id(each) for each in ast.walk(node)}


def instruction_values(instruction: str) -> set[str]:
    """The distinctive quoted texts and numbers in an instruction."""
    texts = [match["text"] for match in QUOTED.finditer(instruction)]
    numbers = [literal_value(match[0]) for match in NUMBER.finditer(QUOTED.sub(" ", instruction))]
    found = [each for each in texts if not each.isidentifier()]
    return {
        *(repr(value) for value in found if is_distinctive(value, within=False)),
        *(repr(value) for value in numbers if is_distinctive(value, within=len(numbers) > 1)),
    }


def is_distinctive(value: object, within: bool) -> bool:
    """Whether a value is rare enough to be recognised in other code."""
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) > SMALL and value not in ROUND if within else value not in EVERYWHERE
    if isinstance(value, str):
        return len(value.strip()) > 1
    return bool(value)


def mentions(instruction: str, value: str) -> bool:
    """Whether an instruction contains a value, however it is quoted."""
    text = literal_value(value)
    plain = re.escape(text if isinstance(text, str) else value)
    return re.search(rf"(?<!\w){plain}(?!\w)", instruction) is not None


def literal_value(code: str | ast.expr) -> object:
    """The value of a Python literal; None if it is not a literal."""
    try:
        value: object = ast.literal_eval(code)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return value


def dump_shallow(statement: ast.stmt) -> str:
    try:
        return dump(statement)
    except RecursionError:
        return f"nested too deeply: {id(statement)}"


def quote_names(found: Sequence[str]) -> str:
    return join_words([f"`{name}`" for name in found])
