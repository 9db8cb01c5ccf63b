"""The conversation, in a terminal or scripted: opens the session, hands the tools over, leaves cleanly."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from mtchat import files, store
from mtchat.cli import arguments, wiring
from mtchat.console import captions
from mtchat.console.parsing import make_encodable, user_path
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.generate import policy
from mtchat.generate.prompt import family
from mtchat.models import loader
from mtchat.models.loading import ModelLoader
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.language import parse_language
from mtchat.session.session import Session, count_turns
from mtchat.session.settings import Settings
from mtchat.store import Log

if TYPE_CHECKING:
    from mtchat.console.console import Host


def talk(args: argparse.Namespace) -> int:
    settings = arguments.read_settings(args)
    if args.family:
        family.load(args.family)
    folder = store.folder(args.sessions)
    code = read_code(args)
    instructions = (
        [code] if code else [make_encodable(text) for text in args.prompt if text.strip()] or read_piped()
    )
    if not instructions and (sys.stdin is None or not sys.stdin.isatty()):
        raise UsageError("no instructions: give -p TEXT, or one instruction per line on standard input")
    if not instructions and not sys.stdout.isatty():
        raise UsageError("a conversation needs a terminal; -p TEXT works without one")
    if args.edit is not None and (args.session is None or len(instructions) != 1 or args.edit < 1):
        raise UsageError("--edit N needs a SESSION, a turn number N from 1, and exactly one -p TEXT")
    attached = [user_path(name) for name in args.attach]
    store.attach(Session(), attached, settings.disk_mib)
    with (
        open_session(args.session, folder) as log,
        exit_cleanly(
            loader.model_loader(args.precision, guidance_for(args, settings, log.session), args.device)
        ) as models,
        Sandbox(args.unsafe) as sandbox,
    ):
        if not instructions:
            return start_repl(args, attached, log, folder, models, sandbox)
        from mtchat.cli.scripted import Script, run_script
        from mtchat.console.view import View

        edit = args.edit or (int(args.code[0]) if code else 0)
        script = Script(
            instructions,
            args.run,
            args.fix,
            args.family,
            settings,
            attached,
            edit,
            args.set_language or "",
            as_code=bool(code),
        )
        model, view = models.get(args.model), View.of(sys.stderr)
        return run_script(
            script, log, model, sandbox, view, wiring.owned_files(), make_host(args, models, sandbox), folder
        )


def guidance_for(args: argparse.Namespace, settings: Settings, session: Session) -> tuple[str, ...]:
    """What the context holds beside the conversation, which is in Python; an error for another language
    than that of a session that has turns."""
    spoken = session.with_language(parse_language(settings.language)) if args.set_language else session
    return family.as_conversation(policy.for_language(settings.policy, spoken.language).guidance)


def read_code(args: argparse.Namespace) -> str:
    """The code that is to take the place of a turn's; "" where none is."""
    if args.code is None:
        return ""
    number, name = args.code
    if (
        args.session is None
        or args.prompt
        or args.edit is not None
        or not (number.isdecimal() and int(number))
    ):
        raise UsageError(
            "--code N FILE needs a SESSION and a turn number N from 1, and excludes -p and --edit"
        )
    try:
        code = read_file(user_path(name)).decode("utf-8").rstrip()
    except (MtchatError, OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {name}: {error}") from error
    if not code.strip():
        raise UsageError(f"{name} contains no code")
    return code


def read_file(path: Path) -> bytes:
    """A file's content, or what a pipe gives that the user named, as in <(command)."""
    if path.is_fifo():
        with path.open("rb") as pipe:
            return pipe.read(files.MOST)
    return files.read(path)


def start_repl(
    args: argparse.Namespace,
    attached: Sequence[Path],
    log: Log,
    folder: Path,
    models: ModelLoader,
    sandbox: Sandbox,
) -> ExitCode:
    from mtchat.console import slash
    from mtchat.console.console import Console
    from mtchat.console.view import View
    from mtchat.conversation.conversation import Conversation
    from mtchat.repl import app

    host = make_host(args, models, sandbox)
    chat = Conversation(
        models.get(args.model),
        sandbox,
        log=log,
        settings=arguments.read_settings(args),
        family=args.family,
        owned=wiring.owned_files(),
    )
    console = Console(chat, folder, View.of(sys.stdout), host, slash.names)
    if args.set_language:
        console.set_language(args.set_language)
    chat.attach(attached, save=False)
    state = platformdirs.user_state_path("mtchat", appauthor=False)
    latest = store.LatestSessions(state / "latest")
    if not chat.session.turns:
        chat.notices = (*chat.notices, *describe_last_session(latest.session(folder)))
    app.start(console, state / "history")
    if chat.session.turns:
        latest.keep(console.log.path)
    return ExitCode.DONE


def make_host(args: argparse.Namespace, models: ModelLoader, sandbox: Sandbox) -> "Host":
    """What a console is told of this machine."""
    from mtchat.console.console import Host

    tier = wiring.Tier(sandbox)
    return Host(
        load=models.get,
        models=loader.list_models,
        earlier=models.earlier,
        begin=tier.begin,
        tier=lambda: tier.word,
        warning=sandbox.unsafe_warning(),
        reopen_command=lambda path: wiring.reopen_command(path, args.sessions),
    )


def describe_last_session(path: Path | None) -> Iterator[str]:
    """What there is to say of the session that was open last, where a new one begins."""
    if path is not None and os.path.exists(path) and (found := store.summary(path)).turns:
        when = captions.describe_day(found.modified)
        yield (
            f"{when} you worked on {found.name}: {count_turns(found.turns)}, "
            f"{captions.one_line(found.instruction, 40)}; /open {found.name} continues it"
        )


@contextmanager
def exit_cleanly(models: ModelLoader) -> Iterator[ModelLoader]:
    """Ends the process at once where a model still loads when all is done or given up.

    Its thread would else be torn down in the middle of an import, with a crash for a farewell.
    """
    code = ExitCode.FAILED
    try:
        yield models
        code = ExitCode.DONE
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
        raise
    finally:
        if not models.close():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def read_piped() -> list[str]:
    """Instructions on standard input, one a line; none from a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        return []
    lines = sys.stdin.read().removeprefix("\ufeff").split("\n")  # Notepad's mark is no part of the first
    return [make_encodable(line.strip()) for line in lines if line.strip()]


def open_session(name: str | None, folder: Path) -> Log:
    """The session asked for: one that is there, or a new one of that name, or a new one of today's."""
    if name is None:
        return Log.fresh(folder, date.today())
    if len(Path(name).parts) > 1 or name.endswith(store.SUFFIX):
        return Log.open(store.find(name, folder))
    return Log.open(store.path_of(name, folder))
