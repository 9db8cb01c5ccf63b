"""The program's own source file, and a Python that it starts: the same as outside a sandbox."""

import os
import sys
from pathlib import Path

import pytest

from mtchat.sandbox.checkpoints.worker import Worker
from mtchat.sandbox.guest import source_file
from mtchat.sandbox.host import execute
from mtchat.sandbox.host.interpreter import pth_folders
from mtchat.session.outcome import Outcome
from mtchat.session.program import Chunk, Program, RunInputs
from mtchat.session.session import Session
from mtchat.session.settings import Limits
from mtchat.store import attach
from tests.sandbox.battery.tiers import tier

pytestmark = pytest.mark.sandbox

LIMITS = Limits(seconds=20.0, memory_mib=512)


def file(code: str, name: str = "prog.py") -> Program:
    return Program((Chunk(1, code),), name)


def turns(*codes: str) -> Program:
    return Program(tuple(Chunk(number, code) for number, code in enumerate(codes, start=1)))


def play(program: Program, kind: str) -> Outcome:
    where = tier(kind)
    if where.choice is None:
        pytest.skip(f"no {where.backend} here: {where.reason}")
    return where.run(program, LIMITS)


OWN = [
    ("print(open(__file__).read().count('open'))", "2"),
    ("import sys\nprint(open(sys.argv[0]).read()[:10])", "import sys"),
    ("import pathlib\nprint(pathlib.Path(__file__).resolve().is_file())", "True"),
    ("import inspect\nclass A:\n    x = 1\nprint(len(inspect.getsource(A).splitlines()))", "2"),
    ("import inspect\ndef f():\n    return 1\nprint(len(inspect.getsource(f).splitlines()))", "2"),
    ("if __name__ == '__main__':\n    print(__import__('prog').X)\nX = 5", "5"),
    ("import subprocess, sys\nif len(sys.argv) == 1:\n"
     "    print(subprocess.check_output([sys.executable, __file__, 'x'], text=True).strip())\n"
     "else:\n    print('again')", "again"),
    ("import tokenize\nwith tokenize.open(__file__) as f:\n    print(len(f.readlines()))", "3"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["T1", "T2"])
@pytest.mark.parametrize(("code", "said"), OWN)
def test_a_program_of_one_file_finds_it_where_it_runs(code: str, said: str, kind: str) -> None:
    outcome = play(file(code), kind)
    assert (outcome.stdout, outcome.error, outcome.files) == (f"{said}\n", "", ())


def test_the_turns_of_a_program_are_its_file_where_it_asks_for_one(tmp_path: Path) -> None:
    codes = ["import os\nx = 1", "print(open(__file__).read().count('\\n'))", "print(os.listdir())"]
    truth = execute.run(turns(*codes), LIMITS, collect=tmp_path)
    assert (truth.stdout, truth.files) == ("4\n['main.py']\n", ())
    with Worker() as worker:
        for count in range(1, 4):
            outcome = worker.run(turns(*codes[:count]), LIMITS)
            assert outcome.files == ()
        assert outcome.stdout == truth.stdout
        assert outcome.outputs[2] == "['main.py']\n"
        undone = worker.run(turns(codes[0], "print(len(open(__file__).read()))"), LIMITS)
    assert (
        undone.stdout == f"{len(source_file.module_text([codes[0], 'print(len(open(__file__).read()))']))}\n"
    )
    assert execute.run(turns("import os\nprint(os.listdir())"), LIMITS).stdout == "[]\n"


def test_what_the_program_makes_of_its_file_is_its_own(tmp_path: Path) -> None:
    changed = execute.run(file("with open(__file__, 'a') as f:\n    f.write('# more')"), LIMITS)
    assert [each.path for each in changed.files] == ["prog.py"]


@pytest.mark.parametrize("codec", ["utf-8", "latin-1", "cp1252"])
def test_the_file_is_in_the_encoding_that_it_declares(codec: str) -> None:
    text = f"# -*- coding: {codec} -*-\nx = 'é'\n"
    assert source_file.encode(text) == text.encode(codec)
    assert source_file.encode("# coding: no-such\nx = 'é'") == "# coding: no-such\nx = 'é'".encode()


STARTED = [
    ("subprocess.run(['python', '-c', 'import sys; print(sys.prefix)'])", "prefix"),
    ("subprocess.run([sys.executable, '-c', 'import sys; print(sys.prefix)'])", "prefix"),
    ("subprocess.run([sys.executable, *subprocess._args_from_interpreter_flags(), '-c', LOOK])", "True"),
]


@pytest.mark.parametrize("kind", ["T1", "T2"])
@pytest.mark.parametrize(("call", "said"), STARTED)
def test_a_python_that_a_program_starts_is_its_own_with_its_packages(call: str, said: str, kind: str) -> None:
    with_variables = "LOOK = 'import sys; print(any(each.endswith(\"-packages\") for each in sys.path))'\n"
    outcome = play(file(f"import subprocess, sys\n{with_variables}{call}"), kind)
    assert (outcome.stdout, outcome.error) == (f"{sys.prefix if said == 'prefix' else said}\n", "")


@pytest.mark.parametrize("kind", ["T1", "T2"])
def test_a_package_that_is_attached_keeps_its_layout(kind: str, tmp_path: Path) -> None:
    (tmp_path / "shapes" / "data").mkdir(parents=True)
    (tmp_path / "shapes" / "__init__.py").write_text("")
    (tmp_path / "shapes" / "area.py").write_text(
        "from pathlib import Path\ndef side():\n    return (Path(__file__).parent / 'data/n').read_text()\n"
    )
    (tmp_path / "shapes" / "data" / "n").write_text("3")
    given = RunInputs(files=attach(Session(), [tmp_path / "shapes"], 1).attached)
    where = tier(kind)
    if where.choice is None:
        pytest.skip(f"no {where.backend} here: {where.reason}")
    code = "from shapes import area\nprint(area.side())\nopen('shapes/data/m', 'w').close()"
    outcome = execute.run_in(where.choice, turns(code), LIMITS, inputs=given)
    assert (outcome.stdout, outcome.error) == ("3\n", "")
    assert [each.path for each in outcome.files] == ["shapes/data/m"]
    if kind == "T1":
        with Worker() as worker:
            assert worker.run(turns(code), LIMITS, inputs=given).stdout == "3\n"
            again = worker.run(turns(code, "print(area.side())"), LIMITS, inputs=given)
        assert (again.outputs[-1], again.resumed) == ("3\n", 1)


def test_a_pth_file_adds_the_folders_that_the_sandbox_shows(tmp_path: Path) -> None:
    shown, hidden = tmp_path / "site", tmp_path / "project"
    for folder in (shown / "inner", hidden):
        folder.mkdir(parents=True)
    (shown / "some.pth").write_text(f"# words\n\ninner\n{hidden}\nimport os\nmissing\n")
    assert pth_folders(shown, (shown,)) == [os.fspath(shown / "inner")]
