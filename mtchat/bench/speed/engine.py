"""An engine under measurement: what it is asked, what it can do, how long it took; the contract of peers/."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from mtchat import plugins
from mtchat.session.prompt import Prompt

PACKAGE = "mtchat.bench.speed.peers"
OURS = "mtchat"
LoadEngine = Callable[[str], Any]


@dataclass(frozen=True)
class BenchPrompt:
    """A prompt as the REPL builds it, with its exact text; or token ids alone."""

    prompt: Prompt = Prompt()
    text: str = ""
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class CompletionTiming:
    """How long a completion took, in seconds.

    `first_seconds` is the time to the first token, `decode_seconds` the time from there to the last of
    `completion_tokens`; `prompt_tokens` were computed in `prefill_seconds`.
    """

    first_seconds: float
    prompt_tokens: int
    prefill_seconds: float
    completion_tokens: int
    decode_seconds: float

    @property
    def prefill(self) -> float:
        """Prompt tokens per second."""
        return self.prompt_tokens / self.prefill_seconds

    @property
    def decode(self) -> float:
        """Completion tokens per second, after the first."""
        return (self.completion_tokens - 1) / self.decode_seconds


@dataclass(frozen=True)
class MeasuredEngine:
    """An engine as functions; None for what it cannot do.

    `run(prompt, count, speculate)` decodes exactly `count` tokens greedily, with speculative decoding if the
    engine has it. `together(prompt, count, number, seed)` gives the seconds for `number` completions of
    `count` tokens at temperature 0.8, without speculation. `bandwidth(size)` gives the bytes that its threads
    read per second from `size` bytes, more than any cache holds; a token reads `weights` bytes. `reuses`: the
    engine keeps the KV cache of earlier prompts. `context` is its context length, 0 for unlimited.
    """

    run: Callable[[BenchPrompt, int, bool], CompletionTiming]
    complete_batch: Callable[[BenchPrompt, int, int, int], float] | None = None
    bandwidth: Callable[[int], float] | None = None
    weights: int = 0
    speculates: bool = False
    reuses: bool = True
    context: int = 0

    def fits(self, tokens: int) -> bool:
        return not self.context or tokens <= self.context


@dataclass(frozen=True)
class Sizes:
    """How much is measured: tokens to prefill and to decode, recorded replies, bytes of memory to read.

    An engine without a KV cache between prompts decodes one `part`-th of the tokens, or it would take hours.
    """

    prefill_tokens: int = 512
    decode_tokens: int = 64
    replies: int = 7
    memory: int = 1 << 30
    part: int = 4

    def tokens(self, engine: MeasuredEngine) -> int:
        return self.decode_tokens if engine.reuses else max(self.decode_tokens // self.part, 2)


QUICK = Sizes(prefill_tokens=64, decode_tokens=8, replies=2, memory=1 << 28)


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is started with. `file` is the model's GGUF file, "" if it has none."""

    engine: str
    model: str
    file: str
    precision: str
    threads: int


class Peer(Protocol):
    """What a file of peers/ defines: the engine's full name, and the most runs worth their time."""

    TITLE: str
    MOST: int

    def missing(self, file: str) -> str:
        """Why a model cannot be measured with it here, and what to do; "" if it can. Imports nothing."""
        ...

    def version(self) -> str: ...

    def begin(self, setup: EngineSetup, load: LoadEngine) -> MeasuredEngine:
        """The engine, loaded. `load(precision)` gives our own engine of the model."""
        ...


def find_peer(name: str) -> Peer:
    """By its full name, or that of its file."""
    return cast(Peer, plugins.load(PACKAGE, name.replace(".", "_")))
