"""An HTTP server on loopback that serves bytes as real ones do, and as badly as they do: see `FAULTS`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What an answer can be: "ok"; a status; "to PATH", a redirect; and of the file's bytes:
FAULTS = ("breaks", "wrong", "longer", "shorter", "endless", "plain", "other part", "slow", "stalls")


class Server(ThreadingHTTPServer):
    """`files`: bytes by path.  `faults`: the next answers by path, one each; then all is well.

    `asked`: (method, path, Range) of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[str]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.sent, self.pause = 0, 0.1  # seconds after each twentieth of a slow answer

    def at(self, path: str, content: bytes, *faults: str) -> str:
        """Serve a file, first with these faults; returns its address."""
        self.files[path], self.faults[path] = content, list(faults)
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    """One answer: `Range` with `If-Range` by ETag, unless a fault says otherwise."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, server = self.path.partition("?")[0], self.server
        asked = self.headers.get("Range")
        server.asked.append((self.command, path, asked))
        waiting = server.faults.get(path, [])
        fault = waiting.pop(0) if waiting else "ok"
        if fault.isdecimal() or path not in server.files:
            return self.head(int(fault) if fault.isdecimal() else 404, {"Content-Length": "0"})
        if fault.startswith("to "):
            return self.head(302, {"Location": fault[3:], "Content-Length": "0"})
        content = server.files[path]
        tag, start = f'"{md5(content).hexdigest()}"', 0
        if asked and fault != "plain" and self.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        if start >= len(content) > 0:
            return self.head(416, {"Content-Length": "0"})
        told = len(content) - start + {"longer": 1000, "shorter": -1000}.get(fault, 0)
        headers = {"ETag": tag, "Content-Length": str(told), **server.headers.get(path, {})}
        if start:
            shown = start // 2 if fault == "other part" else start
            headers["Content-Range"] = f"bytes {shown}-{len(content) - 1}/{len(content)}"
        if fault == "plain":
            del headers["ETag"]
        if fault == "endless":
            del headers["Content-Length"]
            headers["Connection"] = "close"
        self.head(206 if start else 200, headers)
        if self.command == "GET":
            self.body(content[start:], fault)

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Send a status and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, content: bytes, fault: str) -> None:
        """Send bytes, and close the connection where fewer or more than told were sent."""
        if fault == "wrong":
            content = bytes(byte ^ 1 for byte in content)
        if fault in ("breaks", "stalls"):
            content = content[: len(content) // 2]
        if fault == "endless":
            content *= 2
        step = len(content) // 20 + 1 if fault == "slow" else len(content) + 1
        try:
            for k in range(0, len(content), step):
                self.wfile.write(content[k : k + step])
                self.server.sent += len(content[k : k + step])
                time.sleep(self.server.pause if fault == "slow" else 0)
            if fault == "stalls":
                self.wfile.flush()
                time.sleep(3)
        except OSError:  # the other side has gone
            pass
        self.close_connection = self.close_connection or fault != "ok"


@contextmanager
def serving() -> Iterator[Server]:
    """A server, while a test lasts."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def hub(server: Server, model: str, revision: str, files: dict[str, bytes]) -> None:
    """Serve a model as the hub does, as far as `snapshot_download` asks."""
    tree = [{"type": "file", "path": name, "size": len(c), "oid": md5(c).hexdigest()} for name, c in files.items()]
    server.at("/", b"the hub")
    server.at(f"/api/models/{model}/tree/{revision}", json.dumps(tree).encode())
    for name, content in files.items():
        path = f"/{model}/resolve/{revision}/{name}"
        server.at(path, content)
        server.headers[path] = {"X-Repo-Commit": revision}
