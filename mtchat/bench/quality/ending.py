"""What to call the way in which a program failed: one word, to count failures by."""

import re

from mtchat.session.outcome import Outcome

WRONG = "wrong"
RAISED = re.compile(r"^[^:]*: (?:[\w<>]+\.)*([A-Za-z_]\w*)(?::|$)")
KILLED = re.compile(r"killed by (\w+)")


def ending(outcome: Outcome) -> str:
    """The limit that stopped a run, the name of its exception or of its signal, else "ended" where it ended
    before its end; "" when all went well. A failed assertion is a value that is not the wanted one.
    """
    if outcome.ok:
        return ""
    if outcome.limit:
        return outcome.limit
    if found := RAISED.search(outcome.error) or KILLED.search(outcome.error):
        return WRONG if found[1] == "AssertionError" else found[1]
    return "ended"
