"""Runs the whole program from the start, in the sandbox.

A program that reads from the keyboard gets what you type: Ctrl-D ends that, and later runs get it again.
The words after it are the program's arguments (sys.argv), and < FILE at the end gives it that file in place
of a keyboard, as in: /run --fast "two words" < names.txt. What such a run did is shown, and not recorded.

It has no network and none of your files but those of /attach, only a private work folder. The files it leaves
there, and the figures it shows, are copied to the folder beside the session; /files lists them. Ctrl-C stops
it.
"""

from mtchat.console.captions import short_path
from mtchat.console.console import Console
from mtchat.console.parsing import readable_file, split_redirect, split_words
from mtchat.console.run_hints import next_step
from mtchat.console.terminal import asks_for_input, forward_keyboard, show_typing, terminal_descriptor
from mtchat.errors import MtchatError, UsageError
from mtchat.generate.running import wrong
from mtchat.session.outcome import Outcome

USAGE = "[ARG...] [< FILE]"
PYTHON_ONLY = True
PATHS = "<"


def do(console: Console, argument: str) -> None:
    if not console.session.path:
        raise MtchatError("there is no program yet; type an instruction")
    before, after = split_redirect(argument)
    names = split_words(after)
    if after and len(names) != 1:
        raise UsageError("one file follows <, at the end: /run ARG < FILE; in quotes, < is an argument")
    stdin = readable_file(names[0]) if names else None
    outcome = (
        typed_at(console, split_words(before))
        if stdin is None
        else console.run_aloud(split_words(before), stdin)
    )
    if not (outcome.stdout + outcome.stderr).endswith("\n") and outcome.stdout + outcome.stderr:
        console.view.line()
    if outcome.traceback and not outcome.stopped:
        console.view.line(outcome.traceback.rstrip("\n"))
    console.view.verdict(outcome, console.hint(outcome, stdin))
    console.view.files(outcome, short_path(console.place))
    if not argument.strip():
        console.view.warning(console.news(console.session.program, outcome)[1])
    if wrong(outcome) and not argument.strip():
        console.view.note(next_step(outcome, len(console.session.path)))


def typed_at(console: Console, arguments: tuple[str, ...]) -> Outcome:
    """A run, with the keyboard for a program that reads from it, where there is a terminal."""
    descriptor = terminal_descriptor()
    if descriptor is None or not asks_for_input(console.session.program.source, console.session.outcome):
        return console.run_aloud(arguments)
    console.view.note("what you type goes to the program; Ctrl-D ends it, Ctrl-C stops the program")
    with show_typing(), forward_keyboard(descriptor) as board:
        return console.run_aloud(arguments, board=board)
