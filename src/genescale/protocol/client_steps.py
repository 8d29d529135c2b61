"""What happens to a `Conversation`, and what it asks for: the words between the pure client and whoever drives it."""

from typing import TypeAlias

import msgspec

from genescale.protocol.closing import Reaction
from genescale.protocol.frames import AnalysisState, Failed, Result, ServerFrame, Submit, SubmitBatch


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What a client keeps between its own lives: enough to resume."""

    session: str
    epoch: str
    last_seq: int
    resume_token: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The one visible answer of a cid. From a snapshot it has no frame and no seq: fetch it with the analysis id."""

    session: str
    epoch: str
    cid: str
    analysis_id: str
    seq: int | None
    frame: Result | Failed | None
    state: str = ""
    result_url: str | None = None


# --- events ---------------------------------------------------------------------------------------------------------


class Asked(msgspec.Struct, frozen=True):
    """The application wants an analysis or a batch. The cid must be new, or the frame the same as before."""

    frame: Submit | SubmitBatch


class Restored(msgspec.Struct, frozen=True):
    """What an earlier life of this client left unanswered: it may have been sent.

    `answered`: what the application holds already and might see again: items of unfinished batches (`cid#i`), and
    whatever was answered without a frame, since its frame may still come.
    """

    frames: tuple[Submit | SubmitBatch, ...]
    answered: tuple[str, ...] = ()


class Cancelled(msgspec.Struct, frozen=True):
    """The application wants an analysis to stop."""

    cid: str


class Watched(msgspec.Struct, frozen=True):
    """The application wants a live topic, or no longer."""

    topic: str
    wanted: bool = True


class Connected(msgspec.Struct, frozen=True):
    """The socket is open."""


class Received(msgspec.Struct, frozen=True):
    """A text message came."""

    text: str


class Disconnected(msgspec.Struct, frozen=True):
    """The socket is gone, or could not be opened: 1006."""

    code: int


class Applied(msgspec.Struct, frozen=True):
    """The application holds this answer and all that were delivered before it."""

    answer: Answer


class SessionAsked(msgspec.Struct, frozen=True):
    """What GET /api/v1/session said; None when nobody answered."""

    status: int | None


class Refreshed(msgspec.Struct, frozen=True):
    """A new credential; None when there is none and a person must log in."""

    token: str | None


class Refetched(msgspec.Struct, frozen=True):
    """What REST knows of the cids that were asked for; those it does not know are sent again."""

    found: tuple[AnalysisState, ...]


class TakeBack(msgspec.Struct, frozen=True):
    """The person wants to continue here after the session was opened elsewhere."""


class Finish(msgspec.Struct, frozen=True):
    """The application has had enough."""


class Tick(msgspec.Struct, frozen=True):
    """Time passed: call at `wake_at_s` or a little later."""


Event: TypeAlias = (
    Asked
    | Restored
    | Cancelled
    | Watched
    | Connected
    | Received
    | Disconnected
    | Applied
    | SessionAsked
    | Refreshed
    | Refetched
    | TakeBack
    | Finish
    | Tick
)

# --- actions --------------------------------------------------------------------------------------------------------


class Connect(msgspec.Struct, frozen=True):
    """Open a socket: `Connected` or `Disconnected(1006)`."""


class SendText(msgspec.Struct, frozen=True):
    """Send this message."""

    text: str


class Disconnect(msgspec.Struct, frozen=True):
    """Close the socket with this code. The machine has drawn its conclusions already; no `Disconnected` is needed."""

    code: int


class Deliver(msgspec.Struct, frozen=True):
    """Show this answer, then say `Applied`."""

    answer: Answer


class Tell(msgspec.Struct, frozen=True):
    """Something the application may show: accepted, rejected, progress, live values, a snapshot's live part."""

    frame: ServerFrame


class Keep(msgspec.Struct, frozen=True):
    """Store the position, replacing the last; None: forget it."""

    position: Position | None


class AskSession(msgspec.Struct, frozen=True):
    """GET /api/v1/session: `SessionAsked`."""


class RefreshCredential(msgspec.Struct, frozen=True):
    """Get a new credential: `Refreshed`."""


class Refetch(msgspec.Struct, frozen=True):
    """GET /api/v1/analyses?cid=... for these: `Refetched`."""

    cids: tuple[str, ...]


class Stop(msgspec.Struct, frozen=True):
    """No more connections: why, for a person; `reaction` says what to offer."""

    reason: str
    reaction: Reaction


Action: TypeAlias = (
    Connect | SendText | Disconnect | Deliver | Tell | Keep | AskSession | RefreshCredential | Refetch | Stop
)
