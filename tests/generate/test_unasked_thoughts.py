"""A model that thinks although nobody asked it to: its thought never becomes code or an answer."""

from collections.abc import Iterator

import pytest

from mtchat.features.explain.answers import read_answer, stream_answer
from mtchat.generate.prompt.families import codegen, instruct
from mtchat.session.prompt import Piece, Prompt
from mtchat.session.settings import Sampling

THOUGHTS = (
    "<think>\nThe user wants x.\nx should be 6, or\nx = 7\n</think>\n\n",
    "<think>\nfor n in range(3):\n    print(n)\n</think>\n",
    "The user wants x. It may be 6.\n</think>\n\n",
    "[THINK]Six.[/THINK]",
    "<|channel|>analysis<|message|>We need x.<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|channel>thought\nx = 1\n<channel|>",
)


@pytest.mark.parametrize("thought", THOUGHTS)
@pytest.mark.parametrize("code", ["```python\nx = 6\n```", "x = 6\n```"])
def test_the_code_after_a_thought_is_taken(thought: str, code: str) -> None:
    assert instruct.chunk(thought + code, "") == "x = 6"
    assert instruct.cut(thought + code).code.strip() == "x = 6"


@pytest.mark.parametrize("thought", THOUGHTS[:2])
def test_a_thought_is_no_code_while_it_is_written(thought: str) -> None:
    for end in range(len("<think>"), thought.index("</think>")):
        assert instruct.chunk(thought[:end], "") == ""


@pytest.mark.parametrize("thought", THOUGHTS[:2])
def test_base_models_may_think_too(thought: str) -> None:
    assert codegen.chunk(f"{thought}x = 6\n\n\n", "") == "x = 6"
    assert codegen.cut(thought[:40]).code == ""
    assert not codegen.cut(thought).finished


def test_an_answer_has_no_thought() -> None:
    said = "<think>\nThe user asks about x. It was set in turn 1.\n</think>\nIt holds the number six now."

    def complete(prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        return (Piece(said[start : start + 5]) for start in range(0, len(said), 5))

    assert read_answer(complete, Prompt()).strip() == "It holds the number six now."
    assert "".join(stream_answer(complete, Prompt(), 3)).strip() == "It holds the number six now."
