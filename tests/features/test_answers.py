"""Answers in words: what of a reply is shown, where it ends, and that no code gets into a hint."""

from collections.abc import Iterator

import pytest

from mtchat.features.explain import answers
from mtchat.features.explain.answers import Explanation, stream_answer, strip_code, trim_reply
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Sampling


@pytest.mark.parametrize(
    ("text", "shown", "finished"),
    [
        ("It adds. It shows.", "It adds. It shows.", False),
        ("It adds.\nIt shows.", "It adds.", True),
        ("1. It adds. It", "It adds. It", False),
        ("1.", "", False),
        (" - It adds.", "It adds.", False),
        ("One. Two. Three.", "One. Two.", True),
        ("It adds:\n```python\nx = 1", "It adds:", True),
        ("It adds `x`", "It adds `x", False),
        ("Adds all prices. Adds all pri", "Adds all prices.", False),
        ("Adds all prices. Adds all prices. Adds", "Adds all prices.", True),
    ],
)
def test_an_answer_is_shown_up_to_code_a_second_paragraph_or_a_repetition(
    text: str, shown: str, finished: bool
):
    found = trim_reply(text, 2)
    assert (found.text, found.finished) == (shown, finished)


def test_words_that_go_round_without_an_end_are_ended():
    text = "it counts the words of the text and " * 40
    assert not trim_reply(text[:80], 2).finished
    assert trim_reply(text, 2).finished


def test_what_is_shown_of_a_growing_answer_only_grows():
    text = "Adds `x` to the list. Shows the list. Adds `x` to the list again, and so on."
    shown = ""
    for end in range(len(text)):
        now = trim_reply(text[:end], 9).text
        assert now.startswith(shown) or shown.startswith(now)
        shown = max(shown, now, key=len)
    assert trim_reply(text, 9, whole=True).text == text


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("Think of a list.", "Think of a list."),
        ("Use `sum()` on `prices`.", "Use `sum()` on `prices`."),
        ("Write `total = sum(prices)` now.", "Write … now."),
        ("Try this:\n```python\ntotal = 1\n```\nThen show it.", "Then show it."),
        ("total = sum(prices)\nThen show it.", "Then show it."),
        ("1. **Define** a list.\n2. Add to it.\n3. Print it.", "Define a list. Add to it."),
        ("for n in prices:\n    print(n)", ""),
        ("Loop. Loop. Loop.", "Loop."),
        ("```python\nnever closed", ""),
    ],
)
def test_a_hint_has_no_code_in_it(reply: str, words: str):
    assert strip_code(reply, 2) == words


class Reply:
    """A model that says a reply, and knows what it was asked and whether it was told to stop."""

    def __init__(self, text: str, finish: str = "stop") -> None:
        self.text, self.finish = text, finish
        self.asked: list[tuple[Prompt, Sampling]] = []
        self.said = 0

    def __call__(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        for sign in self.text:
            self.said += 1
            yield Piece(sign)
        yield Piece("", Usage(finish=self.finish))


def test_an_answer_streams_and_the_model_is_stopped_where_it_has_said_enough():
    model = Reply("It adds. It shows. " * 50)
    pieces = list(stream_answer(model, Prompt(text="?"), 2))
    assert "".join(pieces) == "It adds. It shows."
    assert len([piece for piece in pieces if piece]) > 3
    assert model.said < 40
    assert model.asked[0][1] == Sampling(max_tokens=160)


def test_an_answer_that_was_cut_off_says_so():
    assert (
        "".join(stream_answer(Reply("It adds all the", "length"), Prompt(text="?"), 2)) == "It adds all the …"
    )
    assert "".join(stream_answer(Reply("It adds `x`"), Prompt(text="?"), 2)) == "It adds `x`"


@pytest.mark.parametrize(
    ("words", "right"),
    [("It gives 5.", True), ("It gives 5.50.", False), ("It shows all.", False), ("1 line is run.", False)],
)
def test_numbers_and_output_that_are_nowhere_in_the_program_or_its_run_are_made_up(words: str, right: bool):
    assert answers.is_grounded(words, "x = 2 + 3\n5\n") == right


@pytest.mark.parametrize("reply", ["1.", "```python\nx = 1\n```", "54, 59, 49, 68", ""])
def test_an_answer_of_too_few_words_is_none(reply: str):
    assert "".join(stream_answer(Reply(reply), Prompt(text="?"), 1)) == ""


def test_each_line_is_asked_for_after_those_that_were_said_so_that_the_cache_serves_them():
    first = answers.line_prompt("x = 1\nprint(x)", "show one", [], "x = 1")
    second = answers.line_prompt("x = 1\nprint(x)", "show one", [Explanation("x = 1", "sets it")], "print(x)")
    assert second.messages == first.messages
    assert second.opening == "`x = 1`\n- Sets it.\n`print(x)`\n-"
    assert second.opening.startswith(first.opening)
    assert "It was asked to: show one" in first.messages[-1].content


def test_only_the_end_of_a_very_long_program_is_shown_to_the_model():
    program = "".join(f"name_{number} = {number}\n" for number in range(2000))
    shown = answers.fence_program(program)
    assert len(shown) < answers.LONGEST_PROGRAM + 40
    assert "name_1999 = 1999" in shown
    assert shown.startswith("```python\n# …\nname_")


def test_a_further_hint_is_asked_for_with_the_hints_before_it():
    prompt = answers.hint_prompt("add prices", "prices = [1]", ["Think of a loop."])
    assert [each.role for each in prompt.messages] == ["system", "user", "assistant", "user"]
    assert prompt.messages[2].content == "Think of a loop."
    assert "add prices" in prompt.messages[1].content
