"""A machine and its models, made up for the tests of what is recommended."""

from dataclasses import replace
from pathlib import Path

from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.cache import ModelStatus
from mtchat.models.advice import MeasuredSpeed
from mtchat.models.facts import load_facts
from mtchat.models.survey import Survey, ThisMachine, make_survey

GIB = 1 << 30
STARTER_BYTES = 1_000_844_288  # that a token of starter reads
SPEED = MeasuredSpeed("starter", 22.4, STARTER_BYTES, "2026-11-30")


def statuses(installed: tuple[str, ...] = ("starter", "starter-small")) -> list[ModelStatus]:
    folder = Path("/models")
    return [
        ModelStatus(
            *(each.name, each.title, each.licence, each.bytes),
            cache.PRESENT if each.name in installed else cache.ABSENT,
            *(folder / each.file, 0, each.pieces, each.is_starter),
        )
        for each in catalogue.load_catalogue()
    ]


def survey_of(
    free: float = 21.4,
    speed: float | None = 22.4,
    installed: tuple[str, ...] = ("starter", "starter-small"),
    gpus: tuple[str, ...] = (),
    busy: bool = False,
) -> Survey:
    """What is found on a machine with so many GiB free that decodes so many tokens of starter a second."""
    measured = None if speed is None else replace(SPEED, tokens_per_second=speed, busy=busy)
    machine = ThisMachine("AMD EPYC, avx512 kernels, 2 threads", 24 * GIB, free * GIB, gpus, measured)
    return make_survey(machine, statuses(installed), load_facts())
