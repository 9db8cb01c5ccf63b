"""When a turn changes: which later turns still mean the same, and what becomes of those that do not."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mtchat.features.own_code.user_code import with_user_code
from mtchat.features.regenerate.regenerate import (
    Regeneration,
    RegenerationStep,
    always,
    never,
    regenerate,
    when_stale,
)
from mtchat.generate.events import Event, TurnWritten
from mtchat.generate.improve import take
from mtchat.session.outcome import Outcome, Reason, Variable
from mtchat.session.program import CheckResult, Program
from mtchat.session.provenance import Rewrite
from mtchat.session.session import Session
from mtchat.session.turn import COMPLETE, EDITED, INTERRUPTED, KEPT, Turn, TurnOptions
from tests.support.generate import CTRL_C, GREEDY, ScriptedModel, chunks, run, scripted_generator, statuses

HIDDEN = ("__builtins__",)


def look(program: Program) -> Outcome:
    """What a program does, with its variables: it is run right here."""
    names: dict[str, object] = {}
    outcome = run(program)
    try:
        for chunk in program.chunks:
            exec(compile(chunk.code.replace("print(", "str("), "chunk", "exec"), names)
    except Exception:
        pass
    return replace(outcome, variables=tuple(described(names)))


def described(names: dict[str, object]) -> Iterator[Variable]:
    for name, value in names.items():
        if name in HIDDEN:
            continue
        code = getattr(value, "__code__", None)
        said = f"{name}({', '.join(code.co_varnames[: code.co_argcount])})" if code else repr(value)
        shape = str(len(value)) if isinstance(value, str | list) else ""
        yield Variable(name, type(value).__name__, shape, said)


def held(*turns: tuple[str, str]) -> Session:
    """A session with these instructions and chunks."""
    return Session().extend(tuple(Turn(instruction, chunk) for instruction, chunk in turns))


def changed(session: Session, number: int, instruction: str, chunk: str) -> Session:
    """The session up to a turn that has another instruction and other code."""
    turn = replace(session.turn_at(number), instruction=instruction, chunk=chunk)
    return session.undo(len(session.path) - number + 1).add(turn)


def derived(session: Session, made: Session, *replies: str, **how: object) -> Regeneration:
    generator = scripted_generator(*replies)
    return regenerate(
        session, made, lambda on, turn: take(generator, on, turn.full_instruction, GREEDY), look, **how
    )


NUMBERS = ('Set "n" to 12.', "n = 12")
THIRTY = ("Set n to 30", "n = 30")
RENAMED = ("Set k to 30", "k = 30")


@pytest.mark.parametrize(
    ("first", "then", "later", "reason"),
    [
        (NUMBERS, THIRTY, ("Double it", "m = n * 2"), ""),
        (NUMBERS, THIRTY, ("Add 12", "m = n + 12"), "its instruction mentions 12 from the old turn 1"),
        (NUMBERS, THIRTY, ("Double it", "m = 12 * 2"), "it contains 12 from the old turn 1"),
        (NUMBERS, THIRTY, ("Double it", "n = 12\nm = n * 2"), "it repeats code from the old turn 1"),
        (NUMBERS, RENAMED, ("Double it", "m = n * 2"), "`n` no longer exists"),
        (NUMBERS, RENAMED, ("Define twice", "def f():\n    return n"), "`n` no longer exists"),
        (
            NUMBERS,
            ("Set n to two", "n = 'two'"),
            ("Double it", "m = n * 2"),
            "`n` is now a str, not a number",
        ),
        (NUMBERS, ("Set n to 0.5", "n = 0.5"), ("Double it", "m = n * 2"), ""),
        (
            NUMBERS,
            ("Set n to 0", "n = 0"),
            ("Invert it", "m = 1 / n"),
            "it fails: ZeroDivisionError: division by zero",
        ),
        (NUMBERS, THIRTY, ("Show the n", "print('dozen')"), "it does not use `n`"),
        (NUMBERS, THIRTY, ("Say hello", "print('hello')"), ""),
        (NUMBERS, THIRTY, ("Take one more", "m = n + 1"), ""),
        (NUMBERS, THIRTY, ("Go on", "m = ("), "it is incomplete"),
        (
            NUMBERS,
            THIRTY,
            ("Double it as m", "m = 24"),
            "it contains 24, which its instruction does not mention",
        ),
        (NUMBERS, THIRTY, ("Define the first primes", "p = [2, 3, 5]"), ""),
        (
            ("Set n to 1", "n = 1"),
            ("Set n to 2", "n = 2"),
            ("Take the next", "n = 1\nm = n + 1"),
            "it repeats code from the old turn 1",
        ),
        (
            ("A list", "xs = [3, 1]"),
            ("A list", "xs = [5, 4]"),
            ("Sort it", "print([1, 3])"),
            "it contains [1, 3], which its instruction does not mention",
        ),
        (
            ("A list", "xs = [3, 1]\ns = sorted(xs)"),
            ("A list", "xs = [5, 4]\ns = sorted(xs)"),
            ("Print it", "print([1, 3])"),
            "it contains [1, 3], a result of the old turns",
        ),
        (
            ("A list of 100 and 250", "xs = [100, 250]"),
            ("A list of 3 and 4", "xs = [3, 4]"),
            ("A share of a price", "def share(price, percent):\n    return price * percent / 100"),
            "",
        ),
        (
            ("A word", "w = 'Monday'"),
            ("A word", "w = 'Friday'"),
            ("Greet it", "print(f'happy Monday, {w}')"),
            "it contains 'Monday' from the old turn 1",
        ),
        (
            ("A word", "w = 'Monday'"),
            ("A word", "w = 'Friday'"),
            ('Compare it with "Monday"', "print(w == 'Monday')"),
            "its instruction mentions 'Monday' from the old turn 1",
        ),
        (
            ("A function", "def f(x):\n    return x"),
            ("A function", "def f(y):\n    return y + 1"),
            ("Call it", "print(f(2))"),
            "",
        ),
        (
            ("A function", "def f(x):\n    return x"),
            ("A function", "def f(x, y=1):\n    return x + y"),
            ("Call it", "print(f(2))"),
            "`f` is now a function with 2 arguments, not a function with 1 argument",
        ),
        (
            ("A list total", "total = [1]"),
            ("A list sums", "sums = [1]"),
            ("Go on", "def later():\n    return total"),
            "`total` no longer exists",
        ),
        (
            ("A list", "xs = [1]"),
            ("An empty list", "xs = []"),
            ("Print each of them", "for x in xs:\n    print(x)"),
            "it prints nothing",
        ),
    ],
)
def test_a_later_turn_is_kept_unless_something_speaks_against_its_code(first, then, later, reason):
    session = held(first, later)
    found = derived(session, changed(session, 1, *then), "pass\n")
    assert [step.reason for step in found.steps] == [reason]
    assert [step.regenerated or step.worse for step in found.steps] == [bool(reason)]


def test_a_turn_that_is_made_again_is_asked_for_by_its_instruction_on_the_new_prefix():
    session = held(NUMBERS, ("double it as m", "m = 24"), ("print m", "print(m)"))
    model = ScriptedModel(["m = n * 2\n"])
    made = changed(session, 1, "set n to 30", "n = 30")
    generator = scripted_generator(complete=model)
    found = regenerate(
        session, made, lambda on, turn: take(generator, on, turn.full_instruction, GREEDY), look
    )
    assert model.contexts == ["# set n to 30\nn = 30\n\n# double it as m\n"]
    assert chunks(found.session) == ["n = 30", "m = n * 2", "print(m)"]
    assert statuses(found.session) == [COMPLETE, COMPLETE, KEPT]
    assert found.session.outcome.stdout == "60\n"
    assert found.session.outcome.variables == ()


def test_a_change_goes_on_through_the_turns_that_are_made_again():
    session = held(NUMBERS, ("name it m", "m = n"), ("print it", "print(m)"), ("be polite", "print('bye')"))
    found = derived(session, changed(session, 1, "set k to 30", "k = 30"), "j = k\n", "print(j)\n")
    assert [step.reason for step in found.steps] == [
        "`n` no longer exists",
        "`m` no longer exists",
        "",
    ]
    assert chunks(found.session) == ["k = 30", "j = k", "print(j)", "print('bye')"]


def test_the_old_branch_and_what_was_laid_down_about_turns_stay():
    session = held(NUMBERS, ("double it", "m = 24"), ("print it", "print(m)"))
    for turn in session.path:
        session = session.with_options(turn.id, TurnOptions((f"len('{turn.chunk}')",)))
    found = derived(session, changed(session, 1, "set n to 30", "n = 30"), "m = n * 2\n").session
    assert found.path_to(session.head) == session.path
    assert [found.options_of(turn.id) for turn in found.path[1:]] == [
        session.options_of(turn.id) for turn in session.path[1:]
    ]


@pytest.mark.parametrize(("decide", "again"), [(always, (2, 3)), (never, ()), (when_stale, (2,))])
def test_it_can_be_decided_for_each_turn(decide, again):
    session = held(NUMBERS, ("double it", "m = 24"), ("print it", "print(m)"))
    made = changed(session, 1, "set n to 30", "n = 30")
    found = derived(session, made, "m = n * 2\n", "print(m)\n", decide=decide)
    assert found.regenerated == again
    assert len(found.session.path) == 3


def test_what_the_user_wrote_is_made_again_only_where_it_cannot_stay():
    session = held(NUMBERS, ("double it", ""), ("halve it", ""))
    session = with_user_code(session, 2, "m = 12 * 2").extend((Turn("halve it", "h = n / 2", status=EDITED),))
    kept = derived(session, changed(session, 1, "set n to 30", "n = 30"))
    assert kept.regenerated == ()
    assert kept.steps[0].reason == "it contains 12 from the old turn 1"
    assert statuses(kept.session) == [COMPLETE, EDITED, EDITED]
    made = derived(session, changed(session, 1, "set k to 30", "k = 30"), "h = k / 2\n")
    assert made.regenerated == (3,)


def test_a_turn_that_comes_out_worse_than_it_was_is_kept():
    told: list[RegenerationStep] = []
    session = held(NUMBERS, ("double it", "m = 12 * 2"))
    made = changed(session, 1, "set n to 30", "n = 30")
    found = derived(session, made, "m = n / 0\n", tell=lambda step, on: told.append(step))
    assert chunks(found.session) == ["n = 30", "m = 12 * 2"]
    assert found.regenerated == ()
    assert [(step.regenerated, step.worse) for step in told] == [(True, False), (False, True)]
    assert [turn.chunk for turn in found.session.children(found.session.path[0].id)] == [
        "m = n / 0",
        "m = 12 * 2",
    ]


def test_a_turn_that_the_user_wants_again_is_taken_even_where_it_comes_out_worse():
    session = held(NUMBERS, ("double it", "m = 12 * 2"))
    found = derived(session, changed(session, 1, *THIRTY), "m = n / 0\n", decide=always)
    assert chunks(found.session) == ["n = 30", "m = n / 0"]


@pytest.mark.parametrize("reply", [CTRL_C, f"m = n{CTRL_C}"])
def test_an_interrupt_ends_it_and_what_was_made_is_told(reply):
    events: list[Event] = []
    session = held(NUMBERS, ("double it", "m = 24"), ("print it", "print(m)"))
    made = changed(session, 1, "set k to 30", "k = 30")
    generator = scripted_generator(reply, on_event=events.append)
    with pytest.raises(KeyboardInterrupt):
        regenerate(
            session,
            made,
            lambda on, turn: take(generator, on, turn.full_instruction, GREEDY),
            look,
            decide=always,
        )
    told = [event.session.path[-1].status for event in events if isinstance(event, TurnWritten)]
    assert told == ([INTERRUPTED] if reply != CTRL_C else [])


def test_an_interrupted_look_ends_it():
    session = held(NUMBERS, ("double it", "m = n * 2"))
    stopped = Outcome(reason=Reason.INTERRUPTED, finished=False, exit_code=None)
    with pytest.raises(KeyboardInterrupt):
        regenerate(session, changed(session, 1, "", "n = 30"), lambda on, turn: on, lambda program: stopped)


def test_where_nothing_is_run_the_code_alone_is_judged():
    session = held(NUMBERS, ("double it", "m = n * 2"), ("invert it", "i = 1 / n"), ("again", "k = 12"))
    generator = scripted_generator("k = n\n", run=None)
    made = changed(session, 1, "set n to 0", "n = 0")
    found = regenerate(session, made, lambda on, turn: take(generator, on, turn.full_instruction, GREEDY))
    assert found.regenerated == (4,)
    assert found.session.outcome is None


def test_where_the_changed_turn_itself_fails_later_turns_are_not_blamed_for_it():
    session = held(NUMBERS, ("double it", "m = n * 2"))
    found = derived(session, changed(session, 1, "set n to 30", "n = 30\nn.nothing"))
    assert found.regenerated == ()


def test_a_name_that_the_changed_turn_lacks_is_no_fault_of_later_turns():
    session = held(NUMBERS, ("double it", "m = n * 2"))
    lacking = changed(session, 1, "set n", "n = 30\ndef f():\n    return missing")
    assert derived(session, lacking).regenerated == ()


def test_a_run_that_is_stopped_by_a_limit_with_and_without_the_change_says_nothing():
    slow = Outcome(reason=Reason.SECONDS, finished=False, exit_code=None, error="stopped after 10 s")
    session = held(NUMBERS, ("double it", "m = n * 2"))
    quick = Outcome()
    made = changed(session, 1, "set n to 30", "n = 30")
    found = regenerate(session, made, lambda on, turn: on, lambda on: slow if "m" in on.source else quick)
    assert found.regenerated == ()


def test_whole_programs_and_turns_that_left_them_their_code_are_made_again():
    session = Session().add(Turn("set n", "n = 12"))
    session = session.extend(
        (
            Turn("double it", "", status=KEPT),
            Turn("print it", "n = 5\nm = n * 2\nprint(m)", provenance=Rewrite()),
        )
    )
    found = derived(session, changed(session, 1, "set n to 30", "n = 30"), "m = n * 2\n", "print(m)\n")
    assert [step.reason for step in found.steps] == [
        "it has no code of its own",
        "it contains the code of earlier turns",
    ]
    assert found.session.outcome.stdout == "60\n"


def test_a_check_that_does_not_hold_any_more_speaks_against_a_turn():
    def looked(program: Program) -> Outcome:
        holds = "n = 12" in program.source
        return replace(look(program), check_results=(CheckResult(2, "m == 24", holds, "m is 60"),))

    session = held(NUMBERS, ("double it", "m = n * 2"))
    made = changed(session, 1, *THIRTY)
    generator = scripted_generator("m = 24 + n - n\n")
    found = regenerate(
        session, made, lambda on, turn: take(generator, on, turn.full_instruction, GREEDY), looked
    )
    assert [step.reason for step in found.steps] == ["its check m == 24 fails"]


def test_what_a_user_said_was_meant_is_asked_for_too():
    session = held(NUMBERS).extend((Turn("double it", "m = 12", meant="m is 24"),))
    model = ScriptedModel(["m = n * 2\n"])
    generator = scripted_generator(complete=model)
    made = changed(session, 1, "set n to 30", "n = 30")
    regenerate(session, made, lambda on, turn: take(generator, on, turn.full_instruction, GREEDY), look)
    assert model.contexts[-1].endswith("# double it\n# That is: m is 24\n")


def test_turns_that_were_made_again_verify():
    model = ScriptedModel(["n = 12\n", "m = 24\n", "print(m)\n", "n = 30\n", "m = n * 2\n"])
    generator = scripted_generator(complete=model)
    session = Session()
    for instruction in ("set n", "double it", "print it"):
        session = take(generator, session, instruction, GREEDY)
    made = take(generator, session.undo(3), "set n to 30", GREEDY)
    found = regenerate(
        session, made, lambda on, turn: take(generator, on, turn.full_instruction, GREEDY), look
    )
    assert found.regenerated == (2,)
    assert list(generator.verify(found.session)) == [None, None]
    assert list(generator.verify(session)) == [None, None, None]


PAIR = ("Make a pair", "c = [1, 2]")
TRIPLE = ("Make a triple", "c = [1, 2, 3]")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("y = c[0] + c[1]", "`c` now has length 3, not 2"),
        ("y = c[0]", ""),
        ("y = sum(c)", ""),
    ],
)
def test_code_that_names_each_part_depends_on_how_many_there_are(code: str, reason: str) -> None:
    session = held(PAIR, ("Use it", code))
    made = derived(session, changed(session, 1, *TRIPLE), "y = 0")
    assert made.steps[0].reason == reason
