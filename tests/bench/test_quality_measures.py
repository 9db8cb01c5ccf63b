"""The program that a conversation ends with, measured: what is there twice, what is dead, what is unused."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mtchat.bench.quality.program_measures import (
    ProgramMeasures,
    count_dead,
    count_lines,
    count_repeated,
    measure_program,
)
from mtchat.bench.quality.report import summary
from mtchat.bench.quality.results import describe_programs
from mtchat.bench.quality.run_file import RecordedRun, RunFile, RunHeader, read
from mtchat.bench.quality.suite import ScoredSample
from mtchat.generate.judge.lint import find_faults
from mtchat.session.names import parse_module


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("x = 1\ny = 2", 0),
        ("x = 1\nx = 1", 1),
        ("x = 1\nx  =  1  # again", 1),
        ("def f():\n    return 1\nx = f()\ndef f():\n    return 1", 1),
        ("x = 1\nx = 1\nx = 1", 2),
        ("print(1)\nprint(1)", 0),
        ("x = 0\nx += 1\nx += 1", 0),
        ("import re\nimport re", 1),
        ("for x in y:\n    print(x)\nfor x in y:\n    print(x)", 1),
        ("if x:\n    y = 1\nelse:\n    y = 1", 0),
    ],
)
def test_statements_that_stand_twice_are_counted(code: str, count: int):
    module = parse_module(code)
    assert module
    assert count_repeated(module) == count


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("x = 1\nx = 2\nprint(x)", 1),
        ("x = 1\nprint(x)\nx = 2", 0),
        ("x = 1\nx = x + 1", 0),
        ("x = 1\nx += 1\nx = 2", 0),
        ("def f():\n    return 1\ndef f():\n    return 2\nprint(f())", 1),
        ("def f():\n    return 1\nprint(f())\ndef f():\n    return 2", 0),
        ("x = 1\ndef f():\n    return x\nprint(f())\nx = 2\nprint(f())", 0),
        ("x = 1\ndef f():\n    return x\nx = 2\nprint(f())", 1),
        ("def g():\n    return f()\ndef f():\n    return 1\nprint(g())\ndef f():\n    return 2", 0),
        ("x = 1\nif y:\n    x = 2", 0),
        ("x = 1\nfor x in y:\n    print(x)\nx = 3", 0),
        ("x = 1\nx, y = 2, 3", 0),
        ("x: int = 1\nx = 2", 1),
        ("x = 1\nclass C:\n    y = x\nx = 2", 0),
        ("x = [1]\nx[0] = 2\nx = 3", 0),
        ("x = 1\ny = lambda: x\ny()\nx = 2", 0),
        ("def f():\n    x = 1\n    x = 2", 0),
    ],
)
def test_names_that_are_bound_again_before_their_use_are_dead(code: str, count: int):
    module = parse_module(code)
    assert module
    assert count_dead(module) == count


def test_pyflakes_says_what_is_wrong_after_the_preamble():
    source = "import numpy as np\n\nimport re\n\nprint(undefined)\n"
    assert find_faults(source) == ("UnusedImport", "UnusedImport", "UndefinedName")
    assert find_faults(source, after=1) == ("UnusedImport", "UndefinedName")
    assert find_faults("import re\nimport re\nre.escape('')") == ("RedefinedWhileUnused",)
    assert find_faults("not Python (") == ()


def test_lines_of_code_are_counted_without_comments():
    assert count_lines("# a\n\nx = 1  # b\n\n  # c\ny = 2\n") == 2


def test_a_program_is_measured_without_the_preamble():
    chunks = ("x = 1\nx = 1", "# nothing\n", "import re\nprint(x)")
    program = "import numpy as np\n\n" + "\n\n".join(chunks)
    assert measure_program(program, chunks, "x = 1\nprint(x)") == ProgramMeasures(
        repeated=1, dead=1, faults=("UnusedImport",), turns=3, with_code=2, lines=4, reference_lines=2
    )


def test_a_program_that_does_not_parse_is_measured_as_far_as_possible():
    found = measure_program("x = (\n", ("x = (",))
    assert (found.repeated, found.faults, found.with_code, found.lines) == (0, (), 1, 1)
    assert measure_program("", ()) == ProgramMeasures()


HEADER = RunHeader(
    *("mtpb", "fake", "f", "float32", "cpu", "multi", "plain", 0.0, 0.95, 1, 0, "0", 2, "d"),
)
MEASURES = ProgramMeasures(1, 0, ("UnusedImport",), 2, 1, 6, 4)


def row(problem: str, measures: ProgramMeasures | None = None) -> ScoredSample:
    return ScoredSample(problem, 0, 0, "", 1, ("x = 1",), "x = 1\n", measures=measures)


def test_a_file_keeps_the_measures_and_older_rows_are_measured_when_they_are_read(tmp_path: Path):
    path, old = tmp_path / "run.jsonl", asdict(row("old"))
    del old["measures"]
    with RunFile(path, HEADER) as file:
        file.append(row("new", MEASURES))
    with path.open("a") as text:
        text.write(json.dumps(old) + "\n")
    rows = read(path).rows
    assert [each.measured() for each in rows] == [MEASURES, ProgramMeasures(turns=1, with_code=1, lines=1)]


def test_a_run_says_what_its_programs_are_like():
    made = describe_programs([row("new", MEASURES), row("old")])
    assert (made.programs, made.repeating, made.dead, made.faulty) == (2, 0.5, 0.0, 0.5)
    assert (made.with_code, made.lines, made.to_reference) == (2 / 3, 3.5, 1.5)
    text = summary(RecordedRun(HEADER, (row("new", MEASURES), row("old"))))
    assert "a statement twice: 50.0 %" in text
    assert "pyflakes: 50.0 % (UnusedImport 1)" in text
    assert (
        "code of their own: 66.7 %; lines of code: 3.5 a program, 1.50 times those of the reference" in text
    )
    assert describe_programs([]).programs == 0
