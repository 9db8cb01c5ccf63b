"""Runs as text: one in full, several side by side and beside what others have published, and as JSON."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict

from mtchat.bench.quality import published
from mtchat.bench.quality.results import WRONG, Part, Result, measure, result
from mtchat.bench.quality.runs import Header, Recorded
from mtchat.bench.quality.statistics import VERDICTS, Estimate, compare
from mtchat.bench.speed.table import aligned

UNKNOWN = "–"
COLUMNS = ("problems", "conversations", *VERDICTS)
FLIPS = ("pairs", "pass in both", "only first", "only second", "second − first")


def summary(recorded: Recorded) -> str:
    """All that is known of a run; Markdown, in percent, with 95 % intervals over problems."""
    found = result(recorded)
    header = found.header
    rates = [[measure(header), *COLUMNS], ["pass rate", *cells(found.whole)]]
    rates += [[f"pass@{k}", "", "", *map(percent, at.values())] for k, at in found.at.items() if k > 1]
    parts = [settings(header) + "\n" + progress(found), aligned(rates, 1)]
    parts += table("category", found.categories)
    parts += table("turns", {str(turns): part for turns, part in found.turns.items()})
    return "\n".join([*parts, errors(found), costs(found)])


def comparison(runs: Sequence[Recorded]) -> str:
    """Runs beside each other and beside published rates, and what passes in only one of two; Markdown.

    A run is compared with the first of its suite.
    """
    results = [result(run) for run in runs]
    suites = list(dict.fromkeys(each.header.suite for each in results))
    head = ["model", "what", "samples", *(f"{suite}, {verdict}" for suite in suites for verdict in VERDICTS)]
    known = [[model, "published", "", *row] for model, row in published_rows(suites).items()]
    parts = [aligned([head, *measured_rows(results, suites), *known])]
    notes = [f"- {label(each.header)}: {progress(each)}" for each in results]
    notes += [
        f"- {suite}, published: {published.SOURCES[suite]}\n" for suite in suites if published.of(suite)
    ]
    unfinished = "; * is not finished" if any(each.missing for each in results) else ""
    parts.append(f"Percent, with 95 % intervals over problems{unfinished}:\n\n" + "".join(notes))
    if flips := list(flipped(runs)):
        parts.append(aligned([["suite and verdict", "first", "second", *FLIPS], *flips], 3))
    return "\n".join(parts)


def to_json(runs: Iterable[Recorded]) -> str:
    """A list with an object for each run: `run` is its header, rates are in parts of one."""
    return json.dumps([flat(result(run)) for run in runs], indent=1) + "\n"


def flat(found: Result) -> dict[str, object]:
    values = asdict(found)
    return {"run": values.pop("header"), "measure": measure(found.header), **values}


def settings(header: Header) -> str:
    """The title: everything that a run depends on."""
    drawn = f"temperature {header.temperature:g}, top-p {header.top_p:g}" if header.temperature else "greedy"
    samples = f"{header.samples} sample{'s' * (header.samples != 1)} a task"
    return (
        f"{header.suite}, {header.mode}: {header.model} ({header.fingerprint}), {header.precision}, "
        f"{header.device}; policy {header.policy}, {drawn}, {samples}, seed {header.seed}; "
        f"mtchat {header.version}, data {header.data_sha256[:12]}\n"
    )


def progress(found: Result) -> str:
    """How much of a run is done."""
    done, asked = found.whole.conversations, found.header.tasks * found.header.samples
    unfinished = f"; unfinished, {found.missing} are missing" if found.missing else ""
    return f"{done} of {asked} conversations about {found.whole.problems} problems{unfinished}\n"


def table(name: str, parts: Mapping[str, Part]) -> list[str]:
    """A row for each part of a run; none where it has one part only, which is the whole."""
    rows = [[key or UNKNOWN, *cells(part)] for key, part in parts.items()]
    return [aligned([[name, *COLUMNS], *rows], 1)] if len(rows) > 1 else []


def cells(part: Part) -> list[str]:
    return [str(part.problems), str(part.conversations), *map(percent, part.rates.values())]


def percent(estimate: Estimate) -> str:
    """A rate with its interval, which one problem does not give: "48.2 (39.1–57.4)"."""
    if estimate.problems < 2:
        return f"{100 * estimate.value:.1f}" if estimate.problems else UNKNOWN
    return f"{estimate.value:.1%} ({estimate.low:.1%}–{estimate.high:.1%})".replace("%", "")


def points(estimate: Estimate) -> str:
    """A difference with its interval: "+2.5 (-1.0 to +6.1)"."""
    if not estimate.problems:
        return UNKNOWN
    value, low, high = (100 * part for part in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def errors(found: Result) -> str:
    """What kept programs from passing strictly: values that are not the wanted ones, and errors by name."""
    failed = sum(found.errors.values())
    named = ", ".join(f"{name or 'unnamed'} {count}" for name, count in found.errors.items() if name != WRONG)
    return (
        f"not strict: {failed} of {found.whole.conversations}\n"
        f"wrong value: {found.errors.get(WRONG, 0)}\n"
        f"first errors: {named or 'none'}\n"
        f"compatible but not strict: {found.only_compatible}\n"
    )


def costs(found: Result) -> str:
    took = found.costs
    each = f"; median turn {took.turn:.2f} s" if took.turn else ""
    questions = (
        f"questions: {took.asked:,} asked, {took.answered:,} had a reading that passes, "
        f"{took.needless:,} of these in the first place\n"
    )
    return questions * bool(took.asked) + (
        f"tokens: {took.prompt_tokens:,} read, {took.written:,} written; {took.seconds:,.1f} s{each}\n"
        f"candidates tried: {took.tried:,}; turns mended: {took.mended:,}\n"
    )


def what(header: Header) -> str:
    """How a run was made, without its model and suite."""
    drawn = f", temperature {header.temperature:g}, seed {header.seed}" if header.temperature else ""
    return f"{header.mode}, {measure(header)}{drawn}"


def label(header: Header) -> str:
    return f"{header.suite}, {header.model} {header.precision}, {what(header)}"


def measured_rows(results: Sequence[Result], suites: Sequence[str]) -> list[list[str]]:
    """A row for each way of making runs, with its runs of the suites; a second run of one gets another."""
    rows: dict[tuple[str, str, str, int], dict[str, Result]] = {}
    for each in results:
        header, again = each.header, 0
        how = (f"{header.model} {header.precision}", what(header), str(header.samples))
        while header.suite in rows.setdefault((*how, again), {}):
            again += 1
        rows[*how, again][header.suite] = each
    return [
        [*key[:3], *(cell for suite in suites for cell in rate_cells(found.get(suite)))]
        for key, found in rows.items()
    ]


def rate_cells(found: Result | None) -> list[str]:
    """A rate for each verdict; a star says that the run is not finished."""
    if found is None:
        return [""] * len(VERDICTS)
    return [percent(rate) + "*" * bool(found.missing) for rate in found.whole.rates.values()]


def published_rows(suites: Sequence[str]) -> dict[str, list[str]]:
    """Each model's published rates under their suites, in the column of the published script's verdict."""
    rows: dict[str, list[str]] = {}
    for place, suite in enumerate(suites):
        for each in published.of(suite):
            row = rows.setdefault(each.model, [""] * len(suites) * len(VERDICTS))
            row[place * len(VERDICTS)] = f"{100 * each.rate:.4g}"
    return rows


def flipped(runs: Sequence[Recorded]) -> Iterator[list[str]]:
    """The first run of a suite against each other one of it, by each verdict."""
    firsts: dict[str, Recorded] = {}
    for run in runs:
        first = firsts.setdefault(run.header.suite, run)
        if first is run:
            continue
        names = [f"{each.header.model} {each.header.precision}, {what(each.header)}" for each in (first, run)]
        for name, verdict in VERDICTS.items():
            pair = compare(first.rows, run.rows, verdict)
            counts = (pair.conversations, pair.both, pair.only_first, pair.only_second)
            yield [f"{run.header.suite}, {name}", *names, *map(str, counts), points(pair.difference)]
