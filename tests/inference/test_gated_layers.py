"""Layers of the Llama class on trained toys: as in plain numpy, however they are computed."""

import dataclasses
import json
from pathlib import Path

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels
from mtchat.inference.cpu.decoder import CpuDecoder, CpuModel
from mtchat.inference.cpu.weights import CpuShape, check_weights, read_stored_shape, read_weights
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import gguf_shape, loader
from mtchat.inference.loaders.gguf_architectures import ARCHITECTURES
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests import ROOT
from tests.support.cpu_models import silent, start, teacher_forced
from tests.support.plain_gguf import PlainModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor"),
]
NAMES = (
    *("llama", "llama-biases", "llama-linear", "qwen2", "qwen2-yarn", "qwen3", "qwen3moe"),
    *("gemma2", "gemma3", "phi4", "phi-plain", "granite", "gpt-oss"),
)
TOYS = [ROOT / "tests" / "toys" / f"{name}.gguf" for name in NAMES]
WITHOUT_TOY = {"smollm3"}  # llama with layers that are not rotated
EACH = pytest.mark.parametrize("toy", TOYS, ids=[path.stem for path in TOYS])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("toys")


def opened(toy: Path, cache: Path) -> Engine:
    engine = loader.load(toy, toy.stem, cache=cache, report=silent)
    assert isinstance(engine.decoder, CpuDecoder)
    return engine


def some_ids(toy: Path, count: int, seed: int) -> list[int]:
    rows = gguf_shape.read_shape(read_gguf(toy)).vocabulary
    return [int(each) for each in numpy.random.default_rng(seed).integers(3, rows - 1, count)]


def test_each_architecture_of_the_kernels_has_a_toy() -> None:
    found = {str(read_gguf(toy).metadata["general.architecture"]) for toy in TOYS}
    assert found == ARCHITECTURES.keys() - WITHOUT_TOY


@EACH
def test_logits_are_those_of_a_plain_computation(toy: Path, cache: Path) -> None:
    """Sums in another order now and then round an activation the other way, and all that follows differs: so
    most short sequences agree to 1e-5, and long ones within what such roundings can do."""
    engine, plain = opened(toy, cache), PlainModel(toy)
    errors = []
    for seed in range(8):
        ids = some_ids(toy, 4, seed)
        expected = plain.logits(ids)
        errors.append(abs(teacher_forced(engine, ids, 3) - expected).max() / expected.std())
    assert numpy.median(errors) < 1e-5
    ids = some_ids(toy, 150, 9)
    expected, found = plain.logits(ids), teacher_forced(engine, ids, 64)
    assert numpy.median(abs(found - expected).max(1) / expected.std(1)) < 0.1


@EACH
def test_any_way_to_compute_gives_the_same_bits(toy: Path, cache: Path) -> None:
    ids = some_ids(toy, 130, 1)
    expected = teacher_forced(opened(toy, cache), ids, 64)
    for width in (1, 3, 8):
        assert numpy.array_equal(teacher_forced(opened(toy, cache), ids, width), expected), width
    weights = read_weights(next(each for each in cache.glob("[!.]*-native-*") if fits(each, toy)))
    for threads in (1, 3):
        model = CpuModel(weights, kernels.best_build(), threads, 200)
        path = start(CpuDecoder(model))
        assert numpy.array_equal(path.forward(ids[:64]), expected[:64])
        model.close()


def fits(folder: Path, toy: Path) -> bool:
    found = read_weights(folder)
    shape = gguf_shape.read_shape(read_gguf(toy))
    return (found.architecture, found.shape) == (str(read_gguf(toy).metadata["general.architecture"]), shape)


@EACH
def test_every_build_computes_about_the_same(toy: Path, cache: Path) -> None:
    ids, found = some_ids(toy, 20, 2), {}
    opened(toy, cache)
    weights = read_weights(next(each for each in cache.glob("[!.]*-native-*") if fits(each, toy)))
    for build in kernels.usable_builds():
        model = CpuModel(weights, build, 1, 64)
        found[build] = start(CpuDecoder(model)).forward(ids)
        model.close()
    first = found[kernels.best_build()]
    for build, logits in found.items():
        assert numpy.median(abs(logits - first).max(1)) < 0.1 * first.std(), build


@EACH
def test_candidates_are_the_completions_with_the_following_seeds(toy: Path, cache: Path) -> None:
    engine = opened(toy, cache)
    prompt, warm = Prompt("while value or limit:"), Sampling(temperature=2.0, seed=3, max_tokens=12)
    texts = ["", "", ""]
    for number, piece in engine.candidates(prompt, warm, 3):
        texts[number] += piece.text
    alone = [
        "".join(piece.text for piece in engine.complete(prompt, dataclasses.replace(warm, seed=3 + each)))
        for each in range(3)
    ]
    assert texts == alone
    assert len(set(texts)) > 1


def test_a_token_reads_the_experts_that_it_uses(cache: Path) -> None:
    weights = opened(ROOT / "tests" / "toys" / "qwen3moe.gguf", cache).decoder.model.weights
    shape, sizes = weights.shape, {name: part.size for name, part in weights.parts.items()}
    routed = sum(size for name, size in sizes.items() if name.endswith((".gate_up", ".down")))
    others = sum(sizes.values()) - sizes["embedding"] - routed
    assert 0 < shape.used_experts < shape.experts
    assert weights.read_per_token == others + routed * shape.used_experts // shape.experts


@EACH
def test_a_stored_shape_is_read_as_it_was(toy: Path) -> None:
    shape = gguf_shape.read_shape(read_gguf(toy))
    assert read_stored_shape(dataclasses.asdict(shape)) == shape


def test_long_contexts_have_rotations_of_their_own() -> None:
    shape = gguf_shape.read_shape(read_gguf(ROOT / "tests" / "toys" / "phi4.gguf"))
    assert shape.original == 64
    assert shape.used_rotations(64) == shape.rotations
    assert shape.used_rotations(65) == shape.longer != shape.rotations


@pytest.mark.parametrize("frequency", [0.5, "x", None], ids=["another", "no number", "none"])
def test_a_copy_that_is_computed_otherwise_is_made_again(frequency: object, tmp_path: Path) -> None:
    toy = ROOT / "tests" / "toys" / "llama.gguf"
    ids = some_ids(toy, 20, 3)
    expected = teacher_forced(opened(toy, tmp_path), ids, 20)
    table = next(tmp_path.glob("*-native-*/native.json"))
    stored = json.loads(table.read_text("utf-8"))
    stored["shape"]["rotations"][0]["frequencies"][3] = frequency
    table.write_text(json.dumps(stored), "utf-8")
    assert numpy.array_equal(teacher_forced(opened(toy, tmp_path), ids, 20), expected)


def test_a_norm_after_experts_is_refused(cache: Path) -> None:
    weights = opened(ROOT / "tests" / "toys" / "qwen3moe.gguf", cache).decoder.model.weights
    parts = weights.parts | {"0.feed_post_norm": weights.parts["0.feed_norm"]}
    with pytest.raises(ModelError, match="a norm after experts"):
        check_weights(dataclasses.replace(weights, parts=parts))


def test_kernels_built_from_other_sources_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(build: str) -> None:
        raise OSError(f"{build} was built from other sources")

    monkeypatch.setattr(kernels, "load", refuse)
    assert kernels.build_problem() == f"{kernels.usable_builds()[0]} was built from other sources"


def test_a_shape_stored_before_there_were_others_is_read() -> None:
    old = {
        **{"layers": 1, "width": 64, "heads": 1, "kv_heads": 1, "head": 64, "feed": 64, "vocabulary": 64},
        **{"context": 64, "epsilon": 1e-6, "theta": 1e4},
    }
    assert read_stored_shape(old) == CpuShape(**old, rotary=64)
