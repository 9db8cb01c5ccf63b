"""Reworks the code of a turn: completes what is unfinished, or refactors it.

Refactored code is run before and after, and used only if its visible behaviour is the same. Its functions are
also called with simple values, of the types that the program's own calls or annotations show.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mtchat.errors import MtchatError
from mtchat.generate.complete import warmer
from mtchat.generate.execute import RunProgram, error_report
from mtchat.generate.generated_tests import (
    Assertion,
    assertions_in,
    calling,
    checking_code,
    functions,
    read_results,
)
from mtchat.generate.improve import stop_on_interrupt
from mtchat.generate.turn import TurnGenerator
from mtchat.session.names import bound_names, parse_module, parses
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.program import Chunk, Program
from mtchat.session.provenance import Rework
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.text import join_words, quantity
from mtchat.session.turn import INTERRUPTED, Turn

VALUES: Mapping[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "-3", "10", "7", "100"),
    "float": ("0.0", "2.5", "-1.5", "3.0"),
    "str": ("''", "'abc'", "'Level'", "'a b a'", "'7'"),
    "list": ("[]", "[3, 1, 2]", "[1, 1]", "['b', 'a', 'b']"),
    "dict": ("{}", "{'a': 1, 'b': 2}"),
    "bool": ("True", "False"),
}
STEPS = (1, 2, 5)  # how fast the values of the first, second and third argument change
MOST_PARAMETERS = len(STEPS)
MOST_CALLS = 14

Function = ast.FunctionDef
CLEANER = (
    "Write the code of this step again, cleaner and easier to read. It must do exactly the same: keep every "
    "name that it defines, every value and everything that it prints."
)
FINISH = (
    "The code of this step is not finished. Write all of it again with every function completed: no TODO, no "
    "pass and no ... in the place of code. Keep the names that it defines."
)
TODO = re.compile(r"#.*\b(?:TODO|FIXME|XXX)\b|#\s*(?:your code|add code|implement)\b", re.IGNORECASE)
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
LONGEST = 60  # characters of an output or a value in a message


@dataclass(frozen=True)
class ReworkResult:
    """The result of reworking turn `number`: the session, the new code, and why it was not used.

    `reasons` are empty if it was used; `compared` says what was found to be the same.
    """

    session: Session
    number: int
    old: str
    new: str = ""
    reasons: tuple[str, ...] = ()
    compared: str = ""

    @property
    def taken(self) -> bool:
        return not self.reasons


def placeholders(chunk: str) -> tuple[str, ...]:
    """The placeholders in a chunk: empty function bodies, TODO comments and ellipses."""
    module = parse_module(chunk)
    found = [line.strip() for line in chunk.split("\n") if TODO.search(line)]
    for node in ast.walk(module) if module else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and all(map(does_nothing, node.body)):
            found.append(f"{node.name}()")
    if module and any(is_ellipsis(node) for node in module.body):
        found.append("...")
    return tuple(found)


def does_nothing(node: ast.stmt) -> bool:
    """Whether a statement in a function is a placeholder: pass, ..., a docstring, NotImplementedError."""
    match node:
        case ast.Pass() | ast.Expr(ast.Constant(str())):
            return True
        case ast.Raise(ast.Name("NotImplementedError") | ast.Call(ast.Name("NotImplementedError"))):
            return True
    return is_ellipsis(node)


def is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def was_cut_short(turn: Turn) -> bool:
    """Whether generation of a turn stopped before its code was complete."""
    return turn.status == INTERRUPTED or turn.usage.finish == "length" or not parses(turn.chunk)


def complete_turn(
    generator: TurnGenerator, session: Session, number: int, sampling: Sampling
) -> ReworkResult:
    """Turn `number` completed: continued if it was cut short, else written again as a whole."""
    turn = session.turn_at(number)
    short, open_places = was_cut_short(turn), placeholders(turn.chunk)
    if not short and not open_places:
        raise MtchatError(
            f"turn {number} has nothing left to complete; /edit {number} changes its instruction"
        )
    made = ask_again(generator, session, number, "" if short else FINISH, sampling)
    if made is None:
        return ReworkResult(session, number, turn.chunk, "", ("the model wrote nothing",))
    new = made.turn_at(number)
    reasons = list(unfinished_reasons(turn, new))
    if reasons:
        return keep_aside(session, made, number, reasons)
    tried = generator.execute(made)
    was, now = session.outcome, tried.outcome
    if was is not None and was.ok and now is not None and not now.ok:
        return keep_aside(session, tried, number, [f"the program ran before and would now fail: {now.error}"])
    return ReworkResult(tried, number, turn.chunk, new.chunk)


def unfinished_reasons(old: Turn, new: Turn) -> Iterator[str]:
    """Why a turn is still incomplete, or what it no longer defines."""
    if was_cut_short(new):
        yield "it was cut short again" if new.status != INTERRUPTED else "it was interrupted"
    left = placeholders(new.chunk)
    if left and len(left) >= len(placeholders(old.chunk)):
        yield f"these parts are still missing: {', '.join(left)}"
    lost = bound_names(old.chunk) - bound_names(new.chunk)
    if lost:
        yield f"it would remove {', '.join(sorted(lost))}"


def refactor_turn(
    generator: TurnGenerator, session: Session, number: int, wish: str, sampling: Sampling
) -> ReworkResult:
    """Turn `number` rewritten as the user wishes, used only if the program behaves the same."""
    if generator.dry_run is None:
        raise MtchatError(
            "refactored code is used only after a run shows the same behaviour, and programs are not run here"
        )
    turn, look = session.turn_at(number), stop_on_interrupt(generator.dry_run)
    before = look(session.program)
    if not before.ok:
        raise MtchatError(f"the program already fails, so there is no behaviour to compare: {before.error}")
    asked = f"{CLEANER} Also: {wish}" if wish else CLEANER
    made = ask_again(generator, session, number, asked, sampling)
    if made is None or made.turn_at(number).status == INTERRUPTED:
        kept = session if made is None else session.with_alternatives(made)
        return ReworkResult(kept, number, turn.chunk, "", ("it was interrupted",))
    new = made.turn_at(number).chunk
    if new.strip() == turn.chunk.strip():
        return keep_aside(session, made, number, ["the model wrote the same code again"])
    after = look(made.program)
    examples = calling(assertions_in(turn.instruction), functions(turn.chunk))
    probes = (*examples, *probe_calls(turn.chunk, session.program.source, before.variables))
    reasons = [
        *behaviour_differences(session, made, number, before, after),
        *(changed_answers(look, session.program, made.program, probes) if after.ok else ()),
    ]
    if reasons:
        return keep_aside(session, made, number, reasons)
    return ReworkResult(
        generator.execute(made), number, turn.chunk, new, compared=describe_comparison(before, probes)
    )


def ask_again(
    generator: TurnGenerator, session: Session, number: int, asked: str, sampling: Sampling
) -> Session | None:
    """The session with turn `number` generated again but not run; None if the model wrote nothing.

    Asking the same thing again raises the temperature.
    """
    turn, base = session.turn_at(number), session.undo(len(session.path) - number + 1)
    error = "" if asked else error_report(base.outcome)
    provenance = Rework(of=turn.id, wish=asked, error=error)
    others = [each.provenance for each in session.children(turn.parent)]
    times = sum(isinstance(each, Rework) and (each.of, each.wish) == (turn.id, asked) for each in others)
    chosen = warmer(sampling, times) if times else sampling
    request = generator.request_again(session, number, turn.instruction, provenance, chosen)
    made = generator.make(request)
    return None if made is request.base else made


def keep_aside(session: Session, made: Session, number: int, reasons: Sequence[str]) -> ReworkResult:
    """The unchanged session, with the new code kept as a branch beside it."""
    kept = session.with_alternatives(made)
    old, new = session.turn_at(number).chunk, made.turn_at(number).chunk
    return ReworkResult(kept, number, old, new, tuple(reasons))


def behaviour_differences(
    session: Session, made: Session, number: int, before: Outcome, after: Outcome
) -> Iterator[str]:
    """How the program behaves differently with the rewritten turn, in sentences."""
    if not after.ok:
        yield f"the program would fail: {after.error}"
        return
    for chunk, old, new in zip(session.program.chunks, before.outputs, after.outputs, strict=False):
        if old != new:
            yield f"turn {chunk.turn} would print {shorten(new)} instead of {shorten(old)}"
    old_values, new_values = values_by_name(before.variables), values_by_name(after.variables)
    for name in sorted(old_values.keys() - new_values.keys() - unused_loop_names(session, number)):
        yield f"`{name}` would no longer exist"
    for name, value in old_values.items():
        if new_values.get(name, value) != value:
            yield f"`{name}` would be {shorten(new_values[name][-1])} instead of {shorten(value[-1])}"


def values_by_name(variables: Sequence[Variable]) -> dict[str, tuple[str, ...]]:
    """The type, shape and value of each variable, without memory addresses, which differ in each run."""
    return {each.name: (each.kind, each.shape, ADDRESS.sub("0x", each.value)) for each in variables}


def unused_loop_names(session: Session, number: int) -> frozenset[str]:
    """Loop variables of a turn that nothing else uses."""
    module = parse_module(session.turn_at(number).chunk)
    nodes = list(ast.walk(module)) if module else []
    stored = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    loops = [
        each.id
        for node in nodes
        if isinstance(node, ast.For)
        for each in ast.walk(node.target)
        if isinstance(each, ast.Name)
    ]
    others = [turn.chunk for place, turn in enumerate(session.path, start=1) if place != number]
    used = {
        node.id
        for chunk in others
        for node in ast.walk(parse_module(chunk) or ast.Module([], []))
        if isinstance(node, ast.Name)
    }
    return frozenset(name for name in loops if stored.count(name) == loops.count(name) and name not in used)


def changed_answers(
    look: RunProgram, old: Program, new: Program, probes: Sequence[Assertion]
) -> Iterator[str]:
    """The calls that would return another value than before."""
    if not probes:
        return
    was, now = call_values(look, old, probes), call_values(look, new, probes)
    for probe, one, other in zip(probes, was, now, strict=True):
        failed = one == "" or one.endswith(("Error", "Exception", "Iteration", "Exit"))
        if not failed and ADDRESS.sub("0x", one) != ADDRESS.sub("0x", other):
            yield f"{probe.call} would return {shorten(other)} instead of {shorten(one)}"


def call_values(look: RunProgram, program: Program, probes: Sequence[Assertion]) -> tuple[str, ...]:
    """What each call returns after the program has run; "" if the run did not reach it."""
    last = program.chunks[-1].turn
    outcome = look(Program((*program.chunks, Chunk(last + 1, checking_code(probes)))))
    said = outcome.outputs[-1] if len(outcome.outputs) > len(program.chunks) else ""
    return read_results(said, len(probes)).given


def describe_comparison(before: Outcome, probes: Sequence[Assertion]) -> str:
    """What was compared, in words."""
    parts = [
        f"the output of {quantity(len(before.outputs), 'turn')}",
        quantity(len(before.variables), "variable"),
    ]
    if probes:
        parts.append(quantity(len(probes), "function call"))
    return join_words(parts)


def shorten(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def probe_calls(chunk: str, program: str, variables: Sequence[Variable]) -> tuple[Assertion, ...]:
    """Calls of each function that a chunk defines; their correct results are unknown."""
    module, whole = parse_module(chunk), parse_module(program)
    known = {each.name: each.kind for each in variables}
    found: list[Assertion] = []
    for node in module.body if module else ():
        if isinstance(node, Function) and is_simple(node):
            found += (
                Assertion(f"{node.name}({', '.join(given)})", "None")
                for given in call_arguments(node, whole, known)
            )
    return tuple(found)


def is_simple(node: Function) -> bool:
    """Whether a function can be called with a few positional values."""
    return (
        not (node.args.vararg or node.args.kwonlyargs) and len(required_parameters(node)) <= MOST_PARAMETERS
    )


def required_parameters(node: Function) -> list[ast.arg]:
    """The parameters without a default value."""
    every = [*node.args.posonlyargs, *node.args.args]
    return every[: len(every) - len(node.args.defaults)]


def call_arguments(
    node: Function, program: ast.Module | None, known: Mapping[str, str]
) -> Iterator[list[str]]:
    """The arguments of each call."""
    choices = []
    for place, parameter in enumerate(required_parameters(node)):
        kinds = (
            annotated_kinds(parameter) or kinds_in_calls(node.name, place, program, known) or VALUES.keys()
        )
        choices.append([value for kind in VALUES if kind in kinds for value in VALUES[kind]])
    most = min(MOST_CALLS, max((len(values) for values in choices), default=1) * max(len(choices), 1))
    for turn in range(most):
        yield [
            values[(turn * step + place) % len(values)]
            for place, (values, step) in enumerate(zip(choices, STEPS, strict=False))
        ]


def annotated_kinds(parameter: ast.arg) -> set[str]:
    """The type in the annotation of a parameter."""
    note = parameter.annotation
    name = note.value if isinstance(note, ast.Subscript) else note
    return {name.id} & VALUES.keys() if isinstance(name, ast.Name) else set()


def kinds_in_calls(name: str, place: int, program: ast.Module | None, known: Mapping[str, str]) -> set[str]:
    """The types of the values that the program's own calls pass at this position."""
    found = set()
    for node in ast.walk(program) if program else ():
        match node:
            case ast.Call(ast.Name(called), given) if called == name and place < len(given):
                found.add(value_kind(given[place], known))
    return found & VALUES.keys()


def value_kind(value: ast.expr, known: Mapping[str, str]) -> str:
    match value:
        case ast.Name(name):
            return known.get(name, "")
        case ast.List():
            return "list"
        case ast.Dict():
            return "dict"
        case ast.UnaryOp(ast.USub(), operand):
            return value_kind(operand, known)
        case ast.Constant(constant):
            return type(constant).__name__
        case ast.JoinedStr():
            return "str"
    return ""
