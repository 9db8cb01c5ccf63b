"""Does what a typed text means, and the command /as, which takes the last text for something else."""

from dataclasses import replace

from mtchat.console.console import Console
from mtchat.console.slash import Command
from mtchat.conversation.checking import remove_check
from mtchat.errors import UsageError
from mtchat.features.checks.commands import keep_check
from mtchat.features.explain.inquiry_view import answer_question
from mtchat.features.understand.reading import WRITING, Kind, LastText, Reading, Understanding
from mtchat.features.understand.view import describe_choices, describe_other, describe_taken

READINGS = " | ".join(Kind)


def respond(console: Console, text: str) -> bool:
    """Does what a text means, which the user is asked about if it is unclear; False if that was stopped."""
    if not console.chat.detects_corrections:
        return console.follow(text, Reading(Kind.STEP))
    understanding = console.chat.understand(text)
    reading = settle(console, understanding)
    return reading is not None and act(console, understanding, reading)


def settle(console: Console, understanding: Understanding) -> Reading | None:
    """The reading to go by: the likeliest, or the one that the user chooses; None if the user did neither."""
    if not understanding.is_close:
        return understanding.best
    choices = describe_choices(understanding, console.session.path)
    chosen = console.questions.choose_reading(choices, len(understanding.offered), understanding.text)
    return None if chosen is None else understanding.offered[chosen]


def act(console: Console, understanding: Understanding, reading: Reading) -> bool:
    """Does what a text means by one of its readings; False if that was stopped."""
    text, path = understanding.text, console.session.path
    if reading.kind in WRITING:
        done = console.follow(text, reading)
        if done and (other := describe_other(understanding, reading, path, console.has_keys)):
            console.view.note(other)
        return done
    console.chat.last_text = console.chat.last_text.after(text, console.session.head).with_result(
        reading, console.session.head
    )
    console.view.note(describe_taken(reading.kind, console.has_keys))
    if reading.kind is Kind.CHECK:
        known = console.session.checks
        keep_check(console, text)
        new = tuple(check.code for check in console.session.checks if check not in known)
        console.chat.last_text = replace(console.chat.last_text, checks=new)
    elif reading.kind is Kind.QUESTION:
        answer_question(console, text)
    return True


def do_as(console: Console, argument: str) -> None:
    """Takes the last text for something else, as if it had been read so at first.

    /as step makes a new step of it, and /as change 2 a change of turn 2. Without an argument, a step becomes
    a change, and a change a step. What was already written for that reading is brought back.
    """
    word, *rest = argument.split() or [other_kind(console)]
    if word not in tuple(Kind):
        raise UsageError(f"{word!r} is not a reading; choose from: {READINGS}")
    kind = Kind(word)
    number = console.turn_number(rest[0]) if rest and kind is Kind.CHANGE else 0
    last = console.chat.known_text()
    drop_checks(console, last)
    if kind in WRITING:
        console.read_as(kind, number)
        return
    if not last.text:
        raise UsageError("there is no instruction yet that could be read in another way")
    if console.session.head != last.base:
        console.chat.keep(console.session.move(last.base), "undo")
    understanding = Understanding(last.text, (Reading(kind),))
    act(console, understanding, Reading(kind))


def drop_checks(console: Console, last: LastText) -> None:
    """Removes the checks that were kept for a text that is taken for something else now."""
    for number, check in reversed(list(enumerate(console.session.checks, start=1))):
        if check.code in last.checks:
            console.view.note(f"removed: {remove_check(console.chat, number).sentence}")


def other_kind(console: Console) -> Kind:
    """The reading that /as alone switches to."""
    live, _ = console.chat.known_text().live(console.session)
    return Kind.CHANGE if live is Kind.STEP else Kind.STEP


COMMANDS = (Command("as", do_as, usage=f"[{READINGS}] [N]", python_only=True),)
