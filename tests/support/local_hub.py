"""A model hub on this machine: pinned addresses redirect to a store that has ranges."""

import hashlib
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 20
REVISION = "4f5e6d7c"
LARGE = (".gguf", ".safetensors", ".bin")  # of which the hub gives the SHA-256
PAUSE = 0.2  # seconds between blocks of what is delivered slowly


class RangeHandler(BaseHTTPRequestHandler):
    """Serves ranges of files; from the offset `slow_after` on, only slowly."""

    slow_after: int | None = None

    def send_range(self, content: bytes, size: int = 0) -> None:
        """The range asked for of `content`, or of `size` bytes, which are zeros beyond it."""
        size = size or len(content)
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        try:
            for start in range(first, last + 1, BLOCK):
                if self.slow_after is not None and start >= self.slow_after:
                    time.sleep(PAUSE)
                end = min(start + BLOCK, last + 1)
                self.wfile.write(content[start:end] or bytes(end - start))
        except OSError:  # the client has had enough
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


class HubHandler(RangeHandler):
    """Serves one file of a repository: `size` zeros, or `content`; from an offset on, only slowly."""

    repository = ""
    size = 0
    content = b""

    def do_GET(self) -> None:
        if self.path.startswith(f"/{self.repository}/resolve/"):
            self.send_response(302)
            self.send_header("Location", "/store/" + self.path.rsplit("/", 1)[1])
            self.end_headers()
        elif self.path.startswith("/store/") and "Range" in self.headers:
            self.send_range(self.content, self.size)
        else:
            self.send_error(404)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server with this handler."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hub_of(repository: str, size: int, content: bytes = b"", slow_after: int | None = None) -> Iterator[str]:
    """The address of a hub with one repository, whose file has so many bytes."""
    facts = {"repository": repository, "size": size, "content": content, "slow_after": slow_after}
    handler = type("Handler", (HubHandler,), facts)
    with serving(handler) as address:
        yield address


@contextmanager
def silent_port() -> Iterator[str]:
    """The address of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class RepositoryHandler(RangeHandler):
    """Serves the list and the files of one repository as the model hub does: addresses redirect to a store.

    `status` is the answer to every question about the repository, `denied` that to every download.
    """

    repository = ""
    files: dict[str, bytes] = {}  # noqa: RUF012
    facts: dict[str, object] = {}  # noqa: RUF012
    status = 200
    denied = 0
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        front = f"/{self.repository}/resolve/{REVISION}/"
        if path == f"/api/models/{self.repository}":
            self.send_list()
        elif path.startswith(front) and self.denied:
            self.send_error(self.denied)
        elif path.startswith(front) and path.removeprefix(front) in self.files:
            self.send_response(302)
            self.send_header("Location", "/store/" + urllib.parse.quote(path.removeprefix(front)))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif path.startswith("/store/") and "Range" in self.headers:
            self.send_range(self.files[path.removeprefix("/store/")])
        elif path.startswith("/store/"):
            self.send_whole(self.files[path.removeprefix("/store/")])
        else:
            self.send_error(404)

    def send_whole(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_list(self) -> None:
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
                **({"lfs": lfs_facts(content)} if name.endswith(LARGE) else {}),
            }
            for name, content in self.files.items()
        ]
        found = {"id": self.repository, "sha": REVISION, "siblings": siblings, **self.facts}
        body = json.dumps(found if self.status == 200 else {"error": "no"}).encode()
        self.send_response(self.status)
        if self.status in (401, 403, 404):
            self.send_header("X-Error-Code", "GatedRepo" if self.status == 403 else "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def lfs_facts(content: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}


@contextmanager
def hub_with(repository: str, files: dict[str, bytes], **facts: object) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub with one repository of small files, and the paths that it is asked for."""
    asked: list[str] = []
    handler = type(
        "Handler", (RepositoryHandler,), {"repository": repository, "files": files, "asked": asked} | facts
    )
    with serving(handler) as address:
        yield address, asked
