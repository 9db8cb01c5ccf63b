"""The program of a conversation, the checks that must hold after its turns, and what a run of it is given."""

import ast
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

from mtchat.session.names import parse_module, unparse
from mtchat.session.prompt import file_key
from mtchat.session.turn import Turn

RELATIONS = {
    ast.Eq: "be",
    ast.NotEq: "not be",
    ast.Lt: "be less than",
    ast.LtE: "be at most",
    ast.Gt: "be more than",
    ast.GtE: "be at least",
    ast.Is: "be",
    ast.IsNot: "not be",
    ast.In: "be in",
    ast.NotIn: "not be in",
}


@dataclass(frozen=True)
class Check:
    """A Python expression that must hold after a turn.

    `at` is the turn after which it is looked at: a later one where that has the code of the check's turn.
    """

    turn: int
    code: str
    at: int


@dataclass(frozen=True)
class CheckResult:
    """What came of a check: `passed` is None if the program did not get that far.

    `actual` says what is the case instead, or why the check was not evaluated.
    """

    turn: int
    code: str
    passed: bool | None = None
    actual: str = field(default="", metadata=file_key("but"))

    @property
    def sentence(self) -> str:
        """One sentence for people who do not write code."""
        return f"after turn {self.turn}, {self.requirement}"

    @property
    def requirement(self) -> str:
        """What must hold, and what is the case instead."""
        return f"{describe_check(self.code)}, but {self.actual}" if self.actual else describe_check(self.code)


def parse_expression(code: str) -> ast.expr | None:
    """The code as one expression; None where it is none, or is nested too deeply to be told."""
    module = parse_module(f"({code}\n)")  # in brackets it may have more lines than one
    match module.body if module else []:
        case [ast.Expr(value)] if can_unparse(value):
            return value
    return None


def can_unparse(value: ast.expr) -> bool:
    try:
        return bool(unparse(value))
    except RecursionError:
        return False


def describe_check(code: str) -> str:
    """What an expression checks, in words: "total must be 42"."""
    match parse_expression(code):
        case ast.Compare(left, [relation], [right]) if type(relation) in RELATIONS:
            return f"{describe_operand(left)} must {RELATIONS[type(relation)]} {unparse(right)}"
        case ast.UnaryOp(ast.Not(), ast.Compare(left, [ast.Eq()], [right])):
            return f"{describe_operand(left)} must not be {unparse(right)}"
        case ast.UnaryOp(ast.Not(), value):
            return f"{unparse(value)} must not hold"
    return f"{code} must hold"


def describe_operand(value: ast.expr) -> str:
    """What to call one side of a comparison."""
    match value:
        case ast.Call(ast.Name("len"), [ast.Name(name)], []):
            return f"the length of {name}"
    return unparse(value)


PREAMBLE = 0


@dataclass(frozen=True)
class Chunk:
    """The code of one turn; `turn` counts from 1, and 0 is the session's preamble."""

    turn: int
    code: str


@dataclass(frozen=True)
class Location:
    """A line of a turn; both count from 1 (turn 0 is the preamble)."""

    turn: int
    line: int


@dataclass(frozen=True)
class Program:
    """Chunks in order. Each is compiled under its own file name, so errors name the turn.

    `name` is the file's name when the program is one file and not a conversation. `checks` are what must
    hold after its turns.
    """

    chunks: tuple[Chunk, ...] = ()
    name: str = ""
    checks: tuple[Check, ...] = ()

    def label(self, turn: int) -> str:
        """What to call a chunk when it fails: "turn 3", "preamble", or the file's name."""
        return self.name or (f"turn {turn}" if turn != PREAMBLE else "preamble")

    @cached_property
    def source(self) -> str:
        """The chunks as one module, one blank line between them, ending in a newline ("" when empty)."""
        parts = [chunk.code.rstrip("\n") for chunk in self.chunks if chunk.code.strip()]
        return "\n\n".join(parts) + "\n" if parts else ""

    @cached_property
    def locations(self) -> tuple[Location | None, ...]:
        """The turn and line behind each line of `source`; None for the blank lines between chunks."""
        found: list[Location | None] = []
        for chunk in self.chunks:
            if not chunk.code.strip():
                continue
            if found:
                found.append(None)
            count = chunk.code.rstrip("\n").count("\n") + 1
            found.extend(Location(chunk.turn, line) for line in range(1, count + 1))
        return tuple(found)


def assemble(path: tuple[Turn, ...], preamble: str = "", checks: tuple[Check, ...] = ()) -> Program:
    """The program of a path. A turn without code keeps its number."""
    first = (Chunk(PREAMBLE, preamble),) if preamble.strip() else ()
    chunks = (Chunk(number, turn.chunk) for number, turn in enumerate(path, start=1))
    return Program((*first, *chunks), checks=checks)


@dataclass(frozen=True)
class AttachedFile:
    """A file of the user's that runs get a copy of: its name in the work folder, and where it is.

    The name of a file that came with its folder is a path that begins with the folder's, as in pkg/part.py.
    `size` in bytes and `sha256` are as they were when it was attached.
    """

    name: str
    path: PurePath
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class RunInputs:
    """`arguments` follow the script in sys.argv; without `stdin`, asking for keyboard input is an error.

    `live` says that somebody types it: the run may wait as long as they take, and its seconds are CPU time.
    `with_state` asks for the state at the end, in the `state` of the outcome.
    """

    arguments: tuple[str, ...] = ()
    stdin: PurePath | None = None
    files: tuple[AttachedFile, ...] = ()
    live: bool = False
    with_state: bool = False


NO_INPUTS = RunInputs()
