"""A model's tokenizer: text to ids, where only marks that are meant as such become marks, and ids to text."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError

FILE, ABOUT = "tokenizer.json", "about.json"
# marks by their looks, where a tokenizer lists them as ordinary words that were added
LOOKS = re.compile(
    r"<\|[^\s|]+\|>|<｜[^\s｜]+｜>|<eom>|<sep>|<mask_\d+>|</?think(?:ing)?>|\[/?(?:INST|THINK|SYSTEM_PROMPT)\]"
)
FIRST, LAST = 0xF0000, 0x10FFFE  # letters that no script uses


@dataclass(frozen=True)
class Part:
    """Some text of a context, or one mark that stands for itself."""

    text: str
    mark: bool = False


class Tokenizer:
    """Made of a `tokenizers` backend; for one thread at a time.

    `names` are its tokens by what they are for, as "eos_token". `ends` are ids that end a text beside that.
    `hidden` ids have no text. `marks` are the ids of what is never meant by somebody who types it.
    """

    def __init__(
        self,
        backend: Any,
        names: Mapping[str, str] | None = None,
        template: str = "",
        ends: Collection[int] = (),
    ) -> None:
        self.backend = backend
        self.names = dict(names or {})
        self.template = template
        self.ends = frozenset(ends)
        self.meant: dict[int, int] = {}  # by the ids of their other names
        self.added: dict[int, Any] = backend.get_added_tokens_decoder()
        self.ids_of = {token.content: id for id, token in self.added.items()}
        named = {backend.token_to_id(name) for name in self.names.values()} - {None}
        self.hidden = frozenset({id for id, token in self.added.items() if token.special} | named)
        self.guard({name for name, id in self.ids_of.items() if self.is_mark(name, id)})

    @classmethod
    def of(cls, tokenizer: Any) -> "Tokenizer":
        """That of a tokenizer of transformers, or the same where it is one of these."""
        if isinstance(tokenizer, Tokenizer):
            return tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                f"cannot read the tokenizer {type(tokenizer).__name__}: it has no tokenizer.json; "
                "put the model's tokenizer.json beside its weights"
            )
        names = {
            name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
        }
        return cls(backend, names, chosen(getattr(tokenizer, "chat_template", None)))

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """One that `save` wrote."""
        import tokenizers

        about = json.loads((folder / ABOUT).read_text("utf-8"))
        backend = tokenizers.Tokenizer.from_file(str(folder / FILE))
        return cls(backend, about["names"], about["template"], about["ends"])

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / FILE), pretty=False)
        about = {"names": self.names, "template": self.template, "ends": sorted(self.ends)}
        (folder / ABOUT).write_text(json.dumps(about), "utf-8")

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size())

    @property
    def eos(self) -> int | None:
        """The id that ends a text, where the tokenizer names one."""
        return self.number(self.names["eos_token"]) if "eos_token" in self.names else None

    def name(self, id: int) -> str | None:
        """The name of a token, as the vocabulary has it."""
        found: str | None = self.backend.id_to_token(id)
        return found

    def number(self, name: str) -> int | None:
        """The id of a token by its name."""
        found: int | None = self.backend.token_to_id(name)
        return found

    def is_mark(self, name: str, id: int) -> bool:
        """Whether an added token is for the template or the model alone, and no text that people write."""
        known = len(name) > 2 and name in self.template
        return bool(name.strip()) and (id in self.hidden or known or LOOKS.fullmatch(name) is not None)

    def guard(self, marks: set[str]) -> None:
        """Take these for marks from now on."""
        from tokenizers import AddedToken

        self.marks = frozenset(marks)
        longest = sorted(marks, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")
        # those that are there stay as they are, but can be split from now on where they are text
        told = [each for each in longest if not self.added[self.ids_of[each]].special]
        self.backend.add_special_tokens([AddedToken(each, special=True) for each in told])

    def within(self, rows: int) -> None:
        """Fit it to a model with so many rows: added tokens that have none are never read out of text."""
        if beyond := {word for word, id in self.ids_of.items() if id >= rows}:
            self.guard({*self.marks, *beyond})

    def encode(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text whose marks are meant; `special` adds what opens each text."""
        found: list[int] = self.backend.encode(text, add_special_tokens=special).ids
        return found

    def parts(self, text: str) -> list[Part]:
        """A text whose marks are meant, in parts."""
        found, end = [], 0
        for match in self.pattern.finditer(text):
            found += [Part(text[end : match.start()]), Part(match[0], mark=True)]
            end = match.end()
        return [part for part in (*found, Part(text[end:])) if part.text]

    def ids(self, parts: Sequence[Part], special: bool = False) -> list[int]:
        """Ids of a context: marks that are no parts of their own are words like any others."""
        if any(self.pattern.search(part.text) for part in parts if not part.mark):
            return self.split(parts, special)
        return self.encode("".join(part.text for part in parts), special)

    def split(self, parts: Sequence[Part], special: bool = False) -> list[int]:
        """As `ids`: the marks that are meant go under names that nobody types while all others are split."""
        text = "".join(part.text for part in parts)
        letter = next(chr(code) for code in range(FIRST, LAST) if chr(code) not in text)
        text = "".join(self.alias(part.text, letter) if part.mark else part.text for part in parts)
        self.backend.encode_special_tokens = True
        try:
            found = self.encode(text, special)
        finally:
            self.backend.encode_special_tokens = False
        return [self.meant.get(id, id) for id in found]

    def alias(self, mark: str, letter: str) -> str:
        """Another name of a mark, which is split off where it stands as the mark itself is."""
        from tokenizers import AddedToken

        id = self.number(mark)
        if id is None:
            raise ModelError(f"the mark {mark!r} is no token of this model")
        alias = f"{letter}{id}{letter}"
        if self.number(alias) is None:
            own = self.added.get(id)
            spaces = {"lstrip": own.lstrip, "rstrip": own.rstrip} if own else {}
            self.backend.add_tokens([AddedToken(alias, normalized=False, **spaces)])
            self.meant[self.backend.token_to_id(alias)] = id
        return alias

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of ids, marks as their names; or without those that are hidden."""
        shown = [id for id in ids if not (skip_special_tokens and id in self.hidden)]
        text: str = self.backend.decode(shown, skip_special_tokens=False)
        return text


def chosen(template: object) -> str:
    """A chat template, or of several the one that is named default; "" where there is none."""
    if isinstance(template, Mapping):
        template = template.get("default") or next(iter(template.values()), "")
    return template if isinstance(template, str) else ""
