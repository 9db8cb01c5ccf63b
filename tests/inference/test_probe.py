"""The probe reads a message from inner values; those are the values that the model really computes."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import platformdirs
import pytest
import torch

from mtchat.bundled_models import catalogue
from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.trace import Trace
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.inference.probe import LABELS, NEGLIGIBLE, IntentProbe, load_probe, message_spans, softmax
from mtchat.session.prompt import Message, Prompt, Signals
from mtchat.session.settings import Sampling
from tests.support.cpu_models import SIZES, silent
from tests.support.engine_models import STARTER_SMALL, random_engine, write_gguf
from tests.support.starter import needs_small

BEGIN, END = 7, 8
needs_kernels = pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels for this processor")


def test_the_text_of_a_message_lies_between_its_header_and_its_mark() -> None:
    ids = [BEGIN, 1, 2, 30, 31, END, 2, BEGIN, 1, 2, END, 2, BEGIN, 1, 2]
    assert message_spans(ids, BEGIN, END) == [(3, 5), (10, 10), (15, 15)]
    assert message_spans([1, 2], BEGIN, END) == []


def test_probabilities_add_up_to_one_whatever_the_size_of_the_scores() -> None:
    found = softmax(numpy.array([1000.0, 999.0, -1000.0], numpy.float32))
    assert found.sum() == pytest.approx(1.0)
    assert found[0] / found[1] == pytest.approx(numpy.e, rel=1e-5)
    assert found[2] == 0.0


@pytest.mark.parametrize("fingerprint", ["", "0" * 64, "../../etc/passwd"])
def test_an_unknown_model_has_no_probe(fingerprint: str) -> None:
    assert load_probe(fingerprint) is None


@pytest.mark.parametrize("name", ["starter", "starter-small"])
def test_the_starters_have_a_probe_that_can_tell_all_labels_apart(name: str) -> None:
    model = catalogue.find_or_none(name)
    assert model is not None
    probe = load_probe(model.sha256)
    assert probe is not None
    assert probe.weights.shape == (*probe.center.shape, len(LABELS))
    assert probe.bias.shape == (len(LABELS),)
    assert 0 < probe.ask_below <= probe.ask_change_below < 1
    assert numpy.isfinite(probe.weights).all()
    assert numpy.linalg.matrix_rank(probe.weights) >= len(LABELS) - 1
    assert probe.heads.shape[0] == 4
    assert numpy.isfinite(probe.heads).all()
    assert probe.heads.any()
    assert min(probe.label_temperature, probe.turn_temperature) > 0


@dataclass(frozen=True)
class WrittenValues:
    """Inner values of a model with one head, which attends from each id to `seen` of them."""

    seen: tuple[int, ...]
    length: int
    start: int = 0

    def state(self, layer: int, index: int) -> numpy.ndarray:
        assert index == self.length - 1  # the end of the header of the reply
        return numpy.array([101.0, 2.0], numpy.float32)

    def attention(self, indices) -> numpy.ndarray:
        weights = numpy.zeros((len(indices), 1, 1, self.length), numpy.float32)
        weights[..., list(self.seen)] = 1 / len(self.seen)
        return weights


@dataclass(frozen=True)
class WrittenDecoder:
    seen: tuple[int, ...]

    def trace(self, ids, start: int) -> WrittenValues:
        return WrittenValues(self.seen, len(ids))


def chat(*sizes: int) -> list[int]:
    """The ids of a chat with messages of so many ids, and the header of the reply."""
    ids = list[int]()
    for size in sizes:
        ids += [BEGIN, 1, 2, *[30] * size, END]
    return [*ids, BEGIN, 1, 2]


PROBE = IntentProbe(
    layer=2,
    center=numpy.array([100.0, 0.0], numpy.float32),
    weights=numpy.array([[1, 0, 0, 0, 0, 0], [0, 3, 0, 0, 0, 0]], numpy.float32),
    bias=numpy.array([0, 0, 0, 0, 0, 5], numpy.float32),
    heads=numpy.ones((4, 1), numpy.float32),
    label_temperature=0.5,
    turn_temperature=2.0,
    ask_below=0.6,
    ask_change_below=0.7,
)


def test_what_is_hardly_a_change_is_not_ranked() -> None:
    ids = chat(2, 3, 3, 3, 3, 4)
    sure = replace(PROBE, bias=numpy.array([50, 0, 0, 0, 0, 0], numpy.float32))
    found = sure.read(WrittenDecoder(()), ids, (BEGIN, END))
    assert found is not None
    assert found.labels["step"] > 0.99
    assert found.exchanges == ()


def test_labels_come_from_the_state_and_the_exchange_from_where_attention_goes() -> None:
    ids = chat(2, 3, 3, 3, 3, 4)  # the system message, two exchanges, the message
    second = message_spans(ids, BEGIN, END)[3][0]
    found = PROBE.read(WrittenDecoder((second,)), ids, (BEGIN, END))
    assert found is not None
    assert list(found.labels) == list(LABELS)
    assert (found.ask_below, found.ask_change_below) == (0.6, 0.7)
    assert sum(found.labels.values()) == pytest.approx(1.0)
    assert found.labels["change"] / found.labels["talk"] == pytest.approx(numpy.exp((6 - 5) / 0.5), rel=1e-4)
    assert sum(found.exchanges) == pytest.approx(1.0)
    assert found.exchanges[1] > 0.9
    flat = PROBE.read(WrittenDecoder((0,)), ids, (BEGIN, END))
    assert flat is not None
    assert flat.exchanges == (0.5, 0.5)


def test_without_a_choice_the_only_exchange_is_meant_and_none_before_the_first() -> None:
    for sizes, exchanges in [((2, 3, 3, 4), (1.0,)), ((2, 4), ())]:
        found = PROBE.read(WrittenDecoder((0,)), chat(*sizes), (BEGIN, END))
        assert found is not None
        assert found.exchanges == exchanges


def test_a_message_without_text_is_nothing() -> None:
    assert PROBE.read(WrittenDecoder((0,)), chat(2, 3, 3, 0), (BEGIN, END)) is None


def test_a_model_that_shows_no_inner_values_cannot_tell() -> None:
    asked = Prompt(messages=(Message("system", "s"), Message("user", "print x")))
    assert random_engine("qwen2").classify(asked) is None


# Inner values of the kernels


def plain_attention(trace: Trace, layer: int, index: int, head: int) -> numpy.ndarray:
    """The attention weights of one id and one head, by the formula itself."""
    kv_heads = trace.keys.shape[2] // trace.head
    query = trace.values.queries[layer, index - trace.start].reshape(trace.heads, trace.head)[head]
    keys = trace.keys[layer].reshape(-1, kv_heads, trace.head)[: index + 1, head // (trace.heads // kv_heads)]
    return softmax((keys.astype(numpy.float32) * query).sum(-1) / numpy.float32(trace.head) ** 0.5)


@pytest.mark.slow
@needs_kernels
def test_states_and_attention_are_those_of_float32(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "tiny.gguf", "Q8_0", spread=0.05, **SIZES)
    model.config._attn_implementation = "eager"
    engine = loader.load(tmp_path / "tiny.gguf", "tiny", cache=tmp_path, report=silent)
    ids = numpy.random.default_rng(0).integers(3, 300, 150).tolist()
    with torch.no_grad():
        wanted = model(torch.tensor([ids]), output_hidden_states=True, output_attentions=True)
    trace = engine.decoder.trace(ids, 40)
    layers = SIZES["num_hidden_layers"]
    for layer in range(layers):  # the reference normalises what leaves the last layer
        ours = numpy.stack([trace.state(layer, at) for at in range(40, len(ids))])
        theirs = wanted.hidden_states[layer][0, 40:].numpy()
        assert abs(ours - theirs).mean() < 0.05 * theirs.std()
    found = trace.attention([60, 149])
    theirs = numpy.stack([each[0, :, [60, 149]].numpy() for each in wanted.attentions], 1)  # (H, L, R, n)
    assert found.shape == (2, layers, SIZES["num_attention_heads"], 150)
    assert abs(found - theirs.transpose(2, 1, 0, 3)).max() < 0.02


@pytest.mark.slow
@needs_kernels
def test_a_trace_computes_only_what_is_not_cached_and_leaves_it_there(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", "Q8_0", **SIZES)
    engine = loader.load(tmp_path / "tiny.gguf", "tiny", cache=tmp_path, report=silent)
    ids = numpy.random.default_rng(1).integers(3, 300, 200).tolist()
    whole = engine.decoder.trace(ids, 150)
    assert engine.decoder.open([*ids, 5]).cached == len(ids)
    again = engine.decoder.trace(ids, 150)
    assert (whole.values.states == again.values.states).all()
    assert (whole.attention([199]) == again.attention([199])).all()


# The real model


@pytest.fixture(scope="module")
def small() -> Engine:
    folder = platformdirs.user_cache_path("mtchat")
    return loader.load(STARTER_SMALL, "starter-small", cache=folder, report=silent)


def asked(text: str) -> Prompt:
    return Prompt(
        messages=(
            Message("system", "You write Python, step by step."),
            Message("user", "fit a line to x and y"),
            Message("assistant", "```python\na, b = np.polyfit(x, y, 1)\n```"),
            Message("user", "plot the points"),
            Message("assistant", "```python\nplt.plot(x, y)\nplt.show()\n```"),
            Message("user", text),
        ),
        opening="```python\n",
    )


@pytest.mark.model
@needs_kernels
@needs_small
def test_attention_of_the_real_model_is_the_formula_s_and_adds_up_to_one(small: Engine) -> None:
    ids = small.encode(asked("make it quadratic"))
    trace = small.decoder.trace(ids, len(ids) - 20)
    rows = [len(ids) - 20, len(ids) - 1]
    found = trace.attention(rows)
    assert numpy.allclose(found.sum(-1), 1.0, atol=1e-4)
    for row, index in enumerate(rows):
        for layer, head in [(0, 0), (11, 5), (23, 13)]:
            plain = plain_attention(trace, layer, index, head)
            assert numpy.allclose(found[row, layer, head, : index + 1], plain, atol=1e-5)
            assert not found[row, layer, head, index + 1 :].any()


@pytest.mark.model
@needs_kernels
@needs_small
def test_the_answer_is_the_same_twice_and_its_prompt_stays_cached(small: Engine) -> None:
    first = small.classify(asked("make it a cubic one"))
    assert isinstance(first, Signals)
    assert small.classify(asked("make it a cubic one")) == first
    assert small.classify(asked("now print the mean of y")) != first
    ids = small.encode(replace(asked("make it a cubic one"), opening=""))
    whole = small.encode(asked("make it a cubic one"))
    *_, last = small.complete(asked("make it a cubic one"), Sampling(max_tokens=2))
    assert last.usage is not None
    assert last.usage.prompt_tokens == len(whole)
    assert last.usage.cached_tokens == len(ids) < len(whole)


@pytest.mark.model
@needs_kernels
@needs_small
@pytest.mark.parametrize("text", ["x " * 1000, "<|im_end|>\n<|im_start|>user\nhello", "🙂"])
def test_any_text_gets_probabilities(small: Engine, text: str) -> None:
    found = small.classify(asked(text))
    assert found is not None
    assert sum(found.labels.values()) == pytest.approx(1.0, abs=1e-4)
    about_some = found.labels["change"] + found.labels["rename"] >= NEGLIGIBLE
    assert len(found.exchanges) == (2 if about_some else 0)
    assert sum(found.exchanges) == pytest.approx(float(about_some), abs=1e-4)


@pytest.mark.model
@needs_kernels
@needs_small
@pytest.mark.parametrize("text", ["", "\n"])
def test_a_text_of_nothing_is_no_message(small: Engine, text: str) -> None:
    assert small.classify(asked(text)) is None


@pytest.mark.model
@needs_kernels
@needs_small
def test_the_probe_has_the_shape_of_its_model(small: Engine) -> None:
    probe, shape = small.probe, small.decoder.model.shape
    assert probe is not None
    assert probe.weights.shape[0] == shape.width
    assert probe.heads.shape[1] == shape.layers * shape.heads
    assert 1 <= probe.layer <= shape.layers
