"""The example of CodeGen's README, typed as it is there: a comment or code that the model goes on with."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mtchat.cli.scripted import Script, run_script
from mtchat.console.view import View
from mtchat.generate.alternatives import retry
from mtchat.generate.context import prompt_for
from mtchat.generate.improve import take
from mtchat.generate.prompt.families import codegen
from mtchat.generate.turn import TurnGenerator
from mtchat.inference.engine import Engine
from mtchat.inference.loaders import loader
from mtchat.models.loading import LoadingModel
from mtchat.session.outcome import Outcome
from mtchat.session.prompt import ModelCard, Piece, Prompt, Usage
from mtchat.session.provenance import Rework
from mtchat.session.session import Session
from mtchat.session.settings import Sampling, Settings
from mtchat.session.turn import INTERRUPTED, Turn
from mtchat.store import Log, load
from tests.support.consoles import handed
from tests.support.engine_models import STARTER_SMALL, codegen_tokenizer, random_model
from tests.support.shell import mtchat

COMMENT = "# this function prints hello world"


class Recorder:
    """A decoder that keeps the ids of the prompts that it is given."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.prompts: list[list[int]] = []

    def open(self, ids: Sequence[int]) -> Any:
        self.prompts.append(list(ids))
        return self.decoder.open(ids)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.decoder, name)


@pytest.mark.slow
@pytest.mark.parametrize("typed", [COMMENT, "def hello():"])
def test_what_codegens_readme_prompts_with_reaches_the_model_as_it_was_typed(tmp_path: Path, typed: str):
    tokenizer = codegen_tokenizer()
    model = random_model("codegen", len(tokenizer))
    model.save_pretrained(tmp_path / "codegen-350M-mono")
    tokenizer.save_pretrained(tmp_path / "codegen-350M-mono")
    recorders: list[Recorder] = []

    def opened(report: object) -> Engine:
        folder = tmp_path / "codegen-350M-mono"
        engine = loader.load(folder, "codegen", cache=tmp_path, report=lambda stage, part: None)
        recorders.append(Recorder(engine.decoder))
        return Engine(recorders[0], engine.tokenizer, engine.card)

    box = handed(lambda *_: Outcome(), lambda *_: Outcome(), lambda: "no sandbox in this test")
    with Log.open(tmp_path / "seed.jsonl") as log:
        script = Script([typed], False, False, "", Settings(max_tokens=4))
        run_script(
            script, log, LoadingModel("codegen", opened), box, View(io.StringIO(), live=False, color=False)
        )

    turn = load(tmp_path / "seed.jsonl").path[0]
    assert turn.provenance.family == "codegen"
    assert recorders[0].prompts[0] == tokenizer(f"{typed}\n")["input_ids"]
    assert tokenizer.decode(recorders[0].prompts[0]) == f"{typed}\n"


@pytest.mark.model
def test_the_example_of_codegens_readme_makes_a_function_that_prints_hello_world(tmp_path: Path):
    if not STARTER_SMALL.is_file():
        pytest.skip(f"no starter-small at {STARTER_SMALL}; mtchat models get starter-small fetches it")
    words = ["--model", "starter-small", "--sessions", ".", "--policy", "plain"]
    done = mtchat(tmp_path, *words, "-p", COMMENT, "-p", "# call it", "--run", "--max-tokens", "40")
    assert done.returncode == 0, done.stderr
    assert "hello, world" in done.stdout.lower() or "hello world" in done.stdout.lower()


@pytest.mark.parametrize(
    ("typed", "begins"),
    [
        ("def hello():", True),
        ("  def hello():  ", True),
        ("import math\n\n@cache\ndef area(r: float = 1.0) -> float:  # of a circle", True),
        ('def hello():\n    """Prints hello."""', True),
        ("class Point:", True),
        ("class Point(Base):\n    x: int", True),
        ("async def hello(name):", True),
        ("def hello(): prints hello", False),
        ("class Point with x and y", False),
        ("define hello():", False),
        ("def a():\n    pass\ndef b():", False),
        ("import math", False),
        ("def hello():\ncall it", False),
        ("def hello():\n    pass\n\nprint(1)", False),
        (COMMENT, False),
        (" \n" * 2000, False),
    ],
)
def test_the_head_of_a_function_or_class_is_how_the_code_begins_and_no_comment(typed: str, begins: bool):
    prompt = codegen.render((), typed, "", "")
    assert prompt.begun == (f"{typed.strip()}\n" if begins else "")
    assert prompt.text.endswith(prompt.begun)
    assert (prompt.text == prompt.begun) == begins


def body(prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
    yield Piece("    print('hello')\n", Usage(5, 0, 5))
    yield Piece("\n# more", Usage(5, 0, 8))


def generator(complete: Any = body) -> TurnGenerator:
    return TurnGenerator(codegen, complete, None, ModelCard("base"), "codegen")


def test_code_that_is_begun_belongs_to_its_turn_and_is_told_once_later():
    made = take(generator(), Session(), "def hello():", Sampling())
    assert made.path[0].chunk == "def hello():\n    print('hello')"
    retried = retry(generator(), made, Sampling())
    assert retried.path[0].chunk == made.path[0].chunk
    assert list(generator().verify(retried)) == [None]
    assert codegen.render(retried.path, "call it", "", "").text == f"{made.path[0].chunk}\n\n# call it\n"


def test_code_that_is_begun_and_never_gone_on_with_makes_no_turn():
    def stopped(prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        raise KeyboardInterrupt
        yield

    session = Session().add(Turn("set x", "x = 1"))
    assert take(generator(stopped), session, "def hello():", Sampling()) is session


def test_code_that_was_begun_and_stopped_goes_on_from_what_was_written():
    turn = Turn("def hello():", "def hello():\n    x = 1\n    y =", status=INTERRUPTED)
    session = Session().add(turn)
    again = prompt_for(Rework(of=turn.id), codegen, session.undo(), turn.instruction)
    assert again.begun == "def hello():\n    x = 1\n"
    assert again.text == again.begun
