"""What the user sees of running, with a run that is a function: arguments, files, variables, limits, news."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from types import SimpleNamespace

import pytest
from prompt_toolkit.document import Document

from mtchat.console import run_hints
from mtchat.console.captions import describe_size
from mtchat.console.console import Console
from mtchat.console.parsing import split_redirect, split_words
from mtchat.console.view import View
from mtchat.conversation.live import LastLine
from mtchat.errors import MtchatError, UsageError
from mtchat.repl.app import dispatch
from mtchat.repl.completion import SlashCompleter
from mtchat.session.outcome import File, Frame, Outcome, Reason, Variable
from mtchat.session.program import Location, RunInputs
from mtchat.session.settings import Settings
from mtchat.store import Log, load
from tests.support.consoles import console_in, said
from tests.support.runs import begun

KEYBOARD = "turn 1, line 1: EOFError: EOF when reading a line (the sandbox has no keyboard input)"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        ("", "", ""),
        ("a b", "a b", ""),
        ("a < in.txt", "a ", " in.txt"),
        ("<in.txt", "", "in.txt"),
        ("'a<b' \"<\" \\< < f", "'a<b' \"<\" \\< ", " f"),
        ("'a < b", "'a < b", ""),
    ],
)
def test_a_file_for_the_keyboard_follows_the_first_sign_that_is_not_in_quotes(
    line: str, before: str, after: str
) -> None:
    if line == "'a < b":
        with pytest.raises(UsageError, match="no closing quotation in"):
            split_words(split_redirect(line)[0])
        return
    assert split_redirect(line) == (before, after)


def test_run_hands_the_program_its_arguments_and_a_file_for_its_keyboard(tmp_path: Path) -> None:
    (tmp_path / "some names.txt").write_text("Ada\n")
    console, runs = begun(tmp_path)
    dispatch(console, "/run --fast 'two words' < 'some names.txt'")
    assert runs.given[-1] == RunInputs(("--fast", "two words"), Path("some names.txt"))


def test_a_run_that_was_given_something_is_shown_and_not_recorded(tmp_path: Path) -> None:
    frames = (Frame(Location(1, 1), "<module>"),)
    console, _ = begun(tmp_path, Outcome("fake"), Outcome("fake", 1, error="turn 1: no", frames=frames))
    dispatch(console, "/run x")
    assert "✗ turn 1: no" in said(console)
    assert "/fix" not in said(console)
    assert console.session.outcome == load(console.log.path).outcome == Outcome("fake")
    dispatch(console, "/run")
    assert "/fix" in said(console)
    assert load(console.log.path).outcome == console.chat.last_run


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("'a", "no closing quotation"),
        ("<", "no file after <"),
        ("< a b", "give one file after <, at the end"),
        ("< missing.txt", "missing.txt does not exist"),
        ("< .", "is a folder"),
        ("< /dev/null", "is not a regular file"),
        ("< 'a", "no closing quotation"),
    ],
)
def test_a_wrong_run_says_what_is_wrong_and_runs_nothing(tmp_path: Path, argument: str, message: str) -> None:
    console, runs = begun(tmp_path)
    with pytest.raises(UsageError, match=message):
        dispatch(console, f"/run {argument}")
    assert len(runs.given) == 1


def test_attached_files_go_into_every_run_and_stay_with_the_session(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    (tmp_path / "more.csv").write_text("1,2\n" * 1000)
    console, runs = begun(tmp_path)
    dispatch(console, "/attach *.csv")
    assert "data.csv, 4 bytes: the program opens it as 'data.csv'" in said(console)
    assert "more.csv, 4 KiB: the program opens it as 'more.csv'" in said(console)
    dispatch(console, "/run")
    dispatch(console, "print x")
    dispatch(console, "/vars")
    assert [[file.name for file in given.files] for given in runs.given[1:]] == [["data.csv", "more.csv"]] * 3
    dispatch(console, "/attach -d more.csv")
    console.log.close()
    again = console_in(tmp_path)
    assert [file.name for file in again.session.attached] == ["data.csv"]
    assert again.chat.notices == ()


def test_attach_alone_lists_what_is_attached(tmp_path: Path) -> None:
    console, _ = begun(tmp_path)
    dispatch(console, "/attach")
    assert "no file is attached" in said(console)
    (tmp_path / "data.csv").write_text("a,b\n")
    dispatch(console, "/attach data.csv")
    dispatch(console, "/attach")
    assert "\n  data.csv  4 bytes  data.csv\n" in said(console)


def test_an_attached_file_that_goes_away_is_told_and_programs_run_without_it(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    console, runs = begun(tmp_path)
    dispatch(console, "/attach data.csv")
    (tmp_path / "data.csv").unlink()
    dispatch(console, "/run")
    assert "data.csv no longer exists: the program runs without data.csv" in said(console)
    assert runs.given[-1].files == ()


def test_a_reopened_session_says_what_is_not_attached_any_more(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    console, _ = begun(tmp_path)
    dispatch(console, "/attach data.csv")
    dispatch(console, "/save first")
    console.log.close()
    (tmp_path / "data.csv").write_text("a,c\n")
    other = console_in(tmp_path)
    dispatch(other, "/open first")
    assert "data.csv is no longer attached" in said(other)
    assert other.session.attached == ()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nothing.csv", "cannot read .*nothing.csv"),
        ("*.nothing", r"no file matches \*.nothing"),
        ("empty", "empty contains no files"),
        ("'a", "no closing quotation"),
        ("-d", "Detach which file"),
        ("-d x", "'x' is not attached; no files are"),
    ],
)
def test_what_cannot_be_attached_is_an_error_that_says_why(
    tmp_path: Path, argument: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    console, _ = begun(tmp_path)
    with pytest.raises(UsageError, match=message):
        dispatch(console, f"/attach {argument}")


def test_an_attached_folder_is_shown_and_let_go_as_one(tmp_path: Path) -> None:
    (tmp_path / "shapes" / "data").mkdir(parents=True)
    (tmp_path / "shapes" / "area.py").write_text("x = 1\n")
    (tmp_path / "shapes" / "data" / "sizes.csv").write_text("1,2\n")
    console, _ = begun(tmp_path)
    dispatch(console, "/attach shapes")
    assert "shapes/, 2 files, 10 bytes: the program opens it as 'shapes/area.py'\n" in said(console)
    dispatch(console, "/attach")
    row = said(console).splitlines()[-1].split()
    assert row[:5] == ["shapes/", "2", "files,", "10", "bytes"]
    assert row[-1].endswith("shapes")
    dispatch(console, "/attach -d shapes")
    assert console.session.attached == ()


def left(console: Console) -> Outcome:
    """What a run left in the folder beside the session."""
    for name, text in {"plot.png": "png", "out/table.csv": "1,2", "log.txt": "x" * 3000}.items():
        path = console.files_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    files = (File("log.txt", 3000), File("out/table.csv", 3), File("plot.png", 3))
    return Outcome("fake", files=files, skipped=("'link': a link",))


@pytest.fixture
def console(tmp_path: Path) -> Console:
    console, _ = begun(tmp_path)
    console.chat.last_run = left(console)
    return console


def test_files_lists_what_the_last_run_left_and_what_it_did_not_take(console: Console) -> None:
    dispatch(console, "/files")
    assert "  out/table.csv  3 bytes  one.files/out/table.csv\n" in said(console)
    assert "not copied: 'link': a link" in said(console)


def test_files_copies_by_name_and_by_pattern(console: Console, tmp_path: Path) -> None:
    dispatch(console, "/files out/table.csv")
    assert (tmp_path / "table.csv").read_text() == "1,2"
    dispatch(console, "/files *.png log.txt to 'new folder'")
    assert (tmp_path / "new folder" / "plot.png").read_text() == "png"
    assert "copied log.txt to new folder/log.txt (3 KiB)" in said(console)


def test_files_overwrites_only_by_force_and_else_copies_nothing(console: Console, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_text("mine")
    with pytest.raises(MtchatError, match=r"plot.png already exists, so nothing was copied; --force"):
        dispatch(console, "/files log.txt plot.png")
    assert (tmp_path / "plot.png").read_text() == "mine"
    assert not (tmp_path / "log.txt").exists()
    dispatch(console, "/files log.txt plot.png --force")
    assert (tmp_path / "plot.png").read_text() == "png"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nothing.png", "left no file 'nothing.png'; /files lists"),
        ("plot.png to", "Copy which files, and where to"),
        ("to here", "Copy which files, and where to"),
        ("plot.png to one.jsonl", "cannot copy to one.jsonl/plot.png"),
        ("plot.png to one.files", "plot.png already exists"),
    ],
)
def test_what_cannot_be_copied_is_an_error_that_says_why(
    console: Console, argument: str, message: str
) -> None:
    with pytest.raises(MtchatError, match=message):
        dispatch(console, f"/files {argument}")


def test_a_copy_that_is_gone_says_how_to_get_it_again(console: Console) -> None:
    (console.files_folder / "plot.png").unlink()
    with pytest.raises(MtchatError, match="no longer exists; /run creates it again"):
        dispatch(console, "/files plot.png")


@pytest.mark.parametrize(
    "name", ["../secret", "out/../../secret", "..", "{absolute}", "", "out//table.csv", "./log.txt", "a\0b"]
)
@pytest.mark.parametrize("argument", ["*", "log.txt *ec* *out* *b*"])
def test_a_record_that_names_a_file_elsewhere_brings_nothing(
    console: Console, tmp_path: Path, name: str, argument: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    name = name.format(absolute=secret)
    assert console.chat.last_run is not None
    console.chat.last_run = replace(console.chat.last_run, files=(File("log.txt", 3000), File(name, 3)))
    with pytest.raises(MtchatError):
        dispatch(console, f"/files {argument} {quote(name)} to bag")
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("linked", ["one.files", "one.files/out", "one.files/plot.png"])
def test_no_link_is_followed_to_what_a_run_left(console: Console, tmp_path: Path, linked: str) -> None:
    home = tmp_path / "home"
    (home / "out").mkdir(parents=True)
    for name in ("plot.png", "out/table.csv"):
        (home / name).write_text("key")
    link = tmp_path / linked
    link.rename(tmp_path / "aside")
    link.symlink_to(home / linked.removeprefix("one.files").strip("/"))
    name = "out/table.csv" if "out" in linked else "plot.png"
    with pytest.raises(MtchatError, match=r"cannot copy one.files/"):
        dispatch(console, f"/files {name}")
    assert not (tmp_path / Path(name).name).exists()


def test_a_pipe_in_the_place_of_what_a_run_left_is_not_waited_for(console: Console) -> None:
    (console.files_folder / "plot.png").unlink()
    os.mkfifo(console.files_folder / "plot.png")
    with pytest.raises(MtchatError, match=r"cannot copy one.files/plot.png: it is a pipe"):
        dispatch(console, "/files plot.png")


def test_a_pattern_leaves_hidden_files_alone_and_their_names_bring_them(
    console: Console, tmp_path: Path
) -> None:
    hidden = (".bash_profile", "out/.envrc", ".cache/data.csv")
    for name in hidden:
        (console.files_folder / name).parent.mkdir(exist_ok=True)
        (console.files_folder / name).write_text("theirs")
    assert console.chat.last_run is not None
    console.chat.last_run = replace(
        console.chat.last_run, files=(*console.chat.last_run.files, *(File(name, 6) for name in hidden))
    )
    dispatch(console, "/files * to bag")
    assert sorted(os.listdir(tmp_path / "bag")) == ["log.txt", "plot.png", "table.csv"]
    dispatch(console, "/files .bash* out/.envrc to hidden")
    assert sorted(os.listdir(tmp_path / "hidden")) == [".bash_profile", ".envrc"]
    console.chat.last_run = replace(console.chat.last_run, files=(File(".envrc", 6),))
    with pytest.raises(UsageError, match=r"hidden files have to be named in full: .envrc"):
        dispatch(console, "/files *")


def test_a_file_that_is_too_large_to_be_a_step_is_refused_at_once(console: Console, tmp_path: Path) -> None:
    with (tmp_path / "large.py").open("wb") as file:
        file.truncate(2**32)
    with pytest.raises(MtchatError, match=r"large.py: it has 4096 MiB, but at most 64 MiB are read"):
        dispatch(console, "/add < large.py")


def test_a_step_from_a_file_of_windows_has_the_lines_of_ours(console: Console, tmp_path: Path) -> None:
    (tmp_path / "step.py").write_bytes(b"\xef\xbb\xbfx = 1\r\nprint(x)\r\n")
    dispatch(console, "/add < step.py")
    assert console.session.path[-1].chunk == "x = 1\nprint(x)"


def test_force_replaces_a_link_and_not_what_it_leads_to(console: Console, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "plot.png").symlink_to("precious")
    with pytest.raises(MtchatError, match=r"plot.png already exists"):
        dispatch(console, "/files plot.png")
    dispatch(console, "/files plot.png --force")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "plot.png").read_text() == "png"
    assert not (tmp_path / "plot.png").is_symlink()


@pytest.mark.parametrize(
    ("bytes_", "told"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "2 KiB"),
        (3000, "3 KiB"),
        (20 * 2**20, "20 MiB"),
        (2**60, "1 EiB or more"),
        (10**400, "1 EiB or more"),
        (10**4000, "1 EiB or more"),
        (-(10**4000), "of unknown size"),
    ],
)
def test_the_size_of_a_file_is_told_whatever_number_a_record_has(bytes_: int, told: str) -> None:
    assert describe_size(File("x", bytes_)) == told


VARIABLES = (
    Variable("x", "int", "", "1"),
    Variable("a_name_that_is_rather_long_indeed", "DataFrame", "150 x 5", "sepal " * 40),
    Variable("evil", "str", "5", "\x1b]0;title\x07"),
)


def test_vars_is_a_table_that_fits_on_the_screen_and_sends_no_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    console, runs = begun(tmp_path, Outcome("fake", variables=VARIABLES))
    start = len(said(console))
    dispatch(console, "/vars")
    assert runs.looks == [False, True]
    lines = said(console)[start:].splitlines()
    assert lines[0] == "  x                         int                 1"
    assert lines[1].startswith("  a_name_that_is_rather_l…  DataFrame  150 x 5  sepal sepal ")
    assert lines[1].endswith("…")
    assert lines[2].endswith(r"\x1b]0;title\x07")
    assert max(map(len, lines)) < 80


def test_vars_with_a_name_or_a_pattern_shows_the_whole_value(tmp_path: Path) -> None:
    console, _ = begun(tmp_path, Outcome("fake", variables=VARIABLES))
    dispatch(console, "/vars a_*")
    assert "a_name_that_is_rather_long_indeed: DataFrame (150 x 5)\n" in said(console)
    assert said(console).count("sepal") == 40
    with pytest.raises(MtchatError, match="no variable 'y'; /vars lists them"):
        dispatch(console, "/vars y")


def test_vars_of_a_failing_program_are_what_it_had_by_then(tmp_path: Path) -> None:
    failed = Outcome("fake", 1, finished=False, error="turn 1, line 2: no", variables=VARIABLES[:1])
    console, _ = begun(tmp_path, failed)
    dispatch(console, "/vars")
    assert said(console).endswith("✗ turn 1, line 2: no\n  x  int    1\n")


SETTINGS = Settings(seconds=10.0, memory_mib=1024, disk_mib=256, output_kib=1024)


@pytest.mark.parametrize(
    ("limit", "in_repl", "in_shell"),
    [
        ("seconds", "/set seconds 20 raises the limit", "--seconds 20 raises the limit"),
        ("cpu", "/set seconds 20 raises the limit", "--seconds 20 raises the limit"),
        ("memory", "/set memory_mib 2048 raises the limit", "--memory-mib 2048 raises the limit"),
        ("disk", "/set disk_mib 512 raises the limit", "--disk-mib 512 raises the limit"),
        ("output", "/set output_kib 2048 raises the limit", "--output-kib 2048 raises the limit"),
        ("processes", "that limit is fixed", None),
        ("interrupted", "", ""),
        ("", "", ""),
    ],
)
def test_each_limit_says_what_allows_more(limit: str, in_repl: str, in_shell: str | None) -> None:
    outcome = Outcome("fake", None, reason=Reason(limit), error="turn 1: stopped")
    assert run_hints.hint_in_repl(outcome, SETTINGS) == in_repl
    assert run_hints.hint_in_shell(outcome, SETTINGS) == (in_repl if in_shell is None else in_shell)


def test_what_is_suggested_stays_within_the_bounds_of_the_setting() -> None:
    stopped = Outcome("fake", None, reason=Reason.SECONDS, error="stopped")
    assert (
        run_hints.hint_in_repl(stopped, Settings(seconds=80_000.0)) == "/set seconds 86400 raises the limit"
    )
    assert run_hints.hint_in_repl(stopped, Settings(seconds=86_400.0)) == ""


@pytest.mark.parametrize(
    "word",
    ["this.part", "..", ".", "/etc", "~", "a b; ls", "$(ls)", "x" * 5000, "a\0b", "\x1b]0;t\x07", "", "-r x"],
)
def test_a_module_that_a_program_names_is_a_name_and_nothing_of_it_is_run_here(word: str) -> None:
    sys.modules.pop("this", None)
    outcome = Outcome(
        "fake", 1, finished=False, error="turn 1: no module", reason=Reason.PACKAGE, subject=word
    )
    met = run_hints.hint_in_repl(outcome, SETTINGS)
    assert "this" not in sys.modules
    assert bool(met) is (word == "this.part")


def test_the_line_of_a_limit_says_what_allows_more_after_a_turn_and_after_run(tmp_path: Path) -> None:
    stopped = Outcome("fake", None, reason=Reason.SECONDS, finished=False, error="turn 1: stopped after 30 s")
    console, _ = begun(tmp_path, stopped)
    dispatch(console, "/run")
    assert said(console).count("✗ turn 1: stopped after 30 s; /set seconds 60 raises the limit\n") == 2


def test_a_program_that_asks_for_input_is_told_how_to_get_some(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("")
    asked = Outcome("fake", 1, finished=False, error=KEYBOARD, reason=Reason.INPUT)
    console, _ = begun(tmp_path, asked)
    assert "keyboard input); /run lets you type it, /run < FILE reads it from a file\n" in said(console)
    dispatch(console, "/run < in.txt")
    assert said(console).endswith("; in.txt ended too early\n")
    assert run_hints.hint_in_shell(asked, SETTINGS) == "mtchat run SESSION < FILE reads it from a file"


def test_a_program_that_asks_for_a_file_of_mine_is_told_of_attach(tmp_path: Path) -> None:
    error = "turn 1, line 1: FileNotFoundError: 'data.csv' (the sandbox has none of your files)"
    console, _ = begun(tmp_path, Outcome("fake", 1, finished=False, error=error, reason=Reason.FILE))
    assert "; /attach FILE gives the program a copy\n" in said(console)


def test_why_earlier_turns_ran_again_is_said_after_the_turn(tmp_path: Path) -> None:
    note = "turn 2 keeps a file open, so turns 2-4 ran again"
    console, _ = begun(tmp_path, Outcome("fake", note=note))
    assert said(console).endswith(f"✓ ran in 0.0 s\n{note}\n")


@pytest.mark.parametrize(
    ("heard", "line"),
    [
        ([], ""),
        (["epoch 1\n", "epoch 2\n"], "epoch 2"),
        (["10 %\r", "20 %"], "20 %"),
        (["a\n", "\n \n"], "a"),
        (["x" * 5000, "end"], "x" * 3997 + "end"),
    ],
)
def test_the_news_of_a_running_program_are_its_last_line(heard: list[str], line: str) -> None:
    tail = LastLine(SimpleNamespace(stop_if_asked=lambda: None))  # type: ignore[arg-type]
    for text in heard:
        tail("stdout", text)
    assert tail.line() == line


def test_news_follow_the_moving_line_after_a_second_and_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    view = View(io.StringIO(), live=True, color=False)
    clock, ticks = iter([0.0, 0.5, 1.2]), iter([False, False, True])

    class Ticks:
        def wait(self, seconds: float) -> bool:
            return next(ticks)

    monkeypatch.setattr("mtchat.console.view.time.monotonic", lambda: next(clock))
    view.tick(lambda: "running", lambda: "epoch 7\x1b[2J" + "." * 99, Ticks())  # type: ignore[arg-type]
    assert isinstance(view.out, io.StringIO)
    first, second = view.out.getvalue().split("\r\x1b[2K")[1:]
    assert first.endswith(" running 0 s")
    assert " running 1 s │ epoch 7\\x1b[2J..." in second
    assert len(second) == 59


def completed(console: Console, text: str) -> list[str]:
    found = SlashCompleter(lambda: console).get_completions(Document(text), None)  # type: ignore[arg-type]
    return [each.text for each in found]


def test_paths_complete_where_a_command_takes_files(console: Console, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a b.csv").write_text("")
    (folder / ".hidden").write_text("")
    assert completed(console, "/attach one.csv da") == ["ta/"]
    assert completed(console, "/attach data/") == ["a\\ b.csv"]
    assert completed(console, "/attach data/a\\ b") == [".csv"]
    assert completed(console, "/attach data/.h") == ["idden"]
    assert completed(console, "/run da") == []
    assert completed(console, "/run x <da") == ["ta/"]
    assert completed(console, "/attach nowhere/x") == []
    assert split_words("data/a\\ b.csv") == ("data/a b.csv",)


def test_files_and_variables_complete_by_name(console: Console) -> None:
    assert completed(console, "/files p") == ["plot.png"]
    assert completed(console, "/vars ") == ["x"]


def test_set_knows_other_names_and_shows_units(console: Console) -> None:
    dispatch(console, "/set wall 2min")
    assert said(console).endswith("seconds is 120 s\n")
    dispatch(console, "/set memory")
    assert said(console).endswith("  memory_mib   1024 MiB   memory limit per run\n")


def test_an_attachment_alone_makes_a_session_file(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    console = console_in(tmp_path)
    dispatch(console, "/attach data.csv")
    console.log.close()
    with Log.open(tmp_path / "one.jsonl") as log:
        assert [file.name for file in log.session.attached] == ["data.csv"]
