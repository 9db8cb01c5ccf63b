"""What a typed text is, by the likelihood that a model gives to it after each reading: the noisy channel.

For any local model, chat or base: nothing is sampled, and nothing is trained for the model. After a few
written examples and the program so far, the text is scored as the words of a user who "asks a question", who
"wants to change step 2", and so on. A logistic regression on differences to a neutral line makes
probabilities of the scores; it was fitted by `evals.fit_likelihood` on two models together.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence

from mtchat.features.understand.examples import EXAMPLES, INTRODUCTION
from mtchat.session.prompt import Prompt, Signals
from mtchat.session.turn import Turn

ScoreTexts = Callable[[Prompt, Sequence[str], Sequence[str]], tuple[float, ...] | None]

NEUTRAL = "says"
LEADS = {
    "step": "wants as the next step",
    "check": "states what must always hold",
    "question": "asks a question",
    "rename": "wants another name for something",
    "talk": "just talks",
    NEUTRAL: "says",
}
LABELS = ("step", "change", "rename", "check", "question", "talk")
LABEL_WEIGHTS = (
    (4.111, -0.090, -0.296, -1.821, -0.108, -1.402, 0.358, 0.282, 0.052, -0.795),
    (-0.308, 1.484, -0.428, 0.127, -1.364, -0.462, -1.505, 0.900, -0.217, -2.761),
    (-0.863, -0.455, 2.873, 0.041, -1.781, -0.442, 1.156, 0.743, -0.376, -4.019),
    (-0.448, 0.006, -0.419, 2.889, 0.590, -0.889, -1.678, -0.957, 1.201, 4.605),
    (-1.002, 0.149, -0.662, -0.672, 3.500, 0.948, 0.928, -0.033, 0.168, 0.791),
    (-1.490, -1.095, -1.069, -0.564, -0.836, 2.248, 0.742, -0.935, -0.828, 0.736),
)
TURN_WEIGHTS = ((3.316, 0.742, 0.512),)
MOST_TURNS = 6  # that are shown and scored: 12 lines with the other readings
LONGEST_TEXT, LONGEST_INSTRUCTION, LONGEST_NAME = 400, 150, 50  # characters
QUESTION_MARKS = "?？؟"
LONGEST_LINE, MOST_LINES = 72, 6  # of a turn's code
WORD = re.compile(r"\w{3,}|\d+")


def read_likelihood(path: Sequence[Turn], typed: str, score: ScoreTexts) -> Signals | None:
    """The probability of each label, and of each turn if the text is a change; None without scores.

    The scores take one batch of at most 12 lines. What precedes them stays in the KV cache; up to
    `MOST_TURNS` turns it is the same for every text that is typed after them.
    """
    text = shorten(typed, LONGEST_TEXT)
    if not path or not text:
        return None
    numbers = choose_turns(path, text)
    leads = [*(lead(path, key) for key in LEADS), *(lead(path, number) for number in numbers)]
    found = score(program_prompt(path, numbers), [f" {text}\n"] * len(leads), leads)
    if found is None:
        return None
    readings = dict(zip(LEADS, found, strict=False))
    changes = dict(zip(numbers, found[len(LEADS) :], strict=True))
    labels = softmax(weigh(LABEL_WEIGHTS, label_evidence(readings, list(changes.values()), text)))
    turns = [turn_evidence(path, number, changes, readings[NEUTRAL]) for number in numbers]
    share = dict(zip(numbers, softmax([weigh(TURN_WEIGHTS, each)[0] for each in turns]), strict=True))
    return Signals(
        dict(zip(LABELS, labels, strict=True)),
        tuple(share.get(number, 0.0) for number in range(1, len(path) + 1)),
    )


def program_prompt(path: Sequence[Turn], numbers: Sequence[int]) -> Prompt:
    """The examples, then the program: the turns with these numbers."""
    parts = [INTRODUCTION]
    for example in EXAMPLES:
        parts.append(render(example.turns, range(1, len(example.turns) + 1)))
        parts += [f"{lead(example.turns, said.turn or said.key)} {said.text}\n" for said in example.said]
    return Prompt("".join([*parts, render(path, numbers)]))


def render(path: Sequence[Turn], numbers: Sequence[int]) -> str:
    """Some turns of a program, and the opening of what its user says."""
    shown = [
        f"Step {number}: {shorten(path[number - 1].instruction, LONGEST_INSTRUCTION)}\n"
        + "".join(f"    {line}\n" for line in shorten_code(path[number - 1].chunk))
        for number in numbers
    ]
    return f"\nProgram:\n{''.join(shown)}The user:\n"


def lead(path: Sequence[Turn], key: str | int) -> str:
    """How a line begins: by its key, or by the number of the turn that it changes."""
    if isinstance(key, str):
        return f"- {LEADS[key]}:"
    return f"- wants to change step {key} ({shorten(path[key - 1].instruction, LONGEST_NAME)}):"


def shorten(text: str, most: int) -> str:
    """The text on one line, at most so long."""
    line = " ".join(text[: 8 * most].split())
    return line if len(line) <= most else f"{line[: most - 3].rstrip()}..."


def shorten_code(chunk: str) -> list[str]:
    """The lines of a turn's code that are shown."""
    lines = [line for line in chunk.split("\n") if line.strip()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 2], "...", lines[-1]]
    return [line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..." for line in lines]


def choose_turns(path: Sequence[Turn], text: str) -> list[int]:
    """The turns that a change is scored for: of many, the last two, then those that share words with it."""
    words = frozenset(WORD.findall(text.casefold()))

    def worth(number: int) -> tuple[bool, int, int]:
        turn = path[number - 1]
        shared = words.intersection(WORD.findall(f"{turn.instruction}\n{turn.chunk}".casefold()))
        return number > len(path) - 2, len(shared), number

    return sorted(sorted(range(1, len(path) + 1), key=worth)[-MOST_TURNS:])


def softmax(scores: Sequence[float]) -> list[float]:
    most = max(scores)
    powers = [math.exp(score - most) for score in scores]
    return [power / sum(powers) for power in powers]


def label_evidence(readings: Mapping[str, float], changes: Sequence[float], text: str) -> list[float]:
    """How much likelier a text is after each reading than after the neutral line, and its length.

    The divisor keeps long texts, whose tokens tell the same again and again, from being too certain.
    """
    neutral = readings[NEUTRAL]
    change = math.log(sum(math.exp(each - max(changes)) for each in changes) / len(changes)) + max(changes)
    scores = {**readings, "change": change}
    divisor = math.sqrt(max(-neutral, 1.0))
    differences = [(scores[label] - neutral) / divisor for label in LABELS]
    asks = float(any(sign in text for sign in QUESTION_MARKS))
    return [*differences, asks, math.log(max(-neutral, 1.0)), neutral / len(text)]


def turn_evidence(
    path: Sequence[Turn], number: int, changes: Mapping[int, float], neutral: float
) -> list[float]:
    """How much likelier a text is as a change of a turn than of the others, and where the turn is."""
    divisor = math.sqrt(max(-neutral, 1.0))
    mean = sum(changes.values()) / len(changes)
    return [(changes[number] - mean) / divisor, float(number == len(path)), float(number == 1)]


def weigh(weights: Sequence[Sequence[float]], evidence: Sequence[float]) -> list[float]:
    """The scores that some rows of weights give; a row may end with a constant."""
    return [
        sum(weight * each for weight, each in zip(row, [*evidence, 1.0], strict=False)) for row in weights
    ]
