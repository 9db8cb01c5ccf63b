"""The host suite: what mtchat itself spends on a turn, and that this does not grow with the session."""

import sys
from pathlib import Path

from mtchat.bench.quality.evaluate import FunctionRunner
from mtchat.bench.speed import host
from mtchat.conversation.conversation import Conversation


def test_the_times_of_turns_are_told_with_their_ratio() -> None:
    found = host.measure_host((1, 3), repeats=1)
    assert set(found.milliseconds) == {1, 3}
    assert all(each > 0 for each in found.milliseconds.values())
    assert host.HostTimes({5: 2.0, 200: 2.6}).met
    assert not host.HostTimes({5: 2.0, 200: 2.7}).met
    assert host.format_table(host.HostTimes({5: 2.0, 50: 2.2, 200: 2.5})).splitlines()[2:] == [
        "| turn 5 | 2.00 |",
        "| turn 50 | 2.20 |",
        "| turn 200 | 2.50 |",
        "| ratio of the last to the first | 1.25 (target at most 1.3: met) |",
    ]


def test_a_turn_parses_no_more_code_in_a_long_session(tmp_path: Path) -> None:
    """What Python's parser reads is counted: a time would depend on the machine."""
    read: list[int] = []

    def count(event: str, given: tuple[object, ...]) -> None:
        if event == "compile" and counting and isinstance(given[0], str | bytes):
            read[-1] += len(given[0])

    counting = True
    sys.addaudithook(count)
    watch = host.OutsideTimer()
    runner = FunctionRunner(host.pretend_to_run)
    try:
        with Conversation(host.InstantModel(watch), runner, store=tmp_path / "long.jsonl") as chat:
            for number in range(1, 61):
                read.append(0)
                chat.send(f"Define value {number} and print it")
    finally:
        counting = False
    assert 0 < read[-1] < 2 * read[9]
