"""One turn of a conversation: made, run, chosen among candidates, mended."""

from mtchat.synthesis.events import (
    Chose,
    Event,
    Fitted,
    Made,
    Mending,
    Ran,
    Read,
    Running,
    Watch,
    Weighing,
    Wrote,
    unseen,
)
from mtchat.synthesis.readings import Asking, Reading, Spread
from mtchat.synthesis.running import Run, failed, tried, unended
from mtchat.synthesis.synthesizer import Difference, Fixed, Synthesizer
from mtchat.synthesis.writing import Candidates, Complete, Written

__all__ = [
    "Asking",
    "Candidates",
    "Chose",
    "Complete",
    "Difference",
    "Event",
    "Fitted",
    "Fixed",
    "Made",
    "Mending",
    "Ran",
    "Read",
    "Reading",
    "Run",
    "Running",
    "Spread",
    "Synthesizer",
    "Watch",
    "Weighing",
    "Written",
    "Wrote",
    "failed",
    "tried",
    "unended",
    "unseen",
]
