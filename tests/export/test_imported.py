"""Notebooks and Python files as other tools and people write them become sessions that run."""

import json
import os
import time
from pathlib import Path

import nbformat
import pytest

from mtchat.cli.main import main
from mtchat.errors import MtchatError
from mtchat.export import format
from mtchat.export.cells import translate_magics
from mtchat.export.format import GO_ON, ImportedProgram, to_text
from mtchat.export.formats import ipynb, py
from mtchat.session.names import parse_module
from tests import CASES

CASES = CASES / "import"  # one notebook, and it as jupytext 1.19.1 and nbconvert write it
TOLD = ("raw cell left out", "text cell after the last code left out")


def notebook(*cells: nbformat.NotebookNode, **metadata: object) -> str:
    made = nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)
    return nbformat.writes(made)


def code(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(text)


def imported(name: str) -> ImportedProgram:
    text = (CASES / name).read_text(encoding="utf-8")
    return ipynb.import_text(text) if "ipynb" in name else py.import_text(text)


@pytest.mark.parametrize("name", ["people.ipynb.txt", "people_percent.py.txt", "people_nbconvert.py.txt"])
def test_a_notebook_and_its_script_become_the_same_program(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = imported(name)
    assert [turn.instruction for turn in made.session.path] == [
        "# Totals\n\nAdd them up.",
        "Sum it",
        *[GO_ON] * 3,
    ]
    exec(compile(made.session.program.source, name, "exec"), {})
    assert capsys.readouterr().out == "6\n2.4\n"
    told = TOLD[1:] if "nbconvert" in name else TOLD  # which writes raw text into the code
    assert all(any(line in notice for notice in made.notices) for line in told)


def test_a_script_of_no_cells_is_one_program() -> None:
    (turn,) = imported("people_light.py.txt").session.path
    assert "jupytext" not in turn.chunk
    assert "total = sum(range(4))" in turn.chunk


MAGICS = [
    ("%matplotlib inline\nx = 1", "# %matplotlib inline\nx = 1", 1),
    ("!pip install -q \\\n  pandas\nx = 1", "# !pip install -q \\\n#   pandas\nx = 1", 2),
    ("files = !ls\nx = 1", "# files = !ls\nx = 1", 1),
    ("if a:\n    !ls\nx = 1", "if a:\n    pass  # !ls\nx = 1", 1),
    ("print?\n?print\ndf.head??", "# print?\n# ?print\n# df.head??", 3),
    ("%%time\nx = 1", "# %%time\nx = 1", 1),
    ("%time x = 1", "x = 1", 1),
    ("%timeit x", "# %timeit x", 1),
    ("%%bash\nls\necho it's", "# %%bash\n# ls\n# echo it's", 1),
    ("%%writefile a.py\nx = 1", "# %%writefile a.py\n# x = 1", 1),
    ("s = '''\n%d\n!x\n''' % 1\n!ls", "s = '''\n%d\n!x\n''' % 1\n# !ls", 1),
    ("x = (5\n%y)\n!ls", "x = (5\n%y)\n# !ls", 1),
    ("get_ipython().run_line_magic('cd', 'x')\ny = 1", "# get_ipython().run_line_magic('cd', 'x')\ny = 1", 1),
    ("x = (5\n%y)", "x = (5\n%y)", 0),
    ("pip install numpy\nimport math", "# pip install numpy\nimport math", 1),
    ("if a:\n    conda install -y numpy\n    x = 1", "if a:\n# conda install -y numpy\n    x = 1", 1),
    ("df.head()?\nx = 1", "# df.head()?\nx = 1", 1),
    (",f a b\nx = 1", "# ,f a b\nx = 1", 1),
    ("x = 5 != 3", "x = 5 != 3", 0),
]


@pytest.mark.parametrize(("cell", "chunk", "count"), MAGICS)
def test_commands_of_a_notebook_become_comments(cell: str, chunk: str, count: int) -> None:
    made, number = translate_magics(cell)
    assert made == chunk
    assert (number > 0) == (count > 0)
    assert parse_module(made) is not None
    assert py.read(f"# %%\n{cell}").path[0].chunk in (chunk, chunk.replace("#   ", "#  "))


TITLES = [
    ('tags=["x"]', GO_ON),
    ('Sum it tags=["x", "y"] editable=true', "Sum it"),
    ('Sum it {"tags": ["x"]}', "Sum it"),
    ("[code]", GO_ON),
    ("Set x=3", "Set x=3"),
    ("Sum [all] of it", "Sum [all] of it"),
    ('mtchat={"turn": 1}', GO_ON),
]


@pytest.mark.parametrize(("title", "instruction"), TITLES)
def test_the_metadata_in_a_heading_is_no_part_of_the_instruction(title: str, instruction: str) -> None:
    assert py.read(f"# %% {title}\nx = 1").path[0].instruction == instruction


@pytest.mark.parametrize("text", ["print 'hi'\nx = 1", "only words here\nand more of them", "x = ("])
def test_what_is_no_python_and_no_command_stays_as_it_is(text: str) -> None:
    assert translate_magics(text) == (text, 0)


def test_a_notebook_of_databricks_is_read_cell_by_cell() -> None:
    text = """\
# Databricks notebook source
# MAGIC %md
# MAGIC # Sums
# MAGIC of numbers

# COMMAND ----------

x = 1

# COMMAND ----------

# MAGIC %sql
# MAGIC select 1

# COMMAND ----------

# DBTITLE 1,Show it
# comment
print(x)
"""
    path = py.read(text).path
    assert [turn.instruction for turn in path] == ["# Sums\nof numbers", GO_ON, "Show it"]
    assert [turn.chunk for turn in path] == ["x = 1", "# MAGIC %sql\n# MAGIC select 1", "# comment\nprint(x)"]


def test_words_under_a_bare_heading_are_words() -> None:
    (turn,) = py.read("#%% md\n## Sums\nof numbers\n#%% raw\nthat\n#%%\nx = 1").path
    assert (turn.instruction, turn.chunk) == ("# Sums\nof numbers", "x = 1")


@pytest.mark.parametrize(
    "command", ["# %%time", "#%%time", "# %%bash -s x", "# %%-- note", "# %%writefile a.txt"]
)
def test_a_command_in_a_comment_tears_no_cell_apart(command: str) -> None:
    (turn,) = py.read(f"# %% Sum it\n{command}\n# total = 3").path
    assert (turn.instruction, turn.chunk) == ("Sum it", f"{command}\n# total = 3")


@pytest.mark.parametrize(
    "heading", ["#%% md", "# %%[markdown]", '# %% [markdown] slideshow={"a": {"b": 1}}', "# %%%% [md]"]
)
def test_a_heading_of_words_begins_words(heading: str) -> None:
    heading = heading.replace("#%% md", "#%% [md]")
    assert py.read(f"{heading}\n# Fit it\n# %%\nfit()").path[0].instruction == "Fit it"
    assert py.read(f'{heading}\n"""\nFit it\n"""\n# %%\nfit()').path[0].instruction == "Fit it"


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"language_info": {"name": "R"}}, "r"),
        ({"kernelspec": {"name": "ir", "display_name": "R"}}, "r"),
        ({"kernelspec": {"name": "julia-1.9", "language": "julia", "display_name": "Julia"}}, "julia"),
        ({"language_info": {"name": "ipython"}}, "python"),
        ({"kernelspec": {"name": "python3", "display_name": "x"}}, "python"),
        ({}, "python"),
    ],
)
def test_a_notebook_is_in_the_language_of_its_kernel(metadata: dict[str, object], name: str) -> None:
    assert ipynb.read(notebook(code("x"), **metadata)).language.name == name


def test_a_notebook_in_a_language_that_is_not_known_is_an_error_that_names_it() -> None:
    with pytest.raises(MtchatError, match="'sage'"):
        ipynb.read(
            notebook(code("x"), kernelspec={"name": "sagemath", "language": "sage", "display_name": "S"})
        )


def test_a_notebook_of_format_3_and_line_ends_of_windows_are_read() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Fit"},
        {"cell_type": "code", "input": ["x = 1\r\n", "y = 2"], "language": "python", "outputs": []},
    ]
    text = json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": cells}]})
    assert [(turn.instruction, turn.chunk) for turn in ipynb.read(text).path] == [("## Fit", "x = 1\ny = 2")]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("empty.py", "", "has no code"),
        ("empty.ipynb", notebook(), "has no code"),
        ("words.ipynb", notebook(nbformat.v4.new_markdown_cell("x")), "has no code"),
        ("cells.py", "# %%\nx = 1\n" * 5_001, "it has 5001 cells"),
        (
            "cells.ipynb",
            json.dumps({"cells": [{"cell_type": "code", "source": "x"}] * 5_001}),
            "it has 5001 cells",
        ),
        ("large.py", "#" * (2**21 + 1), "at most 2 MiB"),
    ],
)
def test_what_cannot_be_imported_is_one_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(MtchatError, match=said):
        format.import_program(tmp_path / name)


def test_the_newlines_that_a_file_promises_are_bounded() -> None:
    made = "# This program was made with mtchat: x\n# y\n\n# %% turn 1 (newlines=9999999)\n\nx = 1\n"
    assert len(py.read(made).path[0].chunk) < 20_000
    for count in (3_000_000_000, 10**18, -1, True):
        cell = {"cell_type": "code", "source": "x", "metadata": {"mtchat": {"newlines": count}}}
        assert len(ipynb.read(json.dumps({"cells": [cell]})).path[0].chunk) < 20_000


@pytest.mark.parametrize(
    "codec", ["zlib_codec", "undefined", "punycode", "idna", "rot13", "hex", "nope", "latin-1"]
)
def test_a_coding_comment_that_is_no_text_is_no_error(codec: str) -> None:
    assert to_text(f"# coding: {codec}\nx = '".encode() + b"\xe9'" * 3).endswith("é'é'é'")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["(" * 300_000 + "\n# %%", "# %%\n" * 4_999 + "x", "'" * 500_000 + "\n# %%\nx"]
)
def test_an_odd_file_is_read_in_seconds(text: str) -> None:
    started = time.process_time()
    py.import_text(text)
    assert time.process_time() - started < 10


def test_a_pipe_a_folder_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    for name, kind in (("pipe.py", "pipe"), ("folder.py", "folder"), ("zero.py", "device")):
        with pytest.raises(MtchatError, match=f"cannot read .*{name}: .*{kind}"):
            format.import_program(tmp_path / name)


def test_the_command_that_opens_an_import_can_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my prog.ipynb").write_text(notebook(code("!ls\nx = 1")))
    assert main(["import", str(tmp_path / "my prog.ipynb"), "--sessions", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert f" --sessions {tmp_path} 'my prog' opens it" in said
    assert "1 command to IPython or the shell made comments" in said


def test_an_export_has_the_format_of_its_suffix_and_overwrites_only_when_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, target = ["--sessions", str(tmp_path)], tmp_path / "out.ipynb"
    (tmp_path / "a.py").write_text("x = 1")
    assert main(["import", str(tmp_path / "a.py"), *folder]) == 0
    assert main(["export", "a", "-o", str(target), *folder]) == 0
    assert ipynb.read(target.read_text()).path[0].chunk == "x = 1"
    assert main(["export", "a", "-o", str(target), *folder]) == 2
    assert "use --force to overwrite it" in capsys.readouterr().err
    assert main(["export", "a", "--to", "py", "-o", str(target), "--force", *folder]) == 0
    assert py.read(target.read_text()).path[0].chunk == "x = 1"
    assert main(["export", "a", "-o", str(tmp_path / "x.txt"), *folder]) == 2
    assert "no format has the suffix .txt" in capsys.readouterr().err
