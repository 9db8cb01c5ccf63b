"""Runs the whole program from the start, in the sandbox.

It has no network, no keyboard and none of your files, only a private work folder. The files it leaves
there, and the figures it shows, are copied to the folder beside the session. Ctrl-C stops it.
"""

from mtchat.errors import MtchatError
from mtchat.repl.desk import Desk
from mtchat.repl.view import shown
from mtchat.synthesis import failed


def do(desk: Desk, argument: str) -> None:
    if not desk.session.path:
        raise MtchatError("there is no program yet; type an instruction")
    outcome = desk.run_aloud()
    if not (outcome.stdout + outcome.stderr).endswith("\n") and outcome.stdout + outcome.stderr:
        desk.view.line()
    if outcome.traceback and outcome.limit != "interrupted":
        desk.view.line(outcome.traceback.rstrip("\n"))
    desk.view.verdict(outcome)
    desk.view.files(outcome, shown(desk.place))
    if failed(outcome):
        desk.view.note("/fix asks the model to mend it")
