"""The tests, one folder for each part of the package; what they share is in tests/support."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "cases"
SESSIONS = ROOT / "sessions"
FAKE_REPL = ROOT / "tests" / "support" / "fake_repl.py"
SHARED = ROOT.parent / "shared" / "data"
