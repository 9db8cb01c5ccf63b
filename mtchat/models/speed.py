"""The speed of this machine, measured once with an installed model and kept in the cache folder.

What was measured beside other work is kept too, but only until the machine is found idle.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from mtchat.bundled_models.catalogue import BundledModel
from mtchat.bundled_models.partial import read_json
from mtchat.files import open_private
from mtchat.inference.cpu import kernels
from mtchat.inference.loaders import decode_probe
from mtchat.models.advice import MeasuredSpeed

RECORD = "speed.json"
OnMeasure = Callable[[str], None]
"""Called with the name of the model that is about to be measured."""


def machine_speed(
    installed: Sequence[tuple[BundledModel, Path]],
    cache: Path,
    converted: Path,
    again: bool = False,
    on_measure: OnMeasure = lambda name: None,
) -> MeasuredSpeed | None:
    """The speed of the first installed model that was used before; None if there is none.

    It is measured if this machine has no good record of it, or `again`.
    """
    usable = list(measurable(installed, converted))
    if not usable:
        return None
    machine, known = decode_probe.describe_machine(), read_speeds(cache)
    busy = is_busy()
    records = (known.get(speed_key(machine, model)) for model, _ in usable)
    found = next((each for each in records if each and (busy or not each.busy)), None)
    if found and not again:
        return found
    model, path = usable[0]
    on_measure(model.name)
    rate = decode_probe.measure_decoding(path, model.sha256, converted)
    speed = MeasuredSpeed(
        model.name, rate.tokens_per_second, rate.bytes_per_token, date.today().isoformat(), busy
    )
    write_speeds(cache, known | {speed_key(machine, model): speed})
    return speed


def recorded_speed(cache: Path) -> MeasuredSpeed | None:
    """The speed that was measured on this machine before; None if none was."""
    machine = decode_probe.describe_machine()
    return next((each for key, each in read_speeds(cache).items() if key.startswith(machine)), None)


def is_busy() -> bool:
    """Whether programs have lately kept half of the processor or more at work."""
    try:
        return os.getloadavg()[0] > kernels.thread_count() / 2
    except OSError:
        return False


def measurable(
    installed: Sequence[tuple[BundledModel, Path]], converted: Path
) -> Iterator[tuple[BundledModel, Path]]:
    for model, path in installed:
        if decode_probe.has_repacked_copy(path, model.sha256, converted):
            yield model, path


def speed_key(machine: str, model: BundledModel) -> str:
    """A measurement belongs to a machine and to a model file."""
    return f"{machine}, {model.sha256[:16]}"


def read_speeds(cache: Path) -> dict[str, MeasuredSpeed]:
    """The speeds measured so far; a damaged record counts as none."""
    try:
        return {key: MeasuredSpeed(**entry) for key, entry in read_json(cache / RECORD).items()}
    except (TypeError, OSError):
        return {}


def write_speeds(cache: Path, speeds: dict[str, MeasuredSpeed]) -> None:
    """Keep the speeds if the folder can be written; otherwise they are measured each time."""
    part = cache / f".{RECORD}.part"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with open(part, "w", encoding="utf-8", opener=open_private) as stream:
            json.dump({key: asdict(each) for key, each in speeds.items()}, stream, indent=1)
        part.replace(cache / RECORD)
    except OSError:
        return
