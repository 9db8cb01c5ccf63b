"""`python -m tests.sandbox.battery` plays the battery and writes its table into docs."""

import sys
from pathlib import Path

import pytest

sys.exit(pytest.main([str(Path(__file__).parent), "--battery-table", "-q", "-k", "not committed"]))
