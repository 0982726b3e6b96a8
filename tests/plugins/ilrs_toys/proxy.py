"""A small proxy of this machine before a server of files or of objects, which fails when told to."""

import http.server
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

type Fault = str
"""`403`, `404`, `500`, `501`, `reset`, `cut`, or `lost`: done, without an answer."""


@dataclass
class Proxy:
    """What a proxy does, to be changed while it runs."""

    url: str = ""
    fails: Callable[[str, str], Fault | None] = lambda verb, path: None
    """From verb and path of a request to what goes wrong."""
    seen: list[str] = field(default_factory=list)

    def fail(self, pattern: str, fault: Fault) -> None:
        """Let every request like `GET /raw/1.toy`, or `PUT /x If-Match` where it has such a condition, fail."""
        self.fails = lambda verb, path: fault if re.search(pattern, f"{verb} {path}") else None

    def mend(self) -> None:
        """Let all requests through."""
        self.fails = lambda verb, path: None


@contextmanager
def proxied(source: Path | str) -> Iterator[Proxy]:
    """Serve a folder, or what another server serves, through a proxy."""
    proxy = Proxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Small answers would wait 40 ms for each other.
        disable_nagle_algorithm = True

        def handle_expect_100(self) -> bool:
            # A client that asks first sends its body only when it has the answer.
            wanted = super().handle_expect_100()
            self.wfile.flush()
            return wanted

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else None
            asked = self.path + "".join(f" {name}" for name in ("If-Match", "If-None-Match") if name in self.headers)
            proxy.seen.append(f"{self.command} {asked}")
            fault = proxy.fails(self.command, asked)
            if fault == "reset":
                self.connection.close()
                self.close_connection = True
                return
            if fault and fault.isdecimal():
                self.send_response(int(fault))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, headers, data = _ask(source, self.command, self.path, self.headers, body)
            if fault == "lost":
                self.connection.close()
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                    self.send_header(name, value)
            size = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", size)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
            self.close_connection = fault == "cut"

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - their names are given

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        yield proxy
        server.shutdown()
        thread.join()


def _ask(source: Path | str, verb: str, path: str, headers: Any, body: bytes | None) -> tuple[int, Any, bytes]:
    if isinstance(source, Path):
        file = source / path.lstrip("/")
        if not file.is_file():
            return 404, {}, b""
        return 200, {"Content-Length": str(file.stat().st_size)}, file.read_bytes()
    kept = {name: value for name, value in headers.items() if name.lower() not in ("connection", "content-length")}
    kept.setdefault("Content-Type", "application/octet-stream")
    request = urllib.request.Request(source + path, data=body, headers=kept, method=verb)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
