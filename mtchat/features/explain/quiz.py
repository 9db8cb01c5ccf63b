"""Quiz questions about what a program does, made from its code and its run, and the checking of answers.

No model is involved: an answer is right if it is what the program itself produces.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from mtchat.generate.generated_tests import Assertion, checking_code, literal, parsed_expression, read_results
from mtchat.session.names import bound_names, parse_module, unparse
from mtchat.session.outcome import Outcome, output_by_turn
from mtchat.session.program import Chunk, Program

VALUE, PRINTS, LENGTH = "value", "prints", "length"
LONGEST_ASKED = 60  # characters of a value or an output in a question
PLAIN_KINDS = ("int", "float", "str", "bool", "list", "dict", "tuple", "set")
WORDS = {"true": "True", "yes": "True", "false": "False", "no": "False", "none": "None", "nothing": "None"}
QUOTES = ("'", '"')
WITH_LENGTH = ("list", "dict", "tuple", "set", "str")


@dataclass(frozen=True)
class QuizQuestion:
    """A question about turn `turn`: its `kind`, the variable `name`, and the code that it is about.

    `answer` is what the program printed, if that is the question; `sort` is the type of the variable.
    """

    kind: str
    turn: int
    name: str = ""
    code: str = ""
    answer: str = ""
    sort: str = ""

    @property
    def text(self) -> str:
        if self.kind == PRINTS:
            return f"What does turn {self.turn} print?"
        if self.kind == LENGTH:
            return f"After turn {self.turn}, how many items (or letters) does `{self.name}` have?"
        return f"After turn {self.turn}, what is `{self.name}`?"

    @property
    def expression(self) -> str:
        """The expression to evaluate after the turn."""
        return f"len({self.name})" if self.kind == LENGTH else self.name


@dataclass(frozen=True)
class QuizVerdict:
    """Whether an answer is right, and the correct one; `given` is "" if it is unknown."""

    right: bool
    given: str


def make_questions(
    number: int, before: Program, program: Program, outcome: Outcome
) -> Iterator[QuizQuestion]:
    """The possible questions about the last turn of a program; `outcome` includes its variables.

    `before` is the program without that turn.
    """
    chunk = program.chunks[-1].code
    said = output_by_turn(program, outcome).get(number, "").strip()
    if said and len(said) <= LONGEST_ASKED and "\n" not in said:
        yield QuizQuestion(PRINTS, number, code=chunk, answer=said)
    changed = set(assigned_names(chunk))
    for each in outcome.variables:
        if each.name not in changed or each.kind not in PLAIN_KINDS or is_obvious(chunk, each.name):
            continue
        if len(each.value) <= LONGEST_ASKED and is_literal_text(each.value):
            yield QuizQuestion(VALUE, number, each.name, chunk, sort=each.kind)
        elif each.kind in WITH_LENGTH and each.name not in bound_names(before.source):
            yield QuizQuestion(LENGTH, number, each.name, chunk)


def assigned_names(chunk: str) -> Iterator[str]:
    """The names that a chunk assigns at top level, in loops and in branches."""
    module = parse_module(chunk)
    todo: list[ast.AST] = list(module.body) if module else []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        todo += ast.iter_child_nodes(node)


def is_obvious(chunk: str, name: str) -> bool:
    """Whether the only assignment of a name is a literal, so that the answer can be read off the code."""
    module = parse_module(chunk)
    sets = [
        node
        for node in ast.walk(module or ast.Module([], []))
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
    ]
    for node in module.body if module else ():
        match node:
            case ast.Assign([ast.Name(target)], value) if target == name:
                return len(sets) == 1 and literal(value) and not isinstance(value, ast.List | ast.Dict)
    return False


def is_literal_text(text: str) -> bool:
    value = parsed_expression(text)
    return value is not None and literal(value)


def answer_check(question: QuizQuestion, answer: str) -> Assertion:
    """The check to run for an answer; words that are not a Python value count as text."""
    text = answer.strip()
    value = parsed_expression(WORDS.get(text.lower(), text))
    if value is None or not literal(value) or (question.sort == "str" and text[:1] not in QUOTES):
        value = ast.Constant(text)
    return Assertion(question.expression, unparse(value))


def checking_program(program: Program, number: int, check: Assertion) -> Program:
    """The program with a check after its last turn."""
    return Program((*program.chunks, Chunk(number, checking_code((check,)))))


def read_verdict(program: Program, outcome: Outcome) -> QuizVerdict:
    """The verdict in the output of a checking program."""
    said = outcome.outputs[-1] if len(outcome.outputs) == len(program.chunks) else ""
    found = read_results(said, 1)
    return QuizVerdict(found.passed[0], found.given[0])


def compare_output(question: QuizQuestion, answer: str) -> QuizVerdict:
    """Whether an answer is what the turn printed, ignoring surrounding spaces and quotes."""
    same = " ".join(answer.split()) == " ".join(question.answer.split())
    bare = answer.strip().strip("\"'") == question.answer.strip()
    return QuizVerdict(same or bare, question.answer)


@dataclass(frozen=True)
class TutorLesson:
    """A lesson: the learner's goal, the hints given so far and the score.

    `hints` were given when the turn with the id `head` was the last one; each hint says more than the one
    before. `asked` counts the questions answered, `right` the correct answers.
    """

    goal: str = ""
    hints: tuple[str, ...] = ()
    head: str = ""
    asked: int = 0
    right: int = 0
