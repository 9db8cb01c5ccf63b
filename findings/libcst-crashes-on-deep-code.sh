#!/usr/bin/env bash
# libcst 1.9.0.
# Guessed: code that is nested too deeply to be parsed raises an exception, as it does in ast.parse.
# Seen: the native parser overflows its stack, and the process ends with a segmentation fault.
# Output: 5000 open brackets: ast raises SyntaxError, libcst ends the process with signal 11
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check libcst==1.9.0
cat > "$folder/parse.py" <<'PYTHON'
import sys
import libcst
libcst.parse_module("(" * int(sys.argv[1]) + ")" * int(sys.argv[1]))
PYTHON
kind=$("$folder/venv/bin/python" -c '
import ast
try:
    ast.parse("(" * 5000 + ")" * 5000)
except Exception as error:
    print(type(error).__name__)')
status=0
("$folder/venv/bin/python" "$folder/parse.py" 5000) > "$folder/log" 2>&1 || status=$?
echo "5000 open brackets: ast raises $kind, libcst ends the process with signal $((status - 128))"
[ "$kind $status" = "SyntaxError 139" ]
