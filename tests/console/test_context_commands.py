"""The commands about what the model is told: the meter, folding, forgetting, and the program written anew."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.console.console import Console
from mtchat.errors import MtchatError, UsageError
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.prompt import ModelCard
from mtchat.session.provenance import Rewrite
from mtchat.session.turn import FOLDED, FORGOTTEN
from mtchat.store import load
from tests.support.consoles import Spoken, console_in, said

BODY = "\n".join(f"    step_{number} = x + {number}" for number in range(20))
LONG = f"def grow(x):\n{BODY}\n    return x"
TWO = "import sys\nx = 1\nprint(x)\ny = 2"


class Seeing(Spoken):
    """A model that gives its replies in order and sees so many words."""

    def __init__(self, context: int, *replies: str) -> None:
        super().__init__(*replies)
        self.context = context

    def card(self) -> ModelCard:
        return replace(super().card(), context=self.context)


def talked(folder: Path, *replies: str, context: int = 1000, more: tuple[str, ...] = ()) -> Console:
    """A console whose session has a turn for each reply; `more` are what the model says after that."""
    console = console_in(folder, Seeing(context, *replies, *more))
    console.chat.settings = replace(
        console.chat.settings, corrections=False
    )  # the same code again is another turn here
    for number in range(len(replies)):
        dispatch(console, f"step {number + 1}")
    return console


def last(console: Console, line: str) -> str:
    """What a command says."""
    before = len(said(console))
    dispatch(console, line)
    return said(console)[before:]


def meter(text: str) -> dict[str, tuple[int, str]]:
    """The tokens and the remedy of each part that the meter shows."""
    rows = re.findall(r"^  (\S.*?)  +(\d+) +[\d.]+ %(?:  (.*))?$", text, re.MULTILINE)
    return {name: (int(tokens), remedy) for name, tokens, remedy in rows}


# The meter


def test_the_meter_adds_up_to_the_context_and_has_a_remedy_for_each_turn(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", LONG, "raise ValueError")
    text = last(console, "/context now what")
    rows = meter(text)
    total = int(re.findall(r"^(\d+) of 1000 tokens; family instruct", text, re.MULTILINE)[0])
    shown = {name: tokens for name, (tokens, _) in rows.items()}
    assert sum(shown.values()) - shown["room to reply"] - shown["free"] == total
    assert shown["room to reply"] == 500
    saved = len(LONG.split()) - 3
    assert rows["turn 1"][1] == "/forget 1 leaves it out"
    assert rows["turn 2"][1] == f"/fold 2 saves about {saved}"
    assert rows["the error"][1] == "/fix resolves it"
    last(console, "/fold 2")
    folded = meter(last(console, "/context now what"))
    assert folded["turn 2"] == (
        shown["turn 2"] - saved,
        f"folded, saves {saved}; /unfold 2 sends all of it",
    )
    last(console, "/forget 2")
    assert meter(last(console, "/context now what"))["turn 2"] == (0, "forgotten; /unfold 2 sends it again")


def test_the_meter_shows_what_is_folded_to_fit_and_why_a_context_does_not_fit(tmp_path: Path) -> None:
    console = talked(tmp_path, LONG, "x = 1")
    tokens = int(re.findall(r"^(\d+) of 1000 tokens", last(console, "/context go on"), re.MULTILINE)[0])
    console.chat.model.context = tokens
    dispatch(console, "/set max_tokens 10")
    text = last(console, "/context go on")
    assert meter(text)["turn 1"][1].startswith("folded to fit, saves ")
    assert "turn 1 is folded to fit" in text
    console.chat.model.context = 50
    text = last(console, "/context go on")
    assert "but the context window of fake is 50: /context shows what uses the tokens, /fold K" in text
    assert meter(text)["turn 2"][1] == "/forget 2 leaves it out"


# Folding and forgetting


def test_a_turn_that_does_not_fit_whole_is_folded_said_and_on_disk(tmp_path: Path) -> None:
    console = talked(tmp_path, LONG, more=("y = 1", "z = 1"))
    tokens = int(re.findall(r"^(\d+) of 1000 tokens", last(console, "/context go on"), re.MULTILINE)[0])
    console.chat.model.context = tokens
    dispatch(console, "/set max_tokens 10")
    assert "turn 1 is folded to fit the context: the model sees only imports, names and signatures" in last(
        console, "go on"
    )
    assert "step_3" not in console.chat.model.text(console.chat.model.asked[-1][0])
    assert load(console.log.path).path[-1].provenance.context.folded == (1,)
    console.chat.model.context = 30
    with pytest.raises(MtchatError, match="/forget K"):
        dispatch(console, "go on")
    assert len(load(console.log.path).path) == 2


def test_what_is_folded_or_forgotten_is_marked_where_turns_are_shown(tmp_path: Path) -> None:
    console = talked(tmp_path, LONG, "y = 2", "z = 3")
    dispatch(console, "/fold 1")
    dispatch(console, "/forget 2")
    for command in ("/show", "/tree"):
        text = last(console, command)
        assert re.findall(r"(step \d)  \((\w+)\)$", text, re.MULTILINE) == [
            ("step 1", "folded"),
            ("step 2", "forgotten"),
        ]


def test_folding_and_forgetting_change_what_is_asked_not_the_program_and_are_on_disk(tmp_path: Path) -> None:
    console = talked(tmp_path, LONG, "x = grow(1)\ny = x", "print(y)", more=("z = 1",))
    source = console.session.program.source
    text = last(console, "/fold 1")
    assert "turn 1 is folded; the program keeps its code" in text
    assert "def grow(x):\n    ..." in text
    text = last(console, "/forget 2")
    assert "turn 3 uses `y`, which the model no longer sees" in text
    assert "new turns will not know x, y: describe what they need" in text
    assert console.session.program.source == source
    dispatch(console, "go on")
    asked = console.chat.model.text(console.chat.model.asked[-1][0])
    assert "def grow(x):\n    ..." in asked
    assert "step 2" not in asked
    saved = load(console.log.path)
    assert [saved.options_of(turn.id).context for turn in saved.path] == [FOLDED, FORGOTTEN, "", ""]
    assert (saved.path[-1].provenance.context.folded, saved.path[-1].provenance.context.forgotten) == (
        (1,),
        (2,),
    )
    assert "turn 1 is not forgotten" in last(console, "/forget -d 1")
    assert "turn 2 was forgotten; the model now sees all of it" in last(console, "/forget -d 2")
    assert "turn 1 was folded; the model now sees all of it" in last(console, "/unfold 1")
    assert load(console.log.path).turn_options == {}


def test_what_cannot_be_folded_or_is_whole_already_says_so(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", "items = [")
    assert "turn 1 is already short, so it cannot be folded; /forget 1 leaves it out" in last(
        console, "/fold 1"
    )
    assert "turn 2 is not complete Python, so it cannot be folded" in last(console, "/fold 2")
    assert "the model already sees all of turn 1" in last(console, "/unfold 1")
    assert console.session.turn_options == {}


def test_several_turns_are_named_at_once_and_none_or_wrong_ones_are_refused(tmp_path: Path) -> None:
    console = talked(tmp_path, LONG, LONG, "x = 1", LONG)
    dispatch(console, "/fold 1-2, 4")
    assert [console.session.options_of(turn.id).context for turn in console.session.path] == [
        FOLDED,
        FOLDED,
        "",
        FOLDED,
    ]
    with pytest.raises(UsageError, match=r"fold which turn\? /context shows"):
        dispatch(console, "/fold")
    with pytest.raises(UsageError, match="lower number first: 1-3"):
        dispatch(console, "/forget 3-1")
    with pytest.raises(MtchatError, match="no turn 9"):
        dispatch(console, "/unfold 9")


# The program written anew


def test_a_program_written_anew_is_compared_and_nothing_changes_where_nobody_can_be_asked(
    tmp_path: Path,
) -> None:
    console = talked(tmp_path, "x = 1", "print(x)", "y = 2", more=(TWO,))
    before = console.session
    text = last(console, "/recap")
    assert "the new program (+) and the current one (-)" in text
    assert "\n+ import sys\n" in text
    assert "both print:\n│ 1\n✓ ran" in text
    assert "the program is unchanged; /goto recap switches to the new one" in text
    assert console.session.path == before.path
    assert load(console.log.path).path == before.path
    asked = console.chat.model.text(console.chat.model.asked[-1][0])
    assert "step 1\nstep 2\nstep 3" in asked
    assert "x = 1" not in asked
    dispatch(console, "/goto recap")
    assert [turn.chunk for turn in console.session.path] == ["import sys\nx = 1", "print(x)", "y = 2"]
    assert console.session.outcome is not None
    assert console.session.outcome.ok


def test_the_new_program_that_is_chosen_goes_on_and_the_old_one_has_a_name(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", "print(x)", more=(TWO, "print(y)"))
    dispatch(console, "/branch mine")
    old = console.session.head
    answers = ["what", "/show", "new"]
    console.questions.answer = lambda label: answers.pop(0)
    text = last(console, "/recap")
    assert "type new or now, or press Enter\n" in text
    assert "type new or now, or press Enter; Ctrl-C keeps the current one, then commands work again\n" in text
    assert "/goto before-recap returns to the old one" in text
    saved = load(console.log.path)
    assert [turn.chunk for turn in saved.path] == ["import sys\nx = 1", "print(x)\ny = 2"]
    assert isinstance(saved.path[-1].provenance, Rewrite)
    assert saved.branches == {"mine": saved.head, "before-recap": old}
    dispatch(console, "step 3")
    assert console.session.program.source == "import sys\nx = 1\n\nprint(x)\ny = 2\n\nprint(y)\n"
    dispatch(console, "/goto before-recap")
    assert console.session.program.source == "x = 1\n\nprint(x)\n"


@pytest.mark.parametrize("answer", ["", "now", None])
def test_the_present_program_stays_unless_the_new_one_is_asked_for(
    tmp_path: Path, answer: str | None
) -> None:
    console = talked(tmp_path, "x = 1", more=("x = 2",))
    console.questions.answer = lambda label: answer
    dispatch(console, "/recap")
    assert console.session.program.source == "x = 1\n"
    assert set(console.session.branches) == {"recap"}


def test_turns_that_the_new_program_does_not_keep_apart_become_one_and_that_is_said(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", "x = x + 1", more=("x = 2",))
    text = last(console, "/recap new")
    assert "the rewritten code does not keep all steps apart: turns 1 and 2 are now turn 1" in text
    assert [(turn.instruction, turn.chunk) for turn in console.session.path] == [("step 1\nstep 2", "x = 2")]
    dispatch(console, "/undo")
    assert [turn.chunk for turn in console.session.path] == ["x = 1"]


def test_recap_new_asks_nothing_and_anything_else_is_refused(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", more=("x = 2",))
    with pytest.raises(UsageError, match="accepts only 'new'"):
        dispatch(console, "/recap old")
    dispatch(console, "/recap new")
    assert load(console.log.path).program.source == "x = 2\n"


def test_what_the_two_programs_print_is_told_apart_with_how_they_end(tmp_path: Path) -> None:
    console = talked(tmp_path, "print(1)", more=("raise ValueError",))
    text = last(console, "/recap")
    assert "the current one prints:\n│ 1\n✓ ran" in text
    assert "the new one prints nothing\n✗ turn 1, line 1: ValueError: no" in text


def test_a_program_written_anew_is_told_the_code_of_the_user(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", more=("z = 26\nx = 2",))
    dispatch(console, "/add z = 26")
    dispatch(console, "/recap new")
    asked = console.chat.model.text(console.chat.model.asked[-1][0])
    assert "step 1\nadd my own code: z = 26\nThe code of this step stays as it is:\nz = 26" in asked
    assert "x = 1" not in asked


def test_the_same_program_again_is_said_to_be_the_same(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", more=("x = 1",))
    assert "the new program is identical to the current one" in last(console, "/recap")
    assert console.session.program.source == "x = 1\n"


def test_a_recap_that_is_interrupted_or_fails_leaves_the_program_and_what_was_written(tmp_path: Path) -> None:
    def stopping(*words: object) -> Outcome:
        raise KeyboardInterrupt

    console = talked(tmp_path, "x = 1", more=("x = 2",))
    console.chat.sandbox = replace(console.chat.sandbox, resume=stopping)
    with pytest.raises(KeyboardInterrupt):
        dispatch(console, "/recap")
    saved = load(console.log.path)
    assert saved.program.source == "x = 1\n"
    assert [turn.chunk for turn in saved.turns] == ["x = 1", "x = 2"]


def test_asked_again_the_program_is_written_warmer(tmp_path: Path) -> None:
    console = talked(tmp_path, "x = 1", more=("x = 2", "x = 3"))
    dispatch(console, "/recap")
    dispatch(console, "/recap")
    first, second = [sampling for _, sampling in console.chat.model.asked[1:]]
    assert first.temperature == 0 < second.temperature
    assert set(console.session.branches) == {"recap", "recap-2"}


def test_marks_go_along_to_the_new_program_and_stay_with_the_old_one(tmp_path: Path) -> None:
    console = talked(tmp_path, LONG, "x = 1", more=(LONG + "\nx = 2",))
    dispatch(console, "/fold 1")
    dispatch(console, "/recap new")
    assert [console.session.options_of(turn.id).context for turn in console.session.path] == [FOLDED, ""]
    dispatch(console, "/goto before-recap")
    assert console.session.options_of(console.session.path[0].id).context == FOLDED
