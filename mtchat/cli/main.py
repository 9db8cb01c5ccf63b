"""From argv to an exit code: here, and in the REPL's loop, every MtchatError ends."""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from mtchat.cli import arguments
from mtchat.cli.output import OutputError, guard_streams
from mtchat.errors import DEBUG, ExitCode, MtchatError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Rooms are imported late, so that --help is quick."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # symbols and file names must not make a command fail
            stream.reconfigure(errors="replace")
    with guard_streams():
        return run_command(argv)


def run_command(argv: Sequence[str] | None) -> int:
    """The exit code of a command; its failure is printed in one line."""
    try:
        code = int(dispatch(parse(sys.argv[1:] if argv is None else argv)))
        sys.stdout.flush()
        return code
    except OutputError as error:
        discard_output()
        return print_failure(str(error), error.code)
    except MtchatError as error:
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
        return print_failure(str(error), error.code)
    except KeyboardInterrupt:
        return print_failure("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        discard_output()
        return ExitCode.FAILED


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; --help exits, once all of it is written."""
    try:
        return arguments.parse(argv)
    except SystemExit:
        sys.stdout.flush()
        raise


def print_failure(failure: str, code: ExitCode) -> ExitCode:
    """Print why a command failed, if standard error still works."""
    with suppress(OutputError, OSError):
        print(f"mtchat: {failure}", file=sys.stderr, flush=True)
    return code


def discard_output() -> None:
    """Send the rest of the output to /dev/null, so that flushing it at exit does not fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def dispatch(args: argparse.Namespace) -> int:
    if args.verb == arguments.TALK:
        from mtchat.cli.talk import talk

        return talk(args)
    if args.verb == "doctor":
        from mtchat.cli.doctor import run_checks

        return run_checks()
    if args.verb == "bench":
        from mtchat.cli.bench import run_bench

        return run_bench(args)
    if args.verb == "replay":
        from mtchat.cli.replay import replay

        return replay(args)
    if args.verb == "models":
        from mtchat.cli.models import manage_models

        return manage_models(args)
    from mtchat.cli import verbs

    return verbs.VERBS[args.verb](args)
