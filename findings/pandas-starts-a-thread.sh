#!/usr/bin/env bash
# pandas 3.1.1 beside pyarrow 26.0.1, Linux.
# Guessed: importing pandas starts no thread, so that a process that has only imported it can be forked safely.
# Seen: pandas imports pyarrow where it is installed, and Arrow's bundled allocator starts a thread of its own at
# import. jemalloc's usual MALLOC_CONF does not stop it; the prefixed JE_ARROW_MALLOC_CONF does.
# Output: allocator threads after import pandas: 1; with MALLOC_CONF: 1; with JE_ARROW_MALLOC_CONF: 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pandas==3.1.1 pyarrow==26.0.1
cat > "$folder/threads.py" <<'PYTHON'
import os
import pandas
names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
print(sum(name.startswith("jemalloc") for name in names))
PYTHON
run() { env "$@" "$folder/venv/bin/python" "$folder/threads.py"; }
plain=$(run A=1)
usual=$(run MALLOC_CONF=background_thread:false)
prefixed=$(run JE_ARROW_MALLOC_CONF=background_thread:false)
echo "allocator threads after import pandas: $plain; with MALLOC_CONF: $usual; with JE_ARROW_MALLOC_CONF: $prefixed"
[ "$plain $usual $prefixed" = "1 1 0" ]
