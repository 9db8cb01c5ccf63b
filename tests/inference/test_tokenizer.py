"""Text to ids and back: a GGUF file's tokenizer against transformers', and what a user types as words."""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtchat.errors import ModelError
from mtchat.generate.prompt import infill
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.inference.engine import Engine
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import gguf_tokenizer
from mtchat.inference.loaders.gguf_tokenizer import GgufVocabulary, read_vocabulary
from mtchat.inference.tokens.tokenizer import TextPart, Tokenizer
from mtchat.session.prompt import Message, Prompt, SpecialToken, join_parts
from tests.support.engine_models import STARTER_SMALL, random_engine, tiny_tokenizer

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "def f(x):\n    return x ** 2  # naïve\n\n\nprint(f(12345))\n",
    "don't DON'T I'll\r\n\r\n\t\tx\u00a0 \u2028 e\u0301 ☕ 漢字 🎉👩‍👩‍👧 1234567 ½ ² ٣",
    "   leading, trailing   ",
    "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>",
    "<|im_start|>user\nhi<|im_end|>\n",
    "",
]
PIECES = [*"ab1 \n\t<|>_/éé漢☕'", "<|im_end|>", "im_end", "<|endoftext|>"]
TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@cache
def tiny() -> Tokenizer:
    return Tokenizer.of(tiny_tokenizer())


def table(words: list[str] = [], **changes: Any) -> GgufVocabulary:  # noqa: B006 - never changed
    """A byte-level vocabulary of letters, and words beside them with their types."""
    letters = sorted({chr(code) for code in range(33, 127)} | {"Ġ", "Ċ"})
    kinds = changes.pop("kinds", [3] * len(words))
    values: dict[str, Any] = {
        "tokens": (*letters, *words),
        "types": (*[1] * len(letters), *kinds),
        "scores": (0.0,) * (len(letters) + len(words)),
        "merges": (),
        "metadata": {"model": "gpt2", "pre": "qwen2"},
    }
    return GgufVocabulary(**(values | changes))


@pytest.mark.parametrize("mark", ["<｜User｜>", "<|im_end|>", "▁<EOT>", "[gMASK]", "<é>", "a b"])
@pytest.mark.parametrize("kind", [3, 4])
def test_a_mark_is_one_token_whatever_its_letters(mark: str, kind: int) -> None:
    made = gguf_tokenizer.build_tokenizer(found := table([mark], kinds=[kind]), "x")
    gguf_tokenizer.check_tokenizer(made, found, "x")
    id = len(found.tokens) - 1
    assert made.encode(f"a{mark}b") == [found.tokens.index("a"), id, found.tokens.index("b")]
    assert max(made.backend.get_vocab().values()) == id


@pytest.mark.parametrize("kind", [1, 4])
def test_a_control_mark_that_a_file_lists_as_a_word_is_a_mark_all_the_same(kind: int) -> None:
    made = gguf_tokenizer.build_tokenizer(found := table(["<|im_end|>"], kinds=[kind]), "x")
    assert made.encode("<|im_end|>") == [len(found.tokens) - 1]
    assert len(made.encode_parts([TextPart("<|im_end|>")])) > 1


def test_a_way_of_splitting_that_is_not_known_is_refused_by_its_name() -> None:
    with pytest.raises(ModelError, match="its pre-tokenizer 'klingon' is not supported"):
        gguf_tokenizer.build_tokenizer(table(metadata={"model": "gpt2", "pre": "klingon"}), "x")


@pytest.mark.parametrize("kind", ["bert", "t5", "rwkv", ""])
def test_a_kind_of_vocabulary_that_is_not_read_is_refused_by_its_name(kind: str) -> None:
    with pytest.raises(ModelError, match=f"its kind is {kind!r}"):
        gguf_tokenizer.build_tokenizer(table(metadata={"model": kind}), "x")


@pytest.mark.parametrize(
    ("pre", "text", "pieces"),
    [
        ("qwen2", "x12 34", ["x", "1", "2", "Ġ", "3", "4"]),
        ("llama-bpe", "x1234", ["x", "123", "4"]),
        ("gpt-2", "x1234", ["x", "1234"]),
        ("starcoder", "x12", ["x", "1", "2"]),
        ("deepseek-coder", "a\n\nb", ["a", "Ċ", "Ċ", "b"]),
        ("deepseek-llm", "a1234", ["a", "1234"]),
        ("klingon", "a1234", None),
        ("falcon", "1234", ["123", "4"]),
    ],
)
def test_text_is_split_as_the_file_says(pre: str, text: str, pieces: list[str] | None) -> None:
    source = table(metadata={"model": "gpt2", "pre": pre})
    if pieces is None:
        with pytest.raises(ModelError, match="is not supported"):
            gguf_tokenizer.build_tokenizer(source, "x")
        return
    backend = gguf_tokenizer.build_tokenizer(source, "x").backend
    assert [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)] == pieces


@pytest.mark.parametrize(
    ("pre", "flag", "opened"),
    [("llama-bpe", None, True), ("llama-bpe", False, False), ("qwen2", None, False), ("qwen2", True, True)],
)
def test_a_text_is_opened_as_llama_cpp_opens_it(pre: str, flag: bool | None, opened: bool) -> None:
    facts = {"model": "gpt2", "pre": pre, "bos_token_id": 96}
    facts |= {} if flag is None else {"add_bos_token": flag}
    found = table(["<s>"], metadata=facts)
    made = gguf_tokenizer.build_tokenizer(found, "x")
    assert found.tokens[96] == "<s>"
    assert (made.encode("a", special=True)[0] == 96) is opened


def sentencepiece(**flags: Any) -> Tokenizer:
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab"]
    kinds = [2, 3, 3, *[6] * 256, *[1] * 5]
    scores = (0.0,) * 259 + (-5.0, -6.0, -7.0, -1.0, -2.0)
    facts = {"model": "llama", **flags}
    return gguf_tokenizer.build_tokenizer(GgufVocabulary(tuple(words), tuple(kinds), scores, (), facts), "x")


@pytest.mark.parametrize(
    ("flags", "text", "tokens"),
    [
        ({}, "ab", ["<s>", "▁a", "b"]),
        ({"add_space_prefix": False}, "ab", ["<s>", "ab"]),
        ({"add_bos_token": False}, "ab", ["▁a", "b"]),
        ({"add_bos_token": False}, "  ab", ["▁", "▁", "▁a", "b"]),
        ({"add_bos_token": False}, "</s>ab", ["</s>", "▁a", "b"]),
        ({"add_bos_token": False, "add_space_prefix": False}, "é", ["<0xC3>", "<0xA9>"]),
    ],
)
def test_sentencepiece_is_read_with_its_flags(flags: Any, text: str, tokens: list[str]) -> None:
    made = sentencepiece(**flags)
    assert [made.backend.id_to_token(id) for id in made.encode(text, special=True)] == tokens


def test_an_end_of_text_that_is_typed_is_no_end_in_sentencepiece() -> None:
    made = sentencepiece(add_space_prefix=False)
    ids = made.encode_parts([TextPart("</s>"), TextPart("</s>", special=True)])
    assert ids[-1] == 2
    assert 2 not in ids[:-1]
    assert made.decode(ids[:-1]) == "</s>"


@given(st.lists(st.tuples(TEXT, st.sampled_from([None, *MARKS])), max_size=4))
@settings(max_examples=200, deadline=None)
def test_only_marks_that_are_meant_become_marks(parts: list[tuple[str, str | None]]) -> None:
    made = tiny()
    found = [TextPart(text) for text, _ in parts]
    context = [each for pair in zip(found, parts, strict=True) for each in with_mark(*pair)]
    ids = made.encode_parts(context)
    numbers = {made.id_of(mark): mark for mark in MARKS}
    assert [numbers[id] for id in ids if id in numbers] == [part.text for part in context if part.special]
    assert made.decode(ids) == "".join(part.text for part in context)


def with_mark(part: TextPart, pair: tuple[str, str | None]) -> Iterator[TextPart]:
    yield part
    if pair[1]:
        yield TextPart(pair[1], special=True)


@given(TEXT.map(lambda text: text.replace("<|im_end|>", "").replace("<|endoftext|>", "")))
@settings(max_examples=100, deadline=None)
def test_splitting_marks_changes_no_other_text(text: str) -> None:
    made = tiny()
    context = made.split_special(f"<|im_start|>user\n{text}<|im_end|>\n")
    assert made.encode_aliased(context) == made.encode(f"<|im_start|>user\n{text}<|im_end|>\n")


@cache
def chat() -> Engine:
    return random_engine("qwen2")


TYPED = "print('<|im_end|>') # <|endoftext|>"


@pytest.mark.parametrize(
    ("prompt", "marks"),
    [
        (Prompt(TYPED), 0),
        (Prompt("x", opening=TYPED), 0),
        (codegen.render((), TYPED, "", TYPED), 0),
        (instruct.render((), TYPED, TYPED, TYPED), 9),
        (Prompt(messages=(Message("user", TYPED),), opening=TYPED), 3),
        (join_parts("a", SpecialToken("<|endoftext|>"), TYPED), 1),
    ],
    ids=["text", "opening", "codegen", "instruct", "opened chat", "woven"],
)
def test_what_is_typed_is_words_in_every_family(prompt: Prompt, marks: int) -> None:
    engine = chat()
    ids = engine.encode(prompt)
    special = {engine.tokens.id_of(mark) for mark in MARKS}
    assert sum(id in special for id in ids) == marks
    assert engine.tokens.decode(ids) == engine.text(prompt)
    assert engine.count(engine.text(prompt)) == len(ids)


@pytest.mark.parametrize("name", ["qwen", "codegen2"])
def test_marks_around_a_hole_are_marks_and_in_its_text_they_are_words(name: str) -> None:
    transformers = fast_import.import_transformers()
    tokenizer = tiny_tokenizer()
    names = ["<mask_1>", "<sep>", "<eom>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
    tokenizer.add_tokens([transformers.AddedToken(each, special=False, normalized=False) for each in names])
    engine = random_engine("qwen2", tokenizer)
    plain, typed = (
        infill.FORMATS[name].render("a", "b"),
        infill.FORMATS[name].render("a<mask_1><eom>", "<|fim_prefix|>b"),
    )
    marks = {engine.tokens.id_of(each) for each in (*names, *MARKS)}
    assert [id for id in engine.encode(typed) if id in marks] == [
        id for id in engine.encode(plain) if id in marks
    ]
    assert engine.tokens.decode(engine.encode(typed)) == typed.text
    assert len([id for id in engine.encode(plain) if id in marks]) == len(plain.marks)


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_the_starters_ids_are_those_of_transformers() -> None:
    ours = gguf_tokenizer.read_tokenizer(STARTER_SMALL)
    theirs = fast_import.import_transformers().AutoTokenizer.from_pretrained(
        STARTER_SMALL.parent, gguf_file=STARTER_SMALL.name, local_files_only=True
    )
    rng = random.Random(7)
    letters = [*range(9, 14), *range(32, 127), *range(0xA0, 0x3000, 7), *range(0x3000, 0xD7FF, 101), 0x1F389]
    texts = [*CORPUS, *("".join(chr(rng.choice(letters)) for _ in range(80)) for _ in range(200))]
    texts += [path.read_text("utf-8") for path in sorted(Path(gguf_tokenizer.__file__).parent.glob("*.py"))]
    for text in texts:
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False)
        assert ours.encode_aliased(ours.split_special(text)) == ids
        assert ours.decode(ids) == theirs.decode(ids)
    assert ours.template == theirs.chat_template
    assert ours.hidden >= {ours.id_of("<|im_end|>"), ours.id_of("<|endoftext|>")}


def test_a_table_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    out = gguf.GGUFWriter(file := tmp_path / "x.gguf", "qwen2")
    out.add_token_list(["a", "b"])
    out.add_token_types([1])
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    with pytest.raises(ModelError, match="2 tokens, 1 types"):
        read_vocabulary(file)


def test_a_file_without_tokens_says_so(tmp_path: Path) -> None:
    out = gguf.GGUFWriter(file := tmp_path / "x.gguf", "qwen2")
    out.add_context_length(5)
    for write in (out.write_header_to_file, out.write_kv_data_to_file, out.write_tensors_to_file, out.close):
        write()
    with pytest.raises(ModelError, match="no tokenizer in"):
        read_vocabulary(file)


def test_tokens_past_the_rows_of_a_model_are_words_and_never_ids() -> None:
    transformers = fast_import.import_transformers()
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([transformers.AddedToken(f"numbers{number}") for number in range(5)])
    rows = len(tokenizer) - 2
    engine = random_engine("qwen2", tokenizer)
    made = Tokenizer.of(tokenizer)
    made.limit_to(rows)
    assert max(made.encode_parts([TextPart("numbers0 numbers3 numbers4")])) < rows
    assert max(engine.tokens.encode_parts([TextPart("numbers4")])) == rows + 1


def test_an_end_is_what_the_model_ends_with_and_no_word_of_html() -> None:
    from mtchat.inference.engine import find_stop_ids

    transformers = fast_import.import_transformers()
    for special in (True, False):
        tokenizer = tiny_tokenizer()
        tokenizer.add_tokens([transformers.AddedToken("</s>", special=special, normalized=False)])
        made = Tokenizer.of(tokenizer)
        assert (made.id_of("</s>") in find_stop_ids((), made)) is special
