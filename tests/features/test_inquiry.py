"""Questions are answered with what is certain first: the code, the values of the run, documentation."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

from mtchat.conversation.conversation import Conversation
from mtchat.errors import ModelError, UsageError
from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.inquiry import LONGEST_QUESTION, Answer
from mtchat.session.outcome import Outcome
from mtchat.session.prompt import ModelCard
from mtchat.session.settings import OFF, Settings
from mtchat.session.turn import Turn
from mtchat.testing import FakeModel
from tests import CASES
from tests.support.fake_repl import FakeSandbox
from tests.support.scripts import needs_sandbox

ROWS = [json.loads(line) for line in (CASES / "questions" / "programs.jsonl").read_text("utf-8").splitlines()]
FIT = (
    "import numpy as np\nx = np.array([1.0, 2.0, 3.0])\ny = np.array([2.0, 4.0, 6.0])",
    "coefficients = np.polyfit(x, y, 1)",
)


@pytest.fixture
def talk() -> Iterator[Callable[..., Conversation]]:
    """Conversations with programs that really ran."""
    opened: list[Conversation] = []

    def begin(*codes: str, model: Any = None, **options: Any) -> Conversation:
        chat = Conversation(model or FakeModel({}, default="These are my words."), **options)
        opened.append(chat)
        if codes:
            made = tuple(Turn(f"step {at}", code) for at, code in enumerate(codes, start=1))
            chat.session = chat.run_session(chat.session.extend(made))
        return chat

    yield begin
    for chat in opened:
        chat.close()


def facts(answer: Answer, source: FactSource | None = None) -> str:
    return "\n".join(fact.text for fact in answer.facts if source in (None, fact.source))


@pytest.mark.sandbox
@needs_sandbox
@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_the_facts_of_an_answer_are_these_in_any_language(
    row: dict[str, Any], talk: Callable[..., Conversation]
) -> None:
    chat = talk()
    turns = tuple(Turn(each["instruction"], each["code"]) for each in row["turns"])
    chat.session = before = chat.run_session(chat.session.extend(turns))
    for each in row["questions"]:
        answer = chat.ask(each["text"])
        said = [fact.text for fact in answer.facts if fact.source is not FactSource.DOCUMENTATION]
        assert said == each["facts"], each["text"]
        assert answer.words == "These are my words."
    assert chat.session is before


@pytest.mark.sandbox
@needs_sandbox
def test_the_documentation_of_a_library_says_what_its_function_returns(
    talk: Callable[..., Conversation],
) -> None:
    answer = talk(*FIT).ask("what does polyfit return?")
    documented = facts(answer, FactSource.DOCUMENTATION)
    assert "Least squares polynomial fit" in documented
    assert "returns p: ndarray" in documented
    assert "highest power first" in documented
    assert "in turn 2, `np.polyfit` gave `coefficients`, now an ndarray with 2 items" in facts(answer)


@pytest.mark.sandbox
@needs_sandbox
@pytest.mark.parametrize(
    ("code", "question", "documented"),
    [
        ("items = [3]\nitems.pop(0)", "what does pop do?", "`list.pop"),
        ("from collections import Counter\nc = Counter('ab')", "was ist ein Counter?", "counting hashable"),
        ("print('a b'.split())", "what does `split` return?", "`str.split"),
        ("import textwrap\nlines = textwrap.wrap('a b', 2)", "¿qué hace textwrap.wrap?", "Wrap a"),
    ],
)
def test_methods_and_builtins_are_documented_too(
    code: str, question: str, documented: str, talk: Callable[..., Conversation]
) -> None:
    assert documented in facts(talk(code).ask(question), FactSource.DOCUMENTATION)


@pytest.mark.sandbox
@needs_sandbox
def test_a_module_of_the_user_is_not_imported_to_be_documented(
    tmp_path: Any, talk: Callable[..., Conversation]
) -> None:
    (tmp_path / "helper.py").write_text(
        "print('imported')\n\n\ndef help_me():\n    '''Helps.'''\n    return 1\n"
    )
    chat = talk()
    chat.attach(tmp_path / "helper.py")
    chat.add("import helper\nvalue = helper.help_me()")
    answer = chat.ask("what does help_me return?")
    assert facts(answer, FactSource.DOCUMENTATION) == ""
    assert "turn 1 calls `helper.help_me`" in facts(answer)


@pytest.mark.sandbox
@needs_sandbox
def test_what_the_data_hold_is_found_by_the_words_of_the_question(talk: Callable[..., Conversation]) -> None:
    code = "rows = [('groceries', 200), ('rent', 9), ('groceries', 35)]\ncosts = {'groceries': 235}"
    said = facts(talk(code).ask("what is groceries?"))
    assert "`rows` has the entry ('groceries', 200)" in said
    assert "`costs['groceries']` is 235" in said


@pytest.mark.sandbox
@needs_sandbox
def test_looking_changes_no_value_and_prints_nothing(talk: Callable[..., Conversation]) -> None:
    chat = talk("items = [3, 4]\nimport random\nrandom.seed(1)", "value = 5")
    before = chat.vars()
    chat.ask("what is in items?")
    assert chat.vars() == before
    assert chat.add("print(random.random(), items)").outcome.stdout == "0.13436424411240122 [3, 4]\n"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "   ", "\n", "???", "…"])
def test_an_empty_question_is_said_to_be_one(text: str, talk: Callable[..., Conversation]) -> None:
    with pytest.raises(UsageError, match="the question is empty; ask about the program"):
        talk().ask(text)


@pytest.mark.sandbox
@needs_sandbox
@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "why? " * 2_000,
        "\x00\x1b[31m x \ud800",
        "🙂 x?",
        "x" + "[" * 3000,
        "1" * 5000,
        "`" * 50 + "x",
    ],
)
def test_odd_text_is_answered(text: str, talk: Callable[..., Conversation]) -> None:
    model = FakeModel({}, default="Words.")
    answer = talk("x = 1", model=model).ask(text)
    assert answer.words == "Words."
    asked = model.requests[-1][0].messages[-1].content
    assert len(asked) < LONGEST_QUESTION + 2_000


def test_without_a_program_the_model_answers_alone(talk: Callable[..., Conversation]) -> None:
    answer = talk().ask("what can you do?")
    assert (answer.facts, answer.words, answer.note) == ((), "These are my words.", "")


def test_without_a_sandbox_the_code_and_the_model_answer(talk: Callable[..., Conversation]) -> None:
    chat = talk(sandbox=FakeSandbox(unavailable_reason=lambda: "no sandbox here"), settings=Settings(run=OFF))
    chat.session = chat.session.extend((Turn("define f", "def f(a=2):\n    return a * 3"),))
    answer = chat.ask("what does f return?")
    assert [fact.text for fact in answer.facts] == [
        "turn 1 defines the function `f` with the inputs `a=2`; nothing else uses it",
        "`f`: its only `return` gives `a * 3`",
        "`f()` returns `6` with its default inputs",
    ]
    assert answer.words


def test_a_program_that_did_not_run_is_not_run_for_a_question(talk: Callable[..., Conversation]) -> None:
    ran: list[str] = []

    def run(program: Any, *rest: Any) -> Outcome:
        ran.append(program.source)
        return Outcome()

    chat = talk(sandbox=FakeSandbox(run, run))
    chat.session = chat.session.extend((Turn("define x", "x = 1"),))
    assert "turn 1 sets `x`: `x = 1`" in facts(chat.ask("what is x?"))
    assert not [source for source in ran if "x = 1" in source]


class Broken(FakeModel):
    """A model that fails when it is asked."""

    def complete(self, prompt: Any, sampling: Any) -> Iterator[Any]:
        raise ModelError("the server is gone")
        yield


def test_a_model_that_fails_leaves_the_facts(talk: Callable[..., Conversation]) -> None:
    chat = talk(model=Broken({}), settings=Settings(run=OFF))
    chat.session = chat.session.extend((Turn("define x", "x = 1"),))
    answer = chat.ask("what is x?")
    assert facts(answer) == "turn 1 sets `x`: `x = 1`; nothing uses it"
    assert answer.note == "the model could not answer: the server is gone"


def test_a_model_that_cannot_chat_leaves_the_facts(talk: Callable[..., Conversation]) -> None:
    model = FakeModel({})
    model.card = ModelCard("codegen", chat=False, context=100)
    answer = talk(model=model).ask("what is x?")
    assert answer.words == ""
    assert "only continues code and cannot chat" in answer.note


def test_a_number_alone_is_an_answer(talk: Callable[..., Conversation]) -> None:
    assert talk(model=FakeModel({}, default="10")).ask("how many?").words == "10"


def test_the_parts_come_in_their_order(talk: Callable[..., Conversation]) -> None:
    parts: list[Fact | str] = []
    chat = talk(settings=Settings(run=OFF))
    chat.session = chat.session.extend((Turn("define x", "x = 1"),))
    answer = chat.ask("what is x?", on_part=parts.append)
    assert parts[0] == answer.facts[0]
    assert "".join(part for part in parts if isinstance(part, str)) == answer.words
    assert [field.name for field in fields(Answer)] == ["question", "facts", "words", "note"]
