"""Samples the next token: greedily, or by temperature, top-k and top-p with a seeded generator."""

import numpy
from numpy.typing import NDArray

from mtchat.errors import ModelError
from mtchat.inference.decoder import Logits
from mtchat.session.settings import Sampling


class Sampler:
    """Draws one random number per token, so that a seed gives the same text with any number of drafts."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.random = numpy.random.default_rng(sampling.seed)

    def sample(self, logits: Logits) -> int:
        """The next id after logits (V,); temperature 0 is greedy. ModelError if they are not finite."""
        best = int(logits.argmax())  # the index of a NaN, if there is one
        if not numpy.isfinite(logits[best]):
            raise ModelError("the model computed NaN: its weights are damaged; download it again")
        if self.sampling.temperature == 0:
            return best
        ids, shares = distribution(logits, self.sampling)
        return int(ids[numpy.searchsorted(shares.cumsum()[:-1], self.random.random(), side="right")])


def distribution(logits: Logits, sampling: Sampling) -> tuple[NDArray[numpy.int64], NDArray[numpy.float64]]:
    """The ids that can be drawn, most likely first, and their probabilities, which sum to 1."""
    scaled = logits / numpy.float32(sampling.temperature)
    weights = numpy.exp(scaled - scaled.max())
    ids = numpy.flatnonzero(weights >= least_weight(weights, sampling))
    ids = ids[numpy.argsort(-weights[ids], kind="stable")]
    shares = weights[ids].astype(numpy.float64)
    if sampling.top_p < 1:
        # nucleus sampling: Holtzman et al. 2020, arXiv:1904.09751
        whole = shares.sum() if sampling.top_k else weights.sum(dtype=numpy.float64)
        before = shares.cumsum() - shares
        kept = max(int(numpy.searchsorted(before, sampling.top_p * whole, side="left")), 1)
        ids, shares = ids[:kept], shares[:kept]
    return ids, shares / shares.sum()


def least_weight(weights: Logits, sampling: Sampling) -> float:
    """A weight below which no token can be drawn, so that a few are sorted and not the whole vocabulary."""
    if sampling.top_k:  # ties with the last of them stay
        last = len(weights) - min(sampling.top_k, len(weights))
        return float(numpy.partition(weights, last)[last])
    # all lighter tokens hold less than 1 - top_p together
    return float((1 - sampling.top_p) * weights.sum(dtype=numpy.float64) / len(weights))


def logprob(logits: Logits, id: int) -> float:
    """The log-probability of an id after logits (V,), in nats, at temperature 1."""
    best = logits.max()
    return float(logits[id] - best - numpy.log(numpy.exp(logits - best).sum()))
