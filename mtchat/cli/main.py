"""From argv to an exit code: the one place, beside the REPL's loop, where an MtchatError ends."""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from mtchat.cli import arguments
from mtchat.errors import ExitCode, MtchatError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and says how it went. Rooms are imported late, so that --help is there at once."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # marks and names of files must not end a command
            stream.reconfigure(errors="replace")
    try:
        return int(program(arguments.parse(sys.argv[1:] if argv is None else argv)))
    except MtchatError as error:
        print(f"mtchat: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print("mtchat: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED


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
