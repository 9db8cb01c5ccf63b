#!/usr/bin/env bash
# libcst 1.9.0.
# Guessed: the code of a module that was parsed and not changed is the text that was parsed, to the last character.
# Seen: form feeds and a last line end of "\r" are left out without a word, so that every place after them is
# another one in the text.
# Output: of 'x = 1\n\x0cy = 2\n' the module writes 'x = 1\ny = 2\n'; of 'x = 1\r' 'x = 1'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check libcst==1.9.0
"$folder/venv/bin/python" - <<'PYTHON'
import libcst
codes = ["x = 1\n\x0cy = 2\n", "x = 1\r"]
made = [libcst.parse_module(code).code for code in codes]
first, *rest = (f"of {code!a} {'the module writes ' if code is codes[0] else ''}{new!a}" for code, new in zip(codes, made))
print("; ".join([first, *rest]))
assert made == ["x = 1\ny = 2\n", "x = 1"]
PYTHON
