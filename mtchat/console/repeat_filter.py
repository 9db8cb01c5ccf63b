"""Leaves out of an outcome what was shown before, and reports when a turn that ran again does something else.

A turn that runs again with the program may differ, if it depends on the time or on chance. Warnings and files
of a turn are not shown again under every later turn.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from mtchat import files
from mtchat.session.outcome import File, Outcome
from mtchat.session.program import Program

Codes = tuple[str, ...]
LOCATION = re.compile(r"<turn (\d+)>:\d+: ")
LARGEST = 8 << 20  # bytes of a file that is read to see whether it has changed
LONGEST = 60


@dataclass(frozen=True)
class ShownProgram:
    """A program as its outcome was shown: the code of its chunks, the outputs of finished ones, the lines
    of stderr, and the files it wrote, with digests of their content."""

    codes: Codes = ()
    outputs: tuple[str, ...] = ()
    error_outputs: frozenset[str] = frozenset()
    files: Mapping[File, str] = field(default_factory=dict)

    def has_same(self, file: File, folder: Path) -> bool:
        """Whether a file was shown, and still has the same content."""
        known_digest = self.files.get(file, "")
        return bool(known_digest) and known_digest == digest(folder, file)


@dataclass
class RepeatFilter:
    """Knows what was shown last. `reported` are the programs whose last turn was reported to have changed."""

    last: ShownProgram = field(default_factory=ShownProgram)
    reported: set[Codes] = field(default_factory=set)

    def remember(self, program: Program, outcome: Outcome, folder: Path) -> None:
        """Note that this outcome is shown now."""
        passed = [chunk for chunk in program.chunks if outcome.passed(chunk.turn)]
        outputs = () if outcome.truncated else outcome.outputs[: len(passed)]
        error_outputs = frozenset(line for part in outcome.error_outputs for line in part.split("\n"))
        left = {file: digest(folder, file) for file in outcome.files}
        self.last = ShownProgram(codes_of(program), outputs, error_outputs, left)

    def remove_known(self, program: Program, outcome: Outcome, folder: Path) -> Outcome:
        """The outcome without files, and without warnings about earlier turns, that were shown before.

        Everything is new unless the program is the last one with more turns.
        """
        codes, known = codes_of(program), self.last
        if not known.codes or len(codes) <= len(known.codes) or codes[: len(known.codes)] != known.codes:
            return outcome
        new = [file for file in outcome.files if not known.has_same(file, folder)]
        last = program.chunks[-1].turn
        error_outputs = tuple(drop_known(part, last, known.error_outputs) for part in outcome.error_outputs)
        return replace(outcome, files=tuple(new), error_outputs=error_outputs)

    def describe_change(self, program: Program, outcome: Outcome) -> str:
        """How a turn differs from what was shown, in a line, reported once; "" if none does."""
        if outcome.truncated:
            return ""
        codes = codes_of(program)
        for number, (old, chunk) in enumerate(zip(self.last.outputs, program.chunks, strict=False)):
            key = codes[: number + 1]
            if self.last.codes[: number + 1] != key:
                return ""
            now = self.compare(program, outcome, number, old)
            if now and key not in self.reported:
                self.reported.add(key)
                return f"{program.label(chunk.turn)} ran again and {now}"
        return ""

    def compare(self, program: Program, outcome: Outcome, number: int, old: str) -> str:
        """What a chunk that printed `old` does now; "" if it does the same, or was not reached."""
        passed = outcome.passed(program.chunks[number].turn)
        if passed is False and outcome.turn == program.chunks[number].turn:
            return "now fails, though it did not before"
        new = outcome.outputs[number] if passed and number < len(outcome.outputs) else old
        # Output at exit counts as the last turn's.
        ends = number in (len(self.last.codes) - 1, len(program.chunks) - 1)
        if new == old or (ends and (new.startswith(old) or old.startswith(new))):
            return ""
        return f"printed something else: {first_change(old, new)}"


def codes_of(program: Program) -> Codes:
    return tuple(chunk.code for chunk in program.chunks)


def digest(folder: Path, file: File) -> str:
    """A hash of a file's content; "" for a large file, or one that cannot be read.

    The name may come from somebody else's session file: only files in the folder are read, up to their size.
    """
    if not 0 <= file.size <= LARGEST:
        return ""
    try:
        with open(files.below(folder, file.path), "rb") as source:
            return hashlib.blake2b(source.read(file.size + 1), digest_size=16).hexdigest()
    except (OSError, ValueError):
        return ""


def drop_known(text: str, last: int, known: frozenset[str]) -> str:
    """A part of stderr without the warnings of earlier turns that were shown with those turns."""
    kept, dropping = [], False
    for line in text.split("\n"):
        if location := LOCATION.match(line):
            dropping = int(location[1]) < last and line in known
        elif not line.startswith("  "):
            dropping = False
        if not dropping:
            kept.append(line)
    return "\n".join(kept)


def first_change(old: str, new: str) -> str:
    """The first line that differs, before and after."""
    pairs = zip_longest(old.split("\n"), new.split("\n"), fillvalue="")
    before, after = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{shorten_line(before)} became {shorten_line(after)}"


def shorten_line(line: str) -> str:
    line = line.strip()
    return (line if len(line) <= LONGEST else line[: LONGEST - 1] + "…") or "an empty line"
