"""Worked examples: short conversations that show a model what a turn looks like, written for this project.

Each turn has one thing to show: a name that the instruction gives, a name that it leaves open, a function
that is only defined, a value that is changed in place, and a program that prints nothing but what is asked.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """An instruction and the code that answers it well."""

    instruction: str
    code: str


EXAMPLES: tuple[tuple[Step, ...], ...] = (
    (
        Step('Assign the list "[18, 21, 16, 25]" to a variable named "temps".', "temps = [18, 21, 16, 25]"),
        Step(
            "Write a function to_fahrenheit that converts a temperature from Celsius.",
            "def to_fahrenheit(celsius):\n    return celsius * 9 / 5 + 32",
        ),
        Step(
            'Convert each of them and store as "converted".', "converted = [to_fahrenheit(t) for t in temps]"
        ),
        Step("Find the largest value.", "largest = max(converted)"),
        Step(
            'Check if it is above 75. If so, return "hot", else return "mild".',
            'print("hot" if largest > 75 else "mild")',
        ),
    ),
    (
        Step('Initialize "title" with "the long way home".', 'title = "the long way home"'),
        Step("Capitalize every word.", "title = title.title()"),
        Step(
            "Count the letters of each word and store them as a dictionary word_lengths.",
            "word_lengths = {word: len(word) for word in title.split()}",
        ),
        Step(
            "Remove the words with fewer than 4 letters.",
            "word_lengths = {word: n for word, n in word_lengths.items() if n >= 4}",
        ),
        Step("Print the result.", "print(word_lengths)"),
    ),
    (
        Step(
            'Import numpy and create an array "grid" with the values [[1, 2], [3, 5]].',
            "import numpy as np\n\ngrid = np.array([[1, 2], [3, 5]])",
        ),
        Step("Compute the mean of each row.", "row_means = grid.mean(axis=1)"),
        Step("Subtract it from the rows.", "grid = grid - row_means[:, None]"),
        Step(
            "Print out the largest element and its position.",
            "print(grid.max(), np.unravel_index(grid.argmax(), grid.shape))",
        ),
    ),
)
