"""The model's words on the screen, as they come: folded to its width, and told apart from what is certain."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

from prompt_toolkit.utils import get_cwidth

from mtchat.console.view import View
from mtchat.session.escape import escaped

SIGN = "≈ "  # before words that may be wrong


@dataclass
class Speech:
    """A paragraph that grows word by word; `said` is what it has become."""

    view: View
    indent: str = ""
    column: int = 0
    said: str = ""
    pending: str = ""
    width: int = field(default_factory=lambda: max(shutil.get_terminal_size().columns - 1, 20))

    def say(self, pieces: Iterator[str]) -> str:
        """Shows all pieces; what was shown stays where an interrupt ends them."""
        try:
            for piece in pieces:
                self.hear(piece)
        finally:
            self.end()
        return self.said

    def hear(self, piece: str) -> None:
        self.said += piece
        *whole, self.pending = (self.pending + piece).split(" ")
        for word in whole:
            self.word(word)

    def word(self, word: str) -> None:
        word = escaped(word).replace("\n", " ")
        if not word:
            return
        if not self.column:
            self.put(self.indent + SIGN + word)
        elif self.column + 1 + get_cwidth(word) > self.width:
            self.view.out.write("\n")
            self.column = 0
            self.put(" " * (len(self.indent) + len(SIGN)) + word)
        else:
            self.put(f" {word}")
        self.view.out.flush()

    def put(self, text: str) -> None:
        self.view.out.write(text)
        self.column += get_cwidth(text)

    def end(self) -> None:
        self.word(self.pending)
        self.pending = ""
        if self.column:
            self.view.out.write("\n")
            self.view.out.flush()
        self.column = 0
