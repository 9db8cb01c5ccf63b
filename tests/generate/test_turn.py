"""How a turn is generated, run and verified; the model is a table and the run a function."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import pytest

from mtchat.errors import MtchatError
from mtchat.features.own_code.user_code import with_user_code
from mtchat.features.regenerate.regenerate import never, regenerate
from mtchat.generate.alternatives import retry
from mtchat.generate.events import (
    CodeWritten,
    Event,
    PrefillFinished,
    RunFinished,
    RunStarted,
    TurnWritten,
)
from mtchat.generate.improve import take
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.family import Cut
from mtchat.generate.repair import fix
from mtchat.generate.turn import TurnGenerator, VerifyDifference
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.provenance import Step
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import COMPLETE, INTERRUPTED
from tests.support.generate import (
    CTRL_C,
    GREEDY,
    ScriptedModel,
    chunks,
    scripted_generator,
    statuses,
    taken,
)


def rewritten(session: Session, number: int, code: str, generator: TurnGenerator) -> Session:
    """A turn with code that the user wrote, run; the turns after it keep theirs."""
    made = with_user_code(session, number, code)
    return generator.execute(regenerate(session, made, lambda on, turn: on, decide=never).session)


def kinds(events: list[Event]) -> list[type]:
    """The kinds of events, each row of the same kind once."""
    return [kind for kind, _ in groupby(type(event) for event in events)]


# Taking a turn


def test_a_turn_is_written_and_run():
    session = taken(scripted_generator("x = 6\nprint(x)\n"), "set x to 6 and print it")
    (turn,) = session.path
    assert turn.instruction == "set x to 6 and print it"
    assert turn.chunk == "x = 6\nprint(x)"
    assert turn.status == COMPLETE
    assert session.outcome == Outcome(stdout="6\n", outputs=("6\n",))


def test_a_turn_records_how_it_was_made():
    sampling = Sampling(temperature=0.4, seed=5)
    provenance = take(scripted_generator("x = 1\n"), Session(), "set x", sampling).path[0].provenance
    assert (provenance.model, provenance.fingerprint, provenance.precision) == ("fake", "f" * 64, "float16")
    assert isinstance(provenance, Step)
    assert (provenance.family, provenance.sampling, provenance.error) == (
        "codegen",
        sampling,
        "",
    )


def test_the_next_turn_reads_the_turns_before_it():
    model = ScriptedModel(["x = 1\n", "print(x)\n"])
    taken(scripted_generator(complete=model), "set x", "print it")
    assert model.contexts == ["# set x\n", "# set x\nx = 1\n\n# print it\n"]


def test_the_prompt_is_what_the_next_turn_reads():
    model = ScriptedModel(["x = 1 / 0\n", "x = 2\n"])
    generator = scripted_generator(complete=model)
    session = taken(generator, "set x")
    shown = generator.prompt(session, "again")
    take(generator, session, "again", GREEDY)
    assert model.asked[-1][0] == shown


def test_the_error_of_the_program_is_carried_into_the_next_context():
    model = ScriptedModel(["x = 1 / 0\n", "x = 2\n"])
    session = taken(scripted_generator(complete=model), "set x", "set it again")
    assert (
        "# Error so far: turn 1, line 1: ZeroDivisionError: division by zero\n# set it again\n"
        in (model.contexts[-1])
    )
    assert session.path[1].provenance.error == "turn 1, line 1: ZeroDivisionError: division by zero"


def test_a_run_that_was_interrupted_is_no_error_for_the_next_context():
    stopped = Outcome(reason=Reason.INTERRUPTED, finished=False, exit_code=None, error="interrupted")
    model = ScriptedModel(["x = 1\n", "y = 2\n"])
    taken(scripted_generator(complete=model, run=lambda program: stopped), "set x", "set y")
    assert model.contexts[-1] == "# set x\nx = 1\n\n# set y\n"


def test_without_a_way_to_run_a_turn_is_only_written():
    session = taken(scripted_generator("x = 1\n", run=None), "set x")
    assert chunks(session) == ["x = 1"]
    assert session.outcome is None


def test_a_preamble_is_read_and_run():
    model = ScriptedModel(["print(x)\n"])
    session = take(scripted_generator(complete=model), Session(preamble="x = 3"), "print x", GREEDY)
    assert model.contexts == ["x = 3\n\n# print x\n"]
    assert session.outcome.outputs == ("", "3\n")


def test_a_chat_model_is_taken_through_the_same_steps():
    model = ScriptedModel(
        ["x = 1\n```\nThis sets x.", "Sure, here it is:\n```python\nx = 1\nprint(x)\n```\n"]
    )
    session = taken(scripted_generator(complete=model, family=instruct), "set x", "print it")
    assert chunks(session) == ["x = 1", "print(x)"]
    assert session.outcome.stdout == "1\n"


def test_a_reply_without_text_is_a_turn_without_code():
    session = taken(scripted_generator("\n"), "thanks")
    assert chunks(session) == [""]
    assert session.outcome.ok


@pytest.mark.parametrize(
    ("reply", "given", "finish"),
    [
        ("x = 1\n", "stop", "stop"),
        ("x = 1\n", "length", "length"),
        ("x = 1\n# and so on\ny = 2\n", "stop", "cut"),
        (f"x = 1\n{CTRL_C}y = 2\n", "stop", "interrupted"),
    ],
)
def test_a_turn_says_why_its_reply_ended(reply: str, given: str, finish: str):
    (turn,) = taken(scripted_generator(complete=ScriptedModel([reply], finish=given)), "set x").path
    assert turn.usage.finish == finish
    assert turn.usage.prompt_tokens == 7
    assert 0 < turn.usage.completion_tokens <= len(reply)


def test_a_reply_is_not_read_past_its_cut():
    model = ScriptedModel(["x = 1\n# and so on\n" + "y = 2\n" * 100])
    (turn,) = taken(scripted_generator(complete=model), "set x").path
    assert turn.usage.completion_tokens <= len("x = 1\n# a")
    assert model.closed == 1


@pytest.mark.parametrize("reply", ["x = 1\n", "x = 1\n#\n", f"x = 1{CTRL_C}", CTRL_C])
def test_a_stream_is_always_closed(reply: str):
    model = ScriptedModel([reply])
    taken(scripted_generator(complete=model), "set x")
    assert model.closed == 1


def test_a_failure_of_the_model_closes_the_stream_and_is_told():
    closed = []

    def broken(prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        try:
            yield Piece("x = 1")
            raise MtchatError("the model is gone")
        finally:
            closed.append(True)

    with pytest.raises(MtchatError, match="the model is gone"):
        taken(scripted_generator(complete=broken), "set x")
    assert closed == [True]


def test_any_iterator_of_pieces_will_do():
    session = taken(
        scripted_generator(complete=lambda prompt, sampling: iter([Piece("x = "), Piece("1\n")])), "set x"
    )
    assert chunks(session) == ["x = 1"]


def test_a_taken_turn_tells_its_events_in_order():
    events: list[Event] = []
    session = taken(scripted_generator("x = 1\nprint(x)\n", on_event=events.append), "set x")
    assert kinds(events) == [PrefillFinished, CodeWritten, TurnWritten, RunStarted, RunFinished]
    written = [event.code for event in events if isinstance(event, CodeWritten)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(written))
    assert written[-1] == "x = 1\nprint(x)\n"
    assert events[0] == PrefillFinished(Usage(prompt_tokens=7, completion_tokens=3))
    assert events[-3:] == [
        TurnWritten(replace(session, outcomes={}), session.path[0]),
        RunStarted(1),
        RunFinished(session.outcome, 1),
    ]


# Interrupting


def test_an_interrupt_keeps_what_was_written_marked_and_does_not_run_it():
    events: list[Event] = []
    session = taken(scripted_generator(f"x = 1\ny = {CTRL_C}2\n", on_event=events.append), "set x and y")
    assert chunks(session) == ["x = 1\ny ="]
    assert statuses(session) == [INTERRUPTED]
    assert session.outcome is None
    assert kinds(events) == [PrefillFinished, CodeWritten, TurnWritten]


@pytest.mark.parametrize("reply", [CTRL_C, f"\n  {CTRL_C}"])
def test_an_interrupt_before_any_code_changes_nothing(reply: str):
    generator = scripted_generator("x = 1\n", reply)
    session = taken(generator, "set x")
    assert take(generator, session, "set y", GREEDY) is session


def test_an_interrupt_while_the_model_is_waited_for_changes_nothing():
    def waits(prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        raise KeyboardInterrupt

    session = Session()
    assert take(scripted_generator(complete=waits), session, "set x", GREEDY) is session


def test_a_turn_after_an_interrupted_one_is_run():
    session = taken(scripted_generator(f"x = 1\n{CTRL_C}", "print(x)\n"), "set x", "print it")
    assert statuses(session) == [INTERRUPTED, COMPLETE]
    assert session.outcome.stdout == "1\n"


# Making a turn again


# Mending


# Making everything again


@pytest.mark.parametrize("family", [codegen, instruct], ids=["codegen", "instruct"])
def test_a_session_that_went_through_everything_is_made_again_byte_for_byte(family: object):
    model = ScriptedModel(
        [
            "x = 2\n",
            "y = x / 0\nprint(y)\n",  # fails
            "y = x / 0\nprint(y)\n",  # a first mending in vain
            "y = x / 2\nprint(y)\n",  # and a second
            f"This prints all\nz = [x, {CTRL_C}y]\n",
            "z = [x, y]\nprint(z)\n",  # the retry
            "print(len(z))\n",
            "print(sum(z), w)\n",  # fails, and is the error of the next
            "print(sum(z))\n",
        ]
    )
    generator = scripted_generator(complete=model, family=family)
    session = taken(generator, "set x", "divide")
    session = fix(generator, session, GREEDY).session
    interrupted = taken(generator, "list them", session=session)
    session = retry(generator, interrupted, GREEDY)
    session = taken(generator, "count them", "add them up", session=session)
    edited = rewritten(session, 1, "x = 4", generator)
    again = taken(generator, "add them up", session=edited)

    assert model.replies == []
    for head in (session.head, interrupted.head, again.head):
        assert set(generator.verify(again.move(head))) == {None}
    assert [len(list(generator.verify(each))) for each in (session, interrupted, edited, again)] == [
        5,
        3,
        0,
        1,
    ]


@pytest.mark.slow
def test_an_interrupted_turn_is_the_same_when_it_is_how_the_reply_begins():
    text = "Here you can see it:\nx = 1\nprint(x)\n```\n"
    for end in range(len(text)):
        generator = scripted_generator(f"{text[:end]}{CTRL_C}{text[end:]}", family=instruct)
        session = taken(generator, "set x")
        assert all(each is None for each in generator.verify(session)), end


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x = 1\n", "x = 2\n"),
        (f"x = 1\n{CTRL_C}", "x = 2\n"),
        (f"x = 1\ny = 2\n{CTRL_C}", "x = 1\n"),
    ],
)
def test_a_turn_that_comes_out_differently_is_reported(first: str, second: str):
    session = taken(scripted_generator(first), "set x")
    found = list(scripted_generator(second).verify(session))
    assert found == [VerifyDifference(1, session.path[0], second.rstrip())]


def test_turns_the_user_wrote_are_not_made_again():
    generator = scripted_generator("x = 1\n", "print(x)\n")
    session = rewritten(taken(generator, "set x", "print it"), 1, "x = 2", generator)
    assert list(generator.verify(session)) == []


def test_an_interrupt_ends_the_making_again():
    session = taken(scripted_generator("x = 1\n"), "set x")
    with pytest.raises(KeyboardInterrupt):
        list(scripted_generator(f"x{CTRL_C}").verify(session))


def test_a_family_may_be_any_object_with_the_five_functions():
    @dataclass(frozen=True)
    class Loud:
        def matches(self, card: ModelCard) -> bool:
            return False

        def render(
            self, path: object, instruction: str, preamble: str, error: str, guidance: Sequence[str] = ()
        ) -> Prompt:
            return Prompt(text=instruction.upper())

        def repair(self, path: object, preamble: str, error: str, guidance: Sequence[str] = ()) -> Prompt:
            return Prompt(text=error.upper())

        def cut(self, text: str) -> Cut:
            return Cut(text.lower(), finished=False)

        def chunk(self, text: str, before: str) -> str:
            return text.lower().strip()

    model = ScriptedModel(["X = 1\n"])
    assert chunks(taken(scripted_generator(complete=model, family=Loud()), "set x")) == ["x = 1"]
    assert model.contexts == ["SET X"]
