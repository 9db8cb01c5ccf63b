"""Teaches: hints in words for what you want to do, the code only when you ask, questions about the program.

/tutor TEXT says what you want to do and gives a hint at the next step; /tutor hint says more, /tutor code
lets the model write it as a turn. /tutor ask asks what the program does, and checks your answer by running
it. /tutor alone says where you are, /tutor off ends the lesson; the program stays.
"""

from mtchat.console.console import Console
from mtchat.features.explain import tutor_view

USAGE = "[TEXT | hint | code | ask | off]"
PYTHON_ONLY = True
DEEDS = {
    "": tutor_view.show_lesson,
    "hint": tutor_view.give_hint,
    "code": tutor_view.write_goal,
    "ask": tutor_view.ask_question,
    "off": tutor_view.end_lesson,
}


def do(console: Console, argument: str) -> None:
    text = argument.strip()
    deed = DEEDS.get(text.lower())
    if deed is None:
        tutor_view.begin_lesson(console, text)
    else:
        deed(console)


def complete(console: Console) -> list[tuple[str, str]]:
    return [
        ("hint", "says more about the next step"),
        ("code", "lets the model write it"),
        ("ask", "asks you what the program does"),
        ("off", "ends the lesson"),
    ]
