"""What the documentation of installed libraries says about a call that a program makes.

It is read by `inspect` in a sandbox of its own, which imports the libraries and nothing of the user's.
"""

import ast
import builtins
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata

from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.mentions import Mention, MentionKind, ProgramWords
from mtchat.features.explain.probes import call_code, document_names, printed_rows
from mtchat.session.names import parse_module
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.program import Chunk, Program

Look = Callable[[Program], Outcome]
LONGEST_SENTENCE = 240


@cache
def installed_packages() -> frozenset[str]:
    """The names of the modules that the standard library and the installed packages have."""
    return frozenset({*sys.stdlib_module_names, *metadata.packages_distributions()})


def is_installed(name: str) -> bool:
    return name in installed_packages()


def imports_of(program: ProgramWords) -> dict[str, tuple[str, ...]]:
    """What a program imports, by the name it has there: its module, and its name in that."""
    found: dict[str, tuple[str, ...]] = {}
    for _, node in program.nodes:
        match node:
            case ast.Import(names):
                for each in names:
                    top = each.name if each.asname else each.name.partition(".")[0]
                    found[each.asname or top] = (top,)
            case ast.ImportFrom(str(module), names, 0):
                found |= {each.asname or each.name: (module, each.name) for each in names}
    return {name: parts for name, parts in found.items() if is_installed(parts[0].partition(".")[0])}


def modules_of(
    wanted: Sequence[tuple[str, ...]], imports: Mapping[str, tuple[str, ...]], kinds: Mapping[str, str]
) -> list[str]:
    """The modules to import: those that are wanted, and all others only to find the type of a variable.

    What is imported from a module may itself be one.
    """
    needed = [parts for parts in imports.values() if any(each[: len(parts)] == parts for each in wanted)]
    if any(not hasattr(builtins, kind) for kind in kinds.values()):
        needed += imports.values()
    several = ((parts[0], ".".join(parts)) for parts in needed)
    return list(dict.fromkeys(name for names in several for name in names))


def read_documentation(
    program: ProgramWords, mentions: Sequence[Mention], values: Mapping[str, Variable], consult: Look
) -> Mapping[Mention, tuple[Fact, ...]]:
    """What the documentation says about each thing that a question mentions, read in one run."""
    imports = imports_of(program)
    named = {each: parts for each in mentions if (parts := parts_of(each, imports))}
    if not named:
        return {}
    kinds = {parts[0]: values[parts[0]].kind for parts in named.values() if parts[0] in values}
    code = call_code(
        document_names,
        wanted=[list(parts) for parts in named.values()],
        modules=modules_of(list(named.values()), imports, kinds),
        kinds=kinds,
    )
    rows = printed_rows(consult(Program((Chunk(1, code),))).stdout.splitlines())
    by_place = {row.get("place"): row for row in rows}
    return {
        each: tuple(describe_documentation(by_place[place]))
        for place, each in enumerate(named)
        if place in by_place
    }


def parts_of(mention: Mention, imports: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The parts of what a mention is called from its module on; none if it is not of a library."""
    match mention.kind:
        case MentionKind.NAME:
            return imports.get(mention.name, ())
        case MentionKind.CALL:
            return full_parts(mention.name, imports)
    return ()


def full_parts(called: str, imports: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The parts of a called expression from its module or type on; none if it begins with a call."""
    module = parse_module(called)
    node = module.body[0].value if module and isinstance(module.body[0], ast.Expr) else None
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    match node:
        case ast.Name(name):
            return (*imports.get(name, (name,)), *names)
        case ast.Constant(str()) | ast.JoinedStr():
            return ("str", *names)
        case ast.List() | ast.ListComp():
            return ("list", *names)
        case ast.Dict() | ast.DictComp():
            return ("dict", *names)
    return ()


def describe_documentation(row: Mapping[str, object]) -> Iterator[Fact]:
    """A row of the probe as facts."""
    name, summary, returns = (str(row.get(key, "")) for key in ("name", "summary", "returns"))
    signature = str(row.get("signature", ""))
    if summary:
        said = f"`{name}{signature}`: {clip_sentence(summary)}" if len(signature) < 90 else ""
        yield Fact(said or f"`{name}`: {clip_sentence(summary)}", FactSource.DOCUMENTATION)
    if returns:
        yield Fact(f"`{name}` returns {clip_sentence(returns)}", FactSource.DOCUMENTATION)


def clip_sentence(text: str) -> str:
    """A text up to the end of a sentence, if it is long."""
    text = " ".join(text.split()).rstrip(".")
    if len(text) <= LONGEST_SENTENCE:
        return text
    end = text.rfind(". ", 0, LONGEST_SENTENCE)
    return text[:end] if end > 0 else f"{text[: LONGEST_SENTENCE - 1]}…"
