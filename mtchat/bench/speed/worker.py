"""A process that is measured, started by mtchat bench speed: it loads the engine that its argument names."""

import json
import sys
from typing import Any

from mtchat.bench.speed.engine import OURS, EngineSetup, MeasuredEngine, find_peer
from mtchat.bench.speed.ours import OurEngine
from mtchat.bench.speed.process import serve
from mtchat.models import loader


def begin(setup: EngineSetup) -> MeasuredEngine:
    def load(precision: str) -> Any:
        return loader.load(setup.model, precision, lambda stage: None)

    if setup.engine == OURS:
        return OurEngine(load(setup.precision)).measured()
    return find_peer(setup.engine).begin(setup, load)


if __name__ == "__main__":
    setup = EngineSetup(**json.loads(sys.argv[1]))
    serve(setup, lambda: begin(setup))
