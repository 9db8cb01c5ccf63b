"""Rows as a picture: bars of each engine, with the spread of the runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mtchat.bench.speed.rows import Quantity, Row
from mtchat.bench.speed.table import short
from mtchat.session.escape import escaped

COLOURS = ("#1f6f8b", "#e0a458", "#9aa5b1", "#b56576", "#6d597a")
DRAWN = {"tok/s": "tokens per second", "s": "seconds", "MiB": "MiB"}  # ratios and limits are not
WIDEST = 6.0  # what is so many times smaller than the longest bar gets a panel of its own


def plot(rows: Sequence[Row], quantities: Sequence[Quantity], path: Path, title: str) -> None:
    """A PNG with a panel for each group, and for those quantities of a group that are far smaller."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a $ in a name is a $
        drawn(rows, quantities, escaped(title)).savefig(path, dpi=150)


def drawn(rows: Sequence[Row], quantities: Sequence[Quantity], title: str) -> Any:
    from matplotlib.figure import Figure

    panels = list(split(rows, quantities))
    engines = list(dict.fromkeys(row.engine for row in rows))
    heights = [len(names) * (len(engines) * 0.22 + 0.25) + 0.5 for names in panels]
    figure = Figure(figsize=(9, sum(heights) + 1.2), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for named, here in zip(panels, axes, strict=True):
        draw(here, rows, [quantity.name for quantity in named], engines)
        first = named[0]
        what = "less" if first.less else "more"
        here.set_xlabel(f"{first.group}: {DRAWN[first.unit]} ({what} is better)", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(engines), frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def split(rows: Sequence[Row], quantities: Sequence[Quantity]) -> Iterator[list[Quantity]]:
    """What goes into each panel."""
    longest = {
        quantity: max(row.median for row in rows if row.name == quantity.name)
        for quantity in quantities
        if quantity.unit in DRAWN and any(row.name == quantity.name for row in rows)
    }
    for group in dict.fromkeys(quantity.group for quantity in longest):
        left = [quantity for quantity in longest if quantity.group == group]
        while left:
            top = max(longest[quantity] for quantity in left)
            here = [quantity for quantity in left if longest[quantity] * WIDEST > top]
            yield here
            left = [quantity for quantity in left if quantity not in here]


def draw(here: Any, rows: Sequence[Row], names: Sequence[str], engines: Sequence[str]) -> None:
    """Horizontal bars, the first quantity and the first engine on top."""
    found = {(row.engine, row.name): row for row in rows}
    height = 0.8 / len(engines)
    for number, engine in enumerate(engines):
        mine = [(place, found[engine, name]) for place, name in enumerate(names) if (engine, name) in found]
        middles = [place + (number - (len(engines) - 1) / 2) * height for place, _ in mine]
        medians = [row.median for _, row in mine]
        spread = [[row.median - row.min for _, row in mine], [row.max - row.median for _, row in mine]]
        colour = COLOURS[number % len(COLOURS)]
        here.barh(middles, medians, height * 0.92, xerr=spread, color=colour, label=engine,
                  error_kw={"elinewidth": 1, "ecolor": "#333333"})  # fmt: skip
        for middle, (_, row) in zip(middles, mine, strict=True):
            here.annotate(short(row.median), (row.max, middle), (4, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
    here.set_yticks(range(len(names)), names, fontsize=9)
    here.set_ylim(len(names) - 0.5, -0.5)
    here.margins(x=0.1)
    here.spines[["top", "right"]].set_visible(False)
    here.tick_params(axis="x", labelsize=8)
