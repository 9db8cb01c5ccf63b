"""Whether a chunk still means the same when turns before it have changed: what speaks against it."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mtchat.generate.names import undefined
from mtchat.generate.running import failed
from mtchat.generate.wishes import ARTICLES, unmet
from mtchat.session.dependencies import names, reached
from mtchat.session.english import join_words
from mtchat.session.names import bound, parses, tree
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.provenance import Rewrite
from mtchat.session.session import Session
from mtchat.session.turn import KEPT, Turn

QUOTED = re.compile(r"""(?<!\w)(["'`])(?P<text>(?:(?!\1).)+)\1(?!\w)""")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]*\w)")
WORD = re.compile(r"[A-Za-z_]\w*")
BACK = re.compile(r"\b(?:it|its|this|that|them|their|these|those|each|result)\b", re.IGNORECASE)
EVERYWHERE = (-1, 0, 1, 2)  # numbers that code is full of, whatever it is about
SMALL = 10  # of numbers in a list: those up to it may stand for something else,
ROUND = (100, 1000)  # and so may these
PART = re.compile(r"\w{4,}")  # of a text, which is long enough to be known again by itself
SILENT = "prints nothing"
NUMBERS = re.compile(r"u?int\d*|float\d*")  # Python's and numpy's


@dataclass(frozen=True)
class TurnChange:
    """A turn as it was and as it is now."""

    number: int
    old: Turn
    new: Turn


@dataclass(frozen=True)
class Staleness:
    """Why a chunk should be made again. One that is `sure` cannot stay; one that is not may be mistaken."""

    reason: str
    sure: bool = False


@dataclass(frozen=True)
class PrefixComparison:
    """A later turn on its old prefix and on its new one.

    `was` and `now` are the sessions that end with it; `before` and `after` are the outcomes of the prefixes
    without it, with their variables, None where nothing is run. `changes` are the earlier turns that differ.
    """

    was: Session
    now: Session
    before: Outcome | None
    after: Outcome | None
    changes: Sequence[TurnChange]

    @property
    def turn(self) -> Turn:
        return self.was.path[-1]

    @property
    def number(self) -> int:
        return len(self.was.path)


def find_staleness(scene: PrefixComparison) -> Staleness | None:
    """The first that speaks against the chunk, what is sure before what is not; None where it can stay."""
    for reason in certain_reasons(scene):
        return Staleness(reason, sure=True)
    for reason in possible_reasons(scene):
        return Staleness(reason)
    return None


def certain_reasons(scene: PrefixComparison) -> Iterator[str]:
    turn, now = scene.turn, scene.now
    if turn.status == KEPT and not turn.chunk.strip():
        yield "it has no code of its own"
    if not parses(turn.chunk):
        yield "it is not whole"
    if isinstance(turn.provenance, Rewrite):
        yield "it holds the code of the turns before it"
    old, new = scene.was.undo().program.source, now.undo().program.source
    gone = sorted(names(turn.chunk).reads & (bound(old) - bound(new)))
    if gone:
        yield f"{quote_names(gone)} {'is' if len(gone) == 1 else 'are'} not there any more"
    known = {*undefined(scene.was.program.source), *undefined(new)}  # the prefix has its own faults
    lurking = set(undefined(now.program.source)) - known
    if lurking:
        yield f"{quote_names(sorted(lurking))} would not be there"
    if now.outcome and newly_fails(scene):
        yield f"it fails: {now.outcome.error.partition(': ')[2] or now.outcome.error}"


def newly_fails(scene: PrefixComparison) -> bool:
    """Whether the chunk ends badly where its prefix does not, and not by a limit that it met before too."""
    now, was = scene.now.outcome, scene.was.outcome
    slow = bool(now and now.limit and was and was.limit)
    return failed(now) and not failed(scene.after) and not slow


def possible_reasons(scene: PrefixComparison) -> Iterator[str]:
    chunk, instruction = scene.turn.chunk, scene.turn.instruction
    before, after = variables_by_name(scene.before), variables_by_name(scene.after)
    if broken := sorted(
        failing_checks(scene.now.outcome, scene.number) - failing_checks(scene.was.outcome, scene.number)
    ):
        yield f"its check {broken[0]} does not hold"
    for name in sorted(names(chunk).reads & before.keys() & after.keys()):
        if describe_kind(before[name]) != describe_kind(after[name]):
            yield f"`{name}` is {describe_kind(after[name])} now, not {describe_kind(before[name])}"
    for change in scene.changes:
        if repeats_old_code(change, chunk):
            yield f"it repeats code of the old turn {change.number}"
        if held := sorted(unrequested_values(chunk, instruction) & replaced_values(change), key=len):
            yield f"it has {held[-1]} of the old turn {change.number}"
        if held := [
            value
            for value in turn_values(change.old) - turn_values(change.new)
            if mentions(instruction, value)
        ]:
            yield f"its instruction has {max(held, key=len)} of the old turn {change.number}"
        lost = bound(change.old.chunk) - bound(change.new.chunk)
        if held := sorted(lost & set(WORD.findall(instruction))):
            yield f"its instruction speaks of {quote_names(held)}, which turn {change.number} had"
    if held := sorted(unrequested_values(chunk, instruction) & vanished_results(before, after), key=len):
        yield f"it has {held[-1]}, which came of the old turns"
    if missed := sorted(missing_behaviour(scene.now) - missing_behaviour(scene.was)):
        yield f"it {missed[0]}"
    yield from ignored_changes(scene)


def ignored_changes(scene: PrefixComparison) -> Iterator[str]:
    """Where the instruction is about something of other turns, and the code has nothing to do with them."""
    path, turn = scene.now.path, scene.turn
    if scene.number in reached(path, [change.number for change in scene.changes]):
        return
    words = {word for word in WORD.findall(turn.instruction) if word not in ARTICLES}
    for change in scene.changes:
        if ignored := sorted(words & bound(change.new.chunk)):
            yield f"it does not use {quote_names(ignored)}"
    alone = not names(turn.chunk).reads & bound(scene.now.undo().program.source)
    values = {value for value in plain_values(turn.chunk) if not mentions(turn.instruction, value)}
    if alone and values and BACK.search(turn.instruction):
        yield f"it has {max(values, key=len)}, which its instruction does not give"


def missing_behaviour(session: Session) -> set[str]:
    """What its last turn is seen to be asked for and not to do."""
    turn, outcome = session.path[-1], session.outcome
    found = set(unmet(turn.instruction, turn.chunk, session.program.source, outcome))
    empty = outcome is not None and bool(outcome.outputs) and bool(outcome.outputs[-1])
    return found - {SILENT} if empty else found  # a line without text is printed all the same


def failing_checks(outcome: Outcome | None, number: int) -> set[str]:
    """The checks of a turn that do not hold."""
    return {each.code for each in outcome.broken if each.turn == number} if outcome else set()


def variables_by_name(outcome: Outcome | None) -> Mapping[str, Variable]:
    return {each.name: each for each in outcome.variables} if outcome else {}


def describe_kind(variable: Variable) -> str:
    """What a variable is, as far as code that uses it depends on it."""
    if NUMBERS.fullmatch(variable.kind):
        return "a number"
    if variable.kind == "function":
        _, _, parameters = variable.value.partition("(")
        count = len(parameters.rstrip(")").split(", ")) if parameters.rstrip(")") else 0
        return f"a function of {count} argument{'' if count == 1 else 's'}"
    dimensions = f" of {variable.shape.count('x') + 1} dimensions" if "x" in variable.shape else ""
    return f"{'an' if variable.kind[0] in 'aeiouAEIOU' else 'a'} {variable.kind}{dimensions}"


def repeats_old_code(change: TurnChange, chunk: str) -> bool:
    """Whether a chunk has a whole statement of the old turn that the new one does not have."""
    return bool(
        (top_level_statements(change.old.chunk) - top_level_statements(change.new.chunk))
        & top_level_statements(chunk)
    )


def top_level_statements(code: str) -> set[str]:
    """The statements at top level, imports and bare expressions aside."""
    module = tree(code)
    plain = (ast.Import, ast.ImportFrom, ast.Expr, ast.Pass)
    return {dump(each) for each in module.body if not isinstance(each, plain)} if module else set()


def replaced_values(change: TurnChange) -> set[str]:
    """The values that the old turn had and the new one has not."""
    return turn_values(change.old) - turn_values(change.new)


def turn_values(turn: Turn) -> set[str]:
    """The values in a turn's instruction and code that can be known again, as Python writes them."""
    return distinctive_values(turn.chunk) | instruction_values(turn.instruction)


def distinctive_values(code: str) -> set[str]:
    """The values in code that are not found everywhere."""
    return {repr(value) for value, within in literal_values(code) if is_distinctive(value, within)}


def unrequested_values(code: str, instruction: str) -> set[str]:
    """The values in code that its own instruction does not ask for, and parts of its texts."""
    found = {repr(value) for value, _ in literal_values(code)}
    texts = [value for value, _ in literal_values(code) if isinstance(value, str)]
    words = {repr(word) for text in texts for word in PART.findall(text)}
    return {value for value in found | words if not mentions(instruction, value)}


def vanished_results(before: Mapping[str, Variable], after: Mapping[str, Variable]) -> set[str]:
    """The values that variables had before the change and have no more, where they can be known again."""
    found = set()
    for name, variable in before.items():
        value = literal_value(variable.value)
        if value is not None and is_distinctive(value, within=False) and variable != after.get(name):
            found.add(repr(value))
    return found - {repr(literal_value(each.value)) for each in after.values()}


def plain_values(code: str) -> Iterator[str]:
    """The values that can be known again and that code does nothing with but name or print them."""
    module = tree(code)
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
    """Each value written down in code, and whether it is part of a larger one."""
    module = tree(code)
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
    """The texts in quotes and the numbers in an instruction that can be known again."""
    texts = [match["text"] for match in QUOTED.finditer(instruction)]
    numbers = [literal_value(match[0]) for match in NUMBER.finditer(QUOTED.sub(" ", instruction))]
    found = [each for each in texts if not each.isidentifier()]
    return {
        *(repr(value) for value in found if is_distinctive(value, within=False)),
        *(repr(value) for value in numbers if is_distinctive(value, within=len(numbers) > 1)),
    }


def is_distinctive(value: object, within: bool) -> bool:
    """Whether a value is rare enough that code which has it means this one."""
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) > SMALL and value not in ROUND if within else value not in EVERYWHERE
    if isinstance(value, str):
        return len(value.strip()) > 1
    return bool(value)


def mentions(instruction: str, value: str) -> bool:
    """Whether a value is in an instruction, however it is quoted."""
    text = literal_value(value)
    plain = re.escape(text if isinstance(text, str) else value)
    return re.search(rf"(?<!\w){plain}(?!\w)", instruction) is not None


def literal_value(code: str | ast.expr) -> object:
    """The value that some Python writes down; None where it is none."""
    try:
        value: object = ast.literal_eval(code)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return value


def dump(statement: ast.stmt) -> str:
    try:
        return ast.dump(statement)
    except RecursionError:
        return f"nested too deeply: {id(statement)}"


def quote_names(found: Sequence[str]) -> str:
    return join_words([f"`{name}`" for name in found])
