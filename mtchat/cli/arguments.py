"""What can be typed after `mtchat`: the words, their help, their values."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from mtchat.errors import UsageError
from mtchat.generate import policy
from mtchat.session.settings import HELP, Settings
from mtchat.version import __version__

TALK = "talk"
LIMITS = ("seconds", "memory_mib", "disk_mib", "output_kib")
VERBS = {
    "run": "run the assembled program of a session, or any .py file, in the sandbox",
    "replay": "play a session back, or make every turn again and compare",
    "export": "write a session as a program or a document",
    "import": "make a session from a Python file or a notebook",
    "sessions": "list the sessions",
    "models": "list the models; get or remove one",
    "bench": "measure how fast it is, and how good",
    "doctor": "say what works on this machine, and what to do about what does not",
}
NO_PROGRAM = "which program? give mtchat run a SESSION or a FILE.py; mtchat sessions lists the sessions"
EPILOG = "\n".join(
    [
        "other commands (each has its own --help):",
        *(f"  mtchat {verb:<9} {meaning}" for verb, meaning in VERBS.items()),
        "",
        "exit codes: 0 done, 1 the program or a check failed, 2 wrong usage, 3 model unavailable,",
        "4 sandbox refused, 130 interrupted; mtchat run ends with the program's own, or with 1 where",
        "only a check fails",
    ]
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are MtchatErrors, and whose options are typed in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help says more")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with the verb in `.verb`: "talk" for the REPL and the scripted mode."""
    if argv and argv[0] == "run":
        return with_program(argv[1:])
    if argv and argv[0] in VERBS:
        parser = BUILD[argv[0]]()
        return parser.parse_args(argv[1:], argparse.Namespace(verb=argv[0]))
    return talk().parse_args(argv, argparse.Namespace(verb=TALK))


def with_program(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of `mtchat run`: what follows -- is the program's, options too."""
    ours, theirs = argv, []
    if "--" in argv:
        ours, theirs = argv[: argv.index("--")], list(argv[argv.index("--") + 1 :])
    try:
        args = run().parse_intermixed_args(ours, argparse.Namespace(verb="run"))
    except UsageError as error:
        if "required" in str(error):
            raise UsageError(NO_PROGRAM) from None
        hint = "; options of the program follow --" if "unrecognized" in str(error) else ""
        raise UsageError(f"{error}{hint}") from None
    args.arguments = [*args.arguments, *theirs]
    return args


def talk() -> Parser:
    parser = Parser(
        prog="mtchat",
        description="Builds a Python program by conversation: one instruction a turn.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "session", nargs="?", metavar="SESSION", help="a name or path; a new one when left out"
    )
    parser.add_argument(
        "-p", "--prompt", action="append", default=[], metavar="TEXT", help="an instruction; no REPL then"
    )
    parser.add_argument(
        "--run", action="store_true", help="print what the program prints instead of its code"
    )
    parser.add_argument(
        "--edit",
        type=int,
        metavar="N",
        help="-p TEXT takes the place of turn N's instruction; later turns that do not fit are made again",
    )
    parser.add_argument(
        "--code",
        nargs=2,
        metavar=("N", "FILE"),
        help="the code in FILE takes the place of turn N's; the model fills <<fill>> or <<fill: what>> in it",
    )
    parser.add_argument("--fix", action="store_true", help="ask the model to mend each turn that fails")
    attach_option(parser)
    model_options(parser)
    device_option(parser)
    folder_option(parser)
    unsafe_option(parser)
    for field in fields(Settings):
        flag = "--" + field.name.replace("_", "-")
        if field.name != "run":
            parser.add_argument(flag, dest=f"set_{field.name}", metavar="X", help=HELP[field.name])
    parser.add_argument("--version", action="version", version=f"mtchat {__version__}")
    return parser


def model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="starter", help="starter, starter-small, a folder, a .gguf file, a hub name"
    )
    parser.add_argument(
        "--family", default="", help="how the model is prompted; chosen by the model if left out"
    )
    formats = ["auto", "quantised", "float32", "bfloat16", "float16", "int8", "int4"]
    parser.add_argument("--precision", default="auto", choices=formats)


def device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="a GPU if there is one"
    )


def folder_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=Path, metavar="DIR", help="the sessions folder")


def unsafe_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unsafe-no-sandbox",
        dest="unsafe",
        action="store_true",
        help="run programs with nothing around them: they can read and change what you can",
    )


def attach_option(parser: Parser) -> None:
    parser.add_argument(
        "--attach",
        action="append",
        default=[],
        metavar="FILE",
        help="give the program a copy of a file, or of a folder with its files, in its work folder",
    )


def verb(name: str) -> Parser:
    return Parser(prog=f"mtchat {name}", description=VERBS[name][0].upper() + VERBS[name][1:] + ".")


def run() -> Parser:
    parser = verb("run")
    parser.add_argument("session", metavar="SESSION|FILE.py")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="ARG",
        help="the program's; those that begin with a dash follow --",
    )
    parser.add_argument(
        "--files",
        type=Path,
        metavar="DIR",
        help="where files the program leaves are copied; yours there stay",
    )
    parser.add_argument("--stdin", metavar="FILE", help="what the program reads as keyboard input")
    attach_option(parser)
    for name in LIMITS:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"set_{name}", metavar="X", help=HELP[name])
    folder_option(parser)
    unsafe_option(parser)
    return parser


def replay() -> Parser:
    parser = verb("replay")
    parser.add_argument("session", metavar="SESSION")
    parser.add_argument("--verify", action="store_true", help="make every turn again from its seed")
    parser.add_argument("--model", default="", help="where the session's model is, when not by its own name")
    folder_option(parser)
    unsafe_option(parser)
    return parser


def export() -> Parser:
    parser = verb("export")
    parser.add_argument("session", metavar="SESSION")
    parser.add_argument(
        "--to",
        default="",
        metavar="FORMAT",
        help="py, code, ipynb, md, html or mtpb; without it, what the suffix of FILE says, or py",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="- or left out: standard output")
    parser.add_argument("--force", action="store_true", help="overwrite FILE where it is there already")
    folder_option(parser)
    return parser


def bench() -> Parser:
    parser = verb("bench")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT", parser_class=Parser)
    speed(kinds.add_parser("speed", help="how fast the model and the sandbox are", description=SPEED))
    for name, title in SUITES.items():
        quality(kinds.add_parser(name, help=f"how good the programs are: {title}", description=title + "."))
    report = kinds.add_parser("report", help="compare runs of the benchmarks", description=REPORT)
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="files that --out named")
    report.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    report.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them (matplotlib)")
    return parser


SPEED = "Measures how fast this machine is."
REPORT = "Compares runs of the benchmarks, with intervals, and with what was published."
SUITES = {
    "mtpb": "the multi-turn programming benchmark of CodeGen",
    "humaneval": "HumanEval, functions from their docstrings",
    "mbpp": "MBPP, sanitised: functions from a sentence",
}


def speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--suite",
        default="model",
        choices=["model", "gpu", "sandbox", "all"],
        help="what to time; the model at first, gpu is models of many sizes on a GPU",
    )
    model_options(parser)
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="how often each thing is timed; 5, or 30 in the sandbox"
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="NAMES",
        help="other engines to measure with the same model: transformers,llama.cpp",
    )
    parser.add_argument(
        "--shapes", default="", metavar="NAMES", help="gpu: codegen-350M,codegen-2B and so on; all"
    )
    parser.add_argument(
        "--dtype", default="bfloat16", choices=["bfloat16", "float16"], help="gpu: number format"
    )
    parser.add_argument(
        "--also", default="", metavar="FORMATS", help="gpu: mtchat in other formats too: int8,int4"
    )
    parser.add_argument("--static", action="store_true", help="gpu: generate with a static cache too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the model's rows to a file")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the model's rows (matplotlib)")
    parser.add_argument("--quick", action="store_true", help="short texts, to try it out: times are rough")
    parser.add_argument("--strict", action="store_true", help="fail when a target of the sandbox is missed")
    folder_option(parser)


def quality(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="FILE", help="the benchmark's problems")
    model_options(parser)
    device_option(parser)
    parser.add_argument("--mode", default="", help="multi (turns), single (all at once) or completion")
    parser.add_argument("--policy", default="default", metavar="NAME", help="how turns are made")
    parser.add_argument("--n", type=int, default=1, metavar="N", help="samples of each conversation")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0 is greedy")
    parser.add_argument("--top-p", type=float, default=0.95, metavar="P")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--limit", type=int, metavar="K", help="only the first so many problems")
    parser.add_argument("--inputs", type=int, metavar="K", help="only the first so many inputs of each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="results file; resumes if it exists")
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help="number of conversations to run in parallel"
    )
    parser.add_argument("--lanes", type=int, dest="concurrency", help=argparse.SUPPRESS)  # its old name
    parser.add_argument("--no-run", dest="run", action="store_false", help="run nothing between the turns")
    parser.add_argument(
        "--ask", action="store_true", help="a simulated user says what is meant, from the wanted value"
    )
    unsafe_option(parser)


def bring() -> Parser:
    parser = verb("import")
    parser.add_argument("file", type=Path, metavar="FILE.py")
    parser.add_argument("--name", default="", help="the session's name; the file's when left out")
    folder_option(parser)
    return parser


def sessions() -> Parser:
    parser = verb("sessions")
    folder_option(parser)
    return parser


def models() -> Parser:
    parser = verb("models")
    parser.add_argument("action", nargs="?", choices=["list", "get", "remove"], default="list")
    parser.add_argument("names", nargs="*", metavar="NAME")
    return parser


def doctor() -> Parser:
    return verb("doctor")


BUILD = {
    "run": run,
    "replay": replay,
    "export": export,
    "import": bring,
    "sessions": sessions,
    "models": models,
    "bench": bench,
    "doctor": doctor,
}


def settings(args: argparse.Namespace) -> Settings:
    """The settings that the options give."""
    chosen = Settings()
    for field in fields(Settings):
        text = getattr(args, f"set_{field.name}", None)
        if text is not None:
            chosen = chosen.with_text(field.name, text)
    policy.load(chosen.policy)
    return chosen
