"""A linear probe: reads from a model's hidden states what a user means by the last message of a prompt.

Two readings of the same prefill, so that nothing is computed for it twice:

* The hidden state after the last message, at a layer in the middle, gives each label a score (a multinomial
  logistic regression; Alain and Bengio 2016, arXiv:1610.01644).
* The attention that the message pays to each earlier exchange says which one it is about. The weights of all
  heads of all layers are combined linearly.

The weights are fitted by `evals.fit_intent` and lie in `probes/`, a file for each model, by its fingerprint.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy

from mtchat.inference.decoder import Floats
from mtchat.session.prompt import Signals

FOLDER = Path(__file__).parent / "probes"
LABELS = ("step", "change", "rename", "check", "question", "talk")
BEGINS, ENDS, HEADER = "<|im_start|>", "<|im_end|>", 3  # a message: the mark, its role, a newline, its text
NEGLIGIBLE = 0.02  # the probability of a change below which nobody asks which turn it would be about
FLOOR = 1e-4  # of an attention weight, before its logarithm
MessageSpan = tuple[int, int]


@runtime_checkable
class TracingDecoder(Protocol):
    """A decoder that shows what it computes."""

    def trace(self, ids: Sequence[int], start: int) -> "InnerValues":
        """Compute `ids`, those from `start` on even if they are cached, and give their inner values."""
        ...


class InnerValues(Protocol):
    """What a model computed for the last ids of a sequence; `start` is the index of the first of them."""

    start: int

    def state(self, layer: int, index: int) -> Floats:
        """The hidden state (width,) that leaves a layer, counted from 1, for the id with an index."""
        ...

    def attention(self, indices: Sequence[int]) -> Floats:
        """The attention weights (R, L, H, n) of some ids, over the n ids of the sequence."""
        ...


@dataclass(frozen=True)
class IntentProbe:
    """The fitted weights: `weights` (width, labels) and `bias` (labels,) at `layer`; `heads` (4, L * H).

    Some dimensions of a hidden state are always huge, so `center` (width,) is taken off first: folded into
    the bias, it would cost the precision of all others.

    The rows of `heads` belong to: the instruction as the message sees it, the instruction as the end of the
    template sees it, then the same for the code. The temperatures make the scores calibrated probabilities;
    `ask_below` is that of the likeliest reading below which a question is worth its trouble, and
    `ask_change_below` is the same for a change, which is worse to do by mistake.
    """

    layer: int
    weights: Floats
    bias: Floats
    center: Floats
    heads: Floats
    label_temperature: float
    turn_temperature: float
    ask_below: float
    ask_change_below: float

    def read(self, decoder: TracingDecoder, ids: Sequence[int], marks: tuple[int, int]) -> Signals | None:
        """What the last user message of `ids` is; None if `ids` has no such message.

        `ids` ends with the header of the reply. `marks` are the ids that begin and end a message.
        """
        *earlier, message, reply = message_spans(ids, *marks)
        if not earlier or message[0] >= message[1]:
            return None
        values = decoder.trace(ids, message[0])
        end = reply[0] - 1
        state = values.state(self.layer, end) - self.center
        scores = (state @ self.weights + self.bias) / self.label_temperature
        labels = dict(zip(LABELS, map(float, softmax(scores.astype(numpy.float32))), strict=True))
        ranked: tuple[float, ...] = ()
        if labels["change"] + labels["rename"] >= NEGLIGIBLE:
            exchanges = list(zip(earlier[1::2], earlier[2::2], strict=False))  # the first is the system's
            ranked = self.rank(values, message, end, exchanges)
        return Signals(labels, ranked, self.ask_below, self.ask_change_below)

    def rank(
        self,
        values: InnerValues,
        message: MessageSpan,
        end: int,
        exchanges: Sequence[tuple[MessageSpan, MessageSpan]],
    ) -> tuple[float, ...]:
        """How likely the message is about each exchange: its instruction and its code."""
        if len(exchanges) < 2:
            return (1.0,) * len(exchanges)
        features = attention_features(values, message, end, exchanges)
        scores = (features * self.heads).sum((-2, -1)) / self.turn_temperature
        return tuple(map(float, softmax(scores)))


def attention_features(
    values: InnerValues,
    message: MessageSpan,
    end: int,
    exchanges: Sequence[tuple[MessageSpan, MessageSpan]],
) -> Floats:
    """The logarithms (E, 4, L * H) of the attention that each exchange gets, less their mean over exchanges.

    Two parts of an exchange are seen, its instruction and its code, by two viewers: the tokens of the
    message on average, and the end of the template.
    """
    weights = values.attention([*range(*message), end])
    seen = numpy.stack([weights[:-1].mean(0), weights[-1]]).reshape(2, -1, weights.shape[-1])
    features = numpy.stack(
        [
            numpy.log(numpy.concatenate([seen[..., slice(*part)].sum(-1) for part in exchange]) + FLOOR)
            for exchange in exchanges
        ]
    )
    found: Floats = features - features.mean(0)
    return found


def message_spans(ids: Sequence[int], begins: int, ends: int) -> list[MessageSpan]:
    """The text of each message: from behind its header to its end mark, or to the end of `ids`."""
    starts = [at + HEADER for at, id in enumerate(ids) if id == begins]
    stops = [at for at, id in enumerate(ids) if id == ends]
    return list(zip(starts, [*stops, len(ids)], strict=False))


def softmax(scores: Floats) -> Floats:
    powers = numpy.exp(scores - scores.max())
    found: Floats = powers / powers.sum()
    return found


@cache
def load_probe(fingerprint: str) -> IntentProbe | None:
    """The probe for a model with this fingerprint; None if there is none."""
    file = FOLDER / f"{fingerprint[:16]}.npz"
    if not fingerprint or not file.is_file():
        return None
    with numpy.load(file) as parts:
        return IntentProbe(
            layer=int(parts["layer"]),
            weights=parts["weights"].astype(numpy.float32),
            bias=parts["bias"].astype(numpy.float32),
            center=parts["center"].astype(numpy.float32),
            heads=parts["heads"].astype(numpy.float32),
            label_temperature=float(parts["label_temperature"]),
            turn_temperature=float(parts["turn_temperature"]),
            ask_below=float(parts["ask_below"]),
            ask_change_below=float(parts["ask_change_below"]),
        )
