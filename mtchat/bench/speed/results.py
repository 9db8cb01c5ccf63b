"""Measurements as values, JSON, a Markdown table and a plot."""

import json
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtchat.bench.output import markdown_table
from mtchat.session.text import escape_controls

COLOURS = ("#1f6f8b", "#e0a458", "#9aa5b1", "#b56576", "#6d597a")
UNITS = {
    "tok/s": "tokens per second",
    "s": "seconds",
    "MiB": "MiB",
}  # of what is plotted: no ratios, no limits
WIDEST = 6.0  # a quantity this many times smaller than the longest bar gets its own panel


@dataclass(frozen=True)
class Quantity:
    """Something measured. `less`: less is better; quantities of one `group` share a panel of the plot.

    `name` is its key in tables and JSON. Engines without the quantity are compared by their value of `like`.
    """

    name: str
    unit: str
    group: str
    meaning: str
    less: bool = False
    like: str = ""


@dataclass(frozen=True)
class Measurement:
    """The values of one quantity for one engine, over `runs` runs."""

    engine: str
    model: str
    name: str
    unit: str
    median: float
    min: float
    max: float
    runs: int


Samples = Mapping[tuple[str, str], Sequence[float]]  # by engine and quantity


def collect(
    samples: Samples, quantities: Iterable[Quantity], engines: Sequence[str], model: str
) -> list[Measurement]:
    """A row for each quantity and each engine that has it, in their order."""
    return [
        measurement(engine, model, quantity, samples[engine, quantity.name])
        for quantity in quantities
        for engine in engines
        if samples.get((engine, quantity.name))
    ]


def measurement(engine: str, model: str, quantity: Quantity, seen: Sequence[float]) -> Measurement:
    median = statistics.median(seen)
    return Measurement(engine, model, quantity.name, quantity.unit, median, min(seen), max(seen), len(seen))


def to_json(rows: Iterable[Measurement]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1) + "\n"


def improvement(ours: Measurement, theirs: Measurement, quantity: Quantity) -> float:
    """By what factor ours is better."""
    return theirs.median / ours.median if quantity.less else ours.median / theirs.median


def table(rows: Sequence[Measurement], quantities: Iterable[Quantity], own: Collection[str] = ()) -> str:
    """Medians with their spread, and a factor for each peer; Markdown. The first engine is ours.

    A quantity that ours lacks is left out. Engines in `own` are ours too: they get no factor.
    """
    engines = list(dict.fromkeys(row.engine for row in rows))
    found = {(row.engine, row.name): row for row in rows}
    ours, *peers = engines
    heads = [(peer,) if peer in own else (peer, "×") for peer in peers]
    cells = [["", "unit", ours, *(cell for head in heads for cell in head)]]
    for quantity in quantities:
        mine = found.get((ours, quantity.name))
        if mine is None:
            continue
        line = [quantity.name, quantity.unit, format_value(mine)]
        for peer in peers:
            theirs = found.get((peer, quantity.name))
            other = theirs or found.get((peer, quantity.like))
            line.append(format_value(theirs) if theirs else "")
            if peer not in own:
                line.append(f"{improvement(mine, other, quantity):.1f}" if other else "")
        cells.append(line)
    return markdown_table(cells)


def legend(rows: Sequence[Measurement], quantities: Iterable[Quantity]) -> str:
    """A line for each quantity that was measured: its name and what it means."""
    found = [each for each in quantities if any(row.name == each.name for row in rows)]
    width = max((len(each.name) for each in found), default=0)
    return "".join(f"{each.name:<{width}}  {each.meaning}\n" for each in found)


def format_value(row: Measurement) -> str:
    """The median; minimum and maximum if there were several runs."""
    if row.runs == 1:
        return format_number(row.median)
    return f"{format_number(row.median)} ({format_number(row.min)}–{format_number(row.max)})"


def format_number(number: float) -> str:
    """Three significant digits, or all digits before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def plot(rows: Sequence[Measurement], quantities: Sequence[Quantity], path: Path, title: str) -> None:
    """Bars for each engine, with the spread of its runs: a panel for each group, and one for quantities of a
    group that are far smaller than the rest."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a $ in a name is a $
        draw_figure(rows, quantities, escape_controls(title)).savefig(path, dpi=150)


def draw_figure(rows: Sequence[Measurement], quantities: Sequence[Quantity], title: str) -> Any:
    from matplotlib.figure import Figure

    panels = list(split_panels(rows, quantities))
    engines = list(dict.fromkeys(row.engine for row in rows))
    heights = [len(names) * (len(engines) * 0.22 + 0.25) + 0.5 for names in panels]
    figure = Figure(figsize=(9, sum(heights) + 1.2), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for named, here in zip(panels, axes, strict=True):
        draw_panel(here, rows, [quantity.name for quantity in named], engines)
        first = named[0]
        what = "less" if first.less else "more"
        here.set_xlabel(f"{first.group}: {UNITS[first.unit]} ({what} is better)", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(engines), frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def split_panels(rows: Sequence[Measurement], quantities: Sequence[Quantity]) -> Iterator[list[Quantity]]:
    """The quantities of each panel."""
    longest = {
        quantity: max(row.median for row in rows if row.name == quantity.name)
        for quantity in quantities
        if quantity.unit in UNITS and any(row.name == quantity.name for row in rows)
    }
    for group in dict.fromkeys(quantity.group for quantity in longest):
        left = [quantity for quantity in longest if quantity.group == group]
        while left:
            top = max(longest[quantity] for quantity in left)
            here = [quantity for quantity in left if longest[quantity] * WIDEST > top]
            yield here
            left = [quantity for quantity in left if quantity not in here]


def draw_panel(here: Any, rows: Sequence[Measurement], names: Sequence[str], engines: Sequence[str]) -> None:
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
            here.annotate(format_number(row.median), (row.max, middle), (4, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
    here.set_yticks(range(len(names)), names, fontsize=9)
    here.set_ylim(len(names) - 0.5, -0.5)
    here.margins(x=0.1)
    here.spines[["top", "right"]].set_visible(False)
    here.tick_params(axis="x", labelsize=8)
