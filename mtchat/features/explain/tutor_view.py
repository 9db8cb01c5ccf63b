"""What the tutor does: hints in words, the code only when it is asked for, questions about what there is."""

from collections.abc import Iterator
from dataclasses import replace

from mtchat.console.desk import Desk
from mtchat.errors import MtchatError, SandboxError, UsageError
from mtchat.features.explain import answers, quiz
from mtchat.features.explain.answers import spoken_whole
from mtchat.features.explain.quiz import PRINTS, Lesson, Question, Verdict
from mtchat.features.explain.view import Speech, chats, shown_by
from mtchat.session.program import Program, assemble
from mtchat.session.session import count

MOST_HINTS = 4
MOST_TURNS = 8  # that questions are about, the last ones
MOST_LINES = 15
WAYS = "/tutor hint says more, /tutor code lets the model write it, or type an instruction of your own"


def begin(desk: Desk, goal: str) -> None:
    """A lesson with a goal, and its first hint."""
    kept = desk.lesson or Lesson()
    desk.lesson = replace(kept, goal=goal, hints=(), head=desk.session.head)
    hint(desk)


def hint(desk: Desk) -> None:
    """The next hint. Where the program has grown since the last one, hints begin anew."""
    lesson = desk.lesson
    if lesson is None or not lesson.goal:
        raise UsageError("a hint at what? /tutor TEXT says what you want to do, in your own words")
    if lesson.head != desk.session.head:
        lesson = replace(lesson, hints=(), head=desk.session.head)
    if not chats(desk):
        desk.lesson = lesson
        desk.view.say("hints need a model that can chat; /tutor code and /tutor ask work with any")
        return
    text = "" if len(lesson.hints) >= MOST_HINTS else thought(desk, lesson)
    if not text or text in lesson.hints:
        desk.view.say(
            "there is no further hint; /tutor code lets the model write it, and /explain explains it then"
        )
        return
    Speech(desk.view).say(iter([text]))
    desk.lesson = replace(lesson, hints=(*lesson.hints, text))
    desk.view.note(WAYS)


def thought(desk: Desk, lesson: Lesson) -> str:
    """A hint of the model's without any code."""
    prompt = answers.hint(lesson.goal, desk.session.program.source, lesson.hints)
    with desk.view.waiting(lambda: "thinking"):
        reply = spoken_whole(desk.model.complete, prompt)
    return answers.in_words(reply, sentences=2)


def write(desk: Desk) -> None:
    """The goal as an instruction: a turn as any other."""
    lesson = desk.lesson
    if lesson is None or not lesson.goal:
        raise UsageError("the code for what? /tutor TEXT says what you want to do, in your own words")
    before = desk.session.head
    desk.take(lesson.goal)
    if desk.session.head != before:
        desk.lesson = replace(lesson, goal="", hints=())
        desk.view.note("/explain explains it, /tutor ask asks you about it, /tutor TEXT sets the next goal")


def ask(desk: Desk) -> None:
    """A question about the program, and whether the answer is what the program does."""
    if not desk.session.path:
        raise MtchatError("there is no program to ask about yet; type an instruction, or /tutor TEXT")
    lesson = desk.lesson or Lesson()
    found = list(questions(desk))
    if not found:
        if desk.session.outcome is not None and desk.session.outcome.error:
            raise MtchatError("the program fails, so there is little to ask about; /explain error says why")
        raise MtchatError("no turn sets a value or prints one line, so there is nothing to ask about yet")
    question = found[lesson.asked % len(found)]
    show(desk, question)
    answer = desk.ask("your answer› ", "").strip()
    if not answer:
        desk.view.note("no answer, so nothing is counted; /tutor ask asks again")
        return
    verdict = check(desk, question, answer)
    desk.lesson = replace(lesson, asked=lesson.asked + 1, right=lesson.right + verdict.right)
    tell(desk, question, answer, verdict)


def questions(desk: Desk) -> Iterator[Question]:
    """What can be asked about the turns of the program, the last turn first."""
    if desk.tools.refusal():
        raise SandboxError(f"questions are checked by running the program: {desk.tools.refusal()}")
    desk.announce()
    last = len(desk.session.path)
    for number in range(last, max(last - MOST_TURNS, 0), -1):
        program = upto(desk, number)
        outcome = shown_by(desk, program)
        if outcome is None:
            raise MtchatError("questions are checked by running the program; /set run on lets it run")
        if outcome.ok:
            yield from quiz.questions(number, upto(desk, number - 1), program, outcome)


def upto(desk: Desk, number: int) -> Program:
    return assemble(desk.session.path[:number], desk.session.preamble)


def show(desk: Desk, question: Question) -> None:
    desk.view.heading(question.text)
    if question.code.count("\n") < MOST_LINES:
        desk.view.code(question.code)
    else:
        desk.view.note(f"/show {question.turn} shows its code")
    desk.view.note("answer with the value, such as 42, Ada or [1, 2]; an empty line gives no answer")


def check(desk: Desk, question: Question, answer: str) -> Verdict:
    """Whether the answer is what the program gives, found out by running it."""
    if question.kind == PRINTS:
        return quiz.compared(question, answer)
    wanted = quiz.wanted(question, answer)
    program = quiz.checking(upto(desk, question.turn), len(desk.session.path) + 1, wanted)
    outcome = shown_by(desk, program)
    if outcome is None or not outcome.ok:
        raise MtchatError("the program did not run to its end this time, so your answer was not checked")
    return quiz.checked(program, outcome)


def tell(desk: Desk, question: Question, answer: str, verdict: Verdict) -> None:
    lesson = desk.lesson
    assert lesson is not None
    subject = f"turn {question.turn} prints" if question.kind == PRINTS else f"{question.expression} is"
    if verdict.right:
        desk.view.say(f"✓ right: {subject} {verdict.given}")
    else:
        desk.view.say(f"✗ not quite: {subject} {verdict.given}, and not {answer}")
    score = f"{lesson.right} of {lesson.asked} right"
    more = "" if verdict.right else f"/explain {question.turn} shows why, line by line; "
    desk.view.note(f"{score}; {more}/tutor ask asks the next question")


def stand(desk: Desk) -> None:
    """Where the lesson is, and what can be done."""
    lesson = desk.lesson
    if lesson is None:
        desk.view.say("no lesson is on; /tutor TEXT begins one: say what you want to do, in your own words")
        return
    if lesson.goal:
        desk.view.say(f"the goal: {lesson.goal}")
        hints = lesson.hints if lesson.head == desk.session.head else ()
        for each in hints:
            Speech(desk.view).say(iter([each]))
        desk.view.note(WAYS)
    else:
        desk.view.say("no goal is set; /tutor TEXT sets the next one, /tutor ask asks a question")
    if lesson.asked:
        desk.view.note(f"questions: {lesson.right} of {lesson.asked} right")


def end(desk: Desk) -> None:
    lesson = desk.lesson
    desk.lesson = None
    if lesson is None:
        desk.view.say("no lesson is on; /tutor TEXT begins one")
        return
    score = f": {lesson.right} of {lesson.asked} questions right" if lesson.asked else ""
    desk.view.say(f"the lesson is over{score}. The program has {count(len(desk.session.path))} and stays.")
