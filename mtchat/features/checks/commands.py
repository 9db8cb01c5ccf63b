"""The command /check."""

from mtchat.console.command import Command
from mtchat.console.console import Console
from mtchat.console.parsing import parse_number
from mtchat.conversation import checking
from mtchat.errors import MtchatError, UsageError
from mtchat.features.checks.parse import ParsedCheck, parse_check


def do_check(console: Console, argument: str) -> None:
    """Keeps a check with a turn: what must hold after it, as in /check total == 42.

    Words do as well: /check total is at least 40. So does an instruction: after this total must be 42, or:
    check that total is 42. The check is about the last turn, or about turn N, as in /check 2: len(names) ==
    3. It is looked at with each run of the program, on a copy of the state that its turn left; numbers that
    differ by rounding alone are equal. /retry takes a candidate that passes where there is one, and /fix
    goes on until all checks hold.

    Without anything it lists the checks; -d N removes the Nth of them.
    """
    word, *rest = argument.split() or [""]
    if word == "-d":
        remove_check(console, rest)
    elif word:
        keep_check(console, parse_check(argument, console.session))
    else:
        list_checks(console)


def remove_check(console: Console, words: list[str]) -> None:
    if len(words) != 1:
        raise UsageError("/check -d N removes one check; /check lists them with their numbers")
    chosen, count = parse_number(words[0], "the number of a check"), len(console.session.claims)
    if chosen > count:
        raise MtchatError(f"no check {chosen}; there {'is' if count == 1 else 'are'} {count or 'none'}")
    removed = checking.remove(console.chat, chosen)
    console.view.say(f"removed: {removed.told}")


def list_checks(console: Console) -> None:
    checking.evaluate(console.chat)
    for place, finding in enumerate(checking.results(console.session), start=1):
        console.view.finding(finding, f"{place}  ")
    if not console.session.claims:
        console.view.say("no checks yet; /check total == 42 keeps one with the last turn")


def keep_check(console: Console, stated: ParsedCheck) -> None:
    """Keeps a check with its turn and shows whether it holds now."""
    if checking.is_kept(console.session, stated):
        console.view.note("this check already exists")
    finding = checking.add(console.chat, stated)
    console.view.finding(finding)
    if finding.passed is False:
        console.view.note(
            "/fix asks the model to repair it; /check lists the checks, and /check -d N removes one"
        )
    elif finding.passed:
        console.view.note("it is evaluated on every run of the program; /check lists the checks")


COMMANDS = (Command("check", do_check, usage="[EXPR | -d N]", python_only=True),)
