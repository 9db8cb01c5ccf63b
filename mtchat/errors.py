"""The one failure that a user can act on, and the exit codes of the command line."""

from enum import IntEnum


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


class UsageError(MtchatError):
    """The words of a command or an option are off."""

    code = ExitCode.USAGE


class ModelError(MtchatError):
    """The model cannot be fetched, found, loaded, or asked."""

    code = ExitCode.MODEL


class SandboxError(MtchatError):
    """No sandbox works here, so nothing was run."""

    code = ExitCode.SANDBOX
