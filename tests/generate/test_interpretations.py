"""What an instruction can mean: candidates told apart by what they do, and the user asked which is meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.generate.alternatives import sample_alternatives
from mtchat.generate.events import AttemptsExhausted, TurnWritten
from mtchat.generate.generated_tests import AssertionResults
from mtchat.generate.improve import take
from mtchat.generate.interpretations import Clarification, ask_about, interpret
from mtchat.generate.policy import Policy
from mtchat.generate.prompt.families import instruct
from mtchat.generate.select import Candidate
from mtchat.generate.turn import TurnGenerator
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome, Reason, Variable
from mtchat.session.prompt import Piece, Usage
from mtchat.session.provenance import Repair
from mtchat.session.session import Session
from mtchat.session.turn import Turn, TurnOptions
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said
from tests.support.generate import CARD, GREEDY_64, KeyedModel, chunks, run, run_with_variables

UNDEFINED = "turn 1, line 1: NameError: x"
ASK = Clarification(lambda instruction, found: None)


def tried(
    chunk: str, output: str = "", copies: int = 1, error: str = "", given=(), **variables: str
) -> Candidate:
    found = tuple(Variable(name, "int", "", value) for name, value in variables.items())
    outcome = Outcome(outputs=(output,), stdout=output, variables=found, error=error, finished=not error)
    usage = Usage(completion_tokens=4, logprob=-0.4)
    session = Session().add(Turn("print total: 1 or 2", chunk, usage=usage)).with_outcome(outcome)
    return Candidate(
        session, copies, generated=AssertionResults(given, (True,) * len(given), ("f(2)",) * len(given))
    )


TWO = interpret([tried("print(1)", "1\n"), tried("print(2)", "2\n")])


def told(*candidates: Candidate) -> list[str]:
    return [each.summary for each in interpret(candidates)]


def test_those_that_do_the_same_are_one_reading_and_the_weightiest_is_first() -> None:
    found = interpret([tried("print(3)", "3\n"), tried("print(1+2)", "3\n"), tried("print([3])", "[3]\n", 5)])
    assert [(each.summary, each.count) for each in found] == [("prints [3]", 5), ("prints 3", 2)]
    assert [round(each.share, 3) for each in found] == [0.714, 0.286]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (tried("print(1)", "1\n"), tried("total = 2", total="2"), ["prints 1", "total is 2"]),
        (tried("total = 1", total="1"), tried("total = 2", total="2"), ["total is 1", "total is 2"]),
        (tried("x()", "", 9, UNDEFINED), tried("pass"), ["prints nothing", "fails: NameError: x"]),
        (
            tried("def f(n): return n", given=("2",)),
            tried("def f(n): return [n]", given=("[2]",)),
            ["f(2) gives 2", "f(2) gives [2]"],
        ),
        (tried("print(1)", "1\n2\n"), tried("print(2)", "12\n"), ["prints 1 ⏎ 2", "prints 12"]),
    ],
)
def test_a_reading_is_told_by_what_others_do_not_do(
    first: Candidate, second: Candidate, words: list[str]
) -> None:
    assert told(first, second) == words


def test_what_all_do_is_not_told() -> None:
    same = {"total": "1"}
    assert told(tried("a", "1\n", **same), tried("b", "2\n", **same)) == ["prints 1", "prints 2"]


@pytest.mark.parametrize(
    ("candidates", "count"),
    [
        ([tried("print(a)", "1\n", 3), tried("print(b)", "2\n", 2)], 2),
        ([tried("print(a)", "1\n", 5), tried("print(b)", "2\n", 2)], 0),  # one is clearly the likeliest
        ([tried("print(a)", "1\n", 3), tried("x()", "", 3, UNDEFINED)], 0),
        ([tried("total = 1", total="1"), tried("total = 2", total="2")], 0),  # made-up data
        ([tried("print(a)", "Total: 3\n"), tried("print(b)", "3.0\n")], 0),  # said in other words
        ([tried("x()", "", 3, UNDEFINED), tried("y()", "", 3, "turn 1, line 1: NameError: y")], 0),
    ],
)
def test_only_working_readings_of_comparable_weight_are_a_question(candidates, count: int) -> None:
    assert len(ask_about(interpret(candidates), ASK)) == count


def done(
    instruction: str, before: str, chunk: str, output: str = "", **variables: str | Variable
) -> Candidate:
    """A candidate for an instruction on top of a program, which left these variables."""
    found = tuple(
        each if isinstance(each, Variable) else Variable(name, "int", "", each)
        for name, each in variables.items()
    )
    outcome = Outcome(outputs=("", output), stdout=output, variables=found)
    base = Session().add(Turn("begin", before))
    turn = Turn(instruction, chunk, base.head, usage=Usage(completion_tokens=4, logprob=-0.4))
    return Candidate(base.add(turn).with_outcome(outcome))


SAMPLE = "Import the libraries and define x and y with sample data for a linear regression"
NUMPY = "import numpy as np\nx = np.array([1, 2, 3])\n"
OPENED = "with open('r.txt', 'w') as report:\n    report.write('a')"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            done(SAMPLE, "", NUMPY + "y = np.array([2, 3, 5])", y="2, 3, 5 (int64)"),
            done(SAMPLE, "", NUMPY + "y = np.array([2, 4, 5])", y="2, 4, 5 (int64)"),
        ),
        (
            done(SAMPLE, "", NUMPY + "y = 2 * x + 1", y="3, 5, 7"),
            done(SAMPLE, "", NUMPY + "y = np.random.rand(3)", y="0.1, 0.2, 0.3"),
        ),
        (
            done("make a table of people with ages", "", "ages = {'Ann': 31}\nprint(ages)", "{'Ann': 31}\n"),
            done("make a table of people with ages", "", "ages = {'Bob': 40}\nprint(ages)", "{'Bob': 40}\n"),
        ),
        (
            done("add a column of ages to df", "df = load()", "df['age'] = [30, 40]", df="a"),
            done("add a column of ages to df", "df = load()", "df['age'] = [50, 60]", df="b"),
        ),
        (
            done("print each row", "rows = load()", "for row in rows:\n    print(row)", "a\n", row="'a'"),
            done("print each row", "rows = load()", "for row in rows[:]:\n    print(row)", "a\n", row="'b'"),
        ),
        (
            done("write the report", "x = 1", OPENED, report="<_io.TextIOWrapper name='r.txt' mode='w'>"),
            done(
                "write the report", "x = 1", OPENED + "\n", report="<_io.TextIOWrapper name='s.txt' mode='w'>"
            ),
        ),
        (
            done(
                "print the result of a function with sample data",
                "x = 1",
                "def sample():\n    data = [3, 5]\n    return data\nprint(sample())",
                "[3, 5]\n",
            ),
            done(
                "print the result of a function with sample data",
                "x = 1",
                "import random\ndef sample():\n    return [random.random()]\nprint(sample())",
                "[0.25]\n",
            ),
        ),
        (
            done("show the model", "m = fit()", "print(m)", "<fit.Model object at 0x7f0000000010>\n"),
            done("show the model", "m = fit()", "print(str(m))", "<fit.Model object at 0x7f0000000020>\n"),
        ),
        (
            done(
                "predict y for new x",
                "m = fit()",
                "y = m.predict([[6], [7]])\nprint(y)",
                "[12, 14]\n",
                y="12",
            ),
            done(
                "predict y for new x",
                "m = fit()",
                "y = m.predict([[8], [9]])\nprint(y)",
                "[16, 18]\n",
                y="16",
            ),
        ),
        (
            done("plot y smoothly", "x = load()", "y = grid(x.min(), x.max(), 100)", y="a"),
            done("plot y smoothly", "x = load()", "y = grid(x.min(), x.max(), 50)", y="b"),
        ),
        (
            done(
                "draw a card from deck",
                "import random\ndeck = load()",
                "deck = random.sample(deck, 1)",
                deck="'a'",
            ),
            done(
                "draw a card from deck",
                "import random\ndeck = load()",
                "deck = random.choices(deck)",
                deck="'b'",
            ),
        ),
        (
            done(
                "print how many letters name has",
                "name = ask()",
                "print(f'It has {len(name)}.')",
                "It has 3.\n",
            ),
            done(
                "print how many letters name has",
                "name = ask()",
                "print(len(name), 'of them')",
                "3 of them\n",
            ),
        ),
        (
            done("greet the user", "x = 1", "print('Hello there')", "Hello there\n"),
            done("greet the user", "x = 1", "print('Welcome, friend')", "Welcome, friend\n"),
        ),
        (
            done(
                "sort the words",
                "words = load()",
                "words = sorted(words)",
                words=Variable("words", "list", "3", "[1]"),
            ),
            done(
                "sort the words",
                "words = load()",
                "words = tuple(sorted(words))",
                words=Variable("words", "tuple", "3", "(2)"),
            ),
        ),
    ],
)
def test_what_nobody_gave_is_no_question(first: Candidate, second: Candidate) -> None:
    assert ask_about(interpret([first, second]), ASK) == ()
    assert ask_about(interpret([second, first]), ASK) == ()


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            done("show the best student", "marks = load()", "print(max(marks))", "Ann\n"),
            done("show the best student", "marks = load()", "print(min(marks))", "Bob\n"),
            ["prints Ann", "prints Bob"],
        ),
        (
            done(
                "keep the total of sales",
                "sales = load()",
                "total = sum(sales)\nfor s in sales: pass",
                total="9",
            ),
            done("keep the total of sales", "sales = load()", "total = len(sales)", total="3"),
            ["total is 9", "total is 3"],
        ),
        (
            done("average by group", "df = load()", "print(df.groupby('month').mean())", "1\n"),
            done("average by group", "df = load()", "print(df.groupby('region').mean())", "2\n"),
            ["prints 1", "prints 2"],
        ),
        (
            done("say whether n is even", "n = load()", "if n % 2:\n    print('odd')", "odd\n"),
            done("say whether n is even", "n = load()", "if n % 2:\n    print('no')", "no\n"),
            ["prints odd", "prints no"],
        ),
        (
            done(
                "print what n doubled by a function is",
                "n = load()",
                "def f(k):\n    return 2 * k\nprint(f(n))",
                "6\n",
            ),
            done(
                "print what n doubled by a function is",
                "n = load()",
                "def f(k):\n    if k > 2:\n        return 'many'\n    return k\nprint(f(n))",
                "many\n",
            ),
            ["prints 6", "prints many"],
        ),
        (
            done("sum the numbers 3 and 4 as total", "x = 1", "total = 3 + 4", total="7"),
            done("sum the numbers 3 and 4 as total", "x = 1", "total = [3, 4]", total="34"),
            ["total is 7", "total is 34"],
        ),
    ],
)
def test_what_the_words_can_decide_is_a_question(
    first: Candidate, second: Candidate, words: list[str]
) -> None:
    assert [each.summary for each in ask_about(interpret([first, second]), ASK)] == words


def test_always_asks_about_whatever_differs() -> None:
    always = replace(ASK, comparable=0.0, always=True)
    assert (
        len(
            ask_about(
                interpret([tried("total = 1", "", 9, total="1"), tried("total = 2", total="2")]), always
            )
        )
        == 2
    )


def generator(model: KeyedModel, asking: Clarification | None, policy: Policy | None = None) -> TurnGenerator:
    chosen = policy or Policy(samples=3)
    return TurnGenerator(
        instruct,
        model.complete,
        run,
        CARD,
        "instruct",
        policy=chosen,
        candidates=model.candidates,
        dry_run=run_with_variables,
        asking=asking,
    )


def ambiguous() -> KeyedModel:
    return KeyedModel(
        {"print total": ["print(1)", "print(2)", "print(2)", "print(1)"], "go on": ["x = 1", "x = 1"]}
    )


def test_the_answer_is_taken_kept_with_the_turn_and_known_to_later_turns() -> None:
    model, asked = ambiguous(), []

    def ask(instruction, found):
        asked.append([each.summary for each in found])
        return next(place for place, each in enumerate(found) if each.summary == "prints 2")

    session = take(generator(model, Clarification(ask)), Session(), "print total: 1 or 2", GREEDY_64)
    assert asked == [["prints 1", "prints 2"]]
    assert (session.path[-1].chunk, session.path[-1].meant) == ("print(2)", "prints 2")
    prompt = generator(model, None).prompt(session, "go on")
    assert any("print total: 1 or 2\nThat is: prints 2" in each.content for each in prompt.messages)


def test_an_answer_that_is_the_first_try_keeps_its_code_and_the_meaning() -> None:
    session = take(
        generator(ambiguous(), Clarification(lambda instruction, found: 0)),
        Session(),
        "print total: 1 or 2",
        GREEDY_64,
    )
    assert (session.path[-1].chunk, session.path[-1].meant) == ("print(1)", "prints 1")
    assert session.outcome is not None
    assert session.outcome.ok


def test_a_question_left_open_chooses_as_without_it() -> None:
    asked = take(generator(ambiguous(), ASK), Session(), "print total: 1 or 2", GREEDY_64)
    silent = take(generator(ambiguous(), None), Session(), "print total: 1 or 2", GREEDY_64)
    assert chunks(asked) == chunks(silent)
    assert asked.path[-1].meant == ""


def test_other_words_make_the_turn_again() -> None:
    model = KeyedModel(
        {
            "print total": ["print(1)", "print(2)", "print(2)", "print(1)"],
            "as a nice list": ["print([1])", "print([1])"],
        }
    )
    session = take(
        generator(model, Clarification(lambda instruction, found: "as a nice list")),
        Session(),
        "print total: 1 or 2",
        GREEDY_64,
    )
    assert chunks(session) == ["print([1])"]
    assert session.path[-1].instruction == "print total: 1 or 2\nas a nice list"


def test_a_turn_made_again_in_other_words_is_settled_once() -> None:
    replies = {
        "print total": ["print(1)", "print(2)", "print(2)", "print(3)"],
        "as a nice list": ["print(a)", "print(b)", "print(b)", "print(c)"],
        "corrected so that it runs": ["print(d)", "print(e)"],
    }
    settled = []

    def on_event(event):
        if isinstance(event, AttemptsExhausted):
            settled.append(event)

    asking = Clarification(lambda instruction, found: "as a nice list")
    chosen = generator(KeyedModel(replies), asking, Policy(samples=3, repair_rounds=1))
    session = take(replace(chosen, on_event=on_event), Session(), "print total: 1 or 2", GREEDY_64)
    tried = {f"print({name})" for name in "abcde"}
    assert [each.failing for each in settled] == [tried - {session.path[-1].chunk}]
    assert settled[0].session == session


def test_nobody_is_asked_about_a_turn_that_is_not_in_doubt() -> None:
    def ask(instruction, found):
        raise AssertionError("asked without need")

    sure = Policy(samples=3, confidence_threshold=-5.0)
    session = take(
        generator(ambiguous(), Clarification(ask), sure), Session(), "print total: 1 or 2", GREEDY_64
    )
    assert chunks(session) == ["print(1)"]


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        (["2"], 1),
        ([""], None),
        ([None], None),
        (["9", "1"], 0),
        (["/undone", "2"], 1),
        (["what?", "2"], 1),
        (["²", "1"], 0),
        (["use the second one"], 1),
        (["try 2"], 1),
        (["make 2 live"], 1),
        (["show me the second"], 1),
        (["the first, please"], 0),
        (["the last one"], 1),
        (["2nd"], 1),
        (["take the third", "0", "number 0", "1"], 0),
    ],
)
def test_a_try_is_picked_by_its_number_and_nothing_else(
    tmp_path: Path, typed: list[str | None], place: int | None
) -> None:
    answers = list(typed)
    console = console_in(tmp_path)
    assert console.questions.ask_candidate(lambda label: answers.pop(0), TWO) == place
    assert (answers, console.questions.later) == ([], "")


@pytest.mark.parametrize(
    "text",
    [
        "/undo",
        "/edit 1 print both",
        "print the sum of all",
        "now sort it",
        "use the second word",
        "make it 2",
    ],
)
def test_what_is_typed_in_place_of_a_number_comes_next_and_the_live_try_stays(
    tmp_path: Path, text: str
) -> None:
    console = console_in(tmp_path)
    assert console.questions.ask_candidate(lambda label: text, TWO) is None
    assert console.questions.later == text
    assert f"next: {text}" in said(console)


@pytest.mark.parametrize(
    ("typed", "answer", "later"),
    [
        (["2"], 1, ""),
        ([""], 0, ""),
        ([None], None, ""),
        (["a list", ""], "a list", ""),
        (["the second, please", "this"], "the second, please", ""),
        (["/undo"], None, "/undo"),
        (["/undone", "1"], 0, ""),
        (["why is it 5?", "2"], 1, ""),
        (["print the sum", ""], "print the sum", ""),
        (["print the sum", "next"], None, "print the sum"),
        (["print the sum", "perhaps", "n"], None, "print the sum"),
        (["sort it downwards", "this"], "sort it downwards", ""),
        (["print the sum", None, "2"], 1, ""),
    ],
)
def test_an_answer_is_a_number_or_other_words_and_a_next_step_is_not_taken_for_one(
    tmp_path: Path, typed: list[str | None], answer: int | str | None, later: str
) -> None:
    answers = list(typed)
    console = console_in(tmp_path)
    assert console.questions.ask_meaning(lambda label: answers.pop(0), TWO) == answer
    assert (answers, console.questions.later) == ([], later)


def test_which_of_both_is_meant_tells_what_can_be_typed_and_a_command_leaves_it_open(tmp_path: Path) -> None:
    answers = ["print the sum", "perhaps", "/undo"]
    console = console_in(tmp_path)
    assert console.questions.ask_meaning(lambda label: answers.pop(0), TWO) is None
    assert said(console).count("type this or next;") == 1
    assert (console.questions.later, console.questions.unsent) == ("/undo", "print the sum")


class Varied(Spoken):
    """A model whose candidates differ."""

    def candidates(self, prompt, sampling, count):
        for number in range(count):
            for piece in self.complete(prompt, sampling):
                yield number, piece


def test_retry_with_a_number_shows_what_tries_do_and_takes_the_one_that_is_chosen(tmp_path: Path) -> None:
    console = console_in(tmp_path, Varied("print(x)", "x = 2", "print(x); print(x)", "x = 2"))
    console.questions.answer = lambda label: "3"
    dispatch(console, "say it")
    dispatch(console, "/retry 3")
    shown = said(console)
    assert "1  prints nothing  (2 candidates)" in shown
    assert "2  prints 1  (1 candidate, current)" in shown
    again = load(console.log.path)
    assert chunks(again) == ["print(x); print(x)"]
    assert {turn.chunk for turn in again.turns} == {"print(x)", "x = 2", "print(x); print(x)"}
    dispatch(console, "/undo")
    assert chunks(load(console.log.path)) == []


def test_several_tries_without_anybody_to_ask_keep_the_live_one(tmp_path: Path) -> None:
    console = console_in(tmp_path, Varied("print(x)", "x = 2", "x = 3"))
    dispatch(console, "say it")
    dispatch(console, "/retry 2")
    assert chunks(console.session) == ["print(x)"]
    assert "Keeping the current candidate. /pick K switches later." in said(console)


def test_the_setting_n_tries_each_turn_so_often(tmp_path: Path) -> None:
    console = console_in(tmp_path, Varied("print(x)", "x = 2", "x = 3"))
    console.questions.answer = lambda label: "1"
    dispatch(console, "/set n 3")
    dispatch(console, "say it")
    assert chunks(console.session) == ["x = 2"]


def test_ask_never_and_a_word_that_is_none_of_its(tmp_path: Path) -> None:
    console = console_in(tmp_path)
    console.questions.answer = lambda label: "1"
    assert console.generator().asking is not None
    dispatch(console, "/set ask never")
    assert console.generator().asking is None
    with pytest.raises(Exception, match="ask must be one of auto, always, never"):
        dispatch(console, "/set ask maybe")


class Interrupted:
    """Runs programs as `run` does, but for one run that the user stops."""

    def __init__(self, at: int) -> None:
        self.at, self.runs = at, 0

    def __call__(self, program):
        self.runs += 1
        if self.runs == self.at:
            return Outcome(reason=Reason.INTERRUPTED, finished=False)
        return run(program)


def test_a_stop_while_the_chosen_candidate_runs_ends_it_there() -> None:
    running = Interrupted(2)
    one = replace(generator(ambiguous(), Clarification(lambda instruction, found: 1)), run=running)
    one = replace(one, policy=Policy(samples=3, rewrites=1, repair_rounds=1))
    session = take(one, Session(), "print total: 1 or 2", GREEDY_64)
    assert running.runs == 2
    assert (session.path[-1].chunk, session.path[-1].meant) == ("print(2)", "prints 2")
    assert session.outcome is not None
    assert session.outcome.limit == "interrupted"


def test_a_stop_while_other_words_are_taken_keeps_the_turn_that_works_and_all_that_was_told() -> None:
    told = []

    def complete(prompt, sampling):
        if "as a nice list" in prompt.messages[-1].content:
            yield Piece("print([", Usage(10, 0, 2))
            raise KeyboardInterrupt
        yield from ambiguous().complete(prompt, sampling)

    one = generator(ambiguous(), Clarification(lambda instruction, found: "as a nice list"))
    one = replace(one, complete=complete, on_event=told.append, policy=Policy(samples=3, rewrites=1))
    session = take(one, Session(), "print total: 1 or 2", GREEDY_64)
    assert chunks(session) == ["print(1)"]
    saved = [event.session.turns for event in told if isinstance(event, TurnWritten)]
    assert all({turn.id for turn in turns} <= {turn.id for turn in session.turns} for turns in saved)


@pytest.mark.parametrize("answer", [0, 1, "as a nice list"])
def test_an_answer_keeps_the_checks_and_the_branch_of_the_turn(answer: int | str) -> None:
    first = Session().extend((Turn("begin", "x = 1"),)).name_branch("main")
    again = first.extend((Turn("print total: 1 or 2", "print(9)"),))
    marked = again.with_options(again.head, TurnOptions(("x == 1",)))
    model = KeyedModel(
        {
            "print total": ["print(1)", "print(2)", "print(2)", "print(1)"],
            "as a nice list": ["print([1])", "print([1])"],
        }
    )
    one = generator(model, Clarification(lambda instruction, found: answer))
    session = take(one, marked.undo(), "print total: 1 or 2", GREEDY_64, replaces=marked.head)
    assert session.options_of(session.head).checks == ("x == 1",)
    assert (session.branch, session.branches) == ("main", {"main": session.head})


def test_other_tries_for_a_turn_that_was_mended_are_made_from_the_plain_context() -> None:
    base = Session()
    failing = Turn("print total: 1 or 2", "raise ValueError")
    mended = Turn(
        "print total: 1 or 2", "print(1)", provenance=Repair(of=failing.id, error="turn 1: ValueError")
    )
    session = base.extend((failing,)).undo().extend((mended,)).with_outcome(Outcome())
    spread = sample_alternatives(generator(ambiguous(), None), session, GREEDY_64, 3)
    others = [turn for turn in spread.session.turns if turn.id not in session.by_id]
    assert others
    assert {(turn.replaces, turn.provenance.error, turn.status) for turn in others} == {("", "", "complete")}
    verified = generator(ambiguous(), None)
    for turn in others:
        assert list(verified.verify(replace(spread.session, head=turn.id))) == [None]
