"""Writes the files of a bundle, and puts a finished folder in its place."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genescale.errors import InvalidInput
from genescale.genomics.bundle import npy_header

Array = npt.NDArray[Any]

_COPIED: Final = 1 << 22  # elements at once


class Writer:
    """Writes arrays into the folder of a bundle and keeps the list of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, dict[str, Any]] = {}

    def write(self, name: str, array: Array) -> None:
        """Write one array, little-endian."""
        self.stream(name, array.dtype.newbyteorder("<").str, iter((array,)), array.size)

    def stream(self, name: str, dtype: str, pieces: Iterator[Array], length: int) -> None:
        """Write an array of `length` elements that comes in pieces."""
        file = self.folder / f"{name}.npy"
        digest = hashlib.sha256()
        header = npy_header(dtype, length)
        written = 0
        with file.open("wb") as out:
            out.write(header)
            digest.update(header)
            for piece in pieces:
                octets = np.ascontiguousarray(piece, np.dtype(dtype)).tobytes()
                out.write(octets)
                digest.update(octets)
                written += piece.size
        if written != length:
            raise ValueError(f"{name}: {written} elements came and {length} were promised")
        self.arrays[name] = {"sha256": digest.hexdigest(), "dtype": dtype, "length": length}

    def adopt(self, name: str, raw: Path, dtype: str) -> None:
        """Make an array of a file of raw elements."""
        kind = np.dtype(dtype)

        def pieces() -> Iterator[Array]:
            with raw.open("rb") as source:  # not mapped: what a process has mapped counts as its memory
                while octets := source.read(_COPIED * kind.itemsize):
                    yield np.frombuffer(octets, kind)

        self.stream(name, dtype, pieces(), raw.stat().st_size // kind.itemsize)


def install(arriving: Path, target: Path) -> None:
    """Put a finished folder in its place. Whoever has the old one open keeps what is mapped."""
    leaving = target.with_name(f".{target.name}.leaving-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        target.rename(leaving)
    try:
        arriving.rename(target)
    except OSError as error:
        raise InvalidInput(f"{target} was made by somebody else in the meantime; build again", code="exists") from error
    finally:
        shutil.rmtree(leaving, ignore_errors=True)
