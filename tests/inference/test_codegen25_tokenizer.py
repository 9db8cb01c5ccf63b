"""CodeGen2.5's tokenizer, made without its own code: the ids of the release, and GPT-2's vocabulary found."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import regex

from mtchat.errors import ModelError
from mtchat.inference.hf import fast_import
from mtchat.inference.loaders import codegen25_tokenizer, loader
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import CODEGEN_TOKENIZER, codegen_files, tiny_tokenizer

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CONFIG = {
    "auto_map": {"AutoTokenizer": ["tokenization_codegen25.CodeGen25Tokenizer", None]},
    "tokenizer_class": "CodeGen25Tokenizer",
    "add_special_tokens": True,
    "pad_token": None,
}
DEEP = "".join(f"{' ' * depth}if x{depth}:\n" for depth in range(0, 72, 3))
TEXTS = [
    "",
    "def f(x):\n    return x  # doubled\n\n\n",
    DEEP,
    DEEP.replace("   ", "\t"),
    "\r\n".join(DEEP.split("\n")),
    *(" " * count + "x" for count in (1, 2, 30, 31, 32, 33, 63, 64, 100)),
    *("\t" * count for count in (1, 2, 9, 10, 19)),
    " \t \t\t  \n  \t\n \r\n\r\n   ",
    "naïve café ☕ 中文 🙂 e\u0301 \u00a0\u2003\u3000x",
    "it's they'll we've I'M '''s",
    "a<mask_1>b<|endoftext|><sep><mask_1>  <eom><mask_881><mask_882>",
    "\x00\x01\x7f",
    Path(__file__).read_text("utf-8"),
]


def silent(stage: str, done: float | None) -> None:
    assert stage


def nowhere() -> None:
    return None


@pytest.fixture(scope="module")
def gpt2() -> codegen25_tokenizer.Ranks:
    codegen_files()
    return codegen25_tokenizer.read_ranks(CODEGEN_TOKENIZER / "tokenizer.json")


@pytest.fixture(scope="module")
def models(gpt2: codegen25_tokenizer.Ranks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CodeGen2.5 as it is released, with a CodeGen1's vocabulary beside it, and a cache."""
    place = tmp_path_factory.mktemp("models")
    transformers = fast_import.import_transformers()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(vocab_size=51200, bos_token_id=50256, eos_token_id=50256, **sizes)
    folder = place / "codegen25-7b-mono"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIG))
    trap = f"open({str(place / 'trap')!r}, 'w').close()\nclass CodeGen25Tokenizer: ...\n"
    (folder / "tokenization_codegen25.py").write_text(trap)
    (place / "codegen-350M-mono").mkdir()
    shutil.copy(CODEGEN_TOKENIZER / "tokenizer.json", place / "codegen-350M-mono")
    return place


@pytest.fixture(scope="module")
def engine(models: Path) -> Any:
    return loader.load(models / "codegen25-7b-mono", "it", cache=models / "cache", report=silent)


@pytest.mark.slow
def test_a_folder_of_codegen25_loads_without_its_code(engine: Any, models: Path) -> None:
    assert not (models / "trap").exists()
    assert engine.card.architecture == "LlamaForCausalLM"
    assert not engine.card.chat
    assert engine.card.licence == "Apache-2.0"
    assert engine.stop_ids == {50256, *range(50317, 51200)}  # the end of a text, and the marks of holes
    assert list(engine.complete(Prompt("def f():\n"), Sampling(max_tokens=3)))[-1].usage.finish
    assert engine.encode(Prompt("hello")) == [31373]


@pytest.mark.parametrize(
    ("token", "id"),
    [
        ("<|endoftext|>", 50256),
        ("<fim_prefix>", 50295),
        ("<reponame>", 50312),
        ("<dummy_0>", 50313),
        ("<dummy_3>", 50316),
        ("<sep>", 50317),
        ("<eom>", 50318),
        ("<mask_881>", 50319),
        ("<mask_1>", 51199),
    ],
)
def test_marks_have_the_ids_of_the_release_and_are_hidden_in_text(token: str, id: int, engine: Any) -> None:
    assert engine.tokenizer.encode(f"a{token}") == [64, id]
    assert engine.vocabulary.decode([64, id]) == "a"
    assert engine.tokenizer.decode([64, id], skip_special_tokens=False) == f"a{token}"


@pytest.mark.parametrize(
    ("text", "ids"),
    [(" " * 31, [50257]), (" " * 2, [50286]), ("\t" * 9, [50287]), ("\t" * 2, [50294]), (" ", [220])],
)
def test_runs_of_spaces_and_tabs_have_the_ids_of_the_release(text: str, ids: list[int], engine: Any) -> None:
    assert engine.tokenizer.encode(text) == ids
    assert len(engine.tokenizer) == 51200


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_survives(text: str, engine: Any) -> None:
    ids = engine.tokenizer.encode(text)
    assert engine.tokenizer.decode(ids, skip_special_tokens=False) == text


def restated(text: str, known: dict[bytes, int], special: dict[str, int]) -> Iterator[int]:
    """tiktoken's rule, said again: of all neighbours, those are joined that have the lowest rank together."""
    for part in regex.split("(" + "|".join(map(regex.escape, special)) + ")", text):
        if part in special:
            yield special[part]
            continue
        for word in regex.findall(PATTERN, part):
            pieces = [bytes([byte]) for byte in word.encode()]
            while pairs := [
                (known[left + right], at)
                for at, (left, right) in enumerate(pairwise(pieces))
                if left + right in known
            ]:
                _, at = min(pairs)
                pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
            yield from [known[word.encode()]] if word.encode() in known else map(known.__getitem__, pieces)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_ids_are_those_of_tiktokens_rule(text: str, engine: Any, gpt2: codegen25_tokenizer.Ranks) -> None:
    expected = restated(text, codegen25_tokenizer.add_runs(gpt2), codegen25_tokenizer.special_ids())
    assert engine.tokenizer.encode(text) == list(expected)


def test_ids_are_those_of_tiktoken_itself(engine: Any, gpt2: codegen25_tokenizer.Ranks) -> None:
    tiktoken = pytest.importorskip(
        "tiktoken", reason="tiktoken is not installed; its rule is tested as restated"
    )
    released = tiktoken.Encoding(
        "codegen25",
        pat_str=PATTERN,
        mergeable_ranks=codegen25_tokenizer.add_runs(gpt2),
        special_tokens=codegen25_tokenizer.special_ids(),
    )
    for text in TEXTS:
        assert engine.tokenizer.encode(text) == released.encode(text, allowed_special="all"), text


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (CONFIG, True),
        ({"tokenizer_class": "CodeGen25TokenizerFast"}, True),
        ({"auto_map": {"AutoTokenizer": ["x--tokenization_codegen25.Other", None]}}, True),
        ({"tokenizer_class": "CodeGenTokenizer"}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_which_folders_have_codegen25s_tokenizer(config: Any, expected: bool, tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert codegen25_tokenizer.is_codegen25(tmp_path) is expected


def vocabulary(gpt2: codegen25_tokenizer.Ranks) -> dict[str, int]:
    letters = {byte: letter for letter, byte in codegen25_tokenizer.byte_alphabet().items()}
    return {"".join(letters[byte] for byte in word): rank for word, rank in gpt2.items()} | {
        "<|endoftext|>": 50256
    }


@pytest.mark.parametrize(
    "place",
    [
        "models/codegen25/vocab.json",
        "models/codegen-350M/vocab.json",
        "hub/models--openai-community--gpt2/snapshots/abc/vocab.json",
        "hub/models--Salesforce--codegen-2B-mono/snapshots/abc/tokenizer.json",
    ],
)
def test_gpt2s_vocabulary_is_found_where_it_may_be(
    place: str, gpt2: codegen25_tokenizer.Ranks, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "codegen25"
    folder.mkdir(parents=True)
    tiny_tokenizer().save_pretrained(folder)  # a vocabulary that is another
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    words = vocabulary(gpt2)
    file.write_text(json.dumps({"model": {"vocab": words}} if file.name == "tokenizer.json" else words))
    assert codegen25_tokenizer.find_ranks(folder, tmp_path / "hub", nowhere) == gpt2


def test_gpt2s_vocabulary_is_asked_of_the_hub_last(gpt2: codegen25_tokenizer.Ranks, tmp_path: Path) -> None:
    file = tmp_path / "fetched" / "vocab.json"
    file.parent.mkdir()
    file.write_text(json.dumps(vocabulary(gpt2)))
    assert codegen25_tokenizer.find_ranks(tmp_path / "a" / "b", tmp_path / "hub", lambda: file) == gpt2


def test_no_vocabulary_is_a_clear_error_and_leaves_nothing(
    gpt2: codegen25_tokenizer.Ranks, tmp_path: Path
) -> None:
    words = vocabulary(gpt2)
    words["Ġthe"], words["Ġa"] = words["Ġa"], words["Ġthe"]
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"put vocab\.json of openai-community/gpt2, or .* into .*"):
        codegen25_tokenizer.find_ranks(tmp_path, tmp_path / "hub", nowhere)


def test_the_tokenizer_is_made_once(engine: Any, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alone" / "codegen25-7b-instruct"
    shutil.copytree(models / "codegen25-7b-mono", folder)
    stages: list[str] = []
    again = loader.load(folder, "it", cache=models / "cache", report=lambda stage, _: stages.append(stage))
    assert not any("tokenizer" in stage for stage in stages)
    assert again.encode(Prompt(DEEP)) == engine.encode(Prompt(DEEP))
    assert again.card.notes == ("the licence of this model allows research only",)
