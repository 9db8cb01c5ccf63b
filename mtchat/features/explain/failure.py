"""What is certainly true of how a program failed: where, what it means, and what was there at the time."""

import ast
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from mtchat.session import world
from mtchat.session.names import bound, tree
from mtchat.session.outcome import Frame, Outcome, Variable
from mtchat.session.program import Program
from mtchat.session.source import lines

MEANINGS: Mapping[str, str] = {
    "ZeroDivisionError": "Something is divided by zero, which has no result.",
    "NameError": "A name is used that has no value yet where this line runs.",
    "UnboundLocalError": "A function uses a name before it gave it a value.",
    "TypeError": "Something of one kind is used where Python needs another kind.",
    "ValueError": "Something is of the right kind, but its value does not fit here.",
    "IndexError": "An entry is asked for at a position that is not there.",
    "KeyError": "An entry is asked for under a key that is not there.",
    "AttributeError": "Something is asked for that this kind of thing does not have.",
    "ModuleNotFoundError": "A module is asked for that is not installed here.",
    "ImportError": "Something is asked for that the module does not have.",
    "FileNotFoundError": "A file or folder is asked for that is not in the program's work folder.",
    "PermissionError": "The program is not allowed to do this here.",
    "EOFError": "The program asks for keyboard input, and there is none.",
    "SyntaxError": "The code is not Python, so nothing of this turn ran.",
    "IndentationError": "The lines are not indented as Python needs it, so nothing of this turn ran.",
    "RecursionError": "A function calls itself again and again without an end.",
    "MemoryError": "The program needs more memory than it may have.",
    "AssertionError": "A check in the program does not hold.",
    "OverflowError": "A number is too large to work with.",
    "StopIteration": "Another item is asked for where there are no more.",
    "UnicodeDecodeError": "Something is read as text that is not text of that kind.",
}
LIMITS: Mapping[str, str] = {
    "seconds": "It took longer than a run may take; often a loop does not come to its end.",
    "cpu": "It worked longer than a run may; often a loop does not come to its end.",
    "memory": "It needed more memory than a run may have.",
    "disk": "It wrote more to files than a run may.",
    "output": "It printed more than a run may; often a loop does not come to its end.",
    "processes": "It started more processes or threads than a run may.",
}
WORLDS: Mapping[str, str] = {
    world.INPUT: "The program asks for keyboard input, and there is none.",
    world.ARGUMENTS: "The program asks for words after its name, its arguments, and did not get those.",
    world.NETWORK: "The program asks for something from the network, and a run has none.",
    world.DISPLAY: "The program wants to open a window, and a run has no screen.",
    world.TERMINAL: "The program wants to draw on a terminal, and a run has none.",
    world.ENVIRONMENT: "The program asks for a variable of your environment, and a run does not see yours.",
    world.COMMAND: "The program starts another program, and in a run that one is not there.",
    world.GPU: "The program wants to compute on a graphics processor, and a run has none.",
    world.OUTSIDE: "The program writes to a place outside its work folder, and a run may not.",
    world.SCRATCH: "The program wrote more temporary files than a run may.",
}
KIND = re.compile(r"(?:^|: )(?:\w+\.)*(\w*(?:Error|Exception|Iteration|Interrupt|Exit|Warning)\b)")
UNKNOWN = re.compile(r"name '(\w+)' is not defined")
MISSING = re.compile(r"has no attribute '(\w+)'")
NEARLY = "There is a "  # how a clue begins that names what was misspelt
LONGEST_VALUE = 70
CODE_KINDS = ("function", "type", "builtin_function_or_method", "method")


def kind(outcome: Outcome) -> str:
    """The name of the error, as "KeyError"; "" where the program was stopped from outside."""
    found = KIND.search(outcome.error)
    return found[1] if found else ""


def meaning(outcome: Outcome) -> str:
    """What such an error means, in a sentence; "" where that is not known."""
    told = LIMITS.get(outcome.limit, "") or WORLDS.get(outcome.world, "")
    return told or MEANINGS.get(kind(outcome), "")


def line(program: Program, frame: Frame) -> str:
    """The line of the program that a frame points at."""
    code = next((chunk.code for chunk in program.chunks if chunk.turn == frame.place.turn), "")
    rows = lines(code)
    return rows[frame.place.line - 1] if 1 <= frame.place.line <= len(rows) else frame.text


def values(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> tuple[Variable, ...]:
    """The variables that the failing line of the top level uses, as they were when it failed.

    What a function knew inside is not among them.
    """
    if not outcome.frames:
        return ()
    used = names(line(program, outcome.frames[0]))
    return tuple(each for each in variables if each.name in used and each.kind not in CODE_KINDS)


def names(code: str) -> frozenset[str]:
    """The names in a line, also in one that is only the head of a statement."""
    text = code.strip()
    head = f"{text}\n pass" if text.endswith(":") else text
    module = tree(head) or tree(re.sub(r"^el(?=if\b)", "", head)) or tree(f"{text} pass")
    if module is None:
        return frozenset(re.findall(r"(?<![\w.\"'])[A-Za-z_]\w*", text))
    return frozenset(node.id for node in ast.walk(module) if isinstance(node, ast.Name))


def described(variable: Variable) -> str:
    """A variable in one line: its value and what it is."""
    value = variable.value
    if len(value) > LONGEST_VALUE:
        value = value[: LONGEST_VALUE - 1] + "…"
    kinds = {"int": "a whole number", "float": "a number", "str": "text", "bool": "yes or no"}
    what = kinds.get(variable.kind, f"{'an' if variable.kind[:1] in 'aeiouAEIOU' else 'a'} {variable.kind}")
    length = f" of {variable.shape}" if variable.shape and variable.kind not in ("str",) else ""
    return f"`{variable.name}` is {value} ({what}{length})"


def clues(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> Iterator[str]:
    """What else is certain, and helps: a name that is nearly the same, how long a list was."""
    unknown = UNKNOWN.search(outcome.error)
    if unknown:
        known = bound(program.source) | {each.name for each in variables}
        near = difflib.get_close_matches(unknown[1], sorted(known - {unknown[1]}), n=1)
        if near:
            yield f"{NEARLY}`{near[0]}`; perhaps that is meant."
        elif unknown[1] in known:
            yield f"`{unknown[1]}` has no value here: it gets one only later, or on a line that did not run."
        else:
            yield f"No line of the program gives `{unknown[1]}` a value."
    if kind(outcome) == "IndexError":
        for each in values(program, outcome, variables):
            if each.shape.isdecimal():
                places = positions(int(each.shape))
                yield f"`{each.name}` has {each.shape} entries, at the positions {places}."
    missing = MISSING.search(outcome.error)
    if missing and any(each.value == "None" for each in values(program, outcome, variables)):
        yield "One of them is None: the step that should have made it gave nothing back."


def settled(program: Program, outcome: Outcome, variables: Sequence[Variable]) -> bool:
    """Whether the clues say all there is to say, so that more words could only confuse."""
    return any(clue.startswith(NEARLY) for clue in clues(program, outcome, variables))


def positions(count: int) -> str:
    if count == 0:
        return "of which there are none"
    return "0" if count == 1 else f"0 to {count - 1}"
