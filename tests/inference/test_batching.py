"""Many threads on one engine: each gets what it would have got alone, whoever else is served."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from mtchat.errors import MtchatError
from mtchat.inference.batching import Batcher, BatcherClosed, CpuScheduler
from mtchat.inference.cuda.scheduler import GpuScheduler
from mtchat.inference.engine import Engine
from mtchat.inference.hf.padded_scheduler import PaddedScheduler
from mtchat.session.prompt import Prompt
from mtchat.session.settings import Sampling
from tests.support.engine_models import gpu_engine, random_engine

pytestmark = pytest.mark.slow

PROMPTS = [
    "def add(a, b):\n    return a + b\n",
    "def add(a, b):\n    return a\n",
    "def",
    "import numpy as np\nx = np.arange(10)\n",
    "naïve café",
]
SAMPLINGS = [
    Sampling(max_tokens=20),
    Sampling(1.0, 0.9, 0, 3, 25),
    Sampling(0.7, 1.0, 5, 4, 9),
    Sampling(1.3, 0.5, 0, 11, 1),
]
ASKED = [(prompt, sampling) for prompt in PROMPTS for sampling in SAMPLINGS]
SCHEDULERS: dict[str, Callable[[Engine], Batcher]] = {
    "cpu": lambda engine: Batcher(engine, CpuScheduler(engine.decoder, engine.vocabulary, 3)),
    "padded": lambda engine: Batcher(engine, PaddedScheduler(engine, 64, 100_000)),
    "padded, few at once": lambda engine: Batcher(engine, PaddedScheduler(engine, 3, 400)),
    "gpu": lambda _: Batcher(made := gpu_engine("qwen2"), GpuScheduler(made, 64)),
    "gpu, few at once": lambda _: Batcher(made := gpu_engine("qwen2", slots=400), GpuScheduler(made, 3)),
}


@pytest.fixture(params=SCHEDULERS)
def batcher(request: pytest.FixtureRequest) -> Iterator[Batcher]:
    with closing(SCHEDULERS[request.param](random_engine("qwen2"))) as made:
        yield made


def alone(text: str, sampling: Sampling) -> tuple[str, str, int]:
    pieces = list(random_engine("qwen2").complete(Prompt(text), sampling))
    last = pieces[-1].usage
    return "".join(piece.text for piece in pieces), last.finish, last.completion_tokens


def together(batcher: Batcher, text: str, sampling: Sampling) -> tuple[str, str, int]:
    pieces = list(batcher.complete(Prompt(text), sampling))
    last = pieces[-1].usage
    return "".join(piece.text for piece in pieces), last.finish, last.completion_tokens


def test_each_thread_gets_what_it_would_get_alone(batcher: Batcher) -> None:
    with ThreadPoolExecutor(len(ASKED)) as pool:
        found = list(pool.map(lambda asked: together(batcher, *asked), ASKED))
    assert found == [alone(*asked) for asked in ASKED]
    assert len({text for text, _, _ in found}) > len(ASKED) / 2


def test_candidates_are_the_replies_of_their_seeds(batcher: Batcher) -> None:
    warm = Sampling(1.0, 0.9, 0, 3, 25)
    texts = [""] * 5
    for number, piece in batcher.candidates(Prompt(PROMPTS[0]), warm, 5):
        texts[number] += piece.text
    assert texts == [alone(PROMPTS[0], Sampling(1.0, 0.9, 0, 3 + number, 25))[0] for number in range(5)]


def test_the_likelihood_of_a_reply_is_the_models_own(batcher: Batcher) -> None:
    prompt, sampling = Prompt(PROMPTS[0]), Sampling(1.3, 0.9, 0, 2, 12)
    *_, piece = batcher.complete(prompt, sampling)
    *_, expected = random_engine("qwen2").complete(prompt, sampling)
    assert piece.usage.logprob == pytest.approx(expected.usage.logprob, abs=1e-3)
    assert piece.usage.min_logprob == pytest.approx(expected.usage.min_logprob, abs=1e-3)
    assert piece.usage.logprob < piece.usage.min_logprob < 0


def test_who_stops_listening_does_not_hold_up_the_others(batcher: Batcher) -> None:
    for _ in range(3):
        stream = batcher.complete(Prompt(PROMPTS[1]), SAMPLINGS[0])
        next(stream)
        stream.close()
    assert together(batcher, *ASKED[0]) == alone(*ASKED[0])


def test_a_prompt_that_is_refused_is_refused_to_the_one_who_asked(batcher: Batcher) -> None:
    with pytest.raises(MtchatError, match="empty"):
        next(batcher.complete(Prompt(""), SAMPLINGS[0]))
    assert together(batcher, *ASKED[0]) == alone(*ASKED[0])


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_closing_tells_whoever_still_waits(scheduler: str) -> None:
    batcher = SCHEDULERS[scheduler](random_engine("qwen2"))
    heard: list[BaseException] = []
    begun = threading.Event()

    def wait() -> None:
        try:
            for sampling in [Sampling(max_tokens=100, temperature=2.0, top_p=1.0)] * 1000:
                for _ in batcher.complete(Prompt(PROMPTS[0]), sampling):
                    begun.set()
        except BatcherClosed as error:
            heard.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    batcher.close()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(heard) == 4


def test_a_failure_of_the_model_reaches_every_thread(
    batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(batcher.scheduler, "step", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            list(batcher.complete(Prompt(PROMPTS[0]), SAMPLINGS[0]))


def test_the_tokens_of_a_prompt_are_counted_as_they_are_read(batcher: Batcher) -> None:
    for text in PROMPTS:
        *_, last = batcher.complete(Prompt(text), Sampling(max_tokens=1))
        assert batcher.count(Prompt(text)) == last.usage.prompt_tokens
