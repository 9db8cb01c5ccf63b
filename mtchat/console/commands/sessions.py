"""Lists the sessions in the sessions folder, the last one first, with the day of its last change."""

from mtchat.console.captions import one_line, short_path
from mtchat.console.console import Console
from mtchat.store import summaries


def do(console: Console, argument: str) -> None:
    rows = summaries(console.folder)
    if not rows:
        console.view.say(
            f"no sessions in {short_path(console.folder)} yet; "
            "the first instruction begins one, and it is saved"
        )
    for each in rows:
        mark = "*" if each.path == console.log.path else " "
        console.view.say(
            f"{mark} {each.name:<24} {each.date}  {each.turns:>3} turns  "
            f"{each.problem or one_line(each.instruction, 50)}"
        )
