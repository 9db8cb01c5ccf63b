"""Writes to the screen: code, outcomes, notes, tables and progress; all text is escaped."""

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from mtchat.console.captions import describe_size, turn_mark
from mtchat.console.code import diff_lines, highlight_lines, wrap_code
from mtchat.console.text import clip, display_width, excerpt, pad, shorten, wrap
from mtchat.generate.events import ChunkChange
from mtchat.session.language import PYTHON, Language
from mtchat.session.outcome import Outcome
from mtchat.session.program import CheckResult
from mtchat.session.text import escape_controls
from mtchat.session.turn import Turn

DIM, RED, GREEN, YELLOW, BOLD, PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[1m", "\x1b[0m"
ERASE = "\r\x1b[2K"
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
MOST_LINES = 20
MOST_COMPLAINTS = 5  # lines of stderr after a turn
MOST_HEARD = 500
MOST_COLUMNS = 1000  # of a row of output where there is no screen
LONGEST_LINE = 10_000
BAR = "│ "
MOST_DIFF = 60  # lines of a diff
DIFF_STYLES = {"-": RED, "+": GREEN}


@dataclass
class View:
    """An output stream. `live` means a terminal that can redraw its last line; `color` may still be off.

    Code is highlighted as code of `language`.
    """

    out: TextIO = field(default_factory=lambda: sys.stdout)
    live: bool = True
    color: bool = True
    language: Language = PYTHON

    @classmethod
    def of(cls, out: TextIO) -> "View":
        """A view for a stream: redraws only on a terminal, and respects NO_COLOR and TERM=dumb."""
        live = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        return cls(out, live, live and "NO_COLOR" not in os.environ)

    def line(self, text: str = "", style: str = "") -> None:
        text = escape_controls(text)
        self.out.write(f"{style}{text}{PLAIN}\n" if style and self.color and text else text + "\n")
        self.out.flush()

    def row(self, name: str, meaning: str, indent: int = 26) -> None:
        """A row of a two-column table, the second column wrapped to the width of the screen."""
        width = shutil.get_terminal_size().columns - 1
        if width < 2 * indent:
            self.line(f"  {name}")
            self.line(textwrap.fill(meaning, max(width, 20), initial_indent="    ", subsequent_indent="    "))
            return
        first = f"  {name:<{indent - 3}} "
        self.line(textwrap.fill(meaning, width, initial_indent=first, subsequent_indent=" " * indent))

    def say(self, text: str, style: str = "") -> None:
        """Sentences, wrapped at the width of a terminal; unchanged elsewhere."""
        if self.live:
            width = max(shutil.get_terminal_size().columns - 1, 20)
            text = "\n".join(wrap(escape_controls(line), width) for line in text.split("\n"))
        self.line(text, style)

    def note(self, text: str) -> None:
        self.say(text, DIM)

    def error(self, text: str) -> None:
        self.say(text, RED)

    def warning(self, text: str) -> None:
        """Something the user should not miss; nothing for an empty text."""
        if text:
            self.say(text, YELLOW)

    def heading(self, text: str) -> None:
        self.say(text, BOLD)

    def transient(self, text: str) -> None:
        """A last line that the next text replaces; nothing off a terminal."""
        if self.live:
            width = max(shutil.get_terminal_size().columns - 1, 10)
            text = clip(escape_controls(text).replace("\t", "    "), width)
            self.out.write(f"{ERASE}{DIM}{text}{PLAIN}" if self.color else ERASE + text)
            self.out.flush()

    def erase(self) -> None:
        if self.live:
            self.out.write(ERASE)
            self.out.flush()

    def clear(self) -> None:
        """Clear the screen of a terminal."""
        if self.live:
            self.out.write("\x1b[H\x1b[2J")
            self.out.flush()

    @contextmanager
    def waiting(self, what: Callable[[], str], detail: Callable[[], str] = str) -> Iterator[None]:
        """A moving line with the seconds so far while something works; `detail` is added after a second."""
        if not self.live:
            yield
            return
        done = threading.Event()
        ticker = threading.Thread(target=self.tick, args=(what, detail, done), daemon=True)
        try:
            ticker.start()
            yield
        finally:
            done.set()
            if ticker.ident is not None:
                ticker.join()
            self.erase()

    def tick(self, what: Callable[[], str], detail: Callable[[], str], done: threading.Event) -> None:
        start = time.monotonic()
        frame = 0
        while not done.wait(0.1):
            seconds = time.monotonic() - start
            after = f" │ {detail()}" if seconds >= 1 and detail() else ""
            self.transient(f"{FRAMES[frame % len(FRAMES)]} {what()} {seconds:.0f} s{after}")
            frame += 1

    def paragraph(self, text: str) -> None:
        """A long text, indented and wrapped."""
        width = max(shutil.get_terminal_size().columns - 1, 20)
        self.line(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  "))

    def table(self, rows: Sequence[Sequence[str]], most: Sequence[int]) -> None:
        """Rows of columns, each as wide as its widest cell, at most `most`; the last column gets the rest."""
        width = shutil.get_terminal_size().columns - 1
        rows = [[escape_controls(cell).replace("\t", " ").replace("\n", " ") for cell in row] for row in rows]
        widths = [
            min(limit, max(display_width(cell) for cell in column))
            for limit, column in zip(most, zip(*rows, strict=True), strict=False)
        ]
        for row in rows:
            cells = [pad(cell, limit) for cell, limit in zip(row, widths, strict=False)]
            line = "  ".join(["", *cells])
            room = max(width - display_width(line) - 2, 10)
            self.line(f"{line}  {shorten(row[-1], room)}" if row[-1] else line.rstrip())

    def code(self, code: str) -> None:
        """A whole chunk, highlighted."""
        self.rows(self.highlight(code))

    def rows(self, lines: Iterable[str]) -> None:
        """Lines of highlighted code; lines longer than the screen are wrapped between words."""
        width = shutil.get_terminal_size().columns - 1
        for line in lines:
            for row in wrap_code(line, width) if self.live else [line]:
                self.out.write(row + "\n")
        self.out.flush()

    def highlight(self, code: str) -> list[str]:
        return highlight_lines(escape_controls(code), self.language.name, color=self.color)

    def diff(self, old: str, new: str, most: int = MOST_DIFF) -> None:
        """The difference of two sources in colours, at most `most` lines of it."""
        lines = diff_lines(old, new)
        for line in lines[:most]:
            self.line(line, DIFF_STYLES.get(line[:1], DIM))
        if len(lines) > most:
            self.note(f"… {len(lines) - most} more lines; /show shows the program")

    def changes(self, changes: Sequence[ChunkChange]) -> None:
        """A diff for each turn whose code changed."""
        for each in changes:
            if len(changes) > 1:
                self.heading(f"turn {each.number}")
            self.diff(each.old, each.new)
        if not changes:
            self.note("the new code is the same")

    def turn(self, number: int, turn: Turn, context: str = "") -> None:
        """A turn: its instruction as a heading, with its marks, then its code."""
        self.heading(f"{number}› {turn.instruction_as_typed}{turn_mark(turn)}{context}")
        if turn.chunk:
            self.code(turn.chunk)

    def outcome(
        self,
        outcome: Outcome,
        folder: str = "",
        hint: str = "",
        printed: Mapping[int, str] | None = None,
        parts: int = 1,
    ) -> None:
        """What the last turn printed, or the turns in `printed` by number, then how the run ended.

        Of stderr, the parts of the last `parts` turns are shown.
        """
        if not printed:
            self.output("".join(outcome.outputs[-1:]))
        for number, text in (printed or {}).items():
            self.note(f"turn {number}:" if text.strip() else f"turn {number} no longer prints anything")
            self.output(text)
        self.show_stderr("".join(outcome.error_outputs[-parts:]) if outcome.error_outputs else outcome.stderr)
        self.verdict(outcome, hint)
        self.files(outcome, folder)
        if outcome.note:
            self.note(outcome.note)

    def output(self, text: str, most: int = MOST_LINES) -> None:
        """The beginning of an output, in at most `most` rows."""
        if text.strip():
            found = excerpt(text, most, self.columns)
            for line in found.lines:
                self.out.write(self.styled(BAR, DIM) + line + "\n")
            if found.rest:
                self.note(f"{BAR}… {found.rest}; /run shows more")
        self.out.flush()

    def show_stderr(self, text: str) -> None:
        """The last lines of stderr."""
        lines = text.rstrip("\n").split("\n") if text.strip() else []
        for line in lines[-MOST_COMPLAINTS:]:
            for row in excerpt(line, MOST_COMPLAINTS, self.columns).lines:
                self.out.write(self.styled(BAR + row, YELLOW) + "\n")

    @property
    def columns(self) -> int:
        """The columns right of the bar beside a program's output; many if there is no screen."""
        return max(shutil.get_terminal_size().columns - 1 - len(BAR), 10) if self.live else MOST_COLUMNS

    def live_output(self, most: int = MOST_HEARD) -> Callable[[str, str], None]:
        """Shows the output of a running program as it comes, up to `most` rows."""
        return LiveOutput(self, most)

    def verdict(self, outcome: Outcome, hint: str = "") -> None:
        """How a run ended, and what to do about it."""
        if outcome.ok:
            self.line(f"✓ ran in {outcome.seconds:.1f} s", GREEN)
        elif outcome.stopped:
            self.say("■ run stopped; /run starts it again", YELLOW)
        else:
            self.say(f"✗ {outcome.error}{hint and '; ' + hint}", RED)
        self.show_check_results(outcome)

    def show_check_results(self, outcome: Outcome) -> None:
        """The results of the checks: a line for each that failed, and one for those that passed."""
        for each in outcome.check_results:
            if not each.passed:
                self.show_check_result(each)
        passed = sum(each.passed is True for each in outcome.check_results)
        if passed:
            self.line(f"✓ {'1 check passed' if passed == 1 else f'{passed} checks passed'}", GREEN)

    def show_check_result(self, result: CheckResult, label: str = "") -> None:
        """The result of one check, in a sentence."""
        sign, style = {True: ("✓", GREEN), False: ("✗", RED), None: ("–", DIM)}[result.passed]
        self.say(f"{label}{sign} {result.sentence}", style)

    def show_check_code(self, result: CheckResult) -> None:
        """The Python of one check, and whether it holds."""
        why = f": {result.actual}" if result.actual else ""
        state = {True: "holds", False: f"fails{why}", None: f"not known{why}"}[result.passed]
        style = {True: GREEN, False: RED, None: DIM}[result.passed]
        self.say(f"check: {result.code}  ({state})", style)

    def files(self, outcome: Outcome, folder: str) -> None:
        for file in outcome.files:
            self.line(f"  {os.path.join(folder, file.path)} ({describe_size(file)})", DIM)
        for each in outcome.skipped:
            self.note(f"  not copied: {each}")

    def styled(self, text: str, style: str) -> str:
        return f"{style}{text}{PLAIN}" if self.color else text


@dataclass
class LiveOutput:
    """Shows what a running program prints as it comes; stderr in another colour.

    On a terminal the unfinished line is redrawn when a carriage return changes it. At most `rows_left`
    more rows are shown.
    """

    view: View
    rows_left: int
    unfinished: str = ""

    def __call__(self, stream: str, text: str) -> None:
        style = YELLOW if stream == "stderr" else ""
        *whole, last = text.replace("\r\n", "\n").split("\n")
        for line in whole:
            self.write(line, style, "\n")
        self.write(last, style, "")
        self.view.out.flush()

    def write(self, text: str, style: str, end: str) -> None:
        """Continue the unfinished line, and end it with `end`."""
        if self.rows_left <= 0 or not (text or end):
            return
        before, line = self.unfinished, self.unfinished + text
        self.unfinished = "" if end else line[-LONGEST_LINE:]
        changed = self.view.live and "\r" in line.rstrip("\r")
        if changed:
            self.view.erase()
        columns = shutil.get_terminal_size().columns if self.view.live else MOST_COLUMNS
        found = excerpt(line if changed else text, self.rows_left, columns)
        shown = "".join(found.lines)
        self.view.out.write((self.view.styled(shown, style) if style and shown else shown) + end)
        if end or found.rest:
            self.rows_left -= max(-(-len(line if changed else before + shown) // columns), 1)
        if self.rows_left <= 0 or found.rest:
            self.rows_left = 0
            self.view.note("\n… output truncated; mtchat run prints all of it".lstrip("\n" if end else ""))
