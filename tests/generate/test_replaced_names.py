"""What a turn takes from earlier turns: names with another meaning, which nobody asked for."""

from dataclasses import replace

import pytest

from mtchat.generate.events import CandidateChosen, NamesReplaced
from mtchat.generate.judge.replaced_names import find_replaced_names
from mtchat.generate.policy import PLAIN, Policy
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import IMPORTED, Outcome, ReplacedName
from mtchat.session.program import NO_INPUTS, Program
from mtchat.session.session import Session
from mtchat.session.settings import Limits
from mtchat.session.turn import Turn
from tests.support.generate import chunks, observed, run, run_with_variables
from tests.support.scripts import needs_sandbox

DOUBLE = ('Write a function "double" that returns twice a number', "def double(x):\n    return 2 * x")
COUNT = ("Write a function that counts words", "def count(text):\n    return len(text.split())")
USED = ('Show "double" of 4', "print(double(4))")
NUMBERS = ('Set "numbers" to 3, 1, 2', "numbers = [3, 1, 2]")
TOTAL = ('Add up the prices as "total"', "prices = [5, 6]\ntotal = sum(prices)")
HELPER = ("Write a function for the tax of the price", "rate = 7\ndef tax(price):\n    return price * rate")


def after(*turns: tuple[str, str]) -> Session:
    session = Session().extend(tuple(Turn(instruction, code) for instruction, code in turns))
    return session.with_outcome(run_with_variables(session.program))


def found(*turns: tuple[str, str]) -> list[tuple[str, int | None, str]]:
    names = find_replaced_names(after(*turns), run_with_variables)
    return [(each.name, each.of, each.was) for each in names]


REPLACED = [
    ("a function by a value", [COUNT, ("How many are there?", "count = 3")], ("count", 1, "a function")),
    (
        "a function by its own result",
        [DOUBLE, ("Take it of 4 and print that", "double = double(4)\nprint(double)")],
        ("double", 1, "a function"),
    ),
    (
        "a function that is meant to be used, by its own result",
        [DOUBLE, ('Call "double" with 4', "double = double(4)")],
        ("double", 1, "a function"),
    ),
    (
        "a function by one with another signature",
        [DOUBLE, ("Write a function that adds", "def double(x, y):\n    return x + y")],
        ("double", 1, "a function"),
    ),
    (
        "a function by one that answers an earlier call in another way",
        [DOUBLE, USED, ("Write a function for texts", "def double(x):\n    return str(x) * 2")],
        ("double", 1, "a function"),
    ),
    (
        "a function by one that answers a call in an instruction in another way",
        [
            ("Write a function, such that double(4) == 8", DOUBLE[1]),
            ("Create a function for texts", "def double(x):\n    return x + 1"),
        ],
        ("double", 1, "a function"),
    ),
    (
        "a function by a loop",
        [
            ("Write a function for an item", "def item(x):\n    return x"),
            ("List", "for item in [1]:\n    pass"),
        ],
        ("item", 1, "a function"),
    ),
    (
        "a class by a value",
        [("A class for players", "class Player:\n    pass"), ("Make one", "Player = 'Ann'")],
        ("Player", 1, "a class"),
    ),
    (
        "a module by a value",
        [("Roll a die", "import random\nx = 1"), ("Again", "random = 4")],
        ("random", 1, IMPORTED),
    ),
    (
        "a module by what is in it, where a function uses the module",
        [
            ("What time is it", "import datetime\ndef now():\n    return datetime.datetime.now()"),
            ("Another", "from datetime import datetime"),
        ],
        ("datetime", 1, IMPORTED),
    ),
    ("a list by a number", [NUMBERS, ("How many are even?", "numbers = 1")], ("numbers", 1, "a list")),
    ("a number by a text", [TOTAL, ("Say hello", "total = 'hello'")], ("total", 1, "a number")),
    (
        "a value by a function",
        [TOTAL, ("A function for tax", "def total(x):\n    return x")],
        ("total", 1, "a number"),
    ),
    (
        "a named value by another of its kind, from elsewhere",
        [TOTAL, ("Add up the weights", "weights = [1, 2]\ntotal = sum(weights)")],
        ("total", 1, "a number"),
    ),
    (
        "a named value by a loop",
        [("Set word to tiger", "word = 'tiger'"), ("List these", "for word in ['a', 'b']:\n    pass")],
        ("word", 1, "a text"),
    ),
    (
        "a list by one that nobody gave, though it is mentioned",
        [NUMBERS, ('Print the sum of "numbers"', "numbers = [10, 20, 30, 40]\nprint(sum(numbers))")],
        ("numbers", 1, "a list"),
    ),
    (
        "a value that a function uses",
        [HELPER, ("Say hello", "rate = 'hello'")],
        ("rate", 1, "a number"),
    ),
    (
        "a list through another name for it",
        [NUMBERS, ('Sort "numbers" into "ordered"', "ordered = numbers\nordered.sort()")],
        ("numbers", 1, "list"),
    ),
    (
        "a function of Python by a value",
        [NUMBERS, ("Add them up", "sum = 0\nfor each in numbers:\n    sum += each")],
        ("sum", None, "a function"),
    ),
]


@pytest.mark.parametrize(("turns", "name"), [row[1:] for row in REPLACED], ids=[row[0] for row in REPLACED])
def test_a_name_with_another_meaning_is_found(
    turns: list[tuple[str, str]], name: tuple[str, int | None, str]
) -> None:
    assert found(*turns) == [name]


LEGITIMATE = [
    ("sorted", [NUMBERS, ("Sort it", "numbers = sorted(numbers)")]),
    ("sorted in place", [NUMBERS, ("Sort it", "numbers.sort()")]),
    ("one more", [NUMBERS, ("Add 5", "numbers.append(5)")]),
    ("doubled", [TOTAL, ("Double that", "total = total * 2")]),
    ("added to", [TOTAL, ("Add 5 to it", "total += 5")]),
    ("its length", [NUMBERS, ("How many?", "numbers = len(numbers)")]),
    ("asked for", [NUMBERS, ('Set "numbers" to 9', "numbers = 9")]),
    ("asked for in other words", [("x", "best_score = 1"), ("Reset the best score", "best_score = 'none'")]),
    (
        "a function that is to change",
        [DOUBLE, USED, ("Change double to add 1", "def double(x):\n    return 9")],
    ),
    (
        "a function that may be meant by it",
        [DOUBLE, USED, ("It should add 1", "def double(x):\n    return 9")],
    ),
    ("named as a result", [COUNT, ('Store 5 as "count"', "count = 5")]),
    (
        "the same function",
        [DOUBLE, USED, ("Again", 'def double(x: int):\n    """Twice."""\n    return 2 * x')],
    ),
    (
        "a function that does the same",
        [DOUBLE, USED, ("Write a function that is shorter", "def double(x):\n    return x + x")],
    ),
    (
        "a function that takes more",
        [DOUBLE, ("Write a function with a factor", "def double(x, by=2):\n    return by * x")],
    ),
    (
        "a function that no longer fails",
        [
            ("double", "def double(x):\n    return x.no"),
            ("try", "try:\n    double(1)\nexcept AttributeError:\n    pass"),
            ("Write a function that works", "def double(x):\n    return 2"),
        ],
    ),
    ("the same data", [NUMBERS, ("Add them up", "numbers = [3, 1, 2]\ntotal = sum(numbers)")]),
    ("the same value by other code", [NUMBERS, ("Three of them", "numbers = [3] + [1, 2]")]),
    ("computed again", [TOTAL, ("One costs 9", "prices[0] = 9\ntotal = sum(prices)")]),
    (
        "computed again in another way",
        [TOTAL, ("One more", "prices.append(1)\ntotal = 0\nfor each in prices:\n    total = total + each")],
    ),
    ("filled", [("An empty list of names", "names = []"), ("Fill it", "names = ['Ann']")]),
    ("set at last", [("No winner yet", "winner = None"), ("Choose one", "winner = 'Ann'")]),
    ("a loop variable", [("List them", "for name in ['a']:\n    pass"), ("More", "name = 3")]),
    (
        "a name that only the code has",
        [("Say hi", "tmp = 'hi'\nprint(tmp)"), ("Say 3", "tmp = 3\nprint(tmp)")],
    ),
    ("an import again", [("x", "import random"), ("y", "import random")]),
    ("wrapped", [DOUBLE, ("Remember it", "from functools import cache\ndouble = cache(double)")]),
    ("a copy that changes", [NUMBERS, ("Sort a copy", "ordered = list(numbers)\nordered.sort()")]),
    ("a function of Python that is asked for", [NUMBERS, ('Store 6 in "sum"', "sum = 6")]),
    ("a function in its place", [NUMBERS, ("Add", "def sum(values):\n    return 6")]),
    ("code too deep to read", [NUMBERS, ("Go on", "numbers = " + "+".join(["1"] * 3000))]),
    ("code that does not parse", [DOUBLE, ("Go on", "double =")]),
]


@pytest.mark.parametrize("turns", [row[1] for row in LEGITIMATE], ids=[row[0] for row in LEGITIMATE])
def test_an_update_and_what_was_asked_for_replace_nothing(turns: list[tuple[str, str]]) -> None:
    assert found(*turns) == []


@pytest.mark.parametrize("turns", [row[1] for row in (*REPLACED, *LEGITIMATE)])
def test_a_turn_that_repeats_the_code_of_the_one_before_replaces_nothing(
    turns: list[tuple[str, str]],
) -> None:
    assert found(*turns, ("once more", turns[-1][1])) == []


@pytest.mark.sandbox
@needs_sandbox
def test_in_the_sandbox_the_same_names_are_found() -> None:
    with Sandbox() as sandbox:

        def look(program: Program) -> Outcome:
            return sandbox.trial(program, Limits(), NO_INPUTS)

        for label, turns, name in [*REPLACED, *((*row, None) for row in LEGITIMATE)]:
            session = Session().extend(tuple(Turn(instruction, code) for instruction, code in turns))
            session = session.with_outcome(replace(look(session.program), variables=()))
            names = [(each.name, each.of, each.was) for each in find_replaced_names(session, look)]
            assert names == ([name] if name else []), label


def test_a_turn_that_rebinds_nothing_costs_no_run() -> None:
    def refuse(program: Program) -> None:
        raise AssertionError(program)

    session = after(NUMBERS, ("Sort it", "numbers.sort()\nsmallest = numbers[0]"))
    assert find_replaced_names(session, refuse) == ()  # type: ignore[arg-type]


def test_without_runs_only_what_the_code_shows_is_found() -> None:
    def bare(*turns: tuple[str, str]) -> list[str]:
        session = Session().extend(tuple(Turn(instruction, code) for instruction, code in turns))
        session = session.with_outcome(run(session.program))
        return [each.name for each in find_replaced_names(session, None)]

    assert bare(COUNT, ("How many?", "count = 3")) == ["count"]
    assert bare(NUMBERS, ("How many?", "numbers = 3")) == []


def test_a_turn_that_fails_replaces_nothing() -> None:
    session = after(COUNT, ("How many?", "count = 3\n1/0"))
    assert find_replaced_names(session, run_with_variables) == ()


SENTENCES = [
    (
        ReplacedName(4, "count", 2, "a function"),
        "turn 4 replaces `count`, which turn 2 defined as a function",
    ),
    (ReplacedName(2, "random", 1, IMPORTED), "turn 2 replaces `random`, which turn 1 imported"),
    (ReplacedName(2, "x", 0, "a text"), "turn 2 replaces `x`, which the preamble defined as a text"),
    (ReplacedName(3, "sum", None, "a function"), "turn 3 replaces `sum`, which is a function of Python"),
    (
        ReplacedName(3, "numbers", 1, "list", "ordered"),
        "turn 3 changes `numbers` as well, which turn 1 made, since `ordered` is the same list",
    ),
]


@pytest.mark.parametrize(("name", "sentence"), SENTENCES)
def test_a_sentence_says_what_became_of_a_name(name: ReplacedName, sentence: str) -> None:
    assert name.sentence == sentence


def test_a_candidate_that_keeps_earlier_turns_is_preferred() -> None:
    sure = Policy(samples=3, confidence_threshold=-5.0)
    one = observed(
        sure,
        counts_words=[COUNT[1]] * 2,
        how_many=["count = 2\nprint(count)", *["count = 2\nprint(count)"] * 2, "n = 2\nprint(n)"],
    )
    session = one.take("a function that counts words", "print how many")
    assert chunks(session)[-1] == "n = 2\nprint(n)"
    assert one.heard(CandidateChosen) == 1
    assert one.heard(NamesReplaced) == 0
    assert session.outcome is not None
    assert session.outcome.replaced_names == ()


@pytest.mark.parametrize("policy", [PLAIN, Policy(samples=3)])
def test_what_stays_replaced_is_reported_once_and_kept_in_the_outcome(policy: Policy) -> None:
    one = observed(policy, counts_words=[COUNT[1]] * 2, how_many=["count = 2\nprint(count)"] * 2)
    session = one.take("a function that counts words", "print how many")
    (event,) = [each for each in one.events if isinstance(each, NamesReplaced)]
    name = ReplacedName(2, "count", 1, "a function")
    assert event == NamesReplaced(session, (name,))
    assert session.outcome is not None
    assert session.outcome.replaced_names == (name,)
