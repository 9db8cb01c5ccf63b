"""Models that remember a state which cannot be cut: what is reused, and that it changes nothing."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy
import pytest
import torch

from mtchat.bench.speed.engine import BenchPrompt
from mtchat.bench.speed.our_engine import OurEngine
from mtchat.inference.decoder import Logits
from mtchat.inference.hf import decoders
from mtchat.inference.hf.recurrent import RecurrentDecoder
from mtchat.inference.hf.resumption import Resumption, find_resumption, is_croppable, run_model
from mtchat.inference.hf.uncached import UncachedDecoder
from mtchat.session.prompt import Message, ModelCard, Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import TEMPLATE, interrupted, tiny_tokenizer
from tests.support.recurrent_models import MODELS, ONE_BY_ONE, UNSHARED, recurrent_model

pytestmark = pytest.mark.slow

GENERATOR = numpy.random.default_rng(5)
SYSTEM, FIRST, REPLY, SECOND, OTHER = (
    GENERATOR.integers(3, 300, count).tolist() for count in (20, 9, 7, 11, 8)
)
PROMPT = [*SYSTEM, *FIRST]
NEXT = [*PROMPT, *REPLY, *SECOND]

model_of = cache(recurrent_model)


def new_decoder(name: str, **settings: int) -> RecurrentDecoder:
    model = model_of(name)
    return RecurrentDecoder(model, find_resumption(model), **settings)


@contextmanager
def counted(decoder: Any) -> Iterator[list[int]]:
    """The numbers of tokens that the model reads in its forward passes."""
    found: list[int] = []
    embedding = decoder.model.get_input_embeddings()
    hook = embedding.register_forward_hook(lambda _, inputs, __: found.append(inputs[0].numel()))
    yield found
    hook.remove()


def read(decoder: Any, ids: Sequence[int]) -> tuple[Any, Logits]:
    sequence = decoder.open(ids)
    *_, logits = sequence.prefill()
    return sequence, logits


def write(sequence: Any, ids: Sequence[int]) -> None:
    """Append ids as a completion does."""
    for id in ids:
        sequence.forward([id])
        sequence.commit(1)


@torch.inference_mode()
def whole(model: Any, ids: Sequence[int]) -> Logits:
    """The logits of a text that is read in one pass, without a cache."""
    found: Logits = run_model(model, ids, 0, None, 1)[0].float().numpy()
    return found


def check(name: str, ids: Sequence[int], logits: Logits) -> None:
    expected = whole(model_of(name), ids)
    assert abs(logits - expected).max() < 2e-3 * expected.std()


@pytest.mark.parametrize("name", MODELS)
def test_the_next_turn_undo_retry_and_branches_read_nothing_twice(name: str) -> None:
    decoder = new_decoder(name)
    sequence, logits = read(decoder, PROMPT)
    check(name, PROMPT, logits)
    write(sequence, REPLY)
    del sequence
    turns = [
        (NEXT, len(PROMPT) + len(REPLY)),  # the next turn
        (NEXT, len(NEXT)),  # retry
        ([*NEXT[: -len(SECOND)], *OTHER], len(PROMPT) + len(REPLY)),  # undo, another instruction
        (PROMPT, len(PROMPT)),  # undo twice, retry
        (NEXT, len(NEXT)),  # back to the other branch
        ([*NEXT, *OTHER], len(NEXT)),
    ]
    for ids, reused in turns:
        with counted(decoder) as tokens:
            sequence, logits = read(decoder, ids)
        assert (sequence.cached, sum(tokens)) == (reused, len(ids) - reused)
        check(name, ids, logits)
        write(sequence, OTHER[:3])
        check(name, [*ids, *OTHER[:3], 5], sequence.forward([5])[0])
        del sequence


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_state_is_the_state_of_the_same_chunks(name: str) -> None:
    """What a prompt parts from is cut there at once, so that the next to part there finds the state."""
    decoder = new_decoder(name)
    first, other = [*SYSTEM, *FIRST], [*SYSTEM, *OTHER]
    read(decoder, first)
    parted, logits = read(decoder, other)
    assert parted.cached == 0
    resumed, again = read(decoder, [*SYSTEM, *OTHER[:-1], 9])
    assert resumed.cached == len(SYSTEM)
    fresh = new_decoder(name)
    for _ in fresh.open(SYSTEM).prefill():
        pass
    continued, expected = read(fresh, other)
    assert continued.cached == len(SYSTEM)
    assert numpy.array_equal(logits, expected)
    check(name, [*SYSTEM, *OTHER[:-1], 9], again)


@pytest.mark.parametrize("name", MODELS)
def test_candidates_fork_from_one_reading_and_do_not_mix(name: str) -> None:
    decoder = new_decoder(name)
    sequence, _ = read(decoder, PROMPT)
    with counted(decoder) as tokens:
        forks = [sequence.fork() for _ in range(4)]
        for at in range(3):
            ids = [REPLY[at] + number for number in range(4)]
            logits = decoder.forward_each(forks, ids)
            for fork in forks:
                fork.commit(1)
    assert tokens == [1] * 12
    for number, row in enumerate(logits):
        check(name, [*PROMPT, *(id + number for id in REPLY[:3])], row)


@pytest.mark.parametrize("name", [*MODELS, *ONE_BY_ONE])
def test_ids_that_are_not_committed_leave_no_trace(name: str) -> None:
    decoder = new_decoder(name)
    sequence, _ = read(decoder, PROMPT)
    rows = sequence.forward(REPLY)
    check(name, [*PROMPT, *REPLY], rows[-1])
    sequence.commit(2)
    check(name, [*PROMPT, *REPLY[:2], *OTHER], sequence.forward(OTHER)[-1])
    sequence.commit(0)
    check(name, [*PROMPT, *REPLY[:2], 4], sequence.forward([4])[0])


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupt_in_a_layer_leaves_the_states_before_it(name: str) -> None:
    decoder = new_decoder(name, chunk=8)
    layers = next(each for each in decoder.model.modules() if isinstance(each, torch.nn.ModuleList))

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    pieces = decoder.open(NEXT).prefill()
    for _ in range(3):
        next(pieces)
    hook = layers[1].register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        next(pieces)
    hook.remove()
    sequence, logits = read(decoder, NEXT)
    assert sequence.cached == 24
    check(name, NEXT, logits)


def test_an_interrupt_at_any_line_leaves_right_states() -> None:
    decoder = new_decoder("Lfm2", chunk=16)
    expected = whole(model_of("Lfm2"), [*NEXT[:30], *OTHER])

    def act() -> None:
        sequence, _ = read(decoder, NEXT)
        write(sequence.fork(), OTHER[:2])

    for count in itertools.count():
        finished = not interrupted(count, act)
        logits = read(decoder, [*NEXT[:30], *OTHER])[1]
        assert abs(logits - expected).max() < 2e-3
        if finished:
            break
        decoder.states.root.children = []
    assert count > 100


def test_states_beyond_the_budget_are_evicted_and_the_oldest_first() -> None:
    whole_tree = new_decoder("Qwen3_5Text")
    texts = [[each, *PROMPT] for each in range(10, 18)]
    for ids in texts:
        read(whole_tree, ids)
    whole_tree.retire()
    kept = sum(node.bytes for node in whole_tree.states.nodes())
    decoder = new_decoder("Qwen3_5Text", budget=kept // 2)
    for ids in texts:
        read(decoder, ids)
        assert sum(node.bytes for node in decoder.states.nodes()) <= kept // 2
    assert [decoder.open(ids).cached > 0 for ids in texts] == [False] * 4 + [True] * 4


def test_a_state_larger_than_the_budget_is_not_kept_and_the_text_is_right() -> None:
    decoder = new_decoder("Lfm2", budget=10)
    for ids in (PROMPT, NEXT, PROMPT):
        sequence, logits = read(decoder, ids)
        assert sequence.cached == 0
        check("Lfm2", ids, logits)
        rows = sequence.forward(OTHER)
        sequence.commit(1)
        check("Lfm2", [*ids, *OTHER], rows[-1])
        check("Lfm2", [*ids, OTHER[0], 6], sequence.forward([6])[0])
    assert decoder.states.nodes() == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("names", "way"),
    [(MODELS, Resumption.CHUNKS), (ONE_BY_ONE, Resumption.TOKENS), (UNSHARED, Resumption.NEVER)],
    ids=["chunks", "one by one", "unshared"],
)
def test_how_a_state_can_be_continued_is_found(names: Sequence[str], way: Resumption, dtype: Any) -> None:
    for name in names:
        for spread in (0.2, 0.02):
            model = recurrent_model(name, spread, dtype)
            assert not is_croppable(model)
            assert find_resumption(model) is way, (name, spread)


@pytest.mark.parametrize("name", [*ONE_BY_ONE, *UNSHARED])
def test_a_model_that_continues_badly_gives_the_text_of_a_whole_reading(name: str) -> None:
    engine = decoders.make_engine(model_of(name), tiny_tokenizer(), ModelCard("tiny", name, False, 160))
    assert isinstance(engine.decoder, UncachedDecoder if name in UNSHARED else RecurrentDecoder)
    assert engine.card.notes
    decoder: Any = engine.decoder
    if name in ONE_BY_ONE:
        decoder.chunk = 8
    for ids in (PROMPT, NEXT, [*NEXT[:-1], 7], PROMPT):
        sequence, logits = read(decoder, ids)
        check(name, ids, logits)
        forks = [sequence.fork(), sequence.fork()]
        for row, id in zip(decoder.forward_each(forks, [4, 5]), [4, 5], strict=True):
            check(name, [*ids, id], row)


def texts_of(engine: Any, prompt: str, count: int) -> list[str]:
    texts = [""] * count
    for number, piece in engine.candidates(Prompt(prompt), Sampling(1.0, 0.9, 0, 3, 12), count):
        texts[number] += piece.text
    return texts


@pytest.mark.parametrize("name", ["Lfm3", "Qwen3_5Text", "Mamba2"])
def test_candidates_and_their_seeds_give_the_same_texts(name: str) -> None:
    def new() -> Any:
        return decoders.make_engine(model_of(name), tiny_tokenizer(), ModelCard("tiny", name, False, 160))

    prompt = "def add(a, b):\n    return a + b\n"
    found = texts_of(new(), prompt, 4)
    alone = new()
    expected = []
    for number in range(4):
        pieces = list(alone.complete(Prompt(prompt), Sampling(1.0, 0.9, 0, 3 + number, 12)))
        expected.append("".join(piece.text for piece in pieces))
        if number:
            assert pieces[-1].usage.cached_tokens == pieces[-1].usage.prompt_tokens
    assert found == expected
    assert len(set(found)) > 1


CHAT = (
    Message("system", "add"),
    Message("user", "def add"),
    Message("assistant", "def add(a, b):"),
    Message("user", "import numpy as np\n\nx = np.arange(10)"),
)


def test_another_instruction_reads_only_what_comes_from_the_joint_on() -> None:
    """The first prompt is cut at its joints, before anything has parted from it."""
    engine = decoders.make_engine(model_of("Lfm2"), tiny_tokenizer(), ModelCard("tiny", "Lfm2", True, 160))
    assert isinstance(engine.decoder, RecurrentDecoder)
    engine.decoder.worth = 1
    content = CHAT[-1].content
    prompt = Prompt(messages=CHAT, opening="x", joints=(0, content.index("\n\n")))
    cached = []
    for text in (content, content[:20] + "print(x)", "print(x)"):
        asked = replace(prompt, messages=(*CHAT[:-1], Message("user", text)))
        *_, piece = engine.complete(asked, Sampling(max_tokens=2))
        cached.append(piece.usage.cached_tokens)
    ids = engine.encode(prompt)
    shared = [engine.locate(prompt, ids, joint) for joint in prompt.joints]
    assert cached == [0, shared[1], shared[0]]
    assert 0 < shared[0] < shared[1] < len(ids)
    begun = engine.tokenizer.decode(ids[: shared[0]])
    assert begun.endswith("<|im_start|>user\n")


def test_a_template_that_refuses_an_empty_message_only_loses_the_joint() -> None:
    tokenizer = tiny_tokenizer()
    refusal = "{% if not m.content %}{{ raise_exception('empty') }}{% endif %}"
    tokenizer.chat_template = TEMPLATE.replace("{{ m.content }}", refusal + "{{ m.content }}")
    engine = decoders.make_engine(model_of("Lfm2"), tokenizer, ModelCard("tiny", "Lfm2", True, 160))
    assert isinstance(engine.decoder, RecurrentDecoder)
    prompt = Prompt(messages=CHAT, opening="x", joints=(0, 12))
    ids = engine.encode(prompt)
    assert ids == engine.encode(replace(prompt, joints=()))
    assert engine.decoder.expected.within(ids) == {engine.locate(prompt, ids, 12)}
    *_, piece = engine.complete(prompt, Sampling(max_tokens=2))
    assert piece.usage.completion_tokens


def test_a_branch_that_another_thread_expects_meanwhile_is_no_error() -> None:
    decoder = new_decoder("Lfm2", worth=1)

    class WatchedIds(list[int]):
        def __getitem__(self, at: Any) -> Any:
            decoder.expect_branch(NEXT[:5])
            return super().__getitem__(at)

    for length in (20, 10):
        decoder.expect_branch(NEXT[:length])
    cache = decoder.restore(NEXT, False)
    assert {10, 20} <= decoder.positions(cache, WatchedIds(NEXT))


def test_scored_texts_leave_the_states_of_turns_alone() -> None:
    """Scoring reads many texts that are not read again; only what they begin with is kept."""
    engine = decoders.make_engine(model_of("Lfm2"), tiny_tokenizer(), ModelCard("tiny", "Lfm2", True, 160))
    assert isinstance(engine.decoder, RecurrentDecoder)
    texts = [f"print({number})" for number in range(10)]
    scores = engine.score(Prompt(messages=CHAT), texts)
    with counted(engine.decoder) as tokens:
        assert engine.score(Prompt(messages=CHAT), texts) == pytest.approx(scores, abs=1e-5)
    assert sum(tokens) == sum(len(engine.plain_ids(text)) - 1 for text in texts)
    assert len(engine.decoder.states.nodes()) <= 2


def test_the_speed_of_such_a_model_is_measured() -> None:
    engine = decoders.make_engine(model_of("Lfm2"), tiny_tokenizer(), ModelCard("tiny", "Lfm2", False, 160))
    measured = OurEngine(engine).measured()
    prompt = BenchPrompt(Prompt("def add(a, b):"))
    assert measured.run(prompt, 4, False).prompt_tokens == len(engine.encode(prompt.prompt))
    assert measured.run(prompt, 4, False).prompt_tokens == 0
    assert measured.complete_batch is not None
    assert measured.complete_batch(prompt, 3, 2, 1) > 0
