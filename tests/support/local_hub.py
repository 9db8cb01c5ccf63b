"""A model hub on this machine: pinned addresses redirect to a store that has ranges."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 20
PAUSE = 0.2  # seconds between blocks of what is delivered slowly


class HubHandler(BaseHTTPRequestHandler):
    """Serves one file of a repository: `size` zeros, or `content`; from an offset on, only slowly."""

    repository = ""
    size = 0
    content = b""
    slow_after: int | None = None

    def do_GET(self) -> None:
        if self.path.startswith(f"/{self.repository}/resolve/"):
            self.send_response(302)
            self.send_header("Location", "/store/" + self.path.rsplit("/", 1)[1])
            self.end_headers()
        elif self.path.startswith("/store/") and "Range" in self.headers:
            self.send_range(*map(int, self.headers["Range"].removeprefix("bytes=").split("-")))
        else:
            self.send_error(404)

    def send_range(self, first: int, last: int) -> None:
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{self.size}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        try:
            for start in range(first, last + 1, BLOCK):
                if self.slow_after is not None and start >= self.slow_after:
                    time.sleep(PAUSE)
                end = min(start + BLOCK, last + 1)
                self.wfile.write(self.content[start:end] or bytes(end - start))
        except OSError:  # the client has had enough
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def hub_of(repository: str, size: int, content: bytes = b"", slow_after: int | None = None) -> Iterator[str]:
    """The address of a hub with one repository, whose file has so many bytes."""
    facts = {"repository": repository, "size": size, "content": content, "slow_after": slow_after}
    handler = type("Handler", (HubHandler,), facts)
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
def silent_port() -> Iterator[str]:
    """The address of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
