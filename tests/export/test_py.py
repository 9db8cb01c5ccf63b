"""The exported program runs as the session's does, and comes back as the session it was."""

import __future__

import contextlib
import dataclasses
import io
import subprocess
import sys
from pathlib import Path, PurePath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtchat.export.format import BEGIN, GO_ON, load_format, to_bytes, to_text
from mtchat.export.formats.py import read, write
from mtchat.session.program import AttachedFile
from mtchat.session.session import Session
from mtchat.session.turn import EDITED, INTERRUPTED, Turn

LINE = st.sampled_from(
    [
        "",
        " ",
        "\t",
        "x = 1",
        "# %%",
        "#%% cell",
        "# %% turn 2",
        "# %% turn 1 (lines=2, newlines=3)",
        "# %% preamble",
        "%% turn 1",
        "# a comment",
        "#",
        "text = '''",
        "'''",
        "x \\",
        "\x0cy = 2",
        "\r",
        "z = 3\r",
        "# This program was made with mtchat",
        "\x1c",
        "\u3000",
        "'\\n'",
        "'quoted'",
    ]
)
TEXT = st.lists(LINE, max_size=6).map("\n".join) | st.text(st.characters(exclude_categories=()), max_size=8)
TURNS = st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=4)

# statements that are whole by themselves, with what an export could break
STATEMENT = st.sampled_from(
    [
        "seen = seen + [1] if 'seen' in dir() else [0]",
        "text = '''\n# %% turn 2\n\n# %%\n\n'''",
        'text = """# %%\r\n\tline\r\n"""',
        "def f():\n    # %% inside\n    return 1\n\n\n    # the end",
        "if True:\n\ta = 1\n\n\n# %% turn 9 (lines=1)\nb = 2",
        "c = (1 +\n# %%\n     2)",
        "# only a comment",
        "# %% only a heading",
        "'a docstring'",
        "\x0c\nd = 4",
        "e = 5  \\\n  + 1",
        "g = '\\\n# %% turn 1'",
        "h = 1\r\ni = 2\r",
        "j = 1\rk = 2",
        "l = '\u2028 🙂 # %%'",
        "1 / 0",
        "",
        " \t\n",
    ]
)
CODE = (
    st.lists(STATEMENT, max_size=3)
    .map("\n".join)
    .flatmap(lambda code: st.sampled_from([code, code + "\n", "\n\n" + code + "\n\n\n"]))
)


def session_of(preamble: str, turns: list[tuple[str, str, bool]]) -> Session:
    made = (Turn(words, code, status=INTERRUPTED if cut else EDITED) for words, code, cut in turns)
    return Session(preamble=preamble).extend(tuple(made))


@pytest.mark.slow
@given(preamble=TEXT, turns=TURNS)
@example(preamble="", turns=[("do", "x = 1", False), ("", "", False), ("\n", "\n", True)])
@example(preamble=" \n", turns=[("%% turn 1", "\n\n\n# %%\n# %% turn 2\n\n", False)])
@example(preamble="# %%", turns=[("a\rb\0\ud800", "\x1c\n", False), ("#", "# not the instruction", False)])
def test_an_exported_session_reads_back_as_an_equal_path(preamble, turns):
    session = session_of(preamble, turns)
    back = read(write(session))
    assert back.preamble == session.preamble
    assert back.path == session.path
    assert read(to_text(to_bytes(write(session)))) == back


def run(source: str) -> tuple[str, dict[str, object]]:
    """How a program ends, and the names it leaves behind."""
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(compile(source, "program", "exec"), names)
    except Exception as error:
        return repr(error), {}
    del names["__builtins__"]
    return "", {name: value for name, value in names.items() if not callable(value)}


@pytest.mark.slow
@given(preamble=CODE, turns=st.lists(st.tuples(TEXT, CODE, st.booleans()), max_size=4))
def test_the_exported_program_does_what_the_sessions_program_does(preamble, turns):
    session = session_of(preamble, turns)
    assert run(write(session)) == run(session.program.source)


@pytest.mark.slow
@given(words=TEXT)
def test_a_future_import_is_still_first_and_a_docstring_still_one(words):
    code = '"""What it is."""\nfrom __future__ import annotations\nx: unknown = 1\n'
    assert run(write(session_of("", [(words, code, False)]))) == run(code)


LATER = [
    ("xs = [1]", "from __future__ import annotations\ndef f(x: nope): pass\nprint(xs)"),
    ("'''What it is.'''\nprint(__doc__)", "from __future__ import annotations; y = 2", "print(y)"),
    ("x = 1", "from __future__ import (annotations,\n    generator_stop)\nprint(x)"),
    ("from __future__ import division\nx = 1", "from __future__ import annotations\nprint(x)"),
    ("x = 1", "global x\nx = 2\nprint(x)", "'global x'\nif x:\n    global y\n    y = 3; global z\nprint(y)"),
    ("x = 1\ny: int = 2", "for i in [1]:\n    global x, y\nprint(x)\n'from here on'\nglobal y\n# global x"),
    ("'from a'\nx = 1", "'global x'\nglobal x\n'global x'\nprint(x)"),
]


@pytest.mark.slow
@pytest.mark.parametrize("codes", LATER)
def test_what_only_a_beginning_may_say_is_said_there_and_comes_back(codes, tmp_path):
    session = session_of("", [("do it", code, False) for code in codes])
    outputs = set()
    for form in ("py", "code"):
        text = load_format(form).write(session)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
        assert done.stderr == ""
        outputs.add(done.stdout)
    flags, names, said = 0, {"__name__": "__main__", "__doc__": None}, io.StringIO()
    with contextlib.redirect_stdout(said):
        for code in codes:
            made = compile(code, "turn", "exec", flags, dont_inherit=True)
            flags |= made.co_flags & (__future__.annotations.compiler_flag | 0)
            exec(made, names)
    assert outputs == {said.getvalue()}
    assert read(write(session)).path == session.path


@pytest.mark.slow
def test_a_program_from_a_file_of_another_encoding_runs_as_utf_8():
    session = session_of("# -*- coding: latin-1 -*-", [("do", "print(ascii('é'))", False)])
    for form in ("py", "code"):
        text = to_bytes(load_format(form).write(session))
        done = subprocess.run([sys.executable, "-"], input=text, capture_output=True, check=False)
        assert done.stdout == b"'\\xe9'\n"


def test_an_export_names_the_packages_and_files_that_it_needs():
    session = session_of("", [("do", "import os, numpy.linalg\nfrom sklearn import svm\nimport mine", False)])
    given = (AttachedFile("data\n.csv", PurePath("/x")), AttachedFile("mine.py", PurePath("/y")))
    text = write(dataclasses.replace(session, attached=given))
    assert "# Packages that it imports: numpy, scikit-learn\n" in text
    assert "# Files that it was given: data\\n.csv, mine.py\n" in text
    assert read(text).path == session.path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coding: latin-1", "-*- coding: nope -*-"])
def test_no_text_of_the_user_is_taken_for_the_encoding_of_the_file(tmp_path, name):
    path = tmp_path / "program.py"
    session = session_of("", [(name, f"# {name}\nprint(len('é'))", False)])
    path.write_bytes(to_bytes(write(session)))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_broken_chunk_is_exported_as_it_is_and_comes_back():
    session = session_of("", [("begin", "def f(:\n", False), ("go on", "'''never closed\n# %%\n", True)])
    assert "def f(:\n" in write(session)
    assert read(write(session)).path == session.path


@pytest.mark.parametrize(
    ("text", "preamble", "turns"),
    [
        ("", "", []),
        ("\n \n", "", []),
        ("x = 1", "", [(BEGIN, "x = 1")]),
        (
            "#!/usr/bin/env python\nx = '''\n# %%\n'''\n",
            "",
            [(BEGIN, "#!/usr/bin/env python\nx = '''\n# %%\n'''")],
        ),
        ("x = 1\r\ny = 2\r\n", "", [(BEGIN, "x = 1\ny = 2")]),
        ("# %%\n# Fit it\nfit()\n\n\n#%%\nplot()", "", [("Fit it", "fit()"), (GO_ON, "plot()")]),
        ("import math\n\n# %% Fit it\n# why\nfit()\n", "import math", [("Fit it", "# why\nfit()")]),
        ("# %% [markdown]\n# Fit\n# it\n# %%\nfit()\n", "", [("Fit\nit", "fit()")]),
        ("# %%\nx = '''\n# %%\n'''\n# %%\n\n", "", [(GO_ON, "x = '''\n# %%\n'''")]),
        ("# %%\nx = (\n# %%\ny = 2\n", "", [(GO_ON, "x = ("), (GO_ON, "y = 2")]),
        ("# %% turn 1\n# Fit\n\nfit()\n", "", [("Fit", "fit()")]),
    ],
)
def test_any_python_file_reads_as_a_session(text, preamble, turns):
    session = read(text)
    assert session.preamble == preamble
    assert [(turn.instruction, turn.chunk) for turn in session.path] == turns
    assert all(turn.status == EDITED for turn in session.path)


def test_an_export_changed_by_hand_reads_as_it_looks():
    text = write(session_of("", [("one", "x = 1\n# %%\n", False), ("two", "y = 2\n", False)]))
    longer = text.replace("x = 1\n", "x = 1\nx += 1\n") + "\n# %%\n# three\nz = 3\n"
    assert [(turn.instruction, turn.chunk) for turn in read(longer).path] == [
        ("one", "x = 1\nx += 1\n"),
        ("two", "y = 2\n"),
        ("three", "z = 3"),
    ]
    added = text.replace("# %% turn 1", "import math\n\n# %% turn 1")
    assert read(added).preamble == "import math"
    assert read(added.replace("turn 1", "preamble")).preamble == "import math\n\n# one\n\nx = 1\n# %%\n"
    assert read(text.replace("\n", "\r\n")).path == read(text).path
    assert [turn.chunk for turn in read(text.replace("lines=2", "lines=999")).path][-1] == "y = 2\n"


@given(text=TEXT | st.lists(TEXT, max_size=5).map("\n# %% turn 1 (lines=2, code=quoted)\n".join))
def test_no_plain_file_fails(text):
    read(text)
    read(write(Session()) + text)


@pytest.mark.slow
def test_the_programs_of_the_standard_library_read_and_run_the_same():
    folder = Path(subprocess.__file__).parent
    for path in sorted(folder.glob("[a-d]*.py")):
        text = to_text(path.read_bytes())
        session = read(text)
        assert session.program.source.strip() == text.strip()
        assert read(write(session)).path == session.path


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfx = 1", "x = 1"),
        ("# -*- coding: latin-1 -*-\nx = 'é'".encode("latin-1"), "# -*- coding: latin-1 -*-\nx = 'é'"),
        ("# -*- coding: cp1251 -*-\nx = 'ж'".encode("cp1251"), "# -*- coding: cp1251 -*-\nx = 'ж'"),
        (b"# coding: nonsense\nx = '\xe9'", "# coding: nonsense\nx = 'é'"),
        (b"x = '\xe9'", "x = 'é'"),
        (b"x = 1\r\n", "x = 1\r\n"),
    ],
)
def test_the_bytes_of_a_file_are_read_in_the_encoding_that_python_would_use(data, text):
    assert to_text(data) == text


@given(text=st.text(st.characters(exclude_categories=())))
def test_text_goes_to_bytes_and_back(text):
    assert to_text(to_bytes(text)) == text.removeprefix("\ufeff")
