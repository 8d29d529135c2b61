"""What may be set for the log of one machine."""

import msgspec


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be set; `config` documents each field for users."""

    session_timeout_s: float = 6.0  # a paused owner is replaced after this long
    heartbeat_s: float = 1.0  # a third of the session or less, so that one late beat costs nothing
    poll_interval_max_s: float = 300.0  # an owner that handles one batch longer than this is taken for stuck
    checkpoint_bytes: int = 16 * 1024 * 1024  # how large a write-ahead log grows before it is folded in
    queue_records_max: int = 50_000  # records waiting for the disk, per process; above it `append` waits too
    answer_timeout_s: float = 60.0  # how long a caller waits for the writer before it says so
