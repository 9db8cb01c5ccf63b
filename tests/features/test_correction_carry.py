"""What a correction of one turn means for the others: they change where they must, or stay as they are."""

import random

import pytest

from mtchat.features.correction.apply import change_turns
from mtchat.features.correction.view import describe_effect
from mtchat.generate.events import CorrectionCompared, CorrectionStarted, Event, LaterTurnChanged
from mtchat.session.navigation import last_correction, redo_steps, undo_steps
from mtchat.session.session import Session
from mtchat.session.turn import COMPLETE, EDITED, INTERRUPTED, KEPT, Turn
from mtchat.store.events import History, apply_event, as_read_back, list_changes
from tests.support.generate import CTRL_C, GREEDY, chunks, run_with_variables, scripted_generator, statuses

LISTS = (
    ("list the squares of 0 to 99", "squares = [i * i for i in range(100)]"),
    ("print the last", "print( squares[-1] )  # the last"),
    ("list the cubes of 0 to 99", "cubes = [i ** 3 for i in range(100)]"),
)
TENFOLD = "squares = [i * i for i in range(1000)]"
MEAN = (("take numbers", "numbers = [3, 9, 1]"), ("compute the mean", "mean = sum(numbers) / len(numbers)"))
MEDIAN = "median = sorted(numbers)[len(numbers) // 2]"
ROWS = (
    ("write rows", "text = '\\n'.join(f'{name},{age}' for name, age in [('Ann', 31)])"),
    ("read the ages", "ages = [int(line.split(',')[1]) for line in text.split('\\n')]"),
)
SEMICOLON = "text = '\\n'.join(f'{name};{age}' for name, age in [('Ann', 31)])"


def talk(*turns: tuple[str, str]) -> Session:
    session = Session().extend(tuple(Turn(instruction, chunk) for instruction, chunk in turns))
    return scripted_generator().execute(session)


def changed(
    session: Session, numbers: tuple[int, ...], wish: str, *replies: str
) -> tuple[Session, list[Event]]:
    """The session after a change, whose turns by the model are verified, and the events."""
    events: list[Event] = []
    generator = scripted_generator(*replies, on_event=events.append, dry_run=run_with_variables)
    made = change_turns(generator, session, numbers, wish, GREEDY)
    written = {turn.id for turn in made.path if turn.provenance.model}
    assert not any(generator.verify(made, written))
    assert undone_and_restored(session, made)
    return made, events


def undone_and_restored(before: Session, made: Session) -> bool:
    """Whether one step takes all of the change back, and another restores it, also from its file."""
    history = History(before)
    for event in list_changes(before, made):
        history = apply_event(history, as_read_back(event))
    if made.head == before.head:
        return history.session == made
    back, _ = undo_steps(history.session)
    return back.head == before.head and redo_steps(back)[0].head == made.head


def found(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def effect(events: list[Event]) -> list[str]:
    (event,) = found(events, CorrectionCompared)
    return list(describe_effect(event))


def test_the_same_literal_in_the_same_role_changes_in_every_turn() -> None:
    made, events = changed(talk(*LISTS), (1,), "make the range ten times bigger", TENFOLD)
    assert chunks(made) == [TENFOLD, LISTS[1][1], "cubes = [i ** 3 for i in range(1000)]"]
    assert statuses(made) == [COMPLETE, KEPT, KEPT]
    (event,) = found(events, LaterTurnChanged)
    assert (event.number, event.reason, event.by_rule) == (3, "`100` became `1000`", True)
    assert effect(events) == ["turn 2: 9801 → 998001", "1 other turn kept unchanged"]


def test_an_earlier_turn_with_the_same_literal_changes_as_well() -> None:
    made, events = changed(
        talk(*LISTS), (3,), "make the range ten times bigger", "cubes = [i ** 3 for i in range(1000)]"
    )
    assert chunks(made) == [TENFOLD, LISTS[1][1], "cubes = [i ** 3 for i in range(1000)]"]
    assert last_correction(made) == made.path[2]
    assert [event.number for event in found(events, LaterTurnChanged)] == [1]


def test_a_small_number_of_a_turn_that_has_nothing_to_do_with_it_stays() -> None:
    session = talk(("list", "a = list(range(5))"), ("other", "b = list(range(5))"), ("print", "print(a)"))
    made, _ = changed(session, (1,), "make it 7", "a = list(range(7))")
    assert chunks(made)[1:] == chunks(session)[1:]


def test_a_name_that_gave_way_to_another_one_changes_where_it_is_used() -> None:
    session = talk(*MEAN, ("print it", "print(mean)"), ("print the count", "print(len(numbers))"))
    made, events = changed(session, (2,), "use the middle one", MEDIAN)
    assert chunks(made) == [MEAN[0][1], MEDIAN, "print(median)", "print(len(numbers))"]
    assert [event.reason for event in found(events, LaterTurnChanged)] == ["`mean` became `median`"]
    assert effect(events)[0] == "turn 3: 4.333333333333333 → 3"


def test_a_literal_in_another_role_changes_where_the_turn_fails_without() -> None:
    made, events = changed(talk(*ROWS), (1,), "the separator should be a semicolon", SEMICOLON)
    assert chunks(made) == [SEMICOLON, ROWS[1][1].replace("','", "';'")]
    assert [event.by_rule for event in found(events, LaterTurnChanged)] == [True]
    assert made.outcome is not None
    assert made.outcome.ok


MONEY = (("set the unit", "unit = 'EUR'\nprint(unit)"), ("say it", "label = ['price', 'EUR']\nprint(label)"))


def test_a_text_in_another_role_is_left_to_the_model() -> None:
    reply = "label = ['price', 'GBP']\nprint(label)"
    made, events = changed(talk(*MONEY), (1,), "use GBP", "unit = 'GBP'\nprint(unit)", reply)
    assert chunks(made)[1] == reply
    assert made.path[1].instruction == "say it\nuse GBP (turn 1 has changed: `EUR` became `GBP`)"
    assert [event.by_rule for event in found(events, LaterTurnChanged)] == [False]


@pytest.mark.parametrize("reply", ["label = ['cost', 'EUR']\nprint(label)", "print('GBP')", "label = 1 +"])
def test_a_reply_that_changes_anything_else_is_not_taken(reply: str) -> None:
    session = talk(*MONEY)
    again = MONEY[1][1]
    made, _ = changed(session, (1,), "use GBP", "unit = 'GBP'\nprint(unit)", reply, again)
    assert chunks(made)[1] == again


def test_a_turn_that_fails_without_what_is_gone_is_written_again() -> None:
    session = talk(("take numbers", "numbers = [3, 9, 1]"), ("print it", "print(numbers[0])"))
    made, events = changed(
        session, (1,), "use a set of texts", "names = {'a'}\nkinds = 1", "print(numbers)", "print(names)"
    )
    assert chunks(made) == ["names = {'a'}\nkinds = 1", "print(names)"]
    assert made.path[1].rederives == session.path[1].id
    assert made.path[1].instruction == "print it"
    assert [event.reason for event in found(events, LaterTurnChanged)] == ["`numbers` no longer exists"]


def test_a_turn_after_one_that_was_written_again_is_undone_alone() -> None:
    session = talk(("take numbers", "numbers = [3, 9, 1]"), ("print it", "print(numbers[0])"))
    made, _ = changed(
        session, (1,), "use a set of texts", "names = {'a'}\nkinds = 1", "print(numbers)", "print(names)"
    )
    grown = made.add(Turn("say so", "print('so')", made.head))
    assert undo_steps(grown)[0].head == made.head
    assert undo_steps(grown, 2)[0].head == session.head


def test_a_label_follows_what_is_printed_and_nothing_else_does() -> None:
    session = talk(
        ("convert celsius to fahrenheit", "def convert(c):\n    return c * 9 / 5 + 32"),
        ("print it", "print(f'{convert(0)} F')"),
        ("print the end", "print('done')"),
    )
    kelvin = "def convert(c):\n    return c + 273.15"
    made, events = changed(session, (1,), "convert to kelvin", kelvin, "print(f'{convert(0)} K')")
    assert chunks(made) == [kelvin, "print(f'{convert(0)} K')", "print('done')"]
    assert effect(events)[0] == "turn 2: 32.0 F → 273.15 K"
    other, _ = changed(session, (1,), "convert to kelvin", kelvin, "print(f'about {convert(0)} K')")
    assert chunks(other)[1:] == chunks(session)[1:]


def test_a_reply_that_repeats_the_code_leaves_the_turn_and_the_next_likelier_one_is_tried() -> None:
    session = talk(*MEAN, ("print it", "print(mean)"))
    same = MEAN[1][1]
    made, events = changed(session, (2, 3), "round it", same, same, "print(round(mean))")
    assert chunks(made) == [*chunks(session)[:2], "print(round(mean))"]
    assert made.path[:2] == session.path[:2]
    assert [event.number for event in found(events, CorrectionStarted)] == [2, 3]


def test_where_every_reply_repeats_the_code_nothing_changes() -> None:
    session = talk(*MEAN)
    made, events = changed(session, (2, 1), "round it", *[MEAN[1][1]] * 2, *[MEAN[0][1]] * 2)
    assert made.path == session.path
    assert not found(events, CorrectionCompared)


def test_a_change_without_effect_is_said_to_have_none() -> None:
    session = talk(*MEAN, ("print it", "print(mean)"))
    made, events = changed(session, (3,), "make it quadratic", "print( mean )\npass")
    assert chunks(made)[2] == "print( mean )\npass"
    assert effect(events) == [
        "no effect: the code of turn 3 changed, but the program prints what it printed before, and its "
        "variables have the values that they had",
        "/correct N TEXT changes another turn, /undo reverts this change",
    ]


def test_values_that_differ_are_shown_where_no_output_does() -> None:
    _, events = changed(talk(*MEAN), (2,), "double it", "mean = 2 * sum(numbers) / len(numbers)\nkind = 1")
    assert effect(events) == ["`kind`: nothing → 1"]


def test_without_a_quiet_run_the_code_alone_decides() -> None:
    events: list[Event] = []
    generator = scripted_generator(TENFOLD, on_event=events.append)
    made = change_turns(generator, talk(*LISTS), (1,), "make the range ten times bigger", GREEDY)
    assert chunks(made)[2] == "cubes = [i ** 3 for i in range(1000)]"
    assert effect(events)[0] == "turn 2: 9801 → 998001"


def test_an_interrupt_while_another_turn_is_written_leaves_the_program_as_it_is() -> None:
    session = talk(*MONEY)
    made, _ = changed(session, (1,), "use GBP", "unit = 'GBP'\nprint(unit)", f"label{CTRL_C}")
    assert made.path == session.path
    assert any(turn.status == INTERRUPTED for turn in made.turns)


@pytest.mark.parametrize("seed", range(12))
def test_later_turns_that_do_not_depend_on_a_change_stay_byte_equal(seed: int) -> None:
    draw = random.Random(seed)
    others = [
        "total = 12\nprint( total )",
        "words = ['b',  'a'] # two\nwords.sort()",
        "def double(x):\n\treturn 2 * x",
        "print(f'{12!r:>4} 30')",
        "s = {'n': 30}",
        "if True:\n  print('n')",
    ]
    later = [(f"step {at}", draw.choice(others)) for at in range(draw.randint(1, 6))]
    session = talk(("set n", "n = 30"), *later)
    made, _ = changed(session, (1,), "make it 40", "n = 40")
    assert chunks(made) == ["n = 40", *chunks(session)[1:]]


def test_code_of_the_user_goes_along_and_is_undone_with_the_change_alone() -> None:
    first, second, third = (Turn(*each, status=EDITED) for each in LISTS)
    session = scripted_generator().execute(Session().extend((first, second, third)))
    made, _ = changed(session, (1,), "make the range ten times bigger", TENFOLD)
    assert statuses(made) == [COMPLETE, EDITED, EDITED]
    grown = made.add(Turn("my own", "x = 1", made.head, EDITED))
    assert undo_steps(grown)[0].head == made.head
    assert undo_steps(grown, 2)[0].head == session.head


@pytest.mark.parametrize(
    ("wish", "other"),
    [
        ("the door should say Goodbye", "print('Hello Ann')"),
        ("say Goodbye in place of Hello", "print('Goodbye Ann')"),
    ],
)
def test_a_word_in_a_text_that_has_nothing_to_do_with_it_changes_only_if_the_wish_names_it(
    wish: str, other: str
) -> None:
    session = talk(("set it", "door = 'Hello there'"), ("greet", "print('Hello Ann')"))
    made, _ = changed(session, (1,), wish, "door = 'Goodbye there'")
    assert chunks(made)[1] == other


def test_a_number_of_another_turn_changes_only_if_something_says_that_it_is_the_same() -> None:
    session = talk(("list some", "a = list(range(100))"), ("list others", "b = list(range(100))"))
    made, _ = changed(session, (1,), "make it 200", "a = list(range(200))")
    assert chunks(made)[1] == chunks(session)[1]
    asked = talk(("0 to 99", "a = list(range(100))"), ("from 99 down", "b = list(range(100))"))
    made, _ = changed(asked, (1,), "zehnmal so groß", "a = list(range(1000))")
    assert chunks(made)[1] == "b = list(range(1000))"


FIND = "def find(name):\n    return {'ann': 30}.get(name, -1)"
FOUND = FIND.replace(", -1", "")


@pytest.mark.parametrize(
    ("reply", "taken"),
    [
        ("age = find('bob')\nprint('no' if age is None else age)", True),
        ("age = find('bob')\nprint(-1)", False),
    ],
)
def test_a_value_that_the_changed_turn_gives_no_more_is_looked_for_in_its_users(
    reply: str, taken: bool
) -> None:
    use = "age = find('bob')\nprint('no' if age == -1 else age)"
    session = talk(("find an age", FIND), ("print bob's", use), ("print ann's", "print(find('ann'))"))
    made, _ = changed(session, (1,), "give None for the unknown", FOUND, reply, use)
    assert chunks(made) == [FOUND, reply if taken else use, "print(find('ann'))"]


def test_a_label_in_another_form_of_the_word_follows_too() -> None:
    square = "def power(x):\n    return x ** 2"
    session = talk(("write a power that squares", square), ("print it", "print('squared:', power(3))"))
    cube, reply = square.replace("2", "3"), "print('cubed:', power(3))"
    made, _ = changed(session, (1,), "power should cube", cube, reply)
    assert chunks(made) == [cube, reply]


def test_a_number_that_gave_way_to_another_one_stays_in_another_role() -> None:
    session = talk(
        ("list", "rolls = [i % 6 for i in range(30)]"), ("count the fives", "print(rolls.count(6))")
    )
    made, _ = changed(session, (1,), "up to 20", "rolls = [i % 20 for i in range(30)]")
    assert chunks(made)[1] == chunks(session)[1]
