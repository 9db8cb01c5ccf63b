"""What a run did: why it ended, what it printed, where it failed, which files it left."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mtchat.session.program import CheckResult, Location, Program
from mtchat.session.prompt import file_key


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


def package_for(module: str) -> str:
    """The name of the package that installs a module."""
    return INSTALLS.get(module, module)


EXCEPTION = re.compile(r"(?:^|: )(?:\w+\.)*(\w*(?:Error|Exception|Iteration|Interrupt|Exit|Warning)\b)")


@dataclass(frozen=True)
class Frame:
    """One line of a traceback that lies in the program; `function` is "<module>" at top level."""

    place: Location
    function: str
    text: str = ""


@dataclass(frozen=True)
class File:
    """A regular file that the run left in its work folder; `path` is relative to it, `size` in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Variable:
    """A variable as a run left it: type, shape or length ("" where it has none), and a short value."""

    name: str
    kind: str
    shape: str
    value: str


IMPORTED = "an import"


@dataclass(frozen=True)
class ReplacedName:
    """A name that turn `by` gives another meaning without being asked, and what it was before that.

    `of` is the turn that gave it the old meaning, and None for a function of Python. `was` describes that
    meaning, such as "a function". If its value was changed in place by another name, that one is `through`.
    """

    by: int
    name: str
    of: int | None
    was: str
    through: str = ""

    @property
    def sentence(self) -> str:
        """One sentence for people: "turn 4 replaces `count`, which turn 2 defined as a function"."""
        if self.of is None:
            return f"turn {self.by} replaces `{self.name}`, which is {self.was} of Python"
        maker = f"turn {self.of}" if self.of else "the preamble"
        if self.through:
            what = f"`{self.name}` as well, which {maker} made"
            return f"turn {self.by} changes {what}, since `{self.through}` is the same {self.was}"
        how = "imported" if self.was == IMPORTED else f"defined as {self.was}"
        return f"turn {self.by} replaces `{self.name}`, which {maker} {how}"


@dataclass(frozen=True)
class Outcome:
    """What one run of a program did.

    `tier` names the isolation of the sandbox. `exit_code` is None if a signal ended the run, and `signal` its
    number. `reason` says what stopped the run, or what the program asked for that the sandbox lacks, and
    `subject` names that file, package or host. `finished` says that the last chunk ran to its end.

    `outputs` is stdout and `error_outputs` is stderr, split by chunk, in order; chunks that were not reached
    have none, and `truncated` says that some output was dropped. `error` is one line such as "turn 2, line 1:
    ValueError: ...", or "" if all went well; `traceback` is the text to show, and `frames` its lines that lie
    in the program, innermost last. `files` are those that the run left; `skipped` names those that were not
    collected, and why. `seconds` is wall-clock time and `memory_mib` the peak in MiB.

    `resumed` counts the first turns that did not run again because their state was still alive, and `note`
    says why an earlier one had to. `variables` are listed only on request. `findings` are the results of the
    checks. `agreed` is the share of the candidates for the last turn, by likelihood, that behaved like this
    one; 1 if there was only one. `replaced_names` are what the last turn took from earlier ones without being
    asked. `state` has a line for each variable, function and class at the end of the program, such as
    "total: int 42", in the order in which they were bound; it is listed only on request.
    """

    tier: str = ""
    exit_code: int | None = 0
    signal: int | None = None
    reason: Reason = Reason.NONE
    finished: bool = True
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    outputs: tuple[str, ...] = ()
    error_outputs: tuple[str, ...] = field(default=(), metadata=file_key("complaints"))
    error: str = ""
    traceback: str = ""
    frames: tuple[Frame, ...] = ()
    files: tuple[File, ...] = ()
    skipped: tuple[str, ...] = ()
    seconds: float = 0.0
    memory_mib: float = 0.0
    resumed: int = 0
    note: str = ""
    variables: tuple[Variable, ...] = ()
    agreement: float = field(default=1.0, metadata=file_key("agreed"))
    check_results: tuple[CheckResult, ...] = field(default=(), metadata=file_key("findings"))
    subject: str = ""
    replaced_names: tuple[ReplacedName, ...] = ()
    state: tuple[str, ...] = ()

    @property
    def limit(self) -> Reason:
        """What stopped the run: a limit, the user, or that nothing could run; NONE if nothing did."""
        return self.reason if self.reason.is_stop else Reason.NONE

    @property
    def missing(self) -> Reason:
        """What the program asked for and the sandbox lacks, so that other code fails as well; or NONE."""
        return self.reason if self.reason.is_missing else Reason.NONE

    @property
    def exception(self) -> str:
        """The name of the exception in `error`, such as "KeyError"; "" if no exception ended the run."""
        found = EXCEPTION.search(self.error)
        return found[1] if found else ""

    @property
    def ok(self) -> bool:
        """The whole program ran: to the end of its last turn, exit code 0, within its limits."""
        return self.finished and self.exit_code == 0 and not self.limit and not self.error

    @property
    def stopped(self) -> bool:
        """The user stopped the run with Ctrl-C."""
        return self.reason is Reason.INTERRUPTED

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The claims that do not hold."""
        return tuple(each for each in self.check_results if each.passed is False)

    @property
    def succeeded(self) -> bool:
        """The whole program ran, and all claims hold."""
        return self.ok and not self.failed_checks

    @property
    def turn(self) -> int | None:
        """The turn that failed: where the error surfaced at the program's top level."""
        return self.frames[0].place.turn if self.frames else None

    def passed(self, turn: int) -> bool | None:
        """Whether the run came through a turn; None where that is not known."""
        if self.ok:
            return True
        return None if self.turn is None or turn > self.turn else turn < self.turn


def output_by_turn(program: Program, outcome: Outcome) -> dict[int, str]:
    """What each turn of a program wrote to stdout in a run; turns that were not reached are left out."""
    return dict(zip((chunk.turn for chunk in program.chunks), outcome.outputs, strict=False))
