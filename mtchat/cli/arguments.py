"""The command line: verbs, options, their help and values."""

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
    "run": "run a session's program, or any .py file, in the sandbox",
    "replay": "show a session again, or regenerate every turn and compare",
    "export": "export a session as a program or a document",
    "import": "create a session from a Python file or a notebook",
    "sessions": "list the sessions",
    "models": "which models fit this machine; download or remove them",
    "bench": "measure speed and code quality",
    "doctor": "check what works on this machine, and how to fix what does not",
}
NO_PROGRAM = "no program given: mtchat run SESSION or mtchat run FILE.py; mtchat sessions lists the sessions"
EPILOG = "\n".join(
    [
        "other commands (mtchat COMMAND --help shows their options):",
        *(f"  mtchat {verb:<9} {meaning}" for verb, meaning in VERBS.items()),
        "",
        "exit codes: 0 success, 1 the program or a check failed, 2 usage error, 3 model unavailable,",
        "4 sandbox unavailable, 130 interrupted; mtchat run exits with the program's own exit code,",
        "or with 1 if only a check fails",
    ]
)


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, and wants options spelled out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments, with the verb in `.verb`: "talk" for the REPL and for scripts (-p)."""
    if argv and argv[0] == "run":
        return parse_run(argv[1:])
    if argv and argv[0] in VERBS:
        parser = PARSERS[argv[0]]()
        return parser.parse_args(argv[1:], argparse.Namespace(verb=argv[0]))
    return talk_parser().parse_args(argv, argparse.Namespace(verb=TALK))


def parse_run(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of `mtchat run`: everything after -- goes to the program, options too."""
    ours, theirs = argv, []
    if "--" in argv:
        ours, theirs = argv[: argv.index("--")], list(argv[argv.index("--") + 1 :])
    try:
        args = run_parser().parse_intermixed_args(ours, argparse.Namespace(verb="run"))
    except UsageError as error:
        if "required" in str(error):
            raise UsageError(NO_PROGRAM) from None
        hint = "; put options for the program after --" if "unrecognized" in str(error) else ""
        raise UsageError(f"{error}{hint}") from None
    args.arguments = [*args.arguments, *theirs]
    return args


def talk_parser() -> Parser:
    parser = Parser(
        prog="mtchat",
        description="Build a Python program by conversation, one instruction per turn.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "session", nargs="?", metavar="SESSION", help="session name or path (default: new session)"
    )
    parser.add_argument(
        "-p",
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="carry out this instruction and exit, without the REPL; may be repeated",
    )
    parser.add_argument("--run", action="store_true", help="print the program's output instead of its code")
    parser.add_argument(
        "--edit",
        type=int,
        metavar="N",
        help="replace the instruction of turn N with -p TEXT; later turns that no longer fit are regenerated",
    )
    parser.add_argument(
        "--code",
        nargs=2,
        metavar=("N", "FILE"),
        help="replace the code of turn N with FILE; the model fills in <<fill>> and <<fill: what>>",
    )
    parser.add_argument("--fix", action="store_true", help="ask the model to fix each turn that fails")
    add_attach_option(parser)
    add_model_options(parser)
    add_device_option(parser)
    add_folder_option(parser)
    add_unsafe_option(parser)
    for field in fields(Settings):
        flag = "--" + field.name.replace("_", "-")
        if field.name != "run":
            parser.add_argument(flag, dest=f"set_{field.name}", metavar="X", help=HELP[field.name])
    parser.add_argument("--version", action="version", version=f"mtchat {__version__}")
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default="starter",
        help="model name, folder, .gguf file, or hub name such as owner/repo:Q4_K_M; MODEL+ADAPTER@0.5 adds "
        "a LoRA adapter (default: starter)",
    )
    parser.add_argument("--family", default="", help="prompt format (default: chosen by the model)")
    formats = ["auto", "quantised", "llama.cpp", "float32", "bfloat16", "float16", "int8", "int4"]
    parser.add_argument(
        "--precision",
        default="auto",
        choices=formats,
        help="number format of the weights; llama.cpp computes a .gguf file as it is (default: auto)",
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        choices=["auto", "cpu", "cuda"],
        help="auto uses a GPU if there is one (default: auto)",
    )


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=Path, metavar="DIR", help="folder of the sessions")


def add_unsafe_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unsafe-no-sandbox",
        dest="unsafe",
        action="store_true",
        help="run programs without a sandbox: they can read and change everything you can",
    )


def add_attach_option(parser: Parser) -> None:
    parser.add_argument(
        "--attach",
        action="append",
        default=[],
        metavar="FILE",
        help="give the program a copy of a file or folder in its working directory; may be repeated",
    )


def verb_parser(name: str) -> Parser:
    return Parser(prog=f"mtchat {name}", description=VERBS[name][0].upper() + VERBS[name][1:] + ".")


def run_parser() -> Parser:
    parser = verb_parser("run")
    parser.add_argument("session", metavar="SESSION|FILE.py")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="ARG",
        help="arguments for the program (put options after --)",
    )
    parser.add_argument(
        "--files",
        type=Path,
        metavar="DIR",
        help="where to copy the files that the program writes; your own files there are kept",
    )
    parser.add_argument("--stdin", metavar="FILE", help="file that the program reads as keyboard input")
    add_attach_option(parser)
    for name in LIMITS:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"set_{name}", metavar="X", help=HELP[name])
    add_folder_option(parser)
    add_unsafe_option(parser)
    return parser


def replay_parser() -> Parser:
    parser = verb_parser("replay")
    parser.add_argument("session", metavar="SESSION")
    parser.add_argument(
        "--verify", action="store_true", help="regenerate every turn from its seed, and compare"
    )
    parser.add_argument(
        "--model", default="", help="the session's model, if it is not found under its own name"
    )
    add_folder_option(parser)
    add_unsafe_option(parser)
    return parser


def export_parser() -> Parser:
    parser = verb_parser("export")
    parser.add_argument("session", metavar="SESSION")
    parser.add_argument(
        "--to",
        default="",
        metavar="FORMAT",
        help="py, code, ipynb, md, html or mtpb (default: by the suffix of FILE, else py)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write to FILE (default: standard output)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it exists")
    add_folder_option(parser)
    return parser


def bench_parser() -> Parser:
    parser = verb_parser("bench")
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT", parser_class=Parser)
    add_speed_options(kinds.add_parser("speed", help="speed of the model and the sandbox", description=SPEED))
    for name, title in SUITES.items():
        add_quality_options(
            kinds.add_parser(
                name, help=f"code quality: {title}", description=title[0].upper() + title[1:] + "."
            )
        )
    add_table_options(kinds.add_parser("table", help="code quality on all sets at once", description=TABLE))
    add_intent_options(kinds.add_parser("intent", help="how well texts are understood", description=INTENT))
    report = kinds.add_parser("report", help="compare the results of benchmark runs", description=REPORT)
    report.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="results files, as written with --out"
    )
    report.add_argument(
        "--table", action="store_true", help="a column for each set, gains, and what the programs are like"
    )
    report.add_argument(
        "--folds",
        nargs="?",
        type=int,
        const=5,
        metavar="N",
        help="gains set by set and in N folds of the problems, and which ways to keep (default: 5 folds)",
    )
    report.add_argument(
        "--baseline",
        default="",
        metavar="WAY",
        help="the way that gains are over, as tables name it (default: plain, else that of the first run)",
    )
    report.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    report.add_argument("--plot", type=Path, metavar="FILE.png", help="write a plot (needs matplotlib)")
    return parser


SPEED = "Measure the speed of this machine."
INTENT = (
    "Measure how well typed texts are understood: as steps, changes of a turn, renames, checks, questions or "
    "talk. The last line on stdout is a JSON object."
)
TABLE = (
    "Measure code quality on all sets of problems in a folder, in several ways with one model, and print a "
    "table. It ends when its time is over; the same command resumes."
)
POLICY_HELP = (
    "generation strategies, as in plain,single:plain,default+run=off,plain+think=512: each may name "
    "its mode and settings (default: %(default)s)"
)
REPORT = "Compare benchmark runs, with confidence intervals, and with published rates."
SUITES = {
    "mtpb": "the Multi-Turn Programming Benchmark of CodeGen",
    "humaneval": "HumanEval, functions from docstrings",
    "mbpp": "MBPP (sanitised), functions from one-sentence descriptions",
    "pro": "HumanEval Pro and MBPP Pro, two functions of which the second uses the first",
}


def add_speed_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--suite",
        default="model",
        choices=["model", "gpu", "sandbox", "host", "all"],
        help=(
            "what to measure: the model, models of many sizes on a GPU, the sandbox, or what mtchat itself "
            "spends on a turn (default: model)"
        ),
    )
    add_model_options(parser)
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="runs per measurement (default: 5; sandbox: 30; host: 3)"
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="NAMES",
        help="other engines to compare with, on the same model: transformers,llama.cpp",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="NAMES",
        help="model: measure only these, such as prefill,decode,decode_1000 (default: all)",
    )
    parser.add_argument(
        "--shapes",
        default="",
        metavar="NAMES",
        help="gpu: model sizes, such as codegen-350M,codegen-2B (default: all)",
    )
    parser.add_argument(
        "--dtype",
        default="bfloat16",
        choices=["bfloat16", "float16"],
        help="gpu: number format (default: bfloat16)",
    )
    parser.add_argument(
        "--also", default="", metavar="FORMATS", help="gpu: also measure mtchat in these formats: int8,int4"
    )
    parser.add_argument(
        "--static", action="store_true", help="gpu: also measure generate with a static cache"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="write a plot (needs matplotlib)")
    parser.add_argument("--quick", action="store_true", help="use short texts; times are approximate")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if the sandbox misses a target")
    add_folder_option(parser)


def add_intent_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="rows of programs and what was typed next"
    )
    add_model_options(parser)
    add_device_option(parser)
    parser.add_argument("--limit", type=int, metavar="K", help="only the first K rows")


def add_quality_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="FILE", help="file with the benchmark's problems")
    add_model_options(parser)
    add_device_option(parser)
    parser.add_argument("--mode", default="", help="multi (turn by turn), single (all at once) or completion")
    parser.add_argument("--policy", default="default", metavar="NAMES", help=POLICY_HELP)
    parser.add_argument("--out", type=Path, metavar="FILE", help="results file; resumes if it exists")
    parser.add_argument(
        "--ask", action="store_true", help="a simulated user answers questions, judging by the expected value"
    )
    add_conversation_options(parser)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder with the files of problems"
    )
    parser.add_argument(
        "--sets", default="", metavar="NAMES", help="the files to use, without their endings (default: all)"
    )
    add_model_options(parser)
    add_device_option(parser)
    parser.add_argument(
        "--policy", default="plain,default,best,single:plain", metavar="NAMES", help=POLICY_HELP
    )
    parser.add_argument(
        "--out", type=Path, default=Path("table"), metavar="DIR", help="folder of the results files"
    )
    add_conversation_options(parser)


def add_conversation_options(parser: argparse.ArgumentParser) -> None:
    """How the conversations of a benchmark are held, and how many."""
    parser.add_argument("--n", type=int, default=1, metavar="N", help="samples per conversation (default: 1)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0 is greedy (default: 0)"
    )
    parser.add_argument(
        "--top-p", type=float, default=0.95, metavar="P", help="nucleus sampling (default: 0.95)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="random seed (default: 0)")
    parser.add_argument("--limit", type=int, metavar="K", help="only the first K problems")
    parser.add_argument("--inputs", type=int, metavar="K", help="only the first K inputs of each problem")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="end after M minutes with what is finished"
    )
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help="number of conversations to run in parallel"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="share the conversations among N processes, each with the model (default: 1; 12 suit a GPU)",
    )
    parser.add_argument("--lanes", type=int, dest="concurrency", help=argparse.SUPPRESS)  # its old name
    parser.add_argument(
        "--no-run", dest="run", action="store_false", help="do not run the program between turns"
    )
    parser.add_argument(
        "--no-understanding",
        dest="understanding",
        action="store_false",
        help="multi: each instruction is a next step, and none changes an earlier turn",
    )
    add_unsafe_option(parser)


def import_parser() -> Parser:
    parser = verb_parser("import")
    parser.add_argument("file", type=Path, metavar="FILE.py")
    parser.add_argument("--name", default="", help="session name (default: the name of the file)")
    add_folder_option(parser)
    return parser


def sessions_parser() -> Parser:
    parser = verb_parser("sessions")
    add_folder_option(parser)
    return parser


def models_parser() -> Parser:
    parser = verb_parser("models")
    parser.add_argument(
        "action", nargs="?", choices=["list", "get", "remove"], default="list", help="default: list"
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="list: print everything as JSON, for programs")
    parser.add_argument(
        "--measure", action="store_true", help="list: measure the speed of this machine again"
    )
    return parser


def doctor_parser() -> Parser:
    return verb_parser("doctor")


PARSERS = {
    "run": run_parser,
    "replay": replay_parser,
    "export": export_parser,
    "import": import_parser,
    "sessions": sessions_parser,
    "models": models_parser,
    "bench": bench_parser,
    "doctor": doctor_parser,
}


def read_settings(args: argparse.Namespace) -> Settings:
    """The settings given as options."""
    chosen = Settings()
    for field in fields(Settings):
        text = getattr(args, f"set_{field.name}", None)
        if text is not None:
            chosen = chosen.with_text(field.name, text)
    policy.load(chosen.policy)
    return chosen
