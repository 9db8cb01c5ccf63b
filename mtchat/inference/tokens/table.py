"""The vocabulary of a GGUF file as the file states it: tokens, their types and scores, merges and flags."""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtchat.errors import ModelError
from mtchat.inference.header import ARRAY, SCALARS, STRING, Reader

PREFIX = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"
NAME = "general.name"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
TEXTS, NUMBERS = ("tokens", "merges"), ("token_type", "scores")

Value = str | int | float | bool


@dataclass(frozen=True)
class Table:
    """A vocabulary: `tokens`, `types` and `scores` are by id; `facts` are its other keys."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    facts: dict[str, Value]
    name: str = ""
    template: str = ""

    def number(self, fact: str) -> int | None:
        """A fact that is the id of a token of this table; None where there is none."""
        value = self.facts.get(fact)
        return value if isinstance(value, int) and 0 <= value < len(self.tokens) else None

    def flag(self, fact: str, default: bool) -> bool:
        return bool(self.facts.get(fact, default))


def read(file: Path) -> Table:
    """The table of a GGUF file; ModelError where it has none or where its parts do not fit."""
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = TableReader(data)
            facts = reader.header().facts
    except (ValueError, struct.error, LookupError, OverflowError) as error:
        raise ModelError(f"{file} is not a GGUF file that can be read ({error}); fetch it again") from error
    texts, numbers = reader.texts, reader.numbers
    tokens = texts.get("tokens", ())
    if not tokens:
        raise ModelError(f"no tokenizer in {file}: it lists no tokens; give one that is a whole model")
    types = tuple(int(each) for each in numbers.get("token_type", ())) or (NORMAL,) * len(tokens)
    scores = numbers.get("scores", ()) or (0.0,) * len(tokens)
    if not len(tokens) == len(types) == len(scores):
        raise ModelError(
            f"{file} has {len(tokens)} tokens, {len(types)} types and {len(scores)} scores; fetch it again"
        )
    own = {name.removeprefix(PREFIX): fact for name, fact in facts.items() if name.startswith(PREFIX)}
    template = str(facts.get(TEMPLATE, ""))
    return Table(tokens, types, scores, texts.get("merges", ()), own, str(facts.get(NAME, "")), template)


class TableReader(Reader):
    """Walks over the header of a GGUF file, and keeps the arrays of its vocabulary."""

    def __init__(self, data: mmap.mmap) -> None:
        super().__init__(data)
        self.texts: dict[str, tuple[str, ...]] = {}
        self.numbers: dict[str, tuple[float, ...]] = {}

    def facts(self, count: int) -> Iterator[tuple[str, Value]]:
        for _ in range(count):
            name = self.text()
            (kind,) = self.take("I")
            short = name.removeprefix(PREFIX)
            if kind == STRING:
                yield name, self.text()
            elif kind != ARRAY:
                yield name, self.take(SCALARS[kind])[0]
            elif short in TEXTS:
                self.texts[short] = self.strings(name)
            elif short in NUMBERS:
                self.numbers[short] = self.scalars(name)
            else:
                self.skip_array()

    def strings(self, name: str) -> tuple[str, ...]:
        kind, count = self.take("IQ")
        if kind != STRING:
            raise ValueError(f"{name} has no texts")
        unpack, data, at, found = struct.Struct("<Q").unpack_from, self.data, self.at, []
        for _ in range(count):
            end = at + 8 + unpack(data, at)[0]
            found.append(data[at + 8 : end].decode("utf-8", "replace"))
            at = end
        self.at = at
        return tuple(found)

    def scalars(self, name: str) -> tuple[float, ...]:
        kind, count = self.take("IQ")
        if kind not in SCALARS:
            raise ValueError(f"{name} has no numbers")
        if count * struct.calcsize(f"<{SCALARS[kind]}") > len(self.data) - self.at:
            raise ValueError(f"{name} is longer than the file")
        return self.take(f"{count}{SCALARS[kind]}")
