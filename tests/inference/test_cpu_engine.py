"""The engine over the kernels: near float32, the same bits however it is computed, nothing computed twice."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy
import pytest

from mtchat.errors import ModelError
from mtchat.inference.cpu import kernels, kv_snapshot
from mtchat.inference.cpu.decoder import CpuDecoder, CpuModel
from mtchat.inference.cpu.weights import read_weights
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.inference.loaders.gguf_reader import read_gguf
from mtchat.inference.loaders.gguf_weights import unsupported_reason
from mtchat.inference.prefix_tree import PrefixTree, ancestors
from mtchat.inference.speculative import DraftModel, NgramDrafter
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.cpu_models import (
    LONG,
    OTHER,
    SHORT,
    SIZES,
    WARM,
    silent,
    start,
    teacher_forced,
    written,
)
from tests.support.engine_models import STARTER_SMALL, interrupted, shuffle, write_gguf
from tests.support.plain_qwen2 import plainly

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels were built for this processor"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("native")
    write_gguf(path / "tiny.gguf", "Q5_0", **SIZES)
    return path


def loaded(folder: Path, precision: str = "auto", capacity: int = 0) -> Engine:
    engine = loader.load(folder / "tiny.gguf", "tiny", precision=precision, cache=folder, report=silent)
    if capacity:
        engine.decoder.tree = PrefixTree(capacity)
    return engine


@pytest.fixture
def engine(folder: Path) -> Engine:
    return loaded(folder)


def test_a_gguf_file_is_computed_as_it_is_quantised(engine: Engine) -> None:
    assert engine.card.precision == "quantised"
    assert engine.card.architecture == "Qwen2ForCausalLM"
    assert engine.card.context == 700
    assert engine.stop_ids == {0, 2}


@pytest.mark.parametrize("matrices", ["Q4_0", "Q5_0", "Q8_0", "F16", "BF16", "F32", "Q4_1", "MXFP4"])
def test_logits_are_near_those_of_float32(matrices: str, tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", matrices, spread=0.05, **SIZES)
    ours, reference = loaded(tmp_path), loaded(tmp_path, "float32")
    ids = numpy.random.default_rng(0).integers(3, 300, 90).tolist()
    found = teacher_forced(ours, ids, 64)[1:]
    expected = reference.decoder.open(ids[:1]).forward(ids[1:])
    assert abs(found - expected).mean() < 0.04 * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.9


def test_logits_are_those_of_a_plain_computation_with_rounded_activations(tmp_path: Path) -> None:
    """Sums in another order now and then round an activation the other way, and all that follows differs: so
    most short sequences agree to 1e-5, and all of them within what such a rounding can do."""
    model = write_gguf(tmp_path / "tiny.gguf", "Q8_0", spread=0.05, **SIZES)
    plain = loaded(tmp_path, "float32").decoder.model.state_dict()
    weights, ours = {name: each.double().numpy() for name, each in plain.items()}, loaded(tmp_path)
    errors = []
    for seed in range(20):
        ids = numpy.random.default_rng(seed).integers(3, 300, 4).tolist()
        expected = plainly(weights, model.config, ids)
        errors.append(abs(teacher_forced(ours, ids, 3) - expected).max() / expected.std())
    assert numpy.median(errors) < 1e-5
    assert max(errors) < 0.15


def test_any_way_to_compute_gives_the_same_bits(folder: Path) -> None:
    ids = numpy.random.default_rng(1).integers(3, 300, 150).tolist()
    expected = teacher_forced(loaded(folder), ids, 64)
    for width in (1, 2, 3, 7, 8, 33):
        assert numpy.array_equal(teacher_forced(loaded(folder), ids, width), expected), width


def test_threads_and_slots_change_no_bit(folder: Path, engine: Engine) -> None:
    ids = numpy.random.default_rng(2).integers(3, 300, 80).tolist()
    expected = teacher_forced(engine, ids, 16)
    weights = read_weights(next(folder.glob("[!.]*-native-*")))
    for threads in (1, 2, 3, 5):
        model = CpuModel(weights, engine.decoder.model.build, threads, 200)
        decoder = CpuDecoder(model)
        shuffle(decoder.tree, threads)
        path = start(decoder)
        assert numpy.array_equal(path.forward(ids[:64]), expected[:64])
        model.close()


@pytest.mark.parametrize("sampling", [Sampling(max_tokens=40), WARM], ids=["greedy", "sampled"])
def test_draft_tokens_change_no_text(folder: Path, sampling: Sampling) -> None:
    plain, by_ngrams, by_model = loaded(folder), loaded(folder), loaded(folder)
    small = loaded(folder).decoder
    plain.drafter, by_ngrams.drafter = None, NgramDrafter
    by_model.drafter = lambda ids: DraftModel(small, ids, min_probability=0.01)
    for text in (LONG, LONG + LONG[:30], OTHER * 3):
        expected = written(plain, text, sampling)[0]
        assert expected
        assert written(by_ngrams, text, sampling)[0] == expected
        assert written(by_model, text, sampling)[0] == expected


def test_wrong_draft_tokens_change_no_text(folder: Path) -> None:
    class Wild(NgramDrafter):
        def propose(self, most: int) -> list[int]:
            return [(7 * len(self.ids) + each) % 300 for each in range(min(most, 5))]

    plain, drafting = loaded(folder), loaded(folder)
    plain.drafter, drafting.drafter = None, Wild
    assert written(drafting, LONG, WARM)[0] == written(plain, LONG, WARM)[0]


def test_draft_tokens_leave_the_distribution_as_it_is(folder: Path) -> None:
    """Pearson's chi-squared of the second token, over 600 seeds, against its exact probabilities."""
    engine = loaded(folder)
    engine.drafter = NgramDrafter
    sampling = Sampling(temperature=0.05, top_p=1.0, max_tokens=1)
    from mtchat.inference.sampler import distribution

    ids = engine.encode(Prompt(LONG))
    *_, logits = engine.decoder.open(ids).prefill()
    found, shares = distribution(logits, sampling)
    texts = [written(engine, LONG, Sampling(0.05, 1.0, 0, seed, 1))[0] for seed in range(600)]
    likely = [
        (engine.vocabulary.decode([id]), share)
        for id, share in zip(found, shares, strict=True)
        if share > 0.02
    ]
    squares = [(texts.count(text) - 600 * share) ** 2 / (600 * share) for text, share in likely]
    assert sum(squares) < 30


@pytest.mark.parametrize("count", [1, 3, 8])
def test_candidates_are_what_their_seeds_give_alone(engine: Engine, folder: Path, count: int) -> None:
    alone = loaded(folder)
    texts, finishes = [""] * count, [""] * count
    for number, piece in engine.candidates(Prompt(LONG), WARM, count):
        texts[number] += piece.text
        finishes[number] = piece.usage.finish
    expected = [
        written(alone, LONG, Sampling(1.0, 0.9, 0, WARM.seed + number, 30)) for number in range(count)
    ]
    assert texts == [text for text, _ in expected]
    assert finishes == [pieces[-1].usage.finish for _, pieces in expected]


def test_a_candidate_that_is_taken_is_not_read_again(engine: Engine) -> None:
    for _ in engine.candidates(Prompt(LONG), WARM, 4):
        pass
    leaves = [node for node in engine.decoder.tree.walk() if not node.children]
    assert len(leaves) > 1
    for leaf in leaves:
        ids = [node.id for node in ancestors(leaf)][-2::-1]
        assert engine.decoder.open([*ids, 5]).cached == len(ids) > len(engine.encode(Prompt(LONG)))


def test_going_back_to_any_branch_reads_nothing_again(engine: Engine) -> None:
    prompts = [LONG, OTHER, LONG + "x = 1\n", LONG + "y = 2\n"]
    expected = [written(engine, text)[0] for text in prompts]
    for text, before in zip(prompts, expected, strict=True):
        again, pieces = written(engine, text)
        assert again == before
        assert pieces[0].usage.cached_tokens == pieces[0].usage.prompt_tokens - 1


def test_a_full_cache_forgets_and_goes_on(folder: Path) -> None:
    engine, fresh = loaded(folder, capacity=90), loaded(folder)
    for turn in range(12):
        text = f"{turn} {LONG}"
        assert written(engine, text)[0] == written(fresh, text)[0]
    assert len(engine.decoder.tree) <= 90


def test_two_completions_at_once_do_not_mix(engine: Engine, folder: Path) -> None:
    alone = [written(loaded(folder), text)[0] for text in (LONG, OTHER)]
    streams = [engine.complete(Prompt(text), Sampling(max_tokens=24)) for text in (LONG, OTHER)]
    texts = ["", ""]
    for pieces in itertools.zip_longest(*streams):
        texts = [text + (piece.text if piece else "") for text, piece in zip(texts, pieces, strict=True)]
    assert texts == alone


def test_an_interrupt_at_any_line_leaves_the_tree_true(engine: Engine) -> None:
    expected = written(engine, OTHER, Sampling(max_tokens=4))[0]
    for count in itertools.count(0, 3):
        engine.decoder.tree = PrefixTree(engine.decoder.model.capacity)
        finished = not interrupted(count, lambda: written(engine, LONG, Sampling(max_tokens=3)))
        taken = [node.slot for node in engine.decoder.tree.walk()]
        assert len(set(taken)) == len(taken)
        assert not set(taken) & set(engine.decoder.tree.free)
        assert written(engine, OTHER, Sampling(max_tokens=4))[0] == expected
        if finished:
            break
    assert count > 100


def test_what_was_seen_last_is_known_after_a_restart(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", "Q5_0", **SIZES)
    first = loaded(tmp_path)
    expected = [written(first, text)[0] for text in (LONG, OTHER)]
    first.close()
    second = loaded(tmp_path)
    for text, before in zip((LONG, OTHER), expected, strict=True):
        again, pieces = written(second, text)
        assert again == before
        assert pieces[0].usage.cached_tokens == pieces[0].usage.prompt_tokens - 1


@pytest.mark.parametrize("damage", ["torn", "empty", "of another build"])
def test_a_memory_that_is_of_no_use_is_passed_over(tmp_path: Path, damage: str) -> None:
    write_gguf(tmp_path / "tiny.gguf", "Q5_0", **SIZES)
    first = loaded(tmp_path)
    expected = written(first, LONG)[0]
    first.decoder.model.build = "other" if damage == "of another build" else first.decoder.model.build
    first.close()
    (file,) = tmp_path.glob("*.seen.npz")
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-3000])
    elif damage == "empty":
        file.write_bytes(b"")
    second = loaded(tmp_path)
    assert len(second.decoder.tree) == 0
    assert written(second, LONG)[0] == expected


def test_only_the_latest_tokens_are_kept_for_a_restart(tmp_path: Path, engine: Engine) -> None:
    for text in (LONG, OTHER):
        written(engine, text)
    latest = engine.encode(Prompt(OTHER))
    kv_snapshot.save(engine.decoder, tmp_path / "seen", most=len(latest))
    decoder = CpuDecoder(engine.decoder.model)
    assert kv_snapshot.restore(decoder, tmp_path / "seen") == len(latest)
    assert decoder.open(latest).cached == len(latest) - 1


def test_what_is_kept_for_a_restart_is_whole_where_replies_took_turns(tmp_path: Path, engine: Engine) -> None:
    """Any number of tokens is kept as the beginnings of sequences, and never a token out of its place."""
    streams = [engine.complete(Prompt(text), SHORT) for text in (LONG, OTHER)]
    for _ in itertools.zip_longest(*streams):
        pass
    known = {tuple(node.id for node in ancestors(each)) for each in engine.decoder.tree.walk()}
    for most in range(1, len(engine.decoder.tree)):
        kv_snapshot.save(engine.decoder, tmp_path / "seen", most=most)
        decoder = CpuDecoder(engine.decoder.model)
        assert kv_snapshot.restore(decoder, tmp_path / "seen") == most
        assert {tuple(node.id for node in ancestors(each)) for each in decoder.tree.walk()} <= known


def test_a_model_that_the_kernels_cannot_compute_says_why(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    assert unsupported_reason(read_gguf(tmp_path / "tiny.gguf")) == "attention heads of width 16"
    with pytest.raises(ModelError, match="attention heads of width 16; leave out --precision"):
        loaded(tmp_path, "quantised")
    found = loaded(tmp_path)
    assert found.card.precision == ("llama.cpp" if importlib.util.find_spec("xllamacpp") else "float32")
    found.close()


def test_loading_and_writing_does_not_import_torch(folder: Path, engine: Engine) -> None:
    import subprocess

    code = f"""
import sys
from pathlib import Path
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from mtchat.inference.loaders.loader import load
engine = load({str(folder / "tiny.gguf")!r}, "tiny", cache=Path({str(folder)!r}), report=lambda *_: None)
print(len(list(engine.complete(Prompt("x"), Sampling(max_tokens=3)))), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
    assert done.stderr == ""


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason=f"starter-small is not at {STARTER_SMALL}")
def test_starter_small_writes_the_same_with_draft_tokens_and_without() -> None:
    cache = STARTER_SMALL.parents[1] / "converted"
    engine = loader.load(STARTER_SMALL, "starter-small", cache=cache, report=silent)
    question = "Define a class for a stack with push and pop, and use it twice."
    prompt = Prompt(messages=(Message("user", question),), opening="```python\n")
    for sampling in (Sampling(max_tokens=60), Sampling(0.8, 0.95, 0, 3, 60)):
        texts = []
        for drafter in (None, NgramDrafter):
            engine.drafter = drafter
            texts.append("".join(piece.text for piece in engine.complete(prompt, sampling)))
        assert texts[0] == texts[1]
        assert "class" in texts[0]
