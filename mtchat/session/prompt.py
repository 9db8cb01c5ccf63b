"""What goes into a model and what comes out: prompt, pieces of text, token counts, the model's card."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

FILE_KEY: Final = "file key"
UNTRAINED, ABLE, ALWAYS = "untrained", "able", "always"


def file_key(name: str) -> Mapping[str, str]:
    """The metadata of a field that session files keep under another name."""
    return {FILE_KEY: name}


@dataclass(frozen=True)
class Message:
    """One message of a chat; role is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class SpecialToken:
    """A mark of the model's own, such as that of a hole, where it is meant and not typed."""

    name: str


@dataclass(frozen=True)
class Prompt:
    """A model's context: exact text for a base model, or messages that the model's own chat template joins.

    `opening` is how the reply begins; it is part of the context, and the model goes on from it. `begun` is
    code that the text ends with and that belongs to what the model writes: the user has begun it. `marks`
    says where in the text a mark is meant, and which; all else is words, whatever it looks like. `joints` are
    positions in the last message from which on the prompts of other turns are likely to differ.

    `think` is the most tokens of a thought before the reply, 0 for none. While `thought` is None the model is
    asked for the thought, without the opening; with a thought, for the reply after it.
    """

    text: str = ""
    messages: tuple[Message, ...] = ()
    opening: str = ""
    begun: str = ""
    marks: tuple[tuple[int, str], ...] = field(default=(), compare=False)
    joints: tuple[int, ...] = field(default=(0,), compare=False, repr=False)
    think: int = 0
    thought: str | None = None

    @property
    def asks_for_thought(self) -> bool:
        """Whether the completion of this prompt is a thought, which ends where the model closes it."""
        return self.think > 0 and self.thought is None and bool(self.messages)


def join_parts(*parts: str | SpecialToken) -> Prompt:
    """The prompt of texts and marks in their order."""
    text, marks = "", []
    for part in parts:
        if isinstance(part, SpecialToken):
            marks.append((len(text), part.name))
        text += part.name if isinstance(part, SpecialToken) else part
    return Prompt(text, marks=tuple(marks))


@dataclass(frozen=True)
class Signals:
    """What a model's inner values say about the last message of a chat.

    `labels` has the probability of each label of `mtchat.features.understand`. `exchanges` has, for each
    earlier pair of a user message and its reply, the probability that the message is about it; it is empty
    where the message is most unlikely to be about any. Where the likeliest reading has a probability of less
    than `ask_below`, or a change one of less than `ask_change_below`, the user should be asked.
    """

    labels: Mapping[str, float]
    exchanges: tuple[float, ...]
    ask_below: float = 0.55
    ask_change_below: float = 0.55


@dataclass(frozen=True)
class Usage:
    """What a completion cost so far: tokens and seconds.

    `cached_tokens` of the `prompt_tokens` came from the KV cache. `finish` is "" while the model writes, then
    "stop" (it ended by itself), "length" (max_tokens, or the context is full), "cut" (the family's cut rule
    ended it) or "interrupted" (the user stopped it). `logprob` is the log-probability of the completion under
    the model itself, whatever the sampling, and `min_logprob` that of its least likely token, in nats.
    A thought before the completion counts apart, as `thought_tokens` and `thought_seconds`.
    """

    prompt_tokens: int = field(default=0, metadata=file_key("prompt"))
    cached_tokens: int = field(default=0, metadata=file_key("reused"))
    completion_tokens: int = field(default=0, metadata=file_key("written"))
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    finish: str = ""
    logprob: float = 0.0
    min_logprob: float = field(default=0.0, metadata=file_key("least"))
    thought_tokens: int = 0
    thought_seconds: float = 0.0

    def after_thought(self, thought: "Usage") -> "Usage":
        """The cost of a completion together with that of the thought before it."""
        return replace(
            self,
            prompt_tokens=thought.prompt_tokens,
            cached_tokens=thought.cached_tokens,
            prefill_seconds=thought.prefill_seconds + self.prefill_seconds,
            thought_tokens=thought.completion_tokens,
            thought_seconds=thought.decode_seconds,
        )

    @property
    def mean_logprob(self) -> float:
        """The mean log-probability of a token of the completion, in nats."""
        return self.logprob / max(self.completion_tokens, 1)


@dataclass(frozen=True)
class Piece:
    """Some more text of a completion (never half a character), with its cost so far."""

    text: str
    usage: Usage = Usage()


@dataclass(frozen=True)
class ModelCard:
    """What the rest of the program knows about a model: `architecture` as in config.json, `chat` when it
    has a chat template, `context` the tokens it can see, `fingerprint` a SHA-256 of its weights, `marks` what
    its tokenizer has beside words, such as <|endoftext|> and the marks of a hole. `thinks` says whether it
    can be asked for a thought before its reply: "" (no), UNTRAINED (its template has no form of a thought),
    ABLE (it can do with and without) or ALWAYS (it was made to think before each reply).

    `notes` are what its user is told once: about its licence, or how it was read.
    """

    name: str
    architecture: str = ""
    chat: bool = False
    context: int = 2048
    fingerprint: str = ""
    precision: str = "float32"
    licence: str = ""
    notes: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()
    thinks: str = ""
