"""Standard output and error, where nothing that is printed anywhere acts on a terminal by itself."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from mtchat.errors import MtchatError
from mtchat.session.escape import escaped

# what a view draws with: colours, but for hidden text, and the last line erased to be drawn again
COLOUR = r"(?:[34]8;5;\d{1,3}|[34]8;2(?:;\d{1,3}){3}|(?!0*8[;m])\d{1,3})"
DRAWN = re.compile(rf"(\x1b\[(?:{COLOUR}(?:;{COLOUR}){{0,8}})?m|\r\x1b\[2K)", re.ASCII)


class OutputError(MtchatError):
    """What a command prints cannot be written."""


class Output:
    """A stream in the place of another: on a terminal it sends text, colours and nothing else.

    Elsewhere the text goes through as it is. The bytes of `buffer` go through everywhere: a prompt draws by
    them, and escapes its text itself. OutputError says why nothing can be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.guarded = stream.isatty()

    def write(self, text: str) -> int:
        try:
            return self.stream.write(drawn(text) if self.guarded else text)
        except OSError as error:
            raise failure(error) from None

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            raise failure(error) from None

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def failure(error: OSError) -> Exception:
    """What to say of a stream that cannot be written to; that nobody reads it is told apart."""
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(f"cannot write what it prints: {error.strerror}")


def drawn(text: str) -> str:
    """A text in which only what a view draws with acts on a terminal."""
    if "\x1b" not in text:
        return escaped(text)
    parts = DRAWN.split(text)
    return "".join(part if place % 2 else escaped(part) for place, part in enumerate(parts))


def send(data: bytes) -> None:
    """Bytes as they are on standard output."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise failure(error) from None


@contextmanager
def guarded() -> Iterator[None]:
    """The standard streams are such streams meanwhile; what was closed before the start leads nowhere."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Output(stream or nowhere())) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
