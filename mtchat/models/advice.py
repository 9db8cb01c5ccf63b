"""Which known models fit this machine, how fast they are on it, what they score, and which to use."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mtchat.bundled_models.cache import ModelStatus
from mtchat.models.facts import KnownModel
from mtchat.models.memory import describe_memory
from mtchat.models.sizes import MemoryNeed, bytes_per_token, half_bytes

SLOWEST = 8.0  # tokens per second: a turn of 80 tokens then takes ten seconds
RESEARCH = "qwen-research"  # a licence that forbids commercial use
JUDGED_BY = "humaneval"  # the published score by which models are compared: every one of them has it


@dataclass(frozen=True)
class MeasuredSpeed:
    """The decoding speed of one installed model on this machine, and when it was measured."""

    model: str
    tokens_per_second: float
    bytes_per_token: int
    date: str
    busy: bool = False  # other work was going on: the machine can do more

    @property
    def bandwidth(self) -> float:
        """Bytes of weights per second."""
        return self.tokens_per_second * self.bytes_per_token


@dataclass(frozen=True)
class ModelOffer:
    """A known model on this machine; `speed` is in tokens per second and None if nothing was measured.

    `half_bytes` is what its weights take on a GPU. It `fits` with a short context at least, and is `roomy`
    where a full one fits.
    """

    facts: KnownModel
    status: ModelStatus
    need: MemoryNeed
    half_bytes: int
    fits: bool
    roomy: bool
    speed: float | None
    estimated: bool
    busy: bool = False  # the speed was measured beside other work

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def fast_enough(self) -> bool:
        return self.speed is None or self.busy or self.speed >= SLOWEST

    @property
    def research_only(self) -> bool:
        return self.status.licence == RESEARCH


@dataclass(frozen=True)
class Recommendation:
    """The model to use, None if none fits, and why in one line."""

    name: str | None
    reason: str


def make_offer(
    facts: KnownModel,
    status: ModelStatus,
    need: MemoryNeed,
    free: float,
    measured: MeasuredSpeed | None,
) -> ModelOffer:
    """What a model is on a machine with `free` bytes; speeds that were not measured follow from one that was.

    Decoding is limited by reading the weights, so tokens per second are inverse to the bytes per token.
    """
    own = measured is not None and measured.model == facts.name
    speed = None
    if measured is not None:
        speed = measured.tokens_per_second if own else measured.bandwidth / bytes_per_token(facts.shape)
    busy = measured is not None and measured.busy
    return ModelOffer(
        *(facts, status, need, half_bytes(facts.shape)),
        fits=need.least <= free,
        roomy=need.total <= free,
        speed=speed,
        estimated=not own,
        busy=busy,
    )


def recommend(offers: Sequence[ModelOffer]) -> Recommendation:
    """The best by published score that fits, is fast enough, and may be used for every purpose."""
    fitting = [each for each in offers if each.fits]
    if not fitting:
        smallest = min(offers, key=lambda each: each.need.least)
        needed = describe_memory(smallest.need.least)
        return Recommendation(None, f"no model fits; {smallest.name} needs {needed} of free memory")
    good = [each for each in fitting if each.fast_enough and not each.research_only]
    if not good:
        quickest = max(fitting, key=lambda each: each.speed or 0.0)
        return Recommendation(
            quickest.name, f"the fastest that fits; none that allows every use writes {SLOWEST:g} tokens/s"
        )
    if all(each.speed is None or each.busy for each in good):
        return recommend_unmeasured(good)
    best = max(good, key=lambda each: each.facts.published[JUDGED_BY])
    better = [each for each in offers if each.facts.published[JUDGED_BY] > best.facts.published[JUDGED_BY]]
    reason = f"the best score of those that fit, write {SLOWEST:g} tokens/s or more and allow every use"
    against = "; ".join(f"{each.name}: {', '.join(objections(each))}" for each in better)
    return Recommendation(best.name, f"{reason} ({against})" if against else reason)


def recommend_unmeasured(good: Sequence[ModelOffer]) -> Recommendation:
    """A starter, because whether a larger model is fast enough is not known."""
    starters = [each for each in good if each.status.starter] or good
    best = max(starters, key=lambda each: each.facts.published[JUDGED_BY])
    when = "this machine is idle" if best.busy else "a starter was used here"
    return Recommendation(best.name, f"fits; how fast larger ones are is known once {when}")


def objections(offer: ModelOffer) -> Iterator[str]:
    """Why a better model is not recommended."""
    if not offer.fits:
        yield f"needs {describe_memory(offer.need.least)}"
    elif not offer.fast_enough and offer.speed is not None:
        yield f"{'about ' if offer.estimated else ''}{offer.speed:.1f} tokens/s"
    if offer.research_only:
        yield "research only"
