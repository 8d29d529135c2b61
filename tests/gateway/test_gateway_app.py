"""The gateway's HTTP door, asked as an ASGI server asks it."""

import asyncio
import gzip
import json
import threading

import pytest

from genescale.clock import ManualClock
from genescale.errors import LogUnavailable
from genescale.events.envelope import Event, to_record
from genescale.events.log import TopicPartition, TopicSpec, append_now
from genescale.events.memory import MemoryLog
from genescale.gateway import platform
from genescale.gateway.app import Gateway
from genescale.gateway.pages import load_pages
from genescale.gateway.platform import LogPlace, PlatformAnswer, Remembered, RoleState, Unavailable
from genescale.observability.probe import State

ANSWER = PlatformAnswer(
    version="0.1.0",
    started_at="2026-01-01T00:00:00.000Z",
    now="2026-01-01T00:00:01.000Z",
    log=LogPlace("memory", "here"),
    roles=[RoleState(name="gateway", state="running", pid=1, restarts=0, since="2026-01-01T00:00:00.000Z")],
    topics=[],
    groups=[],
    unavailable=[Unavailable("cost", "arrives with the biller")],
)


class Reply:
    def __init__(self, messages):
        start, body = messages
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = body["body"]

    def json(self):
        return json.loads(self.body)


class Door:
    def __init__(self, static, collect=lambda: ANSWER, ready=lambda: State(ok=True)):
        self.clock = ManualClock()
        self.app = Gateway(pages=load_pages(static), platform=Remembered(collect, self.clock), ready=ready)

    async def ask(self, path, method="GET", **headers):
        messages = []

        async def send(message):
            messages.append(message)

        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await self.app({"type": "http", "method": method, "path": path, "headers": raw}, None, send)
        return Reply(messages)

    def get(self, path, method="GET", **headers):
        return asyncio.run(self.ask(path, method, **headers))


@pytest.fixture
def static(tmp_path):
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Genescale</title>" + " " * 2000)
    (folder / "assets" / "index-abc123.js").write_text("console.log(1)")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / ".build-stamp").write_text("secret")
    return folder


@pytest.fixture
def door(static):
    return Door(static)


def test_the_index_is_never_stored_and_hashed_assets_for_ever(door):
    for path in ("/", "/index.html"):
        reply = door.get(path)
        assert (reply.status, reply.headers["cache-control"]) == (200, "no-store")
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
    script = door.get("/assets/index-abc123.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert door.get("/favicon.svg").headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize("path", ["/", "/health", "/nowhere", "/api/v1/platform", "/metrics"])
def test_every_answer_carries_the_protective_headers(door, path):
    headers = door.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/../genescale-data.json",
        "/assets/../../x",
        "//etc/passwd",
        "/.build-stamp",
        "/assets",
        "/health/",
        "",
    ],
)
def test_an_unknown_path_is_a_problem_document(door, path):
    reply = door.get(path)
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == 404
    assert "passwd" not in reply.body.decode(), "what a client sent is not sent back"


def test_other_methods_are_refused_with_the_allowed_ones(door):
    reply = door.get("/", method="POST")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert reply.headers["content-type"] == "application/problem+json"


def test_head_has_the_headers_and_no_body(door):
    reply = door.get("/", method="HEAD")
    assert reply.body == b""
    assert int(reply.headers["content-length"]) > 2000


@pytest.mark.parametrize(
    ("offer", "shrunk"),
    [
        ("gzip, br", True),
        ("GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
        ("br", False),
        ("", False),
    ],
)
def test_gzip_for_whoever_takes_it(door, offer, shrunk):
    reply = door.get("/", accept_encoding=offer)
    assert reply.headers["vary"] == "accept-encoding"
    assert ("content-encoding" in reply.headers) == shrunk
    text = gzip.decompress(reply.body) if shrunk else reply.body
    assert text.startswith(b"<!doctype html>")
    assert int(reply.headers["content-length"]) == len(reply.body)


def test_without_a_built_portal_the_page_says_how_to_build_it(tmp_path):
    reply = Door(tmp_path / "nothing").get("/")
    assert reply.status == 503
    assert "uv sync" in reply.body.decode()


@pytest.mark.parametrize("path", ["/health", "/q/health", "/q/health/live"])
def test_health(door, path):
    assert door.get(path).json() == {"status": "alive"}


@pytest.mark.parametrize("path", ["/ready", "/q/health/ready"])
def test_readiness_says_why_not(static, path):
    assert Door(static).get(path).status == 200
    reply = Door(static, ready=lambda: State(ok=False, reasons=("it is stopping",))).get(path)
    assert (reply.status, reply.json()["reasons"]) == (503, ["it is stopping"])


def test_a_readiness_check_that_fails_is_a_no(static):
    def ready():
        raise LogUnavailable("the log does not answer")

    assert Door(static, ready=ready).get("/ready").status == 503


@pytest.mark.parametrize("path", ["/metrics", "/q/metrics"])
def test_metrics(door, path):
    assert b"genescale_build_info" in door.get(path).body


def test_the_state_of_the_platform_has_exactly_the_agreed_shape(door):
    reply = door.get("/api/v1/platform")
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json()) == ["version", "started_at", "now", "log", "roles", "topics", "groups", "unavailable"]
    assert reply.json()["unavailable"] == [{"panel": "cost", "reason": "arrives with the biller"}]


def test_topics_and_groups_come_from_the_log():
    log = MemoryLog(ManualClock())
    log.create_topics([TopicSpec(name="b", partitions=2), TopicSpec(name="a", partitions=1, power_safe=False)])
    append_now(log, [to_record(Event(id=str(n), source="/t", type="t"), "b", partition=n % 2) for n in range(5)])
    log.set_positions("g", {TopicPartition("b", 0): 1})
    a, b = platform.topic_states(log)
    assert (a.name, a.partitions, a.records, a.power_safe) == ("a", 1, 0, False)
    assert (b.name, b.partitions, b.records, b.power_safe) == ("b", 2, 5, True)
    (group,) = platform.group_states(log)
    assert (group.name, group.members) == ("g", 0)
    assert group.lag == sum(lag.lag for lag in log.lag("g"))


def test_many_tabs_cost_one_collection_per_half_second(static):
    calls = []

    def collect():
        calls.append(threading.current_thread())
        return ANSWER

    door = Door(static, collect)

    async def storm():
        await asyncio.gather(*(door.ask("/api/v1/platform") for _ in range(50)))
        assert len(calls) == 1
        assert calls[0] is not threading.main_thread()
        door.clock.advance(0.49)
        await door.ask("/api/v1/platform")
        assert len(calls) == 1
        door.clock.advance(0.02)
        await door.ask("/api/v1/platform")
        assert len(calls) == 2

    asyncio.run(storm())


def test_a_log_that_does_not_answer_is_a_503_and_asked_again(static):
    answers = [LogUnavailable("no broker answers"), ANSWER]

    def collect():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    door = Door(static, collect)
    first = door.get("/api/v1/platform")
    assert (first.status, first.json()["detail"], first.headers["retry-after"]) == (503, "no broker answers", "1")
    assert door.get("/api/v1/platform").status == 200


def test_a_defect_is_a_500_without_its_inner_life(static):
    def collect():
        raise RuntimeError("ACGTACGTACGTACGT")

    reply = Door(static, collect).get("/api/v1/platform")
    assert reply.status == 500
    assert "ACGT" not in reply.body.decode()


def test_a_socket_is_refused_for_now(door):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(door.app({"type": "websocket", "path": "/ws"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_lifespan(door):
    incoming, sent = ["lifespan.startup", "lifespan.shutdown"], []

    async def receive():
        return {"type": incoming.pop(0)}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(door.app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
