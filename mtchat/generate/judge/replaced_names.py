"""Finds what a turn takes from earlier turns: names that it gives another meaning without being asked.

A new value that is computed from the old one is an update, and so is code that only repeats what an earlier
turn has. The syntax tree says which names may be replaced; the state before and after the turn, and calls of
earlier turns, say whether they are.
"""

import ast
import builtins
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from mtchat.generate.execute import RunProgram
from mtchat.generate.generated_tests import Assertion, assertions_in, checking_code, literal, read_results
from mtchat.generate.judge.arbitrary import DISPLAYS, arbitrary_parts, without_addresses
from mtchat.generate.judge.bindings import Binding, BoundAs, bindings_of, signature_of
from mtchat.generate.judge.requirements import FUNCTION, called, have_same_stem, named_in, split_words
from mtchat.generate.judge.value_kinds import describe_kind, family, family_of_code, is_same, kind_of
from mtchat.session.names import (
    OWN_SCOPE,
    names_changed,
    names_of,
    names_read_at_once,
    names_read_in_functions,
    parse_module,
    unparse,
)
from mtchat.session.outcome import Outcome, ReplacedName, Variable
from mtchat.session.program import Chunk, Program
from mtchat.session.provenance import Rewrite
from mtchat.session.session import Session

MOST_CALLS = 6  # recorded calls of a function that are made again
FEWEST_INVENTED = 3  # literals of a list that nobody gave
EMPTY = frozenset({"None", "0", "0.0", "-1", "False", "''", '""', "[]", "{}", "()", "set()"})
NOTHING = "NoneType"


def find_replaced_names(session: Session, look: RunProgram | None) -> tuple[ReplacedName, ...]:
    """What the last turn of a session replaces; nothing if the program fails, or is written again as a whole.

    `look` runs programs and lists their variables. Without it only what the code alone shows is found.
    """
    turn = session.path[-1] if session.path else None
    if turn is None or session.outcome is None or not session.outcome.ok:
        return ()
    if isinstance(turn.provenance, Rewrite):
        return ()
    named = LastTurn(session, turn.chunk, turn.instruction)
    try:
        suspects = tuple(named.suspects())
    except RecursionError:  # of code that is nested too deeply to be read
        return ()
    if not suspects:
        return ()
    return tuple(StateComparison(named, suspects, look).confirmed())


@dataclass(frozen=True)
class Suspect:
    """A name that the last turn may replace: its old binding, by turn `of`, and the new one.

    `of` is None for a function of Python. If the value may have been changed through another name, that name
    is `through`, and there is no new binding. `named`: a user gave the name.
    """

    name: str
    of: int | None
    old: Binding
    new: Binding | None = None
    through: str = ""
    named: bool = False
    invented: bool = False


@dataclass(frozen=True)
class LastTurn:
    """The last turn of a session, and what the code before it binds."""

    session: Session
    chunk: str
    instruction: str

    @property
    def number(self) -> int:
        return len(self.session.path)

    @cached_property
    def base(self) -> Session:
        return self.session.undo()

    @cached_property
    def module(self) -> ast.Module:
        return parse_module(self.chunk) or ast.Module([], [])

    @cached_property
    def earlier(self) -> Mapping[str, tuple[tuple[int, Binding], ...]]:
        """By each name that earlier code binds: the turns and the bindings, the last one last."""
        found: dict[str, tuple[tuple[int, Binding], ...]] = {}
        for chunk in self.base.program.chunks:
            for each in bindings_of(chunk.code):
                found[each.name] = (*found.get(each.name, ()), (chunk.turn, each))
        return found

    @cached_property
    def used_by_functions(self) -> frozenset[str]:
        """The names that earlier functions read whenever they are called."""
        codes = (chunk.code for chunk in self.base.program.chunks)
        return frozenset().union(*(names_read_in_functions(code) for code in codes))

    def suspects(self) -> Iterator[Suspect]:
        """The names that may have another meaning now, as far as the code shows it."""
        last = {each.name: each for each in bindings_of(self.chunk)}
        if not last:
            return
        read = names_read_at_once(self.module)
        for name, new in last.items():
            known = self.earlier.get(name)
            if not known:
                yield from self.builtin(new)
            elif not any(new.is_like(binding) for _, binding in known):
                yield from self.rebound(new, *known[-1], updates=name in read)
        yield from self.changed_through(last)

    def builtin(self, new: Binding) -> Iterator[Suspect]:
        """A function of Python that becomes a value; types and exceptions included."""
        if new.way not in (BoundAs.VALUE, BoundAs.LOOP) or not callable(getattr(builtins, new.name, None)):
            return
        quoted = re.search(rf"([\"'`]){re.escape(new.name)}\1", self.instruction)
        if not quoted and new.name not in named_in(self.instruction):
            yield Suspect(new.name, None, Binding(new.name, BoundAs.FUNCTION), new)

    def rebound(self, new: Binding, of: int, old: Binding, updates: bool) -> Iterator[Suspect]:
        """A name of an earlier turn that is bound again by other code."""
        name, mentioned = new.name, mentions(self.instruction, new.name)
        found = Suspect(name, of, old, new)
        if old.way is BoundAs.LOOP:
            return
        if old.way.is_definition:
            if new.way in (BoundAs.VALUE, BoundAs.LOOP):
                uses = name in called(self.module) and name not in named_in(self.instruction)
                if uses or not mentioned:
                    yield found
            elif not mentioned and FUNCTION.search(self.instruction):
                yield found  # else it may well be a change of what an earlier turn made
        elif old.way is BoundAs.IMPORT:
            reimported = new.way is BoundAs.IMPORT and name not in self.used_by_functions
            if not mentioned and not reimported:
                yield found
        elif not updates and self.is_known(name, of):
            invented = mentioned and self.is_invented(new)
            if invented or not mentioned:
                yield replace(found, named=self.is_named(name, of), invented=invented)

    def changed_through(self, last: Mapping[str, Binding]) -> Iterator[Suspect]:
        """Values of earlier turns that a new name for them is used to change."""
        changed = frozenset(names_changed(self.module.body))
        for new in last.values():
            match new.node:
                case ast.Name(name) if name != new.name and new.name in changed and name not in last:
                    known = self.earlier.get(name)
                    if known and known[-1][1].way is BoundAs.VALUE and name not in changed:
                        yield Suspect(name, *known[-1], through=new.name)

    def is_known(self, name: str, of: int) -> bool:
        """Whether anybody but the turn that made it knows a name: the user, a check or a function."""
        if name in self.used_by_functions or self.is_checked(name):
            return True
        words = [word for text in self.instructions(of) for word in split_words(text)]
        return any(is_word(part, words) for part in split_words(name.replace("_", " ")))

    def is_checked(self, name: str) -> bool:
        checks = (check.code for check in self.base.program.checks)
        return any(mentions(code, name) for code in checks)

    def is_named(self, name: str, of: int) -> bool:
        return any(mentions(text, name, exactly=True) for text in self.instructions(of))

    def instructions(self, last: int) -> list[str]:
        return [turn.instruction for turn in self.base.path[:last]]

    def is_invented(self, new: Binding) -> bool:
        """Whether a value is a list of literals that nobody gave."""
        if not isinstance(new.node, DISPLAYS):
            return False
        constants = [each for each in ast.walk(new.node) if isinstance(each, ast.Constant)]
        code = f"{new.name} = {unparse(new.node)}"
        arbitrary = arbitrary_parts(code, self.base.program.source, self.instruction)
        strange = sum(arbitrary.strange(each) for each in constants)
        return new.name in arbitrary.names and strange >= FEWEST_INVENTED

    def shares_sources(self, name: str, of: int) -> bool:
        """Whether a name is bound from something that it was bound from before: it is computed again."""
        before = next((each.code for each in self.base.program.chunks if each.turn == of), "")
        return bool(sources_of(name, before) & sources_of(name, self.chunk))

    def calls(self, name: str) -> tuple[str, ...]:
        """Calls of a function in earlier turns and their instructions that can be made again."""
        changed = {*names_of(self.chunk).binds, *names_of(self.chunk).changes}
        found = [
            each.call
            for turn in self.base.path
            for each in assertions_in(turn.instruction)
            if re.match(rf"{re.escape(name)}\(", each.call)
        ]
        for turn in self.base.path:
            module = parse_module(turn.chunk)
            found += [
                unparse(call)
                for call in calls_outside_functions(module.body if module else ())
                if isinstance(call.func, ast.Name) and call.func.id == name and stands(call, changed)
            ]
        return tuple(dict.fromkeys(found))[:MOST_CALLS]


@dataclass(frozen=True)
class StateComparison:
    """Looks at the program before and after its last turn to tell which names are replaced."""

    last: LastTurn
    suspects: tuple[Suspect, ...]
    look: RunProgram | None

    @cached_property
    def before(self) -> Mapping[str, Variable]:
        return self.variables(self.last.base.outcome, self.last.base.program)

    @cached_property
    def after(self) -> Mapping[str, Variable]:
        return self.variables(self.last.session.outcome, self.last.session.program)

    def variables(self, known: Outcome | None, program: Program) -> Mapping[str, Variable]:
        """The variables at the end of a program, from its outcome if it lists them."""
        if not known or not known.variables:
            known = self.look(replace(program, checks=())) if self.look else None
        return {each.name: each for each in known.variables} if known and known.ok else {}

    def confirmed(self) -> Iterator[ReplacedName]:
        for each in self.suspects:
            was = self.lost(each)
            if was:
                yield ReplacedName(self.last.number, each.name, each.of, was, each.through)

    def lost(self, each: Suspect) -> str:
        """What a name was before the turn, if it is that no more; "" if it is."""
        new = each.new
        if new is None:
            return self.changed_value(each)
        way = each.old.way
        if new.way is BoundAs.IMPORT and way is BoundAs.IMPORT:
            return str(way)
        if way is BoundAs.VALUE:
            return self.other_value(each, new)
        if new.way in (BoundAs.VALUE, BoundAs.LOOP):
            now = self.after.get(each.name)
            kind = family(now) if now else family_of_code(new.node)
            return str(way) if kind and kind not in ("function", "class") else ""
        return str(way) if self.behaves_otherwise(each, new) else ""

    def other_value(self, each: Suspect, new: Binding) -> str:
        """What a value was, if a turn replaces it by something else."""
        old, now = self.before.get(each.name), self.after.get(each.name)
        if old is None or old.kind == NOTHING or old.value in EMPTY:
            return ""
        if new.way not in (BoundAs.VALUE, BoundAs.LOOP):
            return describe_kind(old)
        if now is None or now.kind == NOTHING or is_same(old, now):
            return ""
        if family(old) != family(now) or each.invented:
            return describe_kind(old)
        again = self.last.shares_sources(each.name, each.of or 0)
        return describe_kind(old) if each.named and not again else ""

    def changed_value(self, each: Suspect) -> str:
        old, now = self.before.get(each.name), self.after.get(each.name)
        return kind_of(old) if old and now and not is_same(old, now) else ""

    def behaves_otherwise(self, each: Suspect, new: Binding) -> bool:
        """Whether a function takes fewer calls than before, or recorded calls give something else."""
        old, now = signature_of(each.old.node), signature_of(new.node)
        if each.old.is_module or (old and now and not now.accepts(old)):
            return True
        calls = self.last.calls(each.name)
        if not calls or self.look is None:
            return False
        first, second = (self.answers(base, calls) for base in (self.last.base, self.last.session))
        return any(
            one and other and one != other and not is_error(one)
            for one, other in zip(first, second, strict=True)
        )

    def answers(self, session: Session, calls: tuple[str, ...]) -> list[str]:
        """What calls give at the end of a program; "" for those that give something else each time."""
        assert self.look is not None
        twice = [Assertion(call, "None") for call in calls for _ in range(2)]
        chunks = session.program.chunks
        outcome = self.look(Program((*chunks, Chunk(len(session.path) + 1, checking_code(twice)))))
        printed = outcome.outputs[-1] if len(outcome.outputs) > len(chunks) else ""
        given = [without_addresses(each) for each in read_results(printed, len(twice)).given]
        return [one if one == other else "" for one, other in zip(given[::2], given[1::2], strict=True)]


def mentions(text: str, name: str, exactly: bool = False) -> bool:
    """Whether a text has a name as a word or, unless `exactly`, all the words of a name in any form."""
    if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, 0 if exactly else re.IGNORECASE):
        return True
    parts = split_words(name.replace("_", " "))
    return not exactly and bool(parts) and all(is_word(part, list(split_words(text))) for part in parts)


def is_word(part: str, words: list[str]) -> bool:
    """Whether a part of a name is one of some words in any form."""
    return any(part == word or have_same_stem(word, part) for word in words)


def sources_of(name: str, code: str) -> frozenset[str]:
    """The names of data that the statements read which bind or change a name, without the name itself."""
    module = parse_module(code)
    found: set[str] = set()
    for statement in module.body if module else ():
        part = ast.Module([statement], [])
        names = names_of(unparse(statement))
        if name in names.binds or name in names_changed(part.body):
            found |= names.reads
    return frozenset(found - {name} - set(dir(builtins)))


def calls_outside_functions(body: "list[ast.stmt] | tuple[()]") -> Iterator[ast.Call]:
    """The calls that code makes when it runs, without those in the bodies of functions and classes."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, (*OWN_SCOPE, ast.Lambda)):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += ast.iter_child_nodes(node)


def stands(call: ast.Call, changed: set[str]) -> bool:
    """Whether a call can be made again later: its arguments are literals and names that did not change."""
    values = [*call.args, *(each.value for each in call.keywords)]
    return all(literal(each) or (isinstance(each, ast.Name) and each.id not in changed) for each in values)


def is_error(answer: str) -> bool:
    """Whether a call raised an error, whose name stands in the place of its value."""
    return answer.isidentifier() and answer not in ("None", "True", "False")
