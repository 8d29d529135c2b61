"""A compact file: named columns in one file that is small enough for git, and decodes in milliseconds.

The embedded references (`genescale.genomics.embedded_build`) are kept so, and the scripts that derive them write it.

The file: a line that names the format, then the head (JSON) and one zlib stream for each column, each after its length
(8 bytes, little-endian). What is compared, hashed and promised is the *content*, the decoded columns: the bytes of a
zlib stream belong to the version of zlib that wrote it.
"""

import hashlib
import json
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genescale.errors import BundleDamaged

MAGIC = b"genescale compact 1\n"

Array = npt.NDArray[Any]
Column = Array | Sequence[str]


@dataclass(frozen=True)
class Compact:
    """A decoded file: what it says of itself, and its columns by name."""

    about: Mapping[str, Any]
    columns: Mapping[str, Column]

    def array(self, name: str) -> Array:
        """The numbers of one column."""
        column = self.columns[name]
        assert isinstance(column, np.ndarray), f"{name} holds text"
        return column

    def texts(self, name: str) -> Sequence[str]:
        """The strings of one column."""
        column = self.columns[name]
        assert not isinstance(column, np.ndarray), f"{name} holds numbers"
        return column


def write(path: Path, about: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
    """Write the columns in their order; `about` is whatever JSON can hold (sources, licences, counts)."""
    heads: list[dict[str, Any]] = []
    streams: list[bytes] = []
    for name, column in columns.items():
        shape, raw = _encoded(column)
        heads.append({"name": name, "sha256": hashlib.sha256(raw).hexdigest(), **shape})
        streams.append(zlib.compress(raw, 9))
    head = json.dumps({"about": about, "columns": heads}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    with path.open("wb") as out:
        for part in (head.encode(), *streams):
            out.write(b"" if out.tell() else MAGIC)
            out.write(len(part).to_bytes(8, "little") + part)


def read(path: Path, only: Collection[str] = ()) -> Compact:
    """Read a file that `write` made, or `only` some of its columns. Damage is an error, never other numbers."""
    about, parts = _parts(path)
    try:
        chosen = [(head, stream) for head, stream in parts if not only or head["name"] in only]
        return Compact(about, {head["name"]: _decoded(head, _raw(path, head, stream)) for head, stream in chosen})
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"its head does not fit its columns ({error})") from error


def content(path: Path) -> bytes:
    """The head and the decoded columns in one piece: two files say the same exactly when these bytes are equal."""
    about, parts = _parts(path)
    head = json.dumps([about, [head for head, _ in parts]], sort_keys=True, ensure_ascii=False)
    return head.encode() + b"".join(_raw(path, head, stream) for head, stream in parts)


def _parts(path: Path) -> tuple[dict[str, Any], list[tuple[dict[str, Any], bytes]]]:
    """What the file says of itself, and of each column the head and the compressed stream."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise _damaged(path, f"it does not begin with {MAGIC.decode().strip()!r}")
    pieces: list[bytes] = []
    at = len(MAGIC)
    while at < len(data):
        begin = at + 8
        at = begin + int.from_bytes(data[at:begin], "little")
        if at > len(data):
            raise _damaged(path, "it ends in the middle of a column")
        pieces.append(data[begin:at])
    try:
        head = json.loads(pieces[0])
        return head["about"], list(zip(head["columns"], pieces[1:], strict=True))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(path, str(error)) from error


def _raw(path: Path, head: Mapping[str, Any], stream: bytes) -> bytes:
    try:
        raw = zlib.decompress(stream)
    except zlib.error as error:
        raise _damaged(path, f"{head['name']}: {error}") from error
    if hashlib.sha256(raw).hexdigest() != head["sha256"]:
        raise _damaged(path, f"{head['name']} does not have the digest that the head of the file promises")
    return raw


def _damaged(path: Path, why: str) -> BundleDamaged:
    return BundleDamaged(
        f"{path} is not a whole compact file: {why}. Fetch it again (git checkout, or a new download)."
    )


def _encoded(column: Column) -> tuple[dict[str, Any], bytes]:
    """Numbers go byte plane by byte plane, low bytes first: neighbours in a plane resemble each other."""
    if not isinstance(column, np.ndarray):
        if any("\n" in text for text in column):
            raise ValueError("a text of a compact column must not hold a line break")
        return {"count": len(column)}, "\n".join(column).encode()
    array = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    planes = array.reshape(-1).view(np.uint8).reshape(-1, array.itemsize).T
    return {"dtype": array.dtype.str, "shape": list(array.shape)}, planes.tobytes()


def _decoded(head: Mapping[str, Any], raw: bytes) -> Column:
    if "dtype" not in head:
        return raw.decode().split("\n") if head["count"] else []
    dtype = np.dtype(head["dtype"])
    planes = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(head["shape"])
