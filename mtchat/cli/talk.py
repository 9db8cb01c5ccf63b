"""The conversation, in a terminal or scripted: opens the session, hands the tools over, leaves cleanly."""

import argparse
import os
import sys
from datetime import date
from pathlib import Path

import platformdirs

from mtchat import store
from mtchat.cli import arguments, wiring
from mtchat.cli.loading import Loading
from mtchat.errors import ExitCode, UsageError
from mtchat.prompting import family
from mtchat.store import Log


def talk(args: argparse.Namespace) -> int:
    settings = arguments.settings(args)
    if args.family:
        family.load(args.family)
    folder = store.folder(args.sessions)
    instructions = list(args.prompt) or piped()
    if not instructions and not sys.stdin.isatty():
        raise UsageError("no instructions: give -p TEXT, or one a line on standard input")
    model = wiring.model(args.model, args.precision)
    log = opened(args.session, folder)
    try:
        if instructions:
            from mtchat.cli.scripted import Script, play
            from mtchat.repl.view import View

            script = Script(instructions, args.run, args.fix, args.family, settings)
            code = play(script, log, model, View.of(sys.stderr))
        else:
            code = converse(args, log, folder, model)
    finally:
        log.close()
    return leave(model, code)


def converse(args: argparse.Namespace, log: Log, folder: Path, model: Loading) -> ExitCode:
    from mtchat.repl import app
    from mtchat.repl.desk import Desk, Tools
    from mtchat.repl.view import View

    tools = Tools(
        load=lambda name: wiring.model(name, args.precision),
        run=wiring.sandboxed,
        models=wiring.models,
        tier=wiring.tier,
        refusal=wiring.refusal,
    )
    desk = Desk(
        log,
        folder,
        model,
        tools,
        View.of(sys.stdout),
        settings=arguments.settings(args),
        chosen_family=args.family,
    )
    app.start(desk, platformdirs.user_state_path("mtchat", appauthor=False) / "history")
    return ExitCode.DONE


def piped() -> list[str]:
    """Instructions on standard input, one a line; none from a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return []
    return [line.strip() for line in sys.stdin if line.strip()]


def opened(name: str | None, folder: Path) -> Log:
    """The session asked for: one that is there, or a new one of that name, or a new one of today's."""
    if name is None:
        return Log.fresh(folder, date.today())
    path = Path(name)
    if path.suffix != ".jsonl" and os.sep not in name:
        store.check_name(name)
        path = store.path_of(name, folder)
    return Log.open(path)


def leave(model: Loading, code: ExitCode) -> int:
    """Ends at once while a model still loads: its thread would be torn down in the middle of an import."""
    if model.busy():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
