"""How models are asked to fill a hole: the exact contexts, their ids, where what is written ends."""

from pathlib import Path

import pytest

from mtchat.generate.prompt import family, infill
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import loader
from mtchat.models import loader as models
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import (
    STARTER_SMALL,
    codegen_tokenizer,
    random_engine,
    random_model,
    tiny_tokenizer,
)

PREFIX, SUFFIX = "def add(a, b):\n", "\n    return total\n"
CODEGEN2 = ["<mask_1>", "<mask_2>", "<sep>", "<eom>"]
QWEN = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"]
GOLDEN = {
    "codegen2": "def add(a, b):\n<mask_1>\n    return total\n<|endoftext|><sep><mask_1>",
    "qwen": "<|fim_prefix|>def add(a, b):\n<|fim_suffix|>\n    return total\n<|fim_middle|>",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_hole_is_told_byte_for_byte_as_the_model_knows_it(name: str) -> None:
    assert infill.FORMATS[name].render(PREFIX, SUFFIX) == Prompt(text=GOLDEN[name])


@pytest.mark.parametrize(
    ("marks", "name"),
    [
        (QWEN, "qwen"),
        (CODEGEN2, "codegen2"),
        (["<mask_1>"], ""),  # a masked language model's
        (["<|endoftext|>", "<|fim_prefix|>"], ""),
        ([], ""),
    ],
)
def test_a_model_fills_holes_as_its_marks_say_whatever_it_is_prompted_like(
    marks: list[str], name: str
) -> None:
    for chat in (True, False):
        assert infill.choose(ModelCard("any", chat=chat, marks=frozenset(marks))) == infill.FORMATS.get(name)
    assert family.choose(ModelCard("any", chat=True, marks=frozenset(marks))) == "instruct"


@pytest.mark.parametrize(
    ("name", "text", "code", "finished"),
    [
        ("codegen2", "    total = a + b<eom> more", "    total = a + b", True),
        ("codegen2", "x<mask_2>y", "x", True),
        ("codegen2", "x<|endoftext|>", "x", True),
        ("codegen2", "a < b", "a < b", False),
        ("qwen", "x = 1<|fim_pad|>", "x = 1", True),
        ("qwen", "x = 1<|endoftext|>", "x = 1", True),
        ("qwen", "x = 1<|file_sep|>a.py", "x = 1", True),
        ("qwen", "x = a | b", "x = a | b", False),
    ],
)
def test_what_is_written_ends_at_the_first_mark(name: str, text: str, code: str, finished: bool) -> None:
    assert infill.FORMATS[name].cut(text) == family.Cut(code, finished)


def marked(tokenizer, marks: list[str], special: bool):
    added = [
        fast_import.import_transformers().AddedToken(each, special=special, normalized=False)
        for each in marks
    ]
    tokenizer.add_tokens(added, special_tokens=special)
    return tokenizer


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("name", GOLDEN)
def test_the_marks_are_single_ids_and_each_mark_that_can_follow_ends_what_is_written(
    name: str, special: bool
) -> None:
    marks = CODEGEN2 if name == "codegen2" else QWEN
    tokenizer = marked(codegen_tokenizer() if name == "codegen2" else tiny_tokenizer(), marks, special)
    engine = random_engine("qwen2", tokenizer)
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in [*marks, "<|endoftext|>"]}
    assert set(ids.values()) <= engine.stop_ids
    asked = engine.encode(infill.FORMATS[name].render(PREFIX, SUFFIX))
    used = [mark for mark, number in ids.items() for _ in range(asked.count(number))]
    if name == "codegen2":
        assert sorted(used) == ["<mask_1>", "<mask_1>", "<sep>", "<|endoftext|>"]
        assert asked[-3:] == [ids["<|endoftext|>"], ids["<sep>"], ids["<mask_1>"]]
    else:
        assert sorted(used) == sorted(QWEN[:3])
        assert (asked[0], asked[-1]) == (ids[QWEN[0]], ids[QWEN[1]])
    assert tokenizer.decode(asked) == GOLDEN[name]


def test_a_model_that_is_loaded_says_which_marks_it_knows(tmp_path: Path) -> None:
    tokenizer = marked(tiny_tokenizer(), CODEGEN2, special=True)
    random_model("qwen2", len(tokenizer)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    engine = loader.load(tmp_path / "model", "tiny", cache=tmp_path, report=lambda stage, part: None)
    assert engine.card.marks >= {"<|endoftext|>", *CODEGEN2}
    assert infill.choose(engine.card) == infill.FORMATS["codegen2"]


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason="starter-small is not here")
def test_the_starters_marks_have_their_official_ids_and_end_with_them() -> None:

    engine = models.load("starter-small", "auto", lambda stage: None)
    assert infill.choose(engine.card) == infill.FORMATS["qwen"]
    prompt = infill.FORMATS["qwen"].render("x = ", "\n")
    ids = engine.encode(prompt)
    assert [ids[0], ids[-1]] == [151659, 151660]
    assert ids.count(151661) == 1
    assert engine.stop_ids == {151643, 151645, *range(151659, 151665)}
    prompt = infill.FORMATS["qwen"].render("def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n")
    text = "".join(piece.text for piece in engine.complete(prompt, Sampling(max_tokens=16)))
    assert infill.FORMATS["qwen"].cut(text).code.split("\n")[0] == "a + b"
