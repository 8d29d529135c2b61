"""The stream as a channel of the AsyncAPI 3.0 document: made from the frame types and the table of close codes.

The events' own document comes from `events.schema`; this adds one channel to it, so there is one document and one way
to make it. What travels as raw JSON in a frame is described by the event data that it is.
"""

from typing import Any, Final

import msgspec
from msgspec import Raw

from genescale.events import schema
from genescale.events.analysis_data import AnalysisRequest, AnalysisResult
from genescale.protocol import frames
from genescale.protocol.closing import CLOSINGS
from genescale.protocol.frames import ClientFrame, ServerFrame, tag_of
from genescale.protocol.rest import ANALYSES_PATH

STREAM_PATH: Final = "/api/v1/stream"

_TIME: Final = "2026-11-21T10:00:00.000Z"
_ID: Final = "8f8a0a5e-4a0e-5f3c-9b1a-2f6f3b0d9c11"
_REQUEST: Final = Raw(b'{"variants":["NM_000059.4:c.68-7T>A"]}')
_PREFIX: Final = "Stream"  # an event type may have the name of a frame

# One of each, valid; a test decodes them all.
CLIENT_EXAMPLES: Final[tuple[ClientFrame, ...]] = (
    frames.Hello(resume=frames.Resume(session=_ID, epoch="1", last_seq=41, token="<resume token>")),  # noqa: S106
    frames.Submit(cid="a-1", project="research", data=_REQUEST),
    frames.SubmitBatch(cid="b-1", project="research", generate=frames.Generate(count=1_000, size=1_000, seed=7)),
    frames.Cancel(cid="a-1"),
    frames.Ack(seq=42),
    frames.Subscribe(topic="metrics"),
    frames.Unsubscribe(topic="metrics"),
    frames.Ping(t=1),
    frames.Pong(t=1),
    frames.Auth(token="<new token>"),  # noqa: S106
    frames.BigDataProcessing(sequences=["ACGT", "TTGA"], timestamp=_TIME),
)
SERVER_EXAMPLES: Final[tuple[ServerFrame, ...]] = (
    frames.Welcome(
        session=_ID,
        epoch="1",
        resumed=True,
        replay_from=42,
        next_seq=45,
        resume_token="<resume token>",  # noqa: S106
        heartbeat_ms=20_000,
        max_inflight=64,
        limits={"frame_bytes": frames.FRAME_BYTES_MAX},
        server={"id": "gateway-0", "version": "0.1.0"},
        server_time=_TIME,
    ),
    frames.Snapshot(
        part=0,
        parts=1,
        analyses=[frames.AnalysisState(cid="a-1", analysis_id=_ID, state="success")],
        next_seq=45,
    ),
    frames.Accepted(cid="a-1", analysis_id=_ID, ref="genetic-data-raw/3/17", duplicate=False),
    frames.AcceptedBatch(cid="b-1", batch_id=_ID, count=1_000, ref="genetic-bigdata-raw/3/17", duplicate=False),
    frames.Rejected(cid="a-1", code="cid_conflict", message="this cid has other content", retryable=False),
    frames.Result(
        seq=42,
        ref="genetic-data-annotated/3/9",
        cid="a-1",
        analysis_id=_ID,
        revision=1,
        data=Raw(b'{"status":"success"}'),
    ),
    frames.Failed(
        seq=43,
        ref="genetic-data-annotated/3/10",
        cid="a-2",
        analysis_id=_ID,
        code="REF_MISMATCH",
        message="variant 1: the stated base is not that of the reference",
        retryable=False,
    ),
    frames.Progress(key=f"analysis:{_ID}", ver=3, data={"stage": "annotate", "done": 10, "total": 20}),
    frames.Metrics(key="metrics", ver=3, data=Raw(b"{}"), at=_TIME),
    frames.Scaling(key="scaling", ver=3, data=Raw(b"{}"), at=_TIME),
    frames.Cost(key="cost", ver=3, data=Raw(b"{}"), at=_TIME),
    frames.Operations(key="operations", ver=3, data=Raw(b"{}"), at=_TIME),
    frames.Throttle(retry_ms=20, scope="rate", cid="a-1"),
    frames.ServerPing(t=1, server_time=_TIME),
    frames.ServerPong(t=1, server_time=_TIME),
    frames.AuthExpiring(expires_at=_TIME),
    frames.Draining(reconnect_after_ms=1_234),
)
# Fields that are passed on as they came, and what they hold.
_RAW_FIELDS: Final = {
    ("Submit", "data"): AnalysisRequest,
    ("SubmitBatch", "items"): AnalysisRequest,
    ("Result", "data"): AnalysisResult,
}


def document(version: str) -> dict[str, Any]:
    """The whole AsyncAPI document: the event topics and the stream."""
    whole = schema.asyncapi(version)
    stream = _stream()
    whole["channels"]["stream"] = stream["channel"]
    whole["operations"] |= stream["operations"]
    whole["components"]["messages"] |= stream["messages"]
    whole["components"]["schemas"] = dict(sorted((whole["components"]["schemas"] | stream["schemas"]).items()))
    return whole


def _stream() -> dict[str, Any]:
    sides = (("receive", "client", CLIENT_EXAMPLES), ("send", "server", SERVER_EXAMPLES))
    names = {side: [f"{side}.{tag_of(type(one))}" for one in examples] for _, side, examples in sides}
    return {
        "channel": {
            "address": STREAM_PATH,
            "title": frames.SUBPROTOCOL,
            "description": f"One JSON object per text frame, subprotocol {frames.SUBPROTOCOL}. "
            f"Larger requests and answers go over {ANALYSES_PATH}.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for side in names.values() for name in side},
            "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            "x-close-codes": [
                {"code": one.code, "name": one.name, "reason": one.reason, "reaction": one.reaction.value}
                for one in CLOSINGS.values()
            ],
        },
        "operations": {
            f"{action}.stream": {
                "action": action,
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in names[side]],
            }
            for action, side, _ in sides
        },
        "messages": {
            f"{side}.{tag_of(type(one))}": _message(side, one) for _, side, examples in sides for one in examples
        },
        "schemas": _schemas(),
    }


def _message(side: str, example: msgspec.Struct) -> dict[str, Any]:
    kind = type(example)
    return {
        "name": f"{side}.{tag_of(kind)}",
        "title": tag_of(kind),
        "summary": (kind.__doc__ or "").strip(),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{_PREFIX}{kind.__name__}"},
        "examples": [{"name": "example", "payload": msgspec.json.decode(frames.encode(example))}],
    }


def _schemas() -> dict[str, Any]:
    kinds = [*ClientFrame.__args__, *ServerFrame.__args__]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=f"#/components/schemas/{_PREFIX}{{name}}")
    for (kind, name), data in _RAW_FIELDS.items():
        field = schemas[kind]["properties"][name]
        field.get("items", field).update({"$ref": f"#/components/schemas/{data.__name__}"})
    return {_PREFIX + name: one for name, one in schemas.items()}
