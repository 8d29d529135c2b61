"""What happens to a `ServerSession`, and what it asks for: the words between the pure machine and the gateway.

The gateway turns sockets, storage and decisions into events, and carries out the actions in the order given.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from genescale.protocol.closing import Closing
from genescale.protocol.frames import Accepted, AcceptedBatch, AnalysisState, Hello, Rejected, Submit, SubmitBatch


class _Step(msgspec.Struct, frozen=True, gc=False):
    pass


# --- events ---------------------------------------------------------------------------------------------------------


class Opened(_Step, frozen=True):
    """The socket is accepted: Origin and handshake were right. `legacy`: no subprotocol, already authenticated."""

    legacy: bool = False


class Arrived(_Step, frozen=True):
    """A WebSocket message. Bytes mean a binary message, which the protocol does not have."""

    data: str | bytes


class SessionOpened(_Step, frozen=True, kw_only=True):
    """`hello` succeeded. `last_seq`, `unfinished` and `snapshot` were read in one transaction.

    `position`: the seq after which to send; the client's own when `resumed`, else `last_seq`. `unfinished`: how many
    analyses of each cid have no final frame yet. `expires_ms`: wall time at which the credential ends.
    """

    session: str
    epoch: str
    resumed: bool
    position: int
    last_seq: int
    resume_token: str
    unfinished: Mapping[str, int] = {}
    snapshot: tuple[AnalysisState, ...] = ()
    live: Mapping[str, Any] = {}
    expires_ms: int | None = None


class HelloRefused(_Step, frozen=True):
    """`hello` failed: UNAUTHENTICATED, FORBIDDEN, TOO_MUCH or DRAINING."""

    closing: Closing


class SubmitAnswered(_Step, frozen=True):
    """The answer to one `Admit`. `unfinished`: how many of its analyses had no final frame when it was made."""

    reply: Accepted | AcceptedBatch | Rejected
    unfinished: int = 0


class Replied(_Step, frozen=True):
    """Any other reply for the client, such as a refused `cancel`."""

    reply: Rejected


class FollowAnswered(_Step, frozen=True):
    """The answer to one `Follow`; `refusal` is for the person when it was refused."""

    topic: str
    refusal: str | None = None


class CredentialRenewed(_Step, frozen=True):
    """The answer to `Reauthenticate` when the token is good and belongs to the same subject."""

    expires_ms: int | None


class CredentialRefused(_Step, frozen=True):
    """The credential is no longer good: UNAUTHENTICATED (expired, bad) or FORBIDDEN (revoked, other subject)."""

    closing: Closing


class Available(_Step, frozen=True):
    """The session index now ends at `last_seq`."""

    last_seq: int


class Final(_Step, frozen=True):
    """One must-deliver frame, encoded."""

    seq: int
    cid: str
    text: str


class Fetched(_Step, frozen=True):
    """The answer to one `Fetch`: in order, without a gap; empty when nothing can be read yet."""

    finals: tuple[Final, ...]


class Written(_Step, frozen=True):
    """The socket took `count` more of the texts that were sent."""

    count: int = 1


class Live(_Step, frozen=True):
    """The newest value of `key` on a live `topic`, encoded. Older ones that wait are replaced."""

    topic: str
    key: str
    ver: int
    text: str


class Tick(_Step, frozen=True):
    """Time passed: call at `wake_at_s` or a little later."""


class TakenOver(_Step, frozen=True):
    """A newer connection has the session."""


class Drain(_Step, frozen=True):
    """The gateway stops. `reconnect_after_ms` is drawn by the caller, from a seed, uniformly over the jitter window."""

    reconnect_after_ms: int


class DrainDeadline(_Step, frozen=True):
    """No more waiting for slow readers."""


class Lost(_Step, frozen=True):
    """The socket is gone."""


Event: TypeAlias = (
    Opened
    | Arrived
    | SessionOpened
    | HelloRefused
    | SubmitAnswered
    | Replied
    | FollowAnswered
    | CredentialRenewed
    | CredentialRefused
    | Available
    | Fetched
    | Written
    | Live
    | Tick
    | TakenOver
    | Drain
    | DrainDeadline
    | Lost
)


# --- actions --------------------------------------------------------------------------------------------------------


class Send(_Step, frozen=True):
    """Write this text after those before it, and report it with `Written`."""

    text: str


class Close(_Step, frozen=True):
    """Close the socket, without waiting for texts that are not written yet. Nothing follows."""

    closing: Closing


class Authenticate(_Step, frozen=True):
    """Check the credential and the resume token: `SessionOpened` or `HelloRefused`."""

    hello: Hello
    legacy: bool


class Reauthenticate(_Step, frozen=True):
    """Check a new credential: `CredentialRenewed` or `CredentialRefused`."""

    token: str


class Admit(_Step, frozen=True):
    """Validate, authorise, append: exactly one `SubmitAnswered`, after the commit."""

    frame: Submit | SubmitBatch


class CancelAnalysis(_Step, frozen=True):
    """Stop an analysis; its final frame comes like any other. An unknown cid: `Replied`."""

    cid: str


class StoreAck(_Step, frozen=True):
    """The client holds everything up to `seq`; at most one a second."""

    seq: int


class Fetch(_Step, frozen=True):
    """Read at most `limit` must-deliver frames after `after`: exactly one `Fetched`."""

    after: int
    limit: int


class Follow(_Step, frozen=True):
    """Authorise and begin a live topic: one `FollowAnswered`."""

    topic: str


class Unfollow(_Step, frozen=True):
    """End a live topic."""

    topic: str


class Count(_Step, frozen=True):
    """Add one to a counter of this name."""

    name: str


class Audit(_Step, frozen=True):
    """Something that the audit trail wants: connect, refuse, resume, cancel, throttle..."""

    name: str


Action: TypeAlias = (
    Send
    | Close
    | Authenticate
    | Reauthenticate
    | Admit
    | CancelAnalysis
    | StoreAck
    | Fetch
    | Follow
    | Unfollow
    | Count
    | Audit
)
