"""The engine against transformers' own generation, with every way a prefix can be reused or interrupted."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from mtchat.errors import ModelError, MtchatError
from mtchat.inference.engine import Engine
from mtchat.inference.hf import decoder
from mtchat.session.prompt import Message, Piece, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import KINDS, STARTER_SMALL, codegen_tokenizer, interrupted, random_engine

pytestmark = pytest.mark.slow

LONG = "def add(a, b):\n    return a + b\nprint(x.mean())\n"
SHORT = LONG[:20]
OTHER = LONG[:20] + "import numpy as np\n"


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return random_engine(request.param)


def ids(engine: Engine, prompt: Prompt, count: int = 12) -> list[int]:
    """The ids of a completion: what the prefix holds after the prompt, and the last id, which it does not."""
    text = engine.encode(prompt)
    found: list[int] = []
    for usage in (piece.usage for piece in engine.complete(prompt, Sampling(max_tokens=count))):
        found = engine.decoder.cache.ids[len(text) :]
        assert usage.prompt_tokens == len(text)
    return found


def generated(engine: Engine, prompt: Prompt, count: int = 12) -> list[int]:
    """The ids that transformers' own greedy generation gives."""
    text = torch.tensor([engine.encode(prompt)])
    output = engine.decoder.model.generate(
        text,
        attention_mask=torch.ones_like(text),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=sorted(engine.stop_ids),
        pad_token_id=0,
    )
    new: list[int] = output[0, text.shape[1] :].tolist()
    return new


def written(engine: Engine, prompt: Prompt, sampling: Sampling) -> tuple[str, list[Piece]]:
    pieces = list(engine.complete(prompt, sampling))
    return "".join(piece.text for piece in pieces), pieces


def same_as_generate(engine: Engine, prompt: Prompt, count: int = 12) -> None:
    expected = [id for id in generated(engine, prompt, count) if id not in engine.stop_ids]
    text, pieces = written(engine, prompt, Sampling(max_tokens=count))
    assert text == engine.vocabulary.decode(expected)
    assert pieces[-1].usage.completion_tokens == len(expected)


@pytest.mark.parametrize("text", [LONG, SHORT, "x"])
def test_greedy_text_is_that_of_generate(engine: Engine, text: str) -> None:
    same_as_generate(engine, Prompt(text))


def test_greedy_ids_are_those_of_generate(engine: Engine) -> None:
    expected = generated(engine, Prompt(LONG))
    assert ids(engine, Prompt(LONG), 13)[:12] == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [(SHORT, LONG), (LONG, SHORT), (LONG, OTHER), (LONG, LONG), (LONG, "print"), ("x", LONG)],
    ids=["grow", "shrink", "diverge", "identical", "nothing shared", "almost nothing shared"],
)
def test_a_reused_prefix_changes_nothing(engine: Engine, first: str, second: str) -> None:
    written(engine, Prompt(first), Sampling(max_tokens=9))
    before = list(engine.decoder.cache.ids)
    same_as_generate(engine, Prompt(second))
    _, pieces = written(engine, Prompt(second), Sampling(max_tokens=1))
    assert pieces[-1].usage.cached_tokens == len(engine.encode(Prompt(second))) - 1
    assert before[:1] != []
    assert engine.decoder.cache.ids[:3] == engine.encode(Prompt(second))[:3]


def test_what_is_shared_is_not_computed_again(engine: Engine) -> None:
    written(engine, Prompt(LONG), Sampling(max_tokens=4))
    usage = written(engine, Prompt(OTHER), Sampling(max_tokens=4))[1][0].usage
    pairs = zip(engine.encode(Prompt(LONG)), engine.encode(Prompt(OTHER)), strict=False)
    assert usage.cached_tokens == len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))) > 0


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interrupt_inside_a_layer_leaves_the_prefix_whole(engine: Engine, layer: int, after: int) -> None:
    """The interrupt comes when some layers hold the new token's keys and others do not."""
    prompt = Prompt(LONG)
    pieces = engine.complete(prompt, Sampling(max_tokens=9))
    for _ in range(after):
        next(pieces)
    block = next(
        module for module in engine.decoder.model.modules() if isinstance(module, torch.nn.ModuleList)
    )[layer]

    hook = block.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(pieces)
    hook.remove()
    lengths = {each.length for each in engine.decoder.cache.layers}
    assert len(lengths) == (1 if layer == 2 else 2)
    same_as_generate(engine, prompt)
    same_as_generate(engine, Prompt(OTHER))


def test_an_interrupt_at_any_line_leaves_the_prefix_whole() -> None:
    """As Ctrl-C can come between any two lines of ours, raise it at each in turn."""
    engine = random_engine("qwen2")
    expected = written(engine, Prompt(OTHER), Sampling(max_tokens=3))[0]
    for count in itertools.count():
        engine.decoder.cache.truncate_to(engine.encode(Prompt(SHORT)))
        finished = not interrupted(count, lambda: written(engine, Prompt(LONG), Sampling(max_tokens=2)))
        assert written(engine, Prompt(OTHER), Sampling(max_tokens=3))[0] == expected
        if finished:
            break
    assert count > 100


def test_closing_stops_and_the_next_prompt_goes_on(engine: Engine) -> None:
    pieces = engine.complete(Prompt(LONG), Sampling(max_tokens=50))
    for _ in range(4):
        next(pieces)
    held = len(engine.decoder.cache.ids)
    pieces.close()  # type: ignore[attr-defined]
    assert len(engine.decoder.cache.ids) == held
    same_as_generate(engine, Prompt(LONG))


def test_two_completions_at_once_do_not_mix(engine: Engine) -> None:
    prompts, sampling = [Prompt(LONG), Prompt(OTHER)], Sampling(max_tokens=8)
    alone = [written(engine, prompt, sampling)[0] for prompt in prompts]
    streams = [engine.complete(prompt, sampling) for prompt in prompts]
    texts = ["", ""]
    for pieces in itertools.zip_longest(*streams):
        texts = [text + (piece.text if piece else "") for text, piece in zip(texts, pieces, strict=True)]
    assert texts == alone


def test_a_prompt_longer_than_a_chunk_gives_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "CHUNK", 5)
    same_as_generate(engine, Prompt(LONG))
    _, pieces = written(engine, Prompt("y" + LONG), Sampling(max_tokens=1))
    assert sum(piece.usage.completion_tokens == 0 for piece in pieces) > 2


def test_a_sliding_window_forgets_the_same_as_generate() -> None:
    engine = random_engine("qwen2", use_sliding_window=True, sliding_window=6, max_window_layers=1)
    assert set(engine.decoder.model.config.layer_types) == {"full_attention", "sliding_attention"}
    for text in (LONG, SHORT, OTHER):
        same_as_generate(engine, Prompt(text))


def test_a_model_whose_state_cannot_go_back_starts_again() -> None:
    engine = random_engine("lfm2")
    for text in (SHORT, LONG, SHORT, OTHER, OTHER):
        same_as_generate(engine, Prompt(text))
    hook = engine.decoder.model.model.layers[1].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(engine.complete(Prompt(OTHER + LONG), Sampling()))
    hook.remove()
    same_as_generate(engine, Prompt(OTHER + LONG))


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_the_same_seed_gives_the_same_text(engine: Engine) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=3, max_tokens=20)
    first = written(engine, Prompt(LONG), sampling)[0]
    written(engine, Prompt(OTHER), Sampling(max_tokens=5))
    assert written(engine, Prompt(LONG), sampling)[0] == first
    others = {written(engine, Prompt(LONG), Sampling(1.0, 0.9, 0, seed, 20))[0] for seed in range(4, 8)}
    assert others - {first}


def test_the_first_piece_tells_what_was_reused_and_the_last_why_it_ended(engine: Engine) -> None:
    _, pieces = written(engine, Prompt(LONG), Sampling(max_tokens=5))
    assert pieces[0].text == ""
    assert pieces[0].usage.prompt_tokens == len(engine.encode(Prompt(LONG)))
    assert [piece.usage.finish for piece in pieces[:-1]] == [""] * (len(pieces) - 1)
    assert pieces[-1].usage.finish == "length"
    assert pieces[-1].usage.completion_tokens == 5


def test_an_end_token_stops_and_is_not_written(engine: Engine) -> None:
    second = generated(engine, Prompt(LONG))[1]
    engine.vocabulary = replace(engine.vocabulary, stop_ids=frozenset({second}))
    expected = generated(engine, Prompt(LONG)).index(second)
    _, pieces = written(engine, Prompt(LONG), Sampling(max_tokens=5))
    assert pieces[-1].usage.finish == "stop"
    assert pieces[-1].usage.completion_tokens == expected


def test_a_full_context_ends_the_reply(engine: Engine) -> None:
    text = "x" * 150
    used = engine.count(text)
    _, pieces = written(engine, Prompt(text), Sampling(max_tokens=500))
    last = pieces[-1].usage
    assert last.finish == "length"
    assert last.completion_tokens == 160 - used


def test_a_prompt_beyond_the_context_is_an_error_with_both_numbers(engine: Engine) -> None:
    with pytest.raises(MtchatError, match=r"has \d{3,} tokens and the context of tiny is 160"):
        engine.complete(Prompt("1;" * 200), Sampling())


def test_messages_go_through_the_models_own_template(engine: Engine) -> None:
    prompt = Prompt(messages=(Message("user", "hi"),), opening="```python\n")
    assert engine.text(prompt) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n```python\n"
    assert engine.encode(prompt)[0] == engine.tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_messages_for_a_base_model_are_a_clear_error() -> None:
    engine = random_engine("codegen", codegen_tokenizer())
    with pytest.raises(ModelError, match="no chat template"):
        engine.text(Prompt(messages=(Message("user", "hi"),)))


def test_codegen_with_its_own_tokenizer_ends_where_it_should() -> None:
    engine = random_engine("codegen", codegen_tokenizer())
    assert engine.stop_ids == {50256}
    assert (
        engine.encode(Prompt("def f():\n        return 1\n"))
        == engine.tokenizer("def f():\n        return 1\n").input_ids
    )
    for text in (
        "# add two numbers\n",
        "# add two numbers\ndef add(a, b):\n    return a + b\n\n# print it\n",
    ):
        same_as_generate(engine, Prompt(text))


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_starter_small_writes_what_generate_does(starter_small: Engine) -> None:
    question = Prompt(messages=(Message("user", "Add two numbers in Python."),), opening="```python\n")
    same_as_generate(starter_small, question, 24)
    same_as_generate(starter_small, question, 24)
    same_as_generate(starter_small, Prompt("# print hello\n"), 8)


@pytest.fixture(scope="module")
def starter_small() -> Engine:
    from mtchat.inference.loaders.loader import load

    return load(
        STARTER_SMALL,
        "starter-small",
        precision="float32",
        cache=STARTER_SMALL.parents[1] / "converted",
        report=lambda *_: None,
    )
