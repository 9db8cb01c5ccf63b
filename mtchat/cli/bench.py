"""mtchat bench: what is measured."""

import argparse

from mtchat.errors import ExitCode, UsageError


def bench(args: argparse.Namespace) -> int:
    match args.what:
        case "speed":
            return speed(args)
        case "report":
            from mtchat.cli.bench_report import bench_report

            bench_report(args)
        case _:
            from mtchat.cli.bench_quality import bench_quality

            bench_quality(args)
    return ExitCode.DONE


def speed(args: argparse.Namespace) -> int:
    """Fails when a target of the sandbox suite is missed and --strict is given."""
    if args.repeats is not None and args.repeats < 1:
        raise UsageError("--repeats is 1 or more")
    met = True
    if args.suite in ("model", "all"):
        from mtchat.cli.bench_model import bench_model

        bench_model(args)
    if args.suite == "gpu":
        from mtchat.cli.bench_gpu import bench_gpu

        bench_gpu(args)
    if args.suite in ("sandbox", "all"):
        from mtchat.cli.bench_sandbox import bench_sandbox

        met = bench_sandbox(args)
    return ExitCode.FAILED if args.strict and not met else ExitCode.DONE
