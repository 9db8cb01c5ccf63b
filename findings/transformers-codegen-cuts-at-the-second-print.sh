#!/usr/bin/env bash
# transformers 5.23.0.
# Guessed: truncate_before_pattern=["never"] of CodeGen's tokenizer cuts nothing from a text without that word.
# Seen: as soon as any pattern is given, the text also ends before its second line that begins with "print" (or with
# "def"), which no pattern asked for; with [] it does not.
# Output: with []: 'print(1)\nprint(2)\n'; with ['never']: 'print(1)\n'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import pathlib
import sys
import transformers
tokens = [*dict.fromkeys("print(12)\u010a"), "<|endoftext|>"]
pathlib.Path(sys.argv[1], "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
pathlib.Path(sys.argv[1], "merges.txt").write_text("#version: 0.2\n")
tokenizer = transformers.CodeGenTokenizer.from_pretrained(sys.argv[1])
ids = tokenizer("print(1)\nprint(2)\n").input_ids
none = tokenizer.decode(ids, truncate_before_pattern=[])
some = tokenizer.decode(ids, truncate_before_pattern=["never"])
print(f"with []: {none!r}; with ['never']: {some!r}")
assert (none, some) == ("print(1)\nprint(2)\n", "print(1)\n")
PYTHON
