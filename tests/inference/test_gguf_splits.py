"""The ids of a GGUF file's text against llama.cpp's, for each pre-tokenizer and each kind of vocabulary.

Where llama.cpp is not installed, the ids are those that were recorded from it; this records them anew:
    python -m tests.inference.test_gguf_splits
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtchat.errors import ModelError
from mtchat.inference.loaders.gguf_tokenizer import build_tokenizer, check_tokenizer, read_vocabulary
from mtchat.inference.loaders.split_rules import SPLIT_RULES
from mtchat.inference.tokens.tokenizer import Tokenizer
from tests.support import vocabularies
from tests.support.engine_models import STARTER_SMALL
from tests.support.llama_cpp import LlamaVocabulary, spelled_names
from tests.support.vocabularies import LETTERS, SPECIAL, SmallVocabulary

GOLDEN = Path(__file__).parents[1] / "cases" / "tokens" / "llama_cpp.json"
REFUSED = {"whitespace", "mmbert"}  # for models that read text and never write any
BYTE_PAIRS = sorted(name for name, rule in SPLIT_RULES.items() if not rule.raw)
RAW = sorted(name for name, rule in SPLIT_RULES.items() if rule.raw)
CORPUS = [
    "def tab(a):\n\treturn [b ** 2 for b in a if b != 'T']  # té\n\n\nrest()",
    "don't DON'T 'll 'LL ’s ‘re 'ſ 'Ve'd'M ver's",
    "1 12 123 1234 12345 1234567890 1.5 1,234 ٣½Ⅷ a1 1a -1 \x0012 t\x00123 1\n2\r\n3",
    "   a  \t b\t\tb \n\n \r\n\r\n\ta\n    \n  \xa0t\u2028a\u3000\x85 a\x0b\x0cb",
    "漢字かナ한ㄱㄅไاे e\u0301 漢1字 漢a한 豈\ue000 \u200ba\u200db\u200c 𐐀𠀀 \u3000漢、。，！字",
    "ÀéßſKΩЖǅʰ sTaRtLeD STARtled LeVeL tédÀT\u0301d eे\u0301 Жa ʰT",
    "🎉👩🏻\u200d👩 a🎉b 🎉🎉\n🎉 \n",
    "!= -> ** // \\n ~~ ~a `a` <b> |t| $1 a@b #t %d &a; “s” …، ۔ -_-\n./a\n/b !\n\n?\r\n~\n",
    "<|im_start|>a\nb<|im_end|>\n <|endoftext|>  <tool_call> a</s><s> <｜User｜>b   <x>",
    "<|im_end|", "<unk>", "<0x41> <0x0A>\n", "", " ", "  ", "a", " a", "  a", "\n", "\n\n", "\n\n\na\n\n\n\n",
    "a" * 9 + " " * 9 + "a" * 3 + "\n" * 5,
    "the verelves  the \n the", "the",
]  # fmt: skip
PIECES = [*LETTERS, *SPECIAL, "'s", "'LL", "  ", "\n\n", "<s>", "the", " the", "12345"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
KINDS = {"byte_level": vocabularies.byte_level, "raw": vocabularies.raw, "scored": vocabularies.scored}
# each way that a file can say something of its text, and the vocabulary that it says it of
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *[("byte_level", {"pre": "qwen2", "add_bos_token": flag}) for flag in (True, False)],
    *[("byte_level", {"pre": "llama-bpe", "add_bos_token": flag}) for flag in (True, False)],
    *[("byte_level", {"pre": "qwen2", key: True}) for key in ("ignore_merges", "add_space_prefix")],
    *[("byte_level", {"pre": "gpt-2", key: True}) for key in ("clean_spaces", "remove_extra_whitespaces")],
    *[("byte_level", {"pre": "gpt-2", "normalizer.lowercase": True, "escape_whitespaces": True})],
    *[("byte_level", {})],
    *[("raw", {"add_bos_token": flag, "pre": "qwen2"}) for flag in (True, False)],
    *[("scored", {}), ("scored", {"add_space_prefix": False}), ("scored", {"add_bos_token": False})],
    *[("scored", {"remove_extra_whitespaces": True, "escape_whitespaces": False, "pre": "default"})],
    *[("scored", {"name": "Phi-3 mini"})],
]


@cache
def folder() -> Path:
    made = TemporaryDirectory()
    KEPT.append(made)
    return Path(made.name)


KEPT: list[TemporaryDirectory[str]] = []  # until the tests end


@cache
def source(kind: str) -> Path:
    made = KINDS[kind]()
    return made.write(folder() / f"{kind}.gguf", pre="default")


def file_of(name: str) -> Path:
    """A file of the vocabulary that shows how the pre-tokenizer `name` splits text."""
    if (file := folder() / f"{name}.gguf").exists():
        return file
    if not SPLIT_RULES[name].raw:
        return vocabularies.renamed(source("byte_level"), file, name)
    table = vocabularies.raw()
    return SmallVocabulary("gpt2", table.tokens, table.types, table.merges).write(file, pre=name)


def ours(file: Path) -> Tokenizer:
    table = read_vocabulary(file)
    made = build_tokenizer(table, str(file))
    check_tokenizer(made, table, str(file))
    return made


@cache
def both(name: str) -> tuple[Tokenizer, LlamaVocabulary]:
    return ours(file_of(name)), LlamaVocabulary(file_of(name))


def encode(made: Tokenizer, text: str, special: bool, parse: bool) -> list[int]:
    """The ids of a text; without `parse`, control tokens in it are words."""
    made.backend.encode_special_tokens = not parse
    try:
        return made.encode(text, special)
    finally:
        made.backend.encode_special_tokens = False


def compare(made: Tokenizer, theirs: LlamaVocabulary, texts: list[str]) -> None:
    for text in texts:
        for special, parse in ((False, True), (True, True), (True, False)):
            assert encode(made, text, special, parse) == theirs.encode(text, special, parse), text


@pytest.mark.parametrize("name", sorted(SPLIT_RULES))
def test_the_ids_of_each_pre_tokenizer_are_llama_cpps(name: str) -> None:
    compare(*both(name), CORPUS)


@given(st.sampled_from(sorted(SPLIT_RULES)), TEXT)
@settings(max_examples=600, deadline=None)
def test_the_ids_of_any_text_are_llama_cpps(name: str, text: str) -> None:
    made, theirs = both(name)
    assert made.encode(text) == theirs.encode(text)


@pytest.mark.parametrize(("kind", "facts"), SETTINGS, ids=str)
def test_the_settings_of_a_file_count_as_in_llama_cpp(
    kind: str, facts: dict[str, Any], tmp_path: Path
) -> None:
    file = KINDS[kind]().write(tmp_path / "x.gguf", **facts)
    compare(ours(file), LlamaVocabulary(file), CORPUS)


@given(TEXT)
@settings(max_examples=200, deadline=None)
def test_any_text_of_a_scored_vocabulary_has_llama_cpps_ids(text: str) -> None:
    made, theirs = scored_pair()
    assert made.encode(text) == theirs.encode(text)


@cache
def scored_pair() -> tuple[Tokenizer, LlamaVocabulary]:
    return ours(source("scored")), LlamaVocabulary(source("scored"))


def test_every_name_that_llama_cpp_knows_is_read_or_refused_by_name(tmp_path: Path) -> None:
    letters = vocabularies.marked("gpt2", vocabularies.byte_alphabet(), {}, merges=["a b"])
    small = letters.write(tmp_path / "small.gguf", pre="default")
    known = set()
    for name in {*spelled_names(), *SPLIT_RULES, "klingon"}:
        try:
            LlamaVocabulary(vocabularies.renamed(small, tmp_path / "x.gguf", name))
        except ValueError:
            continue
        known.add(name)
    assert known - REFUSED == set(SPLIT_RULES)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_pre_tokenizer_that_no_writing_model_has_is_refused_by_name(name: str) -> None:
    file = vocabularies.renamed(source("byte_level"), folder() / "refused.gguf", name)
    with pytest.raises(ModelError, match=f"its pre-tokenizer '{name}' is not supported"):
        ours(file)


def test_a_prompt_is_never_ended_even_where_a_file_says_so(tmp_path: Path) -> None:
    file = vocabularies.byte_level().write(tmp_path / "x.gguf", pre="qwen2", add_eos_token=True)
    theirs = LlamaVocabulary(file).encode("a", special=True)
    assert [*ours(file).encode("a", special=True), 2] == theirs


@pytest.mark.parametrize("word", ["<|im_end|>", "<fim_prefix>", "[PAD]", "<eos>", "▁<PRE>", "</s>"])
@pytest.mark.parametrize("merged", [False, True])
def test_a_name_is_special_unless_it_is_a_sum_of_words(word: str, merged: bool, tmp_path: Path) -> None:
    words = [*vocabularies.byte_alphabet(), "<s>", word[:-1], word, *([] if word == "</s>" else ["</s>"])]
    merges = [f"{word[:-1]} {word[-1]}"] if merged else ["a b"]
    made = SmallVocabulary("gpt2", words, [1] * len(words), merges)
    tokenizer = ours(made.write(tmp_path / "x.gguf", pre="gpt-2", eos_token_id=0))
    assert (tokenizer.id_of(word) in tokenizer.hidden) is (not merged and word != "</s>")


@pytest.mark.parametrize("name", BYTE_PAIRS)
def test_the_text_of_a_byte_level_vocabulary_comes_back(name: str) -> None:
    made = ours(file_of(name))
    for text in CORPUS:
        assert made.decode(made.encode(text)) == text


@pytest.mark.parametrize("kind", ["raw", "scored"])
def test_the_text_of_a_vocabulary_with_bytes_comes_back(kind: str) -> None:
    made = ours(source(kind))
    for text in CORPUS:
        if not any(mark in text for mark in SPECIAL):
            assert made.decode(made.encode(text)) == text


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_the_starters_ids_are_llama_cpps() -> None:
    code = [path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("test_[cg]*.py"))[:4]]
    # llama.cpp takes the word </s> of this vocabulary, an ordinary one, for a special token
    texts = [text.replace("</s>", "") for text in (*CORPUS, *code)]
    made, theirs = ours(STARTER_SMALL), LlamaVocabulary(STARTER_SMALL)
    assert [made.encode(text) for text in texts] == [theirs.encode(text) for text in texts]


def test_the_ids_are_those_recorded_from_llama_cpp() -> None:
    recorded = json.loads(GOLDEN.read_text("utf-8"))
    assert recorded["texts"] == CORPUS
    assert sorted(recorded["files"]) == sorted([*SPLIT_RULES, "scored"])
    for name, numbers in recorded["files"].items():
        made = ours(source(name) if name in KINDS else file_of(name))
        found = [made.encode(text, special=True) for text in CORPUS]
        assert found == [recorded["ids"][text][number] for text, number in enumerate(numbers)], name


def record() -> dict[str, Any]:
    """llama.cpp's ids of the corpus: the different ones of each text, and which of them each file gives."""
    different: list[list[list[int]]] = [[] for _ in CORPUS]

    def numbers(file: Path) -> Iterator[int]:
        theirs = LlamaVocabulary(file)
        for text, known in zip(CORPUS, different, strict=True):
            if (ids := theirs.encode(text, special=True)) not in known:
                known.append(ids)
            yield known.index(ids)

    files = {name: list(numbers(file_of(name))) for name in sorted(SPLIT_RULES)}
    files["scored"] = list(numbers(source("scored")))
    return {"texts": CORPUS, "files": files, "ids": different}


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(record(), ensure_ascii=True, separators=(",", ":")) + "\n", "utf-8")
