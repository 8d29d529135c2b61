"""What a program gets back from the client: an outcome per analysis, or a reason why there is none.

Permanent
├── Refused   the gateway took nothing in: the request is not valid, not allowed, or its cid has other content
└── Ended     the conversation is over and will not begin again by itself
"""

from typing import Any

import msgspec

from genescale.errors import Permanent
from genescale.protocol.client_steps import Answer
from genescale.protocol.closing import Reaction
from genescale.protocol.frames import Failed, Result


class Refused(Permanent):
    """The gateway took nothing in. `code` is for programs."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class Ended(Permanent):
    """No connection, and none will be tried. `reaction` says what would help: log in, take the session back."""

    def __init__(self, message: str, *, reaction: Reaction = Reaction.STOP) -> None:
        super().__init__(message)
        self.reaction = reaction


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer to one analysis. A failure is an answer too.

    `status` is that of the result (`success`, `partial`, `failed`, `cancelled`), or `unavailable` when the answer lies
    at `result_url` only. `data` is the result's data, None when it must be fetched from `result_url`.
    """

    cid: str
    analysis_id: str
    status: str
    data: dict[str, Any] | None = None
    result_url: str | None = None
    code: str | None = None
    message: str | None = None


def outcome_of(answer: Answer) -> Outcome:
    """An answer of the conversation, for people's programs."""
    frame = answer.frame
    if isinstance(frame, Failed):
        status = "cancelled" if frame.code.lower() == "cancelled" else "failed"
        return Outcome(
            cid=answer.cid,
            analysis_id=answer.analysis_id,
            status=status,
            code=frame.code,
            message=frame.message,
        )
    data = _data(frame)
    status = str(data.get("status", "success")) if data is not None else answer.state
    return Outcome(
        cid=answer.cid,
        analysis_id=answer.analysis_id,
        status=status if status != "done" else "unavailable",
        data=data,
        result_url=answer.result_url,
    )


def _data(frame: Result | None) -> dict[str, Any] | None:
    if frame is None or not isinstance(frame.data, msgspec.Raw):
        return None
    return msgspec.json.decode(frame.data, type=dict[str, Any])
