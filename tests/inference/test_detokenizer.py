"""Streaming text equals the text of all ids, and no piece of it ends inside a character."""

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtchat.inference.detokenizer import REPLACEMENT, Detokenizer, Vocabulary, vocabulary_of
from tests.support.engine_models import codegen_tokenizer, tiny_tokenizer

PIECES = ["▁", "▁a", "b", "▁▁", "c▁d", "☕", *(f"<0x{byte:02X}>" for byte in (0xE2, 0x98, 0x95, 0x41, 0xFF))]


def sentencepiece() -> Any:
    """A tokenizer as Llama's: spaces are part of words, the first is dropped, and unknown bytes are words."""
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {piece: id for id, piece in enumerate(["</s>", *PIECES])}, [], byte_fallback=True
        )
    )
    steps = [
        tokenizers.decoders.Replace("▁", " "),
        tokenizers.decoders.ByteFallback(),
        tokenizers.decoders.Fuse(),
        tokenizers.decoders.Strip(" ", 1, 0),
    ]
    backend.decoder = tokenizers.decoders.Sequence(steps)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")


@pytest.fixture(scope="module", params=["codegen", "tiny", "sentencepiece"])
def words(request: pytest.FixtureRequest) -> tuple[Vocabulary, int]:
    made = {"codegen": codegen_tokenizer, "tiny": tiny_tokenizer, "sentencepiece": sentencepiece}
    tokenizer = made[request.param]()
    return vocabulary_of(tokenizer), len(tokenizer)


def stream(words: Vocabulary, ids: list[int], context: tuple[int, ...] = ()) -> list[str]:
    detokeniser = Detokenizer(words, context)
    return [*(detokeniser.push(id) for id in ids), detokeniser.finish()]


LENIENT = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@LENIENT
@given(data=st.data())
def test_pieces_of_any_ids_join_to_the_text_of_all(
    words: tuple[Vocabulary, int], data: st.DataObject
) -> None:
    known, size = words
    ids = data.draw(st.lists(st.integers(0, size - 1), max_size=120))
    assert "".join(stream(known, ids)) == known.decode(ids)


@pytest.mark.slow
@LENIENT
@given(data=st.data())
def test_text_goes_on_from_its_context(words: tuple[Vocabulary, int], data: st.DataObject) -> None:
    known, size = words
    visible = st.integers(0, size - 1).filter(lambda id: id not in known.hidden | known.byte_pieces)
    context = data.draw(
        st.lists(visible, min_size=1, max_size=40).filter(lambda ids: REPLACEMENT not in known.decode(ids))
    )
    ids = data.draw(st.lists(st.integers(0, size - 1), max_size=40))
    assert known.decode(context) + "".join(stream(known, ids, tuple(context))) == known.decode(context + ids)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=80))
def test_no_piece_ends_inside_a_character(text: str) -> None:
    tokenizer = tiny_tokenizer_once()
    ids = tokenizer.encode(text.replace("<|", "<"), add_special_tokens=False)
    pieces = stream(vocabulary_of(tokenizer), ids)
    assert "".join(pieces) == text.replace("<|", "<")
    assert REPLACEMENT in text or not any(REPLACEMENT in piece for piece in pieces)


@cache
def tiny_tokenizer_once() -> Any:
    return tiny_tokenizer()


@pytest.mark.parametrize(
    "text", ["naïve ☕ 👩‍👩‍👧 x = '—'\n\t\t  pass", "\ufffd\ufffdx", "   leading", "\n\n"]
)
def test_text_survives_the_codegen_tokenizer(text: str) -> None:
    tokenizer = codegen_tokenizer()
    assert "".join(stream(vocabulary_of(tokenizer), tokenizer.encode(text))) == text


def test_a_character_split_over_tokens_comes_whole() -> None:
    tokenizer = tiny_tokenizer_once()
    ids = tokenizer.encode("☕", add_special_tokens=False)
    split = [
        tokenizer.convert_tokens_to_ids(token) for id in ids for token in tokenizer.convert_ids_to_tokens(id)
    ]
    assert len(split) == 3
    assert stream(vocabulary_of(tokenizer), split) == ["", "", "☕", ""]


def test_special_tokens_have_no_text() -> None:
    tokenizer = tiny_tokenizer_once()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    ids = [
        *tokenizer.encode("a", add_special_tokens=False),
        end,
        *tokenizer.encode(" b", add_special_tokens=False),
    ]
    assert "".join(stream(vocabulary_of(tokenizer), ids)) == "a b"
