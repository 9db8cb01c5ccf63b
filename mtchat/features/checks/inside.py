"""What a trial run does with checks in the sandbox: evaluates them, and tries expressions on other states.

The source of this file runs in a namespace of its own after the program, which may have redefined print, list
or sum; so it imports nothing but Python's own modules. Each result is one line of JSON on stdout.
"""

import contextlib
import copy
import io
import json
import math
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

SECONDS = 2.0  # for the states of all expressions
MOST_STATES, LARGEST, MOST_ITEMS = 160, 100_000, 1000
STRANGE: tuple[Any, ...] = (None, "", 0, [], 1.5)
TRUE, FALSE, ERROR = "T", "F", "E"
# What Python's audit hooks call what an expression may not do; opening a file counts if it is to be written.
DOING = ("subprocess.", "os.system", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.", "socket.")


def same(a: Any, b: Any) -> Any:
    """Whether two values are equal; numbers may differ by rounding."""
    if isinstance(a, float) or isinstance(b, float):
        try:
            return math.isclose(a, b, abs_tol=1e-9)
        except TypeError:
            pass
    return a == b


def shown(value: Any) -> str:
    if callable(value) or type(value) is type(sys):
        return ""
    text = " ".join(repr(value).split())
    return text if len(text) <= 200 else text[:120] + " … " + text[-60:]


def settled(value: Any) -> bool:
    """The truth of a value; of an array or a table, that of all its parts."""
    for _ in range(3):
        if isinstance(value, bool) or not hasattr(value, "all"):
            break
        value = value.all()
    return bool(value)


def fault(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"it fails with {type(error).__name__}" + (f": {text}" if text else "")


def look(
    asked: Sequence[Callable[[], Any]],
    holds: Callable[..., Any],
    parts: Sequence[Callable[[], Any]] | None,
) -> None:
    """Evaluates one check and writes whether it holds, and if not, the values of its parts."""
    passed, values, error, missing = False, [""][:0], "", ""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            got = [each() for each in asked]
            passed = settled(holds(*got))
            if not passed:
                values = [shown(each) for each in (got if parts is None else [each() for each in parts])]
        except BaseException as problem:
            error = fault(problem)
            missing = (isinstance(problem, NameError) and getattr(problem, "name", None)) or ""
    report({"passed": passed, "values": values, "error": error, "missing": missing})


def report(result: Mapping[str, Any]) -> None:
    out = sys.__stdout__ or sys.stdout
    out.write(json.dumps(result) + "\n")
    out.flush()


def try_all(
    program: dict[str, Any], asked: Sequence[tuple[str, Sequence[str]]], constants: Sequence[Any]
) -> None:
    """Writes what comes of each expression on the state of a program and on others; `asked` has their names.

    Another state differs in the value of one name; the states are the same for all expressions.
    """
    names = list(dict.fromkeys(name for _, mine in asked for name in mine))
    done: list[str] = []
    sys.addaudithook(lambda event, details: done.append(event) if is_doing(event, details) else None)
    states = list(vary(program, names, constants))
    for code, mine in asked:
        try:
            before = len(done)
            found = attempt(code, mine, program, states, time.monotonic() + SECONDS / len(asked))
            report({**found, "changes": found["changes"] or len(done) > before})
        except BaseException as problem:
            report({"states": ERROR, "error": fault(problem)})


def is_doing(event: str, details: tuple[Any, ...]) -> bool:
    """Whether an audit event says that something outside the program is changed."""
    if event == "open":
        path, mode = str(details[0]), str(details[1])
        return any(letter in mode for letter in "wax+") and "__pycache__" not in path
    return event.startswith(DOING)


def attempt(
    code: str,
    names: Sequence[str],
    program: dict[str, Any],
    states: Sequence[tuple[str, Any]],
    until: float,
) -> dict[str, Any]:
    """A letter for each state, that of the program first; and whether looking changed something."""
    check = compile(code, "<check>", "eval")
    used = [name for name in names if name in program]
    before, error, steady = [fingerprint(program[name]) for name in used], "", True
    try:
        found = judge(check, program)
        steady = judge(check, program) == found
    except BaseException as problem:
        found, error = ERROR, fault(problem)
    changes = before != [fingerprint(program[name]) for name in used]
    for name, value in states:
        if time.monotonic() > until:
            break
        if name not in names:
            found += found[0]
            continue
        with contextlib.suppress(Exception):
            value = copy.deepcopy(value)
        mark = fingerprint(value)
        try:
            found += judge(check, {**program, name: value})
        except BaseException:
            found += ERROR
        changes = changes or mark != fingerprint(value)
    return {"states": found, "error": error, "changes": changes, "steady": steady}


def judge(check: Any, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return TRUE if settled(eval(check, dict(names))) else FALSE


def fingerprint(value: Any) -> bytes | str:
    """What tells whether a value has changed; nothing of a large one, which takes long to read."""
    if not can_vary(value):
        return ""
    try:
        return pickle.dumps(value)
    except Exception:
        return repr(value) + repr(getattr(value, "__dict__", ""))


def vary(
    program: Mapping[str, Any], names: Sequence[str], constants: Sequence[Any]
) -> Iterator[tuple[str, Any]]:
    """States that differ from that of a program in one name: the name and its other value."""
    known = [value for key, value in program.items() if not key.startswith("__") and not callable(value)]
    by_name = [
        (name, [*strange(value), *kin(value, known), *guarded(value, constants)])
        for name in names
        if name in program and can_vary(value := program[name])
    ]
    for name, values in by_name:
        for value in values[: MOST_STATES // len(by_name)]:
            yield name, value


def can_vary(value: Any) -> bool:
    try:
        return type(value) is not type(sys) and len(value) <= LARGEST
    except Exception:  # of a length that a class of the program refuses, too
        return True


def strange(value: Any) -> Sequence[Any]:
    return () if isinstance(value, type) else STRANGE


def kin(value: Any, known: Sequence[Any]) -> list[Any]:
    """Values of the same type that the program has under other names."""
    return [each for each in known if type(each) is type(value)][:12]


def guarded(value: Any, constants: Sequence[Any]) -> list[Any]:
    """Other values of the same kind, as far as the type of the value lets them be made."""
    found = []
    with contextlib.suppress(Exception):
        for each in others(value, constants):
            found.append(each)
    return found


def others(value: Any, constants: Sequence[Any], depth: int = 0) -> Iterator[Any]:
    """Values of the same kind that differ from a value, simple ones first, then those near the constants."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from other_numbers(value, constants)
    elif isinstance(value, str):
        yield from other_texts(value, constants)
    elif isinstance(value, list | tuple):
        for each in other_lists(list(value), constants, depth):
            yield type(value)(each)
    elif isinstance(value, set | frozenset):
        items = list(value)
        added = [[*items, each] for each in constants if not isinstance(each, list | dict | set)]
        for each in ([], items[:-1], items[1:], *added):
            yield type(value)(each)
    elif isinstance(value, dict):
        yield from other_dicts(value, constants, depth)
    elif hasattr(value, "iloc"):
        yield from other_tables(value, constants)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        yield from other_arrays(value, constants)
    elif callable(value):
        if not isinstance(value, type):
            for each in (None, True, False, 0, 1, -1, "", [], *constants):
                yield lambda *arguments, result=each, **named: result
    else:
        yield from other_objects(value, constants)


def other_numbers(value: Any, constants: Sequence[Any]) -> Iterator[Any]:
    kind = type(value)
    yield from (value + 1, value - 1, -value, kind(0), value * 2, value + 1000, value - 1000)
    for each in constants:
        if isinstance(each, int | float) and not isinstance(each, bool):
            yield from (kind(each), kind(each) + 1, kind(each) - 1)
    yield value + 0.5


def other_texts(value: str, constants: Sequence[Any]) -> Iterator[str]:
    yield from ("", value + "x", "x" + value, value[:-1], value[1:], value[::-1], value.swapcase())
    for each in constants:
        if isinstance(each, str):
            yield from (each, value + each, each + value)
    yield "7"


def other_lists(items: list[Any], constants: Sequence[Any], depth: int) -> Iterator[list[Any]]:
    yield from ([], items[:-1], items[1:], items + items[-1:], items[::-1], items + items)
    for count in counts_in(constants):
        yield from (items[:count], (items * MOST_ITEMS)[:count])
    if items and depth < 2:
        for place in sorted({0, len(items) - 1}):
            for each in others(items[place], constants, depth + 1):
                yield [*items[:place], each, *items[place + 1 :]]
        near = list(others(items[0], constants, depth + 1))[:4]
        for each in (str(items[0]), None, *near):
            yield [each] * len(items)
        yield [str(each) for each in items]
    for each in constants:
        if not items or type(each) is type(items[0]):
            yield [*items, each]


def other_dicts(value: dict[Any, Any], constants: Sequence[Any], depth: int) -> Iterator[dict[Any, Any]]:
    keys = list(value)
    yield {}
    for gone in keys[:3]:
        yield {each: value[each] for each in keys if each != gone}
    if keys and depth < 2:
        for key in keys[:4]:
            for each in others(value[key], constants, depth + 1):
                yield {**value, key: each}
        for key in (*(each for each in constants if isinstance(each, str)), "another"):
            yield {**value, key: value[keys[0]]}
        yield dict.fromkeys(keys)


def other_arrays(value: Any, constants: Sequence[Any]) -> Iterator[Any]:
    yield from (value * 0, -value, value + 1, value * 1000.0, value[:0], value[:-1], value[::-1], value.T)
    for count in counts_in(constants):
        yield value[:count]
    if getattr(value, "size", 0):
        numpy = sys.modules["numpy"]
        for count in counts_in(constants):
            yield numpy.resize(value, count)
            if 0 < count < 100:
                yield numpy.resize(value, (count, count))
        other = value.copy()
        other[(0,) * other.ndim] += 7
        yield from (other, numpy.concatenate([value, value[-1:]]))
        for each in constants:
            if isinstance(each, int | float):
                yield numpy.full_like(value, each)


def other_tables(value: Any, constants: Sequence[Any]) -> Iterator[Any]:
    """Tables and columns of pandas with fewer, more, reversed or empty rows."""
    rows = value.iloc
    yield from (rows[:0], rows[:-1], rows[1:], rows[::-1], value.mask(value.notna()))
    yield from (rows[:count] for count in counts_in(constants))
    yield sys.modules["pandas"].concat([value, value])
    if hasattr(value, "columns"):
        yield from (rows[:, :-1], rows[:, 1:])
    yield from (value * 0, value * -1)


def other_objects(value: Any, constants: Sequence[Any]) -> Iterator[Any]:
    """Copies of an object with another attribute."""
    for name, mine in list(getattr(value, "__dict__", {}).items())[:8]:
        for each in others(mine, constants, 1):
            twin = copy.copy(value)
            with contextlib.suppress(Exception):
                setattr(twin, name, each)
                yield twin


def counts_in(constants: Sequence[Any]) -> list[int]:
    return [each for each in constants if type(each) is int and 0 <= each < MOST_ITEMS]
