import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from genescale.client import rest


class Door(HTTPServer):
    """Answers each request with the next of `answers`, and remembers what was asked."""

    answers: list[tuple[int, Any]]
    asked: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Door

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def door() -> Iterator[Door]:
    server = Door(("127.0.0.1", 0), Handler)
    server.answers, server.asked = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_cid_is_looked_up_where_it_was_asked_and_until_there_is_an_answer(
    door: Door, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rest, "_AGAIN_S", 0.01)
    one = {"analysis_id": "i", "cid": "a", "state": "success", "project": "p", "result_url": "/r"}
    door.answers = [(503, {}), (200, {"analyses": [one]}), (404, {})]
    url = f"ws://127.0.0.1:{door.server_port}/api/v1/stream"

    found = asyncio.run(rest.refetch(url, "token", [("a", "p"), ("b", None)]))

    assert [(state.cid, state.state, state.result_url) for state in found] == [("a", "success", "/r")]
    assert door.asked[1:] == [
        ("/api/v1/analyses?cid=a&project=p", "Bearer token"),
        ("/api/v1/analyses?cid=b", "Bearer token"),
    ]


def test_the_secure_stream_has_a_secure_door():
    assert rest.http_url("wss://host:8443/api/v1/stream", "/x", {}) == "https://host:8443/x"
