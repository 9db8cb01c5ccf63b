"""What a user can set: how the model samples, what a run may use, and how the session behaves."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from string import ascii_lowercase
from typing import Any, Self

from mtchat.errors import UsageError
from mtchat.session import language as languages
from mtchat.session.prompt import ABLE, ALWAYS, ModelCard

MOST_THOUGHT = 100_000
THOUGHT_TOKENS = 1024  # of a thought, if the user gives no number
PROCESSES = 64  # and threads, that one run may have; no setting changes it


@dataclass(frozen=True)
class Sampling:
    """How the model samples a completion of at most `max_tokens` tokens.

    Temperature 0 is greedy; top_k 0 and top_p 1 switch those filters off. On the same machine and build, the
    same seed gives the same code. UsageError if a value is of another type or out of bounds; a seed may be of
    any size, as those of further candidates are counted on from the first.
    """

    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 0
    max_tokens: int = 512

    def __post_init__(self) -> None:
        check_numbers(self, endless="seed")

    @classmethod
    def from_record(cls, **values: Any) -> Self:
        """The sampling that a session file names, which may be out of bounds: nothing samples with it yet."""
        made = object.__new__(cls)
        for each in fields(cls):
            object.__setattr__(made, each.name, values.get(each.name, each.default))
        return made


@dataclass(frozen=True)
class Limits:
    """What one run may use: wall clock, memory of a process, size of a stream and of the work folder.

    UsageError if a value is of another type or out of bounds; a run may take any number of seconds, as one
    that waits for the user's input does.
    """

    seconds: float = 30.0
    memory_mib: int = 1024
    output_kib: int = 1024
    disk_mib: int = 256

    def __post_init__(self) -> None:
        check_numbers(self, endless="seconds")


@dataclass(frozen=True)
class Settings:
    """Everything /set knows, with the value a new session starts from.

    UsageError if a value is of another type, out of bounds or none of its words; it says what is allowed.
    """

    temperature: float = 0.0
    top_p: float = 0.95
    top_k: int = 0
    seed: int = 0
    max_tokens: int = 512
    seconds: float = 30.0
    memory_mib: int = 1024
    disk_mib: int = 256
    output_kib: int = 1024
    run: str = "on"
    policy: str = "default"
    n: int = 1
    ask: str = "auto"
    corrections: bool = True
    state: bool = True
    think: str = "auto"
    thoughts: bool = False
    language: str = languages.PYTHON.name

    def __post_init__(self) -> None:
        check_numbers(self)
        for name, words in {"run": (ON, ASK, OFF), **CHOICES}.items():
            check_word(name, getattr(self, name), words)
        for name in ("corrections", "state", "thoughts"):
            if type(value := getattr(self, name)) is not bool:
                raise UsageError(f"{name} must be True or False, not {brief(value)}")
        check_policy(self.policy)
        if not isinstance(self.think, str) or parse_think(self.think) != self.think:
            raise UsageError(f'think must be a text such as "off" or "512", not {brief(self.think)}')
        if not isinstance(self.language, str):
            raise UsageError(f"language must be a name such as python or go, not {brief(self.language)}")
        languages.parse_language(self.language)

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.top_k, self.seed, self.max_tokens)

    @property
    def limits(self) -> Limits:
        return Limits(self.seconds, self.memory_mib, self.output_kib, self.disk_mib)

    def with_text(self, name: str, text: str) -> "Settings":
        """These settings with one changed, its value given as the user typed it: "90", "90 s", "2min"."""
        name = full_name(name)
        if name not in HELP:
            raise UsageError(f"no setting {name!r}; settings are {', '.join(HELP)}")
        if name == "policy":
            return replace(self, policy=check_policy(text.strip(), text))
        if name == "language":
            return replace(self, language=languages.parse_language(text).name)
        if name == "think":
            return replace(self, think=parse_think(text))
        if name in CHOICES:
            return replace(self, **{name: parse_choice(name, text)})  # type: ignore[arg-type]
        if name == "run":
            return replace(self, run=parse_run_mode(text))
        value = parse_value(name, text, type(getattr(self, name)))
        if name in BOUNDS:
            check_bounds(name, value, text)
        return replace(self, **{name: value})  # type: ignore[arg-type]

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, value with its unit, meaning) of every setting, in order."""
        return [(each.name, self.text(each.name), HELP[each.name]) for each in fields(self)]

    def text(self, name: str) -> str:
        """The value of a setting as it is shown, and can be typed: "30 s"."""
        return format_value(getattr(self, name)) + unit_of(name)


HELP = {
    "temperature": "0 is greedy, the same reply each time; higher values vary more",
    "top_p": "sample from the most likely tokens that together have this probability",
    "top_k": "sample from this many most likely tokens; 0 for all",
    "seed": "seed for sampling; the same seed gives the same code",
    "max_tokens": "maximum tokens per reply",
    "seconds": "time limit per run (wall clock)",
    "memory_mib": "memory limit per run",
    "disk_mib": "limit on files per run, including attached ones",
    "output_kib": "limit on output per run",
    "run": "when to run the program: on (after each turn), ask (confirm first), off (only by /run)",
    "policy": "generation strategy: default, best, plain and others",
    "n": "candidates per turn; you choose, scripts take the majority behaviour",
    "ask": "when to ask for clarification: auto (if ambiguous), always (if candidates differ), never",
    "corrections": "on: instructions that read as corrections edit the earlier turn; off: they are new steps",
    "state": "on: prompts show variables and the last output, if the policy does so; off: never",
    "think": "thinking before the code: off, on, N (at most N tokens), auto (models made to think do)",
    "thoughts": "on: thoughts are shown while the model thinks; off: only a count of their tokens",
    "language": "language of new sessions, such as javascript or go; only python programs are run",
}

BOUNDS = {
    "temperature": (0.0, 2.0),
    "top_p": (0.01, 1.0),
    "top_k": (0, 1_000_000),
    "seed": (0, 2**63 - 1),
    "max_tokens": (1, 100_000),
    "seconds": (0.1, 86_400),
    "memory_mib": (64, 1_048_576),
    "disk_mib": (1, 1_048_576),
    "output_kib": (1, 1_048_576),
    "n": (1, 64),
}
CHOICES = {"ask": ("auto", "always", "never")}

LONGEST = 60  # characters of a value in a message

OTHER_NAMES = {"wall": "seconds", "memory": "memory_mib", "disk": "disk_mib", "output": "output_kib"}


KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
BYTES = {"kib": KIB, "kb": KIB, "mib": MIB, "mb": MIB, "gib": GIB, "gb": GIB, "tib": TIB, "tb": TIB}
TIMES = {"seconds": 1, "minutes": 60, "hours": 3600}


@dataclass(frozen=True)
class Unit:
    """The unit of a setting: how it is shown, the words that can be typed, and its own size among theirs."""

    name: str
    words: Mapping[str, int]
    size: int
    example: str

    def factor(self, letters: str) -> float:
        """How many of this unit are in the one that begins with these letters; ValueError if none does."""
        if not letters:
            return 1.0
        for word, size in self.words.items():
            if word.startswith(letters):
                return size / self.size
        raise ValueError(letters)


UNITS = {
    "seconds": Unit("s", TIMES, 1, "90, 90s or 2min"),
    "memory_mib": Unit("MiB", BYTES, MIB, "512, 512M or 2 GiB"),
    "disk_mib": Unit("MiB", BYTES, MIB, "512, 512M or 2 GiB"),
    "output_kib": Unit("KiB", BYTES, KIB, "512, 512K or 2 MiB"),
}

ON, ASK, OFF, AUTO = "on", "ask", "off", "auto"
WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def check_numbers(values: "Sampling | Limits | Settings", endless: str = "") -> None:
    """UsageError if a number is of another type or out of bounds; `endless` has a lower bound only."""
    for each in fields(values):
        if each.name not in BOUNDS:
            continue
        value = getattr(values, each.name)
        if isinstance(value, bool) or not isinstance(value, int if each.type is int else int | float):
            kind = "whole number" if each.type is int else "number"
            raise UsageError(f"{each.name} must be a {kind}, not {brief(value)}")
        if each.name != endless:
            check_bounds(each.name, value, brief(value))
        elif not BOUNDS[endless][0] <= value:
            least = f"{format_value(BOUNDS[endless][0])}{unit_of(endless)}"
            raise UsageError(f"{endless} must be at least {least}, not {brief(value)}")


def check_bounds(name: str, value: float, given: str) -> None:
    """UsageError if the value of a setting, as it was given, is out of bounds."""
    low, high = BOUNDS[name]
    if not low <= value <= high:
        unit = unit_of(name)
        bounds = f"between {format_value(low)}{unit} and {format_value(high)}{unit}"
        raise UsageError(f"{name} must be {bounds}, not {given}")


def check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    """UsageError if a setting is none of the words that it may be."""
    if not isinstance(value, str) or value not in words:
        *others, last = (f'"{word}"' for word in words)
        raise UsageError(f"{name} must be {', '.join(others)} or {last}, not {brief(value)}")


def check_policy(name: str, given: object = None) -> str:
    """The name of a policy; UsageError if it cannot be one."""
    if not isinstance(name, str) or not name.isidentifier():
        said = brief(name if given is None else given)
        raise UsageError(f"policy must be a name such as default, best or plain, not {said}")
    return name


def brief(value: object) -> str:
    """A value in a message, cut where it is long."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST:
        return f"a number of more than {LONGEST} digits"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def parse_value(name: str, text: str, kind: type) -> bool | int | float:
    """The value of a typed setting; the error says what would have been right."""
    word = text.strip().lower()
    if kind is bool:
        if word not in WORDS:
            raise UsageError(f"{name} must be on or off, not {text!r}")
        return WORDS[word]
    try:
        if name in UNITS:
            return parse_quantity(word, UNITS[name], kind)
        return int(word) if kind is int else float(word)
    except ValueError:
        what = "whole number" if kind is int else "number"
        example = f" such as {UNITS[name].example}" if name in UNITS else ""
        raise UsageError(f"{name} must be a {what}{example}, not {text!r}") from None


def parse_choice(name: str, text: str) -> str:
    """The value of a setting that has a few words to choose from."""
    word = text.strip().lower()
    if word not in CHOICES[name]:
        raise UsageError(f"{name} must be one of {', '.join(CHOICES[name])}, not {text!r}")
    return word


def parse_think(text: str) -> str:
    """Whether the model thinks, as typed: auto, off, on, or the most tokens of a thought."""
    word = text.strip().lower()
    if word == AUTO:
        return AUTO
    if word in WORDS:
        return format_value(WORDS[word])
    if not word.isascii() or not word.isdigit():
        raise UsageError(f"think must be off, on, auto or a number of tokens such as 512, not {text!r}")
    number = int(word[:LONGEST])
    if number > MOST_THOUGHT:
        raise UsageError(f"think must be at most {MOST_THOUGHT} tokens, not {brief(number)}")
    return str(number) if number else OFF


def thought_budget(setting: str, card: ModelCard) -> int:
    """The most tokens that a model thinks before a reply, with the setting `think`; 0 for no thought.

    With a number, a model thinks that its chat template has no form of a thought for.
    """
    if not card.thinks or setting == OFF:
        return 0
    if setting.isdigit():
        return int(setting)
    wanted = card.thinks == ALWAYS or (setting == ON and card.thinks == ABLE)
    return min(THOUGHT_TOKENS, card.context // 4) if wanted else 0


def parse_run_mode(text: str) -> str:
    """When the program runs, as typed."""
    word = text.strip().lower()
    if word == ASK:
        return ASK
    if word not in WORDS:
        raise UsageError(f"run must be on, ask or off, not {text!r}")
    return format_value(WORDS[word])


def parse_quantity(word: str, unit: Unit, kind: type) -> int | float:
    """A number with a unit or without one, in the unit of the setting; ValueError when it is neither."""
    number = word.rstrip(ascii_lowercase)
    value = float(number) * unit.factor(word[len(number) :])
    if kind is not int:
        return value
    if not value.is_integer():
        raise ValueError(word)
    return int(value)


def full_name(name: str) -> str:
    """A setting by the name that is typed for it."""
    return OTHER_NAMES.get(name, name)


def unit_of(name: str) -> str:
    return f" {UNITS[name].name}" if name in UNITS else ""


def format_value(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
