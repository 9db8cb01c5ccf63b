"""Why a run ended badly, where that is not an exception of its own: a limit, or what the sandbox lacks."""

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """Why a run did not end well: NONE where it did, or where only its own code is to blame.

    The values are those of session files.
    """

    NONE = ""
    # it was stopped: by a limit, by the user, or because nothing could run
    SECONDS = "seconds"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    DISK = "disk"
    PROCESSES = "processes"
    INTERRUPTED = "interrupted"
    SANDBOX = "sandbox"
    # it asked for something that the sandbox does not have
    FILE = "file"
    INPUT = "input"
    ARGUMENTS = "arguments"
    PACKAGE = "package"
    NETWORK = "network"
    DISPLAY = "display"
    TERMINAL = "terminal"
    ENVIRONMENT = "environment"
    COMMAND = "command"
    POOLS = "pools"
    SCRATCH = "scratch"
    GPU = "gpu"
    OUTSIDE = "outside"
    SYSTEM = "system"
    # what only a newer mtchat knows
    OTHER = "other"

    @property
    def is_stop(self) -> bool:
        """Whether the run was stopped from outside the program."""
        return self in STOPS

    @property
    def is_missing(self) -> bool:
        """Whether the sandbox lacks what the program asked for, so that other code would fail as well."""
        return self in NOTES


STOPS = frozenset(
    {
        Reason.SECONDS,
        Reason.CPU,
        Reason.MEMORY,
        Reason.OUTPUT,
        Reason.DISK,
        Reason.PROCESSES,
        Reason.INTERRUPTED,
        Reason.SANDBOX,
        Reason.OTHER,
    }
)
GIVEN = "given"  # the subject of ARGUMENTS where there were some, but not the right ones
NOTES: Mapping[Reason, str] = {
    Reason.FILE: "the sandbox has none of your files",
    Reason.INPUT: "the sandbox has no keyboard input",
    Reason.ARGUMENTS: "the program got no arguments",
    Reason.PACKAGE: "",  # Python says it
    Reason.NETWORK: "the sandbox has no network",
    Reason.DISPLAY: "the sandbox has no display",
    Reason.TERMINAL: "the sandbox has no terminal",
    Reason.ENVIRONMENT: "the sandbox has none of your environment variables",
    Reason.COMMAND: "the sandbox has no such program",
    Reason.POOLS: "this reduced sandbox has no shared memory, which pools of processes need",
    Reason.SCRATCH: "temporary files have 64 MiB in all; the work folder has more",
    Reason.GPU: "the sandbox has no graphics processor",
    Reason.OUTSIDE: "a program writes in its work folder only, by names without a / at the front",
    Reason.SYSTEM: "the sandbox shows little of the system's files",
}
# What to install for a module, where the package has another name.
INSTALLS = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "fitz": "pymupdf",
    "git": "GitPython",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "odf": "odfpy",
    "OpenSSL": "pyOpenSSL",
    "PIL": "pillow",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "wx": "wxPython",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}


def installs(module: str) -> str:
    """The name of the package that installs a module."""
    return INSTALLS.get(module, module)
