"""Draws docs/screenshot.svg: python -m tests.screenshot holds a short conversation with the default model."""

import tempfile
from html import escape
from pathlib import Path

from pyte.screens import Char

from tests import ROOT
from tests.support.golden_screen import settle
from tests.support.terminal import ENTER, Terminal, terminal

PICTURE = ROOT / "docs" / "screenshot.svg"
COLUMNS, ROWS = 84, 30
WIDTH, HEIGHT = 8.4, 18.0  # of a cell
TURNS = (
    "Define a list of the first ten primes",
    "Print their sum and their mean",
    "Make a dictionary that maps each prime to its square, and print it",
)
PALETTE = {
    "default": "#d8dee9",
    "black": "#3b4252",
    "red": "#ff7b72",
    "green": "#7ee787",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#eceff4",
    "brightblack": "#8b949e",
    "brightred": "#ffa198",
    "brightgreen": "#aff5b4",
    "brightbrown": "#f8e3a1",
    "brightblue": "#a5d6ff",
    "brightmagenta": "#e2c5ff",
    "brightcyan": "#b3f0ff",
    "brightwhite": "#ffffff",
}
BACKGROUND = "#0d1117"


def color(name: str, otherwise: str) -> str:
    if name == "default":
        return otherwise
    return PALETTE.get(name, f"#{name}")


def drawn(shown: Terminal) -> str:
    """The screen as a picture: one text for each run of cells that look the same."""
    parts = []
    last = shown.screen.cursor.y
    seen = [*range(last + 2), ROWS - 1]  # not the empty rows between the prompt and the toolbar
    for row, number in enumerate(seen):
        line = shown.screen.buffer[number]
        column = 0
        while column < COLUMNS:
            style, start = look(line[column]), column
            text = ""
            while column < COLUMNS and look(line[column]) == style:
                text += line[column].data or " "
                column += 1
            parts.append(cells(text, start, row, *style))
    width, height = COLUMNS * WIDTH + 24, len(seen) * HEIGHT + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-size="14"'
        ' font-family="DejaVu Sans Mono, ui-monospace, Menlo, Consolas, monospace">\n'
        f"<title>A session of mtchat in a terminal</title>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>\n' + "".join(parts) + "</svg>\n"
    )


def look(cell: Char) -> tuple[str, str, bool]:
    """Foreground, background and weight of a cell."""
    front, back = color(cell.fg, PALETTE["default"]), color(cell.bg, BACKGROUND)
    if cell.reverse:
        front, back = back, front
    return front, back, cell.bold


def cells(text: str, column: int, row: int, front: str, back: str, bold: bool) -> str:
    x, y = 12 + column * WIDTH, 12 + row * HEIGHT
    drawn = ""
    if back != BACKGROUND:
        drawn += (
            f'<rect x="{x:g}" y="{y:g}" width="{len(text) * WIDTH:g}" height="{HEIGHT:g}" fill="{back}"/>\n'
        )
    if text.strip():
        weight = ' font-weight="bold"' if bold else ""
        drawn += (
            f'<text x="{x:g}" y="{y + 13:g}" fill="{front}"{weight} xml:space="preserve"'
            f' textLength="{len(text) * WIDTH:g}">{escape(text)}</text>\n'
        )
    return drawn


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "mtchat", "--sessions", folder, "primes"]
        with terminal(words, Path(folder), columns=COLUMNS, rows=ROWS) as shown:
            shown.wait("1› ", 60)
            for number, instruction in enumerate(TURNS, start=1):
                shown.send(instruction + ENTER)
                shown.wait(f"{number + 1}› ", 200)
                settle(shown)
            PICTURE.write_text(drawn(shown), encoding="utf-8")
            print(shown.text)


if __name__ == "__main__":
    main()
