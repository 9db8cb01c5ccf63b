"""Checks of turns: what a run finds of them, and what making, choosing and mending do about it."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from mtchat.console.console import Console, Host
from mtchat.console.view import View
from mtchat.conversation.conversation import Conversation
from mtchat.errors import ExitCode, MtchatError, UsageError
from mtchat.features.checks.evaluate import evaluate_checks
from mtchat.generate.alternatives import retry
from mtchat.generate.improve import take
from mtchat.generate.policy import Policy
from mtchat.generate.prompt.families import instruct
from mtchat.generate.turn import TurnGenerator
from mtchat.repl.app import dispatch
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome
from mtchat.session.program import NO_INPUTS, CheckResult, Program
from mtchat.session.session import Session
from mtchat.session.settings import Limits, Settings
from mtchat.session.turn import KEPT, Turn, TurnOptions
from mtchat.store import Log, load
from tests.support.consoles import Spoken, said
from tests.support.fake_repl import Fake
from tests.support.generate import CARD, GREEDY_64, KeyedModel
from tests.support.scripts import needs_sandbox, played
from tests.support.shell import mtchat

pytestmark = [
    pytest.mark.sandbox,
    needs_sandbox,
]


@pytest.fixture(scope="module")
def ground() -> Iterator[Sandbox]:
    with Sandbox() as ground:
        yield ground


@pytest.fixture
def console(tmp_path: Path, ground: Sandbox) -> Console:
    return console_with(tmp_path, ground, Fake())


def console_with(folder: Path, ground: Sandbox, model: Fake) -> Console:
    settings = Settings(policy="plain")
    chat = Conversation(model, ground, log=Log.open(folder / "one.jsonl"), settings=settings)
    view = View(io.StringIO(), live=False, color=False)
    return Console(chat, folder, view, Host(lambda name: model))


def program(*chunks: str) -> Session:
    return Session().extend(tuple(Turn(f"step {at}", chunk) for at, chunk in enumerate(chunks, start=1)))


def claimed(session: Session, **checks: str) -> Session:
    """A session with a check about each of some turns: turn_2="total == 42"."""
    for name, code in checks.items():
        turn = session.turn_at(int(name.removeprefix("turn_"))).id
        session = session.with_options(turn, TurnOptions((*session.options_of(turn).checks, code)))
    return session


def found(ground: Sandbox, session: Session, seconds: float = 20.0) -> tuple[CheckResult, ...]:
    limits = Limits(seconds=seconds)
    outcome = ground.run(session.program, limits, None)
    return evaluate_checks(session.program, outcome, lambda part: probed(ground, part, limits)).check_results


def probed(ground: Sandbox, part: Program, limits: Limits) -> Outcome:
    return ground.resume(part, limits, None, lambda stream, text: None, NO_INPUTS, False)


def test_a_check_is_looked_at_in_the_state_that_its_turn_left(ground: Sandbox):
    session = claimed(program("x = 1", "x = 2", "x = 3"), turn_2="x == 2", turn_3="x == 2")
    assert [(each.passed, each.sentence) for each in found(ground, session)] == [
        (True, "after turn 2, x must be 2"),
        (False, "after turn 3, x must be 2, but x is 3"),
    ]


def test_a_check_changes_nothing_of_the_program(ground: Sandbox):
    session = claimed(program("xs = [1, 2]\nprint('made')", "print(xs)"), turn_1="xs.pop() == 2")
    outcome = ground.run(session.program, Limits(), None)
    outcome = evaluate_checks(session.program, outcome, lambda part: probed(ground, part, Limits()))
    assert outcome.check_results == (CheckResult(1, "xs.pop() == 2", True),)
    assert outcome.outputs == ("made\n", "[1, 2]\n")


def test_a_program_that_gives_builtin_names_another_meaning_can_be_checked(ground: Sandbox):
    chunk = "sum = 3\nlist = str = repr = bool = print = len = exit = None\nimport sys\nsys.stdout = None"
    assert found(ground, claimed(program(chunk), turn_1="sum == 4")) == (
        CheckResult(1, "sum == 4", False, "sum is 3"),
    )


@pytest.mark.parametrize(
    ("chunk", "code", "but"),
    [
        ("x = 0.1 + 0.2", "x == 0.3", None),
        ("x = 0.1 + 0.2", "x != 0.3", "x is 0.30000000000000004"),
        ("import numpy as np\nx = np.array([1, 2])", "x == np.array([1, 2])", None),
        ("import numpy as np\nx = np.array([1, 2])", "x == np.array([1, 3])", "x is array([1, 2]) and"),
        ("x = 3\ny = 4", "x == y", "x is 3 and y is 4"),
        ("x = 3", "0 < x < 2", "x is 3"),
        ("def f(n):\n    return n", "f(0)", "f(0) is 0"),
        ("x = [1]", "len(x) == 2", "the length of x is 1"),
        ("x = None", "x > 3", "it fails with TypeError: '>' not supported"),
        ("total = 3", "totl == 3", "totl is not defined (did you mean total?)"),
        ("import sys\nx = 1", "sys.exit()", "it fails with SystemExit"),
        ("import os\nx = 1", "os._exit(0)", "it ends the program"),
        ("def f():\n    while True: pass", "f()", "it exceeded the time limit"),
        ("x = 'a' * 999", "x == ''", "x is 'aaaa"),
        ("def f():\n    print('loud')\n    return 1", "f() == 1", None),
        ("x = 5", "x == 5 and x == 6", "x is 5"),
    ],
)
def test_a_check_that_fails_says_what_is_the_case_instead(
    ground: Sandbox, chunk: str, code: str, but: str | None
):
    (finding,) = found(ground, claimed(program(chunk), turn_1=code), 2.0)
    assert finding.passed is (but is None)
    assert finding.actual.startswith(but or "")
    assert len(finding.actual) < 400


def test_a_turn_that_was_not_reached_is_not_judged(ground: Sandbox):
    session = claimed(program("x = 1", "1 / 0", "x = 2"), turn_1="x == 1", turn_2="x == 1", turn_3="x == 2")
    assert [(each.passed, each.actual) for each in found(ground, session)] == [
        (True, ""),
        (None, "turn 2 fails first"),
        (None, "turn 2 fails first"),
    ]


def test_a_turn_whose_code_a_later_one_has_is_checked_there(ground: Sandbox):
    session = Session().extend((Turn("a", "", status=KEPT), Turn("b", "x = 1\ny = 2")))
    assert found(ground, claimed(session, turn_1="x == 1")) == (CheckResult(1, "x == 1", True),)


def test_checks_stay_with_their_turns_through_edits_saving_and_retries(console: Console, tmp_path: Path):
    dispatch(console, "define x")
    dispatch(console, "/check x == 1")
    dispatch(console, "print x")
    dispatch(console, "/edit 1 define x, please define x")
    assert [each.code for each in console.session.checks] == ["x == 1"]
    again = load(console.log.path)
    assert again.checks == console.session.checks
    assert again.outcome is not None
    assert again.outcome.check_results == (CheckResult(1, "x == 1", True),)
    dispatch(console, "/undo")
    dispatch(console, "/retry")
    assert [each.code for each in console.session.checks] == ["x == 1"]


def test_every_run_looks_again_and_says_so_in_words(console: Console):
    dispatch(console, "define x")
    dispatch(console, "after this x must be 2")
    assert "check: x == 2  (fails: x is 1)" in said(console)
    assert [turn.instruction for turn in console.session.path] == ["define x"]
    dispatch(console, "print x")
    dispatch(console, "/run")
    assert said(console).count("✗ after turn 1, x must be 2, but x is 1") == 2
    assert "│ 1\n" in said(console)


def test_checks_are_listed_with_numbers_and_removed_by_them(console: Console):
    dispatch(console, "define x")
    dispatch(console, "/check x == 1")
    dispatch(console, "/check x == 1")
    dispatch(console, "/check x > 4")
    dispatch(console, "/check")
    assert "this check already exists" in said(console)
    assert "1  ✓ after turn 1, x must be 1\n2  ✗ after turn 1, x must be more than 4" in said(console)
    with pytest.raises(MtchatError, match="no check 3; the checks are 1 to 2"):
        dispatch(console, "/check -d 3")
    with pytest.raises(UsageError, match="removes one check"):
        dispatch(console, "/check -d")
    dispatch(console, "/check -d 2")
    assert "removed: after turn 1, x must be more than 4" in said(console)
    assert load(console.log.path).checks == console.session.checks
    assert console.session.outcome is not None
    assert console.session.outcome.succeeded


def test_fix_shows_the_model_the_failing_check_and_stops_when_it_holds(tmp_path: Path, ground: Sandbox):
    model = Spoken("x = 1", "x = 0", "x = 2")
    console = console_with(tmp_path, ground, model)
    dispatch(console, "set it")
    dispatch(console, "/check x == 2")
    dispatch(console, "/fix")
    assert "after this step, x must be 2, but x is 1" in model.asked[1][0].messages[-1].content
    assert "fix ended after round 2: the program runs, and all checks pass" in said(console)
    assert [turn.chunk for turn in console.session.path] == ["x = 2"]
    with pytest.raises(MtchatError, match="nothing to fix"):
        dispatch(console, "/fix")


def test_fix_mends_the_turn_of_the_check_and_keeps_later_turns(tmp_path: Path, ground: Sandbox):
    console = console_with(tmp_path, ground, Spoken("x = 1", "y = x + 1", "x = 2"))
    dispatch(console, "set it")
    dispatch(console, "/check x == 2")
    dispatch(console, "add one")
    dispatch(console, "/fix")
    assert [turn.chunk for turn in console.session.path] == ["x = 2", "y = x + 1"]


def test_a_fix_that_breaks_the_program_or_another_check_is_not_kept(tmp_path: Path, ground: Sandbox):
    console = console_with(
        tmp_path, ground, Spoken("x = 1\ny = 1", "x = 2\ny = 2", "x = y = 1 / 0", "x = y = 3")
    )
    dispatch(console, "set them")
    dispatch(console, "/check y == 1")
    dispatch(console, "/check x == 2")
    dispatch(console, "/fix")
    assert "still failing after 3 rounds; the program is unchanged" in said(console)
    assert [turn.chunk for turn in console.session.path] == ["x = 1\ny = 1"]


def provenance(ground: Sandbox, model: KeyedModel, policy: Policy) -> TurnGenerator:
    def look(part: Program) -> Outcome:
        outcome = ground.trial(part, Limits(), NO_INPUTS)
        return evaluate_checks(part, outcome, lambda each: probed(ground, each, Limits()))

    return TurnGenerator(
        instruct,
        model.complete,
        look,
        CARD,
        "instruct",
        policy=policy,
        candidates=model.candidates,
        dry_run=look,
    )


def test_a_retry_takes_the_candidate_that_passes_though_most_do_otherwise(ground: Sandbox):
    replies = {"add up": ["total = 40", "total = 40", "total = 42", "total = 40", "total = 40"]}
    model = KeyedModel(replies)

    generator = provenance(ground, model, Policy(samples=3))
    before = take(generator, Session(), "add up", GREEDY_64)
    assert before.path[-1].chunk == "total = 40"
    after = retry(generator, claimed(before, turn_1="total == 42"), GREEDY_64)
    assert after.path[-1].chunk == "total = 42"
    assert after.outcome is not None
    assert after.outcome.succeeded


@pytest.mark.parametrize("check", ["/check x is 6", "/check x == 6"])
def test_a_script_keeps_checks_and_ends_well_where_they_hold(tmp_path: Path, check: str):
    code, err = played(tmp_path, ["set", check, "show"])
    assert code == ExitCode.DONE
    assert "✓ 1 check passed" in err
    assert [turn.instruction for turn in load(tmp_path / "played.jsonl").path] == ["set", "show"]


@pytest.mark.parametrize("run", [True, False])
def test_a_script_whose_check_fails_at_the_end_has_exit_code_one(tmp_path: Path, run: bool):
    code, err = played(tmp_path, ["set", "/check x is 7", "show"], run=run)
    assert code == ExitCode.FAILED
    assert "after turn 1, x must be 7, but x is 6" in err


@pytest.mark.parametrize("words", ["/check after this x must be 7", "/check x muss 7 sein"])
def test_a_script_shows_the_python_of_a_check_in_words(tmp_path: Path, words: str):
    replies = {"x must be 7": " x == 7", "x muss 7 sein": " x == 7"}
    code, err = played(tmp_path, ["set", words], replies=replies)
    assert code == ExitCode.FAILED
    assert "check: x == 7  (fails: x is 6)" in err
    assert [each.code for each in load(tmp_path / "played.jsonl").checks] == ["x == 7"]


def test_a_script_mends_what_fails_a_check_where_that_is_asked_for(tmp_path: Path):
    code, err = played(tmp_path, ["set", "fail", "/check x is 7"], fix=True)
    assert code == ExitCode.FAILED
    assert "fixing turn 2, attempt 1 of 3" in err
    assert [turn.chunk for turn in load(tmp_path / "played.jsonl").path][1] == "print(x)"


def test_a_script_refers_to_what_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, _ = played(tmp_path, ["set", "print {out 1}, then show"])
    assert code == ExitCode.DONE
    assert load(tmp_path / "played.jsonl").path[1].instruction == "print noise, then show"
    with pytest.raises(MtchatError, match="no turn 9"):
        played(tmp_path, ["show {code 9}"])
    assert len(load(tmp_path / "played.jsonl").path) == 2


def test_running_a_session_tells_of_its_checks_and_ends_badly_where_one_fails(tmp_path: Path):
    session = claimed(program("x = 1", "print(x)"), turn_1="x == 1")
    with Log.open(tmp_path / "good.jsonl") as log:
        log.write(session)
    good = mtchat(tmp_path, "run", "--sessions", ".", "good")
    assert (good.returncode, good.stdout, good.stderr) == (0, "1\n", "✓ 1 check passed\n")
    with Log.open(tmp_path / "bad.jsonl") as log:
        log.write(claimed(session, turn_2="x == 2"))
    bad = mtchat(tmp_path, "run", "--sessions", ".", "bad")
    assert (bad.returncode, bad.stdout) == (1, "1\n")
    assert "✗ after turn 2, x must be 2, but x is 1" in bad.stderr
    asks = claimed(program("x = input()", "print(x)"), turn_2="x == 'a'")
    with Log.open(tmp_path / "asks.jsonl") as log:
        log.write(asks)
    piped = mtchat(tmp_path, "run", "--sessions", ".", "asks", stdin="a")
    assert (piped.returncode, piped.stdout) == (0, "a\n")
    assert (
        "– after turn 2, x must be 'a', but running the program up to that turn again failed" in piped.stderr
    )
    (tmp_path / "in.txt").write_text("b")
    fed = mtchat(tmp_path, "run", "--sessions", ".", "asks", "--stdin", "in.txt")
    assert "✗ after turn 2, x must be 'a', but x is 'b'" in fed.stderr
    assert fed.returncode == 1


def test_a_turn_of_a_program_written_afresh_keeps_its_checks(ground: Sandbox):
    replies = {
        "set x": ["x = 1"],
        "bad y": ["y = x.no"],
        "show y": ["print(y)"],
        "set x\nbad y\nshow y": ["x = 1\ny = 2\nprint(y)"],
    }
    generator = provenance(ground, KeyedModel(replies), Policy(rewrites=1))
    session = take(provenance(ground, KeyedModel(replies), Policy()), Session(), "set x", GREEDY_64)
    session = take(provenance(ground, KeyedModel(replies), Policy()), session, "bad y", GREEDY_64)
    session = take(generator, claimed(session, turn_2="y == 2"), "show y", GREEDY_64)
    assert [turn.chunk for turn in session.path] == ["x = 1", "y = 2", "print(y)"]
    assert session.outcome is not None
    assert session.outcome.check_results == (CheckResult(2, "y == 2", True),)
