"""The table of known models, and the same as a value for JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mtchat.bundled_models import cache
from mtchat.console.text import display_width, pad
from mtchat.console.view import BOLD, View
from mtchat.models.memory import describe_memory

if TYPE_CHECKING:  # they compute with numpy, which the prompt does not wait for
    from mtchat.models.advice import MeasuredSpeed, ModelOffer
    from mtchat.models.survey import Survey

HEADINGS = ("model", "size", "file", "memory", "tokens/s", "HumanEval")
CHOSEN, OTHER = "* ", "  "
NONE = "–"
POLICY = "default"  # whose scores are shown
INSTALLED = "installed"
NAMES = {"mtpb": "MTPB"}  # of benchmarks


def show(survey: "Survey", view: View) -> None:
    """Print what fits this machine, what is recommended, and where the numbers come from."""
    for line in machine_lines(survey):
        view.say(line)
    view.line()
    for number, line in enumerate(table_lines(survey)):
        view.line(line, "" if number else BOLD)
    view.line()
    name = survey.recommendation.name or "none"
    view.say(f"recommended: {name}: {survey.recommendation.reason}", BOLD)
    view.line()
    for line in footnotes(survey):
        view.note(line)


def machine_lines(survey: "Survey") -> Iterator[str]:
    machine = survey.machine
    yield f"this machine: {describe_memory(machine.free_memory)} of memory free, {machine.processor}"
    if machine.gpus:
        sizes = ", ".join(f"{each.half_bytes / 1e9:.1f}" for each in survey.offers)
        yield (
            f"GPU: {', '.join(machine.gpus)}; mtchat uses it unless --device cpu is given. "
            f"The 16-bit weights of these models take {sizes} GB there; memory and speed below are of the CPU"
        )
    yield describe_speed(machine.speed)


def describe_speed(speed: "MeasuredSpeed | None") -> str:
    if speed is None:
        return "speed: not measured; start mtchat once with an installed model, then list the models again"
    busy = ", beside other work (mtchat models --measure measures it again)" if speed.busy else ""
    return (
        f"speed: {speed.tokens_per_second:.1f} tokens/s decoded by {speed.model} on {speed.date}{busy}; "
        "~ is estimated from it"
    )


def table_lines(survey: "Survey") -> Iterator[str]:
    """The table as lines, each column as wide as its widest cell."""
    sets = survey.facts.measured_sets
    rows = [[*HEADINGS, *(NAMES.get(each, each) for each in sets), "state"]]
    rows += [row_of(each, sets) for each in survey.offers]
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    chosen = [False, *(each.name == survey.recommendation.name for each in survey.offers)]
    for row, is_chosen in zip(rows, chosen, strict=True):
        name, *numbers, state = row
        cells = [pad(name, widths[0])]
        cells += [
            " " * (width - display_width(each)) + each
            for each, width in zip(numbers, widths[1:-1], strict=True)
        ]
        yield (CHOSEN if is_chosen else OTHER) + "  ".join([*cells, state])


def row_of(offer: "ModelOffer", sets: Sequence[str]) -> list[str]:
    measured = [offer.facts.measured.get(each, {}).get(POLICY) for each in sets]
    return [
        offer.name,
        offer.facts.parameters,
        f"{offer.status.bytes / 1e9:.1f} GB",
        f"{offer.need.least / 2**30:.1f}–{describe_memory(offer.need.total)}",
        describe_rate(offer),
        f"{offer.facts.published['humaneval']:.1f}",
        *(NONE if each is None else f"{each:.1f}" for each in measured),
        describe_state(offer),
    ]


def describe_rate(offer: "ModelOffer") -> str:
    if offer.speed is None:
        return NONE
    return f"~{offer.speed:.1f}" if offer.estimated else f"{offer.speed:.1f}"


def describe_state(offer: "ModelOffer") -> str:
    """What is on disk, unless it is nothing, and what speaks against the model."""
    states = {cache.PRESENT: INSTALLED, cache.ABSENT: ""}
    state = states.get(offer.status.state, offer.status.text)
    parts = [state] if state else []
    if not offer.fits:
        parts.append("too large")
    elif not offer.roomy:
        parts.append("tight")
    if offer.fits and not offer.fast_enough:
        parts.append("slow")
    if offer.research_only:
        parts.append("for research")
    return ", ".join(parts) or NONE


def footnotes(survey: "Survey") -> Iterator[str]:
    """What the columns mean, and how to go on."""
    contexts = {each.need.context for each in survey.offers}
    tokens = " to ".join(f"{each:,}" for each in sorted({min(contexts), max(contexts)}))
    draft = ", and starter-small, which drafts tokens for the larger ones"
    yield (
        f"memory: with a context of 4,096 tokens and with a full one ({tokens}): weights, keys and values, "
        f"{describe_memory(survey.offers[0].need.other)} for everything else"
        f"{draft if any(each.need.draft for each in survey.offers) else ''}"
    )
    yield f"HumanEval: {survey.facts.published_in}"
    if sets := survey.facts.measured_sets:
        yield f"{', '.join(NAMES.get(each, each) for each in sets)}: {survey.facts.measured_in}"
    yield (
        f"slow: fewer than {survey.slowest:g} tokens/s; tight: a full context does not fit; "
        "for research: the licence allows no commercial use"
    )
    yield "mtchat models get NAME downloads a model; mtchat --model NAME or /model NAME uses it"


def to_json(survey: "Survey") -> dict[str, Any]:
    """Everything that is known, for programs; sizes in bytes, scores in percent."""
    machine = survey.machine
    speed = machine.speed
    return {
        "machine": {
            "processor": machine.processor,
            "memory": machine.memory,
            "free_memory": int(machine.free_memory) if machine.free_memory < float("inf") else None,
            "gpus": list(machine.gpus),
            "measured_speed": speed
            and {
                "model": speed.model,
                "tokens_per_second": round(speed.tokens_per_second, 2),
                "date": speed.date,
                "busy": speed.busy,
            },
        },
        "recommended": survey.recommendation.name,
        "reason": survey.recommendation.reason,
        "sources": {"published": survey.facts.published_in, "measured": survey.facts.measured_in},
        "models": [offer_to_json(each) for each in survey.offers],
    }


def offer_to_json(offer: "ModelOffer") -> dict[str, Any]:
    need = offer.need
    return {
        "name": offer.name,
        "title": offer.status.title,
        "parameters": offer.facts.parameters,
        "licence": offer.status.licence,
        "file": str(offer.status.path),
        "file_bytes": offer.status.bytes,
        "state": offer.status.state,
        "memory": {
            "total": need.total,
            "least": need.least,
            "weights": need.weights,
            "cache": need.cache,
            "context": need.context,
            "draft": need.draft,
            "other": need.other,
        },
        "weights_16_bit": offer.half_bytes,
        "fits": offer.fits,
        "fits_with_full_context": offer.roomy,
        "tokens_per_second": offer.speed and round(offer.speed, 2),
        "estimated": offer.estimated if offer.speed is not None else None,
        "published": dict(offer.facts.published),
        "measured": {name: dict(scores) for name, scores in offer.facts.measured.items()},
    }
