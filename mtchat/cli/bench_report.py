"""mtchat bench report: runs of the benchmarks side by side."""

import argparse
from datetime import date

from mtchat.bench.quality.chart import chart
from mtchat.bench.quality.report import comparison, summary, to_json
from mtchat.bench.quality.runs import read
from mtchat.cli.figures import check, save
from mtchat.version import __version__


def bench_report(args: argparse.Namespace) -> None:
    """Prints one run by itself, several as a table; writes figures and a picture where they are asked for."""
    check(args.json, args.plot)
    runs = [read(path) for path in args.runs]
    print(summary(runs[0]) if len(runs) == 1 else comparison(runs), end="")
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(runs), "utf-8"))
    if args.plot:
        save(args.plot, lambda path: chart(runs, path, f"mtchat {__version__}, {date.today()}"))
