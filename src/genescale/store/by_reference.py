"""Large payloads travel by reference (the claim check): stored once as an object, their reference in the event.

`pack` and `unpack` are what a producer and a consumer call; `travels_by_reference` is the rule they follow.
"""

import msgspec

from genescale.store.object_port import NewHash, ObjectReference, Objects

INLINE_BYTES_MAX = 256 * 1024
"""Above this a payload is stored as an object. A record of the log holds 1 MiB, with its envelope and its headers."""


def travels_by_reference(size_bytes: int) -> bool:
    """The rule: payloads of up to 256 KiB lie in the event itself."""
    return size_bytes > INLINE_BYTES_MAX


def pack(
    payload: bytes,
    objects: Objects,
    *,
    content_type: str = "application/octet-stream",
    name_hash: NewHash | None = None,
) -> bytes | ObjectReference:
    """The payload itself, or its reference. It is stored before the event exists, so that the event can be read."""
    if not travels_by_reference(len(payload)):
        return payload
    return objects.put(payload, content_type=content_type, name_hash=name_hash)


def unpack(packed: bytes | ObjectReference, objects: Objects) -> bytes:
    """The payload again, checked. Raises what `Objects.get` raises."""
    return packed if isinstance(packed, bytes) else objects.get(packed)


def to_document(reference: ObjectReference) -> bytes:
    """The reference as a small JSON document."""
    return msgspec.json.encode(reference)


def from_document(document: bytes) -> ObjectReference:
    """The reference from its document. `msgspec.ValidationError` when it is none."""
    return msgspec.json.decode(document, type=ObjectReference)
