"""An engine that is measured: what it is asked, what it can do, and what a reply of it took."""

from collections.abc import Callable
from dataclasses import dataclass

from mtchat.session.prompt import Prompt


@dataclass(frozen=True)
class Ask:
    """A context: a prompt as the REPL gives it, with the exact text that it makes; or ids alone."""

    prompt: Prompt = Prompt()
    text: str = ""
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Run:
    """What a reply took, in seconds: `first` from asking to its first token, `rest` from there to its last.

    `read` tokens of the context were computed, in `reading` seconds.
    """

    first: float
    read: int
    reading: float
    written: int
    rest: float

    @property
    def prefill(self) -> float:
        """Tokens per second while it read."""
        return self.read / self.reading

    @property
    def decode(self) -> float:
        """Tokens per second once it wrote."""
        return (self.written - 1) / self.rest


@dataclass(frozen=True)
class Subject:
    """An engine as functions; None where it has no such thing.

    `run(ask, count, ahead)` writes exactly so many tokens, the likeliest each time, `ahead` with guesses
    where the engine makes some. `together(ask, count, number, seed)` gives the seconds for so many
    replies of so many tokens at temperature 0.8, no guesses. `bandwidth(size)` gives the bytes that its
    threads read in a second, of so many that no cache holds; a token reads `weights` of them. `reuses` says
    that what it has read once is not computed again. It sees `context` tokens, or any number where that is 0.
    """

    run: Callable[[Ask, int, bool], Run]
    together: Callable[[Ask, int, int, int], float] | None = None
    bandwidth: Callable[[int], float] | None = None
    weights: int = 0
    speculates: bool = False
    reuses: bool = True
    context: int = 0

    def sees(self, tokens: int) -> bool:
        return not self.context or tokens <= self.context


@dataclass(frozen=True)
class Sizes:
    """How much is asked: tokens to read and to write, recorded replies, bytes of memory to read.

    An engine that computes all again each time writes a part of the tokens, so that it does not take hours.
    """

    read: int = 512
    written: int = 64
    replies: int = 7
    memory: int = 1 << 30
    part: int = 4

    def tokens(self, subject: Subject) -> int:
        return self.written if subject.reuses else max(self.written // self.part, 2)


QUICK = Sizes(read=64, written=8, replies=2, memory=1 << 28)
