"""Two small models that were trained to think, on the CPU kernels: what they do in a whole conversation.

`python -m evals.thinking_toy` makes them. The one with tags prints the wrong prime unless it has thought
to the end; the one with channels was trained for fewer steps, and always prints that.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.conversation.conversation import Conversation
from mtchat.features.rework.rework import complete_turn
from mtchat.generate.complete import complete_candidates
from mtchat.generate.events import Event, ThoughtWritten
from mtchat.generate.prompt.families import instruct
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.session.prompt import ABLE, ALWAYS, Prompt
from mtchat.session.settings import Sampling, Settings
from mtchat.session.turn import INTERRUPTED
from mtchat.store import load
from tests import ROOT
from tests.support.cpu_models import silent

pytestmark = pytest.mark.slow

TOYS = {"thinking": ABLE, "channels": ALWAYS}
PRIMES = {"thinking": "print(17)", "channels": "print(13)"}  # after a whole thought
PRIME = "Print the seventh prime."
SQUARES = "Store the squares of 1 to 5 as squares and print them."
SUM = "Print the sum of squares."


@pytest.fixture(scope="module", params=TOYS)
def toy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = ROOT / "tests" / "toys" / "thinking" / f"{request.param}.gguf"
    engine = loader.load(path, path.stem, cache=tmp_path_factory.mktemp("cache"), report=silent)
    yield engine
    engine.close()


def talk(toy: Engine, think: str, policy: str = "plain", store: Path | None = None) -> Conversation:
    settings = Settings(policy=policy, think=think, corrections=False)
    return Conversation(toy, settings=settings, store=store)


def test_the_toys_say_how_they_think(toy: Engine) -> None:
    assert toy.card.thinks == TOYS[toy.card.name]


@pytest.mark.parametrize("policy", ["plain", "default"])
def test_a_thought_to_its_end_gives_the_right_code(toy: Engine, policy: str) -> None:
    with talk(toy, "96", policy) as chat:
        assert chat.send(SQUARES).code == "squares = [n * n for n in range(1, 6)]\nprint(squares)"
        assert chat.send(SUM).code == "print(sum(squares))"
        turn = chat.send(PRIME).turn
    assert turn.chunk == PRIMES[toy.card.name]
    assert turn.provenance.thought.strip().endswith("So the seventh prime is 17.")
    assert 20 < turn.usage.thought_tokens < 96
    assert turn.usage.finish == "cut"


@pytest.mark.parametrize("policy", ["plain", "default"])
def test_without_a_thought_or_with_one_that_was_cut_it_does_not(toy: Engine, policy: str) -> None:
    with talk(toy, "off", policy) as chat:
        assert chat.send(PRIME).code == "print(13)"
    with talk(toy, "12", policy) as chat:
        turn = chat.send(PRIME).turn
    assert turn.chunk == "print(13)"
    assert turn.usage.thought_tokens == 12
    assert turn.provenance.thought.strip().startswith("The primes are 2")


def test_a_model_that_was_made_to_think_does_so_unless_it_is_told_not_to(toy: Engine) -> None:
    with talk(toy, "auto") as chat:
        turn = chat.send(PRIME).turn
    assert bool(turn.provenance.thought) == (toy.card.thinks == ALWAYS)
    assert turn.chunk == "print(13)"


def test_the_code_is_written_on_the_kv_cache_of_the_thought(toy: Engine) -> None:
    rendered = instruct.render((), PRIME, "", "")
    asked = Prompt(messages=rendered.messages, opening=rendered.opening, think=96)
    thought = list(toy.complete(asked, Sampling()))
    text = "".join(piece.text for piece in thought)
    after = Prompt(messages=asked.messages, opening=asked.opening, think=96, thought=text)
    reply = list(toy.complete(after, Sampling(max_tokens=2)))[-1].usage
    closing = reply.prompt_tokens - thought[-1].usage.prompt_tokens - thought[-1].usage.completion_tokens
    assert reply.prompt_tokens - reply.cached_tokens <= closing + 2
    assert reply.cached_tokens > thought[-1].usage.prompt_tokens + 20


def test_sessions_with_thoughts_replay(toy: Engine, tmp_path: Path) -> None:
    with talk(toy, "96", store=tmp_path / "one.jsonl") as chat:
        for instruction in (SQUARES, SUM, PRIME):
            chat.send(instruction)
    with talk(toy, "off") as other:
        other.session = load(tmp_path / "one.jsonl")
        assert [turn.provenance.thought for turn in other.session.path] == [
            turn.provenance.thought for turn in chat.session.path
        ]
        assert list(other.verify()) == [None, None, None]


def test_an_interrupted_thought_is_kept_and_its_code_can_be_written(toy: Engine) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, ThoughtWritten) and event.tokens == 9:
            raise KeyboardInterrupt

    with talk(toy, "96") as chat:
        chat.on_event = stop
        chat.take(PRIME)
        [turn] = chat.session.path
        assert (turn.status, turn.chunk, turn.usage.thought_tokens) == (INTERRUPTED, "", 9)
        chat.on_event = lambda event: None
        assert list(chat.verify()) == [None]
        done = complete_turn(chat.generator(), chat.session, 1, Sampling())
    assert (done.taken, done.new) == (True, "print(13)")


def test_candidates_are_what_single_turns_with_their_seeds_would_be(toy: Engine) -> None:
    rendered = instruct.render((), PRIME, "", "")
    asked = Prompt(messages=rendered.messages, opening=rendered.opening, think=96)
    warm = Sampling(temperature=1.5, seed=3, max_tokens=40)
    together = complete_candidates(toy.candidates, instruct, asked, warm, 3)
    for number, each in enumerate(together):
        seeded = Sampling(temperature=1.5, seed=3 + number, max_tokens=40)
        [alone] = complete_candidates(toy.candidates, instruct, asked, seeded, 1)
        assert (alone.thought, alone.text) == (each.thought, each.text)
    assert len({each.thought for each in together}) > 1
