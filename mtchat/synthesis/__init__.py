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
from mtchat.synthesis.holding import examined
from mtchat.synthesis.readings import Asking, Reading, Spread
from mtchat.synthesis.running import Declined, Run, failed, tried, unended, wrong
from mtchat.synthesis.stating import Stated, stated
from mtchat.synthesis.synthesizer import Difference, Fixed, Synthesizer
from mtchat.synthesis.writing import Candidates, Complete, Written

__all__ = [
    "Asking",
    "Candidates",
    "Chose",
    "Complete",
    "Declined",
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
    "Stated",
    "Synthesizer",
    "Watch",
    "Weighing",
    "Written",
    "Wrote",
    "examined",
    "failed",
    "stated",
    "tried",
    "unended",
    "unseen",
    "wrong",
]
