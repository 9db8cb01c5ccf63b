"""What is known of the models that have a name: shapes, and scores that were measured or published."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from mtchat.inference.cpu.weights import CpuShape

EPSILON, THETA = 1e-6, 1e6  # of every Qwen2.5-Coder
Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class KnownModel:
    """A model of the catalogue: `published` has a score by benchmark, `measured` by benchmark and policy."""

    name: str
    parameters: str
    shape: CpuShape
    published: Mapping[str, float]
    measured: Scores


@dataclass(frozen=True)
class KnownModels:
    """All known models, smallest first, and where their scores come from."""

    models: tuple[KnownModel, ...]
    published_in: str
    measured_in: str

    @property
    def measured_sets(self) -> tuple[str, ...]:
        """The benchmarks that no publication scores, but a run of ours does."""
        published = {each for model in self.models for each in model.published}
        ours = [each for model in self.models for each in model.measured if each not in published]
        return tuple(dict.fromkeys(ours))


def load_facts() -> KnownModels:
    """The packaged facts, by which the documents are checked."""
    facts = json.loads((files("mtchat.models") / "facts.json").read_text("utf-8"))
    models = (
        KnownModel(
            name,
            entry["parameters"],
            CpuShape(**entry["shape"], rotary=entry["shape"]["head"], epsilon=EPSILON, theta=THETA),
            entry["published"],
            entry["measured"],
        )
        for name, entry in facts["models"].items()
    )
    return KnownModels(tuple(models), facts["report"], facts["measured"])
