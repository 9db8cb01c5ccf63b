"""Runs as text: one in full, or several side by side and beside published rates; and as JSON."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from mtchat.bench.output import markdown_table
from mtchat.bench.quality.results import (
    VERDICTS,
    Estimate,
    RunStatistics,
    Subset,
    analyse,
    compare,
    name_rate,
)
from mtchat.bench.quality.run_file import RecordedRun, RunHeader
from mtchat.bench.quality.suite import WRONG

NameSet = Callable[[RunHeader], str]

UNKNOWN = "–"
COLUMNS = ("problems", "conversations", *VERDICTS)
FLIPS = ("pairs", "same program", "pass in both", "only first", "only second", "second − first")


@dataclass(frozen=True)
class PublishedRate:
    """A model's rate on all problems of a suite, between 0 and 1; `short` is its name in plots."""

    suite: str
    model: str
    short: str
    rate: float


PUBLISHED = (
    PublishedRate("mtpb", "CodeGen-Mono 350M", "CodeGen 350M", 0.1698),
    PublishedRate("mtpb", "CodeGen-Mono 2.7B", "CodeGen 2.7B", 0.3872),
    PublishedRate("mtpb", "CodeGen-Mono 6.1B", "CodeGen 6.1B", 0.4352),
    PublishedRate("mtpb", "CodeGen-Mono 16.1B", "CodeGen 16.1B", 0.4734),
    PublishedRate("mtpb", "code-davinci-002", "davinci-002", 0.5986),
    PublishedRate("humaneval", "Qwen2.5-Coder-0.5B-Instruct", "Qwen 0.5B bf16", 0.616),
    PublishedRate("humaneval", "Qwen2.5-Coder-1.5B-Instruct", "Qwen 1.5B bf16", 0.707),
    PublishedRate("mbpp", "Qwen2.5-Coder-0.5B-Instruct", "Qwen 0.5B bf16", 0.524),
    PublishedRate("mbpp", "Qwen2.5-Coder-1.5B-Instruct", "Qwen 1.5B bf16", 0.692),
)

SOURCES: Mapping[str, str] = {
    "mtpb": "CodeGen, Nijkamp et al. 2023, arXiv:2203.13474: raw samples on all 115 problems, so not "
    "directly comparable with a run on other problems, such as the 65 for development",
    "humaneval": "Qwen2.5-Coder, bfloat16, with the prompts of EvalPlus, on all 164 problems",
    "mbpp": "Qwen2.5-Coder, bfloat16, with the prompts and base tests of EvalPlus on the problems that it "
    "keeps, so not directly comparable",
}


def published_rates(suite: str) -> tuple[PublishedRate, ...]:
    return tuple(each for each in PUBLISHED if each.suite == suite)


def summary(recorded: RecordedRun) -> str:
    """Everything known about a run; Markdown, in percent, with 95 % intervals over problems."""
    found = analyse(recorded)
    header = found.header
    rates = [[name_rate(header), *COLUMNS], ["pass rate", *part_cells(found.whole)]]
    rates += [[f"pass@{k}", "", "", *map(percent, at.values())] for k, at in found.at.items() if k > 1]
    parts = [describe_settings(header) + "\n" + describe_progress(found), markdown_table(rates, 1)]
    parts += part_rows("category", found.categories)
    parts += part_rows("turns", {str(turns): part for turns, part in found.turns.items()})
    costs = describe_costs(found) + describe_readings(found) + describe_programs(found)
    return "\n".join([*parts, describe_errors(found), costs])


def comparison(runs: Sequence[RecordedRun]) -> str:
    """Runs beside each other and beside published rates, and what passes in only one of two; Markdown.

    Each run is compared with the first of its suite, and of its data where a suite has several.
    """
    results = [analyse(run) for run in runs]
    label = label_sets([run.header for run in runs])
    suites = list(dict.fromkeys(label(each.header) for each in results))
    head = ["model", "run", "samples", *(f"{suite}, {verdict}" for suite in suites for verdict in VERDICTS)]
    known = [[model, "published", "", *row] for model, row in published_rows(suites).items()]
    parts = [markdown_table([head, *measured_rows(results, suites, label), *known])]
    notes = [f"- {model_label(each.header)}: {describe_progress(each)}" for each in results]
    notes += [f"- {suite}, published: {SOURCES[suite]}\n" for suite in suites if published_rates(suite)]
    unfinished = "; * unfinished" if any(each.missing for each in results) else ""
    parts.append(f"Percent, with 95 % intervals over problems{unfinished}:\n\n" + "".join(notes))
    if flips := list(flipped_rows(runs, label)):
        parts.append(markdown_table([["suite and verdict", "first", "second", *FLIPS], *flips], 3))
    return "\n".join(parts)


def to_json(runs: Iterable[RecordedRun]) -> str:
    """A list with an object for each run: `run` is its header, rates are between 0 and 1."""
    return json.dumps([flatten(analyse(run)) for run in runs], indent=1) + "\n"


def flatten(found: RunStatistics) -> dict[str, object]:
    values = asdict(found)
    return {"run": values.pop("header"), "measure": name_rate(found.header), **values}


def describe_settings(header: RunHeader) -> str:
    """The title: everything that determines the run."""
    drawn = f"temperature {header.temperature:g}, top-p {header.top_p:g}" if header.temperature else "greedy"
    samples = f"{header.samples} sample{'s' * (header.samples != 1)} per task"
    return (
        f"{header.suite}, {header.mode}: {header.model} ({header.fingerprint}), {header.precision}, "
        f"{header.device}; policy {header.policy}, {drawn}, {samples}, seed {header.seed}; "
        f"mtchat {header.version}, data {header.data_sha256[:12]}\n"
    )


def describe_progress(found: RunStatistics) -> str:
    """How much of a run is finished."""
    done, asked = found.whole.conversations, found.header.tasks * found.header.samples
    unfinished = f" (unfinished: {found.missing} to go)" if found.missing else ""
    return f"{done} of {asked} conversations on {found.whole.problems} problems{unfinished}\n"


def part_rows(name: str, parts: Mapping[str, Subset]) -> list[str]:
    """A row for each part of a run; no table if there is only one part."""
    rows = [[key or UNKNOWN, *part_cells(part)] for key, part in parts.items()]
    return [markdown_table([[name, *COLUMNS], *rows], 1)] if len(rows) > 1 else []


def part_cells(part: Subset) -> list[str]:
    return [str(part.problems), str(part.conversations), *map(percent, part.rates.values())]


def percent(estimate: Estimate) -> str:
    """A rate with its interval, if there are several problems: "48.2 (39.1–57.4)"."""
    if estimate.problems < 2:
        return f"{100 * estimate.value:.1f}" if estimate.problems else UNKNOWN
    return f"{estimate.value:.1%} ({estimate.low:.1%}–{estimate.high:.1%})".replace("%", "")


def difference_cell(estimate: Estimate) -> str:
    """A difference with its interval: "+2.5 (-1.0 to +6.1)"."""
    if not estimate.problems:
        return UNKNOWN
    value, low, high = (100 * part for part in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def describe_errors(found: RunStatistics) -> str:
    """Why programs do not pass strictly: wrong values, and errors by name."""
    failed = sum(found.errors.values())
    named = ", ".join(f"{name or 'unnamed'} {count}" for name, count in found.errors.items() if name != WRONG)
    return (
        f"failed (strict): {failed} of {found.whole.conversations}\n"
        f"wrong value: {found.errors.get(WRONG, 0)}\n"
        f"errors: {named or 'none'}\n"
        f"compatible but not strict: {found.only_compatible}\n"
    )


def describe_costs(found: RunStatistics) -> str:
    took = found.costs
    each = f"; median turn {took.turn:.2f} s" if took.turn else ""
    questions = (
        f"questions: {took.asked:,} asked; {took.answered:,} had an interpretation that passes "
        f"(the first one in {took.needless:,} of them)\n"
    )
    thought = f", {took.thought:,} thought" * bool(took.thought)
    return questions * bool(took.asked) + (
        f"tokens: {took.prompt_tokens:,} prompt, {took.written:,} completion{thought}; "
        f"{took.seconds:,.1f} s{each}\n"
        f"extra candidates: {took.tried:,}; turns improved: {took.mended:,}\n"
    )


def describe_readings(found: RunStatistics) -> str:
    """What the instructions were taken for, if they were understood."""
    counts = ", ".join(f"{name} {count:,}" for name, count in found.readings.items())
    return f"instructions taken for: {counts}\n" if found.header.understanding and counts else ""


def describe_programs(found: RunStatistics) -> str:
    """What the programs are like."""
    made = found.programs
    if not made.programs:
        return ""
    kinds = ", ".join(f"{name} {count:,}" for name, count in made.faults.items()) or "none"
    ratio = f", {made.to_reference:.2f} times those of the reference" if made.to_reference else ""
    repeating, dead, faulty, with_code = (
        f"{100 * each:.1f} %" for each in (made.repeating, made.dead, made.faulty, made.with_code)
    )
    return (
        f"programs with a statement twice: {repeating}; with a name bound again before its use: {dead}; "
        f"with a message of pyflakes: {faulty} ({kinds})\n"
        f"turns with code of their own: {with_code}; lines of code: {made.lines:.1f} a program{ratio}\n"
    )


def describe_setup(header: RunHeader) -> str:
    """How a run was made, apart from its model and suite."""
    drawn = f", temperature {header.temperature:g}, seed {header.seed}" if header.temperature else ""
    return f"{header.mode}, {name_rate(header)}{drawn}"


def model_label(header: RunHeader) -> str:
    return f"{header.suite}, {header.model} {header.precision}, {describe_setup(header)}"


def label_sets(headers: Sequence[RunHeader]) -> NameSet:
    """How the columns of runs are named: by suite, and by the data where a suite has several files."""
    sets: dict[str, set[str]] = {}
    for header in headers:
        sets.setdefault(header.suite, set()).add(header.dataset)

    def label(header: RunHeader) -> str:
        return header.set_name if len(sets[header.suite] - {""}) > 1 else header.suite

    return label


def measured_rows(results: Sequence[RunStatistics], suites: Sequence[str], label: NameSet) -> list[list[str]]:
    """A row for each configuration with its runs of the suites; repeated runs get rows of their own."""
    rows: dict[tuple[str, str, str, int], dict[str, RunStatistics]] = {}
    for each in results:
        header, again = each.header, 0
        how = (f"{header.model} {header.precision}", describe_setup(header), str(header.samples))
        while label(header) in rows.setdefault((*how, again), {}):
            again += 1
        rows[*how, again][label(header)] = each
    return [
        [*key[:3], *(cell for suite in suites for cell in rate_cells(found.get(suite)))]
        for key, found in rows.items()
    ]


def rate_cells(found: RunStatistics | None) -> list[str]:
    """A rate for each verdict; a star marks an unfinished run."""
    if found is None:
        return [""] * len(VERDICTS)
    return [percent(rate) + "*" * bool(found.missing) for rate in found.whole.rates.values()]


def published_rows(suites: Sequence[str]) -> dict[str, list[str]]:
    """Each model's published rates by suite, in the column of the published script's verdict."""
    rows: dict[str, list[str]] = {}
    for place, suite in enumerate(suites):
        for each in published_rates(suite):
            row = rows.setdefault(each.model, [""] * len(suites) * len(VERDICTS))
            row[place * len(VERDICTS)] = f"{100 * each.rate:.4g}"
    return rows


def flipped_rows(runs: Sequence[RecordedRun], label: NameSet) -> Iterator[list[str]]:
    """The first run of a set against each other one of it, by each verdict."""
    firsts: dict[str, RecordedRun] = {}
    for run in runs:
        first = firsts.setdefault(label(run.header), run)
        if first is run:
            continue
        names = [
            f"{each.header.model} {each.header.precision}, {describe_setup(each.header)}"
            for each in (first, run)
        ]
        for name, verdict in VERDICTS.items():
            pair = compare(first.rows, run.rows, verdict)
            counts = (pair.conversations, pair.same, pair.both, pair.only_first, pair.only_second)
            yield [
                f"{label(run.header)}, {name}",
                *names,
                *map(str, counts),
                difference_cell(pair.difference),
            ]
