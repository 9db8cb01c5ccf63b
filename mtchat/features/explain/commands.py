"""Commands for questions and learners: ask, explain, tutor."""

from mtchat.console.captions import one_line
from mtchat.console.console import Console
from mtchat.console.parsing import parse_number
from mtchat.console.slash import Command
from mtchat.errors import UsageError
from mtchat.features.explain import tutor_view
from mtchat.features.explain.inquiry_view import answer_question
from mtchat.features.explain.view import explain_error, explain_line, explain_turn
from mtchat.generate.execute import failed

DEEDS = {
    "": tutor_view.show_lesson,
    "hint": tutor_view.give_hint,
    "code": tutor_view.write_goal,
    "ask": tutor_view.ask_question,
    "off": tutor_view.end_lesson,
}


def do_ask(console: Console, argument: str) -> None:
    """Answers a question about the program, in any language; the program does not change.

    What is certain comes first: from the code, the values of the last run and the documentation of libraries.
    Then the model adds its words, marked with ≈. No code runs that the program does not have.
    """
    answer_question(console, argument)


def do_explain(console: Console, argument: str) -> None:
    """Explains the last turn, another turn, one of its lines, or the error in plain words.

    /explain 3 explains turn 3 line by line, /explain 3:2 says more about its line 2, and /explain error says
    why the program fails: the facts first, then the model's words. The program does not change; Ctrl-C stops
    the explanation.
    """
    word = argument.strip()
    last = console.turn_number("")
    if word == "error" or (not word and failed(console.session.outcome)):
        explain_error(console)
        return
    turn, colon, line = word.partition(":")
    if word and not turn.strip().isdecimal():
        ways = f"/explain {last} (a turn), /explain {last}:1 (a line) or /explain error"
        raise UsageError(f"cannot explain {one_line(word, 40)!r}; try {ways}")
    chosen = console.turn_number(turn)
    if colon:
        explain_line(console, chosen, parse_number(line, "the number of a line"))
    else:
        explain_turn(console, chosen)


def complete_explain(console: Console) -> list[tuple[str, str]]:
    turns = [
        (str(at), one_line(turn.instruction, 50)) for at, turn in enumerate(console.session.path, start=1)
    ]
    return [*turns, ("error", "why the program fails")]


def do_tutor(console: Console, argument: str) -> None:
    """Teaches you: gives hints in words, code only on request, and asks questions about the program.

    /tutor TEXT sets a goal, in your own words, and gives a hint for the next step; /tutor hint says more,
    and /tutor code lets the model write the code as a turn. /tutor ask asks what the program does and checks
    your answer by running it. /tutor alone shows your goal and score; /tutor off ends the lesson, and the
    program stays.
    """
    text = argument.strip()
    deed = DEEDS.get(text.lower())
    if deed is None:
        tutor_view.begin_lesson(console, text)
    else:
        deed(console)


def complete_tutor(console: Console) -> list[tuple[str, str]]:
    return [
        ("hint", "says more about the next step"),
        ("code", "lets the model write the code"),
        ("ask", "asks you what the program does"),
        ("off", "ends the lesson"),
    ]


COMMANDS = (
    Command("ask", do_ask, usage="TEXT"),
    Command("explain", do_explain, usage="[N | N:LINE | error]", complete=complete_explain, python_only=True),
    Command(
        "tutor", do_tutor, usage="[TEXT | hint | code | ask | off]", complete=complete_tutor, python_only=True
    ),
)
