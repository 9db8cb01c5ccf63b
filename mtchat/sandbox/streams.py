"""Takes what a program prints: split by chunk, cut at a cap, decoded as it comes."""

import codecs
from collections.abc import Callable

Show = Callable[[str], None]


class Stream:
    """One output stream as it arrives; a mark in it says that the next chunk begins and is taken out.

    A character that is cut by a mark or by the end becomes U+FFFD.
    """

    def __init__(self, mark: bytes, cap: int, show: Show) -> None:
        self.mark, self.cap, self.show = mark, cap, show
        self.parts: list[list[str]] = [[]]
        self.held = b""
        self.taken = 0
        self.full = False
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def texts(self) -> tuple[str, ...]:
        """What each chunk printed, as many as began."""
        return tuple("".join(part) for part in self.parts)

    @property
    def so_far(self) -> tuple[str, ...]:
        """The same, with what at the end might have been the beginning of a mark, but is not."""
        *before, last = self.texts
        return (*before, last + (self.decoder.getstate()[0] + self.held).decode("utf-8", "replace"))

    def feed(self, data: bytes) -> None:
        pieces = (self.held + data).split(self.mark) if self.mark else [data]
        for piece in pieces[:-1]:
            self.take(piece, final=True)
            self.parts.append([])
        keep = self.overlap(pieces[-1])
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
        room = self.cap - self.taken
        self.full = self.full or len(data) > room
        self.taken += min(len(data), room)
        text = self.decoder.decode(data[:room], final)
        if text:
            self.parts[-1].append(text)
            self.show(text)
        if final:
            self.decoder.reset()
