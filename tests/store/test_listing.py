"""The folder of sessions: found by name, listed whatever it holds, named safely."""

import os
import stat
from datetime import UTC, date, datetime
from pathlib import Path

import platformdirs
import pytest

from mtchat.errors import MtchatError, UsageError
from mtchat.session.session import Session
from mtchat.session.turn import Turn
from mtchat.store import (
    LatestSessions,
    Log,
    check_name,
    find,
    folder,
    load,
    new_name,
    path_of,
    recorded_folder,
    summaries,
)
from tests import ROOT


def keep(folder: Path, name: str, *instructions: str) -> Path:
    path = path_of(name, folder)
    with Log.open(path) as log:
        log.write(Session(name).extend(tuple(Turn(each, "x = 1") for each in instructions)))
    return path


@pytest.mark.parametrize("name", ["primes", "2026-11-23-1", "数を数える", "v1.2", "two words", "a" * 200])
def test_a_good_name_is_a_file_of_that_name(name, tmp_path):
    path = keep(tmp_path, name, "do")
    assert path.parent == tmp_path
    assert load(path).name == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "..", ".hidden", "-x", "a/b", "a\\b", "a\nb", "a\0b", " a", "a ", "x.jsonl", "x.files"),
        *("run", "bench", "\ud800", "\x1b[2J", "é" * 101),
    ],
)
def test_a_bad_name_is_a_usage_error(name):
    with pytest.raises(UsageError):
        check_name(name)


def test_a_session_is_found_by_name_by_file_name_and_by_path(tmp_path, monkeypatch):
    inside = tmp_path / "sessions"
    inside.mkdir()
    path = keep(inside, "primes", "do")
    monkeypatch.chdir(tmp_path)
    for asked in ("primes", "primes.jsonl", str(path), "sessions/primes.jsonl", "./sessions/primes.jsonl"):
        assert find(asked, inside).resolve() == path


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("prime", "no session 'prime' in .*; did you mean primes.*"),
        ("zzz", "no session 'zzz' in .*; `mtchat sessions` lists all sessions"),
        ("./prime", "no session file ./prime"),
        ("", "no session ''"),
        ("\0", "no session"),
        ("..", "no session"),
        ("/", "no session"),
        ("~nobody-of-this-name/x", "no session file"),
        ("a" * 300, "no session"),
        ("\ud800/x", "no session file"),
    ],
)
def test_a_session_that_is_not_there_is_an_error_with_the_near_names(tmp_path, asked, message):
    keep(tmp_path, "primes", "do")
    with pytest.raises(MtchatError, match=message):
        find(asked, tmp_path)


def test_a_folder_whose_name_is_too_long_has_no_sessions():
    endless = Path("x" * 5000)
    assert summaries(endless) == []
    assert new_name(endless, date(2026, 11, 23)) == "2026-11-23-1"


def test_a_fresh_name_is_the_day_and_the_first_free_number(tmp_path):
    today = date(2026, 11, 23)
    assert new_name(tmp_path / "none", today) == "2026-11-23-1"
    keep(tmp_path, "2026-11-23-1", "do")
    (tmp_path / "2026-11-23-2.files").mkdir()
    assert new_name(tmp_path, today) == "2026-11-23-3"


def test_sessions_are_here_where_there_is_a_folder_for_them_else_with_the_users_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folder() == platformdirs.user_data_path("mtchat", appauthor=False) / "sessions"
    (tmp_path / "sessions").mkdir()
    assert folder() == recorded_folder() == Path("sessions")
    assert folder(tmp_path / "mine") == tmp_path / "mine"


def test_recorded_examples_are_measured_with_but_no_session_of_the_users_is_kept_among_them(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(ROOT)
    assert folder() == platformdirs.user_data_path("mtchat", appauthor=False) / "sessions"
    assert recorded_folder() == Path("sessions")
    assert recorded_folder(tmp_path) == tmp_path


def test_the_list_has_the_latest_first_and_says_what_cannot_be_read(tmp_path):
    old = keep(tmp_path, "old", "first", "second")
    new = keep(tmp_path, "new", "begin")
    bad = path_of("bad", tmp_path)
    bad.write_text("not a session\n")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / ".hidden.jsonl").write_text("")
    (tmp_path / "notes.txt").write_text("")
    for age, path in enumerate([tmp_path / "folder.jsonl", new, bad, old]):
        os.utime(path, (1e9 - age, 1e9 - age))
    listed = summaries(tmp_path)
    assert [each.name for each in listed] == ["folder", "new", "bad", "old"]
    assert [(each.turns, each.instruction) for each in listed[1::2]] == [(1, "begin"), (2, "first")]
    assert listed[1].modified == datetime.fromtimestamp(1e9 - 1, UTC)
    assert "is not a session file" in listed[2].problem
    assert "cannot read" in listed[0].problem


def test_no_folder_is_an_empty_list(tmp_path):
    assert summaries(tmp_path / "none") == []


def test_the_list_waits_for_no_pipe_and_reads_nothing_without_end(tmp_path):
    keep(tmp_path, "good", "one", "two")
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "folder.jsonl").mkdir()
    with (tmp_path / "large.jsonl").open("wb") as file:
        file.truncate(2**31)
    listed = {each.name: each for each in summaries(tmp_path)}
    assert listed["good"].turns == 2
    assert listed["good"].date == date.today().isoformat()
    ends = {name: each.problem.partition(": ")[2] for name, each in listed.items()}
    assert ends.pop("good") == ""
    assert ends == {
        "pipe": "it is a pipe",
        "zero": "it is a device",
        "folder": "it is a folder",
        "large": "it has 2048 MiB, but at most 64 MiB are read",
    }


def test_a_name_with_other_signs_that_looks_the_same_is_told(tmp_path):
    keep(tmp_path, "cafe\u0301", "one")
    with pytest.raises(MtchatError, match="spelled with different characters that look the same; open it as"):
        find("caf\u00e9", tmp_path)
    with Log.open(tmp_path / "caf\u00e9.jsonl") as log:
        assert "whose name only looks the same" in log.notices[0]
    with Log.open(tmp_path / "cafe\u0301.jsonl") as log:
        assert log.notices == ()


def test_the_last_session_of_a_folder_is_known_the_next_time(tmp_path):
    state = tmp_path / "state" / "latest"
    assert LatestSessions(state).session(tmp_path) is None
    LatestSessions(state).keep(tmp_path / "one.jsonl")
    LatestSessions(state).keep(tmp_path / "other" / "two.jsonl")
    LatestSessions(state).keep(tmp_path / "three.jsonl")
    assert LatestSessions(state).session(tmp_path) == tmp_path / "three.jsonl"
    assert LatestSessions(state).session(tmp_path / "other") == tmp_path / "other" / "two.jsonl"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    for damaged in ("[]", "{", '{"x": 1}', f'{{"{tmp_path}": "../../x.jsonl"}}'):
        state.write_text(damaged)
        assert LatestSessions(state).session(tmp_path) is None
