"""The port for objects: large immutable payloads outside the log, named by their content.

One adapter (`objects`) keeps the promises on a local folder, Azure Blob, S3 and in memory. One contract suite,
`tests/contracts/test_objects.py`, runs against them.

1. When `put` returns, the object survives a power cut. Nobody ever sees half of it.
2. The name is a hash of the content, so an object never changes and a second `put` of the same content is free.
3. What is read is checked first: a damaged object raises `ObjectDamaged` and not one of its bad bytes is handed out.
4. `collect` removes what nobody refers to, and nothing that was put, or put again, within the grace time.

What can go wrong, beyond `errors.DiskFull` and `errors.LogBroken`:

    Retryable ── ObjectsUnavailable   the service cannot be reached, or did not answer in time
    Permanent ── ObjectMissing        no object of this name; it was collected, or never put
              └─ ObjectDamaged        the bytes are not those that were put; names the object
    Fatal     ── ObjectsNotWritable   the folder, container or bucket refuses this user (a `CannotStart`)
"""

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import IO, Annotated, NamedTuple, Protocol, TypeAlias

import msgspec

from genescale.errors import CannotStart, Permanent, Retryable


class ObjectsUnavailable(Retryable):
    """The object store cannot be reached, or did not answer in time."""


class ObjectMissing(Permanent):
    """There is no object of this name."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class ObjectDamaged(Permanent):
    """The bytes of this object are not those that were put. Deleting it and putting the content again heals it."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class ObjectsNotWritable(CannotStart):
    """The folder, container or bucket refuses this user."""


NAME_PATTERN = r"^[0-9A-Za-z_-]{16,128}$"


class ObjectReference(msgspec.Struct, frozen=True, kw_only=True):
    """What travels in events and rows instead of the payload. Reading needs it: it says what the bytes must be."""

    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    size: Annotated[int, msgspec.Meta(ge=0)]  # bytes
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]  # of the bytes as they are stored
    content_type: str = "application/octet-stream"


class ObjectAge(NamedTuple):
    """One line of a listing."""

    name: str
    size: int
    modified_ms: int  # the wall time of the last put


class Collected(NamedTuple):
    """What `collect` did."""

    removed: int
    removed_bytes: int
    kept: int


class Hash(Protocol):
    """What `hashlib.sha256()` and `hmac.new(key, digestmod="sha256")` have in common."""

    def update(self, data: bytes, /) -> None:
        """Take more content."""
        ...

    def hexdigest(self) -> str:
        """The name."""
        ...


NewHash: TypeAlias = Callable[[], Hash]
Content: TypeAlias = bytes | IO[bytes] | Iterable[bytes]
"""Bytes, a file that is read from where it stands, or chunks as they arrive. The last two need bounded memory only."""


class Objects(Protocol):
    """An object store. Safe to use from several threads and several processes; every call may block its thread."""

    def put(
        self, content: Content, *, content_type: str = "application/octet-stream", name_hash: NewHash | None = None
    ) -> ObjectReference:
        """Store the content. `name_hash` makes the name (a hash under a project's key); default: SHA-256."""
        ...

    def get(self, reference: ObjectReference) -> bytes:
        """The whole content. For what fits into memory."""
        ...

    def stream(self, reference: ObjectReference) -> Iterator[bytes]:
        """The content in chunks of at most 1 MiB, each checked before it is handed out."""
        ...

    def get_range(self, reference: ObjectReference, start: int, length: int) -> bytes:
        """`length` bytes from `start` on, fewer at the end of the object. Checked, too."""
        ...

    def exists(self, name: str) -> bool:
        """Is there an object of this name?"""
        ...

    def delete(self, name: str) -> None:
        """Remove the object; nothing happens when there is none."""
        ...

    def list(self) -> Iterator[ObjectAge]:
        """Every object, in no order that anybody may rely on."""
        ...

    def collect(self, references_alive: Container[str], older_than_s: float) -> Collected:
        """Remove the objects whose name is not in `references_alive` and that are older than the grace time.

        Find out what is alive first, then call: whatever is put meanwhile is younger than the grace time.
        """
        ...


class Blobs(Protocol):
    """What an adapter for one kind of storage has to do. Names here are paths; the bytes are not looked at."""

    def staging(self) -> AbstractContextManager[IO[bytes]]:
        """A file to write the content to, before its name is known. It vanishes unless it is published."""
        ...

    def publish(self, staged: IO[bytes], path: str, size: int, content_type: str) -> None:
        """Make the staged content the blob at `path`, as a whole, durably. One that is there is replaced."""
        ...

    def read(self, path: str, start: int, length: int) -> bytes:
        """Bytes of a blob, fewer at its end. `ObjectMissing` when there is none."""
        ...

    def head(self, path: str) -> tuple[int, int] | None:
        """Size and the wall time, in ms, at which it was published or refreshed; None when there is no such blob."""
        ...

    def refresh(self, path: str, young_since_ms: int) -> bool:
        """True when the blob is there, durable and younger than that, or was made so. False: publish it again."""
        ...

    def delete_if_older(self, path: str, modified_before_ms: int) -> bool:
        """Remove the blob if it is still as old as that; False when it is not, or was gone."""
        ...

    def list(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """Path, size and age (as `head`) of the blobs below a prefix."""
        ...

    def sweep(self, modified_before_ms: int) -> None:
        """Remove staged files that old: their writer is dead."""
        ...
