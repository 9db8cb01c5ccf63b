"""Shows how a turn is replaced and the later ones are kept or regenerated."""

from collections.abc import Callable
from dataclasses import dataclass

from mtchat.console.captions import one_line
from mtchat.console.console import Console
from mtchat.console.turn_view import TurnView
from mtchat.console.view import View
from mtchat.conversation.editing import EditResult, TurnEditor
from mtchat.errors import UsageError
from mtchat.features.regenerate.regenerate import RegenerationStep, always, never, when_stale
from mtchat.generate.judge.regressions import describe_broken
from mtchat.session.names import describe_users as used
from mtchat.session.outcome import Outcome
from mtchat.session.program import Program
from mtchat.session.session import Session

ASK = "--ask"
WAYS = {"--keep": never, "--all": always}
FLAGS = (ASK, *WAYS)
KEEP, AGAIN = "keep", "again"


@dataclass(frozen=True)
class FlaggedArgument:
    """The argument of a command: a flag, "" for none, and the rest of the line."""

    flag: str
    rest: str


def parse_flag(argument: str) -> FlaggedArgument:
    """Splits a flag off a command's argument: it comes before or after the turn number."""
    first, *others = argument.split(maxsplit=1) or [""]
    if first.startswith("--"):
        return FlaggedArgument(check_flag(first), "".join(others))
    second, *rest = "".join(others).split(maxsplit=1) or [""]
    if first.isdecimal() and second.startswith("--"):
        return FlaggedArgument(check_flag(second), " ".join([first, *rest]))
    return FlaggedArgument("", argument)


def check_flag(flag: str) -> str:
    if flag not in FLAGS:
        raise UsageError(f"unknown flag {flag[:40]!r}; the flags are {', '.join(FLAGS)}")
    return flag


def reword(console: Console, number: int, instruction: str, flag: str = "") -> None:
    """Regenerates turn `number` from another instruction, then the later turns."""

    def make(editor: TurnEditor) -> EditResult:
        return editor.reword(number, instruction)

    replace_turn(console, number, make, flag, f"{number}› {instruction}")


def recode(console: Console, number: int, code: str, flag: str = "", filled: str = "") -> None:
    """Replaces the code of turn `number` by the user's, its holes `filled` by a model; then later turns."""

    def make(editor: TurnEditor) -> EditResult:
        return editor.recode(number, code, filled)

    replace_turn(console, number, make, flag)


def replace_turn(
    console: Console,
    number: int,
    make: Callable[[TurnEditor], EditResult],
    flag: str,
    heading: str = "",
) -> None:
    """Replaces a turn and shows what becomes of the later ones; an interrupt leaves the program unchanged."""
    console.questions.reset()
    old, chat = console.session, console.chat
    if uses := used(old.path, number):
        console.view.note(f"{uses} from turn {number}")
    if heading:
        console.view.heading(heading)
    known = old.outcome.outputs if old.outcome else ()
    writing: TurnView | None = None

    def begin(base: Session) -> None:
        nonlocal writing
        console.view.erase()
        seen = writing.known_outputs if writing else known
        writing = console.show_turns(
            base, beside=True, since=number, known_outputs=seen, remove_repeats=plainly
        )

    def look(program: Program) -> Outcome:
        with console.view.waiting(lambda: "checking the later turns"):
            return chat.dry_run(program)

    def tell(step: RegenerationStep, base: Session) -> None:
        console.view.erase()
        show_step(console.view, step)

    editor = TurnEditor(
        chat,
        begin,
        tell,
        (lambda step: ask_decision(console, step)) if flag == ASK else WAYS.get(flag),
        look if chat.can_dry_run else None,
    )
    try:
        edit = make(editor)
    except KeyboardInterrupt:
        console.questions.reset()
        console.view.erase()
        console.view.note("interrupted; the program is unchanged, and /tree shows the turns written so far")
        return
    console.finish(old)
    if not edit.branch:
        return
    if edit.later:
        console.view.line()
        report_changes(console.view, old, edit.after, edit.same, edit.later)
        if edit.broken:
            console.view.warning(describe_broken(edit.broken))
    console.view.note(f"/goto {edit.branch} returns to the old program")


def plainly(outcome: Outcome) -> tuple[Outcome, str]:
    """An outcome unchanged, because all of it is new."""
    return outcome, ""


def show_step(view: View, step: RegenerationStep) -> None:
    """Shows one line for a turn that is kept; the instruction and the reason for one that is regenerated."""
    if step.worse:
        view.note(f"keeping turn {step.number} unchanged: the regenerated code was worse")
    elif step.regenerated:
        view.heading(f"{step.number}› {step.turn.instruction_as_typed}")
        view.note(f"regenerated: {step.reason}" if step.reason else "regenerated, although it still fits")
    else:
        view.note(f"turn {step.number} is kept" + (f", although {step.reason}" if step.reason else ""))


def report_changes(view: View, old: Session, made: Session, same: int, later: int) -> None:
    """Shows how the program has changed, and how many later turns are kept."""
    view.diff(old.program.source, made.program.source)
    view.note(f"kept {same} of {later} later turn{'' if later == 1 else 's'}")


def ask_decision(console: Console, step: RegenerationStep) -> bool:
    """The user's decision; Enter takes the default, which is shown first."""
    usual, answer = when_stale(step), console.questions.answer
    if answer is None:
        return usual
    choice = f"[{AGAIN}] or {KEEP}" if usual else f"[{KEEP}] or {AGAIN}"
    wish = one_line(step.turn.instruction_as_typed, 40)
    label = f"{step.number}› {wish}: {step.reason or 'it still fits'}. {choice}? "
    while (text := answer(label)) is not None:
        word = text.strip().lower()
        if not word:
            return usual
        if KEEP.startswith(word) or AGAIN.startswith(word):
            return AGAIN.startswith(word)
        console.view.note(f"type {KEEP} or {AGAIN}; Ctrl-C leaves the program unchanged")
    raise KeyboardInterrupt
