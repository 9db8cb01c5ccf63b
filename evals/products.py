"""Compares kernels for the product of one token with quantised weights: ours and torch's.

    python -m evals.products --model starter

Shapes are those of a bundled model's layers, each with its own copy of the weights, so that memory is read as
in a decode step. Ratios of medians of one run, in which the candidates take turns; torchao if installed.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from ctypes import byref
from pathlib import Path
from typing import Any

import numpy
import torch
from platformdirs import user_cache_path

from mtchat.bundled_models import cache, catalogue
from mtchat.inference.cpu import kernels, weights
from mtchat.inference.cpu.decoder import CpuDecoder, CpuModel
from mtchat.inference.cpu.kernels import thread_count

CONVERTED = user_cache_path("mtchat", appauthor=False) / "converted"
GROUP = 32
Act = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--copies", type=int, default=12, help="layers' worth of weights")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(thread_count())
    model = native(args.model)
    columns, rows = model.shape.width, 2 * model.shape.feed
    print(f"{args.model}: 1 x {columns} by {rows}, {args.copies} copies, {thread_count()} threads")
    acts = dict(candidates(model, rows, columns, args.copies))
    times = interleaved(acts, args.repeats)
    ours = statistics.median(times["our kernels"])
    for name, each in sorted(times.items(), key=lambda pair: statistics.median(pair[1])):
        median = statistics.median(each)
        spread = f"spread {min(each) / median:.2f}-{max(each) / median:.2f}"
        print(f"{name:46} {1e6 * median / args.copies:8.0f} us {median / ours:6.2f} x ours  {spread}")
    gap(model, args.repeats)


def native(name: str) -> CpuModel:
    path: Path | None = cache.locate(name, cache.models_folder())
    assert path, f"mtchat models get {name}"
    folder = CONVERTED / f"{catalogue.find(name).sha256[:16]}-native-{weights.FORMAT}"
    return CpuModel(weights.read_weights(folder), kernels.best_build(), thread_count(), 2048)


def interleaved(acts: dict[str, Act], repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in acts}
    with torch.inference_mode():
        for turn in range(repeats + 1):
            for name, act in acts.items():
                began = time.perf_counter()
                act()
                if turn:
                    times[name].append(time.perf_counter() - began)
    return times


def candidates(model: CpuModel, rows: int, columns: int, copies: int) -> Iterator[tuple[str, Act]]:
    x = torch.randn(1, columns)
    names = [f"{layer}.gate_up" for layer in range(min(copies, model.shape.layers))]
    names += names[: copies - len(names)]
    yield "our kernels", lambda: [product(model, name, x.numpy()) for name in names]
    layers = [torch.nn.Linear(columns, rows, bias=False) for _ in range(copies)]
    yield "torch float32", each(layers, x)
    halves = [torch.nn.Linear(columns, rows, bias=False, dtype=torch.bfloat16) for _ in range(copies)]
    yield "torch bfloat16", each(halves, x.bfloat16())
    for engine in ("x86", "onednn"):
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
            dynamic = [torch.ao.nn.quantized.dynamic.Linear.from_float(observed(layer)) for layer in layers]
            yield f"torch int8 dynamic, {engine}", each(dynamic, x)
    eight = [torch.randint(-127, 127, (rows, columns), dtype=torch.int8) for _ in range(copies)]
    scales = torch.rand(rows, dtype=torch.bfloat16)
    yield (
        "torch _weight_int8pack_mm, bfloat16",
        lambda: [torch._weight_int8pack_mm(x.bfloat16(), weight, scales) for weight in eight],
    )
    for dtype in (torch.bfloat16, torch.float32):
        four = [int4(rows, columns, dtype) for _ in range(copies)]
        yield (
            f"torch _weight_int4pack_mm_for_cpu, {str(dtype)[6:]}",
            lambda four=four, dtype=dtype: [
                torch.ops.aten._weight_int4pack_mm_for_cpu(x.to(dtype), weight, GROUP, zeros)
                for weight, zeros in four
            ],
        )
    mixed = [dyn4(rows, columns) for _ in range(copies)]
    yield (
        "torch _dyn_quant_matmul_4bit",
        lambda: [torch.ops.aten._dyn_quant_matmul_4bit(x, weight, GROUP, columns, rows) for weight in mixed],
    )
    yield from of_torchao(rows, columns, copies, x)


def each(layers: list[Any], x: torch.Tensor) -> Act:
    return lambda: [layer(x) for layer in layers]


def observed(layer: Any) -> Any:
    layer.qconfig = torch.ao.quantization.default_dynamic_qconfig
    return layer


def int4(rows: int, columns: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.randint(0, 16, (rows, columns), dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
    return packed, torch.rand(columns // GROUP, rows, 2, dtype=dtype)


def dyn4(rows: int, columns: int) -> torch.Tensor:
    values = torch.randint(0, 255, (rows, columns // 2), dtype=torch.uint8)
    scales = torch.rand(rows, columns // GROUP).bfloat16()
    packed: torch.Tensor = torch.ops.aten._dyn_quant_pack_4bit_weight(
        values, scales, None, GROUP, columns, rows
    )
    return packed


def of_torchao(rows: int, columns: int, copies: int, x: torch.Tensor) -> Iterator[tuple[str, Act]]:
    """Its configurations as they come, without torch.compile, which needs a compiler and minutes."""
    try:
        from torchao import quantization
    except ImportError as error:
        print(f"torchao is left out: {error}")
        return
    for name in ("Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig", "Int4WeightOnlyConfig"):
        layers = torch.nn.Sequential(*(torch.nn.Linear(columns, rows, bias=False) for _ in range(copies)))
        try:
            config = getattr(quantization, name)
            quantization.quantize_(layers, config(group_size=GROUP) if "Int4" in name else config())
            layers[0](x)
        except Exception as error:  # whatever it lacks on this machine is what is to be said of it
            print(f"torchao {name} is left out: {str(error).splitlines()[0][:90]}")
            continue
        yield f"torchao {name}", each(list(layers), x)


def product(model: CpuModel, name: str, x: Any) -> None:
    matrix = model.matrix_struct(name)
    out = numpy.empty((1, matrix.rows), numpy.float32)
    model.library.mtchat_product(model.state, byref(matrix), x.ctypes.data, 1, out.ctypes.data)


def gap(model: CpuModel, repeats: int) -> None:
    """How much of a step is not products: all of a step's products one after another, against the step."""
    path = CpuDecoder(model).open([5] * 100)
    list(path.prefill())
    wide = {part.columns for part in model.weights.parts.values()}
    rows = {columns: numpy.random.rand(1, columns).astype(numpy.float32) for columns in wide}
    names = [name for name, part in model.weights.parts.items() if part.kind >= 0 and name != "embedding"]

    def step() -> None:
        path.forward([7])

    def products() -> None:
        for name in names:
            product(model, name, rows[model.weights.parts[name].columns])

    times = interleaved({"step": step, "products": products}, 3 * repeats)
    step_ms, products_ms = (1000 * statistics.median(times[name]) for name in ("step", "products"))
    print(f"a step at context 100: {step_ms:.1f} ms; its products one by one: {products_ms:.1f} ms")


if __name__ == "__main__":
    main()
