"""Answers questions without adding a turn: first with facts, then with whatever else is needed.

Facts come from the run, the program and the commands. What a program can compute is computed by a temporary
one; everything else is answered by the model, and marked as such.
"""

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import replace

from mtchat.console import slash
from mtchat.console.captions import one_line, short_path
from mtchat.console.console import Console
from mtchat.errors import MtchatError
from mtchat.features.explain import answers
from mtchat.features.explain.answers import stream_answer
from mtchat.features.explain.questions import COMMON, explain_target, origin
from mtchat.features.explain.view import StreamedParagraph, can_chat, show_answer
from mtchat.generate.arbitrary import arbitrary_parts
from mtchat.generate.events import ignore
from mtchat.generate.improve import take
from mtchat.generate.requirements import have_same_stem
from mtchat.session.names import bound_names, parse_module
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.program import Chunk, Program
from mtchat.session.session import Session

MOST = 3  # facts of one kind
HOW, WHERE = (
    re.compile(r"how (?:do|can|should) (?:i|we|you)\b", re.IGNORECASE),
    re.compile(r"where\b", re.IGNORECASE),
)
REASON = re.compile(r"(?:how (?:do|does|did|can|should|would)|why|where)\b", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z_]\w*")
LEGEND = "lines with ≈ were written by the model and may be wrong"


def answer_question(console: Console, text: str) -> None:
    """Shows the answer to a question; the program does not change."""
    console.view.note("this looks like a question, so it does not change the program")
    about = explain_target(text, console.session) if console.session.language.runs else None
    found = list(dict.fromkeys(find_facts(console, text)))
    for fact in found:
        console.view.paragraph(fact)
    if about is not None:
        slash.do(console, f"explain {about}".rstrip())
    elif not (found and is_fully_answered(text, console.session)) and not compute_answer(console, text):
        answer_in_words(console, text, found)
    console.view.note(f"to make it a step: /next {one_line(text, 40)}")


def is_fully_answered(text: str, session: Session) -> bool:
    """Whether facts answer the question completely: how to do it, where a file is, what a name is."""
    if HOW.match(text) or WHERE.match(text):
        return True
    names, calls = bound_names(session.program.source), find_calls(session)
    rest = [word for word in WORD.findall(text) if word not in names | calls.keys()]
    return len(rest) <= 3


def find_facts(console: Console, text: str) -> Iterator[str]:
    """Facts about what a question names."""
    if HOW.match(text) or WHERE.match(text):
        yield from matching_commands(text)
    if WHERE.match(text):
        yield from file_places(console, text)
    if console.session.path and console.session.language.runs:
        yield from name_facts(console, text)


def matching_commands(text: str) -> Iterator[str]:
    """The commands that a question names, each with its description."""
    words = {word.lower() for word in WORD.findall(text)}
    known = {each.name: each for each in slash.commands()}
    for name in sorted(words & known.keys()):
        yield f"{known[name].words}: {known[name].meaning}"
    named = words & known.keys()
    for each in known.values():
        first = {word.lower() for word in WORD.findall(each.meaning)[:1]}
        if any(have_same_stem(word, other) for word in words - named for other in first if len(word) > 4):
            yield f"{each.words}: {each.meaning}"


def file_places(console: Console, text: str) -> Iterator[str]:
    """The paths of the files that a question names; of all files if it names none."""
    outcome, words = console.session.outcome, WORD.findall(text.lower())
    left = [console.files_folder / file.path for file in (outcome.files if outcome else ())]
    given = [(file.name, file.path) for file in console.session.attached]
    paths = [short_path(path) for path in left if os.path.exists(path)] + [
        f"{name} is {path}" for name, path in given
    ]
    named = [
        path
        for path in paths
        if any(have_same_stem(word, part) for word in words for part in WORD.findall(path.lower()))
    ]
    for path in named[:MOST] or paths[:MOST]:
        yield f"{path}{'' if ' is ' in path else ': a file that the program wrote'}"
    if not paths:
        place = short_path(console.files_folder)
        yield f"the last run wrote no files; files that programs write are copied to {place}"
    yield f"this conversation is in {short_path(console.log.path)}"


def name_facts(console: Console, text: str) -> Iterator[str]:
    """What the names in a question are, which turn defines them, and their values."""
    session, words = console.session, list(dict.fromkeys(WORD.findall(text)))
    names = [
        word for word in words if word in bound_names(session.program.source) and not COMMON.fullmatch(word)
    ]
    calls = find_calls(session)
    values = (
        {each.name: each for each in run_with_variables(console).variables}
        if names or calls.keys() & set(words)
        else {}
    )
    for name in names[:MOST]:
        home = origin(name, session)
        if name in values:
            yield f"{name} is {describe_value(values[name])}; turn {home} defines it"
    for word in [each for each in words if each in calls and each not in names][:MOST]:
        for target, line, number in calls[word][:MOST]:
            yield f"turn {number}: {line}"
            if target in values:
                yield f"{target} is {describe_value(values[target])}"
        yield from docstring_facts(console, word)
    yield from data_facts(console, [word for word in words if word not in names and word not in calls])


def describe_value(variable: Variable) -> str:
    shape = f" of {variable.shape}" if variable.shape else ""
    return f"{variable.kind}{shape}: {variable.value}"


def find_calls(session: Session) -> dict[str, list[tuple[str, str, int]]]:
    """The calls in a program by function name: the variable assigned, the line, and the turn."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for place, turn in enumerate(session.path, start=1):
        module = parse_module(turn.chunk)
        for statement in module.body if module else ():
            match statement:
                case ast.Assign([ast.Name(kept_as)], _):
                    target = kept_as
                case _:
                    target = ""
            for node in ast.walk(statement):
                match node:
                    case ast.Call(ast.Attribute(_, name)) | ast.Call(ast.Name(name)):
                        line = ast.unparse(statement).split("\n")[0]
                        found.setdefault(name, []).append((target, line, place))
    return found


def docstring_facts(console: Console, name: str) -> Iterator[str]:
    """What the docstring of a called function says that it does and returns."""
    for turn in console.session.path:
        module = parse_module(turn.chunk)
        for node in ast.walk(module) if module else ():
            match node:
                case ast.Call(ast.Attribute(_, last) | ast.Name(last) as function) if last == name:
                    said = printed_lines(console, DOCUMENTED.format(function=ast.unparse(function)))
                    yield from (f"{name}: {line}" for line in said[:MOST])
                    return


def data_facts(console: Console, words: list[str]) -> Iterator[str]:
    """What the program's tables and dictionaries contain for a word."""
    wanted = [word for word in words if not COMMON.fullmatch(word) and len(word) > 2]
    text = ast.unparse(ast.parse(repr(wanted)))
    strings = {
        node.value.lower()
        for turn in console.session.path
        for node in ast.walk(parse_module(turn.chunk) or ast.Module([], []))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    likely = console.session.attached or strings & {word.lower() for word in wanted}
    if wanted and likely:
        yield from printed_lines(console, HELD.format(words=text))[: 2 * MOST]


def printed_lines(console: Console, code: str) -> list[str]:
    """The lines that some code prints after the program, in a temporary run."""
    if not console.chat.can_dry_run:
        return []
    program = console.session.program
    number = len(console.session.path) + 1
    try:
        outcome = console.chat.dry_run(Program((*program.chunks, Chunk(number, code))))
    except MtchatError:
        return []
    reached = outcome.ok and len(outcome.outputs) > len(program.chunks)
    return [line for line in outcome.outputs[-1].splitlines() if line.strip()] if reached else []


def run_with_variables(console: Console) -> Outcome:
    """The live program with its variables, if it may be run."""
    return console.chat.run_for_variables() if console.chat.can_dry_run else Outcome()


def compute_answer(console: Console, text: str) -> bool:
    """Whether a temporary program could answer; it is generated, run, shown and discarded."""
    if not console.chat.can_dry_run or REASON.match(text) or not console.session.language.runs:
        return False
    generator = console.generator()
    quiet = replace(
        generator,
        on_event=ignore,
        policy=generator.policy.quiet,
        run=None,
        complete=console.chat.model.complete,
    )
    with console.view.waiting(lambda: "computing the answer"):
        made = take(quiet, console.session, f"{text}\nPrint the answer.", console.chat.settings.sampling)
    chunk = made.path[-1].chunk if made.head != console.session.head else ""
    before = console.session.program.source
    if not chunk.strip() or arbitrary_parts(chunk, before, text).printed:  # it would print an invented answer
        return False
    outcome = console.chat.dry_run(made.program)
    if not outcome.ok or not outcome.outputs[-1].strip():
        return False
    console.view.output(outcome.outputs[-1])
    console.view.note("computed by this code on a copy of the program's state:")
    console.view.code(chunk)
    return True


def answer_in_words(console: Console, text: str, found: list[str]) -> None:
    """Shows the model's answer, if it can chat."""
    if not can_chat(console):
        return
    prompt = answers.question_prompt(console.session.program.source, found, text)
    show_answer(console, StreamedParagraph(console.view), stream_answer(console.chat.complete, prompt, 3))
    console.view.note(LEGEND)


DOCUMENTED = """\
def __said__(function):
    import inspect
    text = inspect.getdoc(function) or ""
    lines = [line.strip() for line in text.splitlines()]
    print(next((line for line in lines if line), ""))
    for at, line in enumerate(lines):
        if line.lower().rstrip(":") == "returns":
            rest = [each for each in lines[at + 1 :] if each and set(each) != {{"-"}}]
            print("returns " + " ".join(rest[:3])[:300])
            break

__said__({function})
"""

HELD = """\
def __held__(words):
    for name, value in list(globals().items()):
        if name.startswith("__"):
            continue
        if hasattr(value, "columns") and hasattr(value, "loc"):
            for word in words:
                for column in value.columns:
                    if str(column).lower() == word.lower():
                        print(f"{{name}}[{{column!r}}] has {{len(value)}} values")
                texts = value.astype(str).apply(lambda column: column.str.lower())
                for row in value[(texts == word.lower()).any(axis=1)].head(5).to_dict("records"):
                    print(f"{{name}}: {{row}}")
        elif hasattr(value, "keys") and hasattr(value, "get"):
            for key in list(value.keys()):
                if str(key).lower() in [word.lower() for word in words]:
                    print(f"{{name}}[{{key!r}}] is {{value[key]!r}}"[:300])
        elif isinstance(value, (list, tuple)):
            for each in value[:10000]:
                parts = list(each.values()) if isinstance(each, dict) else each
                if isinstance(parts, (list, tuple)):
                    if any(str(part).lower() == word.lower() for part in parts for word in words):
                        print(f"{{name}}: {{each!r}}"[:300])

__held__({words})
"""
