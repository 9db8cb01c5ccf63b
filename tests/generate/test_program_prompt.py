"""Prompts that show the program in one piece: their form, what they share, what is no part of the code."""

from dataclasses import replace

import pytest

from mtchat.generate.context import prompt_for
from mtchat.generate.policy import Policy
from mtchat.generate.prompt import family
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.generate.prompt.family import PROGRAM
from mtchat.generate.prompt.program import drop_step_comments
from mtchat.generate.turn import TurnGenerator
from mtchat.session.provenance import Correction, Step
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import Turn
from mtchat.testing import FakeModel

SHOWN = Policy(guidance=(PROGRAM,))


def add(session: Session, instruction: str, code: str) -> Session:
    return session.add(Turn(instruction, code, session.head))


TWO = add(add(Session(preamble="import math\n"), "set x\nto 3", "# Set x.\nx = 3\n"), "double it", "x *= 2")


def user_text(session: Session, instruction: str, **recorded: str) -> str:
    record = Step(guidance=(PROGRAM,), **recorded)
    return prompt_for(record, instruct, session, instruction).messages[-1].content


def test_the_program_has_each_instruction_as_a_comment_above_its_code() -> None:
    assert user_text(TWO, "print x", state="Variables now:\nx: int 6", error="NameError: y") == (
        "The program so far:\n\n"
        "```python\n"
        "import math\n\n"
        "# Step 1: set x\n# to 3\n# Set x.\nx = 3\n\n"
        "# Step 2: double it\nx *= 2\n"
        "```\n\n"
        "The program so far fails:\n\nNameError: y\n\n"
        "Variables now:\nx: int 6\n\n"
        "Step 3: print x\n\n"
        "Write only the code of this step."
    )


def test_the_first_step_has_no_program() -> None:
    assert user_text(Session(), "print 1") == "Step 1: print 1"


def test_the_prompts_of_two_turns_share_the_program_of_the_first() -> None:
    earlier, later = user_text(TWO, "print x"), user_text(add(TWO, "print x", "print(x)"), "thanks")
    assert later.startswith(earlier.partition("\n```\n\nStep 3")[0])


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("# Step 3: print x\nprint(x)", "print(x)"),
        ("# Step 3: print x\n# in one line\nprint(x)", "print(x)"),
        ("# Step 3: print x\n# x is doubled\nprint(x)", "# x is doubled\nprint(x)"),
        (
            "# Steps are counted\nsteps = 3  # Step 3: print x",
            "# Steps are counted\nsteps = 3  # Step 3: print x",
        ),
        ("text = '''\n# Step 3: print x\n'''", "text = '''\n# Step 3: print x\n'''"),
        ("def f():\n    # Step 1: set x\n    return (", "def f():\n    return ("),
        ("print(x)\n# Ste", "print(x)\n# Ste"),
        ("print(x)\n# Step 3: pri", "print(x)"),
        ("# Step 1 of the sieve marks multiples\n# of each prime.\nx = 3", None),
        ("def f(a):\n    # Step 1: check the input\n    return a", None),
        ("# Step 2: set y\ny = 1", None),
    ],
)
def test_comments_that_repeat_a_step_of_the_prompt_are_no_code(code: str, left: str | None) -> None:
    assert drop_step_comments(code, ("set x", "print x\nin one line")) == (code if left is None else left)


def test_code_keeps_such_comments_where_the_user_wrote_some() -> None:
    code = "# Step 3: print x\nprint(x)"
    assert drop_step_comments(code, ("begin each part with a comment such as # Step 3",)) == code


def test_code_keeps_such_comments_where_no_prompt_showed_them() -> None:
    assert drop_step_comments("# Step 3: print x\nprint(x)", ()) == "# Step 3: print x\nprint(x)"


def test_what_is_written_and_shown_has_no_step_comments_and_verifies() -> None:
    model = FakeModel({"print x": "# Step 3: print x\nprint(x)"})
    shown: list[str] = []
    generator = TurnGenerator(
        instruct,
        model.complete,
        policy=SHOWN,
        on_event=lambda event: shown.append(getattr(event, "code", "")),
    )
    made = generator.make(generator.step(TWO, "print x", Sampling()))
    assert made.path[-1].chunk.strip() == "print(x)"
    assert not any("Step 3" in code.partition("\n")[2] or "Step 3:" in code for code in shown)
    again = generator.verify(made, only={made.head})
    assert list(again) == [None]


def test_the_conversation_is_shown_once_a_turn_was_changed() -> None:
    generator = TurnGenerator(instruct, FakeModel({}).complete, policy=SHOWN)
    changed = TWO.add(replace(TWO.path[-1], provenance=Correction(of=TWO.head)))
    for session, guidance in ((TWO, (PROGRAM,)), (changed, ())):
        assert generator.step(session, "print x", Sampling()).provenance.guidance == guidance
    assert len(generator.prompt(changed, "print x").messages) > 2


def test_a_family_that_cannot_show_the_program_gets_the_instruction_as_it_is() -> None:
    generator = TurnGenerator(codegen, FakeModel({}).complete, policy=SHOWN)
    assert generator.step(TWO, "print x", Sampling()).provenance.guidance == ()
    assert "Step" not in generator.prompt(TWO, "print x").text


def test_state_says_all_variables_since_no_earlier_message_has_said_them() -> None:
    assert family.as_conversation(("examples", PROGRAM)) == ("examples",)
    assert family.shows_program(instruct)
    assert not family.shows_program(codegen)
