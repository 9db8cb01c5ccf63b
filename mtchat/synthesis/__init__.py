"""One turn of a conversation: made, run, chosen among candidates, mended."""

from mtchat.synthesis.corrections import Correction, aimed
from mtchat.synthesis.events import (
    Change,
    Chose,
    Corrected,
    Correcting,
    Event,
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
from mtchat.synthesis.refining import correct, refine
from mtchat.synthesis.running import Run, failed, rewrite, tried, unended
from mtchat.synthesis.synthesizer import Difference, Fixed, Synthesizer
from mtchat.synthesis.writing import Candidates, Complete, Written

__all__ = [
    "Candidates",
    "Change",
    "Chose",
    "Complete",
    "Corrected",
    "Correcting",
    "Correction",
    "Difference",
    "Event",
    "Fixed",
    "Made",
    "Mending",
    "Ran",
    "Read",
    "Run",
    "Running",
    "Synthesizer",
    "Watch",
    "Weighing",
    "Written",
    "Wrote",
    "aimed",
    "correct",
    "failed",
    "refine",
    "rewrite",
    "tried",
    "unended",
    "unseen",
]
