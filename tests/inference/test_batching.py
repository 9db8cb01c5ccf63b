"""Many threads on one engine: each gets what it would have got alone, whoever else is served."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy
import pytest

from mtchat.errors import MtchatError
from mtchat.inference.batching import Batcher, BatcherClosed, CpuScheduler, Job
from mtchat.inference.cpu import kernels
from mtchat.inference.cuda.scheduler import GpuScheduler
from mtchat.inference.engine import Engine
from mtchat.inference.hf.padded_scheduler import PaddedScheduler
from mtchat.inference.loaders import loader
from mtchat.inference.probe import LABELS, IntentProbe
from mtchat.session.prompt import Message, Prompt
from mtchat.session.settings import Sampling
from tests.support.cpu_models import SIZES, silent
from tests.support.engine_models import gpu_engine, random_engine, write_gguf

pytestmark = pytest.mark.slow

T = TypeVar("T")
CHAT = Prompt(
    messages=tuple(
        Message(role, text)
        for role, text in [
            ("system", "add"),
            ("user", "def add"),
            ("assistant", "def add(a, b):"),
            ("user", "print it"),
            ("assistant", "print(x)"),
            ("user", "import numpy"),
        ]
    )
)
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


def together(batcher: Batcher | Engine, text: str, sampling: Sampling) -> tuple[str, str, int]:
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


def test_a_completion_ends_with_the_text_that_ends_its_thought(
    batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is computed after it: not even by the scheduler, whose pieces are not cut yet."""
    whole = alone(PROMPTS[0], Sampling(max_tokens=60))[0]
    end = whole[8:10]
    monkeypatch.setattr(batcher.engine, "thought_end", lambda prompt: end)
    *pieces, (_, last) = batcher.stream(Prompt(PROMPTS[0]), [Sampling(max_tokens=60)])
    assert end in "".join(piece.text for _, piece in pieces)
    assert last.usage.finish == "stop"
    assert last.usage.completion_tokens <= 32
    assert together(batcher, PROMPTS[0], Sampling(max_tokens=60))[:2] == (whole.partition(end)[0], "stop")


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
        assert batcher.count(batcher.text(Prompt(text))) == last.usage.prompt_tokens


# Between two steps


def crowded(batcher: Batcher, act: Callable[[], T]) -> tuple[list[T], list[tuple[str, str, int]]]:
    """What several threads get while others complete texts, and those texts."""
    with ThreadPoolExecutor(len(ASKED) + 5) as pool:
        texts = [pool.submit(together, batcher, *asked) for asked in ASKED]
        found = [pool.submit(act) for _ in range(5)]
        return [each.result() for each in found], [each.result() for each in texts]


def test_scores_are_those_of_an_engine_alone_and_disturb_no_completion(batcher: Batcher) -> None:
    asked = Prompt(PROMPTS[0]), ["x = 1\n", "print(x)", ""], ["a", "", "b"]
    expected = random_engine("qwen2").score(*asked)
    scores, texts = crowded(batcher, lambda: batcher.score(*asked))
    assert texts == [alone(*asked) for asked in ASKED]
    for each in scores:
        assert each == pytest.approx(expected, rel=1e-3)


def test_a_decoder_without_inner_values_says_nothing_of_a_message(batcher: Batcher) -> None:
    assert batcher.classify(CHAT) is None


def test_a_score_that_is_refused_is_refused_to_the_one_who_asked(batcher: Batcher) -> None:
    with pytest.raises(MtchatError, match="the prompt has"):
        batcher.score(Prompt(PROMPTS[0]), ["x = 1\n" * 100])
    assert together(batcher, *ASKED[0]) == alone(*ASKED[0])


def test_nobody_waits_for_a_score_of_a_closed_batcher(batcher: Batcher) -> None:
    batcher.between_steps(lambda: batcher.inbox.put(None))
    batcher.thread.join()
    with pytest.raises(BatcherClosed):
        batcher.score(Prompt(PROMPTS[0]), ["x = 1"])


def test_who_waits_for_a_job_when_it_closes_is_told() -> None:
    batcher, late = SCHEDULERS["cpu"](random_engine("qwen2")), Job(lambda: 1, Future())

    def close_before_another() -> None:
        batcher.inbox.put(None)
        batcher.inbox.put(late)

    batcher.between_steps(close_before_another)
    with pytest.raises(BatcherClosed):
        late.result.result(timeout=20)


@pytest.mark.skipif(not kernels.usable_builds(), reason="no kernels for this processor")
def test_messages_are_read_between_steps_as_by_an_engine_alone(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", "Q8_0", **SIZES)
    draw = numpy.random.default_rng(0)
    values = draw.standard_normal((SIZES["hidden_size"], len(LABELS)), numpy.float32)
    heads = draw.standard_normal(
        (4, SIZES["num_hidden_layers"] * SIZES["num_attention_heads"]), numpy.float32
    )
    zeros = numpy.zeros(SIZES["hidden_size"], numpy.float32)
    probe = IntentProbe(2, values, zeros[: len(LABELS)], zeros, heads, 9.0, 9.0, 0.5, 0.5)

    def load() -> Engine:
        engine = loader.load(tmp_path / "tiny.gguf", "tiny", cache=tmp_path, report=silent)
        engine.probe = probe
        return engine

    one = load()
    expected = one.classify(CHAT)
    assert expected is not None
    assert len(set(expected.exchanges)) == 2
    written = [together(one, *asked) for asked in ASKED]
    threads: set[int] = set()
    with closing(Batcher(engine := load(), CpuScheduler(engine.decoder, engine.vocabulary, 3))) as batcher:
        trace = engine.decoder.trace
        engine.decoder.trace = lambda ids, start: threads.add(threading.get_ident()) or trace(ids, start)
        found, texts = crowded(batcher, lambda: batcher.classify(CHAT))
        assert threads == {batcher.thread.ident}
    assert found == [expected] * 5
    assert texts == written
