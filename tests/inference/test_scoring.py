"""Scores of texts against computing each of them whole, on every kind of decoder."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from mtchat.errors import ModelError, MtchatError
from mtchat.inference.cpu import kernels
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.inference.prefix_tree import PrefixTree
from mtchat.inference.sampler import logprob
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.cpu_models import LONG, OTHER, SIZES, silent
from tests.support.engine_models import gpu_engine, random_engine, write_gguf

pytestmark = pytest.mark.slow

TEXTS = ["x = 1\n", "print(x.mean())\n" * 70, "", "naïve", "<|im_end|>", "print(x.mean())\n" * 9]
LEADS = ["a", "", "import", "\nthe next step: ", "b = ", "import numpy as np\n" * 5]
KINDS = ["cpu", "qwen2", "codegen", "lfm2", "gpu qwen2", "gpu codegen"]


def make_engine(kind: str, folder: Path) -> Engine:
    if kind == "cpu":
        if not kernels.usable_builds():
            pytest.skip("no kernels were built for this processor")
        write_gguf(folder / "tiny.gguf", "Q5_0", **SIZES)
        engine = loader.load(folder / "tiny.gguf", "tiny", cache=folder, report=silent)
    elif kind == "lfm2":
        engine = random_engine("lfm2")
    else:
        size = {"n_positions" if "codegen" in kind else "max_position_embeddings": 700}
        make = gpu_engine if kind.startswith("gpu") else random_engine
        engine = make(kind.removeprefix("gpu "), **size)
    engine.card = replace(engine.card, context=700)
    return engine


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return make_engine(request.param, tmp_path)


def recomputed(engine: Engine, prompt: Prompt, lead: str, text: str) -> float:
    """The score of one text, each of its tokens after a prompt that is computed to its end for it."""
    ids = [*engine.encode(prompt), *engine.plain_ids(lead)]
    score = 0.0
    for id in engine.plain_ids(text):
        for logits in engine.decoder.open(ids).prefill():
            last = logits
        score += logprob(last, id)
        ids.append(id)
    return score


def test_scores_are_those_of_computing_each_token_after_its_whole_context(engine: Engine) -> None:
    found = engine.score(Prompt(LONG), TEXTS, LEADS)
    again = engine.score(Prompt(LONG), TEXTS, LEADS)
    expected = [recomputed(engine, Prompt(LONG), *pair) for pair in zip(LEADS, TEXTS, strict=True)]
    assert found == pytest.approx(expected, rel=1e-4)
    assert again == pytest.approx(expected, rel=1e-4)
    assert found[2] == 0.0
    assert max(found[:2]) < -1


def test_the_kernels_give_the_same_bits_for_one_text_as_for_many(tmp_path: Path) -> None:
    engine = make_engine("cpu", tmp_path)
    together = engine.score(Prompt(LONG), TEXTS, LEADS)
    for text, lead, score in zip(TEXTS, LEADS, together, strict=True):
        assert engine.score(Prompt(LONG), [text], [lead]) == (score,)


def test_a_second_text_after_the_same_leads_computes_only_itself(tmp_path: Path) -> None:
    engine = make_engine("cpu", tmp_path)
    engine.score(Prompt(OTHER), ["x"] * 3, ["a = 1\n", "b = 2\n", "c"])
    steps: list[int] = []
    step = engine.decoder.step
    engine.decoder.step = lambda rows, wanted: (
        steps.append(sum(len(ids) for ids, _ in rows)) or step(rows, wanted)
    )
    engine.score(Prompt(OTHER), ["print(x)"] * 3, ["a = 1\n", "b = 2\n", "c"])
    assert steps[-1] == 3 * len(engine.plain_ids("print(x)"))
    assert sum(steps[:-1]) <= 1


def test_scores_of_messages_follow_their_chat_template(tmp_path: Path) -> None:
    engine = make_engine("cpu", tmp_path)
    prompt = Prompt(messages=(Message("user", "add two numbers"),), opening="def ")
    expected = recomputed(engine, prompt, "add", "(a, b)")
    assert engine.score(prompt, ["(a, b)"], ["add"]) == pytest.approx((expected,), rel=1e-5)


def test_completions_are_the_same_before_and_after_scores(engine: Engine) -> None:
    def complete() -> str:
        return "".join(piece.text for piece in engine.complete(Prompt(LONG), Sampling(max_tokens=12)))

    before = complete()
    engine.score(Prompt(LONG), TEXTS, LEADS)
    assert complete() == before


def test_a_score_waits_for_the_completion_of_another_thread(tmp_path: Path) -> None:
    engine = make_engine("cpu", tmp_path)
    expected = engine.score(Prompt(LONG), ["x = 1"])
    pieces = engine.complete(Prompt(OTHER), Sampling(max_tokens=9))
    next(pieces)
    found: list[tuple[float, ...]] = []
    thread = threading.Thread(target=lambda: found.append(engine.score(Prompt(LONG), ["x = 1"])))
    thread.start()
    thread.join(0.2)
    assert found == []
    list(pieces)
    thread.join()
    assert found == [expected]


def test_what_is_too_long_or_empty_is_refused(tmp_path: Path) -> None:
    engine = make_engine("cpu", tmp_path)
    with pytest.raises(MtchatError, match="context"):
        engine.score(Prompt(LONG), ["x = 1\n" * 700])
    with pytest.raises(MtchatError, match="empty"):
        engine.score(Prompt(""), ["x"])


def test_damaged_weights_are_reported(tmp_path: Path) -> None:
    engine = random_engine("qwen2")
    engine.decoder.model.get_output_embeddings().weight.data[:] = numpy.nan
    with pytest.raises(ModelError, match="NaN"):
        engine.score(Prompt(LONG), ["x"])


def test_scores_go_on_where_the_cache_is_full(tmp_path: Path) -> None:
    engine = make_engine("cpu", tmp_path)
    expected = engine.score(Prompt(LONG), TEXTS, LEADS)
    engine.decoder.tree = PrefixTree(1100)
    for number in range(4):
        engine.score(Prompt(f"{number}" + OTHER * 9), TEXTS, LEADS)
    assert engine.score(Prompt(LONG), TEXTS, LEADS) == expected
