"""Experiments: what a part is worth, measured on data; run one with `python -m evals.NAME`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "cases"
SHARED = ROOT.parent / "shared" / "data"
