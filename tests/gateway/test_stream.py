"""The stream over a real server, with a real worker: what must not work first, then one analysis and its resume."""

import contextlib
import http.client
import json
import socket
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from genescale.gateway.socket import StreamSettings
from genescale.protocol.server import Limits
from support.whole_gateway import PAGE, Client, Platform

DEADLINE_S = 20.0


@pytest.fixture
def platform(tmp_path):
    platform = Platform(tmp_path)
    yield platform
    platform.close()


def refused(gateway, *arguments, **options):
    with pytest.raises(InvalidStatus) as caught:
        gateway.connect(*arguments, **options)
    return caught.value.response.status_code


def close_code(client):
    """Read until the end; the code that the server gave."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.socket.recv(DEADLINE_S)
    return client.socket.close_code


def request(gateway, method, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE_S)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()


def test_the_handshake_is_refused_before_the_upgrade(platform):
    gateway, token = platform.gateway(), platform.token()
    assert refused(gateway) == 403  # neither an origin nor a bearer header
    assert refused(gateway, token, origin="https://evil.example") == 403
    assert refused(gateway, "no-such-token") == 401
    assert refused(gateway, token, subprotocols=()) == 400
    assert refused(gateway, token, subprotocols=("other.v1",)) == 400
    assert refused(gateway, token, path="/elsewhere") == 403
    cookie = f"genescale_session={token}"
    assert refused(gateway, origin=PAGE, cookie=cookie) == 401  # a cookie without a ticket
    assert refused(gateway, origin="https://evil.example", cookie=cookie) == 403
    assert refused(gateway, origin=PAGE, path="/ws", subprotocols=()) == 401


def test_a_browser_signs_in_once_and_opens_one_stream_with_each_ticket(platform):
    gateway = platform.gateway()
    link = platform.users.link(platform.owner).reveal()
    status, headers, _ = request(gateway, "GET", f"/login?token={link}")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert request(gateway, "GET", f"/login?token={link}")[0] == 401  # it worked once
    cookie = headers["set-cookie"].partition(";")[0]
    assert request(gateway, "GET", "/api/v1/session")[0] == 401
    assert json.loads(request(gateway, "GET", "/api/v1/session", Cookie=cookie)[2])["name"] == "owner"
    assert request(gateway, "POST", "/api/v1/ws-ticket", Cookie=cookie)[0] == 403  # no page asks
    assert request(gateway, "POST", "/api/v1/ws-ticket", Cookie=cookie, Origin="https://evil.example")[0] == 401
    reply = json.loads(request(gateway, "POST", "/api/v1/ws-ticket", Cookie=cookie, Origin=PAGE)[2])
    offer = ("genescale.v1", "ticket." + reply["ticket"])
    with gateway.connect(origin=PAGE, cookie=cookie, subprotocols=offer) as opened:
        assert opened.subprotocol == "genescale.v1"
        assert Client(opened).hello()["resumed"] is False
    assert refused(gateway, origin=PAGE, cookie=cookie, subprotocols=offer) == 401  # replayed
    assert request(gateway, "DELETE", "/api/v1/session", Cookie=cookie)[0] == 200
    assert request(gateway, "GET", "/api/v1/session", Cookie=cookie)[0] == 401


def test_a_token_in_hello_opens_a_stream_of_our_page_and_a_bad_one_does_not(platform):
    gateway, token = platform.gateway(), platform.token()
    with gateway.connect(origin=PAGE) as opened:
        Client(opened).send(type="hello", v=1, token=token)
        assert Client(opened).next("welcome")
    for hello in ({"token": "bad"}, {}):
        with gateway.connect(origin=PAGE) as opened:
            Client(opened).send(type="hello", v=1, **hello)
            assert close_code(Client(opened)) == 4401
    assert gateway.stream.unauthenticated == 0


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("not json", 4400),
        (b"\x00binary", 4400),
        ('{"type":"submit","cid":"a","data":{}}', 4400),
        ('{"type":"unknown"}', 4400),
        ("[" * 10_000, 4400),
        ('{"type":"hello","v":1,"caps":["' + "x" * 20_000 + '"]}', 4413),
        ('{"type":"hello","v":1,"v":1}', 4400),
    ],
)
def test_any_first_message_ends_in_a_defined_code(platform, first, code):
    gateway = platform.gateway()
    with gateway.connect(platform.token()) as opened:
        opened.send(first)
        assert close_code(Client(opened)) == code


@pytest.mark.parametrize(
    ("later", "code"),
    [(b"\x01", 4400), ("x" * 300_000, 4413), ('{"type":"ack","seq":9}', 4400), ("y" * 1_200_000, 1009)],
)
def test_any_later_message_ends_in_a_defined_code(platform, later, code):
    gateway = platform.gateway()
    with gateway.connect(platform.token()) as opened:
        client = Client(opened)
        client.hello()
        with contextlib.suppress(ConnectionClosed):  # it may close while we still write
            opened.send(later)
        assert close_code(client) == code


def test_no_hello_in_time(platform):
    gateway = platform.gateway(limits=Limits(hello_s=0.2))
    with gateway.connect(platform.token()) as opened:
        assert close_code(Client(opened)) == 4408


def test_too_many_frames_are_throttled_and_then_ended(platform):
    gateway = platform.gateway(limits=Limits(frames_per_s=1.0, frames_burst=5.0, refusals_max=10))
    with gateway.connect(platform.token()) as opened:
        client = Client(opened)
        client.hello()
        with contextlib.suppress(ConnectionClosed):
            for number in range(40):
                client.send(type="ping", t=number)
        assert client.next("throttle")["scope"] == "rate"
        assert close_code(client) == 4429


def test_more_connections_than_a_subject_may_have(platform):
    gateway, token = platform.gateway(), platform.token()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            Client(stack.enter_context(gateway.connect(token))).hello()
        last = Client(stack.enter_context(gateway.connect(token)))
        last.send(type="hello", v=1)
        assert close_code(last) == 4429
    wait_until(lambda: not gateway.stream.holders.sessions())
    with gateway.connect(token) as opened:
        Client(opened).hello()


def test_what_is_wrong_with_a_request_is_said_and_nothing_is_quoted(platform):
    gateway = platform.gateway()
    with gateway.connect(platform.token()) as opened:
        client = Client(opened)
        client.hello()
        client.send(type="submit", cid="a", data={"sequence": "HELLO!"})
        answer = client.next("rejected")
        assert (answer["cid"], answer["code"]) == ("a", "invalid_sequence")
        assert "HELLO" not in json.dumps(answer)
        client.send(type="submit", cid="b", project="other", data={"variants": ["rs1"]})
        assert client.next("rejected")["code"] == "forbidden"
        client.send(type="cancel", cid="never")
        assert client.next("rejected")["code"] == "unknown_cid"
        client.send(type="subscribe", topic="metrics")
        assert "unavailable" in client.next("rejected")["message"]


def test_revoked_during_the_connection(platform):
    gateway = platform.gateway()
    with gateway.connect(platform.token()) as opened:
        client = Client(opened)
        client.hello()
        platform.users.revoke(platform.owner)
        assert close_code(client) == 4403


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_one_analysis_and_a_resume_at_another_gateway_that_gets_exactly_what_was_missed(platform):
    platform.worker()
    first, second, token = platform.gateway(), platform.gateway(), platform.token()
    with first.connect(token) as opened:
        client = Client(opened)
        welcome = client.hello()
        client.send(type="submit", cid="one", data={"variants": ["m.3243A>G"]})
        accepted = client.next("accepted")
        assert not accepted["duplicate"]
        assert accepted["ref"].startswith("genetic-data-raw/")
        result = client.next("result", "error")
        assert (result["type"], result["seq"], result["cid"]) == ("result", 1, "one")
        found = result["data"]["annotations"][0]
        assert found["consequences"][0]["gene"] == "MT-TL1"
        assert found["known"]["clinvar"]["significance"] == "Pathogenic"
        client.send(type="ack", seq=1)
        client.send(type="submit", cid="one", data={"variants": ["m.3243A>G"]})
        again = client.next("accepted")
        assert (again["duplicate"], again["analysis_id"]) == (True, accepted["analysis_id"])
        client.send(type="submit", cid="one", data={"variants": ["rs1"]})
        assert client.next("rejected")["code"] == "cid_conflict"
        client.send(type="submit", cid="two", data={"variants": ["m.8993T>G"]})
        client.next("accepted")  # and its answer is missed
    resume = {
        "session": welcome["session"],
        "epoch": welcome["epoch"],
        "last_seq": 1,
        "token": welcome["resume_token"],
    }
    with second.connect(token) as opened:
        client = Client(opened)
        back = client.hello(resume)
        assert (back["resumed"], back["replay_from"], back["session"]) == (True, 2, welcome["session"])
        missed = client.next("result", "error")
        assert (missed["seq"], missed["cid"]) == (2, "two")
        client.send(type="submit", cid="three", data={"variants": ["m.11778G>A"]})
        assert client.next("result", "error")["seq"] == 3
        with first.connect(token) as newest:  # the newest connection wins, also across gateways
            Client(newest).hello(resume | {"last_seq": 3})
            assert close_code(client) == 4409
    status, _, body = request(
        second, "GET", f"/api/v1/analyses/{accepted['analysis_id']}/result", Authorization=f"Bearer {token}"
    )
    assert status == 200
    assert b"MT-TL1" in body


def test_a_token_of_somebody_else_resumes_nothing(platform):
    gateway = platform.gateway()
    eve = platform.users.create("eve", roles={"default": ("analyst",)})
    with gateway.connect(platform.token()) as opened:
        welcome = Client(opened).hello()
    resume = {"session": welcome["session"], "epoch": welcome["epoch"], "last_seq": 0, "token": welcome["resume_token"]}
    with gateway.connect(platform.token(eve)) as opened:
        Client(opened).send(type="hello", v=1, resume=resume)
        assert close_code(Client(opened)) == 4403
    with gateway.connect(platform.token()) as opened:
        forged = Client(opened).hello(resume | {"token": resume["token"][:-4] + "AAAA"})
        assert forged["session"] != welcome["session"]


def test_a_batch_and_the_message_of_the_first_plan(platform):
    gateway, token = platform.gateway(), platform.token()
    with gateway.connect(token) as opened:
        client = Client(opened)
        client.hello()
        items = [{"variants": ["m.3243A>G"]}, {"variants": ["rs1"]}]
        client.send(type="submit_batch", cid="b", mode="normal", items=items)
        batch = client.next("accepted_batch", "rejected")
        assert (batch["count"], batch["duplicate"]) == (2, False)
        client.send(type="submit_batch", cid="b", mode="normal", items=items)
        assert client.next("accepted_batch")["duplicate"] is True
        client.send(type="BIG_DATA_PROCESSING", sequences=["ACGT", "GGCC"], timestamp="2026-11-21T10:00:00.000Z")
        assert client.next("accepted_batch")["count"] == 2
        client.send(type="submit_batch", cid="c", items=[{"sequence": "AC!"}, {"sequence": "ACGT"}])
        assert client.next("accepted_batch", "rejected")["count"] == 2
        bad = client.next("error")
        assert (bad["cid"], bad["code"]) == ("c#0", "INVALID_SEQUENCE")
        client.send(type="cancel", cid="b")
        assert [client.next("error")["code"] for _ in items] == ["CANCELLED", "CANCELLED"]


def test_the_alias_takes_a_raw_sequence_with_a_cookie(platform):
    gateway = platform.gateway()
    cookie = f"genescale_session={platform.token()}"
    with gateway.connect(origin=PAGE, cookie=cookie, path="/genetics", subprotocols=()) as opened:
        opened.send("ACGTACGT")
        assert Client(opened).next("welcome", "accepted")["type"] == "welcome"
        assert Client(opened).next("accepted", "rejected")["type"] == "accepted"


def test_a_client_that_stopped_reading_costs_bounded_memory_and_delays_nobody(platform):
    gateway = platform.gateway(
        limits=Limits(slow_s=1.0, frames_per_s=1e6, frames_burst=1e6),
        settings=StreamSettings(send_s=1.0, close_s=0.3),
    )
    token = platform.token()
    frozen = socket.create_connection(("127.0.0.1", gateway.port))
    with contextlib.closing(frozen), gateway.connect(token) as opened:
        frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        frozen.sendall(
            f"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: genescale.v1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        assert frozen.recv(4096).startswith(b"HTTP/1.1 101")
        frozen.sendall(masked(b'{"type":"hello","v":1}'))
        client = Client(opened)
        client.hello()
        wait_until(lambda: len(gateway.stream.holders.sessions()) == 2)
        frozen.settimeout(1.0)
        flood = masked(b'{"type":"ping","t":1}') * 1_000
        with contextlib.suppress(OSError):
            for _ in range(200):
                frozen.sendall(flood)
        client.send(type="ping", t=7)
        begun_s = time.monotonic()
        assert client.next("pong")["t"] == 7
        assert time.monotonic() - begun_s < 1.0
        wait_until(lambda: len(gateway.stream.holders.sessions()) == 1)
        ended_by = {"closed_outbox_full", "closed_slow_consumer", "not_written_TimeoutError"}
        assert ended_by & gateway.stream.counts.keys()


def masked(text):
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text  # a mask of zeros changes nothing


def test_draining_tells_everybody_takes_nothing_new_and_ends_with_1012(platform):
    gateway, token = platform.gateway(), platform.token()
    with gateway.connect(token) as opened:
        client = Client(opened)
        client.hello()
        drained = gateway.drain()
        assert 0 <= client.next("draining")["reconnect_after_ms"] <= 5_000
        assert close_code(client) == 1012
        drained.result(DEADLINE_S)
    with gateway.connect(token) as opened:
        assert close_code(Client(opened)) == 4503
