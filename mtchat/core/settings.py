"""What a user can set: how the model samples, what a run may use, and how the session behaves."""

from dataclasses import dataclass, fields, replace

from mtchat.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 is greedy, top_k 0 and top_p 1 switch those filters off."""

    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 0
    max_tokens: int = 512


@dataclass(frozen=True)
class Limits:
    """What one run may use: wall clock, memory of a process, size of a stream and of the work folder."""

    seconds: float = 30.0
    memory_mib: int = 1024
    output_kib: int = 1024
    disk_mib: int = 256


@dataclass(frozen=True)
class Settings:
    """Everything /set knows, with the value a new session starts from."""

    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 0
    max_tokens: int = 512
    seconds: float = 30.0
    memory_mib: int = 1024
    run: bool = True

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.top_k, self.seed, self.max_tokens)

    @property
    def limits(self) -> Limits:
        return Limits(seconds=self.seconds, memory_mib=self.memory_mib)

    def with_text(self, name: str, text: str) -> "Settings":
        """These settings with one changed, its value given as the user typed it."""
        if name not in HELP:
            raise UsageError(f"no setting {name!r}; there are: {', '.join(HELP)}")
        value = parse(name, text, type(getattr(self, name)))
        low, high = BOUNDS.get(name, (float("-inf"), float("inf")))
        if not low <= value <= high:
            raise UsageError(f"{name} must be between {show(low)} and {show(high)}, not {text}")
        return replace(self, **{name: value})  # type: ignore[arg-type]

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, value, meaning) of every setting, in order."""
        return [(each.name, show(getattr(self, each.name)), HELP[each.name]) for each in fields(self)]


HELP = {
    "temperature": "0 is greedy, the same answer each time; higher varies more",
    "top_p": "sample from the smallest set of tokens that holds this probability",
    "top_k": "sample from this many most likely tokens; 0 is all",
    "seed": "where sampling starts; the same seed gives the same code",
    "max_tokens": "the longest reply to one instruction",
    "seconds": "wall clock that one run may take",
    "memory_mib": "memory that one run may take",
    "run": "on runs the program after each turn; off waits for /run",
}

BOUNDS = {
    "temperature": (0.0, 2.0),
    "top_p": (0.01, 1.0),
    "top_k": (0, 1_000_000),
    "seed": (0, 2**63 - 1),
    "max_tokens": (1, 100_000),
    "seconds": (0.1, 86_400),
    "memory_mib": (64, 1_048_576),
}

WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def parse(name: str, text: str, kind: type) -> bool | int | float:
    """The value of a typed setting; the error says what would have been right."""
    word = text.strip().lower()
    if kind is bool:
        if word not in WORDS:
            raise UsageError(f"{name} is on or off, not {text!r}")
        return WORDS[word]
    try:
        value = int(word) if kind is int else float(word)
    except ValueError:
        raise UsageError(f"{name} is a {'whole number' if kind is int else 'number'}, not {text!r}") from None
    return value


def show(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
