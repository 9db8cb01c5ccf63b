"""Ways to hold conversations and sets of problems: what one command compares, found and written down."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.bench.quality.run_file import RecordedRun, RunFile, RunHeader
from mtchat.bench.quality.sets import find_sets
from mtchat.bench.quality.suite import ScoredSample
from mtchat.bench.quality.suites import mbpp, mtpb
from mtchat.bench.quality.table import describe_way, format_table
from mtchat.bench.quality.ways import Way, in_modes, parse_ways, short_name
from mtchat.errors import MtchatError, UsageError
from mtchat.session.settings import Settings
from tests.support.problems import ADDITION
from tests.support.scripts import needs_sandbox
from tests.support.shell import mtchat
from tests.support.starter import needs_small


@pytest.mark.parametrize(
    ("text", "ways"),
    [
        ("plain", [Way("plain")]),
        ("plain, default,plain", [Way("plain"), Way("default")]),
        ("plain,single:plain", [Way("plain"), Way("plain", "single")]),
        ("default+run=off", [Way("default", changes=(("run", "off"),))]),
        ("default+ask=on", [Way("default", ask=True)]),
        ("default+ask=never", [Way("default", changes=(("ask", "never"),))]),
    ],
)
def test_a_list_of_ways_is_read(text: str, ways: list[Way]):
    assert list(parse_ways(text)) == ways


def test_the_options_of_the_command_hold_for_ways_that_say_nothing_else():
    assert parse_ways("plain,multi:plain,plain+ask=off", "single", ask=True) == (
        Way("plain", "single", ask=True),
        Way("plain", "multi", ask=True),
        Way("plain", "single"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worst", "'worst' is not a policy"),
        ("", "'' is not a policy"),
        ("plain+run", "'run' of --policy plain+run changes no setting; write +NAME=VALUE"),
        ("plain+colour=red", "no setting 'colour'"),
    ],
)
def test_a_way_that_does_not_exist_is_refused(text: str, said: str):
    with pytest.raises(UsageError) as error:
        parse_ways(text)
    assert said in str(error.value)


def test_a_way_changes_the_settings_and_says_so_in_its_name():
    way = Way("rules", "single", (("run", "off"),), ask=True)
    assert way.name == "single-rules-run-off-ask"
    assert way.variation == "run=off"
    settings = way.apply(Settings(seed=3))
    assert (settings.policy, settings.run, settings.seed) == ("rules", "off", 3)


def test_ways_with_and_without_thoughts_are_told_apart():
    without, having = parse_ways("plain,plain+think=256")
    assert (without.name, having.name, having.variation) == ("plain", "plain-think-256", "think=256")
    assert (without.apply(Settings()).think, having.apply(Settings()).think) == ("auto", "256")


def test_a_suite_with_one_mode_has_each_way_once():
    ways = parse_ways("plain,single:plain,default")
    assert in_modes(ways, mbpp) == (Way("plain", "single"), Way("default", "single"))
    assert [short_name(way, mbpp) for way in in_modes(ways, mbpp)] == ["plain", "default"]
    assert [short_name(way, mtpb) for way in in_modes(ways, mtpb)] == ["plain", "single-plain", "default"]


PROBLEM = {"id": "1", "prompts": ["Print {a}."], "inputs": [{"a": 1}], "outputs": [1]}
FUNCTION = {"task_id": 2, "prompt": "f", "test_imports": [], "test_list": ["assert f"]}
EXERCISE = {"task_id": "H/0", "prompt": "def f():\n", "entry_point": "f", "test": "pass"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.jsonl").write_text(json.dumps(PROBLEM) + "\n")
    (tmp_path / "mbpp_sanitized.json").write_text(json.dumps([FUNCTION]))
    (tmp_path / "he.jsonl").write_text(json.dumps(EXERCISE))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": 1, "typed": "x"}))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "README.md").write_text("text")
    return tmp_path


def test_sets_are_found_by_what_they_hold(folder: Path):
    found = {each.name: each.suite for each in find_sets(folder)}
    assert found == {"he": "humaneval", "mbpp_sanitized": "mbpp", "mine": "mtpb"}


def test_some_of_the_sets_are_chosen_and_a_missing_one_is_named(folder: Path):
    assert [each.name for each in find_sets(folder, ["mine"])] == ["mine"]
    with pytest.raises(MtchatError, match="there are: he, mbpp_sanitized, mine"):
        find_sets(folder, ["yours"])
    with pytest.raises(MtchatError, match="cannot list"):
        find_sets(folder / "nothing")


HEADER = RunHeader(
    *("mtpb", "fake", "f", "float32", "cpu", "multi", "plain", 0.0, 0.95, 1, 0, "0", 4, "d"), dataset="mine"
)


def made(passes: str, header: RunHeader = HEADER) -> RecordedRun:
    """A run of one conversation for each letter: 1 passes, 0 does not, - is missing."""
    rows = [
        ScoredSample(str(at), 0, 0, "", 1, (), "", compatible=each == "1", strict=each == "1")
        for at, each in enumerate(passes)
        if each != "-"
    ]
    return RecordedRun(header, tuple(rows))


def test_a_table_has_a_row_for_each_way_and_a_column_for_each_set():
    default, other = replace(HEADER, policy="default"), replace(HEADER, dataset="yours")
    text = format_table([made("1011", default), made("1000"), made("11", other)])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    assert lines[0] == ["model", "way", "mine", "yours"]
    assert lines[2] == ["fake float32", "plain", "25.0 (0.0–75.0)", "100.0 (100.0–100.0)"]
    assert lines[3] == ["fake float32", "default", "75.0 (25.0–100.0)", ""]
    assert ["fake float32", "default", "+50.0 (+0.0 to +100.0)", ""] in lines
    assert lines[-1] == ["fake float32", "default", "mine", *["0.0"] * 5, "0.00"]


def test_a_table_counts_only_conversations_that_all_ways_have():
    text = format_table([made("10--"), made("1-11", replace(HEADER, policy="default"))])
    assert "mine 1 of 4" in text
    assert "50.0" not in text


def test_a_table_of_nothing_says_so():
    assert format_table([made("----")]) == "no conversation is finished yet\n"


def test_a_way_is_described_by_what_differs():
    header = replace(HEADER, mode="single", policy="best", variation="run=off", ask=True)
    assert describe_way(header) == "single best, run=off, asked"
    assert describe_way(HEADER) == "plain"
    assert describe_way(replace(HEADER, suite="mbpp", mode="single")) == "plain"
    assert describe_way(replace(HEADER, suite="unknown", mode="single")) == "single plain"


def test_the_name_of_the_data_does_not_make_another_run(tmp_path: Path):
    with RunFile(tmp_path / "run.jsonl", replace(HEADER, dataset="")):
        pass
    with RunFile(tmp_path / "run.jsonl", HEADER) as file:
        assert file.rows == ()
    with pytest.raises(MtchatError, match="variation is '' there and 'run=off' here"):
        RunFile(tmp_path / "run.jsonl", replace(HEADER, variation="run=off"))


needs_model = [
    pytest.mark.model,
    needs_small,
    needs_sandbox,
]


@pytest.mark.parametrize("_", [pytest.param(None, marks=needs_model)])
def test_a_table_is_made_by_one_command_and_goes_on_where_it_was(tmp_path: Path, _: None):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("mine", "yours"):
        (data / f"{name}.jsonl").write_text(json.dumps(ADDITION))
    words = ["bench", "table", "--data", "data", "--sets", "mine,yours", "--model", "starter-small"]
    words += ["--policy", "plain,single:plain", "--out", "out", "--concurrency", "4", "--minutes"]
    late = mtchat(tmp_path, *words, "0.0001")
    assert (late.returncode, late.stdout) == (0, "no conversation is finished yet\n"), late.stderr
    made = mtchat(tmp_path, *words, "5")
    assert made.returncode == 0, made.stderr
    assert "have: mine 2 of 2, yours 2 of 2." in made.stdout
    assert "Points above plain, in pairs" in made.stdout
    assert "What the programs are like" in made.stdout
    names = [path.name for path in sorted((tmp_path / "out").iterdir())]
    ways = ("plain", "single-plain")
    assert names == [f"starter-small-{name}-{way}.jsonl" for name in ("mine", "yours") for way in ways]
    again = mtchat(tmp_path, *words, "5")
    assert again.stdout == made.stdout
    reported = mtchat(tmp_path, "bench", "report", "--table", *(f"out/{name}" for name in names))
    assert reported.stdout == made.stdout
