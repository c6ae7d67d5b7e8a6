import http.server
import threading
from functools import partial

import pytest


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files and fixed answers, notes requests, and can cut a file short."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path in server.answers:
            self._send(200, server.answers[self.path])
            return
        file = server.files.get(self.path)
        if file is None:
            self._send(404, b"no")
            return
        start = 0
        span = self.headers.get("Range")
        same = self.headers.get("If-Range", server.tag) == server.tag
        if span and server.ranges and same:
            start = int(span.removeprefix("bytes=").rstrip("-"))
            if start >= len(file):
                self._send(416, b"")
                return
        cut = server.cuts.pop(self.path, None)
        body = file[start:] if cut is None else file[start : start + cut]
        tag = {} if server.tag is None else {"ETag": server.tag}
        extra = {"Content-Range": f"bytes {start}-{len(file) - 1}/{len(file)}"} if start else {}
        self._send(206 if start else 200, body, len(file) - start, {**extra, **tag})

    def _send(self, status, body, length=None, headers=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)
        if length is not None and length > len(body):
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A web server on this machine: `files` by path, `cuts` cut a file short once."""
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler))
    made.files, made.answers, made.cuts, made.requests, made.ranges = {}, {}, {}, [], True
    made.tag = None
    made.url = f"http://127.0.0.1:{made.server_address[1]}"
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)
