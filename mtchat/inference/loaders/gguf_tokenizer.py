"""Builds the tokenizer of a GGUF file from its vocabulary, and checks it against that vocabulary."""

import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.loaders.gguf_reader import ARRAY, SCALARS, STRING, GgufReader, read_gguf
from mtchat.inference.loaders.split_rules import SPLIT_RULES
from mtchat.inference.tokens.tokenizer import Tokenizer

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


# special tokens that some files list as ordinary words, and the key that names another token instead
SPECIAL_NAMES = (
    "<|eot_id|> <|im_start|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <start_of_turn> "
    "<end_of_turn> <|endoftext|> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> "
    "<eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[ <|ifm|im_end|>"
)
INFILL_NAMES = {
    "fim_pre_token_id": "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> "
    "<|code_prefix|> <|prefix|> <|plamo:fim_prefix|>",
    "fim_suf_token_id": "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> "
    "<|code_suffix|> <|suffix|> <|plamo:fim_suffix|>",
    "fim_mid_token_id": "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> "
    "<|code_middle|> <|middle|> <|plamo:fim_middle|>",
    "fim_pad_token_id": "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]",
    "fim_rep_token_id": "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    "fim_sep_token_id": "<|file_sep|> <|plamo:file_separator|>",
}
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")
NAMES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}
SPACE = "▁"
FIRST_RUN = 0x10F000  # a private code point: letters that nobody writes


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
    makers = {"gpt2": byte_pair, "gemma4": byte_pair, "llama": sentencepiece}
    if kind not in makers:
        raise ModelError(
            f"cannot read the vocabulary of {place}: its kind is {kind!r}, and mtchat supports "
            f"{', '.join(makers)}; give a folder with the model's safetensors and tokenizer.json"
        )
    backend, starts = makers[kind](table, place)
    add_special_tokens(backend, table)
    numbers = {name: table.token_id(f"{name}_token_id") for name in NAMES}
    if kind == "llama":  # the default ids
        usual = {"bos": 1, "eos": 2, "unknown": 0}
        numbers |= {name: usual[name] for name in usual if numbers[name] is None and len(table.tokens) > 2}
    names = {NAMES[name]: table.tokens[number] for name, number in numbers.items() if number is not None}
    if starts and (first := names.get("bos_token")):
        add_bos(backend, first)
    ends = frozenset(each for each in (numbers["eos"], *map(table.token_id, ENDS)) if each is not None)
    return Tokenizer(backend, names, table.template, ends)


def byte_pair(table: GgufVocabulary, place: str) -> tuple[Any, bool]:
    """A byte-pair vocabulary, and whether texts start with BOS.

    Text is split by patterns, then pairs are merged in the file's order.
    """
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    name = "gemma4" if table.metadata.get("model") == "gemma4" else str(table.metadata.get("pre", ""))
    split = SPLIT_RULES.get(name or "default")
    if split is None:
        raise ModelError(
            f"cannot read the vocabulary of {place}: its pre-tokenizer {name!r} is not supported; "
            "give a folder with the model's safetensors and tokenizer.json"
        )
    words = {word: id for id, word in enumerate(table.tokens) if word}
    pairs = [
        pair for pair in map(split_merge, table.merges) if "".join(pair) in words and words.keys() >= {*pair}
    ]
    backend = Tokenizer(BPE(words, pairs, ignore_merges=split.whole, byte_fallback=split.raw))
    steps: list[Any] = [pre_tokenizers.Split(Regex(each), "isolated") for each in split.patterns]
    if split.raw:
        runs = unmerged_runs(words, table, backend) if split.lines else {}
        if runs:
            words = {runs.get(word, word): id for word, id in words.items()}
            pairs = [pair for pair in pairs if not runs.keys() & {*pair, "".join(pair)}]
            backend = Tokenizer(BPE(words, pairs, byte_fallback=True))
        spell_raw(backend, steps, runs)
    else:
        backend.decoder = decoders.ByteLevel()
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    backend.pre_tokenizer = pre_tokenizers.Sequence(steps)
    return backend, split.lines or table.flag("add_bos_token", split.bos)


def unmerged_runs(words: Mapping[str, int], table: GgufVocabulary, backend: Any) -> dict[str, str]:
    """Runs of line breaks that are tokens but that no merges make, each with a letter to stand for it."""
    found = [word for word, id in words.items() if table.types[id] == NORMAL and re.fullmatch(r"\n\n+", word)]
    return {run: chr(FIRST_RUN + len(run)) for run in found if backend.encode(run).ids != [words[run]]}


def spell_raw(backend: Any, steps: list[Any], runs: Mapping[str, str]) -> None:
    """Spell text as the vocabulary does: ▁ for a space, and one letter for a run of line breaks in `runs`."""
    from tokenizers import Regex, decoders, normalizers, pre_tokenizers

    exact = [(Regex(rf"(?<!\n)\n{{{len(run)}}}(?!\n)"), letter) for run, letter in runs.items()]
    backend.normalizer = normalizers.Sequence(
        [normalizers.Replace(" ", SPACE), *(normalizers.Replace(*each) for each in exact)]
    )
    back = [decoders.Replace(letter, run) for run, letter in runs.items()]
    backend.decoder = decoders.Sequence(
        [*back, decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    if runs:
        steps.insert(0, pre_tokenizers.Split(Regex(f"[{''.join(runs.values())}]"), "isolated"))


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
    return backend, table.flag("add_bos_token", True)


def merge_pairs(words: dict[str, int], table: GgufVocabulary) -> Iterator[tuple[str, str]]:
    """Each pair of words that forms a word, best score first and then the lower id.

    llama.cpp lets equal scores merge from left to right. In the files where scores are equal, all are,
    because the original tokenizer has none and merges by id.
    """
    found = []
    whole = (CONTROL, UNKNOWN, BYTE)  # never the sum of what people write
    words = {word: id for word, id in words.items() if table.types[id] not in whole}
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

    special, defined = special_ids(table)
    # their special tokens swallow the spaces after them
    after = "phi-3" in table.name.lower() or "phi3" in table.name.lower()
    keeps = ("<unk>", "<s>", "<|endoftext|>")

    def added(ids: list[int], special: bool) -> list[AddedToken]:
        words = [table.tokens[id] for id in ids]
        swallows = [after and word not in keeps for word in words]
        return [
            AddedToken(word, normalized=False, special=special, rstrip=each)
            for word, each in zip(words, swallows, strict=True)
        ]

    backend.add_special_tokens(added(special, True))
    backend.add_tokens(added(defined, False))


def special_ids(table: GgufVocabulary) -> tuple[list[int], list[int]]:
    """The ids of the control tokens and of the user-defined ones, by their types and by their names.

    A name alone says nothing where the word is a sum of others, as <PAD> can be in code, or where it is
    HTML as well, as </s> is.
    """
    names = set(SPECIAL_NAMES.split())
    for key, each in INFILL_NAMES.items():
        names |= set(each.split()) if table.token_id(key) is None else set()
    ordinary = {word for word, kind in zip(table.tokens, table.types, strict=True) if kind == NORMAL}
    if names & ordinary:
        names -= ordinary & {"".join(split_merge(merge)) for merge in table.merges}
    special, defined = [], []
    for id, (word, kind) in enumerate(zip(table.tokens, table.types, strict=True)):
        if word and (kind in (CONTROL, UNKNOWN) or word in names):
            special.append(id)
        elif word and kind == USER_DEFINED:
            defined.append(id)
    return special, defined


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
