"""Files that somebody named are read without waiting, and are written whole, closed and in one step."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mtchat import files
from mtchat.errors import MtchatError


def pipe(path: Path) -> None:
    os.mkfifo(path)


def plug(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 2**30)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (pipe, "it is a pipe"),
        (plug, "it is a socket"),
        (endless, "it is a device"),
        (Path.mkdir, "it is a folder"),
        (sparse, "it has 5120 MiB, but at most 64 MiB are read"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: None, "No such file or directory"),
    ],
)
def test_what_is_no_file_to_read_is_refused_at_once(
    make: Callable[[Path], None], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket has at most about 100 bytes
    make(Path("x"))
    with pytest.raises(MtchatError) as raised:
        files.read(Path("x"))
    assert str(raised.value) == f"cannot read x: {why}"


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(MtchatError, match="null"):
        files.read("a\0b")


def test_a_file_is_read_whole_and_no_further_than_may_be(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"0123456789")
    assert files.read(file, most=10) == b"0123456789"
    with pytest.raises(MtchatError, match="at most 0 MiB are read"):
        files.read(file, most=9)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_a_replaced_file_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"old")
    file.chmod(mode)
    files.replace(file, b"new")
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"new", mode)
    assert os.listdir(tmp_path) == ["x"]


def test_a_new_file_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    files.replace(tmp_path / "x", b"new", files.PRIVATE)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "x").symlink_to(tmp_path / "precious")
    files.replace(tmp_path / "x", b"new")
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert (tmp_path / "x").read_bytes() == b"new"


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"old")

    def interrupted() -> None:
        with files.beside(file) as new:
            os.write(new, b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]
