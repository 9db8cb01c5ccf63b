"""For macOS, untested there: a deny-by-default profile of sandbox-exec, limits, an empty environment.

Tests cover only the profile, the command line and the launcher. A child of the program in a session of its
own can stay behind, still contained; macOS does not enforce memory limits, and nothing here measures memory.
Files are limited one by one and measured from outside. There is no network, not even loopback.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtchat.errors import SandboxError
from mtchat.sandbox.backend import LaunchCommand, LaunchRequest, Variant
from mtchat.sandbox.host.interpreter import GUEST, Interpreter, find_interpreter, make_environment
from mtchat.sandbox.host.run_dir import DiskMeter, RunFolders, make_folders

RANK = 3
TIER = "sandbox-exec (reduced)"
TOOL = Path("/usr/bin/sandbox-exec")
READ = (
    "/usr/lib",
    "/usr/bin",
    "/usr/share",
    "/bin",
    "/System",
    "/Library/Frameworks",
    "/private/etc/localtime",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
LAUNCHER = "mtchat.sandbox.guest.launch.launcher:launch_in_session"
FIX = "use Linux with bubblewrap"


def variants() -> tuple[Variant, ...]:
    """The only variant; SandboxError except on macOS, and for root, whom it would not restrict."""
    if sys.platform != "darwin":
        raise SandboxError("sandbox-exec exists only on macOS; install bubblewrap")
    if os.geteuid() == 0:
        raise SandboxError("sandbox-exec would run programs as root; start mtchat as an ordinary user")
    if shutil.which(str(TOOL)) is None:
        raise SandboxError(f"{TOOL} is missing; {FIX}")
    return (Variant(TIER, TOOL),)


@contextmanager
def prepare(variant: Variant, request: LaunchRequest) -> Iterator[LaunchCommand]:
    """The command of one run in private folders."""
    with make_folders(0) as folders:
        meter = DiskMeter((folders.work, folders.scratch), request.limits.disk_mib << 20)
        yield LaunchCommand(
            arguments(find_interpreter(), folders, request),
            make_environment(str(folders.work), str(folders.scratch)),
            (request.control, request.shared),
            disk_full=meter.full,
        )


def arguments(python: Interpreter, folders: RunFolders, request: LaunchRequest) -> tuple[str, ...]:
    """The command line of sandbox-exec."""
    launcher = python.arguments(
        str(folders.code), request.control, request.shared, LAUNCHER, (str(folders.work),)
    )
    return (str(TOOL), "-p", profile(python, folders), *launcher)


def profile(python: Interpreter, folders: RunFolders) -> str:
    """What the program may do, in the language of sandbox-exec; later rules win."""
    reading = [*READ, *map(str, python.roots), str(folders.code), str(GUEST)]
    own = [str(path.resolve()) for path in (folders.work, folders.scratch)]
    return "\n".join(
        [
            "(version 1)",
            "(deny default)",
            "(allow process-fork)",
            "(allow process-exec)",
            "(allow signal (target same-sandbox))",
            "(allow sysctl-read)",
            "(allow file-read-metadata)",
            f"(allow file-read* {paths('subpath', reading)})",
            f"(allow file-read* file-write* {paths('subpath', own)})",
            f"(allow file-read* file-write-data {paths('literal', list(DEVICES))})",
            "(deny network*)",
        ]
    )


def paths(kind: str, names: list[str]) -> str:
    return " ".join(f"({kind} {quote(name)})" for name in names)


def quote(name: str) -> str:
    """A name as a string literal of that language."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def explain(stderr: str) -> tuple[str, str]:
    """(reason, fix) from the error output of sandbox-exec."""
    return (stderr.strip().splitlines() or ["sandbox-exec failed without a message"])[-1][:300], FIX
