"""The verbs besides the conversation: run, export, import, sessions."""

import argparse
import os
import shlex
import stat
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from mtchat import store
from mtchat.cli import arguments
from mtchat.cli.output import write, write_bytes
from mtchat.console.captions import explain_not_run, one_line, short_path
from mtchat.console.view import View
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.session import Session, count_turns
from mtchat.session.settings import Settings
from mtchat.session.text import escape_controls

PROGRAMS = (".py", ".pyw")


def run_program(args: argparse.Namespace) -> int:
    """Run a program: its own output as it comes, and its own exit code, or 1 if only a check fails."""
    from mtchat.console.run_hints import hint_in_shell
    from mtchat.console.terminal import asks_for_input, forward_keyboard, terminal_descriptor
    from mtchat.features.checks.evaluate import evaluate_checks
    from mtchat.sandbox.sandbox import Sandbox

    out, err = View.of(sys.stdout), View.of(sys.stderr)
    settings = arguments.read_settings(args)
    program, files_folder, session = load_program(args)
    inputs = collect_inputs(session, args, settings, err)

    def show_output(stream: str, text: str) -> None:
        view = err if stream == "stderr" else out
        write(view.out, text)

    # The time limit pauses while the user types, so only for a program that reads the keyboard.
    typing = (
        terminal_descriptor()
        if inputs.stdin is None and asks_for_input(program.source, session.outcome)
        else None
    )
    with Sandbox(args.unsafe) as sandbox, ExitStack() as keyboard:
        err.warning(sandbox.warning())
        if typing is not None:
            typed_input = keyboard.enter_context(forward_keyboard(typing))
            inputs = replace(inputs, stdin=typed_input.path, live=True)
        outcome = sandbox.run(program, settings.limits, files_folder, show_output, inputs)
        again = replace(inputs, stdin=None) if inputs.stdin and Path(inputs.stdin).is_fifo() else inputs
        outcome = evaluate_checks(program, outcome, lambda part: sandbox.trial(part, settings.limits, again))
    if outcome.traceback:
        err.line(outcome.traceback.rstrip("\n"))
    if outcome.ok:
        err.show_check_results(outcome)
    else:
        script = Path(args.session)
        has_input, folder = inputs.stdin is not None, script.parent if script.suffix == ".py" else None
        err.verdict(outcome, hint_in_shell(outcome, settings, has_input, shlex.quote(args.session), folder))
    err.files(outcome, short_path(files_folder) if files_folder else "")
    return exit_status(outcome) or (ExitCode.FAILED if outcome.failed_checks else ExitCode.DONE)


def collect_inputs(session: Session, args: argparse.Namespace, settings: Settings, err: View) -> RunInputs:
    """What the program is given: arguments, keyboard input, and the files of the session and of --attach."""
    from mtchat.cli import wiring
    from mtchat.console.parsing import readable_file, user_path

    if session.attached:
        found, owned = store.find(args.session, store.folder(args.sessions)), wiring.owned_files()
        session, notices = store.recheck_files(session, lambda file: owned.has(found, file))
        for notice in notices:
            err.note(notice)
    paths = [user_path(name) for name in args.attach]
    session = store.attach(session, paths, settings.disk_mib)
    stdin = readable_file(args.stdin) if args.stdin else piped_input()
    return RunInputs(tuple(args.arguments), stdin, session.attached)


def piped_input() -> Path | None:
    """A path that opens standard input, if that is a file or a pipe.

    The program reads it itself, so slow input arrives when it arrives, and an unread pipe blocks nothing.
    """
    if sys.stdin is None:
        return None
    mode = os.fstat(0).st_mode
    return Path("/dev/stdin") if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) else None


def load_program(args: argparse.Namespace) -> tuple[Program, Path | None, Session]:
    """The program to run, where to copy the files it writes, and its session."""
    from mtchat import files
    from mtchat.export.format import to_text

    path = Path(args.session)
    if path.suffix.lower() in PROGRAMS:
        try:
            source = to_text(files.read(path))
        except MtchatError as error:
            raise UsageError(str(error)) from None
        return Program((Chunk(1, source),), path.name), args.files or path.with_suffix(".files"), Session()
    try:
        found = store.find(args.session, store.folder(args.sessions))
        session = store.load(found)
    except MtchatError as error:
        raise UsageError(explain_unknown_file(path)) if is_unknown_file(path) else error from None
    if not session.language.runs:
        raise UsageError(explain_not_run(session, shell=True))
    return session.program, args.files or store.files_of(found), session


def is_unknown_file(path: Path) -> bool:
    """Whether this is a file, but by its name neither a session nor a program."""
    return os.path.isfile(path) and path.suffix != store.SUFFIX


def explain_unknown_file(path: Path) -> str:
    """What the user can do with such a file instead of running it."""
    from mtchat.export.format import readers_by_suffix

    if path.suffix.lower() in readers_by_suffix():
        return f"{path} cannot be run; mtchat import {shlex.quote(str(path))} creates a session from it"
    return f"{path} is neither a session nor a .py file"


def exit_status(outcome: Outcome) -> int:
    """The exit code of a run as in a shell: 128 + n for signal n, 1 for a limit."""
    if outcome.stopped:
        return ExitCode.INTERRUPTED
    if outcome.limit:
        return ExitCode.FAILED
    if outcome.signal is not None:
        return 128 + outcome.signal
    return outcome.exit_code or 0


def export_session(args: argparse.Namespace) -> int:
    from mtchat.export import format

    found = store.find(args.session, store.folder(args.sessions))
    session = store.load(found)
    aside = args.output is None or str(args.output) == "-"
    kind = args.to or format.format_for_path("" if aside else args.output.name, session)
    if aside:
        drawn = format.pictures_of(session, store.files_of(found), Path("x"))
        text = format.load_format(kind).text(session, drawn)
        if sys.stdout.isatty():
            write(sys.stdout, text)
        else:
            write_bytes(format.to_bytes(text))
    else:
        if not args.force and format.is_taken(args.output):
            raise UsageError(f"{short_path(args.output)} exists; use --force to overwrite it")
        saved = format.export_session(session, kind, args.output, escape_controls, store.files_of(found))
        View.of(sys.stderr).line(f"wrote {short_path(saved)}")
    return ExitCode.DONE


def import_file(args: argparse.Namespace) -> int:
    """Create a session from a file, with the file's name unless one is given; overwrite no session."""
    from mtchat.cli import wiring
    from mtchat.export import format

    folder = store.folder(args.sessions)
    imported = format.import_program(args.file)
    session = imported.session
    name = args.name or args.file.stem
    store.check_name(name)
    path = store.path_of(name, folder)
    if os.path.exists(path):
        raise UsageError(f"session {short_path(path)} exists; choose another name with --name")
    with store.Log.open(path) as log:
        log.write(session, "import")
    view = View.of(sys.stderr)
    for notice in imported.notices:
        view.note(notice)
    opens = f"{wiring.reopen_command(path, args.sessions)} opens it"
    view.line(f"imported as {short_path(path)}: {count_turns(len(session.path))}; {opens}")
    return ExitCode.DONE


def list_sessions(args: argparse.Namespace) -> int:
    view = View.of(sys.stdout)
    folder = store.folder(args.sessions)
    for each in store.summaries(folder):
        turns = "turn " if each.turns == 1 else "turns"
        shown = each.problem or one_line(each.instruction, 500)
        view.line(f"{each.name:<24} {each.date}  {each.turns:>3} {turns}  {shown}")
    View.of(sys.stderr).note(f"in {short_path(folder)}")
    return ExitCode.DONE


VERBS = {
    "run": run_program,
    "export": export_session,
    "import": import_file,
    "sessions": list_sessions,
}
