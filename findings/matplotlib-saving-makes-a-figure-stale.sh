#!/usr/bin/env bash
# matplotlib 3.11.2.
# Guessed: Figure.stale is False after a figure was drawn, and saving it, which changes nothing on it, leaves it False.
# Seen: Figure.savefig sets it to True; pyplot.savefig of the same figure sets it to False. It does not say whether
# anything was drawn since the figure was saved.
# Output: stale after a draw: False; after Figure.savefig: True; after pyplot.savefig: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 matplotlib==3.11.2
"$folder/venv/bin/python" - <<'PYTHON'
import io
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot
figure, axes = matplotlib.pyplot.subplots()
axes.plot([1, 2])
figure.canvas.draw()
drawn = figure.stale
figure.savefig(io.BytesIO())
saved = figure.stale
matplotlib.pyplot.savefig(io.BytesIO())
again = figure.stale
print(f"stale after a draw: {drawn}; after Figure.savefig: {saved}; after pyplot.savefig: {again}")
assert (drawn, saved, again) == (False, True, False)
PYTHON
