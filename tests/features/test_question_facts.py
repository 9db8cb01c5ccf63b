"""What is called certain is certain: what texts mention, loops, effects, results, definitions and uses."""

import ast
from collections.abc import Mapping

import pytest

from mtchat.features.explain.code_facts import facts_from_code
from mtchat.features.explain.effects import effect_facts
from mtchat.features.explain.loops import constant_result, count_items, growth_facts
from mtchat.features.explain.mentions import FUNCTIONS, Mention, MentionKind, ProgramWords, find_mentions
from mtchat.features.explain.state_facts import loop_facts
from mtchat.session.outcome import Outcome, Variable
from mtchat.session.session import Session
from mtchat.session.turn import Turn


def program(*codes: str) -> ProgramWords:
    return ProgramWords(Session().extend(tuple(Turn(f"step {at}", code) for at, code in enumerate(codes))))


def function(code: str) -> FUNCTIONS:
    node = ast.parse(code).body[0]
    assert isinstance(node, FUNCTIONS)
    return node


WORDS = program(
    "import numpy as np\nfrom csv import DictReader\nword_counts = {}\n"
    "TotalPrice = 3\nx = np.array([1])\na = 2",
    "def to_fahrenheit(celsius):\n    return celsius\n\nclass Stack:\n    def push_all(self, items):\n"
    "        self.depth = len(items)",
    "print('over budget', word_counts)\nok = np.polyfit(x, x, 1)\nok = sorted(ok)",
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("what does x hold?", ["x"]),
        ("word_counts", ["word_counts"]),
        ("what are the word counts", ["word_counts"]),
        ("wordCounts?", ["word_counts"]),
        ("word count", ["word_counts"]),
        ("was ist word-counts", ["word_counts"]),
        ("word_conuts", ["word_counts"]),
        ("the total price", ["TotalPrice"]),
        ("totalprice在哪里", ["TotalPrice"]),
        ("x的类型是什么", ["x"]),
        ("who calls to_fahrenheit(3)?", ["to_fahrenheit"]),
        ("¿qué es celsius?", ["celsius"]),
        ("does push_all work", ["push_all"]),
        ("what is np.polyfit", ["np.polyfit"]),
        ("polyfit?", ["np.polyfit"]),
        ("why over budget?", ["over budget"]),
        ("what is a?", ["a"]),
        ("is this a x", ["x"]),
        ("turn 2", ["2"]),
        ("Schritt 2", ["2"]),
        ("第2步做什么", ["2"]),
        ("turn 9", []),
        ("x 2", ["x"]),
        ("what is KeyError", ["KeyError"]),
        ("the weather in Paris", []),
        ("", []),
    ],
)
def test_a_text_mentions_what_the_program_spells_otherwise(text: str, names: list[str]) -> None:
    assert [each.name for each in find_mentions(WORDS, text)] == names


def test_a_part_of_a_name_counts_only_where_nothing_whole_is_mentioned() -> None:
    some = program("average_age = 4\noldest_person = 'Ann'", "result = 3")
    assert [each.name for each in find_mentions(some, "what is the average?")] == ["average_age"]
    assert [each.name for each in find_mentions(some, "is result the average?")] == ["result"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(items):\n    for i in items:\n        for j in items:\n            print(i, j)", "O(n²)"),
        ("def f(n):\n    for i in range(2, int(n ** 0.5) + 1):\n        print(i)", "O(√n)"),
        (
            "def f(a):\n    n = len(a)\n    for i in range(n):\n        for j in range(i):\n            pass",
            "O(n²)",
        ),
        ("def f(a):\n    return [b for b in a]", "O(n)"),
        ("def f(a):\n    for i in range(3):\n        pass", "O(1)"),
        ("def f(n):\n    return f(n - 1) + f(n - 2)", "calls itself in 2 places"),
        ("def f(n):\n    return f(n - 1)", "calls itself in one place"),
    ],
)
def test_the_growth_of_work_is_read_off_the_loops(code: str, said: str) -> None:
    assert said in " ".join(growth_facts("f", function(code)))


@pytest.mark.parametrize(
    "code",
    [
        "def f(a):\n    a = make(a)\n    for b in a:\n        pass",
        "def f(a):\n    for row in a:\n        for b in row:\n            pass",
        "def f(n):\n    for i in range(n * n):\n        pass",
        "def f(n):\n    for i in range(2 ** n):\n        pass",
        "def f(a):\n    a += a\n    for b in a:\n        pass",
        "def f(a):\n    while a:\n        a = a[1:]",
        "def f(a):\n    for b in product(a, a):\n        pass",
        "def f(n):\n    for i in range(int(n ** 0.5) ** 3):\n        pass",
        "def f(n):\n    for i in range(big):\n        pass",
    ],
)
def test_no_growth_is_claimed_where_the_code_does_not_tell(code: str) -> None:
    assert "O(" not in " ".join(growth_facts("f", function(code)))


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("def f(a=2):\n    return a * 3", 6),
        ("def f(a=2):\n    'Triples.'\n    return a * 3", 6),
        ("def f(a=1, b=2):\n    return (a + b) / 2", 1.5),
        ("def f():\n    return 'yes'", "yes"),
        ("def f(a):\n    return a * 3", None),
        ("def f(a=2):\n    a = 3\n    return a", None),
        ("def f(a=2):\n    return g(a)", None),
        ("def f(a=0):\n    return 1 / a", None),
        ("def f(a=9):\n    return a ** a ** a", None),
        ("def f(a=10 ** 9):\n    return a", None),
        ("def f(*a):\n    return 1", None),
        ("@twice\ndef f(a=2):\n    return a", None),
        ("def f(a=2):\n    yield a", None),
        ("def f(a=2):\n    return b", None),
    ],
)
def test_the_result_for_default_inputs_is_computed_without_running(code: str, result: object) -> None:
    assert constant_result(function(code)) == result  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def f(a):\n    a.append(1)", "`f` changes its input `a` in place"),
        ("def f(a):\n    a[0] = 1", "`f` changes its input `a` in place"),
        ("def f(a):\n    a = list(a)\n    a.sort()\n    return a", "`f` does not change its input `a`"),
        ("def f(a):\n    a = a[:]\n    a[0] = 1", "`f` does not change its input `a`"),
        ("def f(a):\n    return sorted(a)", ""),
        ("def f(a):\n    a = list(a)\n    a[0].append(1)", ""),
        ("def f(a):\n    if a:\n        a = list(a)\n    a.append(1)", ""),
        ("def f(a):\n    a.append(1)\n    a = list(a)", ""),
        ("def f(a):\n    a = make(a)\n    a.append(1)", ""),
        ("def f(a):\n    def g(a):\n        a.append(1)", ""),
    ],
)
def test_a_change_of_an_input_is_claimed_only_where_it_is_sure(code: str, said: str) -> None:
    found = list(effect_facts("f", function(code)))
    assert len(found) == bool(said)
    assert all(text.startswith(said) for text in found)


STATE = {
    "items": Variable("items", "list", "3", "[1, 2, 3]"),
    "text": Variable("text", "str", "5", "'a b c'"),
    "n": Variable("n", "int", "", "4"),
}


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("for i in items:\n    print(i)", "3 times"),
        ("for i in range(10):\n    pass", "10 times"),
        ("for i in range(n):\n    pass", "4 times"),
        ("for i in range(1, len(items)):\n    pass", "2 times"),
        ("for w in text.split():\n    pass", "3 times"),
        ("for at, i in enumerate(items):\n    pass", "3 times"),
        ("for i in [5]:\n    pass", "1 time"),
        ("for i in items:\n    if i:\n        break", "at most 3 times"),
        ("for i in items:\n    items.append(i)", ""),
        ("for i in items:\n    pass\nitems = [1, 2, 3]", ""),
        ("for i in items:\n    pass\nitems.append(4)", ""),
        ("for i in items:\n    pass\nother = items\nother.append(4)", ""),
        ("def g():\n    items.append(1)\n\nfor i in items:\n    pass\ng()", ""),
        ("for i in range(n):\n    pass\nn += 1", ""),
        ("for i in make():\n    pass", ""),
        ("for i in range(0, 5, 0):\n    pass", ""),
        ("if n:\n    for i in items:\n        pass", ""),
    ],
)
def test_how_often_a_loop_ran_is_claimed_only_where_the_values_tell(code: str, count: str) -> None:
    found = [fact.text for fact in loop_facts(program(code), Outcome(outputs=("",)), STATE)]
    assert [text.rpartition(" ran ")[2] for text in found] == ([count] if count else [])


def test_a_loop_that_a_later_turn_could_tell_otherwise_is_not_counted() -> None:
    two = program("for i in items:\n    pass", "items.pop()")
    assert list(loop_facts(two, Outcome(outputs=("", "")), STATE)) == []


@pytest.mark.parametrize("code", ["len(items)", "items * 2", "range(10 ** 30)", "range('a')", "{**items}"])
def test_items_that_cannot_be_counted_are_not(code: str) -> None:
    lengths: Mapping[str, int] = {"items": 3}
    assert count_items(ast.parse(code, mode="eval").body, lengths, {}) is None


@pytest.mark.parametrize(
    ("codes", "name", "said"),
    [
        (("x = 1", "print(f'{x}')"), "x", "turn 1 sets `x`: `x = 1`; turn 2 uses it"),
        (("x = 1", "x = 2"), "x", "turns 1 and 2 set `x` (in turn 2: `x = 2`); nothing uses it"),
        (("x = 1", "def f(x):\n    return x"), "x", "turn 1 sets `x`: `x = 1`; nothing uses it"),
        (("x = 1", "def f():\n    return x"), "x", "turn 1 sets `x`: `x = 1`; turn 2 uses it"),
        (
            ("def f():\n    return 1", "list(map(f, []))"),
            "f",
            "defines the function `f` without inputs; turn 2 uses",
        ),
        (("def f(n):\n    return f(n)",), "f", "with the inputs `n`; nothing else uses it"),
        (("import os.path as p",), "p", "turn 1 imports `os.path` as `p`; nothing uses it"),
        (("for i in []:\n    pass",), "i", "turn 1 sets `i`: `for i in []:`; nothing uses it"),
        (
            ("with open('a') as f:\n    pass",),
            "f",
            "turn 1 sets `f`: `with open('a') as f:`; nothing uses it",
        ),
    ],
)
def test_who_defines_and_uses_a_name_follows_scopes(codes: tuple[str, ...], name: str, said: str) -> None:
    found = list(facts_from_code(program(*codes), Mention(MentionKind.NAME, name, 1.0)))
    assert said in found[0].text
