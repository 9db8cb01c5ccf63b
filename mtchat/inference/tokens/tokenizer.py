"""A model's tokenizer: text to ids and back. Special tokens that a user typed stay plain text."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError

FILE, ABOUT = "tokenizer.json", "about.json"
# special tokens by their spelling, for tokenizers that list them as ordinary added words
SPECIAL_LOOKS = re.compile(
    r"<\|[^\s|]+\|>|<｜[^\s｜]+｜>|<eom>|<sep>|<mask_\d+>|</?think(?:ing)?>|\[/?(?:INST|THINK|SYSTEM_PROMPT)\]"
)
FIRST_PRIVATE, LAST_PRIVATE = 0xF0000, 0x10FFFE  # private code points: letters that no script uses


@dataclass(frozen=True)
class TextPart:
    """Some text of a context, or one special token."""

    text: str
    special: bool = False


class Tokenizer:
    """A `tokenizers` backend; for one thread at a time.

    `names` are special tokens by their role, such as "eos_token"; `stop_ids` end a text besides that one.
    `hidden` ids have no text. `special_names` are read as special tokens only where a `TextPart` says so.
    """

    def __init__(
        self,
        backend: Any,
        names: Mapping[str, str] | None = None,
        template: str = "",
        stop_ids: Collection[int] = (),
    ) -> None:
        self.backend = backend
        self.names = dict(names or {})
        self.template = template
        self.stop_ids = frozenset(stop_ids)
        self.alias_ids: dict[int, int] = {}  # alias id -> id of the special token
        self.added: dict[int, Any] = backend.get_added_tokens_decoder()
        self.ids_of = {token.content: id for id, token in self.added.items()}
        named = {backend.token_to_id(name) for name in self.names.values()} - {None}
        self.hidden = frozenset({id for id, token in self.added.items() if token.special} | named)
        self.set_special({name for name, id in self.ids_of.items() if self.is_special(name, id)})

    @classmethod
    def of(cls, tokenizer: Any) -> "Tokenizer":
        """Wrap a tokenizer of transformers; one of ours is returned as it is."""
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
        return cls(backend, names, default_template(getattr(tokenizer, "chat_template", None)))

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Read what `save` wrote."""
        import tokenizers

        about = json.loads((folder / ABOUT).read_text("utf-8"))
        backend = tokenizers.Tokenizer.from_file(str(folder / FILE))
        return cls(backend, about["names"], about["template"], about["ends"])

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / FILE), pretty=False)
        about = {"names": self.names, "template": self.template, "ends": sorted(self.stop_ids)}
        (folder / ABOUT).write_text(json.dumps(about), "utf-8")

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size())

    @property
    def eos(self) -> int | None:
        """The id that ends a text, if the tokenizer names one."""
        return self.id_of(self.names["eos_token"]) if "eos_token" in self.names else None

    def name(self, id: int) -> str | None:
        """The token of an id, as spelled in the vocabulary."""
        found: str | None = self.backend.id_to_token(id)
        return found

    def id_of(self, name: str) -> int | None:
        """The id of a token by its spelling in the vocabulary."""
        found: int | None = self.backend.token_to_id(name)
        return found

    def is_special(self, name: str, id: int) -> bool:
        """Whether an added token is for the template or the model only, and not text that people write."""
        known = len(name) > 2 and name in self.template
        return bool(name.strip()) and (
            id in self.hidden or known or SPECIAL_LOOKS.fullmatch(name) is not None
        )

    def set_special(self, names: set[str]) -> None:
        """Treat these tokens as special from now on."""
        from tokenizers import AddedToken

        self.special_names = frozenset(names)
        longest = sorted(names, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")
        # existing tokens keep their ids, but the backend can now split them where they are plain text
        added = [each for each in longest if not self.added[self.ids_of[each]].special]
        self.backend.add_special_tokens([AddedToken(each, special=True) for each in added])

    def limit_to(self, rows: int) -> None:
        """Fit the tokenizer to an embedding of `rows` rows: text never encodes to added tokens beyond it."""
        if beyond := {word for word, id in self.ids_of.items() if id >= rows}:
            self.set_special({*self.special_names, *beyond})

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text in which every special token is meant as one; `special` adds the BOS token."""
        found: list[int] = self.backend.encode(text, add_special_tokens=special).ids
        return found

    def split_special(self, text: str) -> list[TextPart]:
        """A text in parts, in which every special token is meant as one."""
        found, end = [], 0
        for match in self.pattern.finditer(text):
            found += [TextPart(text[end : match.start()]), TextPart(match[0], special=True)]
            end = match.end()
        return [part for part in (*found, TextPart(text[end:])) if part.text]

    def encode_parts(self, parts: Sequence[TextPart], special: bool = False) -> list[int]:
        """The ids of a context; a special token inside a text part is encoded as plain words."""
        if any(self.pattern.search(part.text) for part in parts if not part.special):
            return self.encode_aliased(parts, special)
        return self.encode("".join(part.text for part in parts), special)

    def encode_aliased(self, parts: Sequence[TextPart], special: bool = False) -> list[int]:
        """As `encode_parts`: special tokens go under aliases that nobody types while all others are split."""
        text = "".join(part.text for part in parts)
        letter = next(chr(code) for code in range(FIRST_PRIVATE, LAST_PRIVATE) if chr(code) not in text)
        text = "".join(self.alias(part.text, letter) if part.special else part.text for part in parts)
        self.backend.encode_special_tokens = True
        try:
            found = self.encode(text, special)
        finally:
            self.backend.encode_special_tokens = False
        return [self.alias_ids.get(id, id) for id in found]

    def alias(self, name: str, letter: str) -> str:
        """Another spelling of a special token, which the backend splits off as it does the token itself."""
        from tokenizers import AddedToken

        id = self.id_of(name)
        if id is None:
            raise ModelError(f"the special token {name!r} is not in this model's vocabulary")
        alias = f"{letter}{id}{letter}"
        if self.id_of(alias) is None:
            own = self.added.get(id)
            spaces = {"lstrip": own.lstrip, "rstrip": own.rstrip} if own else {}
            self.backend.add_tokens([AddedToken(alias, normalized=False, **spaces)])
            self.alias_ids[self.backend.token_to_id(alias)] = id
        return alias

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of ids, special tokens by name; `skip_special_tokens` leaves the hidden ones out."""
        shown = [id for id in ids if not (skip_special_tokens and id in self.hidden)]
        text: str = self.backend.decode(shown, skip_special_tokens=False)
        return text


def default_template(template: object) -> str:
    """A chat template, or the default of several; "" if there is none."""
    if isinstance(template, Mapping):
        template = template.get("default") or next(iter(template.values()), "")
    return template if isinstance(template, str) else ""
