"""Describes an error and the variables for the host, in text fields of bounded length.

The values of a program may misreport themselves, be endless, or raise errors when they are described.
"""

from types import BuiltinFunctionType, FunctionType, ModuleType, TracebackType

from mtchat.sandbox.guest.program import failure_reason
from mtchat.sandbox.guest.source_file import fill_linecache, split_lines
from mtchat.sandbox.guest.wire import EXITED, RAISED

TYPE_CHECKING = False  # as in typing, which would cost 12 ms
if TYPE_CHECKING:
    from reprlib import Repr
    from traceback import TracebackException
    from typing import Any


HEADLINE_CHARS, LINE_CHARS, TRACEBACK_LINES, FRAMES = 400, 240, 60, 40


def describe_error(error: BaseException, names: list[str], sources: list[str], asked: list[str]) -> list[str]:
    """HEADER_FIELDS on how the program ended; then chunk, line, function and text of each frame.

    `asked` are the hosts that the program tried to reach.
    """
    if isinstance(error, SystemExit):
        return [EXITED, "", "", "", *find_reason(error, asked), *describe_frames(error, names, sources)]
    kind = find_limit(error)
    try:
        return [RAISED, kind, *describe_traceback(error, names, sources, asked)]
    except BaseException:
        return [RAISED, kind, type(error).__name__, "", "", ""]


def find_limit(error: BaseException) -> str:
    """The limit that caused an error, or ""; the program's objects may raise when they are examined."""
    try:
        return failure_reason.find_limit(error)
    except BaseException:
        return ""


def find_reason(error: BaseException, asked: list[str]) -> list[str]:
    """What the sandbox lacks that the program asked for, and its name."""
    try:
        what, subject = failure_reason.find_reason(error, asked)
        return [what, clip(subject, LINE_CHARS)]
    except BaseException:
        return ["", ""]


def describe_traceback(
    error: BaseException, names: list[str], sources: list[str], asked: list[str]
) -> list[str]:
    import linecache
    import traceback

    fill_linecache(linecache.cache, dict(zip(names, sources, strict=True)))
    reason, subject = find_reason(error, asked)
    trace = skip_launcher(error, names)
    story = traceback.TracebackException(type(error), error, trace, limit=-500, compact=True)
    drop_library_frames(story, names)
    text = limit_lines("".join(story.format()).rstrip("\n").split("\n"))
    first = error_headline(error, str(story))
    reason = reason or failure_reason.clue_for_host(error, first)
    return [first, text, reason, subject, *describe_frames(error, names, sources)]


def describe_frames(error: BaseException, names: list[str], sources: list[str]) -> list[str]:
    """Four fields for each frame: chunk, line, function and text."""
    told = []
    for name, line, function in frames_of(error, names):
        index = names.index(name)
        text = "".join(split_lines(sources[index])[line - 1 : line]).strip()
        told += [str(index), str(line), function, clip(text, LINE_CHARS)]
    return told


def skip_launcher(error: BaseException, names: list[str]) -> TracebackType | None:
    """The traceback without the frames of the launcher."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename not in names:
        trace = trace.tb_next
    return trace


def error_headline(error: BaseException, said: str) -> str:
    """The error in one line: its type and the first line of its message that has words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    first = next((line for line in lines if any(sign.isalnum() for sign in line)), "".join(lines[:1]))
    if isinstance(error, SyntaxError):
        first = str(error.msg)
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return clip(f"{name}: {first}" if first else name, HEADLINE_CHARS)


def drop_library_frames(story: "TracebackException", names: list[str]) -> None:
    """Keep only frames of the program, and the last frame of a library, in a traceback and its causes."""
    rest, seen = [story], set()
    while rest:
        each = rest.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        last = len(each.stack) - 1
        each.stack[:] = [
            frame for index, frame in enumerate(each.stack) if index == last or frame.filename in names
        ]
        more = (each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ()))
        rest += [one for one in more if one is not None]


def limit_lines(lines: list[str], most: int = TRACEBACK_LINES) -> str:
    """At most `most` lines of LINE_CHARS, plus one that stands for the lines left out in the middle."""
    extra = len(lines) - most
    if extra > 0:
        head = most // 3
        lines = [*lines[:head], f"  [{extra} lines left out]", *lines[head + extra :]]
    return "".join(clip(line, LINE_CHARS) + "\n" for line in lines)


def clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def frames_of(error: BaseException, names: list[str]) -> list[tuple[str, int, str]]:
    """(chunk name, line, function), outermost first; for a syntax error the line that it names."""
    found = []
    step = skip_launcher(error, names)
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename in names:
            found.append((code.co_filename, step.tb_lineno, code.co_name))
        step = step.tb_next
    if not found and isinstance(error, SyntaxError) and error.filename in names:
        found.append((error.filename, error.lineno or 1, "<module>"))
    return found if len(found) <= FRAMES else found[: FRAMES // 2] + found[-FRAMES // 2 :]


MOST_VARIABLES, VALUE_CHARS, KIND_CHARS = 300, 160, 60
LONGEST_INT_BITS = 1000


def describe_variables(namespace: "dict[str, Any]") -> list[str]:
    """The variables in the order in which they were first bound: name, type, shape, value."""
    found: list[str] = []
    for name, value in list(namespace.items()):
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        found += [
            name[:KIND_CHARS],
            type_name(value),
            describe_safely(describe_shape, value, ""),
            describe_safely(describe_value, value),
        ]
        if len(found) >= 4 * MOST_VARIABLES:
            break
    return found


def describe_safely(describe: "Any", value: "Any", otherwise: str | None = None) -> str:
    """The description of a value; if that raises, `otherwise`, or the type of the error."""
    try:
        return str(describe(value))
    except Exception as error:
        return f"<{type(error).__name__} in repr>" if otherwise is None else otherwise


def type_name(value: "Any") -> str:
    return type(value).__qualname__[:KIND_CHARS]


def describe_shape(value: "Any") -> str:
    """The shape of an array or a table, otherwise the length; "" if it has neither."""
    if isinstance(value, type):
        return ""
    dimensions = getattr(value, "shape", None)
    if isinstance(dimensions, tuple):
        return " x ".join(str(each) for each in dimensions[:6]) or "scalar"
    return str(len(value)) if hasattr(type(value), "__len__") else ""


def describe_value(value: "Any") -> str:
    """The value in one line of at most VALUE_CHARS characters."""
    text = " ".join(render_value(value)[: 4 * VALUE_CHARS].split())
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"


def render_value(value: "Any") -> str:
    if isinstance(value, FunctionType):
        names = value.__code__.co_varnames[: value.__code__.co_argcount + value.__code__.co_kwonlyargcount]
        return f"{value.__name__}({', '.join(names)})"
    if isinstance(value, (type, BuiltinFunctionType)):
        return value.__qualname__
    if isinstance(value, int) and value.bit_length() > LONGEST_INT_BITS:
        return f"an integer of {value.bit_length()} bits"
    if callable(getattr(type(value), "ravel", None)) and hasattr(value, "dtype"):
        return describe_array(value)
    return make_repr().repr(value)


def describe_array(array: "Any") -> str:
    """The first elements and the last one, and their type."""
    flat = array.ravel()
    few = [str(flat[at]) for at in range(min(4, len(flat)))]
    more = [f"… {flat[-1]}"] if len(flat) > 4 else []
    return f"{', '.join(few + more)} ({array.dtype})"


def make_repr() -> "Repr":
    """A `repr` of bounded length; imported late, because most runs do not need it.

    An object whose class has no `__repr__` is shown with its attributes in place of its address.
    """
    import reprlib

    class ValueRepr(reprlib.Repr):
        def repr_instance(self, value: "Any", level: int) -> str:
            attributes, kind = getattr(value, "__dict__", None), type(value)
            if getattr(kind, "__repr__", None) is not object.__repr__ or type(attributes) is not dict:
                return super().repr_instance(value, level)
            shown = [
                f"{name}={self.repr1(each, level - 1) if level > 0 else self.fillvalue}"
                for name, each in list(attributes.items())[: self.maxdict]
            ]
            more = [self.fillvalue] if len(attributes) > self.maxdict else []
            return f"{type_name(value)}({', '.join(shown + more)})"

    limited = ValueRepr()
    limited.maxlist = limited.maxtuple = limited.maxset = limited.maxfrozenset = limited.maxdeque = 8
    limited.maxarray = 8
    limited.maxdict, limited.maxlevel = 6, 3
    limited.maxstring = limited.maxother = limited.maxlong = VALUE_CHARS
    return limited
