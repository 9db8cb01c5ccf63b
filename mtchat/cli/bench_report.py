"""mtchat bench report: runs of the benchmarks side by side."""

import argparse


def bench_report(args: argparse.Namespace) -> None: ...
