"""Fits the probe of a model that says what a typed text means, and writes it to mtchat/inference/probes/.

    python -m evals.fit_intent --model starter-small --layer 14 --ask-below 0.5

The rows in evals/intent/ are by ten writers who had seen neither the program nor each other's rows: a
conversation so far, what is typed next, what that is, and for a change the turns that it is about.
`held_out.jsonl`, by another, is never fitted: `mtchat bench intent` measures on it (`--flat FILE` writes it
in that form).

The figures printed are cross-validated over programs: no row is judged by a fit that saw its program. Layer
and threshold were chosen by them: a layer at 57 % of the depth reads best in both models tried.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from mtchat.generate.prompt.families import instruct
from mtchat.inference import probe as probes
from mtchat.inference.engine import Engine
from mtchat.models.loader import load_model
from mtchat.session.session import Session
from mtchat.session.turn import COMPLETE, Turn

ROWS = Path(__file__).parent / "intent"
HELD_OUT = "held_out.jsonl"
LETTERS = "SCRKQA"  # in the order of `probes.LABELS`
FOLDS = 4
LABEL_DECAY, TURN_DECAY = 300.0, 80.0
Floats = NDArray[numpy.float32]


@dataclass(frozen=True)
class WrittenRow:
    """A row as it was written: the turns so far, what was typed, its letter, and the turns of a change."""

    program: str
    path: tuple[Turn, ...]
    typed: str
    letter: str
    turns: tuple[int, ...]


@dataclass(frozen=True)
class ReadRow:
    """What a model makes of a row: its hidden state, and the attention features of each turn."""

    row: WrittenRow
    state: Floats
    features: Floats


def read_rows(paths: Sequence[Path]) -> Iterator[WrittenRow]:
    for path in paths:
        for program in map(json.loads, path.read_text("utf-8").splitlines()):
            session = Session("fit")
            for each in program["turns"]:
                code = each["code"].rstrip("\n") + "\n"
                session = session.add(Turn(each["instruction"], code, session.head, COMPLETE))
            for row in program["rows"]:
                turns = tuple(row.get("turn") or ())
                yield WrittenRow(
                    program["program"], session.path[: row["after"]], row["typed"], row["label"], turns
                )


def flatten(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file as `mtchat bench intent` reads them."""
    for program in map(json.loads, path.read_text("utf-8").splitlines()):
        for number, row in enumerate(program["rows"]):
            also = row.get("turn_also_ok") if row["label"] == "C" else row.get("also_ok")
            yield {
                "id": f"{program['program']}-{number}",
                "turns": program["turns"][: row["after"]],
                "typed": row["typed"],
                "label": row["label"],
                "turn": row.get("turn"),
                "turn_also_ok": also or [],
            }


def read_with(model: Engine, rows: Sequence[WrittenRow], layer: int) -> Iterator[ReadRow]:
    """The features of each row, computed as a conversation computes them."""
    marks = tuple(model.tokens.ids_of[name] for name in (probes.BEGINS, probes.ENDS))
    decoder: Any = model.decoder
    for number, row in enumerate(rows):
        prompt = instruct.render(row.path, row.typed, "", "")
        ids = model.encode(replace(prompt, opening=""))
        *earlier, message, reply = probes.message_spans(ids, marks[0], marks[1])
        values = decoder.trace(ids, message[0])
        exchanges = list(zip(earlier[1::2], earlier[2::2], strict=True))
        features = probes.attention_features(values, message, reply[0] - 1, exchanges)
        yield ReadRow(row, values.state(layer, reply[0] - 1), features)
        if number % 100 == 0:
            print(f"{number} of {len(rows)} rows read", flush=True)


def minimise(loss: Callable[[], torch.Tensor], parameters: Sequence[torch.Tensor]) -> None:
    optimiser = torch.optim.LBFGS(parameters, max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]


def fit_labels(states: Floats, labels: NDArray[numpy.int64]) -> tuple[Floats, Floats]:
    """The weights (width, labels) and the bias of a multinomial logistic regression on scaled states."""
    x, y = torch.tensor(states), torch.tensor(labels)
    weights = torch.zeros(states.shape[1], len(LETTERS), requires_grad=True)
    bias = torch.zeros(len(LETTERS), requires_grad=True)

    def loss() -> torch.Tensor:
        error = torch.nn.functional.cross_entropy(x @ weights + bias, y, reduction="sum")
        return error + LABEL_DECAY * (weights * weights).sum()

    minimise(loss, [weights, bias])
    return weights.detach().numpy(), bias.detach().numpy()


def fit_turns(rows: Sequence[ReadRow]) -> Floats:
    """The weights of the attention features by which the turns that a change is about come first."""
    weights = torch.zeros(rows[0].features[0].size, requires_grad=True)
    parts = [torch.tensor(each.features.reshape(len(each.features), -1)) for each in rows]
    targets = [torch.tensor([turn - 1 for turn in each.row.turns]) for each in rows]

    def loss() -> torch.Tensor:
        error = torch.zeros(())
        for part, target in zip(parts, targets, strict=True):
            error = error - torch.log_softmax(part @ weights, 0)[target].logsumexp(0)
        return error + TURN_DECAY * (weights * weights).sum()

    minimise(loss, [weights])
    return weights.detach().numpy()


def best_temperature(losses: Callable[[float], float]) -> float:
    return float(min(numpy.linspace(0.3, 2, 35), key=losses))


def softmax(scores: Floats) -> Floats:
    powers = numpy.exp(scores - scores.max(-1, keepdims=True))
    found: Floats = powers / powers.sum(-1, keepdims=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="starter-small")
    parser.add_argument("--layer", type=int, default=14)
    parser.add_argument("--ask-below", type=float, default=0.5)
    parser.add_argument("--ask-change-below", type=float, default=0.52)
    parser.add_argument("--limit", type=int, help="only the first rows, to try it")
    parser.add_argument("--out", type=Path, help="the file to write (default: the model's own)")
    parser.add_argument("--flat", type=Path, help="only write the held-out rows for mtchat bench intent")
    args = parser.parse_args()
    if args.flat:
        lines = (json.dumps(each, ensure_ascii=False) for each in flatten(ROWS / HELD_OUT))
        args.flat.write_text("\n".join(lines) + "\n", "utf-8")
        return
    model: Any = load_model(args.model)
    written = list(read_rows(sorted(set(ROWS.glob("*.jsonl")) - {ROWS / HELD_OUT})))[: args.limit]
    rows = list(read_with(model, written, args.layer))
    thresholds = (args.ask_below, args.ask_change_below)
    fit(rows, args.layer, thresholds, args.out or probes.FOLDER / f"{model.card.fingerprint[:16]}.npz")


def fit(rows: Sequence[ReadRow], layer: int, thresholds: tuple[float, float], out: Path) -> None:
    states = numpy.stack([each.state for each in rows])
    labels = numpy.array([LETTERS.index(each.row.letter) for each in rows])
    center = states.mean(0)
    scale = numpy.maximum(states.std(0), 0.02 * numpy.abs(center)) + 1e-3
    scaled = ((states - center) / scale).astype(numpy.float32)
    programs = sorted({each.row.program for each in rows})
    folds = numpy.array([programs.index(each.row.program) % FOLDS for each in rows])
    changes = [each for each in rows if each.row.letter == "C" and len(each.row.path) > 1]

    scores = numpy.zeros((len(rows), len(LETTERS)))
    ranked: list[tuple[ReadRow, Floats]] = []
    for fold in range(FOLDS):
        weights, bias = fit_labels(scaled[folds != fold], labels[folds != fold])
        scores[folds == fold] = scaled[folds == fold] @ weights + bias
        held = {name for at, name in enumerate(programs) if at % FOLDS == fold}
        heads = fit_turns([each for each in changes if each.row.program not in held])
        ranked += [
            (each, each.features.reshape(len(each.features), -1) @ heads)
            for each in changes
            if each.row.program in held
        ]
    own = numpy.arange(len(rows))
    label_temperature = best_temperature(lambda t: -float(numpy.log(softmax(scores / t)[own, labels]).mean()))
    turn_temperature = best_temperature(
        lambda t: (
            -float(
                numpy.mean(
                    [
                        numpy.log(sum(softmax(s / t)[turn - 1] for turn in each.row.turns))
                        for each, s in ranked
                    ]
                )
            )
        )
    )
    right = numpy.mean([int(s.argmax()) + 1 in each.row.turns for each, s in ranked])
    print(
        f"cross-validated: labels {100 * (scores.argmax(1) == labels).mean():.1f} % of {len(rows)}, ", end=""
    )
    print(f"turns of changes {100 * right:.1f} % of {len(ranked)}")
    weights, bias = fit_labels(scaled, labels)
    heads = fit_turns(changes)
    numpy.savez(
        out,
        layer=layer,
        weights=(weights / scale[:, None]).astype(numpy.float32),
        bias=bias,
        center=center.astype(numpy.float32),
        heads=heads.reshape(4, -1),
        label_temperature=label_temperature,
        turn_temperature=turn_temperature,
        ask_below=thresholds[0],
        ask_change_below=thresholds[1],
    )
    print(f"written to {out}")


if __name__ == "__main__":
    main()
