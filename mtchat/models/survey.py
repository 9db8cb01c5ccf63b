"""Looks at this machine: the known models with their memory, speed and state, and the one to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.cache import ModelStatus
from mtchat.bundled_models.catalogue import BundledModel
from mtchat.inference.cpu.weights import CpuShape
from mtchat.inference.loaders import decode_probe, devices
from mtchat.models import loader
from mtchat.models.advice import SLOWEST, MeasuredSpeed, ModelOffer, Recommendation, make_offer, recommend
from mtchat.models.facts import KnownModels, load_facts
from mtchat.models.memory import free_memory
from mtchat.models.sizes import memory_need
from mtchat.models.speed import OnMeasure, machine_speed


@dataclass(frozen=True)
class ThisMachine:
    """What decides which models can be used here; memory in bytes."""

    processor: str
    memory: int
    free_memory: float
    gpus: tuple[str, ...]
    speed: MeasuredSpeed | None


@dataclass(frozen=True)
class Survey:
    """The known models on this machine, smallest first."""

    machine: ThisMachine
    facts: KnownModels
    offers: tuple[ModelOffer, ...]
    recommendation: Recommendation
    slowest: float = SLOWEST  # tokens per second that are still fast enough


def survey_models(again: bool = False, on_measure: OnMeasure = lambda name: None) -> Survey:
    """Look at the models in the cache folder and at the machine; `again` measures its speed once more."""
    rows = cache.list_models(cache.models_folder())
    gpus = devices.list_gpus() if any(map(Path.exists, devices.DRIVERS)) else ()
    speed = machine_speed(
        list_installed(rows), cache.models_folder().parent, loader.converted_folder(), again, on_measure
    )
    machine = ThisMachine(
        decode_probe.describe_machine(), devices.machine_memory(), free_memory(), gpus, speed
    )
    return make_survey(machine, rows, load_facts())


def make_survey(machine: ThisMachine, rows: Sequence[ModelStatus], facts: KnownModels) -> Survey:
    """The offers of all models with known facts; pure."""
    by_name = {row.name: row for row in rows}
    shapes = {each.name: each.shape for each in facts.models}

    def draft_of(name: str) -> CpuShape | None:
        """The shape of the model that drafts for one, if it is here."""
        small = catalogue.DRAFT_MODELS.get(name, "")
        return shapes[small] if small and by_name[small].state == cache.PRESENT else None

    offers = tuple(
        make_offer(
            each,
            by_name[each.name],
            memory_need(each.shape, machine.memory, draft_of(each.name)),
            machine.free_memory,
            machine.speed,
        )
        for each in facts.models
    )
    return Survey(machine, facts, offers, recommend(offers))


def list_installed(rows: Sequence[ModelStatus]) -> list[tuple[BundledModel, Path]]:
    """The models that can be measured, the best to measure first: the default, then from small to large."""
    here = [(catalogue.find(row.name), row.path) for row in rows if row.state == cache.PRESENT]
    return sorted(here, key=lambda each: (each[0].name != "starter", each[0].bytes))
