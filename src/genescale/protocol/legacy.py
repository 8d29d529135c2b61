"""The messages of the original plan, turned into frames of this protocol. Nothing is guessed beyond what it documents.

`BIG_DATA_PROCESSING` is valid everywhere. The other two, a raw sequence and `{mode, sequence, ...}`, only at the alias
doors `/ws` and `/genetics`, for clients that offer no subprotocol.
"""

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from genescale.protocol.closing import BAD_FRAME
from genescale.protocol.frames import (
    FRAME_BYTES_MAX,
    BigDataProcessing,
    ClientFrame,
    Fault,
    Mode,
    Submit,
    SubmitBatch,
    decode_client,
    is_strict_json,
)

_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MODES: Final[dict[str, Mode]] = {
    "normal": "normal",
    "big-data": "big-data",
    "bigdata": "big-data",
    "node-scale": "node-scale",
    "kafka-lag": "kafka-lag",
}


class SeedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`{mode, sequence, ...}`. `size` and `resourceProfile` decide nothing; `sessionId` was never a credential."""

    mode: str = "normal"
    sequence: Annotated[str, Meta(min_length=1)]
    timestamp: str = ""
    session_id: str | None = msgspec.field(name="sessionId", default=None)


_SEED: Final = msgspec.json.Decoder(SeedMessage)


def as_batch(message: BigDataProcessing) -> SubmitBatch:
    """The burst as a batch. The same message again has the same cid; a new `timestamp` makes a new burst."""
    return SubmitBatch(
        cid="bdp-" + _hash(message.timestamp, message.sequences),
        mode="big-data",
        items=[_data(sequence) for sequence in message.sequences],
    )


def decode_legacy(text: str) -> ClientFrame | Fault:
    """What a client without a subprotocol sent: a frame, a seed's message, or a raw sequence."""
    data = text.encode("utf-8", "surrogatepass")
    if data and len(data) <= FRAME_BYTES_MAX and not b"".join(data.split()).translate(None, _LETTERS):
        return _submit("normal", "".join(text.split()), "")
    frame = decode_client(data)
    if isinstance(frame, Fault) and frame.closing is BAD_FRAME and is_strict_json(data):
        return _seed_message(data)
    return frame


def _seed_message(data: bytes) -> Submit | Fault:
    try:
        message = _SEED.decode(data)
    except (ValueError, RecursionError) as error:
        return Fault(BAD_FRAME, type(error).__name__)
    mode = _MODES.get(message.mode)
    if mode is None:
        return Fault(BAD_FRAME, "unknown mode")
    return _submit(mode, message.sequence, message.timestamp)


def _submit(mode: Mode, sequence: str, timestamp: str) -> Submit | Fault:
    if not sequence:
        return Fault(BAD_FRAME, "empty")
    return Submit(cid="one-" + _hash(timestamp, [mode, sequence]), mode=mode, data=_data(sequence))


def _data(sequence: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"sequence": sequence}))


def _hash(timestamp: str, lines: list[str]) -> str:
    text = timestamp + "\n" + "\n".join(lines)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
