"""Shows what came of reworking a turn, and makes it live where it was taken."""

from collections.abc import Callable
from dataclasses import replace

from mtchat.core.session import Session
from mtchat.errors import SandboxError
from mtchat.repl import slash
from mtchat.repl.desk import Desk
from mtchat.repl.difference import difference
from mtchat.repl.view import DIM, GREEN, RED
from mtchat.synthesis import Synthesizer, failed
from mtchat.synthesis.reworking import Reworked

STYLES = {"+": GREEN, "-": RED}


def rework(desk: Desk, number: int, do: Callable[[Synthesizer, Session], Reworked]) -> Reworked:
    """Asks for a turn again and runs it, whatever is set; all that was written is kept beside the program."""
    if desk.tools.refusal():
        raise SandboxError(desk.tools.refusal())
    source = desk.session.undo(len(desk.session.path) - number + 1).program.source
    maker = replace(desk.maker(source), run=desk.run, look=desk.trial)
    reworked = do(maker, desk.session)
    desk.keep(reworked.session, "rework")
    return reworked


def show(desk: Desk, reworked: Reworked, same: str) -> None:
    """The difference, and whether it was taken; `same` is said of code that was."""
    view = desk.view
    lines = difference(reworked.old, reworked.new) if reworked.new else []
    if lines:
        view.line(f"turn {reworked.number}, before (-) and after (+):")
    for line in lines:
        view.line(line, STYLES.get(line[0], DIM))
    if not reworked.taken:
        view.line(f"not taken, the program is as it was: {'; '.join(reworked.reasons)}")
        return
    view.line(f"✓ {same}", GREEN)
    way = "; /tree shows it" if "tree" in slash.names() else ""
    view.note(f"the old code stays in the session beside it{way}")
    if failed(reworked.session.outcome):
        view.note("/explain says why in plain words, /fix asks the model to mend it")
