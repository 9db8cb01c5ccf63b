"""The one failure that a user can act on, and the exit codes of the command line."""

from enum import IntEnum

DEBUG = "MTCHAT_DEBUG"  # in the environment: show where a failure came from
LONGEST = 400  # characters of another library's words
TORCH = ("torch", "transformers")
NO_TORCH = (
    "it is computed by PyTorch, which is not installed: `make torch` where mtchat was set up, or "
    "`pip install torch transformers` into its environment; the starters need neither"
)


class ExitCode(IntEnum):
    """What the process says to its shell when it ends."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MODEL = 3
    SANDBOX = 4
    INTERRUPTED = 130


class MtchatError(Exception):
    """A failure whose message names what went wrong and what to do about it."""

    code = ExitCode.FAILED


def reason(error: BaseException) -> str:
    """What another library's error says, in one line; with its kind where that says more than its words."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in TORCH:
        return NO_TORCH
    words = " ".join(" ".join(str(error).split("\n")[:2]).split())
    if isinstance(error, ModuleNotFoundError) and error.name:
        words = f"{words} (pip install {error.name})"
    words = words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
    if isinstance(error, OSError | ValueError | RuntimeError | ImportError) and words:
        return words
    return f"{type(error).__name__}: {words}".removesuffix(": ")


class UsageError(MtchatError):
    """The words of a command or an option are off."""

    code = ExitCode.USAGE


class ModelError(MtchatError):
    """The model cannot be fetched, found, loaded, or asked."""

    code = ExitCode.MODEL


class SandboxError(MtchatError):
    """No sandbox works here, so nothing was run."""

    code = ExitCode.SANDBOX


class PluginError(MtchatError):
    """An extension from another package cannot be loaded or is not what its entry point promises."""
