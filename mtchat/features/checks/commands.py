"""The command /check."""

from mtchat.console.console import Console
from mtchat.console.parsing import parse_number
from mtchat.console.slash import Command
from mtchat.conversation import checking
from mtchat.errors import MtchatError, UsageError


def do_check(console: Console, argument: str) -> None:
    """Adds a check: what must be true after a turn, for example /check total == 42.

    Words work too, in any language that the model knows: /check no price is below 1. The model writes Python
    for them, which is tried on the program's values and shown. The check applies to the last turn, or to
    turn N: /check 2: len(names) == 3. It is evaluated on every run of the program, on a copy of the state
    after its turn; numbers that differ only by rounding are equal. /retry prefers a candidate that passes,
    and /fix continues until all checks hold.

    /check alone lists the checks; /check -d N removes check N.
    """
    word, *rest = argument.split() or [""]
    if word == "-d":
        remove_check(console, rest)
    elif word:
        keep_check(console, argument)
    else:
        list_checks(console)


def remove_check(console: Console, words: list[str]) -> None:
    if len(words) != 1:
        raise UsageError("/check -d N removes one check; /check lists them with their numbers")
    chosen, count = parse_number(words[0], "the number of a check"), len(console.session.checks)
    if chosen > count:
        raise MtchatError(f"there is no check {chosen}; {describe_count(count)}")
    removed = checking.remove_check(console.chat, chosen)
    console.view.say(f"removed: {removed.sentence}")


def describe_count(count: int) -> str:
    return (
        f"the checks are 1 to {count}" if count > 1 else f"there {'is only check 1' if count else 'are none'}"
    )


def list_checks(console: Console) -> None:
    checking.reevaluate(console.chat)
    for place, finding in enumerate(checking.check_results(console.session), start=1):
        console.view.show_check_result(finding, f"{place}  ")
    if not console.session.checks:
        console.view.say("no checks yet; add one for the last turn, for example /check total == 42")


def keep_check(console: Console, text: str) -> None:
    """Keeps what a text says must hold, with its turn, and shows whether it holds now."""
    stated = checking.read_check(console.chat, text)
    if checking.is_kept(console.session, stated):
        console.view.note("this check already exists")
    finding = checking.add_check(console.chat, stated)
    if stated.worded:
        console.view.show_check_code(finding)
    else:
        console.view.show_check_result(finding)
    if finding.passed is False:
        console.view.note(
            "/fix asks the model to repair it; /check lists the checks, and /check -d N removes one"
        )
    elif finding.passed:
        console.view.note("the check is evaluated on every run of the program; /check lists the checks")


COMMANDS = (Command("check", do_check, usage="[EXPR | -d N]", python_only=True),)
