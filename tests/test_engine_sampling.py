"""Sampling against transformers' own filters, and the distribution that it draws from."""

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from mtchat.core.settings import Sampling
from mtchat.engine.sampling import choose, keep_top_k, keep_top_p


def logits(seed: int, rows: int = 3, words: int = 97) -> torch.Tensor:
    drawn = torch.randn(rows, words, generator=torch.Generator().manual_seed(seed)) * 3
    return (drawn * 4).round() / 4 if seed % 2 else drawn  # ties, every second time


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_top_p_keeps_what_transformers_keeps(seed: int, p: float) -> None:
    scores = logits(seed)
    expected = TopPLogitsWarper(p)(None, scores) if p < 1 else scores
    assert torch.equal(keep_top_p(scores, p), expected)


@pytest.mark.parametrize("k", [1, 2, 10, 97, 1000])
@pytest.mark.parametrize("seed", range(6))
def test_top_k_keeps_what_transformers_keeps(seed: int, k: int) -> None:
    scores = logits(seed)
    assert torch.equal(keep_top_k(scores, k), TopKLogitsWarper(k)(None, scores))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("sampling", [Sampling(0.7, 0.9, 0), Sampling(1.3, 1.0, 20), Sampling(0.2, 0.95, 50)])
def test_a_seed_draws_what_the_filters_of_transformers_draw(seed: int, sampling: Sampling) -> None:
    scores = TemperatureLogitsWarper(sampling.temperature)(None, logits(seed))
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p < 1:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    expected = torch.multinomial(scores.softmax(-1), 1, generator=torch.Generator().manual_seed(seed))[:, 0]
    assert torch.equal(choose(logits(seed), sampling, torch.Generator().manual_seed(seed)), expected)


def test_temperature_zero_is_greedy() -> None:
    scores = logits(4)
    assert torch.equal(choose(scores, Sampling(), torch.Generator()), scores.argmax(-1))


def test_drawn_tokens_follow_the_distribution() -> None:
    """Pearson's chi-squared over 40,000 draws stays under the 99.9 % point for its degrees of freedom."""
    scores = torch.tensor([[0.0, 1.0, 2.0, 3.0, -1.0, 0.5]])
    sampling, draws = Sampling(temperature=1.5, top_p=1.0), 40_000
    drawn = choose(scores.expand(draws, -1), sampling, torch.Generator().manual_seed(1))
    counts = torch.bincount(drawn, minlength=6).double()
    expected = (scores[0].double() / 1.5).softmax(-1) * draws
    assert ((counts - expected) ** 2 / expected).sum() < 20.52


def test_dropped_tokens_are_never_drawn() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, 3.0, -1.0, 0.5]]).expand(5000, -1)
    drawn = choose(scores, Sampling(temperature=1.0, top_p=0.8), torch.Generator().manual_seed(2))
    assert set(drawn.tolist()) == {2, 3}
