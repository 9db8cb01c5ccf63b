"""What the user sees of a turn that replaces what an earlier one defined, in a pseudo-terminal."""

from pathlib import Path

import pytest

from tests.support.repl import say, session
from tests.support.terminal import Terminal

pytestmark = pytest.mark.terminal


def test_a_turn_that_replaces_what_an_earlier_one_defined_says_so(screen: Terminal, tmp_path: Path) -> None:
    screen.wait("1› ")
    say(screen, "count the letters", "2› ")
    text = say(screen, "how many are there", "3› ")
    line = "turn 2 replaces `count`, which turn 1 defined as a function"
    assert f"✓ ran in 0.1 s\n{line}\n" in text
    outcome = session(tmp_path).outcome
    assert outcome is not None
    assert [each.sentence for each in outcome.replaced_names] == [line]
    text = say(screen, "print x", "4› ")
    assert text.count(line) == 1
