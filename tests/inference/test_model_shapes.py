"""Files of a true shape with random weights: the types of a Q4_K_M file, and values that stay in bounds."""

from dataclasses import replace
from pathlib import Path

import gguf
import numpy
import pytest

from evals import make_shapes
from mtchat.inference.loaders import cpu_loader, loader
from tests.support.cpu_models import silent

pytestmark = pytest.mark.slow
SMALL = {"vocab_size": 512, "num_hidden_layers": 2}


@pytest.mark.parametrize("name", ["qwen3-0.6b", "phi-4-mini", "gpt-oss-20b"])
def test_a_small_file_of_each_kind_runs_on_our_kernels(name: str, tmp_path: Path) -> None:
    shape = make_shapes.SHAPES[name]
    sizes = SMALL | ({"num_local_experts": 4} if shape.experts else {})
    path = tmp_path / "shape.gguf"
    make_shapes.write_shape(path, name, replace(shape, config=shape.config | sizes))
    assert cpu_loader.unsupported_reason(path) == ""
    engine = loader.load(path, name, cache=tmp_path, report=silent)
    for logits in engine.decoder.open(list(range(20, 60))).prefill():
        last = logits
    assert numpy.isfinite(last).all()
    assert 0.05 < last.std() < 20
    engine.close()


def test_the_types_are_those_of_a_q4_k_m_file(tmp_path: Path) -> None:
    shape, path = make_shapes.SHAPES["qwen3-0.6b"], tmp_path / "shape.gguf"
    make_shapes.write_shape(path, "small", replace(shape, config=shape.config | SMALL))
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert types["token_embd.weight"] == "Q6_K"  # it is the output matrix too
    assert types["blk.0.attn_q.weight"] == types["blk.0.ffn_up.weight"] == "Q4_K"
    assert types["blk.1.attn_v.weight"] == types["blk.1.ffn_down.weight"] == "Q6_K"
    assert types["blk.0.attn_norm.weight"] == "F32"
