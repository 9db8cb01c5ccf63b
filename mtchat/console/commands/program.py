"""Commands that run the program: run, vars, fix."""

from fnmatch import fnmatchcase

from mtchat.console.captions import short_path
from mtchat.console.console import Console
from mtchat.console.parsing import parse_count, readable_file, split_redirect, split_words
from mtchat.console.run_hints import next_step
from mtchat.console.slash import Command
from mtchat.console.terminal import asks_for_input, forward_keyboard, show_typing, terminal_descriptor
from mtchat.errors import MtchatError, UsageError
from mtchat.generate.execute import failed, is_wrong
from mtchat.session.names import bound_names
from mtchat.session.outcome import Outcome, Variable

WIDTHS = (24, 16, 12)
MOST = 9


def do_run(console: Console, argument: str) -> None:
    """Runs the whole program from the start, in the sandbox.

    A program that reads the keyboard gets what you type: Ctrl-D ends the input, and later runs reuse it.
    ARG become its arguments (sys.argv), and < FILE replaces the keyboard with a file, as in:
    /run --fast "two words" < names.txt. Runs with arguments or a file are shown, but not recorded.

    It has no network and none of your files except those of /attach, only a private work folder. The
    files that it leaves there and the figures that it shows are copied to the folder beside the session;
    /files lists them. Ctrl-C stops it.
    """
    if not console.session.path:
        raise MtchatError("there is no program yet; type an instruction")
    before, after = split_redirect(argument)
    names = split_words(after)
    if after and len(names) != 1:
        raise UsageError(
            'give one file after <, at the end: /run ARG < FILE; write "<" to pass it as an argument'
        )
    stdin = readable_file(names[0]) if names else None
    outcome = (
        run_with_keyboard(console, split_words(before))
        if stdin is None
        else console.run_showing_output(split_words(before), stdin)
    )
    if not (outcome.stdout + outcome.stderr).endswith("\n") and outcome.stdout + outcome.stderr:
        console.view.line()
    if outcome.traceback and not outcome.stopped:
        console.view.line(outcome.traceback.rstrip("\n"))
    console.view.verdict(outcome, console.hint(outcome, stdin))
    console.view.files(outcome, short_path(console.files_folder))
    if not argument.strip():
        console.view.warning(console.remove_repeats(console.session.program, outcome)[1])
    if is_wrong(outcome) and not argument.strip():
        console.view.note(next_step(outcome, len(console.session.path)))


def run_with_keyboard(console: Console, arguments: tuple[str, ...]) -> Outcome:
    """A run, with the keyboard for a program that reads from it, where there is a terminal."""
    descriptor = terminal_descriptor()
    if descriptor is None or not asks_for_input(console.session.program.source, console.session.outcome):
        return console.run_showing_output(arguments)
    console.view.note("what you type goes to the program; Ctrl-D ends the input, Ctrl-C stops the program")
    with show_typing(), forward_keyboard(descriptor) as typed_input:
        return console.run_showing_output(arguments, keyboard=typed_input)


def do_vars(console: Console, argument: str) -> None:
    """Lists the variables of the program with their types, shapes or lengths, and short values.

    NAME, which may be a pattern such as train_*, selects variables and shows more of their values. If the
    program fails, the variables are those that it had at that point.
    """
    if not console.session.path:
        raise MtchatError("there is no program yet; type an instruction")
    outcome = console.chat.run_for_variables()
    wanted = argument.strip()
    found = [each for each in outcome.variables if not wanted or fnmatchcase(each.name, wanted)]
    if not outcome.ok:
        console.view.verdict(outcome, console.hint(outcome))
    if wanted and outcome.ok and not found:
        raise MtchatError(f"the program has no variable {wanted!r}; /vars lists them")
    if wanted:
        for each in found:
            show_variable(console, each)
    elif found:
        rows = [(each.name, each.kind, each.shape, each.value) for each in found]
        console.view.table(rows, WIDTHS)
    elif outcome.ok:
        console.view.line(
            "the program has no variables yet; ask for one, as in: store the numbers 1 to 10 as numbers"
        )


def show_variable(console: Console, variable: Variable) -> None:
    """One variable over several lines."""
    shape = f" ({variable.shape})" if variable.shape else ""
    console.view.heading(f"{variable.name}: {variable.kind}{shape}")
    console.view.paragraph(variable.value)


def complete_vars(console: Console) -> list[tuple[str, str]]:
    return [(name, "") for name in sorted(bound_names(console.session.program.source))]


def do_fix(console: Console, argument: str) -> None:
    """Asks the model to repair the failing turn, in at most N rounds (3).

    That is the turn with the line that fails, even if a later turn calls it, or a turn whose check fails
    (/check). Each round is shown, and the best program is kept: it is never worse than before. A failure
    because of a missing file, keyboard input or package is left alone, because other code would not help.
    The first version and the rounds that were not kept stay in the session as other candidates.
    """
    rounds = parse_count(argument, default=3)
    if rounds > MOST:
        raise UsageError(f"at most {MOST} rounds; /edit changes the instruction")
    console.turn_number("")
    before = console.session.head
    fixed = console.fix(rounds)
    changed = "" if fixed.session.head != before else "; the program is unchanged"
    console.view.say(f"fix ended after round {fixed.rounds}: {fixed.reason}{changed}")
    if failed(fixed.session.outcome):
        number = fixed.session.outcome.turn if fixed.session.outcome else None
        place = number or len(fixed.session.path)
        console.view.note(
            f"/explain says why it fails, /edit {place} changes the instruction of turn {place}, "
            "/undo removes the last turn"
        )


COMMANDS = (
    Command("run", do_run, usage="[ARG...] [< FILE]", paths="<", python_only=True),
    Command("vars", do_vars, usage="[NAME]", complete=complete_vars, python_only=True),
    Command("fix", do_fix, usage="[N]", python_only=True),
)
