"""Worked examples: short conversations that show a model what a turn looks like, written for this project.

Each turn has one thing to show: a name that the instruction gives, a name that it leaves open, a function
that is only defined, a value that is changed in place, and a program that prints nothing but what is asked.
"""

from dataclasses import dataclass


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
