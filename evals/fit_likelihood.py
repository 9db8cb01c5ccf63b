"""Fits the weights of `mtchat.features.understand.likelihood` on labelled texts, and says how good they are.

    python -m evals.fit_likelihood --scores FILE --data rows.jsonl... [--models starter-small,starter]
    python -m evals.fit_likelihood --scores FILE

A line of the data is a program: `turns` with `instruction` and `code`, and `rows` with `after` (how many
turns there were), `typed`, `label` and, for changes, the numbers of the turns in `turn`. The scores of each
model go to FILE; a run that was stopped goes on there. All weights are judged by cross-validation over
programs, and by fitting on all models but one. The last lines are the constants for the module.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from mtchat.features.understand import likelihood
from mtchat.features.understand.likelihood import LABELS, LEADS
from mtchat.models import loader
from mtchat.session.prompt import Prompt
from mtchat.session.turn import Turn

LETTERS = dict(zip("SCRKQA", LABELS, strict=True))
FOLDS = 8
RIDGE = 3.0
Matrix = NDArray[numpy.float64]


@dataclass(frozen=True)
class ScoredText:
    """A labelled text and its scores by one model, in the order of the lines."""

    model: str
    program: str
    path: tuple[Turn, ...]
    typed: str
    label: str
    turns: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def evidence(self) -> list[float]:
        return likelihood.label_evidence(self.readings, list(self.changes.values()), self.text)

    @property
    def text(self) -> str:
        return likelihood.shorten(self.typed, likelihood.LONGEST_TEXT)

    @property
    def readings(self) -> dict[str, float]:
        return dict(zip(LEADS, self.scores, strict=False))

    @property
    def changes(self) -> dict[int, float]:
        numbers = likelihood.choose_turns(self.path, self.text)
        return dict(zip(numbers, self.scores[len(LEADS) :], strict=True))

    @property
    def turn_evidence(self) -> Matrix:
        neutral = self.readings[likelihood.NEUTRAL]
        return numpy.array(
            [likelihood.turn_evidence(self.path, each, self.changes, neutral) for each in self.changes]
        )

    @property
    def meant(self) -> Matrix:
        """Which of the scored turns a change is about."""
        return numpy.array([float(number in self.turns) for number in self.changes])


def labelled_rows(files: Sequence[Path], rows: int) -> list[dict[str, Any]]:
    """About so many rows, of programs drawn at random but the same in each run."""
    programs = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    random.Random(1).shuffle(programs)
    found: list[dict[str, Any]] = []
    for program in programs:
        if len(found) >= rows:
            break
        found += [
            {
                "program": program["program"],
                "path": [[turn["instruction"], turn["code"]] for turn in program["turns"][: row["after"]]],
                "typed": row["typed"],
                "label": LETTERS[row["label"]],
                "turns": row["turn"] or [],
            }
            for row in sorted(program["rows"], key=lambda row: int(row["after"]))
        ]
    return found


def score_rows(name: str, rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Append the scores of a model, of those rows that the file lacks."""
    known = {(each.model, each.program, each.typed) for each in read_scores(file)}
    engine = loader.load_model(name)
    with file.open("a", encoding="utf-8") as written:
        for row in rows:
            if (name, row["program"], row["typed"]) in known:
                continue
            found: list[float] = []

            def score(prompt: Prompt, texts: Sequence[str], leads: Sequence[str]) -> tuple[float, ...]:
                found.extend(engine.score(prompt, texts, leads))  # noqa: B023
                return tuple(found)  # noqa: B023

            likelihood.read_likelihood([Turn(*each) for each in row["path"]], row["typed"], score)
            print(json.dumps({"model": name, **row, "scores": found}), file=written, flush=True)
    engine.close()


def read_scores(file: Path) -> list[ScoredText]:
    if not file.exists():
        return []
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [
        ScoredText(
            row["model"],
            row["program"],
            tuple(Turn(*each) for each in row["path"]),
            row["typed"],
            row["label"],
            tuple(row["turns"]),
            tuple(row["scores"]),
        )
        for row in rows
    ]


def fit_labels(texts: Sequence[ScoredText]) -> Matrix:
    """The weights (evidence + 1, labels) of a multinomial logistic regression, by gradient descent."""
    evidence = numpy.array([text.evidence for text in texts])
    truth = numpy.eye(len(LABELS))[[LABELS.index(text.label) for text in texts]]
    mean, spread = evidence.mean(0), evidence.std(0) + 1e-9
    inputs = numpy.c_[(evidence - mean) / spread, numpy.ones(len(texts))]
    penalty = numpy.r_[numpy.full(len(mean), RIDGE), 0.0][:, None] / len(texts)

    def slope(weights: Matrix) -> Matrix:
        found: Matrix = inputs.T @ (softmax_rows(inputs @ weights) - truth) / len(texts) + penalty * weights
        return found

    weights = descend(slope, (inputs.shape[1], len(LABELS)))
    plain = weights[:-1] / spread[:, None]
    return numpy.r_[plain, [weights[-1] - mean @ plain]]


def fit_turns(texts: Sequence[ScoredText]) -> Matrix:
    """The weights of a conditional logit over the turns, from texts that are changes of scored turns."""
    cases = [(text.turn_evidence, text.meant / text.meant.sum()) for text in texts if text.meant.any()]

    def slope(weights: Matrix) -> Matrix:
        found: Matrix = sum(
            (given.T @ (softmax_rows(given @ weights) - meant) for given, meant in cases), weights
        )
        return found / len(cases)

    return descend(slope, (cases[0][0].shape[1],))


def softmax_rows(scores: Matrix) -> Matrix:
    powers = numpy.exp(scores - scores.max(-1, keepdims=True))
    found: Matrix = powers / powers.sum(-1, keepdims=True)
    return found


def descend(slope: Callable[[Matrix], Matrix], shape: tuple[int, ...], steps: int = 400) -> Matrix:
    """The minimum of a convex function by its slope: Adam (arXiv:1412.6980) with a rate that falls to 0."""
    weights, first, second = numpy.zeros(shape), numpy.zeros(shape), numpy.zeros(shape)
    for step in range(1, steps + 1):
        now = slope(weights)
        first, second = 0.9 * first + 0.1 * now, 0.99 * second + 0.01 * now**2
        rate = 0.05 * (1 + numpy.cos(numpy.pi * step / steps))
        weights -= rate * (first / (1 - 0.9**step)) / (numpy.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights


@dataclass
class Judgement:
    """How texts were read by weights that were fitted without them."""

    texts: list[ScoredText]
    labels: list[str]
    turns: list[int]

    def share(self, wanted: Callable[[ScoredText], bool], right: Callable[[str, str], bool]) -> float:
        found = [
            right(text.label, label)
            for text, label in zip(self.texts, self.labels, strict=True)
            if wanted(text)
        ]
        return sum(found) / max(len(found), 1)

    def report(self, name: str) -> str:
        right = self.share(lambda text: True, str.__eq__)
        each = ", ".join(
            f"{label} {self.share(lambda text: text.label == label, str.__eq__):.0%}"  # noqa: B023
            for label in LABELS
        )
        taken = self.share(lambda text: text.label == "step", lambda _, label: label == "change")
        changes = [
            turn in text.turns
            for text, turn in zip(self.texts, self.turns, strict=True)
            if text.label == "change"
        ]
        return (
            f"{name}: {len(self.texts)} rows, {right:.1%} right ({each}); "
            f"steps taken for changes {taken:.1%}; "
            f"turn right in {sum(changes) / max(len(changes), 1):.1%} of the changes"
        )


def judge(parts: Iterator[tuple[list[ScoredText], list[ScoredText]]]) -> Judgement:
    """Reads each second part by what is fitted on the first."""
    found = Judgement([], [], [])
    for training, tested in parts:
        labels, turns = fit_labels(training), fit_turns([text for text in training if text.label == "change"])
        for text in tested:
            scores = numpy.array([*text.evidence, 1.0]) @ labels
            found.texts.append(text)
            found.labels.append(LABELS[int(scores.argmax())])
            found.turns.append(list(text.changes)[int((text.turn_evidence @ turns).argmax())])
    return found


def by_program(
    texts: Sequence[ScoredText], tested: str
) -> Iterator[tuple[list[ScoredText], list[ScoredText]]]:
    """Each fold of the programs, as scored by one model, after all others as scored by all models."""
    programs = sorted({text.program for text in texts})
    random.Random(2).shuffle(programs)
    for fold in range(FOLDS):
        held = set(programs[fold::FOLDS])
        yield (
            [text for text in texts if text.program not in held],
            [text for text in texts if text.program in held and text.model == tested],
        )


def by_model(texts: Sequence[ScoredText], tested: str) -> Iterator[tuple[list[ScoredText], list[ScoredText]]]:
    """The same without the tested model among those that the weights are fitted on."""
    for training, held in by_program(texts, tested):
        yield [text for text in training if text.model != tested], held


def constant(name: str, weights: Matrix) -> str:
    rows = [f"    ({', '.join(f'{each:.3f}' for each in row)})," for row in numpy.atleast_2d(weights)]
    return "\n".join([f"{name} = (", *rows, ")"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[])
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--models", default="starter-small,starter")
    parser.add_argument("--rows", type=int, default=400)
    options = parser.parse_args()
    if options.data:
        for name in options.models.split(","):
            score_rows(name, labelled_rows(options.data, options.rows), options.scores)
    texts = read_scores(options.scores)
    models = sorted({text.model for text in texts})
    for name in models:
        print(judge(by_program(texts, name)).report(f"{name}, other programs"))
        if len(models) > 1:
            print(judge(by_model(texts, name)).report(f"{name}, other programs and models"))
    print(constant("LABEL_WEIGHTS", fit_labels(texts).T))
    print(constant("TURN_WEIGHTS", fit_turns([text for text in texts if text.label == "change"])))


if __name__ == "__main__":
    main()
