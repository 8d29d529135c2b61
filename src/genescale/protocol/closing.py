"""Every close code of the stream, what it means, and the one thing that a client does about it.

Data, so that the server, both clients, the pages and the documents read the same table.
"""

from enum import StrEnum
from typing import Final

import msgspec


class Reaction(StrEnum):
    """What a client does when the connection ends."""

    NOTHING = "nothing"
    RESUME = "resume"  # connect again with back-off, then resume
    RESUME_LATER = "resume-later"  # the same after at least 5 s
    RESUME_AFTER_HINT = "resume-after-hint"  # after the time that `draining` named, else a random part of 5 s
    RESUME_ONCE = "resume-once"  # a second time within 60 s is a defect: stop and report
    SHRINK = "shrink"  # never send that frame again; split it or upload it; then connect
    REFRESH = "refresh"  # a new credential first; without one, log in
    STOP = "stop"  # show the reason; no automatic reconnect
    TAKE_BACK = "take-back"  # stop; offer to continue here
    ASK = "ask"  # the handshake or the network failed: GET /api/v1/session tells which


class Closing(msgspec.Struct, frozen=True):
    """One close code. `reason` is the fixed text that the server sends; it never quotes anybody."""

    code: int
    name: str
    reason: str
    reaction: Reaction


NORMAL: Final = Closing(1000, "normal", "", Reaction.NOTHING)
GOING_AWAY: Final = Closing(1001, "going_away", "", Reaction.RESUME)
NO_CLOSE_FRAME: Final = Closing(1006, "no_close_frame", "", Reaction.ASK)
TRANSPORT_LIMIT: Final = Closing(1009, "transport_limit", "frame over 1 MiB", Reaction.SHRINK)
RESTART: Final = Closing(1012, "restart", "the server restarts", Reaction.RESUME_AFTER_HINT)
BAD_FRAME: Final = Closing(4400, "bad_frame", "a frame that the protocol does not have", Reaction.RESUME_ONCE)
UNAUTHENTICATED: Final = Closing(4401, "unauthenticated", "no valid credential", Reaction.REFRESH)
FORBIDDEN: Final = Closing(4403, "forbidden", "not allowed", Reaction.STOP)
HELLO_TIMEOUT: Final = Closing(4408, "hello_timeout", "hello came too late", Reaction.RESUME)
TAKEN_OVER: Final = Closing(4409, "taken_over", "the session was opened elsewhere", Reaction.TAKE_BACK)
FRAME_TOO_LARGE: Final = Closing(4413, "frame_too_large", "frame over 256 KiB", Reaction.SHRINK)
TOO_MUCH: Final = Closing(4429, "too_much", "slow reader or too many messages", Reaction.RESUME_LATER)
DRAINING: Final = Closing(4503, "draining", "the server is stopping", Reaction.RESUME)

CLOSINGS: Final = {
    one.code: one
    for one in (
        NORMAL,
        GOING_AWAY,
        NO_CLOSE_FRAME,
        TRANSPORT_LIMIT,
        RESTART,
        BAD_FRAME,
        UNAUTHENTICATED,
        FORBIDDEN,
        HELLO_TIMEOUT,
        TAKEN_OVER,
        FRAME_TOO_LARGE,
        TOO_MUCH,
        DRAINING,
    )
}


def reaction_to(code: int) -> Reaction:
    """What a client does about any code, those of proxies and libraries included."""
    known = CLOSINGS.get(code)
    return known.reaction if known else Reaction.RESUME
