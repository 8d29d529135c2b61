"""A reference bundle: genome, gene models and known facts as memory-mapped arrays; opens in milliseconds.

A bundle is a folder of little-endian `.npy` files and one `bundle.json` that lists them with their digests. Nothing is
parsed or copied when it opens: each array is mapped read-only on first use, so all processes of a machine share one
copy in the page cache. `build` writes bundles, `references` keeps them; `docs/how-to/build-a-reference.md` shows how.

Positions are 1-based and inclusive unless an array says otherwise.
"""

import contextlib
import hashlib
import itertools
import json
import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genescale.errors import BundleDamaged, UnknownName, Unsupported
from genescale.genomics.aliases import alias_index, usual_names

FORMAT: Final = 1
LIST_FILE: Final = "bundle.json"
NPY_HEADER_SIZE: Final = 128
INDEX_REACH: Final = 6_000  # the flank of 5,000 plus the 1,000 that VEP's HGVS shift may add to it

# The string pools in which names are looked up: `<pool>_sorted` holds their entries in the order of their text.
SEARCHED_POOLS: Final = ("transcript_name", "protein_name", "gene_id", "gene_symbol")

# transcript_flags
CODING: Final = 1  # has a CDS
PROTEIN_CODING: Final = 2  # biotype
NMD: Final = 4  # biotype nonsense_mediated_decay
MANE_SELECT: Final = 8
MANE_PLUS_CLINICAL: Final = 16
CANONICAL: Final = 32
CDS_START_NF: Final = 64
CDS_END_NF: Final = 128
REFSEQ: Final = 256
ENSEMBL: Final = 512
BASIC: Final = 1024
HAS_FRAMESHIFT_INTRON: Final = 2048  # an intron of at most 13 bases
MITOCHONDRIAL: Final = 4096
CCDS: Final = 8192
SELENO: Final = 16384  # the protein has a selenocysteine
PROTEIN_DIFFERS: Final = 32768  # the record's own protein is not the translation of the assembly
INCOMPLETE_STOP_BY_POLYA: Final = 65536  # the CDS ends in T or TA, which poly(A) completes
MIRNA: Final = 131072  # biotype

# transcript_pick_before: a smaller key is picked first. From the top: not MANE Select, not MANE Plus Clinical, not
# canonical, APPRIS (7 bits, all set = none), TSL (4 bits, all set = none), not protein_coding, not CCDS.
PICK_MANE_SELECT_SHIFT: Final = 15
PICK_MANE_PLUS_CLINICAL_SHIFT: Final = 14
PICK_CANONICAL_SHIFT: Final = 13
PICK_APPRIS_SHIFT: Final = 6
PICK_APPRIS_NONE: Final = 127
PICK_TSL_SHIFT: Final = 2
PICK_TSL_NONE: Final = 15
PICK_BIOTYPE_SHIFT: Final = 1
PICK_CCDS_SHIFT: Final = 0
# VEP on a GFF file knows neither APPRIS nor CCDS: `key | PICK_STRICT` is the key as VEP would see it.
PICK_STRICT: Final = (PICK_APPRIS_NONE << PICK_APPRIS_SHIFT) | (1 << PICK_CCDS_SHIFT)

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Contig:
    """One sequence of the genome. `length` is None where only regions of it are known and no table gives it."""

    name: str
    length: int | None
    circular: bool
    codon_table: int
    aliases: tuple[str, ...]
    md5: str | None
    refget: str | None


class Bundle:
    """An open bundle. Use as a context manager, or call `close`; views of its arrays die with it.

    `arrays` lists what there is: name, dtype and length of each. `facts` is what `knowledge` wrote about its tables.
    """

    def __init__(self, path: Path, listing: Mapping[str, Any], derived: Path | None = None) -> None:
        self.path = path
        self.derived = derived
        self.listing = listing
        self.name: str = listing["name"]
        self.assembly: str = listing["assembly"]
        self.kind: str = listing["kind"]
        self.synthetic: bool = listing["synthetic"]
        self.digest: str = listing["digest"]
        self.created_by: str = listing["created_by"]
        self.biotypes: list[str] = listing["biotypes"]
        self.arrays: Mapping[str, Mapping[str, Any]] = listing["arrays"]
        self.facts: Mapping[str, Any] = listing.get("facts", {})
        self.contigs = tuple(
            Contig(c["name"], c["length"], c["circular"], c["codon_table"], tuple(c["aliases"]), c["md5"], c["refget"])
            for c in listing["contigs"]
        )
        self._contig_of_name = alias_index([(c.name, c.aliases) for c in self.contigs])
        self._open: dict[str, Array] = {}

    @classmethod
    def open(cls, path: str | Path, *, derived: Path | None = None) -> "Bundle":
        """Open the bundle in the folder `path`. What is derived of it with effort may be kept in the folder `derived`.

        Raises `UnknownName` where there is none, `Unsupported` for a format of another version, `BundleDamaged` when
        the list cannot be read. A missing or short array is `BundleDamaged` at first use, or at once by `verify`.
        """
        folder = Path(path)
        try:
            return cls(folder, read_listing(folder), derived)
        except (KeyError, TypeError) as error:
            raise BundleDamaged(f"{folder / LIST_FILE} lacks {error}: build the bundle again") from error

    def array(self, name: str) -> Array:
        """The array `name`, mapped read-only."""
        found = self._open.get(name)
        if found is None:
            found = self._open[name] = self._mapped(name)
        return found

    def has(self, name: str) -> bool:
        """Whether the bundle has an array of this name; some tables are optional."""
        return name in self.arrays

    def contig(self, name: str) -> int:
        """The index of the contig called `name`, by its own name or an alias; -1 when there is none."""
        return self._contig_of_name.get(name, -1)

    def contig_named(self, name: str) -> int:
        """The same, raising `UnknownName` with the names that would be known."""
        index = self.contig(name)
        if index < 0:
            raise UnknownName(f"{self.name} has no contig {name!r}; it has {usual_names(self.contigs)}")
        return index

    def text(self, pool: str, index: int) -> str:
        """Entry `index` of a string pool, such as `transcript_name`, `gene_symbol`, `protein_name`."""
        offset = self.array(f"{pool}_offset")
        return self.array(f"{pool}_text")[offset[index] : offset[index + 1]].tobytes().decode()

    def texts(self, pool: str) -> list[str]:
        """All entries of a string pool."""
        whole = self.array(f"{pool}_text").tobytes()
        ends = self.array(f"{pool}_offset").tolist()
        return [whole[a:b].decode() for a, b in itertools.pairwise(ends)]

    def find(self, pool: str, prefix: str) -> list[int]:
        """The entries of one of `SEARCHED_POOLS` that begin with `prefix`, as indices in the order of their text.

        Nothing is indexed when a bundle opens: this halves the sorted order of the pool some twenty times.
        """
        order = self.array(f"{pool}_sorted")
        low = bisect_left(order, prefix, key=lambda i: self.text(pool, i))
        high = bisect_right(order, prefix, lo=low, key=lambda i: self.text(pool, i)[: len(prefix)])
        return [int(i) for i in order[low:high]]

    def sequence(self, contig: int, start: int, end: int) -> bytes | None:
        """Bases `start` to `end` (1-based, inclusive) as upper-case text; None where some of them are not known.

        For people and tests. Kernels read the packed array.
        """
        first, last = (int(x) for x in self.array("contig_segment")[contig : contig + 2])
        starts, ends = self.array("segment_start"), self.array("segment_end")
        for i in range(first, last):
            if int(starts[i]) < start and end <= int(ends[i]) and start <= end:
                base = int(self.array("segment_base")[i]) + start - 1 - int(starts[i])
                return unpack(self.array("sequence"), base, end - start + 1)
        return b"" if start == end + 1 else None

    def close(self) -> None:
        """Let go of the arrays. The memory goes back when the last view of it does."""
        self._open.clear()

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _mapped(self, name: str) -> Array:
        entry = self.arrays.get(name)
        if entry is None:
            raise BundleDamaged(f"the bundle {self.path} lists no array {name!r}: build it again with this program")
        file = self.path / f"{name}.npy"
        dtype = np.dtype(entry["dtype"])
        size = int(entry["length"]) * dtype.itemsize
        try:
            with file.open("rb") as opened:
                held = file.stat().st_size
                if held != NPY_HEADER_SIZE + size:
                    raise BundleDamaged(
                        f"{file} has {held} bytes and should hold {entry['length']} of {entry['dtype']}: build it again"
                    )
                if size == 0:
                    nothing = np.empty(0, dtype)
                    nothing.flags.writeable = False
                    return nothing
                view = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise BundleDamaged(f"cannot read {file} ({error.strerror}): build the bundle again") from error
        return np.frombuffer(view, dtype, count=int(entry["length"]), offset=NPY_HEADER_SIZE)


def npy_header(dtype: str, length: int) -> bytes:
    """The header of a one-dimensional .npy file, version 1.0. Numpy would pad it to some length; ours is always one."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({length},), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def read_listing(folder: Path) -> dict[str, Any]:
    """`bundle.json` of a bundle, with its version checked."""
    file = folder / LIST_FILE
    try:
        listing: Any = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise UnknownName(f"there is no reference bundle in {folder} (no {LIST_FILE})") from error
    except (OSError, ValueError) as error:
        raise BundleDamaged(f"cannot read {file} ({error}): build the bundle again") from error
    found: Any = None
    with contextlib.suppress(TypeError, KeyError):
        found = listing["format"]
    if not isinstance(found, int):
        raise BundleDamaged(f"{file} names no format: it is no list of a reference bundle")
    if found != FORMAT:
        way = "build it again with `genescale reference build`" if found < FORMAT else "install a newer Genescale"
        raise Unsupported(f"the bundle {folder} has format {found}, this program reads format {FORMAT}: {way}")
    return listing


def content_digest(listing: Mapping[str, Any]) -> str:
    """SHA-256 over the digests of all arrays by name, the contigs and the biotypes of a bundle's list.

    It covers what the bundle says, not when or from where, and not the seed index, which follows from the sequence.
    """
    arrays = listing["arrays"]
    parts = [[name, arrays[name]["sha256"]] for name in sorted(arrays) if not name.startswith("seeds-")]
    said = [parts, listing["contigs"], listing["biotypes"]]
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


_LETTERS = np.frombuffer(b"=ACMGRSVTWYHKDBN", np.uint8)


def unpack(packed: Array, base: int, length: int) -> bytes:
    """`length` bases from base index `base` of a packed sequence, as upper-case text."""
    first = base >> 1
    octets = packed[first : (base + length + 1) >> 1]
    codes = np.empty(octets.size * 2, np.uint8)
    codes[0::2] = octets & 15
    codes[1::2] = octets >> 4
    skip = base & 1
    return _LETTERS[codes[skip : skip + length]].tobytes()


def text_pool(entries: Sequence[str]) -> tuple[Array, Array]:
    """A string pool: the joined text, and where each entry begins (one more offset than entries)."""
    octets = [entry.encode() for entry in entries]
    offset = np.zeros(len(octets) + 1, "<i8")
    np.cumsum([len(entry) for entry in octets], out=offset[1:])
    return np.frombuffer(b"".join(octets), np.uint8), offset
