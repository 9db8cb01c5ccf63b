"""Keeps the tokenizer of a model beside its weights: made once, read again without transformers."""

from collections.abc import Callable
from pathlib import Path

from mtchat.inference import conversions
from mtchat.inference.convert import once
from mtchat.inference.tokens.tokenizer import Tokenizer

FORMAT = 1
PACKAGES = ("tokenizers", "transformers")
Report = Callable[[str, float | None], None]


def kept(
    folder: Path,
    make: Callable[[], Tokenizer],
    fill: Callable[[], object],
    report: Report,
    first: bool = True,
) -> Tokenizer:
    """The tokenizer that is kept in a folder of weights, which `fill` makes where it is not sound.

    Made `first`, one that cannot be made is told before the weights are converted, which takes its time.
    """
    place = folder / f"tokens-{FORMAT}"
    wanted = conversions.recipe(folder, folder.name, "tokens", FORMAT, PACKAGES)
    conversions.clear(place, wanted, lambda _: True, report)
    made = make() if first and not place.is_dir() else None
    fill()
    if place.is_dir():
        try:
            return Tokenizer.load(place)
        except Exception:  # tokenizers raises nothing narrower
            conversions.clear(place, wanted, lambda _: False, report)

    def save(part: Path) -> None:
        (made or make()).save(part)
        conversions.record(part, wanted)

    report("reading the vocabulary, once", None)
    once(place, save, report)
    return Tokenizer.load(place)
