"""The command line as a shell sees it: what goes to stdout, what to stderr, and the exit code."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from mtchat.bundled_models import catalogue
from mtchat.cli.main import main
from mtchat.cli.scripted import Script, run_script
from mtchat.console.view import View
from mtchat.errors import ExitCode, ModelError, SandboxError
from mtchat.models.loading import LoadingModel
from mtchat.sandbox.sandbox import Sandbox
from mtchat.session.outcome import Outcome, Reason
from mtchat.session.program import Program, RunInputs
from mtchat.session.prompt import Piece, Prompt, Usage
from mtchat.session.settings import Limits, Sampling, Settings
from mtchat.session.turn import INTERRUPTED, Turn
from mtchat.store import Log, load
from tests.support.consoles import handed
from tests.support.scripts import REAL, REPLIES, Table, needs_sandbox, nothing, played
from tests.support.shell import mtchat


@pytest.mark.sandbox
@needs_sandbox
def test_a_script_prints_the_program_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = played(tmp_path, ["set", "show"])
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "x = 6\nprint('noise')\n\nprint(x * 7)\n"
    assert "1› set" in said
    assert "✓ ran in" in said
    assert "played.jsonl" in said


@needs_sandbox
def test_with_run_it_prints_what_the_program_prints_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = played(tmp_path, ["set", "show"], run=True)
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "noise\n42\n"


@needs_sandbox
def test_a_failing_program_is_exit_code_one_with_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = played(tmp_path, ["set", "fail"], run=True)
    assert code == ExitCode.FAILED
    assert capsys.readouterr().out == "noise\n6\n"
    assert "turn 2, line 2: ValueError: no" in said


@needs_sandbox
def test_with_fix_a_failing_turn_is_mended_before_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = played(tmp_path, ["set", "fail", "show"], run=True, fix=True)
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "noise\n6\n42\n"
    assert "fix ended after round 1" in said
    assert len(load(tmp_path / "played.jsonl").turns) == 4


@needs_sandbox
def test_an_interrupt_saves_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = played(tmp_path, ["set", "stop", "show"])
    assert code == ExitCode.INTERRUPTED
    assert capsys.readouterr().out == ""
    assert "1 instructions were not sent" in said
    assert [turn.status for turn in load(tmp_path / "played.jsonl").path][1] == INTERRUPTED


def test_a_run_that_the_user_stops_ends_the_script(tmp_path: Path) -> None:
    stopped = Outcome("fake", None, reason=Reason.INTERRUPTED, finished=False)
    box = handed(lambda program, limits, place, given: stopped, nothing, lambda: "")
    code, said = played(tmp_path, ["set", "show"], box=box)
    assert code == ExitCode.INTERRUPTED
    assert "1 instructions were not sent" in said
    assert len(load(tmp_path / "played.jsonl").path) == 1


def test_a_turn_of_a_script_that_does_something_else_when_it_runs_again_is_told(tmp_path: Path) -> None:
    def run(program: Program, limits: Limits, place: Path | None, given: RunInputs) -> Outcome:
        count = len(program.chunks)
        return Outcome("fake", outputs=(f"{count} so far\n", *["\n"] * (count - 1)))

    _, said = played(tmp_path, ["set", "show"], box=handed(run, nothing, lambda: ""))
    assert said.count("turn 1 ran again and printed something else: 1 so far became 2 so far\n") == 1


@pytest.mark.parametrize("wish", ["run", "fix"])
def test_where_nothing_can_be_run_a_script_that_needs_it_is_refused(tmp_path: Path, wish: str) -> None:
    box = handed(lambda program, limits, place, given: Outcome(), nothing, lambda: "no sandbox; install one")
    with pytest.raises(SandboxError, match="no sandbox; install one"):
        played(tmp_path, ["set"], box=box, run=wish == "run", fix=wish == "fix")
    assert SandboxError.code == ExitCode.SANDBOX


def test_where_nothing_can_be_run_a_script_still_gives_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box = handed(lambda program, limits, place, given: Outcome(), nothing, lambda: "no sandbox; install one")
    code, said = played(tmp_path, ["set"], box=box)
    assert code == ExitCode.DONE
    assert capsys.readouterr().out == "x = 6\nprint('noise')\n"
    assert "programs are not run: no sandbox" in said


def test_a_script_that_cannot_be_saved_prints_its_program_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"

    def load(report: object) -> Table:
        folder.write_text("a file where the sessions' folder would be")
        return Table(REPLIES)

    err = io.StringIO()
    box = handed(lambda program, limits, place, given: Outcome(), nothing, lambda: "")
    with Log.open(folder / "x.jsonl") as log:
        script = Script(["set"], False, False, "", Settings())
        code = run_script(script, log, LoadingModel("table", load), box, View(err, live=False, color=False))
    assert code == ExitCode.FAILED
    assert capsys.readouterr().out == "x = 6\nprint('noise')\n"
    assert "cannot save to" in err.getvalue()


def test_a_model_that_cannot_be_loaded_is_a_model_error(tmp_path: Path) -> None:
    def load(report: object) -> Table:
        raise ModelError("no model at nowhere")

    with Log.open(tmp_path / "x.jsonl") as log, pytest.raises(ModelError, match="no model at nowhere"):
        run_script(
            Script(["set"], False, False, "", Settings()),
            log,
            LoadingModel("x", load),
            REAL,
            View(io.StringIO(), False),
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "sign"),
    [
        (["--nonsense"], ExitCode.USAGE, "--nonsense"),
        (["--temperature", "hot", "-p", "x"], ExitCode.USAGE, "temperature must be a number, not 'hot'"),
        (["--family", "none", "-p", "x"], ExitCode.USAGE, "'none' is not one of the families: codegen"),
        ([], ExitCode.USAGE, "no instructions"),
        (["--model", "starter-smal", "-p", "x"], ExitCode.MODEL, "did you mean starter-small?"),
        (["--model", "./nothing.gguf", "-p", "x"], ExitCode.MODEL, "no model at ./nothing.gguf"),
        (["run", "nothing"], ExitCode.FAILED, "no session 'nothing'"),
        (["run", "nothing.py"], ExitCode.USAGE, "cannot read nothing.py"),
        (
            ["run", "x.py", "--fast"],
            ExitCode.USAGE,
            "--fast; see mtchat run --help; put options for the prog",
        ),
        (["run"], ExitCode.USAGE, "no program given: mtchat run SESSION or mtchat run FILE.py"),
        (
            ["run", "--seconds", "5"],
            ExitCode.USAGE,
            "no program given: mtchat run SESSION or mtchat run FILE.py",
        ),
        (["run", __file__, "--stdin", "nothing"], ExitCode.USAGE, "nothing does not exist"),
        (["run", __file__, "--attach", "nothing"], ExitCode.USAGE, "No such file"),
        (["-p", "x", "--model", "./no.gguf", "--attach", "nothing"], ExitCode.USAGE, "No such file"),
        (["replay", "nothing"], ExitCode.FAILED, "no session 'nothing'"),
        (["export", "nothing", "--to", "py"], ExitCode.FAILED, "no session 'nothing'"),
        (["import", "nothing.py"], ExitCode.FAILED, "cannot read nothing.py"),
        (["models", "get", "huge"], ExitCode.MODEL, "no known model is called 'huge'"),
        (["models", "remove"], ExitCode.USAGE, "no model given to remove"),
    ],
)
def test_what_cannot_be_done_is_one_clear_message_and_the_right_exit_code(
    tmp_path: Path, words: list[str], code: int, sign: str
) -> None:
    ended = mtchat(tmp_path, *words)
    assert sign in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == code
    assert ended.stdout == ""


@pytest.mark.slow
@needs_sandbox
@pytest.mark.parametrize(
    ("source", "code", "out", "sign"),
    [
        ("print('hello')", 0, "hello\n", ""),
        ("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)", 3, "out\n", "err"),
        ("print(1)\nprint(1 / 0)", 1, "1\n", "program.py, line 2: ZeroDivisionError"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", 139, "", "SIGSEGV"),
        ("print(open('/etc/shadow').read())", 1, "", "/etc/shadow"),
    ],
)
def test_a_file_runs_in_the_sandbox_with_its_own_exit_code(
    tmp_path: Path, source: str, code: int, out: str, sign: str
) -> None:
    (tmp_path / "program.py").write_text(source)
    ended = mtchat(tmp_path, "run", "program.py")
    assert ended.stdout == out
    assert ended.returncode == code
    assert sign in ended.stderr


@pytest.mark.slow
@needs_sandbox
def test_a_run_that_takes_too_long_is_stopped_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("while True: pass")
    ended = mtchat(tmp_path, "run", "--seconds", "0.5", "program.py")
    assert ended.returncode == ExitCode.FAILED
    assert "stopped after 0.5 s" in ended.stderr


@pytest.mark.slow
@needs_sandbox
def test_a_limit_and_missing_input_say_what_to_add_to_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("while True: pass")
    ended = mtchat(tmp_path, "run", "--seconds", "0.5s", "program.py")
    assert "stopped after 0.5 s; --seconds 1 raises the limit" in ended.stderr
    (tmp_path / "program.py").write_text("input()")
    ended = mtchat(tmp_path, "run", "program.py")
    assert "EOFError" in ended.stderr
    assert "the input ended too early" in ended.stderr


ECHO = "import sys\nprint(sys.argv[1:])\nprint(sys.stdin.read().upper())"


@pytest.mark.slow
@needs_sandbox
@pytest.mark.parametrize("files", ["x.files", "out"])
@pytest.mark.parametrize("kind", ["a link to a folder", "a file of yours"])
def test_what_a_program_leaves_takes_no_file_of_the_users(tmp_path: Path, files: str, kind: str) -> None:
    (tmp_path / "x.py").write_text("open('.profile', 'w').write('theirs')")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".profile").write_text("mine")
    (tmp_path / files).symlink_to(home) if kind == "a link to a folder" else home.rename(tmp_path / files)
    more = ("--files", files) if files == "out" else ()
    ended = mtchat(tmp_path, "run", *more, "x.py")
    assert ended.returncode == 0
    assert (tmp_path / files / ".profile").read_text() == "mine"
    assert f"not copied: {'all files' if 'link' in kind else repr('.profile')}: " in ended.stderr
    assert "move it away" in ended.stderr


@pytest.mark.slow
@needs_sandbox
def test_a_forged_error_is_one_short_line(tmp_path: Path) -> None:
    """The headline comes from the program's own process, which may put anything in its place."""
    (tmp_path / "x.py").write_text("raise type('E' * 200_000, (Exception,), {})('m' * 200_000)")
    ended = mtchat(tmp_path, "run", "x.py")
    assert ended.returncode == 1
    assert max(map(len, ended.stderr.splitlines())) < 600


@pytest.mark.slow
@needs_sandbox
def test_run_hands_over_arguments_and_what_is_piped_in(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ECHO)
    ended = mtchat(
        tmp_path, "run", "program.py", "one", "--seconds", "9", "--", "--two", "x y", stdin="hello"
    )
    assert ended.stdout == "['one', '--two', 'x y']\nHELLO\n"
    (tmp_path / "in.txt").write_text("from a file")
    ended = mtchat(tmp_path, "run", "--stdin", "in.txt", "program.py", stdin="not this")
    assert ended.stdout == "[]\nFROM A FILE\n"
    with open(tmp_path / "in.txt") as file:
        words = [sys.executable, "-m", "mtchat", "run", "program.py"]
        again = subprocess.run(words, cwd=tmp_path, stdin=file, capture_output=True, text=True)
    assert again.stdout == ended.stdout


@pytest.mark.slow
@needs_sandbox
def test_a_pipe_that_stays_open_holds_no_run_up_that_does_not_read_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('done')")
    read, write = os.pipe()
    words = [sys.executable, "-m", "mtchat", "run", "program.py"]
    ended = subprocess.run(words, cwd=tmp_path, stdin=read, capture_output=True, text=True, timeout=60)
    os.close(read)
    os.close(write)
    assert ended.stdout == "done\n"


@pytest.mark.slow
@needs_sandbox
def test_a_program_without_a_standard_input_has_none(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ECHO)
    words = f"{sys.executable} -m mtchat run program.py <&-"
    ended = subprocess.run(["sh", "-c", words], cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == "[]\n\n"


@pytest.mark.sandbox
@needs_sandbox
def test_attached_files_go_with_a_script_and_then_with_its_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "data.csv").write_text("a,b")
    code, _ = played(tmp_path / "sessions", ["read"], run=True, attached=[tmp_path / "data.csv"])
    assert (code, capsys.readouterr().out) == (ExitCode.DONE, "a,b\n")
    assert mtchat(tmp_path, "run", "played").stdout == "a,b\n"
    assert mtchat(tmp_path, "replay", "played").returncode == ExitCode.DONE
    (tmp_path / "data.csv").write_text("a,c")
    ended = mtchat(tmp_path, "run", "played")
    assert "data.csv is no longer attached" in ended.stderr
    assert "(the sandbox has none of your files); --attach FILE gives the program a copy" in ended.stderr
    assert mtchat(tmp_path, "run", "played", "--attach", "data.csv").stdout == "a,c\n"


@pytest.mark.slow
@needs_sandbox
def test_a_file_that_wants_arguments_or_a_package_of_mine_says_how_it_gets_them(tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "area.py").write_text("def area(n):\n    return n * n\n")
    (tmp_path / "square.py").write_text(
        "import argparse\nfrom shapes.area import area\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('n', type=int)\nprint(area(parser.parse_args().n))\n"
    )
    without = mtchat(tmp_path, "run", "square.py")
    assert without.stderr.endswith(
        "No module named 'shapes'; --attach shapes gives the program a copy of yours\n"
    )
    unasked = mtchat(tmp_path, "run", "--attach", "shapes", "square.py")
    assert (
        "(the program got no arguments); give it arguments, for example: mtchat run square.py 3 4\n"
        in unasked.stderr
    )
    assert unasked.returncode == 2
    assert mtchat(tmp_path, "run", "--attach", "shapes", "square.py", "7").stdout == "49\n"


@pytest.mark.sandbox
@needs_sandbox
def test_a_script_says_how_a_program_gets_input(tmp_path: Path) -> None:
    _, said = played(tmp_path, ["ask"])
    assert "(the sandbox has no keyboard input); mtchat run SESSION < FILE reads it from a file" in said


@pytest.mark.slow
@needs_sandbox
def test_files_a_program_leaves_are_listed_and_copied(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("open('a.txt', 'w').write('hello')")
    ended = mtchat(tmp_path, "run", "program.py")
    assert "program.files/a.txt (5 bytes)" in ended.stderr
    assert (tmp_path / "program.files" / "a.txt").read_text() == "hello"


@pytest.mark.slow
@needs_sandbox
def test_export_and_import_give_an_equal_path_and_a_program_that_runs_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sessions").mkdir()
    played(tmp_path / "sessions", ["set", "show"])
    exported = mtchat(tmp_path, "export", "played", "--to", "py", "-o", "out.py")
    assert exported.returncode == 0
    alone = subprocess.run([sys.executable, "out.py"], cwd=tmp_path, capture_output=True, text=True)
    assert alone.stdout == "noise\n42\n"
    assert mtchat(tmp_path, "import", "out.py", "--name", "again").returncode == 0
    one, two = (load(tmp_path / "sessions" / f"{name}.jsonl").path for name in ("played", "again"))
    assert [(turn.instruction, turn.chunk) for turn in one] == [
        (turn.instruction, turn.chunk) for turn in two
    ]
    assert mtchat(tmp_path, "run", "again").stdout == "noise\n42\n"
    assert "exists; choose another name" in mtchat(tmp_path, "import", "out.py", "--name", "again").stderr
    assert "played" in mtchat(tmp_path, "sessions").stdout


@pytest.mark.slow
@needs_sandbox
def test_replay_compares_with_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sessions").mkdir()
    played(tmp_path / "sessions", ["set", "show"])
    same = mtchat(tmp_path, "replay", "played")
    assert same.returncode == 0
    assert "2› show\nprint(x * 7)\n│ 42\n" in same.stdout
    path = tmp_path / "sessions" / "played.jsonl"
    text = path.read_text()
    assert "noise\\n42" in text
    path.write_text(text.replace("noise\\n42", "noise\\n43"))
    other = mtchat(tmp_path, "replay", "played")
    assert other.returncode == ExitCode.FAILED
    assert "-43" in other.stdout
    assert "+42" in other.stdout


@pytest.mark.slow
@needs_sandbox
def test_a_file_in_the_encoding_it_declares_runs(tmp_path: Path) -> None:
    source = "# -*- coding: latin-1 -*-\nprint(len('\xe9'))\n"
    (tmp_path / "latin.py").write_bytes(source.encode("latin-1"))
    assert mtchat(tmp_path, "run", "latin.py").stdout == "1\n"


@pytest.mark.slow
def test_a_pipe_with_bytes_that_are_no_text_is_no_crash(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "mtchat", "--model", "./nothing.gguf"],
        cwd=tmp_path,
        input=b"caf\xe9\n",
        capture_output=True,
    )
    assert b"no model at ./nothing.gguf" in ended.stderr
    assert ended.returncode == ExitCode.MODEL


def test_a_closed_standard_input_is_no_crash(tmp_path: Path) -> None:
    words = f"{sys.executable} -m mtchat <&-"
    ended = subprocess.run(["sh", "-c", words], cwd=tmp_path, capture_output=True, text=True)
    assert "no instructions" in ended.stderr
    assert ended.returncode == ExitCode.USAGE


@pytest.mark.slow
def test_doctor_works_where_its_marks_cannot_be_written(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "mtchat", "doctor"], cwd=tmp_path, capture_output=True, env=env
    )
    assert b"? mtchat" in ended.stdout
    assert b"Traceback" not in ended.stderr


@pytest.mark.sandbox
@needs_sandbox
def test_output_longer_than_the_record_keeps_is_no_difference(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with Log.open(tmp_path / "sessions" / "long.jsonl") as log:
        program = log.session.add(Turn("much", "print('x' * 200_000)"))
        log.write(program.with_outcome(Sandbox().run(program.program, Limits(), None)))
    assert mtchat(tmp_path, "replay", "long").returncode == ExitCode.DONE


@pytest.mark.slow
def test_doctor_reports_on_every_part(tmp_path: Path) -> None:
    ended = mtchat(tmp_path, "doctor")
    for what in (
        "mtchat",
        "torch",
        "kernels",
        "memory",
        "GPU",
        "sandbox",
        "starter-small",
        "terminal",
        "packages",
    ):
        assert what in ended.stdout


@pytest.mark.slow
def test_help_and_version_are_there(tmp_path: Path) -> None:
    assert "exit codes" in mtchat(tmp_path, "--help").stdout
    assert mtchat(tmp_path, "--version").stdout.startswith("mtchat ")


@pytest.mark.sandbox
@needs_sandbox
def test_a_script_with_several_tries_takes_what_most_do_and_asks_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wavering(Table):
        def candidates(self, prompt: Prompt, sampling: Sampling, count: int) -> Iterator[tuple[int, Piece]]:
            for number in range(count):
                yield number, Piece("print(1)\n```\n", Usage(10, 5, 3, 0.1, 0.1, "stop"))

    model = LoadingModel("table", lambda report: Wavering({"say": "print(2)"}))
    view = View(io.StringIO(), live=False, color=False)
    with Log.open(tmp_path / "played.jsonl") as log:
        settings = Settings(policy="plain", n=3, ask="always")
        assert run_script(Script(["say"], True, False, "", settings), log, model, REAL, view) == ExitCode.DONE
    assert capsys.readouterr().out == "1\n"


@pytest.mark.slow
def test_removing_a_starter_takes_its_converted_copy_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    models, converted = cache / "mtchat" / "models", cache / "mtchat" / "converted"
    content = catalogue.find("starter-small").sha256[:16]
    for folder in (models, converted / f"{content}-native-1", converted / f"{'0' * 16}-native-1"):
        folder.mkdir(parents=True)
        (folder / "weights.bin").write_bytes(bytes(3 << 20))
    (converted / f"{content}-native-1.seen.npz").write_bytes(b"x")
    ended = mtchat(tmp_path, "models", "remove", "starter-small")
    assert ended.stdout == "removed starter-small and its converted copy: 3 MiB freed\n"
    assert [each.name for each in converted.iterdir()] == [f"{'0' * 16}-native-1"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "my book.ipynb",
            "my book.ipynb cannot be run; mtchat import 'my book.ipynb' creates a session from it",
        ),
        ("./my book.ipynb", "mtchat import 'my book.ipynb' creates a session from it"),
        ("script", "script is neither a session nor a .py file"),
        ("data.csv", "data.csv is neither a session nor a .py file"),
        ("pipe.jsonl", "pipe.jsonl: it is a pipe"),
    ],
)
def test_what_is_no_program_is_told_with_what_can_be_done(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in ("my book.ipynb", "script", "data.csv"):
        Path(each).write_text("print(1)")
    os.mkfifo("pipe.jsonl")
    assert main(["run", name]) in (ExitCode.USAGE, ExitCode.FAILED)
    assert said in capsys.readouterr().err


@pytest.mark.sandbox
@needs_sandbox
@pytest.mark.parametrize("name", ["X.PY", "x.pyw"])
def test_a_program_is_known_by_its_suffix_however_that_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("print('ran')")
    assert main(["run", name]) == ExitCode.DONE
    assert capsys.readouterr().out == "ran\n"


def test_the_list_of_sessions_has_dates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Log.open(tmp_path / "one.jsonl") as log:
        log.write(log.session.extend((Turn("draw\na line", "x = 1"),)))
    assert main(["sessions", "--sessions", str(tmp_path)]) == ExitCode.DONE
    assert f"{date.today().isoformat()}    1 turn   draw / a line" in capsys.readouterr().out
