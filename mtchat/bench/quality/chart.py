"""Runs as a plot: bars with intervals for each suite, and lines at published rates."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from mtchat.bench.quality.report import PublishedRate, describe_setup, published_rates
from mtchat.bench.quality.results import VERDICTS, RunStatistics, analyse
from mtchat.bench.quality.run_file import RecordedRun
from mtchat.session.text import escape_controls

COLOURS = dict(zip(VERDICTS, ("#1f6f8b", "#e0a458"), strict=True))
BAR = 0.38
WIDE = 36  # characters per line of a run's label
APART = 3.2  # percent of the width that a rotated label needs
DASHED = "#6d597a"


def chart(runs: Sequence[RecordedRun], path: Path, title: str) -> None:
    """An image with a panel for each suite, its runs in order from the top."""
    from matplotlib import rc_context

    with rc_context({"text.parse_math": False}):  # a $ in a name is a $
        draw_figure(runs, escape_controls(title)).savefig(path, dpi=150)


def draw_figure(runs: Sequence[RecordedRun], title: str) -> Any:
    from matplotlib.figure import Figure

    results = [analyse(run) for run in runs]
    suites = list(dict.fromkeys(each.header.suite for each in results))
    panels = [[each for each in results if each.header.suite == suite] for suite in suites]
    heights = [0.75 * len(panel) + 0.2 for panel in panels]
    names = sum(1.6 if published_rates(suite) else 0.6 for suite in suites)  # labels above the panels
    figure = Figure(figsize=(10, sum(heights) + names + 0.9), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for suite, panel, here in zip(suites, panels, axes, strict=True):
        draw_bars(here, panel)
        mark_published(here, published_rates(suite))
        here.set_title(escape_controls(suite), loc="left", fontsize=11, fontweight="bold")
    axes[-1].set_xlabel("conversations that pass (%), with 95 % intervals over problems", fontsize=9)
    handles, labels = max(
        (here.get_legend_handles_labels() for here in axes), key=lambda found: len(found[0])
    )
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def draw_bars(here: Any, panel: Sequence[RunStatistics]) -> None:
    """A bar for each verdict of each run, with its interval and value."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        middles = [place + (number - 0.5) * BAR for place in range(len(panel))]
        rates = [each.whole.rates[name] for each in panel]
        values = [100 * rate.value for rate in rates]
        spread = [[100 * (rate.value - rate.low) for rate in rates],
                  [100 * (rate.high - rate.value) for rate in rates]]  # fmt: skip
        here.barh(middles, values, BAR * 0.92, xerr=spread, color=colour, label=name,
                  error_kw={"elinewidth": 1, "ecolor": "#333333", "capsize": 2})  # fmt: skip
        for middle, rate in zip(middles, rates, strict=True):
            here.annotate(f"{100 * rate.value:.1f}", (100 * rate.high, middle), (5, 0), va="center",
                          textcoords="offset points", fontsize=8, backgroundcolor="white",
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # fmt: skip
    here.set_yticks(range(len(panel)), [run_label(each) for each in panel], fontsize=8.5)
    here.set_ylim(len(panel) - 0.5, -0.5)
    here.set_xlim(0, 100)
    here.spines[["top", "right"]].set_visible(False)
    here.tick_params(axis="x", labelsize=8)


def run_label(found: RunStatistics) -> str:
    header = found.header
    samples = f", n = {header.samples}" if header.samples > 1 else ""
    unfinished = " (unfinished)" if found.missing else ""
    return escape_controls(
        f"{header.model} {header.precision}\n" + fill(f"{describe_setup(header)}{samples}{unfinished}", WIDE)
    )


def mark_published(here: Any, known: Sequence[PublishedRate]) -> None:
    """Dashed lines at published rates, their names above the panel, spread so that none overlap."""
    known = sorted(known, key=lambda each: each.rate)
    places = spread_out([100 * each.rate for each in known], APART)
    above = here.get_xaxis_transform()  # percent along, parts of the panel up
    for number, (each, place) in enumerate(zip(known, places, strict=True)):
        rate, name = 100 * each.rate, "" if number else "published (other conditions)"
        here.axvline(rate, color=DASHED, linestyle="--", linewidth=1, zorder=0, label=name)
        here.plot([rate, place], [1, 1.06], transform=above, color=DASHED, linewidth=0.8, clip_on=False)
        here.text(place, 1.08, f"{each.short} {rate:.1f}", transform=above, rotation=40, fontsize=8,
                  color=DASHED, ha="left", va="bottom", rotation_mode="anchor")  # fmt: skip


def spread_out(places: Sequence[float], apart: float) -> list[float]:
    """Sorted places, moved as little as keeps them `apart`: places too close share their middle."""
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and first_place(groups[-1], apart) - last_place(groups[-2], apart) < apart:
            last = groups.pop()
            groups[-1] += last
    return [first_place(group, apart) + number * apart for group in groups for number in range(len(group))]


def first_place(group: Sequence[float], apart: float) -> float:
    return sum(group) / len(group) - apart * (len(group) - 1) / 2


def last_place(group: Sequence[float], apart: float) -> float:
    return first_place(group, apart) + apart * (len(group) - 1)
