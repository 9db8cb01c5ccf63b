"""The session file survives cuts, kills, full disks and second processes, and never harms what it holds."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from mtchat.errors import MtchatError, UsageError
from mtchat.session.outcome import File, Frame, Outcome
from mtchat.session.program import Location
from mtchat.session.provenance import Step
from mtchat.session.session import Session
from mtchat.session.settings import Sampling
from mtchat.session.turn import INTERRUPTED, Turn
from mtchat.store import Log, load, read
from mtchat.store.reading import Outline, outline

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MAKING = Step("starter", "ab12", "float32", "instruct", Sampling(seed=3))


def clock() -> datetime:
    return NOON


def turn(instruction: str, chunk: str, **more: str) -> Turn:
    return Turn(instruction, chunk, provenance=MAKING, **more)


def story() -> list[tuple[Session, str]]:
    """A session with a branch, undo, redo, outcomes and other scripts, step by step, each with its reason."""
    empty = Session("story", "import math\n")
    first = empty.extend((turn("Zähle bis drei — 数えて\u2028 🙂", "for i in range(3):\n    print(i)\n"),))
    ran = first.with_outcome(Outcome("bwrap", stdout="0\n1\n2\n", outputs=("", "0\n1\n2\n"), seconds=0.25))
    second = ran.extend((turn("teile durch null", "1 / 0\r\n\0\ud800", status=INTERRUPTED),))
    frame = Frame(Location(2, 1), "<module>", "1 / 0")
    failed = second.with_outcome(
        Outcome(exit_code=1, finished=False, error="turn 2: ZeroDivisionError", frames=(frame,))
    )
    undone = failed.undo()
    branched = undone.extend((turn("plot it", "import matplotlib\n"),))
    drawn = branched.with_outcome(Outcome(files=(File("plot-1.png", 1234),)))
    back = drawn.move(failed.head)
    again = back.undo(2).redo()
    steps = (empty, first, ran, second, failed, undone, branched, drawn, back, again)
    whys = ("", "", "", "", "", "undo", "", "", "goto", "redo")
    return list(zip(steps, whys, strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "story.jsonl"


def record(path: Path) -> None:
    with Log.open(path, clock, "0.1.0") as log:
        for session, why in story():
            log.write(session, why)


@contextmanager
def full_disk(path: Path, room: int) -> Iterator[None]:
    """Files cannot grow beyond what this one has and some room: a write is cut short, then refused."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.stat().st_size if path.exists() else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_session_reads_back_as_it_was_written(path):
    record(path)
    session = story()[-1][0]
    assert load(path) == session
    with Log.open(path) as log:
        assert log.session == session
        assert log.notices == ()


def test_the_file_has_one_event_a_line_and_begins_with_its_version(path):
    record(path)
    events = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert events[0] == {
        "event": "session",
        "version": 1,
        "created": "2026-11-23T12:00:00+00:00",
        "program": "0.1.0",
        "name": "story",
        "preamble": "import math\n",
    }
    kinds = "session turn outcome turn outcome head turn outcome head head"
    assert [event["event"] for event in events] == kinds.split()
    assert [event["why"] for event in events if event["event"] == "head"] == ["undo", "goto", "redo"]


def test_a_session_written_in_one_go_reads_back_too(path):
    session = story()[-1][0]
    with Log.open(path) as log:
        log.write(session)
    assert load(path) == session


def test_an_empty_session_leaves_nothing_behind(tmp_path):
    with Log.open(tmp_path / "sessions" / "empty.jsonl") as log:
        log.write(log.session)
    assert list(tmp_path.iterdir()) == []


def test_writing_what_is_written_adds_nothing(path):
    record(path)
    before = path.read_bytes()
    with Log.open(path) as log:
        log.write(log.session)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_file_cut_at_any_byte_is_a_session_of_the_past_that_goes_on(path, tmp_path):
    record(path)
    whole = path.read_bytes()
    past = [Session("story"), *(session for session, _ in story())]
    cut = tmp_path / "cut" / "story.jsonl"
    cut.parent.mkdir()
    for end in range(len(whole) + 1):
        cut.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        complete = end == len(whole) or whole[end : end + 1] == b"\n"
        expected = past[lines + complete if end < len(whole) else lines]
        assert load(cut) == expected
        with Log.open(cut, clock) as log:
            torn = not complete and whole[:end] and not whole[:end].endswith(b"\n")
            assert bool(log.notices) == bool(torn)
            assert cut.read_bytes() == whole[:end]
            longer = log.session.extend((turn("go on", "z = 3"),))
            log.write(longer)
        assert read(cut).session == longer
        assert read(cut).notices == ()


def test_a_cut_file_says_what_was_dropped(path):
    record(path)
    path.write_bytes(path.read_bytes()[:-5])
    assert read(path).notices[0].startswith("story.jsonl: dropped an incomplete last line (")


@pytest.mark.parametrize("line", [2, 5, 10])
@pytest.mark.parametrize("damage", [b"\0\0\0", b"{", b'{"event":7}', b"[" * 100_000, b"\xff", b"3"])
def test_damage_before_the_end_names_the_line_and_touches_nothing(path, line, damage):
    record(path)
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = damage
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    for attempt in (load, Log.open):
        with pytest.raises(MtchatError, match=f"line {line} is damaged .* nothing was changed"):
            attempt(path)
    assert path.read_bytes() == before


def test_a_missing_line_is_damage_where_something_refers_to_it(path):
    record(path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:1] + lines[2:]))
    with pytest.raises(MtchatError, match=r"line 2 is damaged .no turn '[0-9a-f]{32}' before this line"):
        load(path)


@pytest.mark.parametrize("ending", [b"", b"\n", b'\n{"event":"turn", "chu'])
def test_a_newer_schema_is_refused_and_left_alone(path, ending):
    path.write_bytes(b'{"event":"session","version":2,"x":1}' + ending)
    before = path.read_bytes()
    with pytest.raises(MtchatError, match=r"newer mtchat .schema 2.; this one reads up to 1: upgrade"):
        Log.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["x = 1", "x = 1\n", "{}\n", '{"event":"turn"}\n', "\n", '{"event"', "\ufeff"]
)
def test_a_file_that_is_no_session_is_refused_and_left_alone(path, text):
    path.write_text(text, "utf-8")
    if text == '{"event"':
        assert load(path) == Session("story")
        return
    with pytest.raises(MtchatError, match="is not a session file"):
        Log.open(path)
    assert path.read_text("utf-8") == text


def test_unknown_events_are_kept(path):
    record(path)
    extra = b'{"event":"weather","sky":"grey"}\n{"event":"note","text":"hello"}\n'
    path.write_bytes(path.read_bytes() + extra)
    with Log.open(path) as log:
        assert log.session == story()[-1][0]
        log.write(log.session.undo(), "undo")
    assert extra in path.read_bytes()
    assert load(path) == story()[-1][0].undo()


def test_a_chunk_edited_by_hand_is_taken_and_told(path):
    record(path)
    path.write_bytes(path.read_bytes().replace(b"range(3)", b"range(4)", 1))
    reading = read(path)
    assert reading.notices == ("story.jsonl: edited by hand, or written by another mtchat: line 2",)
    assert "range(4)" in reading.session.program.source
    assert len(reading.session.turns) == 3
    with Log.open(path) as log:
        longer = log.session.extend((turn("go on", "z = 3"),))
        log.write(longer)
    assert load(path) == longer


def test_line_endings_changed_by_an_editor_do_no_harm(path):
    record(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").rstrip(b"\r\n"))
    assert load(path) == story()[-1][0]


def test_a_name_is_the_name_of_the_file(path):
    record(path)
    moved = path.rename(path.with_name("tale.jsonl"))
    assert load(moved) == replace(story()[-1][0], name="tale")


def test_a_huge_line_reads_back(path):
    session = Session("story").extend((turn("big", "x = '" + "🙂" * 1_000_000 + "'"),))
    with Log.open(path) as log:
        log.write(session)
    assert load(path) == session


HOLD = """
import sys
from pathlib import Path
from mtchat.store import Log
with Log.open(Path(sys.argv[1])) as log:
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_second_process_is_told_who_has_the_file_open(path):
    record(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"open\n"
        assert load(path) == story()[-1][0]
        who = f".process {other.pid}." if Path("/proc/locks").exists() else ""
        with pytest.raises(MtchatError, match=f"story.jsonl is open in another mtchat {who}"):
            Log.open(path)
        other.communicate()
    Log.open(path).close()


def test_the_lock_follows_a_rename(path):
    record(path)
    with Log.open(path) as log:
        log.rename("tale")
        with pytest.raises(MtchatError, match=r"tale.jsonl is open in another mtchat"):
            Log.open(log.path)
        log.write(log.session.undo())
    assert load(path.with_name("tale.jsonl")) == replace(story()[-1][0].undo(), name="tale")


def test_reading_a_file_does_not_let_go_of_its_lock(path):
    record(path)
    with Log.open(path):
        load(path)
        with pytest.raises(MtchatError, match="is open in another"):
            Log.open(path)


KILLED = """
import sys
from pathlib import Path
from mtchat.session.outcome import Outcome
from mtchat.session.turn import Turn
from mtchat.store import Log
with Log.open(Path(sys.argv[1])) as log:
    while True:
        number = len(log.session.turns)
        session = log.session.extend((Turn(f"turn {number}", "x = 1\\n" * 200),))
        log.write(session.with_outcome(Outcome(stdout="1\\n" * 200)))
        print(number, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_a_file_with_every_turn_it_confirmed(path):
    confirmed = -1
    for turns in (1, 7, 3, 12, 5):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as writer:
            seen = [int(writer.stdout.readline()) for _ in range(turns)]
            writer.send_signal(signal.SIGKILL)
            seen += [int(line) for line in writer.stdout.read().splitlines()]
        assert seen[0] in (confirmed + 1, confirmed + 2)
        confirmed = seen[-1]
        assert len(load(path).turns) in (confirmed + 1, confirmed + 2)


@pytest.mark.parametrize("room", [0, 1, 100, 700])
def test_a_full_disk_costs_nothing_that_was_saved_and_the_next_write_saves_the_rest(path, room):
    steps = [session for session, _ in story()]
    with Log.open(path, clock) as log:
        log.write(steps[2])
        saved = path.read_bytes()
        for session in steps[3:5]:
            with full_disk(path, room), pytest.raises(MtchatError, match="the session continues in memory"):
                log.write(session.extend((turn("more", "y" * 2000),)))
        assert path.read_bytes() == saved
        log.write(steps[-1])
    assert load(path) == steps[-1]


def test_a_full_disk_at_the_first_write_leaves_a_file_that_is_written_next_time(path):
    with Log.open(path, clock) as log:
        with full_disk(path, 10), pytest.raises(MtchatError, match="cannot save to"):
            log.write(story()[2][0])
        assert load(path) == Session("story")
        log.write(story()[2][0])
    assert load(path) == story()[2][0]


def test_a_folder_that_cannot_be_made_is_an_error_that_the_session_survives(tmp_path):
    (tmp_path / "sessions").write_text("in the way")
    log = Log(tmp_path / "sessions" / "story.jsonl", clock)
    with pytest.raises(MtchatError, match="the session continues in memory"):
        log.write(story()[1][0])
    (tmp_path / "sessions").unlink()
    log.write(story()[1][0])
    log.close()
    assert load(log.path) == story()[1][0]


def test_a_read_only_file_opens_and_is_saved_once_it_may_be_written(path):
    record(path)
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with Log.open(path) as log:
        assert "cannot be written" in log.notices[0]
        with pytest.raises(MtchatError, match="the session continues in memory"):
            log.write(log.session.undo())
        path.chmod(0o644)
        log.write(log.session.undo())
    assert load(path) == story()[-1][0].undo()


def test_a_file_removed_while_it_is_open_is_written_again_in_full(path):
    record(path)
    with Log.open(path) as log:
        path.unlink()
        log.write(story()[-1][0].undo(), "undo")
        assert "was removed" in log.notices[0]
    assert load(path) == story()[-1][0].undo()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_changed_by_others_while_it_is_open_is_not_written_to(path, replaced):
    record(path)
    with Log.open(path) as log:
        if replaced:
            path.rename(path.with_name("old.jsonl"))
        path.write_text("something else")
        with pytest.raises(MtchatError, match="was changed by another program"):
            log.write(log.session.undo())
        assert path.read_text() == "something else"
        path.unlink()
        log.write(story()[-1][0].undo())
    assert load(path) == story()[-1][0].undo()


def test_a_closed_log_opens_its_file_again_to_write(path):
    record(path)
    log = Log.open(path)
    log.close()
    log.write(log.session.undo())
    with pytest.raises(MtchatError, match="is open in another"):
        Log.open(path)
    log.close()
    assert load(path) == story()[-1][0].undo()


def test_two_new_sessions_of_one_day_do_not_meet(tmp_path):
    today = date(2026, 11, 23)
    one, other = Log.fresh(tmp_path, today, clock), Log.fresh(tmp_path, today, clock)
    assert one.name == other.name == "2026-11-23-1"
    with one, other:
        one.write(story()[1][0])
        other.write(story()[2][0])
        assert other.name == "2026-11-23-2"
        assert other.notices == (
            "another mtchat has created 2026-11-23-1; this session is now called 2026-11-23-2",
        )
    assert load(one.path).turns == load(other.path).turns


def test_a_named_session_that_another_process_made_first_can_take_another_name(path):
    log = Log.open(path)
    record(path)
    with pytest.raises(MtchatError, match="another mtchat has created"):
        log.write(story()[1][0])
    log.rename("mine")
    log.write(story()[1][0])
    log.close()
    assert load(path) == story()[-1][0]
    assert load(path.with_name("mine.jsonl")) == replace(story()[1][0], name="mine")


def test_a_rename_moves_the_files_too_and_overwrites_nothing(path, tmp_path):
    record(path)
    (tmp_path / "story.files").mkdir()
    (tmp_path / "story.files" / "plot-1.png").write_bytes(b"png")
    (tmp_path / "other.jsonl").write_text("other")
    (tmp_path / "third.files").mkdir()
    with Log.open(path) as log:
        for taken in ("other", "third"):
            with pytest.raises(MtchatError, match=f"session '{taken}' already exists"):
                log.rename(taken)
        with pytest.raises(UsageError, match="no slashes"):
            log.rename("../escape")
        log.rename("tale")
        assert (log.name, log.session.name) == ("tale", "tale")
    assert not path.exists()
    assert (tmp_path / "tale.files" / "plot-1.png").read_bytes() == b"png"
    assert (tmp_path / "other.jsonl").read_text() == "other"


def test_a_session_can_be_named_before_it_is_written(tmp_path):
    log = Log.fresh(tmp_path, date(2026, 11, 23), clock)
    log.rename("primes")
    assert list(tmp_path.iterdir()) == []
    log.write(story()[1][0])
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["primes.jsonl"]


def test_a_mark_that_an_editor_put_before_the_first_line_does_not_matter(path):
    record(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(path) == story()[-1][0]
    with Log.open(path) as log:
        assert log.notices == ()
        log.write(log.session.extend((turn("more", "z = 3"),)))
    assert [each.chunk for each in load(path).turns][-1] == "z = 3"
    torn = path.read_bytes()[:-4]
    path.write_bytes(torn)
    with Log.open(path) as log:
        log.write(log.session.extend((turn("again", "z = 4"),)))
    assert [each.chunk for each in load(path).turns][-1] == "z = 4"


def test_a_session_and_its_files_are_for_the_user_alone(tmp_path):
    before = os.umask(0o022)
    try:
        with Log.open(tmp_path / "new" / "story.jsonl") as log:
            log.write(story()[1][0])
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_rename_that_fails_leaves_the_file_and_its_folder_together(path, tmp_path):
    record(path)
    (tmp_path / "story.files").mkdir()
    with Log.open(path) as log:
        path.unlink()
        with pytest.raises(MtchatError, match="cannot rename"):
            log.rename("new")
        assert log.path == path
    assert os.listdir(tmp_path) == ["story.files"]


def test_the_files_of_a_session_that_another_process_made_stay_with_it(path, tmp_path):
    log = Log.open(path)
    record(path)
    (tmp_path / "story.files").mkdir()
    log.rename("mine")
    assert (tmp_path / "story.files").is_dir()


def test_a_session_goes_on_in_another_folder_with_all_its_turns(path, tmp_path):
    record(path)
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "tale.jsonl"
    with Log.open(path) as log:
        log.move_to(target, log.session)
        log.write(log.session.extend((turn("more", "z = 3"),)))
        with pytest.raises(MtchatError, match="already exists"):
            log.move_to(target, log.session)
    assert load(path) == story()[-1][0]
    assert load(target).turns == (*story()[-1][0].turns, load(target).turns[-1])
    assert load(target).outcomes == story()[-1][0].outcomes


@pytest.mark.parametrize("kind", ["pipe", "endless", "sparse"])
def test_what_is_no_file_of_a_session_is_refused_at_once(kind, path):
    odd(kind, path)
    for opened in (Log.open, load):
        with pytest.raises(MtchatError, match=r"story.jsonl: it (is a pipe|is a device|has 3072 MiB)"):
            opened(path)


def odd(kind, path):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(3 * 2**30)


def test_a_list_says_of_every_step_of_a_session_what_the_session_is(path):
    with Log.open(path) as log:
        for session, why in story():
            log.write(session, why)
            turns = session.path
            assert outline(path) == Outline(len(turns), turns[0].instruction_as_typed if turns else "")
            assert outline(path).turns == len(load(path).path)


@pytest.mark.parametrize(
    "line",
    [
        *('{"event":"turn","id":"a","parent":"b","instruction":"x"}', '{"event":"head","to":"gone"}', "{"),
        *(
            '{"event":"turn","id":1}',
            '{"event":"turn","id":"a","instruction":"x","typed":3}',
            '{"event":"head"}',
        ),
    ],
)
def test_a_list_says_which_line_of_a_session_is_damaged(line, path):
    record(path)
    path.write_text(path.read_text("utf-8", "surrogatepass") + line + "\n{}", "utf-8", "surrogatepass")
    with pytest.raises(MtchatError, match=r"line [0-9]+ is damaged"):
        outline(path)


def test_turns_that_name_each_other_are_listed_once(path):
    turns = [
        '{"event":"turn","id":"a","instruction":"x"}',
        '{"event":"turn","id":"b","parent":"a","instruction":"y"}',
    ]
    again = '{"event":"turn","id":"a","parent":"b","instruction":"z"}'
    path.write_text(
        "\n".join(['{"event":"session","version":1}', *turns, again, '{"event":"head","to":"b"}', ""])
    )
    assert outline(path) == Outline(2, "x")
