"""One turn of a conversation: made, run, chosen among candidates, mended."""

from mtchat.synthesis.claim.holding import examined
from mtchat.synthesis.claim.stating import Stated, stated, unread
from mtchat.synthesis.correction.recognition import Correction, aimed
from mtchat.synthesis.correction.refining import correct, refine
from mtchat.synthesis.events import (
    Change,
    Chose,
    Corrected,
    Correcting,
    Event,
    Fitted,
    Made,
    Mending,
    Ran,
    Read,
    Running,
    Settled,
    Watch,
    Weighed,
    Weighing,
    Wrote,
    unseen,
)
from mtchat.synthesis.filling.filling import filled
from mtchat.synthesis.readings import Asking, Reading, Spread
from mtchat.synthesis.running import Declined, Run, excused, failed, mendable, tried, unended, wrong
from mtchat.synthesis.synthesizer import Difference, Fixed, Synthesizer
from mtchat.synthesis.writing import Candidates, Complete, Written

__all__ = [
    "Asking",
    "Candidates",
    "Change",
    "Chose",
    "Complete",
    "Corrected",
    "Correcting",
    "Correction",
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
    "Settled",
    "Spread",
    "Stated",
    "Synthesizer",
    "Watch",
    "Weighed",
    "Weighing",
    "Written",
    "Wrote",
    "aimed",
    "correct",
    "examined",
    "excused",
    "failed",
    "filled",
    "mendable",
    "refine",
    "stated",
    "tried",
    "unended",
    "unread",
    "unseen",
    "wrong",
]
