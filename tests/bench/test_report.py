"""What is said of a run: exact rates, intervals that cover, files that survive a kill, text and a picture."""

import itertools
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

import pytest

from mtchat.bench.quality import report
from mtchat.bench.quality.chart import chart, spread_out
from mtchat.bench.quality.report import comparison, summary, to_json
from mtchat.bench.quality.results import VERDICTS, by_problem, compare, estimate, pass_at, rate
from mtchat.bench.quality.run_file import RecordedRun, RunFile, RunHeader, read
from mtchat.bench.quality.suite import ScoredSample
from mtchat.cli.arguments import parse
from mtchat.cli.bench import run_bench
from mtchat.errors import MtchatError
from mtchat.store.values import rebuild
from tests import CASES

COMPATIBLE, STRICT = VERDICTS["compatible"], VERDICTS["strict"]
HEADER = RunHeader(
    suite="mtpb",
    model="starter",
    fingerprint="1a2b3c4d",
    precision="quantised",
    device="cpu",
    mode="multi",
    policy="plain",
    temperature=0.0,
    top_p=0.95,
    samples=1,
    seed=0,
    version="0.1.0",
    tasks=4,
    data_sha256="f" * 64,
)


def row(problem: str, input: int, passed: bool = True, sample: int = 0, **changes: object) -> ScoredSample:
    made = ScoredSample(
        problem, input, sample, "array", 3, ("x = 1",), "x = 1\n", 100, 20, 1.5, 1, 0, passed, passed
    )
    return replace(made, **changes)  # type: ignore[arg-type]


ROWS = (
    row("1", 0),
    row("1", 1, strict=False, error="NameError"),
    row("2", 0, False, category="math", turns=5, error="wrong", mended=1, tried=4),
    row("2", 1, category="math", turns=5),
)


@pytest.mark.parametrize("samples", range(1, 8))
def test_pass_at_k_is_the_share_of_all_subsets_with_one_that_passes(samples: int) -> None:
    for passed in range(samples + 1):
        verdicts = [place < passed for place in range(samples)]
        for k in range(1, samples + 1):
            subsets = list(itertools.combinations(verdicts, k))
            assert pass_at(k, samples, passed) == sum(map(any, subsets)) / len(subsets)


def test_pass_at_k_is_exact_for_many_samples() -> None:
    assert pass_at(100, 200, 1) == 0.5
    assert pass_at(1, 3, 1) == 1 / 3
    assert pass_at(5, 10**4, 9_996) == 1.0


def test_a_rate_is_the_mean_over_problems_of_the_mean_over_inputs_and_samples() -> None:
    rows = [row("1", 0, True), row("1", 1, False), *(row("2", 0, sample == 0, sample) for sample in range(4))]
    assert by_problem(rows, STRICT) == {"1": 0.5, "2": 0.25}
    assert rate(rows, STRICT).value == 0.375
    assert by_problem(rows, STRICT, 2) == {"2": 0.5}
    assert rate(rows, STRICT, 5) == estimate([])


def test_an_interval_is_repeatable_and_quick() -> None:
    chance = Random(7)
    rows = [row(str(number), input, chance.random() < 0.5) for number in range(115) for input in range(5)]
    began = time.perf_counter()
    first = rate(rows, STRICT)
    assert time.perf_counter() - began < 5  # 0.2 s on an idle machine
    assert rate(rows[::-1], STRICT) == first  # in whatever order they were held
    assert first.low < first.value < first.high


def test_inputs_of_one_problem_do_not_narrow_an_interval() -> None:
    once = [row(str(number), 0, number % 2 == 0) for number in range(40)]
    five = [replace(each, input=input) for each in once for input in range(5)]
    assert rate(five, STRICT) == rate(once, STRICT)


@pytest.mark.slow
def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """50 problems whose rates are drawn evenly from 0 to 1, each with 5 inputs: the truth is one half."""
    chance, covered, tries = Random(3), 0, 40
    for _ in range(tries):
        truths = [chance.random() for _ in range(50)]
        rows = [row(str(number), input, chance.random() < truth)
                for number, truth in enumerate(truths) for input in range(5)]  # fmt: skip
        found = rate(rows, STRICT)
        covered += found.low <= 0.5 <= found.high
    assert covered >= 0.85 * tries


def test_two_runs_are_compared_where_they_meet() -> None:
    first = [row("1", 0), row("1", 1), row("2", 0, False), row("3", 0)]
    second = [row("1", 0), row("1", 1, False), row("2", 0, True), row("4", 0)]
    pair = compare(first, second, STRICT)
    assert (pair.conversations, pair.both, pair.only_first, pair.only_second) == (3, 1, 1, 1)
    assert pair.difference.problems == 2
    assert pair.difference.value == 0.25
    assert pair.difference.low < 0 < pair.difference.high


def written(path: Path, rows: Iterable[ScoredSample] = ROWS, header: RunHeader = HEADER) -> bytes:
    with RunFile(path, header) as writer:
        for each in rows:
            writer.append(each)
    return path.read_bytes()


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    lines = written(file, [*ROWS, replace(ROWS[0], error="again")]).splitlines()
    assert json.loads(lines[0]) == {"run": asdict(HEADER)}
    assert rebuild(ScoredSample, json.loads(lines[1])) == ROWS[0]
    assert read(file) == RecordedRun(HEADER, ROWS)  # the first of two rows for one sample
    assert read(file).missing == 0


@pytest.mark.slow
@pytest.mark.parametrize("whole", [0, 1, 4], ids=["the header", "the first row", "the last row"])
def test_a_line_torn_at_any_byte_is_not_there_and_the_run_goes_on(tmp_path: Path, whole: int) -> None:
    data = written(tmp_path / "whole.jsonl")
    lines = data.splitlines(keepends=True)
    before = b"".join(lines[:whole])
    for cut in range(len(lines[whole])):
        file = tmp_path / "torn.jsonl"
        file.write_bytes(before + lines[whole][:cut])
        if whole:
            assert read(file) == RecordedRun(HEADER, ROWS[: whole - 1])
        with RunFile(file, HEADER) as writer:
            assert writer.rows == ROWS[: max(whole - 1, 0)]
            if cut % 16 == 0:
                for each in ROWS[len(writer.rows) :]:
                    writer.append(each)
        if cut % 16 == 0:
            assert file.read_bytes() == data


def test_a_row_is_on_the_disk_before_the_next_is_made(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with RunFile(file, HEADER) as writer:
        for number, each in enumerate(ROWS):
            assert read(file).rows == ROWS[:number]
            writer.append(each)


def test_a_run_of_other_settings_is_refused_by_the_names_of_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    data = written(file)
    with pytest.raises(MtchatError) as refused:
        RunFile(file, replace(HEADER, seed=7, policy="repair"))
    said = str(refused.value)
    assert "policy is 'plain' there and 'repair' here, seed is 0 there and 7 here" in said
    assert "choose another --out" in said
    assert file.read_bytes() == data


def test_two_writers_do_not_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with RunFile(file, HEADER), pytest.raises(MtchatError, match="another mtchat is writing to"):
        RunFile(file, HEADER)
    with RunFile(file, HEADER) as writer:
        assert writer.rows == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a results file"),
        (b'{"run": {}}\n', "line 1: not a valid run header"),
        (b'{"session": 1}\n', "line 1: not a valid run header"),
        (b"[]\n", "line 1: not a valid run header"),
        (b"a letter", "is not a results file"),
        (b"a letter\nof two lines", "line 1: not a valid run header"),
        (json.dumps({"run": asdict(HEADER)}).encode() + b"\n{}\n", "line 2: not a valid sample"),
        (json.dumps({"run": asdict(HEADER)}).encode() + b"\n\xff\n", "line 2: not a valid sample"),
    ],
)
def test_a_file_that_is_no_run_says_where(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_bytes(content)
    with pytest.raises(MtchatError, match=said):
        read(file)
    if content:
        with pytest.raises(MtchatError, match=said):
            RunFile(file, HEADER)
    assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["nowhere/run.jsonl", "."])
def test_a_path_that_cannot_be_a_run_says_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(MtchatError, match="cannot read"):
        read(tmp_path / name)
    with pytest.raises(MtchatError, match="cannot write to"):
        RunFile(tmp_path / name, HEADER)


@pytest.mark.parametrize("kind", ["pipe", "endless", "deep"])
def test_what_is_no_file_of_a_run_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "run.jsonl"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        file.symlink_to("/dev/zero")
    else:
        file.write_text('{"run": ' + "[" * 100_000 + "\n")
    for tried in (read, lambda path: RunFile(path, HEADER)):
        with pytest.raises(MtchatError, match=r"it is a (pipe|device)|not a valid run header"):
            tried(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "name", "content", "said"),
    [
        ("--json", "mine.txt", b"precious", "is not a file of benchmark figures"),
        ("--plot", "mine.png", b"precious", "is not such an image"),
        ("--plot", "mine.txt", b"", "unknown image format; use .png"),
        ("--json", "nowhere/x.json", None, "no folder"),
        ("--json", "x" * 5000 + "/x.json", None, "no folder"),
        *(
            ("--json", "new.json", before, "")
            for before in (None, b"", to_json([RecordedRun(HEADER)]).encode())
        ),
        *(("--plot", "new.png", before, "") for before in (None, b"\x89PNG\r\n")),
    ],
)
def test_figures_and_pictures_overwrite_nothing_else(
    tmp_path: Path, option: str, name: str, content: bytes | None, said: str
) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / name
    if content is not None:
        target.write_bytes(content)
    written(tmp_path / "run.jsonl")
    args = parse(["bench", "report", str(tmp_path / "run.jsonl"), option, str(target)])
    if said:
        with pytest.raises(MtchatError, match=said):
            run_bench(args)
        assert content is None or target.read_bytes() == content
    else:
        run_bench(args)
        assert target.read_bytes().startswith((b"\x89PNG\r\n\x1a\n", b'[\n {\n  "run": {'))


def test_a_name_is_drawn_as_it_is_whatever_signs_it_has(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    odd = replace(HEADER, model="a$\\frac{$b\x1b]0;t\x07\ud800")
    chart([RecordedRun(odd, ROWS)], tmp_path / "a.png", "a $\\frac{$ title\ud800")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_summary_tells_everything_of_a_run() -> None:
    expected = CASES / "bench" / "summary.md"
    assert summary(RecordedRun(HEADER, ROWS)) == expected.read_text("utf-8")


def test_a_policy_and_samples_are_named_and_what_is_missing_is_told() -> None:
    header = replace(HEADER, policy="repair", samples=5, temperature=0.2, tasks=1)
    said = summary(RecordedRun(header, tuple(row("1", 0, sample == 0, sample) for sample in range(4))))
    assert "policy repair, temperature 0.2, top-p 0.95, 5 samples per task" in said
    assert "4 of 5 conversations on 1 problems (unfinished: 1 to go)" in said
    assert "| pass@1 after policy repair |" in said
    assert "|       25.0 |   25.0 |" in said
    assert "| pass@5                     |          |               |          – |      – |" in said


def test_a_run_whose_instructions_were_understood_says_what_they_were_taken_for() -> None:
    rows = (row("1", 0, readings=("step", "change 1")), row("1", 1, readings=("step", "rename 1")))
    told = summary(RecordedRun(replace(HEADER, understanding=True), rows))
    assert "raw samples, understood" in told
    assert "instructions taken for: step 2, change 1, rename 1" in told
    assert "taken for" not in summary(RecordedRun(HEADER, rows))


def test_a_run_without_rows_says_nothing_of_rates() -> None:
    said = summary(RecordedRun(HEADER))
    assert "0 of 4 conversations" in said
    assert "| pass rate   |        0 |             0 |          – |      – |" in said


def table_of(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    lines = text[text.index(f"| {first} ") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.slow
def test_runs_stand_beside_each_other_and_beside_what_is_published() -> None:
    repaired = RecordedRun(replace(HEADER, policy="repair"), (*ROWS[:2], replace(ROWS[2], strict=True)))
    evaluated = RecordedRun(replace(HEADER, suite="humaneval", tasks=1), (row("a", 0),))
    said = comparison([RecordedRun(HEADER, ROWS), repaired, evaluated])
    cells = table_of(said, "model")
    assert cells[0] == ["model", "run", "samples", "mtpb, compatible", "mtpb, strict",
                        "humaneval, compatible", "humaneval, strict"]  # fmt: skip
    assert cells[2] == ["starter quantised", "multi, raw samples", "1", "75.0 (50.0–100.0)",
                        "50.0 (50.0–50.0)", "100.0", "100.0"]  # fmt: skip
    assert cells[3][:2] == ["starter quantised", "multi, pass@1 after policy repair"]
    assert cells[3][3].endswith("*")  # not finished
    assert ["CodeGen-Mono 16.1B", "published", "", "47.34", "", "", ""] in cells
    assert ["Qwen2.5-Coder-1.5B-Instruct", "published", "", "", "", "70.7", ""] in cells
    assert "raw samples on all 115 problems, so not directly comparable" in said
    assert "* unfinished" in said
    assert "mbpp" not in said
    flips = table_of(said, "suite and verdict")
    assert flips[0][3:] == [
        "pairs",
        "same program",
        "pass in both",
        "only first",
        "only second",
        "second − first",
    ]
    assert [line[0] for line in flips[2:]] == ["mtpb, compatible", "mtpb, strict"]
    assert flips[3][3:8] == ["3", "3", "1", "0", "1"]


def test_sets_of_one_suite_have_columns_of_their_own() -> None:
    easy, hard = (RecordedRun(replace(HEADER, dataset=name), ROWS) for name in ("easy", "hard"))
    said = comparison([easy, hard, replace(easy)])
    assert table_of(said, "model")[0][3:] == [
        *("easy, compatible", "easy, strict", "hard, compatible", "hard, strict")
    ]
    assert [line[0] for line in table_of(said, "suite and verdict")[2:]] == [
        "easy, compatible",
        "easy, strict",
    ]
    assert "mtpb, compatible" in comparison([easy, RecordedRun(HEADER, ROWS)])


def test_two_runs_of_one_kind_have_a_row_each() -> None:
    said = comparison([RecordedRun(HEADER, ROWS), RecordedRun(HEADER, ROWS)])
    assert [line[0] for line in table_of(said, "model")].count("starter quantised") == 2


def test_the_json_holds_the_header_and_all_rates() -> None:
    (found,) = json.loads(to_json([RecordedRun(HEADER, ROWS)]))
    assert found["run"] == asdict(HEADER)
    assert found["measure"] == "raw samples"
    assert found["whole"]["rates"]["strict"]["value"] == 0.5
    assert found["errors"] == {"NameError": 1, "wrong": 1}
    assert found["costs"]["written"] == 80
    assert set(found["categories"]) == {"array", "math"}


def test_what_is_published_has_a_source() -> None:
    assert {each.suite for each in report.PUBLISHED} == set(report.SOURCES)
    assert all(0 < each.rate < 1 for each in report.PUBLISHED)


@pytest.mark.parametrize(
    ("places", "moved"),
    [([], []), ([5.0], [5.0]), ([1.0, 9.0], [1.0, 9.0]), ([4.0, 4.0], [3.0, 5.0]),
     ([1.0, 2.0, 3.0, 9.0], [0.0, 2.0, 4.0, 9.0]), ([0.0, 3.0, 3.0], [0.0, 2.0, 4.0])],
)  # fmt: skip
def test_names_of_lines_keep_apart(places: list[float], moved: list[float]) -> None:
    out = spread_out(places, 2.0)
    assert out == moved
    assert all(there - here >= 2.0 for here, there in itertools.pairwise(out))


@pytest.mark.slow
def test_the_picture_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    runs = [RecordedRun(HEADER, ROWS), RecordedRun(replace(HEADER, policy="repair"), ROWS[:3])]
    chart([*runs, RecordedRun(replace(HEADER, suite="own"), ROWS)], tmp_path / "runs.png", "title")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
