"""The tables of the gateway: what was asked for, which sessions there are, and what each of them was told.

Every gateway of a platform reads and writes the same ones. None holds what a person sent: `payload` is a keyed digest,
results are named by where they lie in the log.
"""

from typing import Final

from genescale.store.tables import Column, Table

ANALYSES: Final = Table(
    name="analyses",
    columns=(
        Column("analysis_id", "text"),  # made from session and cid, so this row is also the memory of the cid
        Column("project", "text"),
        Column("subject", "text"),  # who asked
        Column("session", "text"),  # empty: asked for over REST
        Column("cid", "text"),
        Column("payload", "text"),  # another one under the same cid is a conflict
        Column("mode", "text"),
        Column("priority", "integer"),
        Column("created_ms", "integer"),
        Column("appended", "text"),  # the row of SUBMISSIONS that proves that the request is on the log
        Column("state", "text"),  # queued, then the status of the newest answer
        Column("revision", "integer", default=0),  # of the newest answer; 0: none yet
        Column("result_ref", "text", nullable=True),
        Column("finished_ms", "integer", nullable=True),
        Column("cancel_ms", "integer", nullable=True),  # when somebody asked to stop it
    ),
    primary_key=("analysis_id",),
    indexes=(("project", "created_ms"), ("session", "cid"), ("cid",)),
)
SUBMISSIONS: Final = Table(
    name="submissions",
    columns=(
        Column("appended", "text"),
        Column("refs", "json"),  # analysis id -> where its request lies in the log
        Column("at_ms", "integer"),
    ),
    primary_key=("appended",),
    indexes=(("at_ms",),),
)
"""One row for each group commit that reached the log: a fiftieth of the price of a row for each request."""

SESSIONS: Final = Table(
    name="sessions",
    columns=(
        Column("session", "text"),
        Column("subject", "text"),
        Column("project", "text"),
        Column("last_seq", "integer", default=0),
        Column("acked_seq", "integer", default=0),
        Column("active_ms", "integer"),
        Column("holder", "text"),  # the one connection that delivers; the newest wins
    ),
    primary_key=("session",),
    indexes=(("active_ms",),),
)
SESSION_FRAMES: Final = Table(
    name="session_frames",
    columns=(
        Column("session", "text"),
        Column("seq", "integer"),
        Column("ref", "text"),
        Column("cid", "text"),
        Column("analysis_id", "text"),
        Column("revision", "integer"),
        Column("at_ms", "integer"),
    ),
    primary_key=("session", "seq"),
    unique=(("session", "analysis_id", "revision"),),
    indexes=(("at_ms",),),
)
TAIL_POSITIONS: Final = Table(
    name="tail_positions",
    columns=(
        Column("projection", "text"),
        Column("epoch", "text"),  # of the log's numbering: a log that was made anew has another one
        Column("positions", "json"),  # `topic/partition` -> the next offset to project
    ),
    primary_key=("projection",),
)
UPLOADS: Final = Table(
    name="uploads",
    columns=(
        Column("upload_id", "text"),
        Column("project", "text"),
        Column("subject", "text"),
        Column("object_name", "text"),
        Column("media_type", "text"),
        Column("checksum", "text"),
        Column("sealed", "text", nullable=True),
        Column("size_bytes", "integer", default=0),
        Column("state", "text"),  # open, complete
        Column("expires_ms", "integer"),
    ),
    primary_key=("upload_id",),
    indexes=(("expires_ms",), ("project",)),
)

GATEWAY_TABLES: Final = (ANALYSES, SUBMISSIONS, SESSIONS, SESSION_FRAMES, TAIL_POSITIONS, UPLOADS)
