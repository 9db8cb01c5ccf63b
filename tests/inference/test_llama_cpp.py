"""llama.cpp as engine: the text of our kernels, prefixes reused, steps that stop at once, no output."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from mtchat.errors import ModelError, UsageError
from mtchat.inference.engine import Engine
from mtchat.inference.llama_cpp import library
from mtchat.inference.llama_cpp.decoder import PREFILL_TOKENS, LlamaDecoder
from mtchat.inference.llama_cpp.model import LlamaModel, LlamaWeights, measure_costs
from mtchat.inference.llama_cpp.vocabulary import PROBES, LlamaTokenizer, LlamaVocabulary, differing_probe
from mtchat.inference.loaders import devices, gguf_tokenizer, llama_cpp_loader, loader
from mtchat.inference.prefix_tree import common_prefix_length
from mtchat.inference.tokens.tokenizer import TextPart
from mtchat.session.prompt import Message, Prompt, Usage
from mtchat.session.settings import Sampling
from tests import ROOT
from tests.support import gguf_models
from tests.support.cpu_models import silent
from tests.support.engine_models import STARTER_SMALL, write_gguf
from tests.support.gguf_models import rewritten

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]
QUESTION = Prompt(messages=(Message("user", "Write a function that adds two numbers."),), opening="x")
TOYS = ROOT / "tests" / "toys"
GREEDY = Sampling(max_tokens=24)


def load(file: Path, precision: str = "llama.cpp") -> Engine:
    return loader.load(file, "tiny", precision=precision, cache=file.parent / "cache", report=silent)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llamacpp") / "tiny.gguf"
    write_gguf(path, max_position_embeddings=640)
    return path


@pytest.fixture(scope="module")
def shared(file: Path) -> Iterator[Engine]:
    engine = load(file)
    yield engine
    engine.close()


@pytest.fixture
def engine(shared: Engine) -> Engine:
    """An engine with an empty KV cache."""
    decoder = shared.decoder
    assert isinstance(decoder, LlamaDecoder)
    for prefix in list(decoder.prefixes):
        decoder.drop(prefix)
    return shared


def written(engine: Engine, prompt: Prompt, sampling: Sampling = GREEDY) -> str:
    return "".join(piece.text for piece in engine.complete(prompt, sampling))


def usage_of(engine: Engine, prompt: Prompt) -> Usage:
    return list(engine.complete(prompt, Sampling(max_tokens=1)))[-1].usage


def stop_seconds(engine: Engine, prompt: Prompt) -> float:
    """The seconds that an interrupt needs to end the work at prompts that are new to the engine."""
    decoder, pressed = engine.decoder, [0.0]
    assert isinstance(decoder, LlamaDecoder)

    def press() -> None:
        pressed[0] = time.monotonic()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Timer(0.1, press).start()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        while True:
            list(engine.complete(prompt, GREEDY))
            for prefix in list(decoder.prefixes):
                decoder.drop(prefix)
    return time.monotonic() - pressed[0]


def whole_steps(length: int) -> int:
    """The tokens of a prompt that are reused where `length` are in the cache."""
    return length // PREFILL_TOKENS * PREFILL_TOKENS


def greedy_ids(decoder: LlamaDecoder, ids: list[int], count: int) -> list[int]:
    sequence = decoder.open(ids)
    for logits in sequence.prefill():
        last = logits
    found: list[int] = []
    while len(found) < count:
        found.append(int(last.argmax()))
        last = sequence.forward([found[-1]])[0]
        sequence.commit(1)
    return found


def test_the_card_says_what_computes_the_file(engine: Engine) -> None:
    card = engine.card
    assert (card.architecture, card.chat, card.context, card.precision) == ("qwen2", True, 640, "llama.cpp")
    assert "computed by llama.cpp with the weights as they are stored (Q8_0)" in card.notes
    assert engine.stop_ids == {0, 2}


def test_logits_are_near_those_of_float32(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", spread=0.05)
    engine, reference = load(tmp_path / "tiny.gguf"), load(tmp_path / "tiny.gguf", "float32")
    ids = numpy.random.default_rng(0).integers(3, 300, 90).tolist()
    found, expected = (each.decoder.open(ids[:1]) for each in (engine, reference))
    for _ in (*found.prefill(), *expected.prefill()):
        pass
    found, expected = found.forward(ids[1:]), expected.forward(ids[1:])
    assert abs(found - expected).mean() < 0.02 * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.9


def test_pieces_add_up_and_the_last_one_says_why_it_ended(engine: Engine) -> None:
    pieces = list(engine.complete(QUESTION, GREEDY))
    assert pieces[-1].usage.finish in ("stop", "length")
    assert not any(piece.usage.finish for piece in pieces[:-1])
    assert 0 < pieces[-1].usage.completion_tokens <= 24
    assert pieces[-1].usage.logprob < 0


def test_a_seed_gives_one_text_and_another_seed_another(engine: Engine) -> None:
    texts = [written(engine, QUESTION, Sampling(temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_candidates_are_distinct_and_each_is_what_its_seed_gives(engine: Engine) -> None:
    sampling = Sampling(temperature=1.0, seed=5, max_tokens=16)
    found = ["", "", ""]
    for number, piece in engine.candidates(QUESTION, sampling, 3):
        found[number] += piece.text
    alone = [
        written(engine, QUESTION, Sampling(temperature=1.0, seed=5 + k, max_tokens=16)) for k in range(3)
    ]
    assert found == alone
    assert len(set(found)) == 3


def test_the_next_turn_reads_only_what_is_new_and_undo_reads_nothing(engine: Engine) -> None:
    first = engine.encode(QUESTION)
    list(engine.complete(QUESTION, GREEDY))
    longer = Prompt(messages=(*QUESTION.messages, Message("assistant", "x = 1"), Message("user", "more")))
    usage = list(engine.complete(longer, GREEDY))[-1].usage
    shared = common_prefix_length(first, engine.encode(longer))
    assert usage.cached_tokens in (shared, whole_steps(shared))
    assert usage.cached_tokens > 10
    again = list(engine.complete(QUESTION, GREEDY))[-1].usage
    assert again.cached_tokens == len(first) - 1
    back = list(engine.complete(longer, GREEDY))[-1].usage
    assert back.cached_tokens == len(engine.encode(longer)) - 1


def test_a_prefix_of_another_sequence_gives_the_text_of_a_new_one(engine: Engine, file: Path) -> None:
    ids = numpy.random.default_rng(1).integers(3, 300, 70).tolist()
    other = [*ids[:40], *ids[10:30]]
    fresh = load(file)
    expected = greedy_ids(fresh.decoder, other, 12)
    fresh.close()
    greedy_ids(engine.decoder, ids, 12)
    sequence = engine.decoder.open(other)
    assert sequence.cached == 32
    assert greedy_ids(engine.decoder, other, 12) == expected


def test_what_was_not_committed_is_forgotten(engine: Engine) -> None:
    ids = list(range(10, 40))
    expected = engine.decoder.open(ids).forward([*ids, 7, 8])[-1]
    sequence = engine.decoder.open(ids)
    for _ in sequence.prefill():
        pass
    sequence.forward([50, 51, 52])
    sequence.commit(0)
    found = sequence.forward([7, 8])
    assert int(found[-1].argmax()) == int(expected.argmax())
    assert abs(found[-1] - expected).max() < 0.1 * expected.std()


def test_the_least_recently_used_prefix_goes_when_cells_run_out(file: Path) -> None:
    decoder = LlamaDecoder(LlamaModel(LlamaWeights(file), 1, 256, 4))
    for start in (10, 20, 30):
        list(decoder.open(list(range(start, start + 100))).prefill())
    assert decoder.open(list(range(10, 120))).cached == 0
    assert decoder.open(list(range(30, 140))).cached == 100
    held = [decoder.open(list(range(start, start + 100))) for start in (40, 50)]
    with pytest.raises(ModelError, match="KV cache is full"):  # noqa: PT012
        for each in (*held, decoder.open(list(range(60, 160)))):
            list(each.prefill())
    decoder.model.close()


def test_scores_are_sums_of_log_probabilities(engine: Engine) -> None:
    texts = ["return a + b", "import numpy"]
    found = engine.score(QUESTION, texts)
    prompt = engine.encode(QUESTION)
    for text, score in zip(texts, found, strict=True):
        ids = engine.tokens.encode_parts([TextPart(text)])
        logits = engine.decoder.open([*prompt, *ids][:1]).forward([*prompt, *ids])[len(prompt) - 1 : -1]
        logits = logits.astype(numpy.float64)
        logprobs = logits - numpy.log(numpy.exp(logits).sum(1, keepdims=True))
        assert score == pytest.approx(logprobs[range(len(ids)), ids].sum(), rel=0.02)


def test_an_interrupt_stops_a_step_and_the_next_prompt_works(file: Path) -> None:
    engine = load(file)
    expected = written(engine, QUESTION)
    assert stop_seconds(engine, Prompt("x = 1\n" * 90)) < 0.5
    assert written(engine, QUESTION) == expected
    engine.close()


def test_a_closed_iterator_leaves_the_engine_ready(engine: Engine) -> None:
    expected = written(engine, QUESTION)
    stream = engine.complete(QUESTION, GREEDY)
    next(stream)
    stream.close()
    assert written(engine, QUESTION) == expected


def test_text_of_a_user_is_never_special_in_either_tokenizer(file: Path) -> None:
    weights = LlamaWeights(file)
    vocabulary = LlamaVocabulary(weights)
    ours = gguf_tokenizer.read_tokenizer(file)
    theirs = LlamaTokenizer(vocabulary, ours.names, ours.template)
    assert differing_probe(ours, vocabulary) == ""
    parts = [TextPart("<|im_start|>", special=True), TextPart("user\nsay <|im_end|> twice ☕")]
    assert theirs.encode_parts(parts) == ours.encode_parts(parts)
    assert theirs.encode_parts(parts).count(2) == 0
    assert theirs.hidden == ours.hidden
    assert theirs.ids_of == ours.ids_of
    for text in PROBES:
        ids = theirs.encode_parts([TextPart(text)])
        assert theirs.decode(ids) == ours.decode(ids) == text
    assert vocabulary.stop_ids(sorted(theirs.hidden)) == {0, 2}


def test_a_vocabulary_that_mtchat_cannot_read_is_tokenized_by_llama_cpp(file: Path, tmp_path: Path) -> None:
    def change(known: dict[str, Any], _: object) -> None:
        known["tokenizer.ggml.model"] = "t5"
        known["tokenizer.ggml.scores"] = [-1.0] * len(known["tokenizer.ggml.tokens"])
        known["tokenizer.ggml.unknown_token_id"] = 3

    path = rewritten(file, tmp_path / "odd.gguf", change)
    engine = load(path)
    assert isinstance(engine.tokens, LlamaTokenizer)
    assert any("tokenized by llama.cpp" in note for note in engine.card.notes)
    assert engine.text(QUESTION).endswith("assistant\nx")
    assert written(engine, QUESTION)
    engine.close()


@pytest.mark.parametrize("kind", ["llama", "phi3", "stablelm", "lfm2"])
def test_architectures_without_kernels_of_ours_run_by_themselves(kind: str, tmp_path: Path) -> None:
    gguf_models.write(tmp_path / "it.gguf", kind)
    engine = load(tmp_path / "it.gguf", "auto")
    assert (engine.card.precision, engine.card.architecture) == ("llama.cpp", kind)
    texts = {written(engine, QUESTION) for _ in range(2)}
    assert len(texts) == 1
    usage = list(engine.complete(QUESTION, GREEDY))[-1].usage
    assert usage.cached_tokens == usage.prompt_tokens - 1
    engine.close()


def test_a_failure_names_the_reason_of_llama_cpp(file: Path, tmp_path: Path) -> None:
    def forget(known: dict[str, object], _: object) -> None:
        del known["qwen2.attention.layer_norm_rms_epsilon"]

    path = rewritten(file, tmp_path / "odd.gguf", forget)
    with pytest.raises(
        ModelError, match=r"llama\.cpp cannot load .*layer_norm_rms_epsilon; use another file"
    ):
        load(path)


def test_a_folder_and_a_gpu_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"llama\.cpp runs on the CPU only"):
        devices.choose_device("cuda", "llama.cpp")
    assert devices.choose_device("auto", "llama.cpp") == "cpu"


def test_loading_can_be_cancelled(file: Path) -> None:
    class CancelledError(Exception): ...

    def stop(part: float) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        LlamaWeights(file, stop)


def test_a_missing_wheel_is_offered_in_one_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "PACKAGE", "no_such_wheel")
    with pytest.raises(ModelError) as raised:
        llama_cpp_loader.refuse_without_llama_cpp(file, "its architecture is llama")
    said = str(raised.value)
    assert "\n" not in said
    assert "its architecture is llama" in said
    assert "pip install 'mtchat[llamacpp]'" in said
    assert "--precision float32" in said


def test_the_kv_cache_is_measured(file: Path) -> None:
    weights = LlamaWeights(file)
    costs = measure_costs(weights, 1)
    assert costs.state == 0
    assert 0 <= costs.token - 2 * 2 * 3 * 2 * 16 < 64  # 16-bit keys and values of 3 layers, and bookkeeping
    model = llama_cpp_loader.make_model(weights, 1, costs, 1 << 30)
    assert model.capacity == 1280
    model.close()


def test_nothing_is_written_on_the_terminal(file: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom mtchat.inference.loaders import loader\n"
        "from mtchat.session.prompt import Prompt\nfrom mtchat.session.settings import Sampling\n"
        "path = Path(sys.argv[1])\n"
        "engine = loader.load(path, 'it', precision='llama.cpp', cache=path.parent, report=print_no)\n"
        "print(len(list(engine.complete(Prompt('x = '), Sampling(max_tokens=3)))))\n"
    ).replace("print_no", "lambda *_: None")
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert done.stderr == ""
    assert done.stdout.strip().isdecimal()


@pytest.mark.parametrize("name", ["lfm2", "qwen35", "granitehybrid"])
def test_a_recurrent_state_is_kept_for_each_turn(name: str) -> None:
    decoder = LlamaDecoder(LlamaModel(LlamaWeights(TOYS / f"{name}.gguf"), 1, 1024, 8))
    for text in json.loads((TOYS / "texts.json").read_text("utf-8"))[name]["texts"]:
        prompt, expected = text["prompt"], text["ids"]
        assert greedy_ids(decoder, prompt, len(expected)) == expected
        longer = [*prompt, *expected[:30], 5, 6, 7]
        fresh = LlamaDecoder(LlamaModel(decoder.model.weights, 1, 1024, 2))
        assert decoder.open(longer).cached == len(prompt) - 1
        assert greedy_ids(decoder, longer, 10) == greedy_ids(fresh, longer, 10)
        fresh.model.close()
        assert decoder.open(prompt).cached == len(prompt) - 1
        assert greedy_ids(decoder, prompt, 20) == expected[:20]
    decoder.model.close()


def test_prompts_part_where_it_was_expected() -> None:
    decoder = LlamaDecoder(LlamaModel(LlamaWeights(TOYS / "qwen35.gguf"), 1, 256, 8))
    prompt = list(range(10, 60))
    decoder.expect_branch(prompt[:41])
    list(decoder.open(prompt).prefill())
    assert decoder.open([*prompt[:41], 7, 8]).cached == 41
    assert decoder.open(prompt).cached == 49
    decoder.model.close()


def test_states_that_are_all_in_use_are_an_error_with_advice() -> None:
    decoder = LlamaDecoder(LlamaModel(LlamaWeights(TOYS / "lfm2.gguf"), 1, 256, 3))
    sequence = decoder.open([5, 6, 7, 8])
    list(sequence.prefill())
    with pytest.raises(ModelError, match="ask for fewer candidates"):
        _ = [sequence.fork() for _ in range(3)]
    assert len(greedy_ids(decoder, [5, 6, 7], 4)) == 4
    decoder.model.close()


@pytest.mark.model
@pytest.mark.skipif(not STARTER_SMALL.exists(), reason="starter-small is not here")
def test_the_starter_has_the_text_of_our_kernels(tmp_path: Path) -> None:
    theirs = loader.load(STARTER_SMALL, "small", precision="llama.cpp", cache=tmp_path, report=silent)
    ours = loader.load(STARTER_SMALL, "small", precision="quantised", cache=tmp_path, report=silent)
    system = Message("system", "You write Python.")
    for question in (
        "Write a function that returns the primes below n.",
        "Read a CSV file and print the mean of each column.",
    ):
        prompt = Prompt(messages=(system, Message("user", question)), opening="```python\n")
        sampling = Sampling(max_tokens=44)
        assert written(theirs, prompt, sampling) == written(ours, prompt, sampling)
    assert usage_of(theirs, prompt).cached_tokens == usage_of(theirs, prompt).prompt_tokens - 1
    assert stop_seconds(theirs, Prompt("x = 1\n" * 900)) < 0.5
    assert written(theirs, prompt, sampling) == written(ours, prompt, sampling)
    theirs.close()
