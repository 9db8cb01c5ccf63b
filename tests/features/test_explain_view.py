"""What helps a learner in the REPL: /explain, /tutor, /complete and /refactor, with a model from a table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.console.console import Console
from mtchat.conversation.interfaces import OnOutput
from mtchat.errors import MtchatError
from mtchat.repl.app import dispatch
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.settings import Limits, Sampling
from mtchat.session.turn import INTERRUPTED, Turn
from mtchat.store import load
from tests.support.consoles import console_in, said
from tests.support.fake_repl import Fake
from tests.support.generate import run, run_with_variables


class Talking(Fake):
    """Answers each question in words with the reply of the first key that is in what it reads."""

    def __init__(self, replies: dict[str, str], chat: bool = True) -> None:
        self.replies, self.chat = replies, chat
        self.asked: list[Prompt] = []

    def card(self) -> ModelCard:
        return ModelCard("fake", chat=self.chat, context=1000)

    def complete(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.asked.append(prompt)
        text = self.text(prompt) + prompt.text
        reply = next((reply for key, reply in self.replies.items() if key in text), "")
        for part in reply.partition(" "):
            if part == "^C":
                raise KeyboardInterrupt
            yield Piece(part, Usage(9, 0, 1))


def truly(
    program: Program,
    limits: Limits,
    place: Path | None,
    on_output: OnOutput,
    given: RunInputs,
    look: bool = False,
) -> Outcome:
    """The program, run right here; its variables also where it fails."""
    return run_with_variables(program) if look else run(program)


def console_with(folder: Path, *turns: str | Turn, chat: bool = True, **replies: str) -> Console:
    model = Talking({key.replace("_", " "): reply for key, reply in replies.items()}, chat)
    console = console_in(folder, model, runs=truly)
    session = console.session
    for number, turn in enumerate(turns, start=1):
        made = Turn(f"step {number}", turn) if isinstance(turn, str) else turn
        session = session.add(Turn(made.instruction, made.chunk, session.head, made.status))
    console.chat.keep(session.with_outcome(run(session.program)) if turns else session)
    return console


def answering(console: Console, answer: str) -> None:
    console.edit_line = lambda label, text: answer


def told(console: Console, line: str) -> str:
    """What a line of input brings on the screen."""
    before = len(said(console))
    dispatch(console, line)
    return said(console)[before:]


PRICES = "prices = [2, 3]\ntotal = sum(map(abs, prices))\nprint(total)"


def test_each_line_is_shown_with_what_it_does_below_it(tmp_path: Path):
    console = console_with(tmp_path, PRICES, in_one_short_sentence="adds all of them.")
    screen = told(console, "/explain")
    assert "1› step 1\nprices = [2, 3]\n  Sets `prices` to a list of 2 items" in screen
    assert "total = sum(map(abs, prices))\n  ≈ Adds all of them.\n  After the turn `total` is 5.\n" in screen
    assert "print(total)\n  Shows `total`.\nIt printed:\n│ 5\n" in screen
    assert "≈ In short: The program adds all of them.\n" in screen
    assert "by the model and may be wrong" in screen
    assert "/explain 1:LINE says more about one line" in screen


def test_words_with_a_made_up_number_are_left_out(tmp_path: Path):
    console = console_with(tmp_path, PRICES, in_one_short_sentence="makes 99 of them.")
    screen = told(console, "/explain")
    assert "99" not in screen
    assert "Sets `total` to a value that the code computes; after the turn `total` is 5." in screen


def test_an_explanation_changes_neither_the_session_nor_its_file(tmp_path: Path):
    console = console_with(tmp_path, PRICES, in_one_short_sentence="adds all of them.")
    before, file = console.session, console.log.path.read_bytes()
    for line in ("/explain", "/explain 1", "/explain 1:2"):
        dispatch(console, line)
    assert console.session == before
    assert console.log.path.read_bytes() == file


def test_a_model_that_cannot_chat_is_not_asked_and_the_facts_are_given(tmp_path: Path):
    console = console_with(tmp_path, PRICES, chat=False)
    screen = told(console, "/explain")
    assert "fake only continues code and cannot chat, so only the facts are shown; /model starter" in screen
    assert "Sets `total` to a value that the code computes; after the turn `total` is 5.\n" in screen
    assert "≈" not in screen
    assert console.chat.model.asked == []  # type: ignore[attr-defined]


def test_one_line_is_explained_with_the_values_that_it_works_with(tmp_path: Path):
    console = console_with(tmp_path, PRICES, "prices.append(4)", in_one_short_sentence="Adds the prices.")
    screen = told(console, "/explain 1:2")
    assert screen.startswith("total = sum(map(abs, prices))\n")
    assert "After the turn `prices` is [2, 3]" in screen
    assert "≈ Adds the prices." in screen
    assert "print(total)" not in screen


@pytest.mark.parametrize(
    ("line", "sign"),
    [
        ("/explain 3", "no turn 3; the program has 1 turn"),
        ("/explain 1:9", "turn 1 has no line 9; its last line is 3"),
        ("/explain 1:x", "'x' is not the number of a line"),
        ("/explain what", "cannot explain 'what'; try /explain 1 (a turn), /explain 1:1 (a line)"),
        ("/explain error", "the program runs without an error; /explain explains its last turn"),
        ("/tutor hint", "a hint for what? Say what you want to do"),
        ("/tutor code", "code for what? Say what you want to do with /tutor TEXT"),
        ("/complete", "turn 1 has nothing left to complete; /edit 1 changes"),
        ("/complete x", "'x' is not the number of a turn"),
        ("/refactor 7", "no turn 7"),
    ],
)
def test_bad_input_says_what_to_do(line: str, sign: str, tmp_path: Path):
    with pytest.raises(MtchatError) as refusal:
        dispatch(console_with(tmp_path, PRICES), line)
    assert sign in str(refusal.value)


@pytest.mark.parametrize("line", ["/explain", "/explain error", "/tutor ask", "/complete", "/refactor"])
def test_where_there_is_no_program_it_says_to_type_an_instruction(line: str, tmp_path: Path):
    with pytest.raises(MtchatError, match="type an instruction"):
        dispatch(console_with(tmp_path), line)


def test_an_error_is_explained_by_what_is_certain_first(tmp_path: Path):
    console = console_with(
        tmp_path, "prices = {}", "print(prices['a'])", Explain_in_two="It is empty. Fill it. More."
    )
    screen = told(console, "/explain")
    facts = [
        "The program stops in turn 2, line 1:\n  print(prices['a'])\n",
        "Python says: KeyError: 'a'",
        "That means: The code looks up a key that does not exist.",
        "≈ It is empty. Fill it.\n",
        "/fix asks the model to repair it, /edit 2 changes the instruction of turn 2",
    ]
    places = [screen.index(fact) for fact in facts]
    assert places == sorted(places)
    assert "More." not in screen
    question = console.chat.model.asked[0].messages[-1].content  # type: ignore[attr-defined]
    assert "The code looks up a key" in question


def test_where_a_name_is_only_misspelt_the_facts_say_it_all(tmp_path: Path):
    console = console_with(tmp_path, "totals = 3", "print(total)", Explain_in_two="The name is new.")
    screen = told(console, "/explain error")
    assert "Did you mean `totals`?" in screen
    assert "≈" not in screen
    assert console.chat.model.asked == []  # type: ignore[attr-defined]


def test_ctrl_c_stops_an_explanation_and_keeps_what_was_said(tmp_path: Path):
    console = console_with(tmp_path, PRICES, in_one_short_sentence="Adds ^C")
    console.chat.model.replies = {"in one short sentence": "^C"}  # type: ignore[attr-defined]
    before = console.session
    with pytest.raises(KeyboardInterrupt):
        dispatch(console, "/explain")
    assert "prices = [2, 3]" in said(console)
    assert console.session == before


def test_code_that_python_cannot_read_says_where_to_look(tmp_path: Path):
    console = console_with(tmp_path, Turn("half", "for i in ra", status=INTERRUPTED))
    assert "This is not valid Python; /explain error says where." in told(console, "/explain 1")


def test_a_hint_is_words_and_the_code_comes_only_when_asked_for(tmp_path: Path):
    console = console_with(tmp_path)
    console.chat.model.replies = {  # type: ignore[attr-defined]
        "Give me another hint": "Use `sum()`.",
        "Give me a hint": "Think of a sum.\n```python\nx = 1\n```",
        "add": "total = 5\n```\n",
    }
    screen = told(console, "/tutor add 2 and 3")
    assert "≈ Think of a sum.\n" in screen
    assert "x = 1" not in screen
    assert "/tutor hint says more, /tutor code lets the model write the code" in screen
    assert "≈ Use `sum()`." in told(console, "/tutor hint")
    assert "there are no more hints; /tutor code lets the model write" in told(console, "/tutor hint")
    assert console.session.path == ()
    screen = told(console, "/tutor code")
    assert [(turn.instruction, turn.chunk) for turn in console.session.path] == [("add 2 and 3", "total = 5")]
    assert "/tutor ask asks you about it" in screen
    assert "no goal is set" in told(console, "/tutor")
    assert "the lesson is over. The program keeps its 1 turn." in told(console, "/tutor off")
    assert "no lesson is running" in told(console, "/tutor")
    assert load(console.log.path).path == console.session.path


def test_hints_need_a_model_that_can_chat_and_questions_do_not(tmp_path: Path):
    console = console_with(tmp_path, PRICES, chat=False)
    assert "hints need a model that can chat" in told(console, "/tutor add")
    answering(console, "5")
    assert "✓ right: turn 1 prints 5" in told(console, "/tutor ask")


def test_an_answer_is_checked_by_running_and_the_next_step_is_told(tmp_path: Path):
    console = console_with(tmp_path, PRICES)
    answering(console, "6")
    screen = told(console, "/tutor ask")
    assert "What does turn 1 print?" in screen
    assert "✗ not quite: turn 1 prints 5, not 6" in screen
    assert "0 of 1 right; /explain 1 shows why, line by line; /tutor ask asks the next question" in screen
    answering(console, "[2, 3]")
    screen = told(console, "/tutor ask")
    assert "After turn 1, what is `prices`?" in screen or "After turn 1, what is `total`?" in screen


def test_where_nothing_is_run_no_question_is_asked_and_explanations_have_no_values(tmp_path: Path):
    console = console_with(tmp_path, PRICES, chat=False)
    dispatch(console, "/set run off")
    with pytest.raises(MtchatError, match="/set run on allows it"):
        dispatch(console, "/tutor ask")
    assert "Sets `total` to a value that the code computes.\n" in told(console, "/explain")


def test_no_answer_counts_for_nothing(tmp_path: Path):
    console = console_with(tmp_path, PRICES)
    answering(console, " ")
    assert "not counted, because you gave no answer" in told(console, "/tutor ask")
    assert console.lesson is None


def test_questions_are_about_a_turn_as_it_was_then(tmp_path: Path):
    console = console_with(tmp_path, "x = 1 + 1", "x = x * 5")
    for answer in ("10", "2"):
        answering(console, answer)
        assert f"✓ right: x is {answer}" in told(console, "/tutor ask")
    assert console.lesson is not None
    assert (console.lesson.right, console.lesson.asked) == (2, 2)


def test_a_turn_is_rewritten_where_the_program_does_the_same(tmp_path: Path):
    console = console_with(
        tmp_path, PRICES, exactly_the_same="prices = [2, 3]\ntotal = sum(prices)\nprint(total)\n```\n"
    )
    screen = told(console, "/refactor use sum alone")
    assert "turn 1, before (-) and after (+):\n  prices = [2, 3]\n- total = sum(map(abs, prices))\n" in screen
    assert "+ total = sum(prices)\n" in screen
    assert "✓ same behaviour: the output of 1 turn and 2 variables agree" in screen
    assert load(console.log.path).path[0].chunk.endswith("total = sum(prices)\nprint(total)")
    assert "use sum alone" in console.session.path[0].provenance.wish


def test_a_rewriting_that_does_otherwise_leaves_the_program_and_its_file(tmp_path: Path):
    console = console_with(
        tmp_path, PRICES, exactly_the_same="prices = [2, 4]\ntotal = 6\nprint(total)\n```\n"
    )
    before = console.session.head
    screen = told(console, "/refactor")
    assert "the new code is not used: turn 1 would print '6' instead of '5'" in screen
    assert "`prices` would be '[2, 4]' instead of '[2, 3]'" in screen
    saved = load(console.log.path)
    assert saved.head == before
    assert len(saved.turns) == 2


def test_a_turn_that_is_finished_and_fails_is_not_told_as_a_success(tmp_path: Path):
    half = Turn("count", "n = 0\nfor i in ra", status=INTERRUPTED)
    console = console_with(tmp_path, half, count="for i in range(m):\n    n += i\n```\n")
    screen = told(console, "/complete")
    assert "\nturn 1 is complete, but the program fails\n" in screen
    assert "✓" not in screen
    assert "/fix asks the model to repair it" in screen


def test_an_interrupted_turn_is_finished_and_shown_as_a_difference(tmp_path: Path):
    half = Turn("count", "n = 0\nfor i in ra", status=INTERRUPTED)
    console = console_with(tmp_path, half, count="for i in range(3):\n    n += i\nprint(n)\n```\n")
    screen = told(console, "/complete")
    assert "- for i in ra\n+ for i in range(3):\n" in screen
    assert "✓ turn 1 is complete" in screen
    assert console.session.outcome is not None
    assert console.session.outcome.stdout == "3\n"
