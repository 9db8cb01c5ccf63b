"""The Triton kernels against the same steps in torch's words: on a GPU, or through Triton's interpreter.

TRITON_INTERPRET=1 python -m pytest tests/inference/test_cuda_kernels.py
"""

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mtchat.inference.cuda import reference
from mtchat.inference.cuda.decoder import GREEDY, GpuDecoder
from mtchat.inference.cuda.quantise import dequantise, quantise_int4, quantise_int8, quantise_weights
from mtchat.inference.cuda.weights import LinearWeights
from mtchat.inference.loaders.cuda_loader import fuse
from tests.support.engine_models import random_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
]  # of the interpreter
ON = "cuda" if torch.cuda.is_available() else "cpu"
if not importlib.util.find_spec("triton"):
    pytest.skip("triton is not installed", allow_module_level=True)
if ON == "cpu" and not os.environ.get("TRITON_INTERPRET"):
    pytest.skip("no GPU is here, and TRITON_INTERPRET=1 is not set", allow_module_level=True)

from mtchat.inference.cuda import kernels  # noqa: E402 - it cannot be imported where triton is not
from mtchat.inference.cuda.kernels import gemv  # noqa: E402
from mtchat.inference.cuda.kernels.epilogue import dequantise_for_torch  # noqa: E402

MODELS: dict[str, dict[str, Any]] = {
    "codegen": {"n_embd": 64},
    "qwen2": {},
    "qwen2 of one key head a head": {"num_key_value_heads": 4},
    "qwen2 of odd sizes": {"hidden_size": 60, "intermediate_size": 77, "num_attention_heads": 3,
                           "num_key_value_heads": 1},
}  # fmt: skip


WAYS = {8: quantise_int8, 4: quantise_int4}


@pytest.fixture(autouse=True)
def inference(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if ON == "cpu":  # the interpreter takes milliseconds for a program, whatever its size
        monkeypatch.setattr(gemv, "tile", lambda *sizes: (256, 32, 4))
        monkeypatch.setattr(gemv, "tile_4", lambda *sizes: (256, 2, 4))
    with torch.inference_mode():
        yield


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    return random_model(request.param.split()[0], 1100, **MODELS[request.param]).to(ON)


def decoders(model: Any, bits: int) -> tuple[GpuDecoder, GpuDecoder]:
    weights = fuse(model) if bits == 32 else quantise_weights(fuse(model), WAYS[bits])
    return GpuDecoder(weights, 600, kernels), GpuDecoder(weights, 600)


def filled(decoder: GpuDecoder, lengths: list[int]) -> reference.DecodeInputs:
    """Decode inputs of sequences with so many tokens each, in scattered KV slots."""
    inputs = decoder.decode_inputs(len(lengths))
    order = torch.randperm(600, generator=torch.Generator().manual_seed(1)).int()
    for row, length in enumerate(lengths):
        slots = order[:150].roll(row)
        inputs.slot_tables[row, :150] = slots.to(ON)
        inputs.lengths[row] = length
        inputs.ids[row] = 17 + row
        if length:
            decoder.forward([(list(range(row, row + length)), slots[:length].numpy())])
        order = order[150:] if len(lengths) <= 4 else order
    return inputs


@pytest.mark.parametrize("bits", [32, 8, 4])
@pytest.mark.parametrize("lengths", [[0], [1], [37], [140], [5, 120], [64, 1, 0, 100]])
def test_a_step_is_the_plain_one(model: Any, lengths: list[int], bits: int) -> None:
    ours, theirs = decoders(model, bits)
    batches = [filled(each, lengths) for each in (ours, theirs)]
    for _ in range(4):
        for decoder, inputs in zip((ours, theirs), batches, strict=True):
            decoder.decode_step(inputs, GREEDY)
        torch.testing.assert_close(batches[0].ids, batches[1].ids)
        torch.testing.assert_close(
            batches[0].output[0, :, 1], batches[1].output[0, :, 1], atol=2e-2, rtol=1e-3
        )
        torch.testing.assert_close(batches[0].lengths, batches[1].lengths)
    torch.testing.assert_close(ours.keys, theirs.keys, atol=2e-2, rtol=1e-3)
    torch.testing.assert_close(ours.values, theirs.values, atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize("bits", [32, 8])
def test_columns_that_come_late_are_multiplied_like_the_others(bits: int) -> None:
    weights = fuse(random_model("codegen", 300, n_embd=96).to(ON))
    layer = (weights if bits == 32 else quantise_weights(weights, quantise_int8)).layers[0].output_proj
    x, residual = torch.randn(1, layer.columns, device=ON), torch.randn(1, 96, device=ON)
    ours = kernels.linear(x, layer, residual, late=96)
    torch.testing.assert_close(ours, reference.linear(x, layer, residual), atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("counts", [[70], [3, 75], [1, 9, 2, 16]])
def test_reading_is_the_plain_one(model: Any, counts: list[int]) -> None:
    """Twice: prompts from their beginning, then more of each behind what is there."""
    ours, theirs = decoders(model, 32)
    found = []
    for decoder in (ours, theirs):
        paths = [decoder.open([row]) for row in range(len(counts))]
        for turn in range(2):
            parts = [
                (path, [(turn + 7 * row + at) % 1100 for at in range(count)])
                for row, (path, count) in enumerate(zip(paths, counts, strict=True))
            ]
            decoder.prefill(parts)
        slots = [path.slots[: path.length].tolist() for path in paths]
        assert [len(each) for each in slots] == [2 * count for count in counts]
        found.append([torch.stack([decoder.keys[:, each], decoder.values[:, each]]) for each in slots])
    torch.testing.assert_close(found[0], found[1], atol=2e-2, rtol=1e-3)


@pytest.mark.parametrize("spread", [0.4, 3.0])
@pytest.mark.parametrize("top_k", [0, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_drawn_is_what_is_drawn_plainly(dtype: torch.dtype, top_k: int, spread: float) -> None:
    """With a small spread the nucleus is larger than what is sorted, in 16 bits with many equals."""
    size, generator = 5, torch.Generator().manual_seed(4)
    logits = (torch.randn(size, 3001, generator=generator) * spread).to(ON, dtype)
    batches = [reference.decode_inputs(size, 8, torch.device(ON)) for _ in range(2)]
    for inputs in batches:
        inputs.temperature[:] = torch.tensor([0.8, 0.0, 1.3, 0.5, 0.8])
        inputs.top_p[:] = torch.tensor([0.9, 0.9, 0.95, 1.0, 0.3])
        inputs.top_k[:] = top_k
        inputs.uniforms[:, :8] = torch.rand(
            size, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64
        )
    for _ in range(3):
        kernels.sample(logits, batches[0], batches[0].output[1], sampled=True)
        reference.sample(logits, batches[1], batches[1].output[1], sampled=True)
        torch.testing.assert_close(batches[0].ids, batches[1].ids)
        torch.testing.assert_close(batches[0].output, batches[1].output, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_product_in_16_bits_is_nearer_the_truth_than_torchs(dtype: torch.dtype) -> None:
    if ON == "cpu":
        pytest.skip("what is rounded on the way is the GPU's")
    weights = fuse(random_model("codegen", 3000, spread=0.02).to(ON, dtype))
    x = torch.randn(1, 32, device=ON, dtype=dtype)
    for layer in weights.layers:
        exact = reference.linear(x.float(), floated(layer.input_proj), activation=reference.GELU, first=96)
        ours = kernels.linear(x, layer.input_proj, activation=reference.GELU, first=96).float()
        theirs = reference.linear(x, layer.input_proj, activation=reference.GELU, first=96).float()
        assert (ours - exact).norm() <= 1.2 * (theirs - exact).norm()


@pytest.mark.parametrize("bits", [16, 8, 4])
@pytest.mark.parametrize("size", [1, 5, 20])
@pytest.mark.parametrize("kind", ["codegen", "qwen2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_linear_layers_of_small_batches_are_those_of_the_reference(
    dtype: torch.dtype, kind: str, size: int, bits: int
) -> None:
    if ON == "cpu" and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter multiplies the bits of bfloat16 as if they were whole numbers")
    weights = fuse(random_model(kind, 300, spread=0.05).to(ON, dtype))
    weights = quantise_weights(weights, WAYS[bits]) if bits < 16 else weights
    layer = weights.layers[0]
    width = layer.output_proj.weight.shape[0]
    ways = {
        reference.GELU: layer.input_proj,
        reference.GATE: layer.gates,
        "": layer.output_proj,
        "head": weights.head,
    }
    for activation, each in ways.items():
        if each is None:
            continue
        x = torch.randn(size, each.columns, device=ON, dtype=dtype)
        how = {"activation": activation, "first": width} if activation != "head" else {}
        residual = torch.randn(size, width, device=ON, dtype=dtype) if not activation else None
        ours = kernels.linear(x, each, residual, **how).float()
        theirs = reference.linear(
            x.float(), floated(each), None if residual is None else residual.float(), **how
        )
        assert (ours - theirs).norm() <= 0.02 * theirs.norm(), activation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(7, 96), (130, 64)])
def test_weights_in_4_bits_are_given_back_as_plainly(shape: tuple[int, int], dtype: torch.dtype) -> None:
    rounded = quantise_int4(LinearWeights(torch.randn(shape, device=ON), None))
    made = dequantise_for_torch(rounded, dtype)
    assert made.groups is None
    spacing = torch.finfo(dtype).eps
    torch.testing.assert_close(made.weight, dequantise(rounded, dtype), rtol=spacing, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(7, 96), (130, 64)])
def test_numbers_of_8_bits_are_given_back_as_they_are(shape: tuple[int, int], dtype: torch.dtype) -> None:
    rounded = quantise_int8(LinearWeights(torch.randn(shape, device=ON), None))
    made = dequantise_for_torch(rounded, dtype)
    assert made.scales is rounded.scales
    assert torch.equal(made.weight, rounded.weight.to(dtype))


@pytest.mark.parametrize("bits", [8, 4])
def test_linear_layers_of_large_batches_use_the_dequantised_weights(bits: int) -> None:
    layer = (
        quantise_weights(fuse(random_model("codegen", 300, spread=0.05).to(ON)), WAYS[bits])
        .layers[0]
        .input_proj
    )
    x = torch.randn(70, layer.columns, device=ON)
    torch.testing.assert_close(
        kernels.linear(x, layer), reference.linear(x, floated(layer)), rtol=2e-3, atol=2e-4
    )


def floated(matrix: Any) -> Any:
    """The same layer with its weights as float32."""
    from mtchat.inference.cuda.weights import NormWeights
    from mtchat.inference.cuda.weights import linear_weights as made

    old = matrix.norm
    norm = old and NormWeights(
        old.weight.float(), None if old.bias is None else old.bias.float(), old.epsilon
    )
    bias = None if matrix.bias is None else matrix.bias.float()
    return made(dequantise(matrix, torch.float32), bias, norm)
