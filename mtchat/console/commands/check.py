"""Keeps a check with a turn: what must hold after it, as in /check total == 42.

Words do as well: /check total is at least 40. So does an instruction: after this total must be
42, or: check that total is 42. The check is about the last turn, or about turn N, as in
/check 2: len(names) == 3. It is looked at with each run of the program, on a copy of the state
that its turn left; numbers that differ by rounding alone are equal. /retry takes a candidate that
passes where there is one, and /fix goes on until all checks hold.

Without anything it lists the checks; -d N removes the Nth of them.
"""

from mtchat.console.desk import Desk
from mtchat.console.parsing import parse_number
from mtchat.errors import MtchatError, UsageError
from mtchat.features.checks.parse import typed
from mtchat.features.checks.view import check_results, keep_check, refresh_checks, remove_check

USAGE = "[EXPR | -d N]"
PYTHON_ONLY = True


def do(desk: Desk, argument: str) -> None:
    word, *rest = argument.split() or [""]
    if word == "-d":
        remove(desk, rest)
    elif word:
        keep_check(desk, typed(argument, desk.session))
    else:
        show(desk)


def remove(desk: Desk, words: list[str]) -> None:
    if len(words) != 1:
        raise UsageError("/check -d N removes one check; /check lists them with their numbers")
    chosen, count = parse_number(words[0], "the number of a check"), len(desk.session.claims)
    if chosen > count:
        raise MtchatError(f"no check {chosen}; there {'is' if count == 1 else 'are'} {count or 'none'}")
    remove_check(desk, chosen)


def show(desk: Desk) -> None:
    refresh_checks(desk)
    for place, finding in enumerate(check_results(desk.session), start=1):
        desk.view.finding(finding, f"{place}  ")
    if not desk.session.claims:
        desk.view.say("no checks yet; /check total == 42 keeps one with the last turn")
