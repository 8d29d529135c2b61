"""Objects on a local folder, Azure Blob, S3, or in memory: one class, and one small adapter per kind of storage.

Layout, the same everywhere: `objects/ab/abcdef...` is the content, untouched, so that other tools can read it. A
large object has a second blob, `sums/ab/abcdef...`: a checksum per chunk, so that a part of it can be read and still
be checked. Small ones are read as a whole and need none: the reference has the checksum.
"""

import hashlib
import re
import tempfile
from collections.abc import Container, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import unquote, urlsplit

import msgspec
import obstore
from obstore import exceptions
from obstore.store import AzureStore, MemoryStore, S3Store

from genescale.clock import Clock
from genescale.store.folder import FolderBlobs, os_errors
from genescale.store.object_port import (
    NAME_PATTERN,
    Blobs,
    Collected,
    Content,
    NewHash,
    ObjectAge,
    ObjectDamaged,
    ObjectMissing,
    ObjectReference,
    Objects,
    ObjectsNotWritable,
    ObjectsUnavailable,
)

CHUNK_BYTES = 1_048_576
PART_BYTES = 8 * CHUNK_BYTES  # of a multi-part upload; with PARTS_AT_ONCE it bounds the memory of a large upload
PARTS_AT_ONCE = 4
GRACE_MIN_S = 3_600.0
FRESH_S = GRACE_MIN_S / 4  # an object younger than this needs no new life when it is put again

NAME = re.compile(NAME_PATTERN)


def open_objects(
    url: str, clock: Clock, *, name_hash: NewHash = hashlib.sha256, options: dict[str, Any] | None = None
) -> Objects:
    """Open the store at `file:///folder`, `azure://container` (or `az://`), `s3://bucket` or `memory://`.

    A cloud's account and keys come from `options`, else from the variables that its own tools use
    (`AZURE_STORAGE_ACCOUNT_NAME`, `AWS_ACCESS_KEY_ID`, ...). A path behind container or bucket is a prefix.
    """
    parts = urlsplit(url)
    settings = options or {}
    if parts.scheme == "file" and not parts.netloc and len(parts.path) > 1:
        blobs: Blobs = FolderBlobs(Path(unquote(parts.path)))
    elif parts.scheme == "memory":
        blobs = CloudBlobs(MemoryStore(), url)
    elif parts.scheme in ("azure", "az") and parts.netloc:
        blobs = CloudBlobs(AzureStore(parts.netloc, prefix=parts.path.strip("/") or None, **settings), url)
    elif parts.scheme == "s3" and parts.netloc:
        blobs = CloudBlobs(S3Store(parts.netloc, prefix=parts.path.strip("/") or None, **settings), url)
    else:
        raise ValueError(
            f"{url!r} names no object store: use file:///folder, azure://container, s3://bucket or memory://"
        )
    return CheckedObjects(blobs, clock, name_hash)


class Sums(msgspec.Struct, frozen=True):
    """The second blob of a large object."""

    sha256: str
    size: int
    chunk_bytes: int
    chunks: tuple[bytes, ...]  # 16 bytes of the SHA-256 of each chunk


class CheckedObjects:
    """`object_port.Objects` over any `Blobs`. Made by `open_objects`."""

    def __init__(self, blobs: Blobs, clock: Clock, name_hash: NewHash) -> None:
        self._blobs = blobs
        self._clock = clock
        self._name_hash = name_hash

    def put(
        self, content: Content, *, content_type: str = "application/octet-stream", name_hash: NewHash | None = None
    ) -> ObjectReference:
        """See `Objects`."""
        naming, whole = (name_hash or self._name_hash)(), hashlib.sha256()
        chunks: list[bytes] = []
        size = 0
        with self._blobs.staging() as staged:
            for chunk in _chunks(content):
                naming.update(chunk)
                whole.update(chunk)
                chunks.append(_chunk_sum(chunk))
                size += len(chunk)
                staged.write(chunk)
            reference = ObjectReference(
                name=_checked_name(naming.hexdigest()), size=size, sha256=whole.hexdigest(), content_type=content_type
            )
            if not self._is_there(_path(reference.name), size):
                if size > CHUNK_BYTES:
                    self._put_sums(reference, tuple(chunks))
                self._blobs.publish(staged, _path(reference.name), size, content_type)
        return reference

    def get(self, reference: ObjectReference) -> bytes:
        """See `Objects`."""
        content = self._blobs.read(_path(reference.name), 0, reference.size + 1)
        if len(content) != reference.size or hashlib.sha256(content).hexdigest() != reference.sha256:
            raise _damaged(reference, f"its {len(content)} bytes are not the {reference.size} that were put")
        return content

    def stream(self, reference: ObjectReference) -> Iterator[bytes]:
        """See `Objects`."""
        if reference.size <= CHUNK_BYTES:
            yield self.get(reference)
            return
        sums = self._sums(reference)
        for number in range(len(sums.chunks)):
            yield self._chunk(reference, sums, number)

    def get_range(self, reference: ObjectReference, start: int, length: int) -> bytes:
        """See `Objects`."""
        if start < 0 or length < 0:
            raise ValueError(f"a range cannot begin at {start} and have {length} bytes")
        end = min(start + length, reference.size)
        if start >= end:
            return b""
        if reference.size <= CHUNK_BYTES:
            return self.get(reference)[start:end]
        sums = self._sums(reference)
        first, last = start // CHUNK_BYTES, (end - 1) // CHUNK_BYTES
        content = b"".join(self._chunk(reference, sums, number) for number in range(first, last + 1))
        return content[start - first * CHUNK_BYTES : end - first * CHUNK_BYTES]

    def exists(self, name: str) -> bool:
        """See `Objects`."""
        return self._blobs.head(_path(name)) is not None

    def delete(self, name: str) -> None:
        """See `Objects`."""
        for path in (_path(name), _sums_path(name)):
            self._blobs.delete_if_older(path, 1 << 62)

    def list(self) -> Iterator[ObjectAge]:
        """See `Objects`."""
        for path, size, modified_ms in self._blobs.list("objects"):
            yield ObjectAge(path.rpartition("/")[2], size, modified_ms)

    def collect(self, references_alive: Container[str], older_than_s: float) -> Collected:
        """See `Objects`."""
        if older_than_s < GRACE_MIN_S:
            raise ValueError(f"a grace time of {older_than_s} s is too short: an upload may take {GRACE_MIN_S} s")
        before_ms = self._clock.wall_ms() - int(older_than_s * 1000)
        removed = removed_bytes = kept = 0
        for name, size, modified_ms in self.list():
            dead = name not in references_alive and modified_ms < before_ms
            if dead and self._blobs.delete_if_older(_path(name), before_ms):
                removed += 1
                removed_bytes += size
            else:
                kept += 1
        # Sums go by themselves, for their object may never have come: its writer was killed in between.
        for path, _, modified_ms in self._blobs.list("sums"):
            if modified_ms < before_ms and not self.exists(path.rpartition("/")[2]):
                self._blobs.delete_if_older(path, before_ms)
        self._blobs.sweep(before_ms)
        return Collected(removed, removed_bytes, kept)

    def _is_there(self, path: str, size: int) -> bool:
        """True when nothing has to be written. An old object is made young, or it could be collected right now."""
        found = self._blobs.head(path)
        if found is None or found[0] != size:
            return False
        if size > CHUNK_BYTES and self._blobs.head(path.replace("objects/", "sums/", 1)) is None:
            return False
        return self._blobs.refresh(path, self._clock.wall_ms() - int(FRESH_S * 1000))

    def _put_sums(self, reference: ObjectReference, chunks: tuple[bytes, ...]) -> None:
        raw = msgspec.json.encode(Sums(reference.sha256, reference.size, CHUNK_BYTES, chunks))
        with self._blobs.staging() as staged:
            staged.write(hashlib.sha256(raw).digest() + raw)
            self._blobs.publish(staged, _sums_path(reference.name), len(raw) + 32, "application/octet-stream")

    def _sums(self, reference: ObjectReference) -> Sums:
        try:
            raw = self._blobs.read(_sums_path(reference.name), 0, 64 + 64 * (reference.size // CHUNK_BYTES + 4))
        except ObjectMissing:
            if not self.exists(reference.name):
                raise ObjectMissing(f"there is no object {reference.name}", name=reference.name) from None
            raise _damaged(reference, "its checksums are gone") from None
        if hashlib.sha256(raw[32:]).digest() != raw[:32]:
            raise _damaged(reference, "its checksums are damaged themselves")
        sums = msgspec.json.decode(raw[32:], type=Sums)
        if (sums.size, sums.sha256, sums.chunk_bytes) != (reference.size, reference.sha256, CHUNK_BYTES):
            raise _damaged(reference, "its checksums belong to another content")
        return sums

    def _chunk(self, reference: ObjectReference, sums: Sums, number: int) -> bytes:
        start = number * CHUNK_BYTES
        chunk = self._blobs.read(_path(reference.name), start, CHUNK_BYTES)
        if _chunk_sum(chunk) != sums.chunks[number]:
            raise _damaged(reference, f"the {CHUNK_BYTES} bytes from {start} on are not those that were put")
        return chunk


def _chunks(content: Content) -> Iterator[bytes]:
    """The content in chunks of exactly `CHUNK_BYTES`; the last one may be shorter."""
    if isinstance(content, bytes):
        yield from (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))
        return
    held = bytearray()
    for piece in _pieces(content):
        held += piece
        while len(held) >= CHUNK_BYTES:
            yield bytes(held[:CHUNK_BYTES])
            del held[:CHUNK_BYTES]
    if held:
        yield bytes(held)


def _pieces(content: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(content, "read", None)
    if read is None:
        yield from content
        return
    while piece := cast("bytes", read(CHUNK_BYTES)):
        yield piece


def _chunk_sum(chunk: bytes) -> bytes:
    return hashlib.sha256(chunk).digest()[:16]


def _checked_name(name: str) -> str:
    """A name becomes a path: nothing may climb out of the folder."""
    if not NAME.fullmatch(name):  # `match` would let a line feed pass at its end
        raise ValueError(f"{name!r} is no name of an object: 16 to 128 of 0-9, a-z, A-Z, _ and -")
    return name


def _path(name: str) -> str:
    return f"objects/{_checked_name(name)[:2]}/{name}"


def _sums_path(name: str) -> str:
    return f"sums/{_checked_name(name)[:2]}/{name}"


def _damaged(reference: ObjectReference, what: str) -> ObjectDamaged:
    return ObjectDamaged(f"object {reference.name} is damaged: {what}. Delete it and put it again", name=reference.name)


# ------------------------------------------------------------------ clouds and memory


class CloudBlobs:
    """`object_port.Blobs` over obstore: Azure Blob, S3, memory. obstore repeats failed requests by itself."""

    def __init__(self, store: AzureStore | S3Store | MemoryStore, url: str) -> None:
        self._store = store
        self._url = url

    @contextmanager
    def staging(self) -> Generator[IO[bytes]]:
        """See `Blobs`. Small content stays in memory, large content goes to the system's temporary folder."""
        with os_errors(Path(tempfile.gettempdir())), tempfile.SpooledTemporaryFile(max_size=PART_BYTES) as staged:
            yield cast("IO[bytes]", staged)

    def publish(self, staged: IO[bytes], path: str, size: int, content_type: str) -> None:
        """See `Blobs`. Parts of a broken upload stay invisible; the service drops them after some days."""
        staged.seek(0)
        attributes: Any = {} if isinstance(self._store, MemoryStore) else {"Content-Type": content_type}
        with self._translated(path):
            obstore.put(
                self._store,
                path,
                staged if size > PART_BYTES else staged.read(),
                attributes=attributes,
                use_multipart=size > PART_BYTES,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    def read(self, path: str, start: int, length: int) -> bytes:
        """See `Blobs`."""
        try:
            with self._translated(path):
                return obstore.get_range(self._store, path, start=start, length=length).to_bytes()
        except ObjectsUnavailable:
            found = self.head(path)  # a range behind the end is an error to some services
            if found is not None and start >= found[0]:
                return b""
            raise

    def head(self, path: str) -> tuple[int, int] | None:
        """See `Blobs`."""
        try:
            with self._translated(path):
                meta = obstore.head(self._store, path)
        except ObjectMissing:
            return None
        return meta["size"], int(meta["last_modified"].timestamp() * 1000)

    def refresh(self, path: str, young_since_ms: int) -> bool:
        """See `Blobs`. Clouds have no such call: what is not young is sent again."""
        found = self.head(path)
        return found is not None and found[1] >= young_since_ms

    def delete_if_older(self, path: str, modified_before_ms: int) -> bool:
        """See `Blobs`. Between the look and the removal lie milliseconds, in which nobody can be kept out."""
        found = self.head(path)
        if found is None or found[1] >= modified_before_ms:
            return False
        with self._translated(path):
            obstore.delete(self._store, path)
        return True

    def list(self, prefix: str) -> Iterator[tuple[str, int, int]]:
        """See `Blobs`."""
        pages: Iterable[Any] = obstore.list(self._store, prefix=prefix)  # pyright: ignore[reportUnknownMemberType]
        with self._translated(prefix):
            for page in pages:
                for meta in page:
                    yield meta["path"], meta["size"], int(meta["last_modified"].timestamp() * 1000)

    def sweep(self, modified_before_ms: int) -> None:
        """See `Blobs`. Staged files are nameless here and die with their process."""

    @contextmanager
    def _translated(self, path: str) -> Generator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectMissing(f"there is no object {path} in {self._url}", name=path) from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise ObjectsNotWritable(f"{self._url} refuses this program: correct its account, key or role") from error
        except exceptions.BaseError as error:
            said = str(error).partition("\n")[0][:300]
            raise ObjectsUnavailable(f"{self._url} cannot be reached: {said}", after_s=1.0) from error
