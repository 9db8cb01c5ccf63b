"""Sampling against transformers' own filters, and the distribution that it draws from."""

import numpy
import pytest
import torch
from numpy.typing import NDArray
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from mtchat.inference.sampler import Sampler, distribution
from mtchat.session.settings import Sampling

SCORES = numpy.array([0.0, 1.0, 2.0, 3.0, -1.0, 0.5], numpy.float32)


def logits(seed: int, words: int = 97) -> NDArray[numpy.float32]:
    drawn = numpy.random.default_rng(seed).normal(size=words).astype(numpy.float32) * 3
    return (drawn * 4).round() / 4 if seed % 2 else drawn  # ties, every second time


def filtered(scores: NDArray[numpy.float32], sampling: Sampling) -> NDArray[numpy.float64]:
    """The probabilities that transformers draws from."""
    rows = TemperatureLogitsWarper(sampling.temperature)(None, torch.from_numpy(scores)[None].double())
    if sampling.top_k:
        rows = TopKLogitsWarper(sampling.top_k)(None, rows)
    if sampling.top_p < 1:
        rows = TopPLogitsWarper(sampling.top_p)(None, rows)
    found: NDArray[numpy.float64] = rows.softmax(-1)[0].numpy()
    return found


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("k", [0, 1, 2, 10, 97, 1000])
@pytest.mark.parametrize("seed", range(6))
def test_what_can_be_drawn_is_what_transformers_would_draw(seed: int, k: int, p: float) -> None:
    sampling = Sampling(0.7, p, k)
    ids, shares = distribution(logits(seed), sampling)
    expected = filtered(logits(seed), sampling)
    ties = seed % 2 == 1 and p < 1  # which of equal tokens stays is nobody's promise
    assert shares.sum() == pytest.approx(1)
    assert (numpy.diff(shares) <= 0).all()
    if ties:
        assert sorted(shares) == pytest.approx(sorted(expected[expected > 0]), abs=1e-6)
    else:
        assert set(ids) == set(numpy.flatnonzero(expected))
        assert shares == pytest.approx(expected[ids], abs=1e-6)


def test_temperature_zero_is_greedy() -> None:
    assert Sampler(Sampling()).sample(logits(4)) == logits(4).argmax()


@pytest.mark.slow
def test_drawn_tokens_follow_the_distribution() -> None:
    """Pearson's chi-squared over 40,000 draws stays under the 99.9 % point for its degrees of freedom."""
    sampler, draws = Sampler(Sampling(temperature=1.5, top_p=1.0, seed=1)), 40_000
    counts = numpy.bincount([sampler.sample(SCORES) for _ in range(draws)], minlength=6)
    expected = filtered(SCORES, Sampling(temperature=1.5, top_p=1.0)) * draws
    assert ((counts - expected) ** 2 / expected).sum() < 20.52


def test_a_seed_draws_the_same_again_and_another_seed_differs() -> None:
    def drawn(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed))
        return [sampler.sample(logits(each)) for each in range(30)]

    assert drawn(3) == drawn(3) != drawn(4)


def test_dropped_tokens_are_never_drawn() -> None:
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.8, seed=2))
    assert {sampler.sample(SCORES) for _ in range(5000)} == {2, 3}
