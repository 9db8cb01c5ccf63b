"""Small vocabularies as GGUF files, made to show every place where text is split."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import gguf

SPECIAL = {
    "<|endoftext|>": 3,
    "<|im_start|>": 3,
    "<|im_end|>": 3,
    "<｜User｜>": 3,
    "<tool_call>": 4,
    "  <x>": 4,
}
ENDS = ["<unk>", "<s>", "</s>"]
LETTERS = [
    *"abhtsSTREerlLvVdDmM",
    *"'’ \t\n\r\x0b\x0c\x00\x85\xa0\u2028\u3000\u200b\u200c\u200d",
    *"1234567890٣½Ⅷ",
    *'.,!?-_/()[]{}<>|~`^$+=@#%&*"\\。、，！۔،…“',
    *"éßſKÀΩЖǅʰ漢字かナ한ㄱㄅไاे\u0301𐐀𠀀豈\ue000🎉🏻👩",
]

WORDS = ["the", "▁the", "12345"]
UNLISTED = " \n\x00\x85漢🎉"  # what `raw` and `scored` spell in bytes or otherwise


@dataclass(frozen=True)
class SmallVocabulary:
    """What a GGUF file says of its tokens; `settings` are further keys of its tokenizer."""

    model: str
    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str] = ()
    scores: Sequence[float] = ()

    def write(self, file: Path, name: str = "", **settings: Any) -> Path:
        out = gguf.GGUFWriter(file, "llama")
        out.add_context_length(64)
        out.add_embedding_length(32)
        out.add_block_count(1)
        out.add_tokenizer_model(self.model)
        out.add_token_list(self.tokens)
        out.add_token_types(self.types)
        if self.merges:
            out.add_token_merges(self.merges)
        if self.scores:
            out.add_token_scores(self.scores)
        if name:
            out.add_string("general.name", name)
        ids = {"bos_token_id": self.tokens.index("<s>"), "eos_token_id": self.tokens.index("</s>")}
        for key, value in {**ids, **settings}.items():
            add = {bool: out.add_bool, int: out.add_uint32, str: out.add_string}[type(value)]
            add(f"tokenizer.ggml.{key}", value)
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        return file


def renamed(source: Path, file: Path, name: str) -> Path:
    """A copy of a file of the "default" pre-tokenizer that names another one."""
    key, old, new = b"tokenizer.ggml.pre" + struct.pack("<I", 8), b"default", name.encode()
    before, after = (key + struct.pack("<Q", len(each)) + each for each in (old, new))
    data = source.read_bytes()
    assert data.count(before) == 1
    file.write_bytes(data.replace(before, after))
    return file


def byte_alphabet() -> list[str]:
    """The letter of each byte in a byte-level vocabulary."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(0x100, 0x200))
    return [chr(byte) if byte in shown else chr(next(rest)) for byte in range(256)]


def byte_level(extra: dict[str, int] = SPECIAL) -> SmallVocabulary:
    """Every two neighbours among `LETTERS` are a token, so that a split between them shows.

    No merges make `WORDS`: they are found only by rules that take a whole piece as a token.
    """
    alphabet = byte_alphabet()
    found = {pair for letter in LETTERS for pair in pairwise(letter.encode())}
    found |= {(left.encode()[-1], right.encode()[0]) for left, right in product(LETTERS, LETTERS)}
    pairs = [(alphabet[left], alphabet[right]) for left, right in sorted(found)]
    tokens = [*alphabet, *map("".join, pairs), *(word.replace("▁", "Ġ") for word in WORDS)]
    return marked("gpt2", tokens, extra, merges=[f"{left} {right}" for left, right in pairs])


def raw(extra: dict[str, int] = SPECIAL) -> SmallVocabulary:
    """As `byte_level`, of the letters themselves, with bytes for those that are no token."""
    letters = [*(letter for letter in LETTERS if letter not in UNLISTED), "▁"]
    pairs = list(product(letters, letters))
    tokens = [*letters, *map("".join, pairs), *WORDS, "\n", "\n\n", "\n\n\n\n"]
    return marked("gemma4", tokens, extra, merges=[f"{left} {right}" for left, right in pairs])


def scored(extra: dict[str, int] = SPECIAL) -> SmallVocabulary:
    """A vocabulary of SentencePiece's kind: words with scores, and bytes for what is no token."""
    letters = [*(letter for letter in LETTERS if letter not in UNLISTED), "▁"]
    words = ["▁the", "th", "the", "▁t", "he", "▁▁", "▁▁▁▁", "aa", "aaa", "aaaa", "lves", "er", "ver"]
    usual = [*letters[:40], "▁"]
    pairs = list(map("".join, product(usual, usual)))
    tokens = list(dict.fromkeys([*letters, *pairs, *words]))
    return marked(
        "llama", tokens, extra, scores=[-float(number * 7919 % 10007) for number in range(len(tokens))]
    )


def marked(model: str, words: Iterable[str], extra: dict[str, int], **rest: Any) -> SmallVocabulary:
    """A vocabulary of words, with its special tokens and bytes before them."""
    first = [*ENDS, *([f"<0x{byte:02X}>" for byte in range(256)] if model != "gpt2" else [])]
    kinds = [2, 3, 3, *[6] * (len(first) - 3)]
    words = [word for word in words if word not in first]
    if "scores" in rest:
        rest["scores"] = [*[0.0] * len(first), *rest["scores"], *[0.0] * len(extra)]
    tokens = [*first, *words, *extra]
    return SmallVocabulary(model, tokens, [*kinds, *[1] * len(words), *extra.values()], **rest)
