"""What can go wrong, as one tree that every room shares.

    GenescaleError
    ├── Retryable            try again after `after_s`; nothing was lost
    │   ├── DiskFull         the log takes no new work until space returns; reading goes on
    │   └── LogUnavailable   the log cannot be reached or did not answer in time
    ├── Permanent            trying again is useless; the event gets a failure as its answer
    │   ├── InvalidEvent     an event that breaks its envelope or its schema
    │   ├── UnknownTopic     nobody created this topic
    │   ├── TooLarge         a record above the limit of its topic: send it by reference
    │   └── InvalidInput     what a person sent cannot be read or is not true; `place` says where
    │       ├── ReferenceMismatch   a stated base is not the base of the reference
    │       ├── UnknownName         no such contig, transcript, gene, rsID or bundle
    │       └── OutsideReference    true perhaps, but the bundle holds no sequence there
    ├── Fenced               somebody else owns the partition now; drop what is in hand and poll again
    └── Fatal                this process must stop; a new one recovers from disk
        ├── LogDamaged       damage that must not be skipped; names the file and the place
        ├── LogBroken        an fsync failed: memory and disk may differ, so nothing here can be trusted
        ├── BundleDamaged    a reference bundle whose files are not what its list says; build it again
        ├── Unsupported      data or a library of a version that this program must not touch
        └── CannotStart      this machine, a setting or a missing part stands in the way; exit status 2

The consume loop knows `Retryable`, `Permanent` and `Fenced`; everything else ends the process, loudly.
Messages are written for the person who reads them at night: what, where, and the way out.
"""


class GenescaleError(Exception):
    """The root: catching it catches everything that Genescale raises on purpose."""


class Retryable(GenescaleError):
    """A temporary failure. `after_s` is the earliest useful retry, None when the caller's back-off decides."""

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class DiskFull(Retryable):
    """No space left where the log lives."""


class LogUnavailable(Retryable):
    """The log cannot be reached, or did not answer in time."""


class Permanent(GenescaleError):
    """A failure that a retry cannot mend."""


class InvalidEvent(Permanent):
    """An event that breaks its envelope or its schema."""


class UnknownTopic(Permanent):
    """A topic that nobody created."""


class TooLarge(Permanent):
    """A record above the limit of its topic."""


class InvalidInput(Permanent):
    """Something a person or program sent that cannot be read or is not true.

    `code` is a short stable name for programs (`ref_mismatch`); `place` says where, for people ("line 12, column REF").
    """

    def __init__(self, message: str, *, code: str = "invalid_input", place: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.code = code
        self.place = place


class ReferenceMismatch(InvalidInput):
    """A stated base is not the base of the reference. Both are attributes, and both stand in the message."""

    def __init__(self, message: str, *, stated: str, reference: str, place: str = "") -> None:
        super().__init__(message, code="ref_mismatch", place=place)
        self.stated = stated
        self.reference = reference


class UnknownName(InvalidInput):
    """A contig, transcript, gene, rsID or bundle that is not there; the message lists what is."""

    def __init__(self, message: str, *, code: str = "unknown_name", place: str = "") -> None:
        super().__init__(message, code=code, place=place)


class OutsideReference(InvalidInput):
    """A place for which the bundle holds no sequence. Nothing is guessed about it."""

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(message, code="outside_reference", place=place)


class Fenced(GenescaleError):
    """The partition, or the right to write for it, belongs to somebody else now."""


class Fatal(GenescaleError):
    """This process must stop; a new one recovers from what is on disk."""


class LogDamaged(Fatal):
    """Damage in the middle of the log. `path` and `place` say where; `genescale events salvage` is the way out."""

    def __init__(self, message: str, *, path: str, place: str) -> None:
        super().__init__(message)
        self.path = path
        self.place = place


class LogBroken(Fatal):
    """The disk refused to confirm a write."""


class BundleDamaged(Fatal):
    """A reference bundle whose files differ from its own list. Nothing is answered from it; build or fetch it again."""


class Unsupported(Fatal):
    """Data or a library whose version this program must not touch."""


class CannotStart(Fatal):
    """Something must be changed before this can run: a port, a directory, a setting, a missing part."""
