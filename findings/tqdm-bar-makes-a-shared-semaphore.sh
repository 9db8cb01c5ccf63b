#!/usr/bin/env bash
# tqdm 4.70.1, Linux.
# Guessed: a plain bar in a program of one process and one thread needs nothing that processes share.
# Seen: the first bar imports multiprocessing and makes a semaphore in shared memory, which outlives the bar.
# Output: pieces of shared memory before the first bar: 0; after it: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tqdm==4.70.1
"$folder/venv/bin/python" - <<'PYTHON'
import io
import tqdm
tqdm.tqdm.monitor_interval = 0
def shared():
    return sum(line.split()[1] == "rw-s" for line in open("/proc/self/maps"))
before = shared()
for _ in tqdm.tqdm(range(2), file=io.StringIO()):
    pass
after = shared()
print(f"pieces of shared memory before the first bar: {before}; after it: {after}")
assert (before, after) == (0, 1)
PYTHON
