"""Rows as a table to read: medians with their spread, and how many times better we are than each peer."""

from collections.abc import Collection, Iterable, Sequence

from mtchat.bench.speed.rows import Quantity, Row, better


def table(rows: Sequence[Row], quantities: Iterable[Quantity], own: Collection[str] = ()) -> str:
    """Markdown; the first engine is ours. A quantity that ours does not have is left out.

    Others of our `own` stand beside it, and it is not compared with them.
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
        line = [quantity.name, quantity.unit, value(mine)]
        for peer in peers:
            theirs = found.get((peer, quantity.name))
            other = theirs or found.get((peer, quantity.like))
            line.append(value(theirs) if theirs else "")
            if peer not in own:
                line.append(f"{better(mine, other, quantity):.1f}" if other else "")
        cells.append(line)
    return aligned(cells)


def aligned(cells: Sequence[Sequence[str]], words: int = 2) -> str:
    """Markdown whose columns are as wide as their widest cell; the first ones are words."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rules = ["-" * width if place < words else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    lines = []
    for cell in (cells[0], rules, *cells[1:]):
        padded = [
            text.ljust(width) if place < words else text.rjust(width)
            for place, (text, width) in enumerate(zip(cell, widths, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
    return "\n".join(lines) + "\n"


def value(row: Row) -> str:
    """The median, and the least and the most of several runs."""
    if row.runs == 1:
        return short(row.median)
    return f"{short(row.median)} ({short(row.min)}–{short(row.max)})"


def short(number: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
