"""Names of models with LoRA adapters, MODEL+ADAPTER@SCALE: a model, and what stands beside its weights.

`+` separates several adapters, and `@0.5` multiplies one. A path that exists is never taken apart.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mtchat.errors import ModelError

SEPARATOR = "+"
SCALE = re.compile(r"@(-?(?:\d+\.?\d*|\.\d+))$")


@dataclass(frozen=True)
class AdaptedName:
    """A model, and its adapters with their scales, in order."""

    model: str
    adapters: tuple[tuple[str, float], ...] = ()


def split_name(name: str, exists: Callable[[str], bool] | None = None) -> AdaptedName:
    """The model and the adapters that a name means; ModelError if one of them is empty."""
    exists = exists or path_exists
    if SEPARATOR not in name or exists(name):
        return AdaptedName(name)
    model, *rest = take_parts(name, exists)
    if not model or not all(rest):
        raise ModelError(f"cannot read the model {name[:80]!r}; write MODEL+ADAPTER, or MODEL+ADAPTER@0.5")
    return AdaptedName(model, tuple(split_scale(each, exists) for each in rest))


def take_parts(text: str, exists: Callable[[str], bool]) -> list[str]:
    """The parts between the separators; a part with a + in it is one that exists, the longest first."""
    places = [at for at, sign in enumerate(text) if sign == SEPARATOR] + [len(text)]
    chosen = next((at for at in reversed(places) if exists(split_scale(text[:at], exists)[0])), places[0])
    rest = text[chosen + 1 :]
    return [text[:chosen], *(take_parts(rest, exists) if chosen < len(text) else [])]


def split_scale(part: str, exists: Callable[[str], bool]) -> tuple[str, float]:
    found = SCALE.search(part)
    if found is None or exists(part):
        return part, 1.0
    scale = float(found[1])
    if not math.isfinite(scale):
        raise ModelError(
            f"cannot multiply the adapter {part[: found.start()]} by {found[1][:20]}; use a number"
        )
    return part[: found.start()], scale


def path_exists(part: str) -> bool:
    try:
        return bool(part) and Path(part).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False
