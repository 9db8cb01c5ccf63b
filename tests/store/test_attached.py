"""Attached files: which can be, what the session's file keeps of them, and what a reopened session gets."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from mtchat.errors import UsageError
from mtchat.session.program import AttachedFile
from mtchat.session.session import Session
from mtchat.store import Log, OwnedFiles, attach, attached_below, detach, load, present_files, recheck_files

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("hello")
    return path


def test_an_attached_file_has_its_name_its_whole_path_its_size_and_its_hash(data: Path, monkeypatch) -> None:
    monkeypatch.chdir(data.parent)
    session = attach(Session(), [Path("x/../data.csv")], 1)
    assert session.attached == (AttachedFile("data.csv", data, 5, HELLO),)


def test_one_that_is_attached_again_is_taken_as_it_is_now(data: Path) -> None:
    session = attach(Session(), [data], 1)
    data.write_text("hello, world")
    session = attach(session, [data], 1)
    assert [file.size for file in session.attached] == [12]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.csv", "cannot read .*missing.csv: No such file"),
        ("pipe", "pipe is not a regular file"),
        ("nul\0", "cannot read .*null|embedded null"),
        ("folder/data.csv", "two files cannot both be 'data.csv' for the program"),
        ("odd\n.csv", "its name has characters that cannot be shown"),
        (
            "large",
            "the 2 attached files have 2 MiB, but a run may have at most 1 MiB of files; "
            "the setting disk_mib raises that",
        ),
    ],
)
def test_what_cannot_be_attached_is_refused_and_nothing_changes(data: Path, name: str, message: str) -> None:
    folder = data.parent / "folder"
    folder.mkdir()
    (folder / "data.csv").write_text("other")
    (data.parent / "odd\n.csv").write_text("x")
    (data.parent / "large").write_bytes(bytes(2**21))
    (data.parent / "fine").write_text("x")
    os.mkfifo(data.parent / "pipe")
    session = attach(Session(), [data], 1)
    with pytest.raises(UsageError, match=message):
        attach(session, [data.parent / name], 1)


def test_a_file_that_is_let_go_is_not_attached_any_more(data: Path) -> None:
    session = attach(Session(), [data], 1)
    assert detach(session, ["data.csv"]).attached == ()
    with pytest.raises(UsageError, match=r"'x.csv' is not attached; attached are: data.csv"):
        detach(session, ["data.csv", "x.csv"])


def test_the_list_is_saved_and_an_unchanged_file_is_attached_again(data: Path) -> None:
    path = data.parent / "one.jsonl"
    with Log.open(path) as log:
        log.write(attach(log.session, [data], 1), "attach")
    assert recheck_files(load(path)) == (load(path), ())
    assert [file.path for file in load(path).attached] == [data]
    with Log.open(path) as log:
        log.write(detach(log.session, ["data.csv"]), "attach")
    assert load(path).attached == ()


def test_a_file_that_is_gone_or_has_changed_is_let_go_with_a_notice(data: Path) -> None:
    session = attach(Session(), [data], 1)
    data.write_text("hullo")
    again, notices = recheck_files(session)
    assert again.attached == ()
    assert notices == (f"data.csv is no longer attached: {data} has changed; attach it again to use it",)
    data.unlink()
    again, notices = recheck_files(session)
    assert again.attached == ()
    assert notices == (f"data.csv is no longer attached: {data} is gone, or cannot be read",)
    assert present_files(session) == ()


def test_a_session_file_of_somebody_else_gives_programs_none_of_my_files(data: Path) -> None:
    guessed = Session(attached=(AttachedFile("data.csv", data, 5, "0" * 64),))
    assert recheck_files(guessed)[0].attached == ()
    elsewhere = attach(Session(), [data], 1).attached[0]
    outside = replace(elsewhere, name="../../outside")
    assert [file.name for file in recheck_files(Session(attached=(outside,)))[0].attached] == ["data.csv"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with parts, and beside them what no program is meant to get."""
    folder = tmp_path / "shapes"
    for path, text in {
        "__init__.py": "from shapes.area import area\n",
        "area.py": "def area(n):\n    return n * n\n",
        "data/sizes.csv": "1,2\n",
        "__pycache__/area.pyc": "x",
        ".git/config": "x",
        "env/pyvenv.cfg": "x",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    return folder


INSIDE = ["shapes/__init__.py", "shapes/area.py", "shapes/data/sizes.csv"]


def test_a_folder_is_attached_with_the_places_of_its_files_and_let_go_as_one(
    package: Path, data: Path
) -> None:
    session = attach(Session(), [package, data], 1)
    assert sorted(file.name for file in session.attached) == ["data.csv", *INSIDE]
    assert [file.name for file in detach(session, ["shapes"]).attached] == ["data.csv"]
    assert len(detach(session, ["shapes/area.py"]).attached) == 3
    with pytest.raises(UsageError, match=r"'shape' is not attached; attached are: shapes, data.csv"):
        detach(session, ["shape"])


def test_the_files_of_a_folder_keep_their_places_in_a_session_that_is_opened_again(package: Path) -> None:
    path = package.parent / "one.jsonl"
    with Log.open(path) as log:
        log.write(attach(Session(), [package], 1), "attach")
    again, notices = recheck_files(load(path))
    assert ([file.name for file in again.attached], notices) == (INSIDE, ())


def test_a_name_that_is_not_the_files_own_is_not_taken_from_a_record(data: Path) -> None:
    told = attach(Session(), [data], 1).attached[0]
    for name in ("../data.csv", "other/data.csv", "/data.csv", ""):
        up = data.parent / "x" / ".." / "data.csv"
        (data.parent / "x").mkdir(exist_ok=True)
        for path in (data, up):
            session, _ = recheck_files(Session(attached=(replace(told, name=name, path=path),)))
            assert [file.name for file in session.attached] == ["data.csv"]
        session, _ = recheck_files(Session(attached=(replace(told, name=name),)))
        assert [file.name for file in session.attached] == ["data.csv"]


def test_a_folder_without_files_or_with_too_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "many").mkdir()
    for number in range(1001):
        (tmp_path / "many" / str(number)).touch()
    for name, message in (("empty", "empty contains no files"), ("many", "more than 1000 files")):
        with pytest.raises(UsageError, match=message):
            attach(Session(), [tmp_path / name], 1)


def test_a_file_that_the_user_attached_is_taken_as_it_is_now_and_that_is_said(data: Path) -> None:
    path, state = data.parent / "one.jsonl", data.parent / "state" / "attached"
    session = attach(Session(), [data], 1)
    OwnedFiles(state).add(path, [data])
    data.write_text("hello, world")
    again, notices = recheck_files(session, lambda file: OwnedFiles(state).has(path, file))
    assert [file.size for file in again.attached] == [12]
    assert notices == ("data.csv has changed since it was attached; programs get the current version",)
    assert recheck_files(again, lambda file: OwnedFiles(state).has(path, file)) == (again, ())
    assert (
        recheck_files(session, lambda file: OwnedFiles(state).has(data.parent / "two.jsonl", file))[
            0
        ].attached
        == ()
    )
    assert stat.S_IMODE(state.stat().st_mode) == 0o600


def test_a_file_of_another_size_is_not_read_through(data: Path) -> None:
    with data.open("wb") as file:
        file.truncate(2**40)
    for size in (5, 2**40):
        again, notices = recheck_files(Session(attached=(AttachedFile("data.csv", data, size, HELLO),)))
        assert again.attached == ()
        assert len(notices) == 1


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "."])
def test_what_is_no_file_is_let_go_at_once(data: Path, name: str) -> None:
    os.mkfifo(data.parent / "pipe")
    path = data.parent / name
    size = path.stat().st_size
    assert (
        recheck_files(Session(attached=(AttachedFile("x", path, size, HELLO),)), lambda file: True)[
            0
        ].attached
        == ()
    )


def test_of_a_folder_that_the_user_attached_each_file_is_known(package: Path, data: Path) -> None:
    session = attach(Session(), [package, data], 1)
    assert [str(path.relative_to(package.parent)) for path in attached_below(session, [package])] == INSIDE
    assert attached_below(session, [data]) == (data,)


def test_a_part_of_a_folder_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_DIRECTORY)
    try:
        for _ in range(20):  # longer than a path can be
            os.mkdir("x" * 250, dir_fd=here)
            here, above = os.open("x" * 250, os.O_DIRECTORY, dir_fd=here), here
            os.close(above)
    finally:
        os.close(here)
    with pytest.raises(UsageError, match="File name too long"):
        attach(Session(), [tmp_path], 1)
