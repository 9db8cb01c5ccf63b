#!/usr/bin/env bash
# jupytext 1.19.1 with nbformat 5.11.1.
# Guessed: since py:percent turns shell lines of a notebook into comments, the text it writes is valid Python.
# Seen: a shell line that is all there is in a block becomes a comment, and the block is left without a body.
# Output: line 2 of the code is "    # !ls"; Python says IndentationError in line 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jupytext==1.19.1 nbformat==5.11.1
"$folder/venv/bin/python" - <<'PYTHON'
import ast
import jupytext
import nbformat
cell = nbformat.v4.new_code_cell("if True:\n    !ls\nprint(1)")
text = jupytext.writes(nbformat.v4.new_notebook(cells=[cell]), fmt="py:percent")
code = text.split("# %%\n")[1]
try:
    ast.parse(code)
    said, place = "nothing", None
except SyntaxError as error:
    said, place = type(error).__name__, error.lineno
line = code.splitlines()[1]
print(f'line 2 of the code is "{line}"; Python says {said} in line {place}')
assert (line, said, place) == ("    # !ls", "IndentationError", 3)
PYTHON
