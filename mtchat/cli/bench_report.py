"""mtchat bench report: runs of the benchmarks side by side."""

import argparse
import importlib.util
from datetime import date

from mtchat import __version__
from mtchat.bench.quality.chart import chart
from mtchat.bench.quality.report import comparison, summary, to_json
from mtchat.bench.quality.runs import read
from mtchat.errors import MtchatError


def bench_report(args: argparse.Namespace) -> None:
    """Prints one run by itself, several as a table; writes figures and a picture where they are asked for."""
    if args.plot and not importlib.util.find_spec("matplotlib"):
        raise MtchatError("--plot needs matplotlib: pip install matplotlib, or leave it out")
    runs = [read(path) for path in args.runs]
    print(summary(runs[0]) if len(runs) == 1 else comparison(runs), end="")
    try:
        if args.json:
            args.json.write_text(to_json(runs), "utf-8")
        if args.plot:
            chart(runs, args.plot, f"mtchat {__version__}, {date.today()}")
    except OSError as error:
        raise MtchatError(f"cannot write {error.filename}: {error.strerror}") from None
