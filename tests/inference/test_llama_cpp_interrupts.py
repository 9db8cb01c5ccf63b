"""llama.cpp as engine: an interrupt at any place leaves prefixes that give the right logits."""

import importlib.util
import itertools
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pytest

from mtchat.inference.decoder import Logits
from mtchat.inference.llama_cpp.decoder import LlamaDecoder
from mtchat.inference.llama_cpp.model import LlamaModel, LlamaRow, LlamaWeights
from tests import ROOT
from tests.support.engine_models import interrupted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]
STOPPED = 2  # what llama_decode returns for a step that was aborted
PROMPT = list(range(20, 62))
OTHER = [*PROMPT[:35], *range(80, 90)]

weights_of = cache(lambda name: LlamaWeights(ROOT / "tests" / "toys" / f"{name}.gguf"))


def new_decoder(name: str, sequences: int = 4) -> LlamaDecoder:
    return LlamaDecoder(LlamaModel(weights_of(name), 1, 256, sequences))


@pytest.fixture(params=["llama", "lfm2"])
def decoder(request: pytest.FixtureRequest) -> Iterator[LlamaDecoder]:
    made = new_decoder(request.param)
    yield made
    made.model.close()


def read(decoder: LlamaDecoder, ids: Sequence[int]) -> Logits:
    *_, logits = decoder.open(ids).prefill()
    return logits


def near(found: Logits, expected: Logits) -> bool:
    return bool(abs(found - expected).max() < 0.3 * expected.std())


def test_an_interrupt_at_any_line_leaves_right_logits(decoder: LlamaDecoder) -> None:
    expected = read(decoder, OTHER)
    recurrent = decoder.model.weights.recurrent

    def act() -> None:
        sequence = decoder.open(PROMPT)
        list(sequence.prefill())
        sequence.forward([1] if recurrent else [1, 2])
        sequence.commit(1)
        twin = sequence.fork()
        twin.forward([3])
        twin.commit(1)
        if not recurrent:
            decoder.forward_each([sequence, twin], [4, 5])
        read(decoder, [5, 6, *PROMPT])

    for count in itertools.count():
        for prefix in list(decoder.prefixes):
            decoder.drop(prefix)
        finished = not interrupted(count, act)
        for ids in (OTHER, OTHER):
            assert near(read(decoder, ids), expected), count
        if finished:
            break
    assert count > 300


def test_an_interrupt_at_any_line_of_dropping_leaves_right_logits(decoder: LlamaDecoder) -> None:
    longer = [*PROMPT, 7, 8]
    expected = read(decoder, longer)
    for count in itertools.count():
        read(decoder, PROMPT)
        finished = not interrupted(count, lambda: [decoder.drop(each) for each in list(decoder.prefixes)])
        assert near(read(decoder, longer), expected), count
        if finished:
            break
    assert count > 5


def test_an_interrupt_at_any_line_of_going_back_leaves_right_logits() -> None:
    decoder = new_decoder("llama")
    longer = [*PROMPT, 1, 2, 3, 9, 9]
    expected = read(decoder, longer)
    for count in itertools.count():
        for prefix in list(decoder.prefixes):
            decoder.drop(prefix)
        sequence: Any = decoder.open(PROMPT)
        list(sequence.prefill())
        sequence.forward([1, 2, 3])
        sequence.commit(0)
        finished = not interrupted(count, lambda: sequence.forward([4]))  # noqa: B023
        sequence = None
        for _ in range(2):
            assert near(read(decoder, longer), expected), count
        if finished:
            break
    assert count > 30
    decoder.model.close()


def test_a_stop_before_the_step_begins_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    model = new_decoder("llama").model
    statuses: list[int] = []
    decode, held = model.decode, threading.Event()

    def watched(*arguments: Any) -> int:
        statuses.append(decode(*arguments))
        return statuses[-1]

    def press() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        threading.Timer(0.3, held.set).start()

    monkeypatch.setattr(model, "decode", watched)
    model.worker.submit(held.wait)
    threading.Timer(0.2, press).start()
    with pytest.raises(KeyboardInterrupt):
        model.step([LlamaRow(0, 0, PROMPT)])
    assert statuses == [STOPPED]
    model.cut(0, 0)
    model.step([LlamaRow(0, 0, PROMPT)])
    assert statuses == [STOPPED, 0]
    model.close()


@pytest.mark.parametrize("name", ["lfm2"])
def test_a_branch_that_another_thread_expects_meanwhile_is_no_error(name: str) -> None:
    decoder = new_decoder(name)

    class WatchedIds(list[int]):
        def __getitem__(self, at: Any) -> Any:
            decoder.expect_branch(PROMPT[:5])
            return super().__getitem__(at)

    decoder.expect_branch(PROMPT[:9])
    decoder.expect_branch(PROMPT[:7])
    assert decoder.joints(WatchedIds(PROMPT)) == [7, 9, len(PROMPT) - 1]
    decoder.model.close()
