"""The small door: three answers, quick, whatever the checks inside do."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from genescale.clock import ManualClock
from genescale.observability.probe import Probe, State, answer


def no() -> State:
    return State(False, ("the log does not answer", "GATTACAGATTACAGATTACAGATTACA"))


def broken() -> State:
    raise RuntimeError("chr17:43044295:G>A")


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


@pytest.fixture
def probe() -> Iterator[Probe]:
    with Probe(ready=no) as probe:
        yield probe


def test_a_role_that_is_not_ready_says_why_and_shows_no_sequence() -> None:
    status, content_type, body = answer("/ready", ready=no)
    assert (status, content_type) == (503, "application/json")
    document = json.loads(body)
    assert document["status"] == "not ready"
    assert document["reasons"][0] == "the log does not answer"
    assert b"GATTACA" not in body


def test_a_check_that_fails_is_a_no_without_its_message() -> None:
    for path in ("/health", "/ready"):
        given = answer(path, health=broken, ready=broken)
        assert given is not None
        assert given.status == 503
        assert b"RuntimeError" in given.body
        assert b"chr17" not in given.body


def test_metrics_that_fail_are_an_error() -> None:
    given = answer("/metrics", metrics=lambda: bytes(1 // 0))
    assert given is not None
    assert given.status == 500


def test_other_paths_are_left_to_the_caller() -> None:
    assert answer("/") is None
    assert answer("/healthy") is None


def test_alive_and_ready_by_default() -> None:
    assert [answer(path).status for path in ("/health", "/ready?verbose", "/metrics")] == [200, 200, 200]


def test_the_door_answers_over_http(probe: Probe) -> None:
    assert get(probe.port, "/health")[:2] == (200, b'{"status":"alive"}')
    assert get(probe.port, "/ready")[0] == 503
    status, body, headers = get(probe.port, "/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE genescale_bus_lag gauge" in body
    assert get(probe.port, "/secrets")[0] == 404
    assert get(probe.port, "/health", "HEAD")[:2] == (200, b"")
    assert get(probe.port, "/health", "POST")[0] == 405
    assert "Server" not in headers


def test_it_listens_on_loopback_only(probe: Probe) -> None:
    assert probe._listener.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_an_error_at_once(probe: Probe) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        Probe(port=probe.port)


def test_the_port_is_free_after_close() -> None:
    first = Probe()
    assert get(first.port, "/health")[0] == 200
    first.close()
    first.close()
    with Probe(port=first.port) as second:
        assert get(second.port, "/health")[0] == 200


def test_close_is_quick_even_while_a_silent_client_hangs_on() -> None:
    probe = Probe()
    with socket.create_connection(("127.0.0.1", probe.port)):
        begun = time.monotonic()
        probe.close()
        assert time.monotonic() - begun < 1


def answering() -> int:
    """Threads that answer a client; one more has the probe's name and accepts."""
    return sum(thread.name == "probe" for thread in threading.enumerate()) - 1


def test_silent_clients_do_not_take_every_thread() -> None:
    clock = ManualClock()  # stands still: no client loses its patience, however busy the machine is
    with Probe(clock=clock) as probe, ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", probe.port))) for _ in range(40)]
        deadline = time.monotonic() + 30
        while answering() < 16 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answering() == 16
        for each in silent:
            each.close()
        while answering() > 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answering() == 0
        assert get(probe.port, "/health")[0] == 200


def test_a_client_that_asks_drop_by_drop_is_let_go() -> None:
    clock = ManualClock()
    with Probe(clock=clock) as probe, socket.create_connection(("127.0.0.1", probe.port)) as client:
        client.settimeout(0.05)
        client.sendall(b"GET /health")
        for _ in range(200):  # nobody can see when the probe has begun to read: each drop comes long after the last
            clock.advance(6)
            try:
                client.sendall(b"x")
                gone = client.recv(100) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                gone = True
            assert gone, "a question that never ended was answered"
            break
        else:
            pytest.fail("200 drops, 20 minutes, and still not let go")


@pytest.mark.parametrize(
    ("asked", "status"),
    [(b"GET /health\r\n\r\n", b"400"), (b"\x00\xff\r\n\r\n", b"400"), (b"GET /health HTTP/2\r\n\r\n", b"400")],
)
def test_what_is_not_http_is_refused(probe: Probe, asked: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", probe.port), timeout=5) as client:
        client.sendall(asked)
        assert client.recv(1000).split(b" ")[1] == status


def test_rubbish_does_not_close_the_door(probe: Probe) -> None:
    for rubbish in (b"\x00" * 100, b"GET /health\r\n\r\n", b"GET " + b"x" * 100_000, b""):
        with socket.create_connection(("127.0.0.1", probe.port)) as client:
            client.sendall(rubbish)
    assert get(probe.port, "/health")[0] == 200
