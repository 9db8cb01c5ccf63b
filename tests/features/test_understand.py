"""What a text means: by its form, by a model's signals, as the user says, and read in another way later."""

from pathlib import Path

import pytest

from mtchat.conversation.conversation import Conversation
from mtchat.errors import UsageError
from mtchat.features.correction.rename import Rename
from mtchat.features.understand.commands import respond
from mtchat.features.understand.decide import by_first_signals, by_form, by_signals
from mtchat.features.understand.reading import WRITING, Kind, LastText, Reading, Understanding
from mtchat.features.understand.rename import find_rename
from mtchat.features.understand.view import describe_choices, describe_other
from mtchat.repl.app import dispatch
from mtchat.session.prompt import Signals
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import load
from mtchat.testing import FakeModel
from tests.support.consoles import Spoken, console_in, said
from tests.support.repl import say, session
from tests.support.scripts import RUN_NOWHERE, played
from tests.support.terminal import CTRL_T, ENTER, Terminal

PATH = (
    Turn("set the total", "total = 1"),
    Turn("think about it", ""),
    Turn("add the tax", "def add_tax(price):\n    return price + total"),
)


def signals(exchanges: tuple[float, ...] = (0.3, 0.7), **labels: float) -> Signals:
    return Signals(labels, exchanges)


# By form


@pytest.mark.parametrize(
    "text",
    ["rename total to balance", "Rename `total` into balance.", "rename the function add_tax as with_tax"],
)
def test_a_rename_of_a_name_that_the_program_has_is_certain(text: str) -> None:
    found = by_form(PATH, text)
    assert found is not None
    assert (found.best.kind, found.best.confidence, found.source) == (Kind.RENAME, 1.0, "form")


@pytest.mark.parametrize("text", ["turn 9: use a loop", "in step 9, use a loop"])
def test_a_turn_that_does_not_exist_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="there is no turn 9; the last one is turn"):
        by_form(PATH, text)


@pytest.mark.parametrize("text", ["in turn 3, use a loop", "In step 3 use a loop", "turn 3: use a loop"])
def test_a_text_that_begins_with_its_turn_is_a_change_of_it(text: str) -> None:
    found = by_form(PATH, text)
    assert found is not None
    assert (found.best.kind, found.best.turns) == (Kind.CHANGE, (3,))


@pytest.mark.parametrize(
    "text",
    [
        "in turn 3, what is price?",
        "in turn 2, think",
        "after turn 3, total is 1",
        "in turn 3",
        "Step 5: print the total",
        "step 2: use a loop",
    ],
)
def test_a_turn_without_code_or_in_another_place_decides_nothing(text: str) -> None:
    assert by_form(PATH, text) is None


@pytest.mark.parametrize(
    "text", ["rename sums to balance", "rename the column total to balance in the table", "total", ""]
)
def test_all_other_texts_are_for_the_model(text: str) -> None:
    assert by_form(PATH, text) is None
    assert by_form((), "rename total to balance") is None


# By signals


def test_the_likeliest_label_comes_first_and_a_change_has_its_likeliest_turn() -> None:
    found = by_signals(PATH, "make it 2", signals(step=0.4, change=0.6), [1, 3])
    assert [(each.kind, each.turn) for each in found.readings] == [
        (Kind.CHANGE, 3),
        (Kind.STEP, 0),
        (Kind.CHANGE, 1),
    ]
    assert found.best.turns == (3, 1)
    assert found.best.confidence == pytest.approx(0.42)
    assert found.turns == (3, 1)
    assert (found.source, found.ask_below) == ("probe", 0.55)


def test_a_turn_that_is_named_is_the_one_and_one_without_code_is_none() -> None:
    assert by_signals(PATH, "in turn 1, use 2", signals(change=1.0), [1, 3]).best.turns == (1,)
    assert by_signals(PATH, "in turn 9, use 2", signals(change=1.0), [1, 3]).best.turns == (3, 1)
    assert by_signals(PATH, "use 2", signals((0.1, 0.8, 0.1), change=1.0), [1, 2, 3]).best.turn in (1, 3)


def test_exchanges_that_are_no_turns_come_first_and_are_left_out() -> None:
    found = by_signals(PATH, "use 2", signals((0.9, 0.08, 0.02), change=1.0), [1, 3])  # 0.9: an example
    assert found.best.turns == (1, 3)
    assert found.best.confidence == pytest.approx(0.8)


def test_a_label_without_a_turn_that_it_could_be_about_gives_way() -> None:
    found = by_signals(PATH[1:2], "use 2", signals((), change=0.9, step=0.1), [])
    assert found.best.kind is Kind.STEP
    assert found.turns == ()


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ({"step": 0.6, "talk": 0.4}, Kind.STEP),
        ({"step": 0.1, "talk": 0.3, "question": 0.6}, Kind.QUESTION),
        ({"step": 0.1, "talk": 0.8, "question": 0.1}, Kind.TALK),
        ({"step": 0.1, "change": 0.3, "check": 0.2, "question": 0.4}, Kind.STEP),
    ],
)
def test_the_first_text_of_a_session_can_only_be_a_step_if_it_would_change_something(
    labels: dict[str, float], kind: Kind
) -> None:
    assert by_first_signals("hello", Signals(labels, ())).best.kind is kind


# Readings


def understanding(*readings: Reading) -> Understanding:
    return Understanding("make it 2", readings, "probe", 0.55)


CLOSE = understanding(
    Reading(Kind.CHANGE, 0.5, (1, 3)),
    Reading(Kind.STEP, 0.36),
    Reading(Kind.QUESTION, 0.12),
    Reading(Kind.TALK, 0.02),
)


def test_readings_are_close_if_none_is_likely_and_another_is_worth_a_question() -> None:
    assert CLOSE.is_close
    assert [each.kind for each in CLOSE.offered] == [Kind.CHANGE, Kind.STEP, Kind.QUESTION]
    assert not understanding(Reading(Kind.STEP, 0.6), Reading(Kind.CHANGE, 0.4, (1,))).is_close
    assert not understanding(Reading(Kind.STEP, 0.5), Reading(Kind.CHANGE, 0.03, (1,))).is_close
    assert describe_choices(CLOSE, PATH) == (
        "[1] change turn 1: set the total  [2] a new step  [3] a question"
    )


def test_among_some_kinds_probabilities_add_up_to_one_again() -> None:
    found = CLOSE.among(WRITING)
    assert [each.kind for each in found.readings] == [Kind.CHANGE, Kind.STEP]
    assert sum(each.confidence for each in found.readings) == pytest.approx(1.0)
    assert CLOSE.among([Kind.RENAME]).best == Reading(Kind.STEP)


def test_only_a_step_that_was_nearly_a_change_says_how_to_make_it_one() -> None:
    step = Reading(Kind.STEP, 0.6)
    near, far = Reading(Kind.CHANGE, 0.3, (3,)), Reading(Kind.CHANGE, 0.1, (3,))
    found = understanding(step, near)
    assert describe_other(found, step, PATH) == "a new step (Ctrl-T changes turn 3: add the tax)"
    assert (
        describe_other(found, step, PATH, has_keys=False)
        == "a new step (/as change 3 changes turn 3: add the tax)"
    )
    assert describe_other(understanding(step, far), step, PATH) == ""
    assert describe_other(understanding(near, step), near, PATH) == ""


# Names of a rename


@pytest.mark.parametrize(
    ("text", "rename"),
    [
        ("rename total to balance", Rename("total", "balance")),
        ("rename the variable total to balance", Rename("total", "balance", "variable")),
        ("please call `total` `balance` from now on", Rename("total", "balance")),
        ("total should be called net_total", Rename("total", "net_total")),
        ("nenne total bitte in net_total um", Rename("total", "net_total")),
        ("renomme add_tax en « with_tax »", Rename("add_tax", "with_tax")),
        ("cambia el nombre de add_tax a conImpuesto", Rename("add_tax", "conImpuesto")),
        ("把 total 改成 net_total", Rename("total", "net_total")),
        ("call it balance", None),
        ("use net_total instead of gross_total", None),
        ("rename total and price to net_total and net_price", None),
    ],
)
def test_both_names_of_a_rename_are_found_in_any_language(text: str, rename: Rename | None) -> None:
    assert find_rename(PATH, text) == rename


# At the console

READINGS = {"make it 2": "change 1", "hello": "talk", "total is small": "check", "why is it 1?": "question"}


def test_a_step_becomes_a_change_and_back_without_asking_the_model_again(tmp_path: Path) -> None:
    model = Spoken("x = 1", "y = 1", "x = 2")
    console = console_in(tmp_path, model)
    for text in ("set x", "set y", "/as change 1"):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == ["x = 2"]
    asked = len(model.asked)
    for command, codes in [("/as", ["x = 1", "y = 1"]), ("/as", ["x = 2"]), ("/as step", ["x = 1", "y = 1"])]:
        dispatch(console, command)
        assert [turn.chunk for turn in console.session.path] == codes
    assert len(model.asked) == asked
    assert load(console.log.path) == console.session


def test_a_change_becomes_a_step_and_other_readings_take_back_what_was_written(tmp_path: Path) -> None:
    model = Spoken("x = 1", "x = 2", "x = 3", "It is one.", readings=READINGS)
    console = console_in(tmp_path, model)
    for text in ("set x", "make it 2", "/as step"):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == ["x = 1", "x = 3"]
    dispatch(console, "/as question")
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]
    assert "≈ It is one." in said(console)


@pytest.mark.parametrize(
    ("command", "error"),
    [("/as", "no instruction yet"), ("/as talk", "no instruction yet"), ("/as joke", "not a reading")],
)
def test_as_needs_a_text_and_a_reading(tmp_path: Path, command: str, error: str) -> None:
    console = console_in(tmp_path)
    with pytest.raises(UsageError, match=error):
        dispatch(console, command)


def test_after_another_turn_the_text_before_it_is_left_alone(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "y = 1"))
    for text in ("set x", "set y", "/add z = 3"):
        dispatch(console, text)
    with pytest.raises(UsageError, match="no instruction yet"):
        dispatch(console, "/as change")
    assert len(console.session.path) == 3


def test_a_check_that_becomes_a_step_is_no_check_any_more(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("total = 1", "print(total)", readings={"total < 5": "check"}))
    for text in ("set total", "/check total == 1"):
        dispatch(console, text)
    respond(console, "total < 5")
    assert [each.code for each in console.session.checks] == ["total == 1", "total < 5"]
    assert said(console).count("keeping this as a check (Ctrl-T makes it a new step)\n") == 1
    dispatch(console, "/as")
    assert [each.code for each in console.session.checks] == ["total == 1"]
    assert [turn.instruction for turn in console.session.path] == ["set total", "total < 5"]


@pytest.mark.parametrize("text", ["make it 2", "/correct 1 make it 2", "/next make it 2"])
def test_a_session_that_is_opened_again_knows_what_its_last_step_was(tmp_path: Path, text: str) -> None:
    model = Spoken("x = 1", "x = 2", "x = 3", readings=READINGS)
    console = console_in(tmp_path, model)
    for line in ("set x", text):
        dispatch(console, line)
    first = console.session
    console.chat.last_text = LastText()
    dispatch(console, "/as")
    assert console.session.head != first.head
    assert len(console.session.path) == 3 - len(first.path)
    asked = len(model.asked)
    dispatch(console, "/as")
    assert console.session.path == first.path
    assert len(model.asked) == asked


@pytest.mark.parametrize("command", ["/as", "/as change", "/as change 1"])
def test_a_first_step_cannot_be_a_change_and_stays(tmp_path: Path, command: str) -> None:
    console = console_in(tmp_path, Spoken("x = 1"))
    dispatch(console, "set x")
    with pytest.raises(UsageError, match="no earlier turn that could be changed"):
        dispatch(console, command)
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]


def test_after_an_undo_the_key_reads_what_was_undone_in_the_other_way(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", "x = 2", "x = 3", readings=READINGS))
    for line in ("set x", "make it 2", "/undo", "/as"):
        dispatch(console, line)
    assert [turn.chunk for turn in console.session.path] == ["x = 1", "x = 3"]
    assert "a new step (Ctrl-T changes turn 1: set x)" in said(console)


def test_talk_changes_nothing(tmp_path: Path) -> None:
    console = console_in(tmp_path, Spoken("x = 1", readings=READINGS))
    for text in ("set x", "hello"):
        dispatch(console, text)
    assert len(console.session.turns) == 1
    assert "just talk, nothing changes; /undo takes a step back (Ctrl-T makes it a new step)\n" in said(
        console
    )


class Unsure(Spoken):
    """A model that takes the second text for a change of the first turn, but might as well be wrong."""

    def classify(self, prompt):
        pairs = (len(prompt.messages) - 2) // 2
        if not pairs:
            return Signals({"step": 1.0}, ())
        return Signals({"change": 0.5, "step": 0.4, "question": 0.1}, (1.0,) * pairs)


def unsure(folder: Path, *answers: str | None):
    """A console where a text was typed that is nearly a change, and what the user answered then."""
    console = console_in(folder, Unsure("x = 1", "x = 2"))
    dispatch(console, "set x")
    left = list(answers)

    def answer(label: str) -> str | None:
        console.view.say(label)
        return left.pop(0)

    console.questions.answer = answer
    dispatch(console, "make it 2")
    assert not left
    return console


@pytest.mark.parametrize(
    ("answers", "codes"),
    [([""], ["x = 2"]), (["1"], ["x = 2"]), (["9", "2"], ["x = 1", "x = 2"]), (["the first one"], ["x = 2"])],
)
def test_where_it_is_unclear_the_user_chooses_and_enter_takes_the_likelier(
    tmp_path: Path, answers: list[str], codes: list[str]
) -> None:
    console = unsure(tmp_path, *answers)
    assert "[1] change turn 1: set x  [2] a new step  [3] a question" in said(console)
    assert [turn.chunk for turn in console.session.path] == codes


def test_ctrl_c_at_the_question_loses_nothing_and_other_words_are_done_next(tmp_path: Path) -> None:
    console = unsure(tmp_path, None)
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]
    assert console.questions.unsent == "make it 2"
    (tmp_path / "again").mkdir()
    console = unsure(tmp_path / "again", "set y instead")
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]
    assert console.questions.later == "set y instead"


def test_who_does_not_want_to_be_asked_gets_the_likelier(tmp_path: Path) -> None:
    console = console_in(tmp_path, Unsure("x = 1", "x = 2"))
    console.questions.answer = lambda label: pytest.fail("asked")
    for text in ("/set ask never", "set x", "make it 2"):
        dispatch(console, text)
    assert [turn.chunk for turn in console.session.path] == ["x = 2"]


def test_a_script_takes_the_reading_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replies = {"set": "x = 6", "with this change and no other.": "x = 7"}
    readings = {"make it 7": "change 1"}
    _, told = played(tmp_path, ["set", "make it 7"], box=RUN_NOWHERE, replies=replies, readings=readings)
    assert capsys.readouterr().out == "x = 7\n"
    assert "changing turn 1: set (/as step makes it a new step)\n" in told


# In a conversation


def test_understanding_changes_nothing_and_is_the_same_twice() -> None:
    model = FakeModel({"set x": "x = 1"}, readings=READINGS)
    with Conversation(model) as chat:
        chat.take("set x")
        before = chat.session
        found = chat.understand("make it 2")
        assert (found.best.kind, found.best.turn) == (Kind.CHANGE, 1)
        assert chat.understand("make it 2") == found
        assert chat.understand("why is it 1?").best.kind is Kind.QUESTION
        assert chat.session is before
        assert len(model.requests) == 1


def test_what_is_too_long_to_be_a_change_is_a_step() -> None:
    model = FakeModel({"set x": "x = 1"}, readings={"make it 2": "change 1"})
    with Conversation(model) as chat:
        chat.take("set x")
        found = chat.understand("please " * 400 + "make it 2")
    assert (found.best.kind, found.source) == (Kind.STEP, "nothing")
    assert found.turns == (1,)  # for a change that is asked for


def test_a_reading_that_writes_nothing_is_refused_where_code_is_wanted() -> None:
    with (
        Conversation(FakeModel({"set x": "x = 1"})) as chat,
        pytest.raises(UsageError, match="writes no code"),
    ):
        chat.follow("hello", Reading(Kind.TALK))


def test_the_last_text_knows_what_each_reading_led_to() -> None:
    session = Session().add(Turn("set x", "x = 1"))
    last = LastText("make it 2", "base").with_result(Reading(Kind.CHANGE, 1.0, (2, 1)), session.head)
    assert last.result(Kind.CHANGE, 0) == last.result(Kind.CHANGE, 2) == session.head
    assert last.result(Kind.CHANGE, 1) == last.result(Kind.STEP, 0) == ""
    assert last.knows(session)
    assert last.after("make it 2", "base") is last
    assert last.after("make it 3", "base").results == ()
    assert last.with_result(Reading(Kind.STEP), "base").result(Kind.STEP, 0) == ""  # it led nowhere


# On a terminal


def test_one_key_makes_a_step_of_a_change_and_a_change_of_the_step(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "define x", "2› ")
    say(screen, "make x two instead", "changing turn 1: define x (Ctrl-T makes it a new step)")
    screen.wait(lambda text: text.count("\n2›") >= 2)
    screen.send(CTRL_T)
    screen.wait("3› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["define x", "make x two instead"]
    screen.send(CTRL_T)
    screen.wait("back to the change of turn 1: define x (Ctrl-T makes it a new step)")
    assert [turn.instruction for turn in session(tmp_path).path] == ["define x\nmake x two instead"]
    say(screen, "/quit", "saved in")


def test_the_key_in_a_line_with_text_swaps_letters_as_elsewhere(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    screen.send("defien" + CTRL_T + " x" + ENTER)
    screen.wait("2› ")
    assert [turn.instruction for turn in session(tmp_path).path] == ["define x"]
