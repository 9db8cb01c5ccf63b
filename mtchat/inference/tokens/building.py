"""Makes the tokenizer of a GGUF file from the file's own table, and checks it against that table once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.header import read_gguf
from mtchat.inference.tokens import table as tables
from mtchat.inference.tokens.splits import SPLITS
from mtchat.inference.tokens.table import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Table
from mtchat.inference.tokens.tokenizer import Tokenizer

# marks that some files list as ordinary words; llama.cpp takes them for what their names say
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


def of_gguf(file: Path) -> Tokenizer:
    """The tokenizer of a file, whose tokens all have a row in its embedding."""
    embedding = read_gguf(file).tensors.get("token_embd.weight")
    table = tables.read(file)
    rows = embedding.shape[0] if embedding and embedding.shape else len(table.tokens)
    if len(table.tokens) > rows:
        raise ModelError(
            f"{file} lists {len(table.tokens)} tokens and its model has rows for {rows}; get another copy"
        )
    made = build(table, str(file))
    check(made, table, str(file))
    return made


def build(table: Table, place: str) -> Tokenizer:
    kind = str(table.facts.get("model", ""))
    makers = {"gpt2": byte_level, "llama": sentencepiece}
    if kind not in makers:
        raise ModelError(
            f"cannot read the vocabulary of {place}: its kind is {kind!r}, and mtchat reads "
            f"{', '.join(makers)}; give a folder with safetensors and tokenizer.json of this model"
        )
    backend, bos = makers[kind](table, place)
    marks(backend, table)
    numbers = {name: table.number(f"{name}_token_id") for name in NAMES}
    if kind == "llama":  # whose usual numbers are these where the file is silent
        usual = {"bos": 1, "eos": 2, "unknown": 0}
        numbers |= {name: usual[name] for name in usual if numbers[name] is None and len(table.tokens) > 2}
    names = {NAMES[name]: table.tokens[number] for name, number in numbers.items() if number is not None}
    if table.flag("add_bos_token", bos) and (first := names.get("bos_token")):
        opened(backend, first)
    ends = frozenset(each for each in (numbers["eos"], *map(table.number, ENDS)) if each is not None)
    return Tokenizer(backend, names, table.template, ends)


def byte_level(table: Table, place: str) -> tuple[Any, bool]:
    """As GPT-2: text becomes letters that stand for bytes, and pairs of these are merged."""
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    name = str(table.facts.get("pre", "")) or "default"
    if name not in SPLITS:
        raise ModelError(
            f"cannot read the vocabulary of {place}: how {name!r} splits text is not known here; "
            "give a folder with safetensors and tokenizer.json of this model"
        )
    split = SPLITS[name]
    words = {word: id for id, word in enumerate(table.tokens) if word}
    pairs = [pair for pair in map(halves, table.merges) if "".join(pair) in words and words.keys() >= {*pair}]
    backend = Tokenizer(BPE(words, pairs, ignore_merges=split.whole))
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in split.patterns]
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*steps, bytes_])
    backend.decoder = decoders.ByteLevel()
    return backend, split.bos


def halves(merge: str) -> tuple[str, str]:
    """The two sides of a merge, which is written with a space between them; the left may begin with one."""
    at = merge.find(" ", 1)
    return (merge[:at], merge[at + 1 :]) if at > 0 else ("", "")


def sentencepiece(table: Table, place: str) -> tuple[Any, bool]:
    """As SentencePiece's BPE: the pair whose word has the best score is merged first; bytes for the rest."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    words = {word: id for id, word in enumerate(table.tokens) if word}
    unknown = table.number("unknown_token_id") or 0
    model = BPE(words, list(merges(words, table)), unk_token=table.tokens[unknown], fuse_unk=True)
    model.byte_fallback = True
    backend = Tokenizer(model)
    spaced = table.flag("add_space_prefix", True)
    prefix = [normalizers.Prepend(SPACE)] if spaced else []
    backend.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", SPACE)])
    stripped = [decoders.Strip(" ", 1, 0)] if spaced else []
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *stripped]
    backend.decoder = decoders.Sequence(steps)
    return backend, True


def merges(words: dict[str, int], table: Table) -> Iterator[tuple[str, str]]:
    """Each pair of words that makes a word, the best score first."""
    found = []
    words = {word: id for word, id in words.items() if table.types[id] == NORMAL}
    for word, id in words.items():
        for at in range(1, len(word)):
            left, right = word[:at], word[at:]
            if left in words and right in words:
                found.append((-table.scores[id], id, words[left], words[right], left, right))
    found.sort()
    return ((left, right) for *_, left, right in found)


def marks(backend: Any, table: Table) -> None:
    """Marks are whole whatever their letters: control tokens are no text, those that a user defined are."""
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
    # their marks take the spaces after them
    after = "phi-3" in table.name.lower() or "phi3" in table.name.lower()
    keeps = ("<unk>", "<s>", "<|endoftext|>")
    backend.add_special_tokens(
        [
            AddedToken(word, normalized=False, special=True, rstrip=after and word not in keeps)
            for word in (table.tokens[id] for id in special)
        ]
    )
    backend.add_tokens([AddedToken(table.tokens[id], normalized=False) for id in defined])


def opened(backend: Any, first: str) -> None:
    """Let each text begin with a mark, where marks are asked for."""
    from tokenizers.processors import TemplateProcessing

    known = {"id": "BOS", "ids": [backend.token_to_id(first)], "tokens": [first]}
    backend.post_processor = TemplateProcessing(
        single=["BOS", "$A"], pair=["BOS", "$A", "$B"], special_tokens=[known]
    )


def check(made: Tokenizer, table: Table, place: str) -> None:
    """No id past the table's end, the table's ids, and each mark one token: else no prompt would be right."""
    highest = max(made.backend.get_vocab(with_added_tokens=True).values())
    if highest >= len(table.tokens):
        raise ModelError(f"cannot read the vocabulary of {place}: token {highest} is past its end")
    ids = {word: id for id, word in enumerate(table.tokens)}
    for word, kind in zip(table.tokens, table.types, strict=True):
        if kind in (CONTROL, USER_DEFINED) and word and made.encode(word) != [ids[word]]:
            raise ModelError(f"cannot read the vocabulary of {place}: its mark {word!r} is not one token")
