"""Shows checks: that one is kept, whether it holds, that it is removed."""

from mtchat.console.console import Console
from mtchat.conversation import checking
from mtchat.features.checks.parse import ParsedCheck


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
