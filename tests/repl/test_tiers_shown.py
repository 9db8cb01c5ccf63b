"""How users learn what holds their programs: the toolbar, a line before the first run, the flag."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from prompt_toolkit.formatted_text import fragment_list_to_text

from mtchat.cli import arguments, doctor, wiring
from mtchat.cli.main import main
from mtchat.console.console import Console
from mtchat.errors import ExitCode
from mtchat.repl import toolbar
from mtchat.repl.app import STYLE, dispatch, greet
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.execute import BackendChoice, Probe
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome
from tests.support.consoles import console_in, handed, said
from tests.support.scripts import played

NOTICE = "programs run in a reduced sandbox, landlock (reduced): bwrap: no; for the full sandbox: mend"
WEAK = Probe("landlock (reduced)", True, "bwrap: no", "mend")
NONE = Probe(reason="it is not here", fix="fetch it")
WORKS = execute.choose_backend(without_sandbox=True).probe.ok
needs_proc = pytest.mark.skipif(not WORKS, reason="programs cannot be run here even without a sandbox")


def told(folder: Path, tier: str = "bwrap", notice: str = "", warning: str = "") -> Console:
    console = console_in(folder)
    console.host = replace(console.host, tier=lambda: tier, warning=warning)
    console.chat.sandbox = replace(console.chat.sandbox, warning=lambda: notice)
    return console


@pytest.mark.parametrize("tier", ["bwrap", "landlock (reduced)", "…", "none"])
def test_the_toolbar_names_the_tier(tmp_path: Path, tier: str) -> None:
    shown = toolbar.text(told(tmp_path, tier), 100)
    assert f" │ sandbox {tier} │ " in fragment_list_to_text(shown)
    assert all(style == "" for style, *_ in shown)


def test_the_toolbar_warns_where_there_is_no_sandbox(tmp_path: Path) -> None:
    shown = toolbar.text(told(tmp_path, execute.NO_SANDBOX), 100)
    assert " │ NO SANDBOX │ " in fragment_list_to_text(shown)
    assert [text for style, text, *_ in shown if style == "class:warning"] == ["NO SANDBOX"]
    attributes = STYLE.get_attrs_for_style_str("class:bottom-toolbar class:bottom-toolbar.text class:warning")
    assert (attributes.color, attributes.bold) == ("ansired", True)


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (75, " fake │ turn 2 │ 102/1000 tokens (10 %) │ ok │ sandbox bwrap │ numbers-one"),
        (60, " fake │ turn 2 │ 102/1000 tokens (10 %) │ ok │ sandbox bwrap"),
        (59, " fake │ turn 2 │ ok │ sandbox bwrap │ numbers-one"),
        (40, " fake │ turn 2 │ ok │ sandbox bwrap"),
        (20, " fake │ turn 2 │ ok"),
        (10, " fake │ ok"),
        (3, " ok"),
        (2, " "),
    ],
)
def test_where_the_screen_is_narrow_the_toolbar_leaves_out_whole_parts(
    tmp_path: Path, width: int, shown: str
) -> None:
    console = told(tmp_path)
    dispatch(console, "define x")
    dispatch(console, "/save numbers-one")
    assert fragment_list_to_text(toolbar.text(console, width)) == shown


def test_a_narrow_toolbar_still_warns_where_there_is_no_sandbox(tmp_path: Path) -> None:
    assert fragment_list_to_text(toolbar.text(told(tmp_path, execute.NO_SANDBOX), 12)) == " NO SANDBOX"


def test_a_reduced_sandbox_is_announced_once_before_the_first_run(tmp_path: Path) -> None:
    console = told(tmp_path, "landlock (reduced)", NOTICE)
    for wish in ("define x", "print x", "/run"):
        dispatch(console, wish)
    assert said(console).count(NOTICE) == 1
    assert said(console).index(NOTICE) < said(console).index("✓ ran")


def test_a_reduced_sandbox_is_announced_before_run_too(tmp_path: Path) -> None:
    console = told(tmp_path, "landlock (reduced)", NOTICE)
    dispatch(console, "/set run off")
    dispatch(console, "define x")
    assert NOTICE not in said(console)
    dispatch(console, "/run")
    assert said(console).count(NOTICE) == 1


def test_without_a_sandbox_the_first_screen_says_what_that_means(tmp_path: Path) -> None:
    console = told(tmp_path, execute.NO_SANDBOX, execute.NO_SANDBOX_WARNING, execute.NO_SANDBOX_WARNING)
    greet(console)
    dispatch(console, "define x")
    assert said(console).count(execute.NO_SANDBOX_WARNING) == 1


def test_a_script_announces_a_reduced_sandbox_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = handed(
        lambda program, limits, place, given: Outcome(),
        lambda program, limits, given: Outcome(),
        lambda: "",
        lambda: NOTICE,
    )
    _, words = played(tmp_path, ["set", "show"], box=box)
    assert words.count(NOTICE) == 1
    assert NOTICE not in capsys.readouterr().out


@pytest.mark.parametrize(("found", "lines"), [(WEAK, [("!", "landlock (reduced): bwrap: no", "mend")])])
def test_doctor_tells_why_the_sandbox_is_reduced(
    found: Probe, lines: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "probe", lambda: found)
    assert [(each.mark, each.found, each.advice) for each in doctor.check_sandbox()] == lines


@pytest.mark.parametrize("words", [[], ["run", "x.py"], ["replay", "x"]])
def test_the_flag_is_off_unless_it_is_typed(words: list[str]) -> None:
    assert not arguments.parse(words).unsafe
    assert arguments.parse([*words, "--unsafe-no-sandbox"]).unsafe


def test_what_the_flag_means_is_known_at_once() -> None:
    assert Sandbox().unsafe_warning() == ""
    assert Sandbox(unsafe=True).warning() == execute.NO_SANDBOX_WARNING


@pytest.mark.sandbox
@needs_proc
def test_a_run_without_a_sandbox_says_so_on_stderr_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "program.py").write_text("import os\nprint(os.path.exists('/etc/passwd'))")
    assert main(["run", "--unsafe-no-sandbox", str(tmp_path / "program.py")]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert out == "True\n"
    assert err.splitlines()[0] == execute.NO_SANDBOX_WARNING


def test_where_nothing_works_and_the_flag_is_not_typed_a_run_is_refused_with_code_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "choose_backend", lambda *, without_sandbox: BackendChoice(NONE))
    (tmp_path / "program.py").write_text("print(1)")
    assert main(["run", str(tmp_path / "program.py")]) == ExitCode.SANDBOX
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "mtchat: no sandbox works on this machine: it is not here; fetch it. As a last resort, --unsafe"
    )


def test_the_tier_of_the_toolbar_is_found_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "choose_backend", lambda *, without_sandbox: BackendChoice(WEAK))
    tier = wiring.Tier(Sandbox())
    assert tier.word == "…"
    tier.begin()
    assert tier.thread is not None
    tier.thread.join(10)
    assert tier.word == "landlock (reduced)"


def test_a_desk_says_nothing_more_where_all_is_well(tmp_path: Path) -> None:
    console = told(tmp_path)
    assert isinstance(console.view.out, io.StringIO)
    before = console.view.out.getvalue()
    console.chat.warn_about_sandbox()
    assert console.view.out.getvalue() == before
    assert os.listdir(tmp_path) == []
