"""Facts about a failure in plain English: where it happened, what it means, which values were involved."""

import ast
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from mtchat.session.names import bound_names, parse_module
from mtchat.session.outcome import Frame, Outcome, Reason, Variable
from mtchat.session.program import Program
from mtchat.session.source import split_lines
from mtchat.session.text import join_words, quantity

MEANINGS: Mapping[str, str] = {
    "ZeroDivisionError": "The code divides by zero, which has no result.",
    "NameError": "This line uses a name that has no value yet.",
    "UnboundLocalError": "A function uses a name before giving it a value.",
    "TypeError": "A value of one type is used where Python needs another type.",
    "ValueError": "The value has the right type, but it is not acceptable here.",
    "IndexError": "The code asks for a position that does not exist.",
    "KeyError": "The code looks up a key that does not exist.",
    "AttributeError": "The code uses something that this kind of value does not have.",
    "ModuleNotFoundError": "The code imports a module that is not installed here.",
    "ImportError": "The code imports a name that the module does not have.",
    "FileNotFoundError": "The file or folder is not in the program's work folder.",
    "PermissionError": "The program is not allowed to do this here.",
    "EOFError": "The program waits for keyboard input, but there is none.",
    "SyntaxError": "The code is not valid Python, so nothing in this turn ran.",
    "IndentationError": "The indentation is not valid Python, so nothing in this turn ran.",
    "RecursionError": "A function keeps calling itself and never stops.",
    "MemoryError": "The program needs more memory than it is allowed to use.",
    "AssertionError": "A check in the program failed.",
    "OverflowError": "A number is too large to compute with.",
    "StopIteration": "The code asks for another item when there are none left.",
    "UnicodeDecodeError": "The code reads data as text, but it is not valid text in that encoding.",
}
REASONS: Mapping[Reason, str] = {
    Reason.SECONDS: "It ran longer than the time limit, often because a loop never ends.",
    Reason.CPU: "It used more processor time than allowed, often because a loop never ends.",
    Reason.MEMORY: "It used more memory than a run may use.",
    Reason.DISK: "It wrote more data to files than a run may write.",
    Reason.OUTPUT: "It printed more than a run may print, often because a loop never ends.",
    Reason.PROCESSES: "It started more processes or threads than a run may start.",
    Reason.INPUT: "The program waits for keyboard input, but there is none.",
    Reason.ARGUMENTS: "The program needs words typed after its name (arguments), and they are missing.",
    Reason.NETWORK: "The program needs the network, but programs run without network access.",
    Reason.DISPLAY: "The program opens a window, but programs run without a screen.",
    Reason.TERMINAL: "The program draws on a terminal, but programs run without one.",
    Reason.ENVIRONMENT: "The program reads one of your environment variables, but programs cannot see them.",
    Reason.COMMAND: "The program starts another program that is not available to it.",
    Reason.GPU: "The program uses a graphics processor, but programs run without one.",
    Reason.OUTSIDE: "The program writes outside its work folder, which it is not allowed to do.",
    Reason.SCRATCH: "The program wrote more temporary files than it is allowed to write.",
}
UNKNOWN = re.compile(r"name '(\w+)' is not defined")
MISSING = re.compile(r"has no attribute '(\w+)'")
KEY = re.compile(r"'([^'\n]*)'")
NEARLY = "Did you mean "  # begins a clue that names the correct spelling
LONGEST_VALUE = 70
CODE_KINDS = ("function", "type", "builtin_function_or_method", "method")


def error_meaning(outcome: Outcome) -> str:
    """What such an error means, in one sentence; "" if unknown."""
    known = REASONS.get(outcome.reason, "")
    return known or MEANINGS.get(outcome.exception, "")


def failing_line(program: Program, frame: Frame) -> str:
    """The line of the program that a stack frame points at."""
    code = next((chunk.code for chunk in program.chunks if chunk.turn == frame.place.turn), "")
    rows = split_lines(code)
    return rows[frame.place.line - 1] if 1 <= frame.place.line <= len(rows) else frame.text


def failing_values(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> tuple[Variable, ...]:
    """The variables that the failing top-level line uses, as they were when it failed.

    Local variables of functions are not included.
    """
    if not outcome.frames:
        return ()
    used = names_in_line(failing_line(program, outcome.frames[0]))
    return tuple(each for each in variables if each.name in used and each.kind not in CODE_KINDS)


def names_in_line(code: str) -> frozenset[str]:
    """The names in a line, which may be only the head of a compound statement."""
    text = code.strip()
    head = f"{text}\n pass" if text.endswith(":") else text
    module = (
        parse_module(head) or parse_module(re.sub(r"^el(?=if\b)", "", head)) or parse_module(f"{text} pass")
    )
    if module is None:
        return frozenset(re.findall(r"(?<![\w.\"'])[A-Za-z_]\w*", text))
    return frozenset(node.id for node in ast.walk(module) if isinstance(node, ast.Name))


def describe_variable(variable: Variable) -> str:
    """A variable in one line: its value and its type."""
    value = variable.value
    if len(value) > LONGEST_VALUE:
        value = value[: LONGEST_VALUE - 1] + "…"
    kinds = {"int": "a whole number", "float": "a number", "str": "text", "bool": "yes or no"}
    what = kinds.get(variable.kind, f"{'an' if variable.kind[:1] in 'aeiouAEIOU' else 'a'} {variable.kind}")
    length = describe_size(variable.shape) if variable.kind != "str" else ""
    return f"`{variable.name}` is {value} ({what}{length})"


def describe_place(program: Program, outcome: Outcome) -> str:
    """Where the program failed, and the line of the program that led there."""
    if not outcome.frames:
        return ""
    first, last = outcome.frames[0], outcome.frames[-1]
    inner = f"{program.label(last.place.turn)}, line {last.place.line}"
    if len(outcome.frames) == 1:
        return f"The program stops in {inner}:"
    outer = f"{program.label(first.place.turn)}, line {first.place.line}"
    return f"The program stops in {inner}, in `{last.function}`, which {outer} calls:"


def describe_failure(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> Iterator[str]:
    """What Python says, what that means, the values involved and further clues, in sentences."""
    yield f"Python says: {outcome.error.partition(': ')[2] or outcome.error}"
    meaning = error_meaning(outcome)
    if meaning:
        yield f"That means: {meaning}"
    used = failing_values(program, outcome, variables)
    if used:
        yield f"At that moment {join_words([describe_variable(each) for each in used])}."
    yield from find_clues(program, outcome, variables)


def find_clues(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> Iterator[str]:
    """Further facts that help: a similar name, the length of a list."""
    unknown = UNKNOWN.search(outcome.error)
    if unknown:
        known = bound_names(program.source) | {each.name for each in variables}
        near = difflib.get_close_matches(unknown[1], sorted(known - {unknown[1]}), n=1)
        if near:
            yield f"{NEARLY}`{near[0]}`?"
        elif unknown[1] in known:
            yield f"`{unknown[1]}` has no value yet: it gets one later, or on a line that did not run."
        else:
            yield f"No line of the program gives `{unknown[1]}` a value."
    if outcome.exception == "IndexError":
        for each in failing_values(program, outcome, variables):
            if each.shape.isdecimal():
                yield describe_positions(each.name, int(each.shape))
    if outcome.exception == "KeyError":
        used = failing_values(program, outcome, variables)
        keys = {key for each in used for key in KEY.findall(each.value)}
        asked = KEY.search(outcome.error.rpartition("KeyError")[2])
        if asked and (near := difflib.get_close_matches(asked[1], sorted(keys), n=1)):
            yield f"{NEARLY}`{near[0]!r}`?"
    missing = MISSING.search(outcome.error)
    if missing and any(each.value == "None" for each in failing_values(program, outcome, variables)):
        yield "One of these values is None: the step that should have produced it returned nothing."


def describe_size(shape: str) -> str:
    if not shape.isdecimal():
        return f" of {shape}" if shape else ""
    return f" with {quantity(int(shape), 'item')}"


def is_settled(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> bool:
    """Whether the clues explain the failure completely, so that more words would only confuse."""
    return any(clue.startswith(NEARLY) for clue in find_clues(program, outcome, variables))


def describe_positions(name: str, count: int) -> str:
    if count == 0:
        return f"`{name}` is empty."
    places = "position 0" if count == 1 else f"positions 0 to {count - 1}"
    return f"`{name}` has {quantity(count, 'item')}, at {places}."
