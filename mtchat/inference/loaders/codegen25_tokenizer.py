"""CodeGen2.5's tokenizer, built without running its code: GPT-2's ranks, runs of spaces, special tokens.

The released one is a Python file over tiktoken that gives runs of spaces and tabs the next ranks, in this
order, and merges the pair with the lowest rank. The ids agree with its comments (<sep> is 50317, <eom>
50318) and with the 51200 rows of the model. GPT-2's vocabulary, which the folders lack, is looked for beside
them, in the hub's cache, and on the hub.
"""

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mtchat.errors import ModelError
from mtchat.inference.loaders.model_cache import make_once
from mtchat.inference.loaders.model_files import OnProgress, read_config, read_text

COUNT = 50256
# of the ranks in tiktoken's format: tiktoken pins the same hash for r50k_base.tiktoken
SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"
REPOSITORY = "openai-community/gpt2"
FILES = ("vocab.json", "tokenizer.json")

Ranks = dict[bytes, int]


def find_ranks(folder: Path, cache: Path, fetch: Callable[[], Path | None]) -> Ranks:
    """GPT-2's byte strings by their rank, from the first file that has them.

    `folder` is the model's, `cache` the hub's; `fetch` asks the hub, last.
    """
    for file in candidate_files(folder, cache):
        if ranks := read_ranks(file):
            return ranks
    if (found := fetch()) and (ranks := read_ranks(found)):
        return ranks
    raise ModelError(
        "CodeGen2.5 needs GPT-2's vocabulary, which was not found and cannot be downloaded: put vocab.json "
        f"of {REPOSITORY}, or tokenizer.json of a CodeGen model, into {folder}"
    )


def fetch_vocabulary() -> Path | None:
    """GPT-2's vocabulary file from the hub; None if it cannot be downloaded."""
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    with contextlib.suppress(HfHubHTTPError, HTTPError, OSError, ValueError):
        return Path(hub.hf_hub_download(REPOSITORY, FILES[0]))
    return None


def candidate_files(folder: Path, cache: Path) -> Iterator[Path]:
    """Files that may have it: in the folder, in those beside it, of GPT-2 and CodeGen in the hub's cache."""
    for name in FILES:
        yield folder / name
    for name in FILES:
        yield from sorted(folder.absolute().parent.glob(f"*/{name}"))
    for model in ("*gpt2", "*codegen*"):
        for name in FILES:
            yield from sorted(cache.glob(f"models--{model}/snapshots/*/{name}"))


def read_ranks(file: Path) -> Ranks:
    """The ranks in a vocab.json or tokenizer.json; {} if it is missing or not exactly GPT-2's."""
    try:
        table = json.loads(read_text(file))
        words = table["model"]["vocab"] if file.name == FILES[1] else table
        return verify_ranks(words)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def verify_ranks(words: dict[str, Any]) -> Ranks:
    known = byte_alphabet()
    named = {
        rank: bytes(known[letter] for letter in word)
        for word, rank in words.items()
        if isinstance(rank, int) and rank < COUNT
    }
    ordered = [named[rank] for rank in range(COUNT)]
    lines = (b"%s %d\n" % (base64.b64encode(word), rank) for rank, word in enumerate(ordered))
    if hashlib.sha256(b"".join(lines)).hexdigest() != SHA256:
        return {}
    return {word: rank for rank, word in enumerate(ordered)}


def byte_alphabet() -> dict[str, int]:
    """The letters that byte-level vocabularies use for bytes: printable ones, and others from 256 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(other)}


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


def is_codegen25(folder: Path) -> bool:
    """Whether a folder's tokenizer is CodeGen2.5's own, by its config."""
    config = read_config(folder / "tokenizer_config.json")
    return str(config.get("tokenizer_class", "")).startswith(CLASS) or SOURCE in str(
        config.get("auto_map", "")
    )


def make_tokenizer(folder: Path, cache: Path, report: OnProgress) -> Path:
    """The cached folder of a tokenizer that transformers can load."""
    from huggingface_hub.constants import HF_HUB_CACHE

    place = cache / f"codegen25-tokenizer-{FORMAT}"

    def fill(part: Path) -> None:
        report("building the tokenizer (once)", None)
        build_tokenizer(find_ranks(folder, Path(HF_HUB_CACHE), fetch_vocabulary)).save_pretrained(part)

    make_once(place, fill, report)
    return place


def add_runs(gpt2: Ranks) -> Ranks:
    """The ranks with those of the runs of spaces and tabs, which GPT-2 lacks."""
    return gpt2 | {run.encode(): COUNT + 1 + at for at, run in enumerate(RUNS)}


def special_ids() -> dict[str, int]:
    """The special tokens by their ids."""
    first = COUNT + 1 + len(RUNS)
    return {END: COUNT} | {mark: first + at for at, mark in enumerate(MARKS)}


def build_tokenizer(gpt2: Ranks) -> Any:
    """A tokenizer with tiktoken's ids: a word with a rank is one token, others are merged from pairs."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    known, special = add_runs(gpt2), special_ids()
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    names = {word: "".join(letters[byte] for byte in word) for word in known}
    vocabulary = {names[word]: rank for word, rank in known.items()} | special
    pairs = [(names[left], names[right]) for left, right in merge_pairs(known)]
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


def merge_pairs(known: Ranks) -> Iterator[tuple[bytes, bytes]]:
    """Each pair that forms a byte string with a rank, lowest rank first."""
    for word, _ in sorted(known.items(), key=lambda item: item[1]):
        splits = [(word[:at], word[at:]) for at in range(1, len(word))]
        found = [pair for pair in splits if pair[0] in known and pair[1] in known]
        yield from sorted(found, key=lambda pair: (known[pair[0]], known[pair[1]]))
