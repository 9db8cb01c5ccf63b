#!/usr/bin/env bash
# joblib 1.6.0.
# Guessed: JOBLIB_MULTIPROCESSING=0 switches off processes, and leaves the backend of threads as it is.
# Seen: backend="threading" then computes one task after the other in the calling thread, without a word.
# Output: of 4 tasks the calling thread did 0; with JOBLIB_MULTIPROCESSING=0 it did 4
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check joblib==1.6.0
cat > "$folder/tasks.py" <<'PYTHON'
import threading
import joblib
def here(_):
    return threading.current_thread() is threading.main_thread()
print(sum(joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(here)(task) for task in range(4))))
PYTHON
usual=$(env -u JOBLIB_MULTIPROCESSING "$folder/venv/bin/python" "$folder/tasks.py")
without=$(JOBLIB_MULTIPROCESSING=0 "$folder/venv/bin/python" "$folder/tasks.py")
echo "of 4 tasks the calling thread did $usual; with JOBLIB_MULTIPROCESSING=0 it did $without"
[ "$usual $without" = "0 4" ]
