"""Commands that rewrite code: complete, refactor, recap."""

import itertools
from collections.abc import Callable
from dataclasses import replace

from mtchat.console.captions import describe_position
from mtchat.console.console import Console
from mtchat.console.slash import Command
from mtchat.console.turn_view import TurnView
from mtchat.console.view import GREEN, YELLOW
from mtchat.errors import UsageError
from mtchat.features.rework.recap import write_recap
from mtchat.features.rework.rework import ReworkResult, complete_turn, refactor_turn
from mtchat.generate.events import Event, TurnWritten
from mtchat.generate.execute import failed, is_wrong, never_ended
from mtchat.generate.rewrite import describe_joined
from mtchat.generate.turn import TurnGenerator
from mtchat.session.outcome import Outcome
from mtchat.session.session import Session
from mtchat.session.turn import INTERRUPTED

NEW, NOW = "new", "now"
QUESTION = "which program do you want to keep, new or now? (Enter = now) "
UNCHANGED = "the program is unchanged"


def do_complete(console: Console, argument: str) -> None:
    """Completes the code of turn N: one that was interrupted, or has placeholders (pass, ..., TODO).

    Interrupted code continues after its last complete line. The program is run with the new code, which is
    not used if the program ran before and would now fail, or if placeholders remain. Later turns keep their
    code, and the old code stays in the session as a branch.
    """
    number = console.turn_number(argument)
    sampling = console.chat.settings.sampling
    reworked = run_rework(
        console, number, lambda generator, session: complete_turn(generator, session, number, sampling)
    )
    show_result(console, reworked, f"turn {number} is complete")
    if not reworked.taken:
        console.view.note(f"/complete {number} tries again, /code {number} lets you write the code")


def do_refactor(console: Console, argument: str) -> None:
    """Rewrites the code of turn N more cleanly, without changing what the program does.

    WISH says how, for example /refactor 2 use a list comprehension. The program is run before and after: the
    output of each turn, all variables, and the results of its functions for simple values must be the same,
    or the new code is not used and the differences are shown. Files that it writes are not compared. The old
    code stays in the session as a branch.
    """
    word, *rest = argument.split(maxsplit=1)[:2] or [""]
    if word and not word.isdecimal():
        word, rest = "", [argument]
    number = console.turn_number(word)
    wish, sampling = (rest[0].strip() if rest else ""), console.chat.settings.sampling
    reworked = run_rework(
        console, number, lambda generator, session: refactor_turn(generator, session, number, wish, sampling)
    )
    show_result(console, reworked, f"same behaviour: {reworked.compared} agree")
    if not reworked.taken:
        console.view.note(f"/refactor {number} tries again; text after the number says how to rewrite it")


def do_recap(console: Console, argument: str) -> None:
    """Writes the whole program again from all instructions at once, and lets you choose which one to keep.

    The new program is run, and its differences from the current one are shown. Each turn has its own part of
    it; turns that it does not keep apart become one. The one that you do not choose stays in the session as a
    named branch. /recap new takes the new one without asking; if nobody can be asked, the current one stays.
    """
    if argument.strip() not in ("", NEW):
        raise UsageError(f"/recap accepts only {NEW!r}, which takes the new program without asking")
    console.turn_number("")
    before = console.session
    generator = replace(console.generator(), on_event=RecapHandler(console))
    made = write_recap(generator, before, console.chat.settings.sampling)
    if made is before:
        console.view.say(f"the model wrote nothing; {UNCHANGED}")
    elif made.path[-1].status == INTERRUPTED:
        console.view.say(UNCHANGED)
    elif not compare_programs(console, made):
        console.view.say("the new program is identical to the current one")
    elif argument.strip() == NEW or wants_new(console):
        switch_to_new(console, made.head)
    else:
        keep_current(console, made.head)


class RecapHandler:
    """Shows a program while it is written, and saves it as a branch beside the live one."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.show = TurnView(console.view, hint=console.hint, thoughts=console.chat.settings.thoughts)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TurnWritten):
            self.console.chat.keep(merge_beside(event.session, self.console.session), "recap")
        self.show(event)


def merge_beside(made: Session, live: Session) -> Session:
    """The new turns of one session in another one, which stays live."""
    visited = {**made.visited, **live.visited}
    return replace(live.with_alternatives(made), visited=visited)


def compare_programs(console: Console, made: Session) -> bool:
    """Runs the new program if programs may run, and shows how it differs; False if it does not."""
    live = console.session
    old, new = live.program.source, made.program.source
    if old == new:
        return False
    if console.chat.runs_unseen_code and console.chat.runner() is not None:
        made = run_aside(console, made)
        if never_ended(live.outcome):
            made = replace(made, outcomes={**made.outcomes, **run_aside(console, live).outcomes})
        console.chat.keep(merge_beside(made, live), "recap")
    console.view.heading("the new program (+) and the current one (-)")
    console.view.diff(old, new)
    show_outputs(console, console.session.outcome, made.outcome)
    return True


def run_aside(console: Console, session: Session) -> Session:
    """A session with the outcome of its program; the files that it writes are not kept."""
    return session.with_outcome(console.chat.resume(session.program, None))


def show_outputs(console: Console, old: Outcome | None, new: Outcome | None) -> None:
    """Shows what each program prints and how it ends; once if that is the same."""
    if old is None or new is None:
        console.view.note("neither program was run")
    elif (old.stdout, old.error) == (new.stdout, new.error):
        show_output(console, "both print", new)
    else:
        show_output(console, "the current one prints", old)
        show_output(console, "the new one prints", new)


def show_output(console: Console, words: str, outcome: Outcome) -> None:
    console.view.heading(f"{words}:" if outcome.stdout.strip() else f"{words} nothing")
    console.view.output(outcome.stdout)
    console.view.verdict(outcome, console.hint(outcome))


def wants_new(console: Console) -> bool:
    """Whether the user chooses the new program; False if nobody can be asked."""
    while console.questions.answer is not None:
        word = (console.questions.answer(QUESTION) or NOW).strip().lower()
        if word in (NEW, NOW, ""):
            return word == NEW
        wait = "; Ctrl-C keeps the current one, then commands work again" if word.startswith("/") else ""
        console.view.note(f"type {NEW} or {NOW}, or press Enter{wait}")
    return False


def switch_to_new(console: Console, head: str) -> None:
    """Makes the new program live; the branch name moves to it, and the old program gets a name of its own."""
    old = console.session
    name = free_name(old, "before-recap", old.head)
    branches = {**old.branches, name: old.head}
    if old.branch:
        branches[old.branch] = head
    console.chat.keep(replace(old.move(head), branches=branches), "recap")
    if console.chat.runs_unseen_code and console.chat.runner() is not None:  # for the files that it leaves
        console.chat.keep(
            console.session.with_outcome(console.chat.run_program(console.session.program)), "recap"
        )
    console.view.say(describe_position(console.session))
    if joined := describe_joined(console.session.path):
        console.view.note(joined)
    console.view.note(f"/goto {name} returns to the old one")


def keep_current(console: Console, head: str) -> None:
    """Keeps the current program live; the new one gets a branch name."""
    name = free_name(console.session, "recap", head)
    console.chat.keep(replace(console.session, branches={**console.session.branches, name: head}), "recap")
    console.view.say(f"{UNCHANGED}; /goto {name} switches to the new one")


def free_name(session: Session, name: str, end: str) -> str:
    """A branch name, numbered if another branch already has it."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if session.branches.get(each, end) == end)


def complete_recap(console: Console) -> list[tuple[str, str]]:
    return [(NEW, "takes the new program without asking")]


def run_rework(
    console: Console, number: int, do: Callable[[TurnGenerator, Session], ReworkResult]
) -> ReworkResult:
    """Asks for a turn again and runs it; rejected code is kept as a branch beside the program."""
    console.chat.require_sandbox()
    if not console.chat.runs_unseen_code:
        raise UsageError("this command runs the new code to compare it; /set run on allows that")
    base = console.session.undo(len(console.session.path) - number + 1)
    generator = replace(console.generator(base), run=console.chat.run_program, dry_run=console.chat.dry_run)
    reworked = do(generator, console.session)
    console.chat.keep(reworked.session, "rework")
    return reworked


def show_result(console: Console, reworked: ReworkResult, same: str) -> None:
    """Shows the difference and whether the new code is used; `same` is the message if it is."""
    view = console.view
    if reworked.new and reworked.new != reworked.old:
        view.say(f"turn {reworked.number}, before (-) and after (+):")
        view.diff(reworked.old, reworked.new)
    if not reworked.taken:
        view.say(f"the new code is not used: {'; '.join(reworked.reasons)}")
        return
    doubt = remaining_problem(reworked.session.outcome)
    view.say(f"{same}, but {doubt}" if doubt else f"✓ {same}", YELLOW if doubt else GREEN)
    view.note("the old code stays in the session as a branch; /tree shows it")
    if is_wrong(reworked.session.outcome):
        view.note("/explain says why in plain words, /fix asks the model to repair it")


def remaining_problem(outcome: Outcome | None) -> str:
    """What is wrong with the program in its last run; "" if nothing is."""
    if outcome is None or never_ended(outcome):
        return "the program has not finished a run"
    if failed(outcome):
        return "the program fails"
    return "a check fails" if outcome.failed_checks else ""


COMMANDS = (
    Command("complete", do_complete, usage="[N]", python_only=True),
    Command("refactor", do_refactor, usage="[N] [WISH]", python_only=True),
    Command("recap", do_recap, usage="[new]", complete=complete_recap),
)
