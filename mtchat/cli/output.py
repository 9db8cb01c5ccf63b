"""Standard output and error, guarded: printed text cannot send control sequences to the terminal."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from mtchat.errors import MtchatError
from mtchat.session.text import escape_controls

# the sequences that a View draws with: colours (not hidden text), and erasing the last line
COLOUR = r"(?:[34]8;5;\d{1,3}|[34]8;2(?:;\d{1,3}){3}|(?!0*8[;m])\d{1,3})"
DRAWN = re.compile(rf"(\x1b\[(?:{COLOUR}(?:;{COLOUR}){{0,8}})?m|\r\x1b\[2K)", re.ASCII)


class OutputError(MtchatError):
    """Output cannot be written."""


class Output:
    """Wraps a stream: on a terminal only text and colours pass, everything else is escaped.

    Elsewhere text passes unchanged. The bytes of `buffer` always pass: the prompt draws with them, and
    escapes its text itself. OutputError says why nothing can be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.escapes = stream.isatty()

    def write(self, text: str) -> int:
        try:
            return self.stream.write(escape_text(text) if self.escapes else text)
        except OSError as error:
            raise stream_error(error) from None

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            raise stream_error(error) from None

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def stream_error(error: OSError) -> Exception:
    """The error for a stream that cannot be written to; a closed pipe stays a BrokenPipeError."""
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(f"cannot write output: {error.strerror}")


def escape_text(text: str) -> str:
    """A text in which only the sequences that a View draws with are left unescaped."""
    if "\x1b" not in text:
        return escape_controls(text)
    parts = DRAWN.split(text)
    return "".join(part if place % 2 else escape_controls(part) for place, part in enumerate(parts))


def write(out: TextIO, text: str) -> None:
    """Text of a model or a program: unchanged into a file or pipe, escaped on a terminal."""
    out.write(escape_controls(text) if out.isatty() else text)
    out.flush()


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output unchanged."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise stream_error(error) from None


@contextmanager
def guard_streams() -> Iterator[None]:
    """Guards the standard streams inside the block; a stream closed at the start goes to /dev/null."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Output(stream or null_stream())) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def null_stream() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
