"""Golden screens: the keys of each file in tests/screens lead to its screen; --accept writes the screens."""

import difflib
import re
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.golden_screen import GoldenScreen

pytestmark = pytest.mark.terminal
FILES = sorted((ROOT / "tests" / "screens").glob("*.txt"))


def test_there_are_screens() -> None:
    assert len(FILES) >= 12


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_keys_lead_to_the_screen(file: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    golden = GoldenScreen.read(file)
    screen, raw = golden.play(tmp_path)
    if "NO_COLOR" in golden.env:
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", raw), "a colour was sent"
    if request.config.getoption("--accept"):
        golden.accept(screen)
    change = difflib.unified_diff(
        golden.screen.splitlines(), screen.splitlines(), "golden", "now", lineterm=""
    )
    assert screen == golden.screen or request.config.getoption("--accept"), "\n".join(change)
