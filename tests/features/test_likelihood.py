"""What a text is, by scores: the probabilities, and what the model is given to score."""

from collections.abc import Sequence

import pytest

from evals.fit_likelihood import ScoredText, by_program, judge
from mtchat.features.understand.likelihood import LABELS, LEADS, ScoreTexts, read_likelihood
from mtchat.inference.engine import Engine
from mtchat.models import loader
from mtchat.session.prompt import Prompt
from mtchat.session.turn import Turn
from tests.support.engine_models import STARTER_SMALL

PATH = (
    Turn("define x and y with sample data", "x = [0, 1, 2]\ny = [1, 3, 7]\n"),
    Turn("fit a line to the data", "import numpy as np\ncoefficients = np.polyfit(x, y, 1)\n"),
    Turn("print the mean of y", "print(sum(y) / len(y))\n"),
)


def likes(favourite: str) -> ScoreTexts:
    """Scores of a model that finds any text likelier in a line with these words."""
    return lambda prompt, texts, leads: tuple(
        -30.0 + 12.0 * (favourite in lead) for lead in (texts and leads)
    )


def likeliest(shares: Sequence[float]) -> int:
    return max(range(len(shares)), key=lambda at: shares[at])


@pytest.mark.parametrize("label", [label for label in LABELS if label != "change"])
def test_the_reading_after_which_a_text_is_likeliest_wins(label: str) -> None:
    found = read_likelihood(PATH, "so and so", likes(LEADS[label]))
    assert found is not None
    assert max(found.labels, key=lambda each: found.labels[each]) == label
    assert sum(found.labels.values()) == pytest.approx(1)
    assert set(found.labels) == set(LABELS)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_text_that_is_likely_as_a_change_of_a_turn_is_one_of_that_turn(number: int) -> None:
    found = read_likelihood(PATH, "so and so", likes(f"change step {number}"))
    assert found is not None
    assert max(found.labels, key=lambda each: found.labels[each]) == "change"
    assert likeliest(found.exchanges) == number - 1
    assert sum(found.exchanges) == pytest.approx(1)


def test_a_model_without_scores_has_no_reading() -> None:
    assert read_likelihood(PATH, "make it quadratic", lambda prompt, texts, leads: None) is None


@pytest.mark.parametrize(("path", "text"), [((), "print x"), (PATH, ""), (PATH, " \n\t ")])
def test_nothing_typed_and_no_program_have_no_reading(path: Sequence[Turn], text: str) -> None:
    assert read_likelihood(path, text, likes("says")) is None


class Recorder:
    """Gives every text the same score, and keeps what it was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.texts: list[str] = []
        self.leads: list[str] = []

    def __call__(self, prompt: Prompt, texts: Sequence[str], leads: Sequence[str]) -> tuple[float, ...]:
        self.prompts.append(prompt.text + prompt.opening)
        self.texts, self.leads = list(texts), list(leads)
        return (-20.0,) * len(texts)


def test_a_long_program_takes_twelve_lines_of_its_last_turns_and_of_those_with_the_same_words() -> None:
    path = [Turn(f"compute part {word}", f"{word} = 1\n") for word in "abcdefghijklmnopqrst"]
    path[4] = Turn("load the weather", "temperatures = [3, 5]\n")
    asked = Recorder()
    found = read_likelihood(path, "the Temperatures are in Fahrenheit", asked)
    assert found is not None
    assert len(asked.leads) == 12
    assert [number for number, share in enumerate(found.exchanges, 1) if share] == [5, 16, 17, 18, 19, 20]
    assert len(found.exchanges) == 20
    assert "Step 5: load the weather" in asked.prompts[0]
    assert "Step 4:" not in asked.prompts[0].rpartition("Program:")[2]


def test_long_texts_and_turns_are_shortened() -> None:
    long = Turn("z" * 9000, "\n".join(f"value_{number} = '{'y' * 500}'" for number in range(90)))
    asked = Recorder()
    found = read_likelihood([long] * 6, "word " * 2000, asked)
    assert found is not None
    assert max(map(len, asked.texts)) < 410
    assert len(asked.prompts[0]) < 7000


def test_a_text_of_several_lines_is_scored_as_one() -> None:
    asked = Recorder()
    read_likelihood(PATH, "no,\n  the other\tone\n", asked)
    assert set(asked.texts) == {" no, the other one\n"}


def test_what_precedes_the_text_is_the_same_for_every_text() -> None:
    first, second = Recorder(), Recorder()
    read_likelihood(PATH, "make it quadratic", first)
    read_likelihood(PATH, "what does polyfit return?", second)
    assert first.prompts == second.prompts
    assert first.leads == second.leads


@pytest.fixture(scope="module")
def engine() -> Engine:
    if not STARTER_SMALL.exists():
        pytest.skip("starter-small is not on this machine")
    return loader.load_model("starter-small")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("the second y was 4, not 3", "change"),
        ("what does polyfit return?", "question"),
        ("was gibt polyfit zurück?", "question"),
        ("coefficients must have 3 values", "check"),
        ("thanks, that looks good", "talk"),
        ("now plot the data and the line", "step"),
    ],
)
def test_a_small_model_tells_what_people_mean(engine: Engine, text: str, label: str) -> None:
    found = read_likelihood(PATH, text, engine.score)
    assert found is not None
    assert max(found.labels, key=lambda each: found.labels[each]) == label


@pytest.mark.slow
def test_the_prompt_of_a_program_of_six_turns_has_at_most_900_tokens(engine: Engine) -> None:
    asked = Recorder()
    read_likelihood(PATH * 2, "make it quadratic", asked)
    assert engine.count(asked.prompts[0]) < 900


def scored(label: str, number: int, turn: int = 0) -> ScoredText:
    """A text that is likelier in the line of its own label than in the others, but for every ninth."""
    raised = LABELS[number % 6] if number % 9 == 0 else label
    lines = [-30.0 + 4 * (key == raised) - number % 3 for key in LEADS]
    changes = [-30.0 + 4 * (raised == "change" and each == turn) - number % 3 for each in (1, 2, 3)]
    return ScoredText("m", f"p{number}", PATH, f"text {number}", label, (turn,), (*lines, *changes))


@pytest.mark.slow
def test_the_fit_finds_labels_and_turns_that_the_scores_tell() -> None:
    texts = [scored(LABELS[number % 5], number, 1 + number % 3) for number in range(180)]
    found = judge(by_program(texts, "m"))
    right = sum(text.label == label for text, label in zip(found.texts, found.labels, strict=True))
    turns = [
        turn in text.turns
        for text, turn in zip(found.texts, found.turns, strict=True)
        if text.label == "change"
    ]
    assert len(found.texts) == 180
    assert right >= 150
    assert sum(turns) >= 0.8 * len(turns)
    assert "180 rows" in found.report("m")
