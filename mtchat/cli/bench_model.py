"""The model suite of mtchat bench speed: our engine and its peers, wired to what measures them."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from mtchat import store
from mtchat.bench.speed import measure, peer
from mtchat.bench.speed.contest import LOAD, PEAK, Contender, Contest
from mtchat.bench.speed.conversation import Script, Writer
from mtchat.bench.speed.others import Others
from mtchat.bench.speed.peer import Peer, Setup
from mtchat.bench.speed.plot import plot
from mtchat.bench.speed.process import started
from mtchat.bench.speed.rows import rows, to_json
from mtchat.bench.speed.serving import Work
from mtchat.bench.speed.subject import QUICK, Sizes
from mtchat.bench.speed.table import table
from mtchat.cli.figures import check, save
from mtchat.cli.measured import OURS
from mtchat.console.view import View
from mtchat.generate.prompt import family
from mtchat.generate.synthesizer import TurnGenerator
from mtchat.inference.cpu.kernels import threads
from mtchat.models import loader
from mtchat.session.settings import Sampling
from mtchat.version import __version__

REPEATS = 5
LONGEST = 160  # tokens of a reply that is measured
CPU = Path("/proc/cpuinfo")
Say = Callable[[str], None]


def bench_model(args: argparse.Namespace) -> None:
    """Prints a table; writes the rows and a picture where they are asked for."""
    check(args.json, args.plot)
    notes: list[str] = []
    others = Others()
    repeats = args.repeats or REPEATS
    with progress(View.of(sys.stderr)) as say:
        file = loader.locate(args.model, say)[0]
        rivals = dict(peers(args.against, str(file), notes))
        sizes = QUICK if args.quick else Sizes()
        script, precision = written(args, sizes, say)
        if not script.steps:
            notes.append("no recorded sessions, so nothing of a session is measured; --sessions DIR has some")
        work = json.dumps(asdict(Work(script, sizes)))
        setup = Setup(OURS, args.model, str(file), args.precision, threads())
        most = {name: rival.MOST for name, rival in rivals.items()}
        contest = Contest(contenders(setup, most, work), repeats, say)
        taken = measure.measures()
        contest.hold(taken)
    quantities = (LOAD, *measure.quantities(taken), PEAK)
    found = rows(contest.samples, quantities, (OURS, *rivals), args.model)
    title = f"{args.model}, {processor()}, {setup.threads} threads, {date.today()}"
    print(f"mtchat {__version__}, {precision}; {title}")
    print("".join(f"{rival.version()}\n" for rival in rivals.values()), end="")
    runs = "one run" if repeats == 1 else f"medians of at most {repeats} runs (least–most)"
    print(f"{runs}; × is how many times better mtchat is\n")
    sys.stdout.write(table(found, quantities))
    notes += filter(None, [*contest.notes, others.note()])
    print("".join(f"\nnote: {note}" for note in notes))
    if args.json:
        save(args.json, lambda path: path.write_text(to_json(found), "utf-8"))
    if args.plot:
        save(args.plot, lambda path: plot(found, quantities, path, title))


def peers(wanted: str, file: str, notes: list[str]) -> Iterator[tuple[str, Peer]]:
    """Those of a list with commas that can be measured here, by their names; a note for each other."""
    for name in filter(None, (each.strip() for each in wanted.split(","))):
        rival = peer.find(name)
        if why := rival.missing(file):
            notes.append(f"{rival.TITLE} is not measured: {why}")
        else:
            yield rival.TITLE, rival


def written(args: argparse.Namespace, sizes: Sizes, say: Say) -> tuple[Script, str]:
    """The texts to measure with, in this model's words, and how it computes."""
    engine: Any = loader.load(args.model, args.precision, lambda stage: say(f"{args.model}: {stage}"))
    kind = family.load(args.family or family.choose(engine.card))
    generator = TurnGenerator(kind, engine.complete)
    writer = Writer(
        render=lambda path, instruction: kind.render(path, instruction, "", ""),
        text=engine.text,
        ids=lambda text: engine.ids(text, special=False),
        length=lambda prompt: generator.write(prompt, Sampling(max_tokens=LONGEST)).usage.completion_tokens,
    )
    sessions = [store.load(path) for path in store.paths(store.folder(args.sessions))]
    say("the texts to measure with")
    paths = [session.path for session in sessions if session.path]
    return writer.script(paths, sizes.replies), engine.card.precision


def contenders(setup: Setup, most: dict[str, int], work: str) -> Iterator[Contender]:
    """Ours and the peers, all with as many threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(setup.threads)}
    for name in (OURS, *most):
        facts = json.dumps(asdict(replace(setup, engine=name)))
        command = (sys.executable, "-m", "mtchat.cli.measured", facts)
        start = partial(started, command, environment, work)
        yield Contender(name, start, most[name]) if name in most else Contender(name, start)


@contextmanager
def progress(view: View) -> Iterator[Say]:
    """What is done now: one line in a terminal, else a line for each thing that is not another run."""
    said = ""

    def say(text: str) -> None:
        nonlocal said
        if view.live:
            view.transient(text)
        elif text.split(":")[0] != said:
            said = text.split(":")[0]
            view.line(said)

    try:
        yield say
    finally:
        view.erase()


def processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = CPU.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
