"""`/api/v1/analyses` as an ASGI server asks it: refusals first, then the way of one analysis."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from genescale.errors import LogUnavailable
from genescale.gateway.app import Gateway
from genescale.gateway.rest import Rest
from genescale.gateway.submitting import GroupCommit
from genescale.observability.probe import State
from genescale.protocol.rest import ANALYSES_PATH as PATH
from support.gateway_rooms import ANALYST, CLINICIAN, STRANGER, VIEWER

PEOPLE = {b"ana": ANALYST, b"cli": CLINICIAN, b"eve": STRANGER, b"vic": VIEWER}
BODY = b'{"data":{"variants":["rs1"]}}'


class Door:
    def __init__(self, rooms, **options):
        self.rooms, self.side = rooms, rooms.side()
        self.executor = ThreadPoolExecutor(2)
        self.rest = Rest(
            admission=rooms.admission,
            commit=GroupCommit(self.side.submitting, self.executor),
            results=self.side.results,
            authenticate=lambda headers: PEOPLE.get(dict(headers).get(b"authorization", b"")),
            executor=self.executor,
            **options,
        )
        self.app = Gateway(pages={}, platform=None, ready=lambda: State(ok=True), rest=self.rest)

    async def ask(self, method, path="", body=b"", who="ana", query="", chunks=None, **headers):
        messages = []
        parts = list(chunks if chunks is not None else [body])

        async def send(message):
            messages.append(message)

        async def receive():
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        given = {"content_type": "application/json", "authorization": who, **headers}
        raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
        scope = {"type": "http", "method": method, "path": PATH + path, "headers": raw, "query_string": query.encode()}
        await self.app(scope, receive, send)
        start, end = messages
        return start["status"], dict(start["headers"]), end["body"]

    def __call__(self, method, path="", body=b"", **options):
        status, headers, content = asyncio.run(self.ask(method, path, body, **options))
        self.headers = {name.decode(): value.decode() for name, value in headers.items()}
        return status, json.loads(content) if content else None

    def submit(self, body=BODY, **options):
        status, told = self("POST", "", body, **options)
        assert status == 202, told
        return told


@pytest.fixture
def door(rooms):
    door = Door(rooms)
    yield door
    door.executor.shutdown()


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("GET", ""), ("GET", "/x"), ("DELETE", "/x")])
def test_nobody_gets_anywhere(door, method, path):
    status, problem = door(method, path, BODY, who="nobody")
    assert (status, problem["code"]) == (401, "UNAUTHENTICATED")
    assert door.headers["www-authenticate"] == "Bearer"
    assert door.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "INVALID_REQUEST"),
        (b"\xff\xfe", 400, "INVALID_REQUEST"),
        (b'{"data":' + b"[" * 10_000, 400, "INVALID_REQUEST"),
        (b'{"data":{"sequence":"A"},"data":{"sequence":"C"}}', 400, "INVALID_REQUEST"),
        (b'{"data":{"sequence":"A"},"mode":"other"}', 400, "INVALID_REQUEST"),
        (b'{"data":{"sequence":"A"},"priority":11}', 400, "INVALID_REQUEST"),
        (b'{"data":{"sequence":"AXQ"}}', 422, "INVALID_SEQUENCE"),
        (b'{"data":{"sequence":"A"},"mode":"big-data","priority":9}', 422, "INVALID_PRIORITY"),
        (b'{"data":{"sequence":"A"},"project":"p2"}', 404, "UNKNOWN_PROJECT"),
        (b'{"data":{"sequence":"' + b"A" * 1_200_000 + b'"}}', 413, "TOO_LARGE"),
    ],
)
def test_a_bad_body_is_refused_with_its_code(door, body, status, code):
    found, problem = door("POST", "", body)
    assert (found, problem["code"], problem["status"]) == (status, code, status)
    assert door.rooms.on_topic("genetic-data-raw") == []


def test_a_body_that_claims_too_much_or_never_ends_is_refused_before_it_is_read(door):
    assert door("POST", "", BODY, content_length="99999999999")[0] == 413
    assert door("POST", chunks=[b"x" * 500_000] * 9)[0] == 413
    assert door("POST", chunks=[])[0] == 400
    assert door("POST", "", BODY, content_type="text/plain")[0] == 415
    assert door("POST", "", BODY, idempotency_key="white space")[0] == 400


def test_roles_count(door):
    assert door("POST", "", BODY, who="vic")[0] == 403
    assert door("POST", "", b'{"data":{"variants":["rs1"]},"project":"p1"}', who="eve")[0] == 404


def test_a_repeat_with_the_same_key_is_the_same_analysis_and_another_body_a_conflict(door):
    first = door.submit(idempotency_key="k1")
    assert door.headers["location"] == f"{PATH}/{first['analysis_id']}"
    again = door.submit(idempotency_key="k1")
    assert (again["analysis_id"], again["duplicate"], first["duplicate"]) == (first["analysis_id"], True, False)
    status, problem = door("POST", "", b'{"data":{"variants":["rs2"]}}', idempotency_key="k1")
    assert (status, problem["code"]) == (409, "CID_CONFLICT")
    other = door.submit(idempotency_key="k1", who="cli")  # keys belong to who uses them
    assert other["analysis_id"] != first["analysis_id"]
    assert len(door.rooms.on_topic("genetic-data-raw")) == 2


def test_the_trace_of_a_request_goes_with_it_when_it_can_be_read(door):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    door.submit(traceparent=trace)
    door.submit(traceparent="what\x01ever")
    assert [event.extensions.get("traceparent") for event in door.rooms.on_topic("genetic-data-raw")].count(trace) == 1


def test_without_a_key_one_is_made_and_told(door):
    first = door.submit()
    assert door.submit()["analysis_id"] != first["analysis_id"]
    assert door.submit(idempotency_key=first["idempotency_key"])["analysis_id"] == first["analysis_id"]


def test_one_analysis_from_asking_to_its_answer(door):
    identity = door.submit()["analysis_id"]
    status, shown = door("GET", f"/{identity}")
    assert (status, shown["state"], "result_url" in shown) == (200, "queued", False)
    status, problem = door("GET", f"/{identity}/result", who="cli")
    assert (status, problem["code"]) == (409, "NOT_FINISHED")
    assert door.headers["retry-after"] == "1"
    door.rooms.answer(identity, summary={"variants": 1})
    door.side.deliver()
    shown = door("GET", f"/{identity}")[1]
    assert (shown["state"], shown["revision"]) == ("success", 1)
    status, data = door("GET", f"/{identity}/result", who="cli")
    assert (status, data["summary"]) == (200, {"variants": 1})
    assert door.headers["cache-control"] == "no-store"
    assert door("GET", f"/{identity}/result", who="ana")[0] == 403
    assert door("HEAD", f"/{identity}")[1] is None


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_foreign_id_and_an_invented_one_are_the_same(door, method):
    identity = door.submit()["analysis_id"]
    foreign = door(method, f"/{identity}", who="eve")
    assert foreign == door(method, "/00000000-0000-5000-8000-000000000000", who="eve")
    assert foreign[0] == 404
    assert door("GET", f"/{identity}/result", who="eve")[0] == 404
    for path in ("/..", "/" + "x" * 5_000, f"/{identity}/other", f"/{identity}/result/x", "//"):
        assert door("GET", path)[0] == 404


def test_cancel_twice_and_too_late(door):
    identity = door.submit()["analysis_id"]
    assert door("DELETE", f"/{identity}", who="vic")[0] == 403
    for _ in range(2):
        status, shown = door("DELETE", f"/{identity}")
        assert status == 202
        assert shown["state"] == "cancelling"
    door.side.deliver()
    assert door("GET", f"/{identity}")[1]["state"] == "cancelled"
    status, problem = door("DELETE", f"/{identity}")
    assert (status, problem["code"]) == (409, "ALREADY_FINISHED")
    assert door("PUT", f"/{identity}")[0] == 405


def test_pages_neither_overlap_nor_skip(door):
    ids = []
    for number in range(7):
        ids.append(door.submit(idempotency_key=f"k{number}")["analysis_id"])
        door.rooms.clock.advance(0.001 * (number % 2))
    seen, after = [], ""
    while True:
        status, page = door("GET", query=f"limit=3&after={after}")
        assert status == 200
        seen += [one["analysis_id"] for one in page["analyses"]]
        after = page.get("next", "")
        if not after:
            break
    assert sorted(seen) == sorted(ids)
    found = door("GET", query="cid=k3&cid=nothing&cid=k5")[1]["analyses"]
    assert [one["cid"] for one in found] == ["k3", "k5"]
    assert door("GET", query="cid=k3", who="cli")[1]["analyses"] == []  # cids belong to who used them
    assert door("GET", query="state=success")[1]["analyses"] == []
    assert door("GET", query="project=p1", who="eve")[0] == 404
    for query in (
        "limit=0",
        "limit=x",
        "limit=501",
        "limit=99999999999999",
        "after=x",
        "after=1.",
        "state=%00",
        "cid=" + "x" * 200,
        "x" * 9_000,
    ):
        assert door("GET", query=query)[0] in (400, 422), query


def test_when_the_log_is_away_the_client_hears_when_to_repeat(door, monkeypatch):
    def refuse(records, fence=None):
        raise LogUnavailable("away", after_s=3)

    monkeypatch.setattr(door.rooms.log, "append", refuse)
    status, problem = door("POST", "", BODY, idempotency_key="k1")
    assert (status, problem["code"], door.headers["retry-after"]) == (503, "UNAVAILABLE", "3")
    monkeypatch.undo()
    assert door.submit(idempotency_key="k1")["duplicate"]


def test_a_defect_is_answered_with_a_problem_and_says_nothing(door, monkeypatch):
    monkeypatch.setattr(door.side.results, "find", lambda *_: 1 / 0)
    status, problem = door("GET", "/00000000-0000-5000-8000-000000000000")
    assert (status, problem["code"]) == (500, "INTERNAL")
    assert "division" not in problem["detail"]
