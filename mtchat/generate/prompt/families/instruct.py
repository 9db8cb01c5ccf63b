"""Chat models: one user message per turn, the chunk as the assistant's fenced block.

Measured on the Multi-Turn Programming Benchmark, this shape passes 68.5 % with Qwen2.5-Coder-1.5B-Instruct
where comments in one growing program pass 50.6 %. The reply is opened for the model with a fence, so that
it starts with code; `cut` and `chunk` extract the code from a reply that has prose all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtchat.generate.prompt import program, reply
from mtchat.generate.prompt.family import PROGRAM, WORKED, Cut
from mtchat.generate.prompt.state import with_state
from mtchat.session.context import is_emptied
from mtchat.session.language import PYTHON, Language
from mtchat.session.prompt import Message, ModelCard, Prompt
from mtchat.session.provenance import Step
from mtchat.session.turn import Turn

SHOWS_STATE = True
SHOWS_PROGRAM = True
SYSTEM = (
    "You are an expert {title} programmer. "
    "You write one {title} program together with the user, step by step. "
    "Reply to each step with only the new code of that step, in one ```{name} block. The code of the earlier "
    "steps {state}: use its variables and functions by the same names, and do not repeat it."
)


def matches(card: ModelCard) -> bool:
    return card.chat


def render(
    path: Sequence[Turn],
    instruction: str,
    preamble: str,
    error: str,
    guidance: Sequence[str] = (),
    language: Language = PYTHON,
) -> Prompt:
    if PROGRAM in guidance and language == PYTHON:
        messages = program.messages(path, preamble, with_error(instruction, error))
        joints = program.joints(messages[-1].content)
        return Prompt(messages=messages, opening=opening(language), joints=joints)
    return request(path, preamble, with_error(instruction, error), guidance, language)


def repair(
    path: Sequence[Turn],
    preamble: str,
    error: str,
    guidance: Sequence[str] = (),
    language: Language = PYTHON,
) -> Prompt:
    wish = (
        f"That code fails:\n\n{error}\n\n"
        "Write the code of this step again, corrected so that it runs. "
        f"The step was: {path[-1].full_instruction}"
    )
    return request(path, preamble, wish, guidance, language)


def revise(
    path: Sequence[Turn],
    preamble: str,
    wish: str,
    guidance: Sequence[str] = (),
    language: Language = PYTHON,
) -> Prompt:
    last = path[-1]
    change = (
        f"Change the code of one step, which is:\n\n{fence(last.chunk, language)}\n\n"
        f"{wish}\n\nWrite all the code of that step again, with this change and no other."
    )
    return request(path, preamble, change, guidance, language)


def cut(text: str, language: Language = PYTHON) -> Cut:
    return reply.cut(text, language)


def chunk(text: str, before: str, language: Language = PYTHON) -> str:
    return reply.chunk(text, before, language)


def request(
    path: Sequence[Turn], preamble: str, wish: str, guidance: Sequence[str], language: Language
) -> Prompt:
    wish = "\n".join([*pending_instructions(path), wish])
    messages = (*history(path, preamble, guidance, language), Message("user", wish))
    return Prompt(messages=messages, opening=opening(language), joints=(0, wish.rfind("\n\n") + 1))


def history(
    path: Sequence[Turn], preamble: str, guidance: Sequence[str] = (), language: Language = PYTHON
) -> tuple[Message, ...]:
    """The conversation so far; worked examples are in Python and precede only Python."""
    examples = WORKED in guidance and language == PYTHON
    messages = [Message("system", system(language))]
    if examples:
        messages += example_messages()
    if preamble.strip():
        messages += [Message("user", "Begin the program."), Message("assistant", fence(preamble, language))]
    elif examples:
        messages += [Message("user", "Begin the program."), Message("assistant", fence("import sys"))]
    open_steps: list[str] = []  # whose code a later turn has
    for turn in path:
        error = turn.provenance.error if isinstance(turn.provenance, Step) else ""
        open_steps.append(with_error(with_state(turn.provenance.state, turn.full_instruction), error))
        if not is_emptied(turn):
            messages += [
                Message("user", "\n".join(open_steps)),
                Message("assistant", fence(turn.chunk, language)),
            ]
            open_steps = []
    return tuple(messages)


def pending_instructions(path: Sequence[Turn]) -> list[str]:
    """The instructions of the last turns without code of their own, which the next reply has with its own."""
    last = next((at for at in range(len(path), 0, -1) if not is_emptied(path[at - 1])), 0)
    return [turn.full_instruction for turn in path[last:]]


def example_messages() -> list[Message]:
    """The worked examples as earlier conversations, each with its own program."""
    messages: list[Message] = []
    for steps in EXAMPLES:
        messages += [Message("user", "Begin the program."), Message("assistant", fence("import sys"))]
        for step in steps:
            messages += [Message("user", step.instruction), Message("assistant", fence(step.code))]
    return messages


def with_error(instruction: str, error: str) -> str:
    return f"The program so far fails:\n\n{error}\n\n{instruction}" if error else instruction


def system(language: Language) -> str:
    state = "has already run" if language.runs else "is there already"
    return SYSTEM.format(title=language.title, name=language.name, state=state)


def opening(language: Language) -> str:
    return f"```{language.name}\n"


def fence(code: str, language: Language = PYTHON) -> str:
    return opening(language) + code.rstrip("\n") + "\n```"


@dataclass(frozen=True)
class ExampleStep:
    """An instruction and the code that answers it well."""

    instruction: str
    code: str


EXAMPLES: tuple[tuple[ExampleStep, ...], ...] = (
    (
        ExampleStep(
            'Assign the list "[18, 21, 16, 25]" to a variable named "temps".', "temps = [18, 21, 16, 25]"
        ),
        ExampleStep(
            "Write a function to_fahrenheit that converts a temperature from Celsius.",
            "def to_fahrenheit(celsius):\n    return celsius * 9 / 5 + 32",
        ),
        ExampleStep(
            'Convert each of them and store as "converted".', "converted = [to_fahrenheit(t) for t in temps]"
        ),
        ExampleStep("Find the largest value.", "largest = max(converted)"),
        ExampleStep(
            'Check if it is above 75. If so, return "hot", else return "mild".',
            'print("hot" if largest > 75 else "mild")',
        ),
    ),
    (
        ExampleStep('Initialize "title" with "the long way home".', 'title = "the long way home"'),
        ExampleStep("Capitalize every word.", "title = title.title()"),
        ExampleStep(
            "Count the letters of each word and store them as a dictionary word_lengths.",
            "word_lengths = {word: len(word) for word in title.split()}",
        ),
        ExampleStep(
            "Remove the words with fewer than 4 letters.",
            "word_lengths = {word: n for word, n in word_lengths.items() if n >= 4}",
        ),
        ExampleStep("Print the result.", "print(word_lengths)"),
    ),
    (
        ExampleStep(
            'Import numpy and create an array "grid" with the values [[1, 2], [3, 5]].',
            "import numpy as np\n\ngrid = np.array([[1, 2], [3, 5]])",
        ),
        ExampleStep("Compute the mean of each row.", "row_means = grid.mean(axis=1)"),
        ExampleStep("Subtract it from the rows.", "grid = grid - row_means[:, None]"),
        ExampleStep(
            "Print out the largest element and its position.",
            "print(grid.max(), np.unravel_index(grid.argmax(), grid.shape))",
        ),
    ),
)
