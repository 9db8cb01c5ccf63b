"""CodeGen2.5's tokenizer, made without its own code: GPT-2's ranks, then runs of spaces and tabs, then marks.

The released one is a Python file over tiktoken that gives these runs the next ranks, in this order, and joins
whatever has the lowest rank. The numbers agree with its comments (<sep> is 50317, <eom> 50318) and with the
51200 rows of the model.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtchat.inference.codegen import ranks
from mtchat.inference.convert import once
from mtchat.inference.facts import facts

FORMAT = 1
END = "<|endoftext|>"
CLASS, SOURCE = "CodeGen25Tokenizer", "tokenization_codegen25"
RUNS = [" " * count for count in range(31, 1, -1)] + ["\t" * count for count in range(9, 1, -1)]
MARKS = [
    *("<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<filename>", "<gh_stars>"),
    *("<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>"),
    *("<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>", "<commit_msg>"),
    *("<commit_after>", "<reponame>", *(f"<dummy_{number}>" for number in range(4)), "<sep>", "<eom>"),
    *(f"<mask_{number}>" for number in range(881, 0, -1)),
]

Report = Callable[[str, float | None], None]


def wanted(folder: Path) -> bool:
    """Whether a folder's tokenizer is CodeGen2.5's own, by what its config names."""
    config = facts(folder / "tokenizer_config.json")
    return str(config.get("tokenizer_class", "")).startswith(CLASS) or SOURCE in str(
        config.get("auto_map", "")
    )


def made(folder: Path, cache: Path, report: Report) -> Path:
    """The folder of a tokenizer that transformers loads; it is made once."""
    from huggingface_hub.constants import HF_HUB_CACHE

    place = cache / f"codegen25-tokenizer-{FORMAT}"

    def fill(part: Path) -> None:
        report("making the tokenizer, once", None)
        build(ranks.find(folder, Path(HF_HUB_CACHE), ranks.fetched)).save_pretrained(part)

    once(place, fill, report)
    return place


def extended(gpt2: ranks.Ranks) -> ranks.Ranks:
    """The ranks with those of the runs, none of which has one in GPT-2."""
    return gpt2 | {run.encode(): ranks.COUNT + 1 + at for at, run in enumerate(RUNS)}


def marks() -> dict[str, int]:
    """The special tokens by their ids."""
    first = ranks.COUNT + 1 + len(RUNS)
    return {END: ranks.COUNT} | {mark: first + at for at, mark in enumerate(MARKS)}


def build(gpt2: ranks.Ranks) -> Any:
    """A fast tokenizer that gives tiktoken's ids: a word with a rank is one token, else pairs are merged."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    known, special = extended(gpt2), marks()
    letters = {byte: letter for letter, byte in ranks.alphabet().items()}
    names = {word: "".join(letters[byte] for byte in word) for word in known}
    vocabulary = {names[word]: rank for word, rank in known.items()} | special
    pairs = [(names[left], names[right]) for left, right in merges(known)]
    backend = Tokenizer(BPE(vocabulary, pairs, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(each, normalized=False, special=True) for each in special])
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=backend,
        bos_token=END,
        eos_token=END,
        unk_token=END,
        clean_up_tokenization_spaces=False,
    )


def merges(known: ranks.Ranks) -> Iterator[tuple[bytes, bytes]]:
    """Each pair that makes a byte string with a rank, the lowest rank first."""
    for word, _ in sorted(known.items(), key=lambda item: item[1]):
        splits = [(word[:at], word[at:]) for at in range(1, len(word))]
        found = [pair for pair in splits if pair[0] in known and pair[1] in known]
        yield from sorted(found, key=lambda pair: (known[pair[0]], known[pair[1]]))
