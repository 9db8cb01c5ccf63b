"""What the user has been shown of a growing program: nothing is said twice, and a change of it is not silent.

Where a turn runs again it may do something else than was shown: what depends on the clock or on the system's
chance, say. And what one turn warned of or left as a file is not told again under each later one.
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
PLACE = re.compile(r"<turn (\d+)>:\d+: ")
LARGEST = 8 << 20  # bytes of a file that is read to see whether it is another now
LONGEST = 60


@dataclass(frozen=True)
class ShownProgram:
    """A program as its outcome was shown: the code of its chunks, what those printed that came to their end,
    what it complained of, and the files that it left, with what they held."""

    codes: Codes = ()
    outputs: tuple[str, ...] = ()
    complaints: frozenset[str] = frozenset()
    files: Mapping[File, str] = field(default_factory=dict)

    def same(self, file: File, place: Path) -> bool:
        """Whether a file that is there now was shown, and holds what it held then."""
        held = self.files.get(file, "")
        return bool(held) and held == digest(place, file)


@dataclass
class RepeatFilter:
    """Knows what was shown last, and leaves out of an outcome what was shown before.

    `told` are the programs whose last turn was said to do something else when it ran again.
    """

    last: ShownProgram = field(default_factory=ShownProgram)
    told: set[Codes] = field(default_factory=set)

    def remember(self, program: Program, outcome: Outcome, place: Path) -> None:
        """This is shown now."""
        passed = [chunk for chunk in program.chunks if outcome.passed(chunk.turn)]
        outputs = () if outcome.truncated else outcome.outputs[: len(passed)]
        complaints = frozenset(line for part in outcome.complaints for line in part.split("\n"))
        left = {file: digest(place, file) for file in outcome.files}
        self.last = ShownProgram(codes_of(program), outputs, complaints, left)

    def news(self, program: Program, outcome: Outcome, place: Path) -> Outcome:
        """The outcome without the files, and the warnings about earlier turns, that were shown before.

        All is news where the program is another than the one before with more turns.
        """
        codes, known = codes_of(program), self.last
        if not known.codes or len(codes) <= len(known.codes) or codes[: len(known.codes)] != known.codes:
            return outcome
        new = [file for file in outcome.files if not known.same(file, place)]
        last = program.chunks[-1].turn
        complaints = tuple(without(part, last, known.complaints) for part in outcome.complaints)
        return replace(outcome, files=tuple(new), complaints=complaints)

    def changed(self, program: Program, outcome: Outcome) -> str:
        """What a turn does now that does not do what was shown, in a line and once; "" for none."""
        if outcome.truncated:
            return ""
        codes = codes_of(program)
        for number, (old, chunk) in enumerate(zip(self.last.outputs, program.chunks, strict=False)):
            key = codes[: number + 1]
            if self.last.codes[: number + 1] != key:
                return ""
            now = self.now(program, outcome, number, old)
            if now and key not in self.told:
                self.told.add(key)
                return f"{program.label(chunk.turn)} ran again and {now}"
        return ""

    def now(self, program: Program, outcome: Outcome, number: int, old: str) -> str:
        """What a chunk that printed this does now; "" where it does the same, or was not reached."""
        passed = outcome.passed(program.chunks[number].turn)
        if passed is False and outcome.turn == program.chunks[number].turn:
            return "fails now, though it did not before"
        new = outcome.outputs[number] if passed and number < len(outcome.outputs) else old
        # What is printed as the program ends counts as the last turn's.
        ends = number in (len(self.last.codes) - 1, len(program.chunks) - 1)
        if new == old or (ends and (new.startswith(old) or old.startswith(new))):
            return ""
        return f"printed something else: {difference(old, new)}"


def codes_of(program: Program) -> Codes:
    return tuple(chunk.code for chunk in program.chunks)


def digest(place: Path, file: File) -> str:
    """What tells a file's content from another's; "" for a large file, or one that cannot be read.

    A session from somebody else may say which: only what lies in the folder is read, up to its size.
    """
    if not 0 <= file.size <= LARGEST:
        return ""
    try:
        with open(files.below(place, file.path), "rb") as source:
            return hashlib.blake2b(source.read(file.size + 1), digest_size=16).hexdigest()
    except (OSError, ValueError):
        return ""


def without(text: str, last: int, known: frozenset[str]) -> str:
    """A part of stderr without warnings that name an earlier turn as their place and were shown with it."""
    kept, dropping = [], False
    for line in text.split("\n"):
        if place := PLACE.match(line):
            dropping = int(place[1]) < last and line in known
        elif not line.startswith("  "):
            dropping = False
        if not dropping:
            kept.append(line)
    return "\n".join(kept)


def difference(old: str, new: str) -> str:
    """The first line that differs, then and now."""
    pairs = zip_longest(old.split("\n"), new.split("\n"), fillvalue="")
    before, after = next(pair for pair in pairs if pair[0] != pair[1])
    return f"{brief(before)} became {brief(after)}"


def brief(line: str) -> str:
    line = line.strip()
    return (line if len(line) <= LONGEST else line[: LONGEST - 1] + "…") or "an empty line"
