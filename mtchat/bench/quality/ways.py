"""The ways to hold conversations that one command compares: "plain,default,single:plain,default+run=off"."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtchat.bench.quality.suite import Suite
from mtchat.errors import UsageError
from mtchat.generate import policy
from mtchat.session.settings import Settings

ASK = "ask"
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True)
class Way:
    """One way to hold the conversations of a benchmark, written MODE:POLICY+SETTING=VALUE.

    `mode` is "" for the first mode of the suite; `changes` are settings other than those of the command.
    `ask`, written ask=on or ask=off, says whether a simulated user answers questions.
    """

    policy: str
    mode: str = ""
    changes: tuple[tuple[str, str], ...] = ()
    ask: bool = False

    @property
    def name(self) -> str:
        """A name for files: "single-plain", "default-run-off"."""
        changes = (f"{name}-{value}" for name, value in self.changes)
        return "-".join([*filter(None, (self.mode, self.policy)), *changes, *[ASK] * self.ask])

    @property
    def variation(self) -> str:
        """The changes as they were written: "run=off, state=off"."""
        return ", ".join(f"{name}={value}" for name, value in self.changes)

    def apply(self, settings: Settings) -> Settings:
        """The settings with this policy and the changes; UsageError for a setting that does not exist."""
        settings = replace(settings, policy=self.policy)
        for name, value in self.changes:
            settings = settings.with_text(name, value)
        return settings


def parse_ways(text: str, mode: str = "", ask: bool = False) -> tuple[Way, ...]:
    """The ways in a list with commas; `mode` and `ask` are those of ways that name none."""
    words = [word.strip() for word in text.split(",")]
    return tuple(dict.fromkeys(parse_way(word, mode, ask) for word in words if word)) or (
        parse_way("", mode, ask),
    )


def parse_way(text: str, mode: str, ask: bool) -> Way:
    """UsageError for an unknown policy or setting."""
    name, *rest = text.split("+")
    own, colon, called = name.rpartition(":")
    policy.load(called)
    changes = []
    for each in rest:
        key, equals, value = (part.strip() for part in each.partition("="))
        if not equals:
            raise UsageError(f"{each!r} of --policy {text} changes no setting; write +NAME=VALUE")
        if key == ASK and value in SWITCH:
            ask = SWITCH[value]
        else:
            changes.append((key, value))
    found = Way(called, own if colon else mode, tuple(changes), ask)
    found.apply(Settings())
    return found


def in_modes(ways: Sequence[Way], suite: Suite) -> tuple[Way, ...]:
    """The ways that a suite has, each once and with its mode; others are left out."""
    known = (replace(each, mode=each.mode or suite.MODES[0]) for each in ways)
    return tuple(dict.fromkeys(each for each in known if each.mode in suite.MODES))


def short_name(way: Way, suite: Suite) -> str:
    """The name of a way of a suite, without the suite's first mode."""
    return replace(way, mode="" if way.mode == suite.MODES[0] else way.mode).name
