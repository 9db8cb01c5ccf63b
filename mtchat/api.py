"""The public names, which `import mtchat` offers; whatever is not here may change without notice."""

from mtchat.console.slash import Command
from mtchat.conversation.conversation import Conversation, TurnResult
from mtchat.conversation.editing import EditResult
from mtchat.errors import ExitCode, ModelError, MtchatError, PluginError, SandboxError, UsageError
from mtchat.features.explain.fact import Fact, FactSource
from mtchat.features.explain.inquiry import Answer
from mtchat.generate.events import (
    AttemptsExhausted,
    CandidateChosen,
    CandidateProgress,
    CandidatesStarted,
    ChunkChange,
    CodeWritten,
    ContextFitted,
    CorrectionCompared,
    CorrectionFinished,
    CorrectionStarted,
    Event,
    LaterTurnChanged,
    NamesReplaced,
    Notice,
    PrefillFinished,
    RepairStarted,
    RunFinished,
    RunStarted,
    RunStopped,
    ThoughtWritten,
    TurnWritten,
    ValueChange,
)
from mtchat.generate.policy import Policy
from mtchat.generate.prompt.family import Cut, Family
from mtchat.generate.repair import FixResult
from mtchat.models.loader import load_model
from mtchat.models.loading import Model
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.language import PYTHON, Language
from mtchat.session.outcome import Outcome, ReplacedName, Variable
from mtchat.session.program import CheckResult, Program
from mtchat.session.prompt import Message, ModelCard, Piece, Prompt, Usage
from mtchat.session.provenance import Correction, Fill, Provenance, Repair, Rework, Rewrite, Step
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.session.turn import Turn
from mtchat.version import __version__

__all__ = [
    "PYTHON",
    "Answer",
    "AttemptsExhausted",
    "CandidateChosen",
    "CandidateProgress",
    "CandidatesStarted",
    "CheckResult",
    "ChunkChange",
    "CodeWritten",
    "Command",
    "ContextFitted",
    "Conversation",
    "Correction",
    "CorrectionCompared",
    "CorrectionFinished",
    "CorrectionStarted",
    "Cut",
    "EditResult",
    "Event",
    "ExitCode",
    "Fact",
    "FactSource",
    "Family",
    "Fill",
    "FixResult",
    "Language",
    "LaterTurnChanged",
    "Limits",
    "Message",
    "Model",
    "ModelCard",
    "ModelError",
    "MtchatError",
    "NamesReplaced",
    "Notice",
    "Outcome",
    "Piece",
    "PluginError",
    "Policy",
    "PrefillFinished",
    "Program",
    "Prompt",
    "Provenance",
    "Repair",
    "RepairStarted",
    "ReplacedName",
    "Rework",
    "Rewrite",
    "RunFinished",
    "RunStarted",
    "RunStopped",
    "Sampling",
    "Sandbox",
    "SandboxError",
    "Session",
    "Settings",
    "Step",
    "ThoughtWritten",
    "Turn",
    "TurnResult",
    "TurnWritten",
    "Usage",
    "UsageError",
    "ValueChange",
    "Variable",
    "__version__",
    "load_model",
]
