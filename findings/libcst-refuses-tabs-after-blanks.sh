#!/usr/bin/env bash
# libcst 1.9.0.
# Guessed: code that Python compiles is parsed, also where the lines of an inner block begin with a tab.
# Seen: a return to an outer block that is indented with blanks is refused, though Python takes the code.
# Output: Python compiles 'if a:\n  if b:\n\t  c\n  d\n'; libcst: tokenizer error: no matching outer block for dedent
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check libcst==1.9.0
"$folder/venv/bin/python" - <<'PYTHON'
import libcst
code = "if a:\n  if b:\n\t  c\n  d\n"
compile(code, "<code>", "exec")
try:
    libcst.parse_module(code)
except libcst.ParserSyntaxError as error:
    print(f"Python compiles {code!r}; libcst: {str(error).splitlines()[1]}")
else:
    raise SystemExit("libcst parsed it")
PYTHON
