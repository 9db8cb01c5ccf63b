"""Takes what a program prints: split by chunk, cut at a cap, decoded as it comes."""

import codecs
import io
from collections.abc import Callable

Show = Callable[[str], None]


class Stream:
    """One output stream as it arrives; a mark in it says that the next chunk begins and is taken out.

    A character that is cut by a mark or by the end becomes U+FFFD. A program may write marks, too: beyond the
    `most` that are due, they are output like any other.
    """

    def __init__(self, mark: bytes, cap: int, show: Show, most: int) -> None:
        self.mark, self.cap, self.show, self.most = mark, cap, show, most
        self.parts = [io.StringIO()]
        self.held = b""
        self.taken = 0
        self.full = False
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def texts(self) -> tuple[str, ...]:
        """What each chunk printed, as many as began."""
        return tuple(part.getvalue() for part in self.parts)

    @property
    def so_far(self) -> tuple[str, ...]:
        """The same, with what at the end might have been the beginning of a mark, but is not."""
        *before, last = self.texts
        return (*before, last + (self.decoder.getstate()[0] + self.held).decode("utf-8", "replace"))

    def feed(self, data: bytes) -> None:
        due = self.most + 1 - len(self.parts) if self.mark else 0
        pieces = (self.held + data).split(self.mark, due) if due else [self.held + data]
        for piece in pieces[:-1]:
            self.take(piece, final=True)
            self.parts.append(io.StringIO())
        keep = self.overlap(pieces[-1]) if len(self.parts) <= self.most else 0
        self.held = pieces[-1][len(pieces[-1]) - keep :]
        self.take(pieces[-1][: len(pieces[-1]) - keep])

    def close(self) -> None:
        self.take(self.held, final=True)
        self.held = b""

    def overlap(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a mark."""
        lengths = range(min(len(self.mark) - 1, len(data)), 0, -1)
        return next((length for length in lengths if data.endswith(self.mark[:length])), 0)

    def take(self, data: bytes, final: bool = False) -> None:
        room = max(self.cap - self.taken, 0)
        self.full = self.full or len(data) > room
        self.taken += min(len(data), room)
        text = self.decoder.decode(data[:room], final)
        if text:
            self.parts[-1].write(text)
            self.show(text)
        if final:
            self.decoder.reset()
