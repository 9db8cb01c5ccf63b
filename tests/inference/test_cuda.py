"""Decoding as a GPU does it, in torch's own words: the ids of a full recompute, whatever is shared."""

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch

from mtchat.errors import ModelError
from mtchat.inference.cuda import reference
from mtchat.inference.cuda.decoder import GREEDY, GpuDecoder
from mtchat.inference.cuda.quantise import dequantise, quantise_int4, quantise_int8, quantise_weights
from mtchat.inference.cuda.reference import STEPS_PER_LAUNCH
from mtchat.inference.cuda.weights import FusedLayer, LinearWeights, linear_layers, linear_weights
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import cuda_loader
from mtchat.inference.loaders.cuda_loader import fuse, norm_weights, unsupported_reason
from mtchat.inference.loaders.devices import GPU_PRECISIONS
from mtchat.inference.prefix_tree import common_prefix_length
from mtchat.inference.request import Request
from mtchat.inference.sampler import Sampler
from mtchat.session.prompt import ModelCard, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import gpu_engine, interrupted, random_engine, random_model, tiny_tokenizer

pytestmark = pytest.mark.slow

KINDS = (("qwen2", 1), ("codegen", STEPS_PER_LAUNCH))
TEXT = "def add(a, b):\n    return a + b\n"
WARM = Sampling(0.9, 0.9, 0, 5, 30)


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> tuple[Engine, Engine]:
    """An engine as on a GPU, and the plain one with the same weights."""
    tokenizer, (kind, run) = tiny_tokenizer(), request.param
    return gpu_engine(kind, tokenizer, steps_per_launch=run), random_engine(kind, tokenizer)


def said(engine: Engine, text: str, sampling: Sampling) -> str:
    return "".join(piece.text for piece in engine.complete(Prompt(text), sampling))


def test_replies_are_those_of_the_plain_engine(pair: tuple[Engine, Engine]) -> None:
    ours, theirs = pair
    for sampling in (
        Sampling(max_tokens=40),
        WARM,
        Sampling(1.2, 1.0, 7, 2, 30),
        Sampling(1.5, 0.9, 290, 6, 30),
    ):
        assert said(ours, TEXT, sampling) == said(theirs, TEXT, sampling)


def test_logits_are_those_of_the_plain_engine(pair: tuple[Engine, Engine]) -> None:
    ours, theirs = (engine.decoder.open(list(range(3, 40))) for engine in pair)
    *_, mine = ours.prefill()
    *_, other = theirs.prefill()
    numpy.testing.assert_allclose(mine, other, atol=2e-3)
    numpy.testing.assert_allclose(ours.forward([7, 8, 9]), theirs.forward([7, 8, 9]), atol=2e-3)


def test_what_was_seen_is_not_read_again(pair: tuple[Engine, Engine]) -> None:
    ours, theirs = pair
    said(ours, TEXT, Sampling(max_tokens=20))
    for text in (TEXT, TEXT + "print(add(1, 2))", TEXT[:20]):
        *_, last = ours.complete(Prompt(text), Sampling(max_tokens=9))
        assert (
            last.usage.cached_tokens
            >= common_prefix_length(ours.encode(Prompt(text)), ours.encode(Prompt(TEXT))) - 1
        )
        assert said(ours, text, Sampling(max_tokens=9)) == said(theirs, text, Sampling(max_tokens=9))


def test_one_near_the_end_of_its_context_does_not_hold_the_others_up(pair: tuple[Engine, Engine]) -> None:
    ours, theirs = pair
    long, short = "x = 1\n" * 40, "def f"
    ids = [engine.encode(Prompt(text)) for engine in (ours,) for text in (long, short)]
    ids[0] = ids[0][: ours.card.context - 7]
    assert ours.scheduler is not None
    found: list[list[str]] = [[], []]
    for prompt, heard in zip(ids, found, strict=True):
        sampling = Sampling(max_tokens=60)
        max_tokens = ours.max_new_tokens(prompt, sampling)
        ours.scheduler.add(
            Request(prompt, [sampling], max_tokens, lambda _, piece, heard=heard: heard.append(piece.text))
        )
    while not ours.scheduler.idle:
        ours.scheduler.step()
    for prompt, heard in zip(ids, found, strict=True):
        alone = theirs.generate(
            prompt, Sampling(max_tokens=60), theirs.max_new_tokens(prompt, Sampling(max_tokens=60))
        )
        assert "".join(heard) == "".join(piece.text for piece in alone)


def test_an_interrupt_anywhere_leaves_a_whole_engine(pair: tuple[Engine, Engine]) -> None:
    ours, theirs = pair
    expected = said(theirs, TEXT, WARM)
    for line in range(0, 4000, 97):
        interrupted(line, lambda: said(ours, TEXT, WARM))
    assert said(ours, TEXT, WARM) == expected


@pytest.mark.parametrize("top_k", [0, 5])
def test_an_id_is_drawn_as_the_plain_chooser_draws_it(top_k: int) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(40, 300, generator=generator) * 3
    sampling = Sampling(0.7, 0.9, top_k)
    chance = torch.rand(40, generator=generator, dtype=torch.float64)
    drawn = reference.sample_nucleus(
        logits / sampling.temperature,
        torch.full((40,), sampling.top_p, dtype=torch.float64),
        torch.full((40,), top_k),
        chance,
    )
    for row in range(40):
        sampler = Sampler(sampling)
        sampler.random = Fixed(float(chance[row]))  # type: ignore[assignment]
        assert sampler.sample(logits[row].numpy()) == int(drawn[row])


class Fixed:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


def test_a_product_needs_no_normalised_copy_of_its_input() -> None:
    """What the kernels rely on: the norm's sums can be taken beside the product's."""
    torch.manual_seed(1)
    module = torch.nn.LayerNorm(48)
    torch.nn.init.normal_(module.weight)
    torch.nn.init.normal_(module.bias)
    weight, bias, x = torch.randn(20, 48), torch.randn(20), torch.randn(3, 48) + 2
    made = linear_weights(weight, bias, norm_weights(module))
    assert made.norm is not None
    assert made.weight_sums is not None
    assert made.folded_bias is not None
    mean, scale = x.mean(1), (x.var(1, unbiased=False) + module.eps).rsqrt()
    raw = (x * made.norm.weight) @ weight.T
    ours = scale[:, None] * (raw - mean[:, None] * made.weight_sums) + made.folded_bias
    torch.testing.assert_close(ours, reference.linear(x, made), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["qwen2", "codegen"])
def test_weights_in_8_bits_are_near_the_whole_ones_and_computed_exactly(kind: str) -> None:
    """Near: half a step of 1/127 of a row's largest weight. Exactly: as their products with their scales."""
    whole, small = (
        fuse(random_model(kind, 300)),
        quantise_weights(fuse(random_model(kind, 300)), quantise_int8),
    )
    x = torch.randn(3, whole.embedding.shape[1])
    for one, other in zip(linear_layers(whole), linear_layers(small), strict=True):
        assert other.weight.dtype == torch.int8
        assert other.scales is not None
        back = other.weight * other.scales[:, None]
        assert ((back - one.weight).abs() <= one.weight.abs().amax(1, keepdim=True) / 254 + 1e-6).all()
        if one.norm is None:
            continue
        exact = reference.linear(x, linear_weights(back, one.bias, one.norm))
        torch.testing.assert_close(reference.linear(x, other), exact, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(other.weight_sums, linear_weights(back, one.bias, one.norm).weight_sums)
        torch.testing.assert_close(other.folded_bias, linear_weights(back, one.bias, one.norm).folded_bias)
    assert small.bytes < whole.bytes / 3.5
    logits = [GpuDecoder(each, 100).open(list(range(3, 40))).prefill() for each in (whole, small)]
    (*_, one), (*_, other) = logits
    assert abs(one - other).mean() < 0.1 * one.std()


WIDE: dict[str, dict[str, Any]] = {
    "codegen": {"n_embd": 64},
    "qwen2": {"intermediate_size": 80},
}  # 80 is no multiple of 32


@pytest.mark.parametrize("kind", WIDE)
def test_weights_in_4_bits_are_near_the_whole_ones_and_computed_exactly(kind: str) -> None:
    """Near: a group's error is no larger than that of 15 equal steps over its range, rounded to float16."""
    x = torch.randn(3, 320)
    for one in linear_layers(fuse(random_model(kind, 300, **WIDE[kind]))):
        other = quantise_int4(one)
        assert (other.groups is None) == bool(one.columns % 32)
        back = dequantise(other, torch.float32)
        if other.groups is not None:
            assert (other.weight.dtype, other.columns) == (torch.int32, one.columns)
            error = (back - one.weight).view(-1, 32).square().sum(1)
            assert (error <= spaced(one.weight.view(-1, 32))[1] + 1e-9).all()
        exact = linear_weights(back, one.bias, one.norm)
        vector = x[:, : one.columns]
        torch.testing.assert_close(reference.linear(vector, other), reference.linear(vector, exact))
        torch.testing.assert_close(other.weight_sums, exact.weight_sums)
        torch.testing.assert_close(other.folded_bias, exact.folded_bias)


def spaced(groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Groups (..., 32) as the nearest of 16 equally spaced numbers of their range, and the squared errors."""
    least, most = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
    step, least = ((most - least) / 15).half().float(), least.half().float()
    found = ((groups - least) / step).round().clamp(0, 15) * step + least
    return found, (found - groups).square().sum(1)


def test_the_search_finds_groups_that_are_nearer_than_their_range_gives() -> None:
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(2)) / 50
    back = dequantise(quantise_int4(LinearWeights(weight, None)), torch.float32)
    ours = (back - weight).square().sum()
    assert ours < 0.8 * spaced(weight.view(-1, 32))[1].sum()


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3, 1e-9])
def test_groups_of_equal_weights_have_4_bits_too(value: float) -> None:
    made = quantise_int4(LinearWeights(torch.full((3, 64), value), None))
    torch.testing.assert_close(
        dequantise(made, torch.float32), torch.full((3, 64), value), atol=1e-7, rtol=1e-3
    )


@torch.inference_mode()
@pytest.mark.parametrize("kind", WIDE)
def test_ids_in_4_bits_are_those_of_a_recompute_with_the_weights_they_stand_for(kind: str) -> None:
    weights = quantise_weights(fuse(random_model(kind, 300, **WIDE[kind])), quantise_int4)
    spread = replace(weights, layers=tuple(map(given_back, weights.layers)), head=floats(weights.head))
    assert weights.head.weight.dtype == torch.int8
    assert weights.bytes < spread.bytes / 4
    ours, theirs = GpuDecoder(weights, 100), GpuDecoder(spread, 100)
    ids = list(range(3, 30))
    inputs = ours.decode_inputs(1)
    slots = numpy.arange(60)
    inputs.slot_tables[0, :60] = torch.arange(60)
    ours.forward([(ids[:-1], slots[: len(ids) - 1])])
    inputs.ids[0], inputs.lengths[0] = ids[-1], len(ids) - 1
    for _ in range(12):  # of a step that shares what it has read, and of one that reads all again
        ours.decode_step(inputs, GREEDY)
        *_, logits = theirs.open(ids).prefill()
        assert int(inputs.ids[0]) == int(logits.argmax())
        ids.append(int(inputs.ids[0]))


def given_back(layer: FusedLayer) -> FusedLayer:
    gates, down = layer.gates and floats(layer.gates), layer.down and floats(layer.down)
    return FusedLayer(floats(layer.input_proj), floats(layer.output_proj), gates, down)


def floats(rounded: LinearWeights) -> LinearWeights:
    """A layer of the float32 weights that its numbers stand for."""
    return linear_weights(dequantise(rounded, torch.float32), rounded.bias, rounded.norm)


def test_what_a_step_reads_counts_the_scales() -> None:
    weight = torch.randn(8, 64)
    assert LinearWeights(weight, None).bytes == 8 * 64 * 4
    assert quantise_int8(LinearWeights(weight, None)).bytes == 8 * 64 + 8 * 4
    assert quantise_int4(LinearWeights(weight, None)).bytes == 8 * 64 // 2 + 8 * 2 * 4


@pytest.mark.parametrize("changes", [{}, {"activation_function": "relu"}])
def test_a_model_that_the_kernels_cannot_compute_is_known(changes: dict[str, Any]) -> None:
    model = random_model("codegen", 64, **changes)
    assert bool(unsupported_reason(model.config, type(model).__name__)) == bool(changes)
    other = random_model("lfm2", 64)
    assert unsupported_reason(other.config, type(other).__name__)


@pytest.mark.parametrize("name", GPU_PRECISIONS)
def test_what_the_kernels_cannot_compute_is_not_rounded(name: str) -> None:
    card = ModelCard("tiny", "Lfm2ForCausalLM", precision=name)
    with pytest.raises(ModelError, match=f"cannot run tiny in {name}: the architecture Lfm2"):
        cuda_loader.gpu_engine(random_model("lfm2", 64), tiny_tokenizer(), card)


def test_a_model_is_not_held_twice() -> None:
    model = random_model("qwen2", 64)
    count = sum(each.numel() for each in model.parameters())
    weights = fuse(model)
    left = sum(each.numel() for each in model.parameters())
    assert left < count / 2
    assert weights.bytes > 0
