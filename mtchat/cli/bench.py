"""mtchat bench: hands the model, the sandbox and the arguments to what measures them; code quality is in
`quality`."""

import argparse
import platform
import sys
from typing import TYPE_CHECKING, Any

from mtchat import store
from mtchat.bench.output import Say, check_targets, progress, save
from mtchat.console.view import View
from mtchat.errors import ExitCode, SandboxError, UsageError
from mtchat.models import loader
from mtchat.session.settings import OFF, Limits, Sampling, Settings
from mtchat.version import __version__

if TYPE_CHECKING:
    from mtchat.bench.speed.engine import Sizes
    from mtchat.bench.speed.workload import Workload
    from mtchat.features.understand.reading import Understanding
    from mtchat.session.session import Session

MODEL_REPEATS, SANDBOX_REPEATS = 5, 30
LONGEST = 160  # tokens of a recorded reply that is measured
SPEED_LIMITS = Limits(seconds=20.0)


def run_bench(args: argparse.Namespace) -> int:
    match args.what:
        case "speed":
            return measure_speed(args)
        case "intent":
            measure_intent(args)
        case _:
            from mtchat.cli import quality

            measure = {"report": quality.print_report, "table": quality.measure_table}
            measure.get(args.what, quality.measure_suite)(args)
    return ExitCode.DONE


def measure_speed(args: argparse.Namespace) -> int:
    """Fails if a target of the sandbox or the host suite is missed and --strict is given."""
    if args.repeats is not None and args.repeats < 1:
        raise UsageError("--repeats must be at least 1")
    met = True
    if args.suite in ("model", "all"):
        measure_model(args)
    if args.suite == "gpu":
        measure_gpu(args)
    if args.suite in ("sandbox", "all"):
        met = measure_sandbox(args)
    if args.suite in ("host", "all"):
        met = measure_host(args) and met
    return ExitCode.FAILED if args.strict and not met else ExitCode.DONE


def measure_model(args: argparse.Namespace) -> None:
    """Print a table; write the rows and a plot to files if asked."""
    from mtchat.bench.speed import model
    from mtchat.bench.speed.engine import OURS, QUICK, EngineSetup, Sizes
    from mtchat.bench.speed.measures import choose_measures
    from mtchat.bench.speed.results import plot, to_json
    from mtchat.inference.cpu.kernels import thread_count

    check_targets(args.json, args.plot)
    measures = choose_measures(args.only)
    with progress(View.of(sys.stderr)) as say:
        file = str(loader.locate(args.model, say)[0])
        against = model.find_peers(args.against, file)
        sizes = QUICK if args.quick else Sizes()
        workload, precision = build_workload(args, sizes, say)
        setup = EngineSetup(OURS, args.model, file, args.precision, thread_count())
        command = (sys.executable, "-m", "mtchat.bench.speed.process")
        repeats = args.repeats or MODEL_REPEATS
        found = model.compare(setup, precision, against, workload, sizes, repeats, command, say, measures)
    print(found)
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(found.rows), "utf-8"))
    if args.plot:
        save(args.plot, lambda path: plot(found.rows, model.QUANTITIES, path, found.title))


def build_workload(args: argparse.Namespace, sizes: "Sizes", say: Say) -> "tuple[Workload, str]":
    """The texts to measure with, as prompts of this model, and the precision it computes in."""
    from mtchat.bench.speed.workload import WorkloadBuilder
    from mtchat.conversation.conversation import Conversation

    engine: Any = loader.load(args.model, args.precision, lambda stage: say(f"{args.model}: {stage}"))
    chat = Conversation(engine, settings=Settings(run=OFF), family=args.family)
    generator = chat.generator()
    builder = WorkloadBuilder(
        render=lambda path, instruction: generator.family.render(path, instruction, "", ""),
        text=engine.text,
        ids=lambda text: engine.ids(text, special=False),
        length=lambda prompt: generator.write(prompt, Sampling(max_tokens=LONGEST)).usage.completion_tokens,
    )
    sessions = [store.load(path) for path in store.paths(store.recorded_folder(args.sessions))]
    say("preparing the workload")
    paths = [session.path for session in sessions if session.path]
    return builder.build(paths, sizes.replies), engine.card.precision


def measure_gpu(args: argparse.Namespace) -> None:
    """Print a table for each shape; write the rows to a file if asked."""
    from mtchat.inference.loaders import devices

    if not devices.list_gpus():
        raise UsageError("no GPU found; mtchat bench speed measures the CPU")
    from mtchat.bench.speed.gpu import suite
    from mtchat.bench.speed.results import Measurement, to_json

    check_targets(args.json, None)
    run = suite.choose(args.shapes, args.dtype, args.also, args.static, args.repeats)
    print(suite.describe(run, devices.list_gpus()[0]))
    rows: list[Measurement] = []
    with progress(View.of(sys.stderr)) as say:
        for name in run.shapes:
            rows += suite.measure_shape(name, run, say, lambda text: print(text, flush=True))
            suite.free_memory()
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(rows), "utf-8"))


def measure_sandbox(args: argparse.Namespace) -> bool:
    """Print a table; whether every target was met."""
    from mtchat.bench.speed import sandbox as suite
    from mtchat.sandbox.checkpoints.worker import Worker
    from mtchat.sandbox.host import execute

    repeats = args.repeats or SANDBOX_REPEATS
    found = execute.probe()
    if not found.ok:
        raise SandboxError(f"the sandbox suite needs a sandbox: {found.reason}; {found.fix}")
    with Worker() as worker:
        cases = suite.make_cases(
            lambda program: execute.run(program, SPEED_LIMITS),
            lambda program, keep: worker.run(program, SPEED_LIMITS, keep=keep),
        )
        timings = list(suite.measure_cases(cases, repeats))
    print(
        f"mtchat {__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"sandbox {found.tier}; medians of {repeats} runs, in milliseconds\n"
    )
    sys.stdout.write(suite.format_table(timings))
    return all(timing.met is not False for timing in timings)


def measure_host(args: argparse.Namespace) -> bool:
    """Print a table; whether the target was met."""
    from mtchat.bench.speed import host

    found = host.measure_host(repeats=args.repeats or host.REPEATS)
    print(
        f"mtchat {__version__}, Python {platform.python_version()}, {platform.machine()}; in milliseconds\n"
    )
    sys.stdout.write(host.format_table(found))
    return found.met


def measure_intent(args: argparse.Namespace) -> None:
    """Print the confusion matrix, and the figures as JSON."""
    from mtchat.bench import intent
    from mtchat.conversation.conversation import Conversation
    from mtchat.inference.loaders import devices

    if args.limit is not None and args.limit < 1:
        raise UsageError("--limit must be at least 1")
    rows = intent.read_rows(args.data)[: args.limit]
    device = devices.choose_device(args.device, args.precision)
    with progress(View.of(sys.stderr)) as say:
        model = loader.load(args.model, args.precision, lambda stage: say(f"{args.model}: {stage}"), device)
        chat = Conversation(model, settings=Settings(run=OFF), family=args.family)

        def understand(session: "Session", text: str) -> "Understanding":
            chat.session = session
            return chat.understand(text)

        results = intent.measure(rows, understand, say)
    print(intent.format_table(results), end="\n\n")
    print(intent.to_json(results, model.card.name))
