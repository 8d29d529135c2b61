"""The frames of `genescale.v1`: one JSON object each, told apart by `type`.

The server reads with `decode_client`, which refuses what the protocol does not have and says with which close code. A
client reads with `decode_server`, which ignores what it does not know: newer servers may say more. `docs/reference`
has the protocol in words, the AsyncAPI document has it for programs, and both are made from these structs.
"""

import json
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from genescale.protocol.closing import BAD_FRAME, FRAME_TOO_LARGE, Closing

SUBPROTOCOL: Final = "genescale.v1"
FRAME_BYTES_MAX: Final = 262_144
HELLO_BYTES_MAX: Final = 16_384
DEPTH_MAX: Final = 32

Mode: TypeAlias = Literal["normal", "big-data", "node-scale", "kafka-lag"]
Cid: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="The client's idempotency key")]
Project: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Number: TypeAlias = Annotated[int, Meta(ge=0)]


class _Client(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A frame that a client sends. Unknown fields are ignored, unknown types are refused."""


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Where a client stopped. The token proves that the session is its own."""

    session: str
    epoch: str
    last_seq: Number
    token: str


class Hello(_Client, frozen=True, kw_only=True, tag="hello"):
    """The first frame, within five seconds."""

    v: Literal[1] = 1
    token: str | None = None
    resume: Resume | None = None
    caps: list[str] = []


class Submit(_Client, frozen=True, kw_only=True, tag="submit"):
    """Ask for one analysis. `data` is checked later, against the schema of `genetic.analysis.request`."""

    cid: Cid
    mode: Mode = "normal"
    project: Project | None = None
    priority: Annotated[int, Meta(ge=1, le=10)] = 5
    data: Raw


class Generate(msgspec.Struct, frozen=True, kw_only=True):
    """A burst that the workers make from a seed."""

    count: Annotated[int, Meta(ge=1, le=10_000)]
    size: Annotated[int, Meta(ge=1, le=1_000_000)]
    seed: Number


class SubmitBatch(_Client, frozen=True, kw_only=True, tag="submit_batch"):
    """Ask for many analyses under one key; item i has the effective cid `cid#i`."""

    cid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,56}$")]  # room for `#9999`
    mode: Mode = "big-data"
    project: Project | None = None
    priority: Annotated[int, Meta(ge=1, le=10)] = 5
    items: list[Raw] = []
    generate: Generate | None = None


class Cancel(_Client, frozen=True, kw_only=True, tag="cancel"):
    """Stop an analysis that has not finished. It still gets exactly one final frame."""

    cid: str


class Ack(_Client, frozen=True, kw_only=True, tag="ack"):
    """All must-deliver frames up to `seq` are safe at the client."""

    seq: Number


class Subscribe(_Client, frozen=True, kw_only=True, tag="subscribe"):
    """Ask for a live topic: metrics, scaling, cost, operations, or `analysis:<id>`."""

    topic: Annotated[str, Meta(max_length=128)]


class Unsubscribe(_Client, frozen=True, kw_only=True, tag="unsubscribe"):
    """No more of a live topic."""

    topic: Annotated[str, Meta(max_length=128)]


class Ping(_Client, frozen=True, kw_only=True, tag="ping"):
    """Is anybody there? `t` comes back in the answer."""

    t: int = 0


class Pong(_Client, frozen=True, kw_only=True, tag="pong"):
    """The answer to the server's ping."""

    t: int = 0


class Auth(_Client, frozen=True, kw_only=True, tag="auth"):
    """A new credential on a living connection."""

    token: str


class BigDataProcessing(_Client, frozen=True, kw_only=True, tag="BIG_DATA_PROCESSING"):
    """The burst message of the first plan: a `submit_batch` whose key is made from its content."""

    sequences: list[str]
    timestamp: str


ClientFrame: TypeAlias = (
    Hello | Submit | SubmitBatch | Cancel | Ack | Subscribe | Unsubscribe | Ping | Pong | Auth | BigDataProcessing
)


class _Server(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """A frame that the server sends. Clients ignore types and fields that they do not know."""


class Welcome(_Server, frozen=True, kw_only=True, tag="welcome"):
    """The session is open. `resumed` promises that nothing between `replay_from` and `next_seq` is missing."""

    session: str
    epoch: str
    resumed: bool
    replay_from: Number
    next_seq: Number
    resume_token: str
    heartbeat_ms: Number
    max_inflight: Number
    limits: dict[str, int]
    server: dict[str, str]
    server_time: str


class AnalysisState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One analysis as a snapshot knows it."""

    cid: str
    analysis_id: str
    state: str
    result_url: str | None = None


class Snapshot(_Server, frozen=True, kw_only=True, tag="snapshot"):
    """The state of a session whose missed frames are no longer kept, in parts that fit a frame."""

    part: Number
    parts: Number
    analyses: list[AnalysisState] = []
    live: dict[str, Any] = {}
    next_seq: Number


class Accepted(_Server, frozen=True, kw_only=True, tag="accepted"):
    """The request is on disk. `duplicate`: it was there before."""

    cid: str
    analysis_id: str
    ref: str
    duplicate: bool


class AcceptedBatch(_Server, frozen=True, kw_only=True, tag="accepted_batch"):
    """All items are on disk."""

    cid: str
    batch_id: str
    count: Number
    ref: str
    duplicate: bool


class Rejected(_Server, frozen=True, kw_only=True, tag="rejected"):
    """Nothing was taken in. `code` is for programs, `message` for people."""

    cid: str
    code: str
    message: str
    retryable: bool
    retry_ms: int | None = None


class Result(_Server, frozen=True, kw_only=True, tag="result"):
    """The answer: must be delivered, so it has a number. Large ones come as `result_url`."""

    seq: Number
    ref: str
    cid: str
    analysis_id: str
    revision: Number
    data: Raw | UnsetType = UNSET
    result_url: str | None = None


class Failed(_Server, frozen=True, kw_only=True, tag="error"):
    """The analysis itself failed or was cancelled: an answer too, with a number."""

    seq: Number
    ref: str
    cid: str
    analysis_id: str
    code: str
    message: str
    retryable: bool


class Progress(_Server, frozen=True, kw_only=True, tag="progress"):
    """The newest state of one analysis; older ones may have been left out."""

    key: str
    ver: Number
    data: dict[str, Any]


class _Live(_Server, frozen=True, kw_only=True):
    key: str
    ver: Number
    data: Raw | UnsetType = UNSET
    at: str


class Metrics(_Live, frozen=True, kw_only=True, tag="metrics"):
    """The newest figures of the platform."""


class Scaling(_Live, frozen=True, kw_only=True, tag="scaling"):
    """The newest decision about replicas and nodes."""


class Cost(_Live, frozen=True, kw_only=True, tag="cost"):
    """The newest prices."""


class Operations(_Live, frozen=True, kw_only=True, tag="operations"):
    """The newest state of health and healing."""


class Throttle(_Server, frozen=True, kw_only=True, tag="throttle"):
    """Wait: the frame was not taken. `cid` says which one, when it had one."""

    retry_ms: Number
    scope: str
    cid: str | None = None


class ServerPing(_Server, frozen=True, kw_only=True, tag="ping"):
    """Every heartbeat."""

    t: int
    server_time: str


class ServerPong(_Server, frozen=True, kw_only=True, tag="pong"):
    """The answer to a client's ping."""

    t: int
    server_time: str


class AuthExpiring(_Server, frozen=True, kw_only=True, tag="auth_expiring"):
    """Send `auth` before this time."""

    expires_at: str


class Draining(_Server, frozen=True, kw_only=True, tag="draining"):
    """This server stops soon; connect again after this time."""

    reconnect_after_ms: Number


ServerFrame: TypeAlias = (
    Welcome
    | Snapshot
    | Accepted
    | AcceptedBatch
    | Rejected
    | Result
    | Failed
    | Progress
    | Metrics
    | Scaling
    | Cost
    | Operations
    | Throttle
    | ServerPing
    | ServerPong
    | AuthExpiring
    | Draining
)


class Fault(msgspec.Struct, frozen=True):
    """A frame that ends the connection. `why` is for the server's own metrics; it quotes nothing."""

    closing: Closing
    why: str


_CLIENT = msgspec.json.Decoder(ClientFrame)
_SERVER = msgspec.json.Decoder(ServerFrame)
_TAG = msgspec.json.Decoder(dict[str, Raw])
_ENCODER = msgspec.json.Encoder()


def encode(frame: msgspec.Struct) -> str:
    """A frame as the text that travels."""
    return _ENCODER.encode(frame).decode()


def decode_client(text: str | bytes, *, bytes_max: int = FRAME_BYTES_MAX) -> ClientFrame | Fault:
    """What a client sent, or why its connection ends. Never raises, whatever the bytes are."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > bytes_max:
        return Fault(FRAME_TOO_LARGE, "too large")
    if _too_deep(data):
        return Fault(BAD_FRAME, "nested too deep")
    try:
        _check_strict(data)
        return _CLIENT.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors too
        return Fault(BAD_FRAME, type(error).__name__)


def is_strict_json(data: bytes) -> bool:
    """Whether this is JSON as the gateway takes it: no key twice in an object, no NaN, not nested too deep."""
    if _too_deep(data):
        return False
    try:
        _check_strict(data)
    except (ValueError, RecursionError):
        return False
    return True


def decode_server(text: str | bytes) -> ServerFrame | None:
    """What the server sent; None for a type that this client does not know yet."""
    try:
        return _SERVER.decode(text)
    except msgspec.ValidationError:
        tag = msgspec.json.decode(_TAG.decode(text).get("type", b"null"))
        if isinstance(tag, str) and tag in SERVER_TYPES:
            raise
        return None


def tag_of(frame: type[msgspec.Struct]) -> str:
    """The `type` that this frame has on the wire."""
    tag = frame.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


CLIENT_TYPES: Final = frozenset(tag_of(frame) for frame in ClientFrame.__args__)
SERVER_TYPES: Final = frozenset(tag_of(frame) for frame in ServerFrame.__args__)


def _too_deep(data: bytes) -> bool:
    """Whether brackets nest deeper than allowed, those in strings included: cheap, and never too generous."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for letter in data.translate(None, _NO_BRACKETS):
        depth += 1 if letter in b"[{" else -1
        if depth > DEPTH_MAX:
            return True
    return False


_NO_BRACKETS: Final = bytes(letter for letter in range(256) if letter not in b"[]{}")


def _check_strict(data: bytes) -> None:
    json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
