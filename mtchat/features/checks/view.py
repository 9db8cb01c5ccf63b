"""Shows checks: that one is kept, whether it holds, that it is removed."""

from mtchat.console.console import Console
from mtchat.conversation import checking
from mtchat.features.checks.parse import ParsedCheck


def keep_check(console: Console, stated: ParsedCheck) -> None:
    """Lays a check down about a turn, and tells whether it holds now."""
    if checking.is_kept(console.session, stated):
        console.view.note("that check is kept already")
    finding = checking.add(console.chat, stated)
    console.view.finding(finding)
    if finding.passed is False:
        console.view.note(
            "/fix asks the model to mend it; /check lists the checks, and /check -d N removes one"
        )
    elif finding.passed:
        console.view.note("it is looked at again with each run of the program; /check lists the checks")
