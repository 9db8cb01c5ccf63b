"""The vocabulary of a GGUF file as llama.cpp reads it: a check of our tokenizer, or a tokenizer itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from mtchat.inference.llama_cpp.model import LlamaWeights
from mtchat.inference.tokens.tokenizer import TextPart, Tokenizer

CONTROL, USER_DEFINED = 8, 16  # attributes of tokens
ROOM = 16  # ids that a text can have beyond its bytes, such as BOS

# what tokenizers split in different ways: code, digits, signs, spaces, line ends, letters of many scripts
PROBES = (
    "def f(x1, y=12345):\n\treturn [x1 ** 2, -0.5e10]  # it's 100% they'll don't\n\n\nclass A_b:\r\n",
    "  two  spaces, 3.14159 + 2024-11-30;  a\u00a0b\t\t'quoted' \"twice\" <tag/> {x}!=y&&z||w...\n",
    "naïve café ÀÉÎ straße ☕🙂 日本語のテキスト 你好,世界 한국어 Привет мир שלום ٣٤ x²",
    "\n\n  \n x\n\n\n\ny  ",
)


@dataclass(frozen=True)
class LlamaToken:
    """A token that is never split, as the package tokenizers describes one."""

    content: str
    special: bool
    lstrip: bool = False
    rstrip: bool = False


@dataclass(frozen=True)
class LlamaEncoding:
    """The ids of a text."""

    ids: list[int]


class LlamaVocabulary:
    """What our tokenizers need of a backend, by llama.cpp's functions."""

    def __init__(self, weights: LlamaWeights) -> None:
        self.weights = weights
        self.library = weights.library
        self.handle = weights.vocabulary

    def get_added_tokens_decoder(self) -> dict[int, LlamaToken]:
        kinds = {id: self.library.vocab_get_attr(self.handle, id) for id in range(self.weights.rows)}
        return {
            id: LlamaToken(name, bool(kind & CONTROL))
            for id, kind in kinds.items()
            if kind & (CONTROL | USER_DEFINED) and (name := self.id_to_token(id))
        }

    def get_vocab_size(self) -> int:
        return self.weights.rows

    def id_to_token(self, id: int) -> str | None:
        if not 0 <= id < self.weights.rows:
            return None
        text: bytes | None = self.library.vocab_get_text(self.handle, id)
        return text.decode("utf-8", "replace") if text is not None else None

    def token_to_id(self, name: str) -> int | None:
        found = self.tokenize(name, special=True, bos=False)
        return found[0] if len(found) == 1 and self.id_to_token(found[0]) == name else None

    def add_special_tokens(self, tokens: Sequence[Any]) -> int:
        """Nothing is added: llama.cpp splits every token that its file marks."""
        return 0

    def encode(self, text: str, add_special_tokens: bool = True) -> LlamaEncoding:
        return LlamaEncoding(self.tokenize(text, special=True, bos=add_special_tokens))

    def tokenize(self, text: str, special: bool, bos: bool) -> list[int]:
        """The ids of a text; `special` reads the names of control tokens in it as such."""
        data = text.encode("utf-8", "replace")
        ids = numpy.empty(len(data) + ROOM, numpy.int32)
        count = self.library.tokenize(self.handle, data, len(data), ids.ctypes.data, len(ids), bos, special)
        if count < 0:
            ids = numpy.empty(-count, numpy.int32)
            count = self.library.tokenize(
                self.handle, data, len(data), ids.ctypes.data, len(ids), bos, special
            )
        return [int(each) for each in ids[:count]]

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        given = numpy.array(ids, numpy.int32)
        size = 16 * len(given) + ROOM
        while True:
            text = numpy.empty(size, numpy.int8)
            count = self.library.detokenize(
                self.handle, given.ctypes.data, len(given), text.ctypes.data, size, False, True
            )
            if count >= 0:
                return text[:count].tobytes().decode("utf-8", "replace")
            size = -count

    def stop_ids(self, among: Sequence[int]) -> frozenset[int]:
        """Those ids that end a reply, as llama.cpp finds them."""
        return frozenset(id for id in among if self.library.vocab_is_eog(self.handle, id))


class LlamaTokenizer(Tokenizer):
    """A tokenizer by llama.cpp's own functions, for vocabularies that mtchat cannot read by itself."""

    def __init__(self, vocabulary: LlamaVocabulary, names: Mapping[str, str], template: str) -> None:
        super().__init__(vocabulary, names, template)
        self.vocabulary = vocabulary

    def encode_parts(self, parts: Sequence[TextPart], special: bool = False) -> list[int]:
        found = self.vocabulary.tokenize("", special=False, bos=True) if special else []
        words = ""
        for part in (*parts, TextPart("", special=True)):
            if not part.special:
                words += part.text
                continue
            if words:
                found += self.vocabulary.tokenize(words, special=False, bos=False)
            if (mark := self.ids_of.get(part.text)) is not None:
                found.append(mark)
            words = ""
        return found


def differing_probe(tokenizer: Tokenizer, vocabulary: LlamaVocabulary) -> str:
    """A text that a tokenizer and llama.cpp encode to different ids; "" if there is none."""
    for text in PROBES:
        ours = tokenizer.encode_parts([TextPart(text)])
        if ours != vocabulary.tokenize(text, special=False, bos=False):
            return text
    return ""
