"""Builds the tokenizer of a GGUF file from its vocabulary, and checks it against that vocabulary.

Byte-level vocabularies split text by patterns before pairs are merged; their names and patterns are
llama.cpp's (src/llama-vocab.cpp). Each pattern splits what the one before it left; the text between two
matches is a piece of its own.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.loaders.gguf_reader import ARRAY, SCALARS, STRING, GgufReader, read_gguf
from mtchat.inference.tokens.tokenizer import Tokenizer

SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
QWEN2 = rf"{SHORT}|{WORD}|\p{{N}}|{SIGNS}|{SPACES}"
ACCENTED = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
QWEN35 = rf"{SHORT}|{ACCENTED}|{SPACES}"
LLAMA3 = rf"{SHORT}|{WORD}|\p{{N}}{{1,3}}|{SIGNS}|{SPACES}"
TEKKEN = rf"{LOWER}|{UPPER}|\p{{N}}|{PATHS}|{SPACES}"
GPT4O = rf"{LOWER}{SHORT}?|{UPPER}{SHORT}?|\p{{N}}{{1,3}}|{PATHS}|{SPACES}"
SEED = rf"{SHORT}|{WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{SPACES}"
BAILING = rf"'(?i:[sdmt]|ll|ve|re)|{WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
CJK = r"[一-龥぀-ゟ゠-ヿ]+"
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{SPACES}"
)
HAN = r"[一-龥ࠀ-一가-퟿]+"


@dataclass(frozen=True)
class SplitRule:
    """Patterns in order; with `whole`, a piece that is a token is not merged; `bos` starts each text."""

    patterns: tuple[str, ...]
    whole: bool = False
    bos: bool = False


DEFAULT = SplitRule((r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"))
DIGITS = SplitRule((r"\p{N}", GPT2))
PLAIN = SplitRule((GPT2,))

SPLIT_RULES = {
    "default": DEFAULT,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling"), PLAIN),
    **dict.fromkeys(("gigachat", "a.x-4.0", "mellum", "exaone4"), PLAIN),
    **dict.fromkeys(("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone"), DIGITS),
    "minerva-7b": DIGITS,
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2"), SplitRule((QWEN2,))),
    **dict.fromkeys(("hunyuan", "grok-2"), SplitRule((QWEN2,))),
    "qwen35": SplitRule((QWEN35,)),
    **dict.fromkeys(
        ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
        SplitRule((LLAMA3,), whole=True, bos=True),
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"), SplitRule((LLAMA3,))),
    "tekken": SplitRule((TEKKEN,), whole=True, bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "kanana2"), SplitRule((GPT4O,))),
    "seed-coder": SplitRule((SEED,)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), SplitRule((BAILING,))),
    "falcon": SplitRule((r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]")),
    "deepseek-coder": SplitRule((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN, r"\p{N}")),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), SplitRule((r"\p{N}{1,3}", CJK, DEEPSEEK3))),
}


PREFIX = "tokenizer.ggml."
TEMPLATE = "tokenizer.chat_template"
NAME = "general.name"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
TEXTS, NUMBERS = ("tokens", "merges"), ("token_type", "scores")

Value = str | int | float | bool


@dataclass(frozen=True)
class GgufVocabulary:
    """The vocabulary of a GGUF file: `tokens`, `types` and `scores` by id; `metadata` has its other keys."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    scores: tuple[float, ...]
    merges: tuple[str, ...]
    metadata: dict[str, Value]
    name: str = ""
    template: str = ""

    def token_id(self, key: str) -> int | None:
        """The id of a token in the metadata; None if it is missing or out of range."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and 0 <= value < len(self.tokens) else None

    def flag(self, key: str, default: bool) -> bool:
        return bool(self.metadata.get(key, default))


def read_vocabulary(file: Path) -> GgufVocabulary:
    """The vocabulary of a GGUF file; ModelError if it is missing or inconsistent."""
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            reader = VocabularyReader(data)
            metadata = reader.header().metadata
    except (ValueError, struct.error, LookupError, OverflowError) as error:
        raise ModelError(f"{file} is not a readable GGUF file ({error}); download it again") from error
    texts, numbers = reader.texts, reader.numbers
    tokens = texts.get("tokens", ())
    if not tokens:
        raise ModelError(f"no tokenizer in {file}: it has no tokens; give a file with a whole model")
    types = tuple(int(each) for each in numbers.get("token_type", ())) or (NORMAL,) * len(tokens)
    scores = numbers.get("scores", ()) or (0.0,) * len(tokens)
    if not len(tokens) == len(types) == len(scores):
        raise ModelError(
            f"{file} has {len(tokens)} tokens, {len(types)} types and {len(scores)} scores; download it again"
        )
    own = {name.removeprefix(PREFIX): each for name, each in metadata.items() if name.startswith(PREFIX)}
    template = str(metadata.get(TEMPLATE, ""))
    return GgufVocabulary(
        tokens, types, scores, texts.get("merges", ()), own, str(metadata.get(NAME, "")), template
    )


class VocabularyReader(GgufReader):
    """Parses the header of a GGUF file and keeps the arrays of its vocabulary."""

    def __init__(self, data: mmap.mmap) -> None:
        super().__init__(data)
        self.texts: dict[str, tuple[str, ...]] = {}
        self.numbers: dict[str, tuple[float, ...]] = {}

    def metadata(self, count: int) -> Iterator[tuple[str, Value]]:
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
            raise ValueError(f"{name} is not an array of strings")
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
            raise ValueError(f"{name} is not an array of numbers")
        if count * struct.calcsize(f"<{SCALARS[kind]}") > len(self.data) - self.at:
            raise ValueError(f"{name} is longer than the file")
        return self.take(f"{count}{SCALARS[kind]}")


# special tokens that some files list as ordinary words; llama.cpp treats them as special
MISTYPED = {
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>"),
    *(
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<|fim_pad|>",
    ),
    *("<|fim_pad|>", "<start_of_turn>", "<end_of_turn>", "<EOT>", "_<EOT>", "<｜end▁of▁sentence｜>"),
}
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")
NAMES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
SPACE = "▁"


def read_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer of a GGUF file; ModelError if a token has no row in the embedding."""
    embedding = read_gguf(file).tensors.get("token_embd.weight")
    table = read_vocabulary(file)
    rows = embedding.shape[0] if embedding and embedding.shape else len(table.tokens)
    if len(table.tokens) > rows:
        raise ModelError(f"{file} has {len(table.tokens)} tokens but {rows} embedding rows; get another copy")
    made = build_tokenizer(table, str(file))
    check_tokenizer(made, table, str(file))
    return made


def build_tokenizer(table: GgufVocabulary, place: str) -> Tokenizer:
    kind = str(table.metadata.get("model", ""))
    makers = {"gpt2": byte_level, "llama": sentencepiece}
    if kind not in makers:
        raise ModelError(
            f"cannot read the vocabulary of {place}: its kind is {kind!r}, and mtchat supports "
            f"{', '.join(makers)}; give a folder with the model's safetensors and tokenizer.json"
        )
    backend, bos = makers[kind](table, place)
    add_special_tokens(backend, table)
    numbers = {name: table.token_id(f"{name}_token_id") for name in NAMES}
    if kind == "llama":  # the default ids
        usual = {"bos": 1, "eos": 2, "unknown": 0}
        numbers |= {name: usual[name] for name in usual if numbers[name] is None and len(table.tokens) > 2}
    names = {NAMES[name]: table.tokens[number] for name, number in numbers.items() if number is not None}
    if table.flag("add_bos_token", bos) and (first := names.get("bos_token")):
        add_bos(backend, first)
    ends = frozenset(each for each in (numbers["eos"], *map(table.token_id, ENDS)) if each is not None)
    return Tokenizer(backend, names, table.template, ends)


def byte_level(table: GgufVocabulary, place: str) -> tuple[Any, bool]:
    """A byte-level BPE as GPT-2's: text becomes letters that stand for bytes, and pairs are merged."""
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    name = str(table.metadata.get("pre", "")) or "default"
    if name not in SPLIT_RULES:
        raise ModelError(
            f"cannot read the vocabulary of {place}: its pre-tokenizer {name!r} is not supported; "
            "give a folder with the model's safetensors and tokenizer.json"
        )
    split = SPLIT_RULES[name]
    words = {word: id for id, word in enumerate(table.tokens) if word}
    pairs = [
        pair for pair in map(split_merge, table.merges) if "".join(pair) in words and words.keys() >= {*pair}
    ]
    backend = Tokenizer(BPE(words, pairs, ignore_merges=split.whole))
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in split.patterns]
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*steps, bytes_])
    backend.decoder = decoders.ByteLevel()
    return backend, split.bos


def split_merge(merge: str) -> tuple[str, str]:
    """The two sides of a merge, which a space separates; the left one may start with a space."""
    at = merge.find(" ", 1)
    return (merge[:at], merge[at + 1 :]) if at > 0 else ("", "")


def sentencepiece(table: GgufVocabulary, place: str) -> tuple[Any, bool]:
    """A BPE as SentencePiece's: the pair whose word scores best is merged first; bytes for the rest."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    words = {word: id for id, word in enumerate(table.tokens) if word}
    unknown = table.token_id("unknown_token_id") or 0
    model = BPE(words, list(merge_pairs(words, table)), unk_token=table.tokens[unknown], fuse_unk=True)
    model.byte_fallback = True
    backend = Tokenizer(model)
    spaced = table.flag("add_space_prefix", True)
    prefix = [normalizers.Prepend(SPACE)] if spaced else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    stripped = [decoders.Strip(" ", 1, 0)] if spaced else []
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *stripped]
    backend.decoder = decoders.Sequence(steps)
    return backend, True


def merge_pairs(words: dict[str, int], table: GgufVocabulary) -> Iterator[tuple[str, str]]:
    """Each pair of words that forms a word, best score first."""
    found = []
    words = {word: id for word, id in words.items() if table.types[id] == NORMAL}
    for word, id in words.items():
        for at in range(1, len(word)):
            left, right = word[:at], word[at:]
            if left in words and right in words:
                found.append((-table.scores[id], id, words[left], words[right], left, right))
    found.sort()
    return ((left, right) for *_, left, right in found)


def add_special_tokens(backend: Any, table: GgufVocabulary) -> None:
    """Add the special tokens: control tokens have no text, user-defined ones do; neither is ever split."""
    from tokenizers import AddedToken

    special = [id for id, kind in enumerate(table.types) if kind in (CONTROL, UNKNOWN) and table.tokens[id]]
    known = set(special)
    special += [id for id, word in enumerate(table.tokens) if word in MISTYPED and id not in known]
    known = set(special)
    defined = [
        id
        for id, kind in enumerate(table.types)
        if kind == USER_DEFINED and id not in known and table.tokens[id]
    ]
    # their special tokens swallow the spaces after them
    after = "phi-3" in table.name.lower() or "phi3" in table.name.lower()
    keeps = ("<unk>", "<s>", "<|endoftext|>")
    backend.add_special_tokens(
        [
            AddedToken(word, normalized=False, special=True, rstrip=after and word not in keeps)
            for word in (table.tokens[id] for id in special)
        ]
    )
    backend.add_tokens([AddedToken(table.tokens[id], normalized=False) for id in defined])


def add_bos(backend: Any, first: str) -> None:
    """Start each text with the BOS token, where special tokens are asked for."""
    from tokenizers.processors import TemplateProcessing

    known = {"id": "BOS", "ids": [backend.token_to_id(first)], "tokens": [first]}
    backend.post_processor = TemplateProcessing(
        single=["BOS", "$A"], pair=["BOS", "$A", "$B"], special_tokens=[known]
    )


def check_tokenizer(made: Tokenizer, table: GgufVocabulary, place: str) -> None:
    """ModelError unless all ids are in the vocabulary and each special token encodes to its own id."""
    highest = max(made.backend.get_vocab(with_added_tokens=True).values())
    if highest >= len(table.tokens):
        raise ModelError(f"cannot read the vocabulary of {place}: token {highest} is beyond its end")
    ids = {word: id for id, word in enumerate(table.tokens)}
    for word, kind in zip(table.tokens, table.types, strict=True):
        if kind in (CONTROL, USER_DEFINED) and word and made.encode(word) != [ids[word]]:
            raise ModelError(f"cannot read the vocabulary of {place}: {word!r} does not encode to one token")
