"""The tutor: hints in words, code only on request, and questions about the program."""

from collections.abc import Iterator
from dataclasses import replace

from mtchat.console.console import Console
from mtchat.errors import MtchatError, SandboxError, UsageError
from mtchat.features.explain import answers, quiz
from mtchat.features.explain.answers import read_answer
from mtchat.features.explain.quiz import PRINTS, QuizQuestion, QuizVerdict, TutorLesson
from mtchat.features.explain.view import StreamedParagraph, can_chat, dry_run
from mtchat.session.program import Program, assemble
from mtchat.session.session import count_turns

MOST_HINTS = 4
MOST_TURNS = 8  # the latest ones, which questions are about
MOST_LINES = 15
WAYS = "/tutor hint says more, /tutor code lets the model write the code, or type your own instruction"


def begin_lesson(console: Console, goal: str) -> None:
    """Starts a lesson with a goal and shows its first hint."""
    kept = console.lesson or TutorLesson()
    console.lesson = replace(kept, goal=goal, hints=(), head=console.session.head)
    give_hint(console)


def give_hint(console: Console) -> None:
    """Shows the next hint. Hints start again if the program has grown since the last one."""
    lesson = console.lesson
    if lesson is None or not lesson.goal:
        raise UsageError("a hint for what? Say what you want to do with /tutor TEXT, in your own words")
    if lesson.head != console.session.head:
        lesson = replace(lesson, hints=(), head=console.session.head)
    if not can_chat(console):
        console.lesson = lesson
        console.view.say("hints need a model that can chat; /tutor code and /tutor ask work with any")
        return
    text = "" if len(lesson.hints) >= MOST_HINTS else hint_text(console, lesson)
    if not text or text in lesson.hints:
        console.view.say(
            "there are no more hints; /tutor code lets the model write the code, which /explain then explains"
        )
        return
    StreamedParagraph(console.view).say(iter([text]))
    console.lesson = replace(lesson, hints=(*lesson.hints, text))
    console.view.note(WAYS)


def hint_text(console: Console, lesson: TutorLesson) -> str:
    """A hint by the model, without code."""
    prompt = answers.hint_prompt(lesson.goal, console.session.program.source, lesson.hints)
    with console.view.waiting(lambda: "thinking"):
        reply = read_answer(console.chat.model.complete, prompt)
    return answers.strip_code(reply, sentences=2)


def write_goal(console: Console) -> None:
    """Takes the goal as an instruction for a turn."""
    lesson = console.lesson
    if lesson is None or not lesson.goal:
        raise UsageError("code for what? Say what you want to do with /tutor TEXT, in your own words")
    before = console.session.head
    console.take(lesson.goal)
    if console.session.head != before:
        console.lesson = replace(lesson, goal="", hints=())
        console.view.note(
            "/explain explains the code, /tutor ask asks you about it, /tutor TEXT sets the next goal"
        )


def ask_question(console: Console) -> None:
    """Asks a question about the program and checks the answer."""
    if not console.session.path:
        raise MtchatError("there is no program to ask about yet; type an instruction, or /tutor TEXT")
    lesson = console.lesson or TutorLesson()
    found = list(find_questions(console))
    if not found:
        if console.session.outcome is not None and console.session.outcome.error:
            raise MtchatError("the program fails, so there is nothing to ask about; /explain error says why")
        raise MtchatError("no turn sets a value or prints a line, so there is nothing to ask about yet")
    question = found[lesson.asked % len(found)]
    show_question(console, question)
    answer = console.edit_line("your answer› ", "").strip()
    if not answer:
        console.view.note("not counted, because you gave no answer; /tutor ask asks again")
        return
    verdict = check_answer(console, question, answer)
    console.lesson = replace(lesson, asked=lesson.asked + 1, right=lesson.right + verdict.right)
    show_verdict(console, question, answer, verdict)


def find_questions(console: Console) -> Iterator[QuizQuestion]:
    """The possible questions about the program, last turn first."""
    if reason := console.chat.sandbox.unavailable_reason():
        raise SandboxError(f"answers are checked by running the program: {reason}")
    console.chat.warn_about_sandbox()
    last = len(console.session.path)
    for number in range(last, max(last - MOST_TURNS, 0), -1):
        program = program_up_to(console, number)
        outcome = dry_run(console, program)
        if outcome is None:
            raise MtchatError("answers are checked by running the program; /set run on allows it")
        if outcome.ok:
            yield from quiz.make_questions(number, program_up_to(console, number - 1), program, outcome)


def program_up_to(console: Console, number: int) -> Program:
    return assemble(console.session.path[:number], console.session.preamble)


def show_question(console: Console, question: QuizQuestion) -> None:
    console.view.heading(question.text)
    if question.code.count("\n") < MOST_LINES:
        console.view.code(question.code)
    else:
        console.view.note(f"/show {question.turn} shows its code")
    console.view.note("answer with the value, such as 42, Ada or [1, 2]; Enter alone skips the question")


def check_answer(console: Console, question: QuizQuestion, answer: str) -> QuizVerdict:
    """Whether the answer is correct, determined by running the program."""
    if question.kind == PRINTS:
        return quiz.compare_output(question, answer)
    wanted = quiz.answer_check(question, answer)
    program = quiz.checking_program(
        program_up_to(console, question.turn), len(console.session.path) + 1, wanted
    )
    outcome = dry_run(console, program)
    if outcome is None or not outcome.ok:
        raise MtchatError("the program did not finish this time, so your answer was not checked")
    return quiz.read_verdict(program, outcome)


def show_verdict(console: Console, question: QuizQuestion, answer: str, verdict: QuizVerdict) -> None:
    lesson = console.lesson
    assert lesson is not None
    subject = f"turn {question.turn} prints" if question.kind == PRINTS else f"{question.expression} is"
    if verdict.right:
        console.view.say(f"✓ right: {subject} {verdict.given}")
    else:
        console.view.say(f"✗ not quite: {subject} {verdict.given}, not {answer}")
    score = f"{lesson.right} of {lesson.asked} right"
    more = "" if verdict.right else f"/explain {question.turn} shows why, line by line; "
    console.view.note(f"{score}; {more}/tutor ask asks the next question")


def show_lesson(console: Console) -> None:
    """Shows the goal, the hints and the score."""
    lesson = console.lesson
    if lesson is None:
        console.view.say(
            "no lesson is running; start one with /tutor TEXT: say what you want to do, in your own words"
        )
        return
    if lesson.goal:
        console.view.say(f"your goal: {lesson.goal}")
        hints = lesson.hints if lesson.head == console.session.head else ()
        for each in hints:
            StreamedParagraph(console.view).say(iter([each]))
        console.view.note(WAYS)
    else:
        console.view.say("no goal is set; /tutor TEXT sets the next one, /tutor ask asks a question")
    if lesson.asked:
        console.view.note(f"questions: {lesson.right} of {lesson.asked} right")


def end_lesson(console: Console) -> None:
    lesson = console.lesson
    console.lesson = None
    if lesson is None:
        console.view.say("no lesson is running; /tutor TEXT starts one")
        return
    score = f": {lesson.right} of {lesson.asked} questions right" if lesson.asked else ""
    console.view.say(
        f"the lesson is over{score}. The program keeps its {count_turns(len(console.session.path))}."
    )
