"""An exception as a record of what went wrong: the class, a message that quotes no input, where it happened.

The stack hash is equal for failures of the same kind and place, so that a hundred dead letters of one defect read as
one line. Locals are never looked at: they hold what people sent.
"""

import hashlib
import traceback

from genescale.errors import GenescaleError
from genescale.events.loop_data import Failure
from genescale.observability import redact

_FRAMES_MAX = 50
_MESSAGE_MAX = 2_000


def failure_of(error: BaseException) -> Failure:
    """What is kept and shown of an exception."""
    frames = [
        f"{frame.filename.rsplit('/', 1)[-1].removesuffix('.py')}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES_MAX:]
    ]
    places = "\n".join(frame.rsplit(":", 1)[0] for frame in frames)
    name = type(error).__name__
    # Our own messages are written to be shown. Anybody else's may quote the input, so it passes the redaction.
    message = str(error) if isinstance(error, GenescaleError) else redact.text(str(error))
    return Failure(
        error=name,
        message=redact.text(message)[:_MESSAGE_MAX],
        stack=frames,
        stack_hash=hashlib.sha256(f"{name}\n{places}".encode()).hexdigest()[:16],
    )


def crashed(times: int) -> Failure:
    """The record that ended the process again and again, so that nobody was left to raise an exception."""
    return Failure(error="Crashed", message=f"the process died {times} times while it handled this record")
