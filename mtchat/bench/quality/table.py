"""Many runs as one table: a row for each model and way, a column for each set; and differences in pairs."""

from collections.abc import Iterator, Sequence

from mtchat import plugins
from mtchat.bench.output import markdown_table
from mtchat.bench.quality import suite as suites
from mtchat.bench.quality.report import UNKNOWN, difference_cell, percent
from mtchat.bench.quality.results import (
    PLAIN,
    VERDICTS,
    Criterion,
    add_costs,
    compare,
    describe_programs,
    rate,
)
from mtchat.bench.quality.run_file import RecordedRun, RunHeader
from mtchat.bench.quality.suite import ScoredSample

STRICT = VERDICTS["strict"]
QUESTIONS = ("conversations with one", "asked", "answered", "needless")
PROGRAMS = (
    "a statement twice",
    "bound again unused",
    "pyflakes",
    "turns with code",
    "lines (of reference)",
    "s a turn",
)


def describe_way(header: RunHeader) -> str:
    """How conversations were held: "plain", "single plain", "default, run=off, asked"."""
    words = header.policy if header.mode == first_mode(header.suite) else f"{header.mode} {header.policy}"
    return words + (header.variation and f", {header.variation}") + ", asked" * header.ask


def first_mode(suite: str) -> str:
    """The mode that a suite has without --mode; "" for a suite that is not known any more."""
    return suites.load(suite).MODES[0] if suite in plugins.names(suites.SUITES) else ""


def baseline_first(runs: Sequence[RecordedRun], baseline: str = "") -> list[RecordedRun]:
    """The runs with those first that others are compared with: the way `baseline`, else plain ones.

    Where files are named by a pattern their order says nothing.
    """
    return sorted(runs, key=lambda run: describe_way(run.header) != (baseline or PLAIN))


def format_table(runs: Sequence[RecordedRun], baseline: str = "", verdict: Criterion = STRICT) -> str:
    """The rates of all runs, and what each gains over the baseline of its model and set; Markdown.

    The baseline is that of `baseline_first`.
    Rates are over the conversations that all runs of a model and set have, so that they can be compared when
    the time of a run was over before its end.
    """
    if not any(run.rows for run in runs):
        return "no conversation is finished yet\n"
    sets = list(dict.fromkeys(run.header.set_name for run in runs))
    runs = baseline_first(runs, baseline)
    common = [restrict(run, runs) for run in runs]
    rates = [["model", "way", *sets], *rate_rows(common, sets, verdict)]
    gains = [["model", "way", *sets], *gain_rows(common, sets, verdict)]
    counts = ", ".join(count_conversations(common, name) for name in sets)
    parts = [
        "Programs that give the wanted value and end without an error, in percent, with 95 % intervals over "
        "problems:\n",
        markdown_table(rates),
        f"Conversations that all ways of a model have: {counts}.\n",
    ]
    if len(gains) > 1:
        first = describe_way(runs[0].header)
        parts += [f"Points above {first}, in pairs, with 95 % intervals:\n"]
        parts += [markdown_table(gains)]
    parts += [
        "What the programs are like, in percent; their lines, in brackets compared with the references; and "
        "the median seconds of a turn, beside all other conversations:\n"
    ]
    parts += [markdown_table([["model", "way", "set", *PROGRAMS], *program_rows(common)], 3)]
    if questions := list(question_rows(common)):
        parts += ["Questions, which a simulated user answers; needless where the first answer is right:\n"]
        parts += [markdown_table([["model", "way", "set", *QUESTIONS], *questions], 3)]
    return "\n".join(parts)


def restrict(run: RecordedRun, runs: Sequence[RecordedRun]) -> RecordedRun:
    """A run with only the conversations that the other runs of its model and set have too."""
    others = [each for each in runs if belong_together(run, each)]
    keys = set.intersection(*({key_of(row) for row in each.rows} for each in others))
    return RecordedRun(run.header, tuple(row for row in run.rows if key_of(row) in keys))


def key_of(row: ScoredSample) -> tuple[str, int, int]:
    return row.problem, row.input, row.sample


def belong_together(run: RecordedRun, other: RecordedRun) -> bool:
    """Whether two runs are of the same model on the same set."""
    names = [(each.header.model, each.header.precision, each.header.set_name) for each in (run, other)]
    return names[0] == names[1]


def group_rows(runs: Sequence[RecordedRun]) -> dict[tuple[str, str], dict[str, RecordedRun]]:
    """The runs by model and way, each by set."""
    rows: dict[tuple[str, str], dict[str, RecordedRun]] = {}
    for run in runs:
        key = f"{run.header.model} {run.header.precision}", describe_way(run.header)
        rows.setdefault(key, {}).setdefault(run.header.set_name, run)
    return rows


def rate_rows(runs: Sequence[RecordedRun], sets: Sequence[str], verdict: Criterion) -> Iterator[list[str]]:
    for key, found in group_rows(runs).items():
        yield [*key, *(percent(rate(found[name].rows, verdict)) if name in found else "" for name in sets)]


def gain_rows(runs: Sequence[RecordedRun], sets: Sequence[str], verdict: Criterion) -> Iterator[list[str]]:
    """What each run gains over the first one of its model and set."""
    for key, found in group_rows(runs).items():
        cells = []
        for name in sets:
            run = found.get(name)
            first = next((each for each in runs if run and belong_together(run, each)), None)
            if run is None or first is None or first is run:
                cells.append("")
                continue
            pair = compare(first.rows, run.rows, verdict)
            cells.append(difference_cell(pair.difference) if pair.conversations else UNKNOWN)
        if any(cells):
            yield [*key, *cells]


def program_rows(runs: Sequence[RecordedRun]) -> Iterator[list[str]]:
    """What the programs of each run are like."""
    for key, found in group_rows(runs).items():
        for name, run in found.items():
            made = describe_programs(run.rows)
            shares = (made.repeating, made.dead, made.faulty, made.with_code)
            lines = f"{made.lines:.1f}" + f" ({made.to_reference:.2f})" * bool(made.to_reference)
            seconds = f"{add_costs(run.rows).turn:.2f}"
            yield [*key, name, *(f"{100 * each:.1f}" for each in shares), lines, seconds]


def question_rows(runs: Sequence[RecordedRun]) -> Iterator[list[str]]:
    """The questions of the runs whose user could be asked."""
    for key, found in group_rows(runs).items():
        for name, run in found.items():
            if run.header.ask:
                costs = add_costs(run.rows)
                counts = (costs.asked, costs.answered, costs.needless)
                asked = sum(row.asked > 0 for row in run.rows)
                yield [*key, name, f"{asked} of {len(run.rows)}", *map(str, counts)]


def count_conversations(runs: Sequence[RecordedRun], name: str) -> str:
    """How many conversations of a set are counted: "mtpb_dev 60 of 65"; of several models the fewest."""
    own = [run for run in runs if run.header.set_name == name]
    least = min(own, key=lambda run: len(run.rows))
    asked = least.header.tasks * least.header.samples
    return f"{name} {len(least.rows)} of {asked}"
