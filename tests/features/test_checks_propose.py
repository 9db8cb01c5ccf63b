"""Checks in words: what is refused of what a model proposes, and what is taken."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from evals.checks_in_words import Case, is_right, load_cases
from mtchat.features.checks.drawing import CheckWriter, check_prompt
from mtchat.features.checks.expression import Mentions, find_mentions, missing_mention
from mtchat.features.checks.propose import NEUTRAL, Proposal, objection, propose_check, refusal
from mtchat.features.checks.trial import try_expressions
from mtchat.sandbox.host import execute
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.program import NO_INPUTS, Chunk, Program, parse_expression
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Limits, Sampling

PROGRAM = """\
import random
total = 40
prices = [3, 1, 2]
names = {'Ann': 1}
x, y = 1, 2
def f(n):
    return n * n
for word in ['a', 'b']:
    pass
"""


def needs_sandbox(test: Callable[..., None]) -> Callable[..., None]:
    why = f"no sandbox: {execute.probe().reason}"
    return pytest.mark.sandbox(pytest.mark.skipif(not execute.probe().ok, reason=why)(test))


@pytest.fixture(scope="module")
def ground() -> Iterator[Sandbox]:
    with Sandbox() as ground:
        yield ground


def looking(ground: Sandbox, program: Program) -> Outcome:
    return ground.resume(program, Limits(seconds=20.0), None, lambda stream, text: None, NO_INPUTS, False)


@dataclass
class Proposer:
    """A model whose greedy reply is the first, and whose samples are the others, by number."""

    replies: Sequence[str]
    asked: list[tuple[Prompt, Sampling, int]] = field(default_factory=list)
    logprob: float = -1.0

    def draw(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
        self.asked.append((prompt, sampling, count))
        warm = self.replies[1:] or self.replies
        for number in range(count):
            text = warm[number % len(warm)] if sampling.temperature else self.replies[0]
            text = "x == 1" if prompt.messages[-1].content.endswith(NEUTRAL) else text
            yield number, Piece(f" {text}\n```", Usage(1, 0, 3, finish="stop", logprob=self.logprob))


def unused(prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
    raise AssertionError("no model is asked for a prompt")


def proposed(ground: Sandbox, text: str, *replies: str, source: str = PROGRAM) -> Proposal:
    program = Program((Chunk(1, source),))
    return propose_check(
        text, program, (), CheckWriter(Proposer(replies).draw), lambda part: looking(ground, part)
    )


@pytest.mark.parametrize(
    ("text", "numbers", "names", "quoted"),
    [
        ("total must be 42.", ("42",), ("total",), ()),
        ("prices have 3 values and f(3) is 9", ("3", "9"), ("prices", "f"), ()),
        ("every word of x is short", (), ("x",), ()),
        ("total是42", ("42",), ("total",), ()),
        ("y a-t-il 3,5 dans total ?", ("3,5",), ("total",), ()),
        ("names has 'Ann' and „Bob“ but not «Eve»", (), ("names",), ("Ann", "Bob", "Eve")),
        ("l'ordre de prices", (), ("prices",), ()),
        ("x2 and the 3rd of random", (), (), ()),
    ],
)
def test_the_numbers_names_and_quotes_of_a_text_are_its_mentions(
    text: str, numbers: tuple[str, ...], names: tuple[str, ...], quoted: tuple[str, ...]
):
    found = find_mentions(text, PROGRAM)
    assert (found.numbers, found.names, found.quoted) == (numbers, names, quoted)


def test_words_that_are_texts_of_the_program_are_mentions_too():
    assert find_mentions("Ann is in names", PROGRAM) == Mentions((), ("names",), (), ("Ann",))
    assert find_mentions("is y the larger", PROGRAM).letters == ("y",)


@needs_sandbox
@pytest.mark.parametrize(
    ("replies", "code", "why"),
    [
        (["names", "'Ann' in names", "names", "names", "names"], "'Ann' in names", ""),
        (["names", "len(names) == 1", "names"], "", "names is refused: it does not contain 'Ann'"),
        (["len(names) == 1"], "len(names) == 1", ""),
    ],
)
def test_an_expression_without_a_text_of_the_program_is_taken_only_if_the_model_is_sure(
    ground: Sandbox, replies: list[str], code: str, why: str
):
    found = proposed(ground, "Ann is in names", *replies)
    assert (found.code, found.reason) == (code, why)


@pytest.mark.parametrize(
    ("text", "code", "lacking"),
    [
        ("total is 42", "total == 42", ""),
        ("total is 42", "total > 40", "42"),
        ("total is 42", "len(prices) == 42", "total"),
        ("total liegt unter 0,5", "total < 0.5", ""),
        ("total is below 1,000", "total < 1000", ""),
        ("total is below 1.000.000", "total < 1000000", ""),
        ("total is below 0.5", "total < 5", "0.5"),
        ("total grew by 5 %", "total == prices[0] * 0.05", ""),
        ("the shape of prices is (3,4)", "prices.shape == (3, 4)", ""),
        ("names has 0 errors", "not names", ""),
        ("total is at least -3", "total >= -3", ""),
        ("the last of prices is 1", "prices[-1] is not None", "1"),
        ("the last of prices is 1", "prices[-1] == 1", ""),
        ("'Ann' is in names", "total in names", "'Ann'"),
        ("'Ann' is in names", "names['Ann']", ""),
    ],
)
def test_an_expression_has_all_that_the_text_mentions(text: str, code: str, lacking: str):
    value = parse_expression(code)
    assert value is not None
    assert missing_mention(value, find_mentions(text, PROGRAM)) == lacking


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("(total := 42) == 42", "it assigns a name"),
        ("print(total) is None", "it calls print"),
        ("open('total')", "it calls open"),
        ("input() == total", "it calls input"),
        ("exec('total = 42') is None", "it calls exec"),
        ("word == 'a' and total", "only what a loop left behind"),
        ("1 + 1 == 2", "does not depend on the program"),
        ("random.random() < 2", "does not depend on the program"),
        ("total == 'forty'", "'forty' is not in your text"),
        ("total in (7, 8, 9)", "numbers that are not in your text"),
        ("total ==", "it cannot be read"),
    ],
)
def test_the_syntax_tree_refuses_what_does_more_than_look_or_says_something_else(code: str, why: str):
    assert why in objection(code, "total is right", PROGRAM, Mentions())


def test_a_name_of_the_program_may_be_that_of_a_builtin():
    assert objection("open > 3", "open is over 3", "open = 4", Mentions(("3",), ("open",))) == ""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("len(prices) >= 0", "it is true whatever the values are"),
        ("total == total", "it is true whatever the values are"),
        ("prices is prices or total", "it is true whatever the values are"),
        ("prices.sort() is None", "it changes the state"),
        ("prices.append(3) is None", "it changes the state"),
        ("prices.pop() == 2", "it changes the state"),
        ("names.pop('Ann', 0) == 1", "it changes the state"),
        ("ordered.sort() is None", "it changes the state"),
        ("flip(total)", "it gives another result each time"),
        ("prices[9] == 3", "it fails with IndexError"),
        ("write(total) is None", "it changes the state"),
        ("total / 0 == 1", "it fails with ZeroDivisionError"),
        ("leave(total)", "it fails with SystemExit"),
        ("total == 41", ""),
        ("total > 3", ""),
        ("prices == sorted(prices)", ""),
        ("'Eve' not in names", ""),
        ("f(3) == 9", ""),
        ("isinstance(total, int)", ""),
        ("account.balance >= 0", ""),
        ("isinstance(account, Account)", ""),
        ("all(each['n'] > 0 for each in rows)", ""),
        ("ordered == sorted(prices)", ""),
    ],
)
@needs_sandbox
def test_the_state_refuses_what_says_nothing_or_changes_something(ground: Sandbox, code: str, why: str):
    source = PROGRAM + (
        "ordered = sorted(prices)\nrows = [{'n': 1}]\n"
        "class Account:\n    balance = 3\n    def __init__(self):\n        self.balance = 4\n"
        "account = Account()\n"
        "def write(value):\n    open('out.txt', 'w').write(str(value)) and None\n"
        "calls = []\ndef flip(value):\n    calls.append(value)\n    return len(calls) % 2\n"
        "def leave(value):\n    raise SystemExit(3)\n"
    )
    (tried,) = try_expressions(Program((Chunk(1, source),)), [code], lambda part: looking(ground, part))
    assert why in refusal(tried)
    assert bool(why) == bool(refusal(tried))


@needs_sandbox
def test_the_expression_most_others_agree_with_is_taken(ground: Sandbox):
    found = proposed(
        ground,
        "prices has 3 values",
        "len(prices) > 3",
        "len(prices) == 3",
        "3 == len(prices)",
        "prices[0] == 3",
    )
    assert found.code == "len(prices) == 3"


@needs_sandbox
def test_words_that_name_nothing_need_a_clear_majority(ground: Sandbox):
    split = ("total > 0", "prices[0] == 1", "x == 1", "y == 2", "f(1) == 1", "names")
    assert "refused" in proposed(ground, "the stars are well aligned", *split).reason
    assert proposed(ground, "the sum is right", "total == sum(prices)").code == "total == sum(prices)"
    assert "refused" in proposed(ground, "the stars are well aligned", "total == 40").reason


@needs_sandbox
def test_what_the_model_makes_of_words_that_say_nothing_is_no_check(ground: Sandbox):
    assert "name nothing of the program" in proposed(ground, "the stars are well aligned", "x == 1").reason
    assert proposed(ground, "x is 1", "x == 1").code == "x == 1"


@pytest.mark.parametrize(("logprob", "rounds"), [(-0.05, [1]), (-0.5, [1, 5]), (0.0, [1, 5])])
def test_a_model_that_is_certain_is_asked_for_no_samples(logprob: float, rounds: list[int]):
    model = Proposer(["total == 42"], logprob=logprob)
    found = CheckWriter(model.draw).propose("total is 42", PROGRAM, ())
    assert [count for _, _, count in model.asked] == rounds
    assert [each.code for each in found] == ["total == 42"]


@needs_sandbox
def test_a_second_round_names_what_the_expression_must_contain(ground: Sandbox):
    program = Program((Chunk(1, PROGRAM),))
    model = Proposer(["total > 3"])
    found = propose_check(
        "total is 42", program, (), CheckWriter(model.draw), lambda part: looking(ground, part)
    )
    assert found.reason == "total > 3 is refused: it does not contain 42"
    first, second = model.asked[1][0].messages[-1].content, model.asked[3][0].messages[-1].content
    assert first.endswith("total is 42")
    assert second.endswith("total is 42\nThe statement contains total and 42.")
    assert model.asked[1][1].seed != model.asked[3][1].seed


def test_the_prompt_begins_the_same_for_every_program_and_shows_short_values():
    variables = (Variable("total", "int", "", "40"), Variable("long", "str", "900", "x" * 900))
    one = check_prompt("total is 42", PROGRAM, variables, chat=True)
    other = check_prompt("x is 1", "x = 1", (), chat=True)
    assert one.messages[:-1] == other.messages[:-1]
    assert "total: int = 40" in one.messages[-1].content
    assert "x" * 100 not in one.messages[-1].content
    assert one.opening.endswith("assert")
    long = check_prompt("x is 1", "x = 1\n" * 9999, (), chat=True)
    assert len(long.messages[-1].content) < 4000


def test_a_prompt_that_does_not_fit_shows_less_of_the_values_and_then_of_the_program():
    variables = tuple(Variable(f"v{number}", "int", "", "1") for number in range(20))
    sizes = [
        len(
            CheckWriter(unused, fits=fits)
            .prompt("v19 is 1", "v19 = 1\n" * 999, variables)
            .messages[-1]
            .content
        )
        for fits in (lambda p: True, lambda p: "v9:" not in p.messages[-1].content, lambda p: False)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[1] > 3000 > 1000 > sizes[2]


def test_a_model_without_a_chat_template_goes_on_from_a_comment():
    prompt = check_prompt("total\nis 42", PROGRAM, (), chat=False)
    assert prompt.text.endswith("    pass\n# total is 42\nassert")


@needs_sandbox
@pytest.mark.parametrize("case", load_cases(), ids=lambda case: f"{case.program}: {case.text[:40]}")
def test_the_rules_take_the_reference_of_every_case(ground: Sandbox, case: Case):
    source = case.session.program.source
    assert objection(case.expression, case.text, source, find_mentions(case.text, source)) == ""
    (tried,) = try_expressions(case.session.program, [case.expression], lambda part: looking(ground, part))
    assert refusal(tried) == ""
    assert is_right(case, case.expression, ground)
