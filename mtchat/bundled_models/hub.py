"""The model hub as a source: ranges of the official file at its pinned revision, over plain HTTP."""

import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import cast

from mtchat.bundled_models.catalogue import Model
from mtchat.bundled_models.disk import BLOCK
from mtchat.bundled_models.source import Source, SourceError, Watch

PROBE_SECONDS = 5.0
STALL_SECONDS = 10.0


def hub(endpoint: str | None = None, seconds: float = PROBE_SECONDS) -> Source:
    """The hub that huggingface_hub is set to use, or the one at `endpoint`."""
    return Source("hub", partial(ready, endpoint, seconds), partial(blocks, endpoint), workers=2)


def ready(endpoint: str | None, seconds: float, model: Model) -> None:
    """Ask for one byte. Name look-up has no time-out of its own, hence the thread."""
    request = ask(endpoint, model, 0, 1)
    answers: SimpleQueue[SourceError | None] = SimpleQueue()

    def probe() -> None:
        try:
            begin(request, model, seconds).close()
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


def blocks(
    endpoint: str | None, model: Model, piece: int, scratch: Path, watch: Watch
) -> Generator[bytes, None, None]:
    size = model.wheels[piece].bytes
    done = 0
    with begin(ask(endpoint, model, model.start(piece), size), model, STALL_SECONDS) as response:
        while done < size:
            try:
                block = response.read(min(BLOCK, size - done))
            except (OSError, HTTPException) as error:
                raise SourceError(str(error) or type(error).__name__) from None
            if not block:
                raise SourceError("the connection ended early")
            done += len(block)
            watch(done)
            yield block


def ask(endpoint: str | None, model: Model, start: int, size: int) -> urllib.request.Request:
    """The request for a range of the file, with the user's own hub settings."""
    # Late: it costs a quarter of a second, and most runs find the model on disk.
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise SourceError("switched off by HF_HUB_OFFLINE")
    url = hf_hub_url(model.hub.repository, model.file, revision=model.hub.revision, endpoint=endpoint)
    headers = {"Range": f"bytes={start}-{start + size - 1}", "User-Agent": "mtchat"}
    request = urllib.request.Request(url, headers=headers)
    token = get_token()
    if token:  # for the hub, not for the server that it points to
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def begin(request: urllib.request.Request, model: Model, seconds: float) -> HTTPResponse:
    try:
        response = cast(HTTPResponse, urllib.request.urlopen(request, timeout=seconds))
    except urllib.error.HTTPError as error:
        error.close()
        raise SourceError(f"it answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise SourceError(str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise SourceError(str(error) or type(error).__name__) from None
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status != 206 or total != str(model.bytes):
        response.close()
        raise SourceError("it answers, but not with this file")
    return response
