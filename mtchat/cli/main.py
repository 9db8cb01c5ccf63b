"""From argv to an exit code: the one place, beside the REPL's loop, where an MtchatError ends."""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from mtchat.cli import arguments
from mtchat.cli.output import OutputError, guarded
from mtchat.errors import DEBUG, ExitCode, MtchatError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and says how it went. Rooms are imported late, so that --help is there at once."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # marks and names of files must not end a command
            stream.reconfigure(errors="replace")
    with guarded():
        return answered(argv)


def answered(argv: Sequence[str] | None) -> int:
    """The exit code of a command, its failure told in a line."""
    try:
        code = int(program(parsed(sys.argv[1:] if argv is None else argv)))
        sys.stdout.flush()
        return code
    except OutputError as error:
        lost()
        return told(str(error), error.code)
    except MtchatError as error:
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
        return told(str(error), error.code)
    except KeyboardInterrupt:
        return told("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        lost()
        return ExitCode.FAILED


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; --help ends the process, with all of it written."""
    try:
        return arguments.parse(argv)
    except SystemExit:
        sys.stdout.flush()
        raise


def told(failure: str, code: ExitCode) -> ExitCode:
    """Says why a command failed, where anything can be said."""
    with suppress(OutputError, OSError):
        print(f"mtchat: {failure}", file=sys.stderr, flush=True)
    return code


def lost() -> None:
    """What is left of the output goes nowhere, so that the end of the process does not fail by it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def program(args: argparse.Namespace) -> int:
    if args.verb == arguments.TALK:
        from mtchat.cli.talk import talk

        return talk(args)
    if args.verb == "doctor":
        from mtchat.cli.doctor import doctor

        return doctor()
    if args.verb == "bench":
        from mtchat.cli.bench import bench

        return bench(args)
    from mtchat.cli import verbs

    return verbs.VERBS[args.verb](args)
