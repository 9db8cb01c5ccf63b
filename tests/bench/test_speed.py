"""What is measured against what, how it is counted, and what is said of it; with fakes, and once for real."""

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from mtchat.bench.speed import measures as measuring
from mtchat.bench.speed.comparison import LOAD, PEAK, BackgroundLoad, Comparison, Contender
from mtchat.bench.speed.engine import QUICK, BenchPrompt, CompletionTiming, EngineSetup, MeasuredEngine
from mtchat.bench.speed.measures import MEASURES, Measure
from mtchat.bench.speed.model import QUANTITIES, ModelReport, find_peers
from mtchat.bench.speed.peers import transformers
from mtchat.bench.speed.process import WorkloadRequest, answer_requests, start_engine
from mtchat.bench.speed.results import (
    Measurement,
    Quantity,
    collect,
    legend,
    plot,
    split_panels,
    table,
    to_json,
)
from mtchat.bench.speed.sandbox import Case, CaseTiming, measure_cases
from mtchat.bench.speed.sandbox import format_table as timings_table
from mtchat.bench.speed.workload import TURNS, Workload, WorkloadBuilder
from mtchat.cli import arguments, main
from mtchat.cli.bench import run_bench
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.generate.prompt.families import codegen
from mtchat.sandbox.host import execute
from mtchat.session.turn import Turn
from mtchat.store.values import rebuild
from tests import SESSIONS
from tests.support.engine_models import STARTER_SMALL, random_engine

DECODE = Quantity("decode", "tok/s", "writing", "")
WAIT = Quantity("wait", "s", "waiting", "", less=True)
AHEAD = Quantity("ahead", "tok/s", "writing", "", like="decode")
PROMISED = {
    *("load", "prefill", "decode", "decode_1000", "decode_4000", "decode_session", "decode_session_plain"),
    *("ttft_turn_1", "ttft_turn_5", "ttft_turn_10", "ttft_turn_20", "undo", "branch"),
    *("candidates_8", "candidates_8_rate", "peak_memory", "bandwidth", "bandwidth_fraction"),
}


def test_cases_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    slow = [0.05]

    def first() -> None:
        order.append("a")
        time.sleep(slow.pop() if slow else 0.0)

    cases = [Case("a", first), Case("b", lambda: order.append("b"), prepare=lambda: order.append("p"))]
    timings = list(measure_cases(cases, 3))
    assert order == ["a", "p", "b"] * 4
    assert [timing.case.name for timing in timings] == ["a", "b"]
    assert timings[0].p90 < 50


def test_a_target_may_be_above_another_case() -> None:
    cases = [Case("base", lambda: time.sleep(0.01)), Case("more", lambda: time.sleep(0.03), 15.0, "base")]
    base, more = measure_cases(cases, 3)
    assert base.met is None
    assert more.above is not None
    assert more.above == pytest.approx(more.median - base.median)
    assert more.met is False
    assert CaseTiming(Case("quick", print, 5.0), 4.0, 9.0).met is True


def test_the_table_of_timings_says_what_was_missed() -> None:
    timings = [CaseTiming(Case("x", print, 5.0), 7.0, 9.0), CaseTiming(Case("y", print), 1.0, 2.0)]
    lines = timings_table(timings).splitlines()
    assert lines[2] == "| x | 7.0 | 9.0 |  | < 5 | missed |"
    assert lines[3] == "| y | 1.0 | 2.0 |  |  |  |"


@pytest.mark.sandbox
def test_the_sandbox_suite_measures_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    variant = execute.choose_backend().variant
    if variant is None or not variant.checkpoints:
        pytest.skip("no sandbox that keeps states works here")
    assert run_bench(arguments.parse(["bench", "speed", "--suite", "sandbox", "--repeats", "1"])) == 0
    said = capsys.readouterr().out
    for what in ("bare", "cold start", "incremental turn", "8 candidates", "a plot"):
        assert what in said


@pytest.mark.parametrize(
    ("samples", "median"), [([4.0], 4.0), ([9.0, 1.0, 2.0], 2.0), ([1.0, 2.0, 3.0, 10.0], 2.5)]
)
def test_a_row_has_the_median_and_the_spread_of_its_samples(samples: list[float], median: float) -> None:
    (row,) = collect({("mtchat", "wait"): samples}, [DECODE, WAIT], ["mtchat", "other"], "starter")
    assert row == Measurement(
        "mtchat", "starter", "wait", "s", median, min(samples), max(samples), len(samples)
    )
    assert row.median == statistics.median(samples)


def test_the_json_is_a_list_of_flat_rows() -> None:
    made = collect(
        {("mtchat", "decode"): [3.0], ("other", "decode"): [1.0]}, [DECODE], ["mtchat", "other"], "m"
    )
    written = json.loads(to_json(made))
    assert [list(row) for row in written] == [
        ["engine", "model", "name", "unit", "median", "min", "max", "runs"]
    ] * 2
    assert [row["engine"] for row in written] == ["mtchat", "other"]


def test_the_table_tells_how_many_times_better_ours_is() -> None:
    samples = {
        ("mtchat", "decode"): [60.0, 61.0, 62.0],
        ("other", "decode"): [20.0, 20.5],
        ("mtchat", "wait"): [0.1],
        ("other", "wait"): [0.25],
        ("mtchat", "ahead"): [81.0],
    }
    quantities = [DECODE, WAIT, AHEAD]
    lines = table(collect(samples, quantities, ["mtchat", "other"], "m"), quantities).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(line) for line in lines}) == 1
    assert cells[0] == ["", "unit", "mtchat", "other", "×"]
    assert cells[2:] == [
        ["decode", "tok/s", "61 (60–62)", "20.2 (20–20.5)", "3.0"],
        ["wait", "s", "0.1", "0.25", "2.5"],
        ["ahead", "tok/s", "81", "", "4.0"],  # beside what the other has of decode
    ]


def test_the_legend_says_what_each_measured_quantity_means() -> None:
    quantities = [replace(DECODE, meaning="how fast"), replace(WAIT, meaning="how long")]
    made = collect({("mtchat", "decode"): [1.0]}, quantities, ["mtchat"], "m")
    assert legend(made, quantities) == "decode  how fast\n"


def test_the_report_names_the_machine_and_explains_factors_only_beside_peers() -> None:
    made = collect({("mtchat", "decode"): [1.0]}, QUANTITIES, ["mtchat"], "m")
    alone = str(ModelReport(made, "m, a CPU, 2 threads", 1, ("mtchat 1, float32",), ("short of data",)))
    assert alone.startswith("mtchat 1, float32; m, a CPU, 2 threads\none run\n\n|")
    assert alone.endswith("\nnote: short of data")
    assert "×" not in alone
    assert "×" in str(ModelReport(made, "m", 3, ("mtchat 1", "other 2")))


def test_the_picture_has_a_panel_for_each_group_and_for_what_is_far_smaller(tmp_path: Path) -> None:
    tiny = Quantity("tiny", "s", "waiting", "", less=True)
    share = Quantity("share", "ratio", "writing", "")
    quantities = [DECODE, WAIT, tiny, share]
    samples = {("mtchat", each.name): [1.0, 2.0] for each in quantities} | {("mtchat", "tiny"): [0.1]}
    made = collect(samples | {("other", "wait"): [3.0]}, quantities, ["mtchat", "other"], "m")
    assert list(split_panels(made, quantities)) == [[DECODE], [WAIT], [tiny]]
    pytest.importorskip("matplotlib")
    plot(made, quantities, tmp_path / "rows.png", "title")
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


@dataclass
class FakeProcess:
    """Answers each measure with its name and number; `fails` says at which it is gone."""

    name: str
    order: list[str]
    fails: str = ""
    load: float = 2.0
    peak: float = 0.0

    def take(self, measure: str, number: int) -> Mapping[str, float]:
        self.order.append(f"{self.name} {measure} {number}")
        if measure == self.fails:
            raise MtchatError("out of memory")
        self.peak += 100.0
        return {measure: float(number)}


def contender(name: str, order: list[str], fails: str = "", most: int = 1000) -> Contender:
    @contextmanager
    def start() -> Iterator[FakeProcess]:
        order.append(f"{name} starts")
        yield FakeProcess(name, order, fails)
        order.append(f"{name} ends")

    return Contender(name, start, most)


def given(name: str, fresh: bool = False) -> Measure:
    return Measure(name, (Quantity(name, "s", "", ""),), lambda *_: {}, fresh)


def test_engines_take_turns_in_processes_of_their_own() -> None:
    order: list[str] = []
    said: list[str] = []
    comparison = Comparison([contender("a", order), contender("b", order, most=1)], 2, said.append)
    comparison.run([given("first", fresh=True), given("then"), given("more", fresh=True)])
    assert order == [
        *("a starts", "a ends", "b starts", "b ends"),
        *("a starts", "a first 1", "a more 1", "a ends", "b starts", "b first 1", "b more 1", "b ends"),
        *("a starts", "a first 2", "a more 2", "a ends"),
        *("a starts", "a then 0", "b starts", "b then 0"),
        *("a then 1", "b then 1", "a then 2", "b ends", "a ends"),
    ]
    assert comparison.samples == {
        ("a", "load"): [2.0, 2.0],
        ("a", "first"): [1.0, 2.0],
        ("a", "peak_memory"): [200.0, 200.0],
        ("a", "more"): [1.0, 2.0],
        ("a", "then"): [1.0, 2.0],
        ("b", "load"): [2.0],
        ("b", "first"): [1.0],
        ("b", "more"): [1.0],
        ("b", "peak_memory"): [200.0],
        ("b", "then"): [1.0],
    }
    assert "then: a, run 2 of 2" in said


def test_a_peer_that_fails_is_left_out_with_a_note() -> None:
    order: list[str] = []
    comparison = Comparison(
        [contender("a", order), contender("b", order, fails="first")], 2, lambda text: None
    )
    comparison.run([given("first", fresh=True), given("then")])
    assert comparison.notes == ["b failed and was dropped: out of memory"]
    assert "b then 0" not in order
    assert comparison.samples["a", "then"] == [1.0, 2.0]


def test_our_own_failure_ends_it() -> None:
    comparison = Comparison([contender("a", [], fails="then"), contender("b", [])], 1, lambda text: None)
    with pytest.raises(MtchatError, match="out of memory"):
        comparison.run([given("then")])


def workload(*lengths: int) -> Workload:
    """Of sessions with so many turns, each character an id."""
    sessions = [
        [Turn(f"do {n}.{k}", f"x{n}{k} = {k}") for k in range(lengths[n])] for n in range(len(lengths))
    ]
    builder = WorkloadBuilder(
        lambda path, instruction: codegen.render(path, instruction, "", ""),
        lambda prompt: prompt.text + prompt.opening,
        lambda text: [ord(sign) for sign in text],
        lambda prompt: 5,
    )
    return builder.build(sessions, 4)


def test_the_conversation_is_made_of_the_recorded_turns_until_there_are_enough() -> None:
    made = workload(3, 2)
    assert len(made.steps) == TURNS
    assert made.steps[0].prompt.text == "# do 0.0\n"
    assert made.steps[0].context.text == "# do 0.0\nx00 = 0"
    for before, after in zip(made.steps, made.steps[1:], strict=False):
        assert after.prompt.text.startswith(before.context.text)
    assert made.undone.text.startswith(made.steps[-2].context.text)
    assert not made.undone.text.startswith(made.steps[-1].prompt.text)
    assert made.returned.text.startswith(made.steps[-1].context.text)
    assert made.branch[0].prompt.text.startswith(made.steps[9].context.text)
    assert not made.branch[0].prompt.text.startswith(made.steps[10].prompt.text)
    assert [reply.prompt.text.splitlines()[-1] for reply in made.replies] == [
        *("# do 0.0", "# do 0.1", "# do 0.2", "# do 1.0")
    ]
    assert made.replies[1].before == made.steps[0].context
    assert made.replies[3].before == BenchPrompt()
    assert len(made.ids) >= 4000


def test_the_conversation_survives_its_way_to_another_process() -> None:
    work = WorkloadRequest(workload(2), QUICK)
    assert rebuild(WorkloadRequest, json.loads(json.dumps(asdict(work)))) == work


def engine(**changes: object) -> MeasuredEngine:
    """An engine that reads 100 and writes 10 tokens in a second."""

    def run(ask: BenchPrompt, count: int, ahead: bool) -> CompletionTiming:
        read = len(ask.ids) or len(ask.text)
        return CompletionTiming(read / 100, read, read / 100, count, (count - 1) / 10)

    able: dict[str, object] = {"complete_batch": lambda ask, count, number, seed: 1.0 + number}
    able |= {"bandwidth": lambda size: 2e9, "weights": 10**8, "speculates": True}
    return MeasuredEngine(run, **(able | changes))  # type: ignore[arg-type]


def test_only_the_measures_asked_for_are_taken() -> None:
    assert measuring.choose_measures("") == MEASURES
    chosen = measuring.choose_measures("decode_1000, prefill")
    assert [each.name for each in chosen] == ["prefill", "decode_1000"]
    with pytest.raises(
        UsageError, match=r"--only speed is unknown; the measures are session, prefill, decode"
    ):
        measuring.choose_measures("speed")
    order: list[str] = []
    comparison = Comparison([contender("a", order)], 1, lambda text: None)
    comparison.run([each for each in MEASURES if each.fresh])
    assert comparison.samples


@pytest.mark.parametrize("each", MEASURES, ids=lambda each: each.name)
def test_a_measure_gives_each_of_its_quantities(each: Measure) -> None:
    values = each.take(engine(), workload(3, 2), QUICK, 1)
    assert set(values) == {quantity.name for quantity in each.quantities}
    assert all(value > 0 for value in values.values())


@pytest.mark.parametrize("each", MEASURES, ids=lambda each: each.name)
def test_a_measure_gives_nothing_that_an_engine_does_not_have(each: Measure) -> None:
    poor = engine(complete_batch=None, bandwidth=None, speculates=False, reuses=False)
    values = each.take(poor, workload(), QUICK, 1)
    assert set(values) <= {"prefill", "decode", "decode_1000"}


def test_a_context_that_an_engine_does_not_see_is_not_asked_of_it() -> None:
    seen = engine(context=1000 + QUICK.decode_tokens)
    taken = [each.take(seen, workload(3, 2), QUICK, 1) for each in MEASURES if each.name.startswith("decode")]
    assert [list(values) for values in taken] == [["decode"], ["decode_1000"], []]


def test_the_measures_say_what_they_mean() -> None:
    able, made = engine(), workload(3, 2)
    taken = {each.name: each.take(able, made, QUICK, 1) for each in MEASURES}
    assert taken["prefill"] == {"prefill": pytest.approx(100.0)}
    assert taken["decode"] == {"decode": pytest.approx(10.0)}
    assert taken["replies"]["decode_session_plain"] == pytest.approx(10.0)
    assert taken["candidates"] == {"candidates_8": 4.5, "candidates_8_rate": pytest.approx(64 / 9)}
    assert taken["bandwidth"] == {"bandwidth": 2.0, "bandwidth_fraction": pytest.approx(0.5)}
    assert taken["session"]["ttft_turn_1"] == pytest.approx(len(made.steps[0].prompt.text) / 100)


def test_all_quantities_have_names_of_their_own() -> None:
    quantities = (LOAD, *measuring.quantities(MEASURES), PEAK)
    assert {quantity.name for quantity in quantities} == PROMISED
    assert len(quantities) == len(PROMISED)


def test_a_process_answers_what_it_is_asked() -> None:
    answers: list[Mapping[str, object]] = []
    work = json.dumps(asdict(WorkloadRequest(workload(2), QUICK)))
    answer_requests(engine(), [work, '{"take": "decode", "number": 1}'], answers.append)
    (answer,) = answers
    assert answer["values"] == {"decode": pytest.approx(10.0)}
    assert isinstance(answer["peak"], float)
    assert answer["peak"] > 1


ECHO = """
import json, sys
print(json.dumps({"ready": "x"}), flush=True)
work = sys.stdin.readline()
for line in sys.stdin:
    asked = json.loads(line)
    if asked["take"] == "die":
        raise ValueError("no such luck")
    if asked["take"] == "refuse":
        print(json.dumps({"failed": "cannot"}), flush=True)
    print(json.dumps({"values": {work.strip(): asked["number"]}, "peak": 5.0}), flush=True)
"""


@pytest.mark.slow
def test_a_started_process_is_spoken_with_and_ends_with_its_block() -> None:
    with start_engine((sys.executable, "-c", ECHO), {}, "work") as process:
        assert process.load > 0
        assert process.take("any", 3) == {"work": 3}
        assert process.peak == 5.0
        with pytest.raises(MtchatError, match="cannot"):
            process.take("refuse", 1)
    assert process.process.poll() is not None


@pytest.mark.slow
def test_a_process_that_dies_says_why() -> None:
    with (
        pytest.raises(MtchatError, match="ValueError: no such luck"),
        start_engine((sys.executable, "-c", ECHO), {}, "work") as process,
    ):
        process.take("die", 1)
    with (
        pytest.raises(MtchatError, match="exited with 7"),
        start_engine((sys.executable, "-c", "raise SystemExit(7)"), {}, "work"),
    ):
        pass


@pytest.mark.slow
def test_an_interrupt_ends_the_process_too() -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        start_engine((sys.executable, "-c", ECHO), {}, "work") as process,
    ):
        raise KeyboardInterrupt
    assert process.process.poll() is not None


@pytest.mark.parametrize(("jiffies", "own", "said"), [(1000, 0.5, "% of the CPU"), (52, 0.5, "")])
def test_other_programs_are_noticed(tmp_path: Path, jiffies: int, own: float, said: str) -> None:
    stat, times, mine = tmp_path / "stat", [100.0, 101.0], [7.0, 7.0 + own]
    stat.write_text("cpu  5 5 5 900 9 5 5 9 0 0\ncpu0 1\n")
    others = BackgroundLoad(stat, lambda: times.pop(0), lambda: mine.pop(0))
    stat.write_text(f"cpu  {5 + jiffies} 5 5 990 99 5 5 99 0 0\n")
    note = others.note()
    assert said in note
    assert bool(said) == bool(note)


def test_a_peer_that_is_not_installed_gives_one_note() -> None:
    against = find_peers("transformers, llama.cpp", "a/folder")
    assert list(against.peers) == ["transformers"]
    (note,) = against.notes
    assert note.startswith("llama.cpp is not measured: ")
    assert "\n" not in note
    with pytest.raises(UsageError, match="llama_cpp"):
        find_peers("vllm", "a/folder")


def test_transformers_reads_with_a_tokenizer_that_pads_with_nothing() -> None:
    engine = random_engine("codegen")
    engine.tokenizer.pad_token = None
    rival = transformers.begin(
        EngineSetup("transformers", "tiny", "tiny", "auto", 1), lambda precision: engine
    )
    run = rival.run(BenchPrompt(ids=(5, 6, 7)), 4, False)
    assert (run.prompt_tokens, run.completion_tokens, rival.context) == (3, 4, engine.card.context)


@pytest.mark.parametrize(
    "wrong", [["--repeats", "0"], ["--json", "/nowhere/rows.json"], ["--plot", "/nowhere/rows.png"]]
)
def test_what_would_fail_in_the_end_fails_at_once(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert main(["bench", "speed", *wrong]) == ExitCode.USAGE
    assert "mtchat: " in capsys.readouterr().err


def quickly(*more: str) -> list[str]:
    if not STARTER_SMALL.exists():
        pytest.skip("starter-small is not here")
    command = [sys.executable, "-m", "mtchat", "bench", "speed", "--model", "starter-small", "--quick"]
    return [*command, "--sessions", str(SESSIONS), *more]


@pytest.mark.model
def test_every_promised_row_is_measured_for_real(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = subprocess.run(quickly("--repeats", "1", "--json", str(file)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {row["name"]: row for row in json.loads(file.read_text())}
    assert set(found) == PROMISED
    assert all(row["engine"] == "mtchat" and row["model"] == "starter-small" for row in found.values())
    assert all(0 < row["min"] <= row["median"] <= row["max"] and row["runs"] == 1 for row in found.values())
    assert found["bandwidth_fraction"]["median"] < 2
    assert 200 < found["peak_memory"]["median"] < 8000
    assert all(name in done.stdout for name in PROMISED)


@pytest.mark.model
def test_an_interrupt_ends_the_measuring(tmp_path: Path) -> None:
    process = subprocess.Popen(quickly(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        assert any("a session" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "mtchat: interrupted\n"
    assert process.returncode == ExitCode.INTERRUPTED
