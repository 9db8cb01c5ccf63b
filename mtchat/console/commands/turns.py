"""Commands that add, repeat or show turns: next, add, retry, show, thought."""

from mtchat.console.captions import context_label, describe_thought
from mtchat.console.console import Console
from mtchat.console.parsing import parse_count, readable_file, split_words
from mtchat.console.slash import Command
from mtchat.errors import UsageError
from mtchat.files import read

MOST = 64


def do_next(console: Console, argument: str) -> None:
    """Treats TEXT as a new step, even if it reads like a correction."""
    if not argument.strip():
        raise UsageError("What is the next step? For example: /next make it print twice")
    console.take(argument.strip())


def do_add(console: Console, argument: str) -> None:
    """Adds your own code as the next turn, unchanged; /add < FILE reads it from a file.

    Text that can only be Python is added without the command, for example when you paste it. The model
    sees your code like its own. /next TEXT treats such text as an instruction.
    """
    console.add(read_code(argument))


def read_code(argument: str) -> str:
    """The code that is typed, or that is in the file that is named."""
    if not argument.lstrip().startswith("<"):
        return argument
    names = split_words(argument.lstrip()[1:])
    if len(names) != 1:
        raise UsageError("give one file after <, for example: /add < report.py")
    path = readable_file(names[0])
    try:
        return read(path).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None


def do_retry(console: Console, argument: str) -> None:
    """Regenerates the last turn at a higher temperature; with N, generates N candidates to choose from.

    Candidates that behave identically are listed once, by what they print, change or fail with. All of
    them stay in the session: /pick lists them again.
    """
    count = parse_count(argument)
    if count > MOST:
        raise UsageError(f"at most {MOST} candidates at once")
    console.turn_number("")
    if count > 1:
        console.compare(count)
        return
    console.retry()


def do_show(console: Console, argument: str) -> None:
    """Shows the program, or turn N, with its instructions."""
    path = console.session.path
    chosen = console.turn_number(argument) if argument.strip() or not path else None
    if console.session.preamble.strip() and chosen is None:
        console.view.code(console.session.preamble.rstrip())
        console.view.line()
    for number, turn in enumerate(path, start=1):
        if chosen in (None, number):
            console.view.turn(number, turn, context_label(console.session, turn))
            if number < len(path) and chosen is None:
                console.view.line()


def do_thought(console: Console, argument: str) -> None:
    """Shows what the model thought before it wrote the code of turn N, or of the last turn.

    /set think makes models think; their thoughts are not part of the program and of no later prompt.
    """
    number = console.turn_number(argument)
    turn = console.session.turn_at(number)
    if not turn.provenance.thought.strip():
        console.view.say(f"turn {number} was written without a thought")
        return
    console.view.note(turn.provenance.thought.strip("\n"))
    if cost := describe_thought(turn.usage):
        console.view.say(cost)


COMMANDS = (
    Command("next", do_next, usage="TEXT"),
    Command("add", do_add, usage="CODE | < FILE", paths="<"),
    Command("retry", do_retry, usage="[N]"),
    Command("show", do_show, usage="[N]"),
    Command("thought", do_thought, usage="[N]"),
)
