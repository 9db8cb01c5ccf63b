"""Code that runs because it leaves out what was asked for is no better than code that fails."""

from dataclasses import replace

import pytest

from mtchat.generate.events import CandidatesStarted, RepairStarted
from mtchat.generate.judge import requirements
from mtchat.generate.judge.requirements import does_less
from mtchat.generate.policy import Policy
from mtchat.generate.repair import is_better
from mtchat.session.outcome import Frame, Outcome, Reason
from mtchat.session.program import Location, Program
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from tests.support.generate import KeyedModel, ObservedGenerator, chunks, run

LOAD = "import pandas as pd\n\ndf = load()"
GAME = "board = [' '] * 9\n\ndef play():\n    while True:\n        input('move? ')"


@pytest.mark.parametrize(
    ("instruction", "before", "than", "new", "why"),
    [
        (
            "load sales.csv",
            "",
            "import pandas as pd\ndf = pd.read_csv('sales.csv')",
            "import pandas as pd",
            "only",
        ),
        ("let me play", "", f"{GAME}\n\nplay()", GAME, "does not call play"),
        ("let me play", GAME, "play()", "board = [' '] * 9", "does not call play"),
        ("show me the mean", "x = [1]", "print(sum(x) / len(x))", "mean = sum(x) / len(x)", "prints nothing"),
        (
            "show the monthly revenue",
            LOAD,
            "print(df.groupby('month')['revenue'].sum())",
            "print(df.groupby('region')['revenue'].sum())",
            "has nothing of monthly",
        ),
        ("open notes.txt and count words", "", "n = len(open('notes.txt').read())", "n = 3", "has nothing"),
        (
            "print the total",
            "def f():\n    return 1",
            "print(f())",
            "def f():\n    return 1\nprint(f())",
            "writes earlier turns again",
        ),
        (
            "print c",
            "a = [1, 2]\nb = a[0] + 5",
            "c = b\nprint(c)",
            "a = [1, 2]\nb = a[0] + 5\nc = b\nprint(c)",
            "writes earlier turns again",
        ),
        ("make a function that adds", "", "def add(a, b):\n    return a + b", "x = 1 + 2", "defines nothing"),
        ("set x", "", "x = 1", "# x is set", "has no code"),
        ("set x", "", "x = 1", "x = (", "has no code"),
    ],
)
def test_what_is_left_out_is_seen(instruction: str, before: str, than: str, new: str, why: str) -> None:
    assert why in does_less(new, than, instruction, before)


@pytest.mark.parametrize(
    ("instruction", "before", "than", "new"),
    [
        (
            "print the mean of x",
            "x = [1]",
            "import statistics\nprint(statistics.mean(x))",
            "print(sum(x) / len(x))",
        ),
        ("sort the list words", "words = ['b']", "words = sorted(words)", "words.sort()"),
        ("define f that doubles", "", "def f(n):\n    return 2 * n\nf(2)", "f = lambda n: 2 * n\nf(3)"),
        ("write a function f", "", "def f():\n    return 1\nprint(f(0))", "def f():\n    return 1"),
        ("print the average", "x = [1]", "print(f'Average: {x.no}')", "print(sum(x) / len(x))"),
        ("plot the sales by month", LOAD, "df.plot('month', 'sales')", "df.plot(x='month', y='sales')"),
        (
            "print the longest word",
            "words = []",
            "word_list = list(words)\nprint(max(word_list))",
            "print(max(words))",
        ),
        ("set x", "", "1 +", "x = 1"),
        ("set x", "", "", "x = 1"),
    ],
)
def test_another_way_to_do_the_same_does_no_less(instruction: str, before: str, than: str, new: str) -> None:
    assert does_less(new, than, instruction, before) == ""


def test_a_candidate_that_runs_and_leaves_something_out_does_not_take_the_place_of_the_first_try() -> None:
    tries = ["total = no\nprint(total)", *["total = 1"] * 3]
    one = ObservedGenerator(KeyedModel({"show the total": tries}), Policy(samples=3))
    assert chunks(one.take("show the total")) == ["total = no\nprint(total)"]
    assert one.heard(CandidatesStarted) == 1


@pytest.mark.parametrize("text", [r"\nHello\tword", r"\u00e9t\u00e9 \nword"])
def test_code_does_no_less_than_itself_whatever_signs_its_texts_have(text: str) -> None:
    instruction = "store Hello, word and \u00e9t\u00e9 in text"
    first = f'text = "{text}"\nprint(no)'
    assert does_less(first, first, instruction, "") == ""
    one = ObservedGenerator(KeyedModel({instruction: [first, "text = 1", "print(1)"]}), Policy(samples=2))
    assert chunks(one.take(instruction)) == [first]
    assert one.heard(CandidatesStarted) == 1


def test_a_mending_that_leaves_something_out_is_not_kept() -> None:
    first = Session().add(Turn("show the total", "print(no)"))
    less = Session().add(Turn("show the total", "total = 1"))
    same = Session().add(Turn("show the total", "total = 1\nprint(total)"))
    failed = first.with_outcome(run(first.program))
    assert not is_better(less.with_outcome(run(less.program)), failed)
    assert is_better(same.with_outcome(run(same.program)), failed)


def kept_from(what: str):
    """A run that the world fails at each turn that reads a file."""

    def look(program: Program) -> Outcome:
        for chunk in program.chunks:
            if "open(" in chunk.code:
                place = Location(chunk.turn, 1)
                error = f"turn {chunk.turn}, line 1: FileNotFoundError: sales.csv"
                return Outcome(
                    "none", 1, error=error, reason=Reason(what), frames=(Frame(place, "<module>"),)
                )
        return run(program)

    return look


@pytest.mark.parametrize("world", ["file", "input", "arguments", "package", "network", "display"])
def test_where_the_world_is_at_fault_the_code_stays_as_it_was_written(world: str) -> None:
    tries = ["sales = open('sales.csv').read()", *["sales = ''"] * 3]
    one = ObservedGenerator(
        KeyedModel({"load sales.csv": tries}),
        Policy(samples=3, repair_rounds=2, rewrites=1),
        running=kept_from(world),
    )
    session = one.take("load sales.csv")
    assert chunks(session) == tries[:1]
    assert [turn.chunk for turn in session.turns] == tries[:1]
    assert one.heard(CandidatesStarted) == one.heard(RepairStarted) == 0


def test_the_world_is_not_asked_about_a_fault_of_the_code() -> None:
    one = ObservedGenerator(
        KeyedModel({"set x": ["x = no", *["x = 1"] * 3]}), Policy(samples=3), running=kept_from("file")
    )
    assert chunks(one.take("set x")) == ["x = 1"]


def test_where_an_earlier_turn_fails_no_other_tries_are_written_for_the_last() -> None:
    broken = Session().add(Turn("set x", "x = no"))
    one = ObservedGenerator(KeyedModel({"print x": ["print(x)"] * 4}), Policy(samples=3, repair_rounds=2))
    session = one.take("print x", session=replace(broken.with_outcome(run(broken.program))))
    assert chunks(session) == ["x = no", "print(x)"]
    assert one.heard(CandidatesStarted) == one.heard(RepairStarted) == 0


SAID = Outcome(outputs=("", "6\n"))

SILENT = Outcome(outputs=("", ""))


@pytest.mark.parametrize(
    ("instruction", "chunk", "outcome", "wanted"),
    [
        ('Assign 3 to a variable named "total".', "total = 3", SILENT, ()),
        ('Assign 3 to a variable named "total".', "x = 3", SILENT, ("does not bind total",)),
        ("Sum them and store as sum_numbers.", "s = 3", SILENT, ("does not bind sum_numbers",)),
        ("Print the result.", "print(6)", SAID, ()),
        ("Print the result.", "y = 6", SILENT, ("prints nothing",)),
        ("Compute it.", "print(6)", SAID, ("prints what was not asked for",)),
        ("Gib die Summe von nums aus", "print(6)", SAID, ()),
        ("muestra la suma de nums", "print(6)", SAID, ()),
        ("how many of the nums are even?", "print(6)", SAID, ()),
        ("which of them is even", "print(6)", SAID, ()),
        ("Return the larger one.", "print(6)", SAID, ()),
        ("Write a function that adds.", "def add(a, b):\n    return a + b", SILENT, ()),
        ("Write a function that adds.", "c = 1 + 2", SILENT, ("defines no function",)),
        ("Write a function that prints hello.", "def f():\n    print('hello')", SILENT, ()),
        ("Rotate known by count steps.", "r = known[1:]", SILENT, ("does not use count",)),
        ("Rotate known by count steps.", "r = known[count:]", SILENT, ()),
        ("Double the count.", "count = 2", SILENT, ("only repeats earlier code",)),
        ("Double the count.", "count = 2 * count", SILENT, ()),
    ],
)
def test_a_wish_that_can_be_seen_is_seen_to_be_unmet(
    instruction: str, chunk: str, outcome: Outcome, wanted: tuple[str, ...]
):
    program = f"known = [1]\ncount = 2\n{chunk}\n"
    assert requirements.unmet_requirements(instruction, chunk, program, outcome) == wanted


def test_a_print_is_not_given_up_where_the_instruction_may_ask_for_it():
    for instruction in ("Gib die Summe von nums aus", "how many of the nums are even?"):
        assert does_less("total = 6", "print(6)", instruction, "") == "prints nothing"
    assert does_less("total = 6", "print(6)", "add up the nums", "") != "prints nothing"
