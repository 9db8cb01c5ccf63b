"""Writes docs/sandbox-battery.md: each case, what held it in each tier, and what it does without."""

import re
from collections import Counter

from tests import ROOT
from tests.sandbox.battery.row import Row, Work
from tests.sandbox.battery.rows import GROUPS, ROWS, WORKS

DOCUMENT = ROOT / "docs" / "sandbox-battery.md"
Results = dict[tuple[str, str], str]
MARKS = {"held": "✓", "escaped": "**ESCAPED**", "": "not run"}
MARK = re.compile(r"^(?:✓|\*\*ESCAPED\*\*|not run|skipped|known hole)(?: \([^)]*\))?(?:: |$)")
ARMS = ("T1", "T2", "control")

PREFACE = """\
# The sandbox's attack and fault battery

<!-- python -m tests.sandbox.battery writes this file -->

Programs that a model wrote run at one of two isolation levels. **T1** is bubblewrap: namespaces, a system
call
filter, limits, and memory folders of a fixed size. **T2** is for hosts without namespaces: Landlock, a
stricter filter, limits, and folders on disk whose size is measured; it is announced as reduced. If
neither works, nothing is run.

Each case is a program that attacks, or a fault that a program may have. It is run three times. At either
level it must end exactly as the table says (an error by its name, a limit, a signal), leave nothing
behind (no process, zombie, descriptor or file) and not touch the host's bait (listeners, a process, a key
file, a secret in the environment, shared memory). The third run is without any sandbox and must succeed,
so that a mistake in the attack cannot look like protection; calls that could harm the machine are made
with wrong arguments and fail in the kernel instead of at the filter ("reaches the kernel"). "n" gives the
reason why there is no such third run. ✓ means that this was observed.
"""

RISKS = """\
## What is left

No case covers these; they follow from the design.

- **The kernel is shared.** A bug in a permitted system call is a way out; only a virtual machine or a
  second kernel prevents that.
- **Side channels.** Time and caches reveal other processes.
- **Inodes of memory folders** cost about 1 KiB each and are not counted without control groups (case
  60).
- **Socket buffers** are bounded by descriptors only: up to about 2.7 GiB over all processes (case 71).
- **Memory of many processes** is summed every 50 ms; a burst may exceed the limit for that long (case 68).
- **Visible:** kernel version, CPU, and the paths of mounts, which may contain a user's name (case 10).
- **T2** shows the process IDs of the host and its name, and has no namespace of processes; its folders are
  on disk, their size is measured four times a second, and a file that is open but has no name is not
  counted (cases 14, 58, 62). Its folders stay behind if mtchat itself is killed (case 28).
- **Misleading output.** What a program prints is shown without control characters, but it may still lie.
"""


def document(results: Results) -> str:
    """The whole file."""
    groups = "\n".join(section(title, rows, results) for title, rows in GROUPS.items())
    return "\n".join([PREFACE, counts(results), groups, works(results), RISKS])


def section(title: str, rows: tuple[Row, ...], results: Results) -> str:
    lines = [f"## {title}", "", "| # | case | T1 | T2 | without |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(line(row, results) for row in rows), ""])


def line(row: Row, results: Results) -> str:
    number, title, first, second, control = cells(row)
    left = f" (left: {row.residual})" if row.residual else ""
    shown = [
        marked(text, results.get((str(row), arm), ""))
        for arm, text in zip(ARMS, (first, second, control), strict=True)
    ]
    if row.control.without:
        shown[2] = control
    return "| " + " | ".join([number, title + left, *shown]) + " |"


def cells(row: Row) -> tuple[str, ...]:
    """Number, title, and what is expected of either tier and of the control arm."""
    return (str(row.number), row.title, *map(clean, (row.t1.short, row.t2.short, row.control.short)))


def clean(text: str) -> str:
    return text.replace("|", "or")


def marked(text: str, result: str) -> str:
    if text.startswith("no such case"):
        return text
    kind, _, why = result.partition(": ")
    mark = MARKS.get(kind, f"{kind} ({re.sub('[()].*', '', clean(why).partition(': ')[0]).strip()})")
    return f"{mark}: {text}"


def committed() -> dict[int, tuple[str, ...]]:
    """The cells of the committed file, without marks and what is left."""
    found = {}
    for text in DOCUMENT.read_text(encoding="utf-8").splitlines() if DOCUMENT.exists() else ():
        if re.match(r"\| \d", text):
            number, title, *rest = text.strip("| ").split(" | ")
            plain = (MARK.sub("", cell) for cell in rest)
            found[int(number)] = (number, re.sub(r" \(left: .*\)$", "", title), *plain)
    return found


def counts(results: Results) -> str:
    """How many cases were held, and how many attacks work, as they were seen."""
    lines = [
        "| | held or works | escaped | known hole | skipped | no such case |",
        "|---|---|---|---|---|---|",
    ]
    for arm, name in zip(ARMS, ("T1: held", "T2: held", "without: attack works"), strict=True):
        tally = Counter(kind_of(row, arm, results) for row in ROWS)
        kinds = ("held", "escaped", "known hole", "skipped", "absent")
        lines.append(f"| {name} | " + " | ".join(str(tally[kind]) for kind in kinds) + " |")
    return "\n".join([*lines, ""])


def kind_of(row: Row, arm: str, results: Results) -> str:
    expected = {"T1": row.t1.absent, "T2": row.t2.absent, "control": row.control.without}[arm]
    return "absent" if expected else results.get((str(row), arm), "skipped").partition(": ")[0]


def works(results: Results) -> str:
    """The ordinary programs."""
    lines = ["## What must go on working", "", "| program | T1 | T2 |", "|---|---|---|"]
    lines += [
        f"| {work.title} | {worked(work, 'T1', results)} | {worked(work, 'T2', results)} |" for work in WORKS
    ]
    return "\n".join([*lines, ""])


def worked(work: Work, arm: str, results: Results) -> str:
    result = results.get((str(work), arm), "not run")
    if result != "held":
        return clean(result)
    return "✗ refused, as declared" if arm == "T2" and work.t2 else "✓"
