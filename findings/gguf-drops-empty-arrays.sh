#!/usr/bin/env bash
# gguf 0.19.0 (its GGUFWriter and GGUFReader).
# Guessed: an empty array is written as an array of no items, and is there when the file is read.
# Seen: the key is left out of the file without a word, so that a reader cannot tell "none" from "not said".
# Output: keys read: general.architecture, test.one; test.none is missing
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 gguf==0.19.0
"$folder/venv/bin/python" - "$folder/a.gguf" <<'PYTHON'
import sys
import gguf
writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_array("test.none", [])
writer.add_array("test.one", [1])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
keys = [key for key in gguf.GGUFReader(sys.argv[1]).fields if not key.startswith("GGUF.")]
print("keys read:", ", ".join(keys) + "; test.none is", "there" if "test.none" in keys else "missing")
assert keys == ["general.architecture", "test.one"]
PYTHON
