"""Writes the facts of one source into a bundle: streaming in, sorted columns out, in bounded memory.

`build_facts` takes any iterable of facts; the importers (`knowledge_clinvar`, `knowledge_frequencies`,
`knowledge_scores`) make one out of a published file. Every variant is compared with the reference and brought to one
spelling. What cannot be used is not dropped in silence: the report counts it by reason and names the first lines.

Facts may come in any order. They are gathered in stretches of 4 Mb; when they outgrow `memory_bytes`, stretches wait on
disk and are sorted one by one, so a table may be larger than memory.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genescale.errors import InvalidInput
from genescale.genomics.aliases import assembly_family
from genescale.genomics.bundle import LIST_FILE, Bundle, content_digest, file_digest, npy_header, read_listing
from genescale.genomics.kernels import lookup as kernel
from genescale.genomics.knowledge import STORED, Column, Value, speller

CHUNK: Final = 1 << 15  # facts that are spelled at once
STRETCH_BITS: Final = 22  # 4 Mb: a stretch of gnomAD or CADD fits into memory many times
MEMORY_BYTES: Final = 256 << 20
LINES_NAMED: Final = 5
# A file of the other assembly disagrees with one base in two or three; a good file with one in a hundred thousand.
MISMATCHES_ALLOWED: Final = 20
MISMATCH_SHARE_ALLOWED: Final = 0.05

_NAME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_REASONS: Final = {
    kernel.UNKNOWN_CONTIG: "unknown_contig",
    kernel.OUTSIDE: "outside_reference",
    kernel.MISMATCH: "ref_mismatch",
    kernel.UNCHANGED: "alt_is_ref",
    kernel.NO_SEQUENCE: "not_a_sequence",
}
_TABLE: Final = {"first": "<i8", "key": "<u8", "long_row": "<i8", "long_offset": "<i8", "long_text": "|u1"}
_TAKEN: Final = {*_TABLE, "rs_number", "rs_row", "about"}


class Fact(NamedTuple):
    """One line about one allele. `line` is for messages; `values` are in the order of the source's columns.

    `contig` is a name of the bundle or an alias. Alleles are as VCF writes them, anchor base or not. A value is None
    where the source does not say; the column `rs` may be a tuple of numbers.
    """

    line: int
    contig: str
    position: int
    ref: str
    alt: str
    values: Sequence[Value | tuple[int, ...] | None]


class Rejected(NamedTuple):
    """A line that the importer could not use, with the reason as a short name (`bad_number`)."""

    line: int
    reason: str


class NextFile(NamedTuple):
    """The lines that follow are those of this file. Given only where a source has several."""

    name: str


@dataclass(frozen=True, slots=True)
class Source:
    """What is said about a file of facts. `date` and `version` are the publisher's, not those of the import.

    Several facts about one allele become one row: that with the highest value in the column `prefer`, else the first.
    """

    name: str
    version: str
    date: str
    licence: str
    assembly: str
    columns: tuple[Column, ...]
    prefer: str = ""
    files: tuple[tuple[str, str], ...] = ()  # file name, sha256

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        taken = _TAKEN.intersection(names)
        wrong = [one for one in (self.name, *names) if not one or not _NAME_LETTERS.issuperset(one)]
        if wrong or taken or len(set(names)) < len(names):
            raise ValueError(f"names of sources and columns are letters, digits and _, each once: {self.name}, {names}")
        if self.prefer and self.prefer not in names:
            raise ValueError(f"{self.name} has no column {self.prefer!r} to prefer by")


@dataclass(slots=True)
class ImportReport:
    """What became of the lines of one source."""

    source: str
    rows: int = 0
    facts: int = 0
    merged: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    lines: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    notes: list[str] = field(default_factory=list[str])

    def reject(self, line: str, reason: str) -> None:
        """Count a line that cannot be used; `line` is its number, with the file where there are several."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        named = self.lines.setdefault(reason, [])
        if len(named) < LINES_NAMED:
            named.append(line)

    def text(self) -> str:
        """The report as lines for people."""
        said = [f"{self.source}: {self.rows:,} variants from {self.facts:,} facts"]
        if self.merged:
            said.append(f"  {self.merged:,} more facts about the same alleles were merged into them")
        for reason, count in sorted(self.rejected.items(), key=lambda item: -item[1]):
            where = ", ".join(self.lines[reason])
            said.append(f"  {count:,} not used: {reason} (line {where}{', ...' if count > LINES_NAMED else ''})")
        said.extend(f"  {note}" for note in self.notes)
        return "\n".join(said)


def build_facts(
    bundle_dir: str | Path,
    source: Source,
    facts: Iterable[Fact | Rejected | NextFile],
    *,
    memory_bytes: int = MEMORY_BYTES,
) -> ImportReport:
    """Add `source` to the bundle in `bundle_dir`, in place of an older table of the same name.

    The bundle's list and digest are renewed in one step at the end; a failed import leaves the bundle as it was. Raises
    `InvalidInput` when the assembly is another one or REF disagrees so often that it must be.
    """
    folder = Path(bundle_dir)
    building = folder / f".facts-{source.name}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        with Bundle.open(folder) as bundle:
            check_assembly(source.assembly, bundle)
            with (building / "long").open("w+b") as long_text:
                work = _Import(bundle, source, building, long_text, memory_bytes)
                for fact in facts:
                    work.take(fact)
                described = work.finish()
        _install(folder, building, source.name, described)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return work.report


def check_assembly(stated: str, bundle: Bundle) -> None:
    """Refuse facts about GRCh37 for a bundle of GRCh38 and the other way round."""
    ours, theirs = assembly_family(bundle.assembly), assembly_family(stated)
    if ours and theirs and ours != theirs:
        raise InvalidInput(
            f"these facts are about {stated}, the bundle {bundle.name} is {bundle.assembly}: "
            f"take the publisher's file for {ours}",
            code="assembly_mismatch",
        )


class _Import:
    """The state of one import: chunk -> stretches -> columns on disk."""

    def __init__(self, bundle: Bundle, source: Source, building: Path, long_text: BinaryIO, memory_bytes: int) -> None:
        self.bundle = bundle
        self.source = source
        self.building = building
        self.report = ImportReport(source.name)
        self.speller = speller(bundle)
        self.file = ""
        self.chunk: list[Fact] = []
        self.pools = {c.name: _Interned(c) for c in source.columns if c.kind in {"text", "category"}}
        self.dtype = np.dtype(
            [("key", "<u8"), ("order", "<i8"), ("long", "<i8")]
            + [(f"c_{column.name}", STORED[column.kind][0]) for column in source.columns]
        )
        self.has_rs = any(column.name == "rs" for column in source.columns)
        self.spill = _Spill(building / "stretches", self.dtype, memory_bytes)
        self.long_text = long_text
        self.lengths = [contig.length for contig in bundle.contigs]

    def take(self, fact: Fact | Rejected | NextFile) -> None:
        if isinstance(fact, Rejected):
            self.report.reject(f"{self.file}{fact.line}", fact.reason)
            return
        if isinstance(fact, NextFile):
            self.spell_chunk()
            self.file = f"{fact.name}:"
            return
        self.chunk.append(fact)
        if len(self.chunk) >= CHUNK:
            self.spell_chunk()

    def spell_chunk(self) -> None:
        """Check and spell what has been gathered, encode its values, and hand it to its stretches."""
        chunk, self.chunk = self.chunk, []
        if not chunk:
            return
        self.report.facts += len(chunk)
        columns = _columns_of(chunk, self.bundle)
        key, form, status = self._spell(columns, len(chunk))
        records = np.zeros(len(chunk), self.dtype)
        usable = status == kernel.SPELLED
        for column in self.source.columns:
            index = self.source.columns.index(column)
            stored, bad = self._stored(column, [fact.values[index] for fact in chunk])
            records[f"c_{column.name}"] = stored
            for i in np.flatnonzero(bad & usable).tolist():
                self.report.reject(f"{self.file}{chunk[i].line}", f"bad_value_{column.name}")
            usable &= ~bad
        for i in np.flatnonzero(status != kernel.SPELLED).tolist():
            self.report.reject(f"{self.file}{chunk[i].line}", self._reason(int(status[i]), columns, chunk[i], i))
        records["key"] = key
        records["order"] = np.arange(self.report.facts - len(chunk), self.report.facts)
        records["long"] = -1
        hashed = (key >> np.uint64(28) & np.uint64(15)) == 15
        for i in np.flatnonzero(usable & hashed).tolist():
            records["long"][i] = self._keep_long(columns, form, i)
        kept = records[usable]
        stretch = columns["contig"][usable].astype(np.int64) << 16 | (
            kept["key"] >> np.uint64(32 + STRETCH_BITS)
        ).astype(np.int64)
        for one in np.unique(stretch).tolist():
            self.spill.add(one, kept[stretch == one])

    def finish(self) -> dict[str, Any]:
        """Sort and write everything; what `bundle.json` shall say about it."""
        self.spell_chunk()
        self._refuse_another_assembly()
        sizes = np.zeros(len(self.bundle.contigs) + 1, np.int64)
        names = [column.name for column in self.source.columns]
        with ExitStack() as stack:
            dtypes = _TABLE | {column.name: STORED[column.kind][0] for column in self.source.columns}
            writers = {name: stack.enter_context(self._writer(name, dtype)) for name, dtype in dtypes.items()}
            for stretch, records in self.spill.sorted():
                kept = self._merged(records)
                sizes[(stretch >> 16) + 1] += len(kept)
                self._write_longs(writers, kept)
                writers["key"].add(kept["key"])
                for name in names:
                    writers[name].add(kept[f"c_{name}"])
                self.report.rows += len(kept)
            writers["first"].add(np.cumsum(sizes))
            writers["long_offset"].add(np.array([writers["long_text"].length]))
        for name, pool in self.pools.items():
            for part, array in zip(("text", "offset"), pool.arrays(), strict=True):
                with self._writer(f"{name}_{part}", array.dtype.str) as writer:
                    writer.add(array)
        if self.has_rs:
            self._write_rs()
        return self._described()

    def _spell(self, columns: dict[str, NDArray[Any]], count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        key, form, status = np.zeros(count, "<u8"), np.zeros(4 * count, "<i4"), np.zeros(count, "u1")
        view = {name: column.data for name, column in columns.items()}
        self.speller.spell(
            0,
            count,
            view["contig"],
            view["start"],
            view["ref_offset"],
            view["ref_length"],
            view["alt_offset"],
            view["alt_length"],
            view["flags"],
            view["text"],
            1,
            key.data,
            form.data,
            status.data,
        )
        self.speller.check(
            0,
            count,
            view["contig"],
            view["start"],
            view["ref_offset"],
            view["ref_length"],
            view["text"],
            status.data,
        )
        return key, form, status

    def _reason(self, status: int, columns: dict[str, NDArray[Any]], fact: Fact, i: int) -> str:
        contig = int(columns["contig"][i])
        length = self.lengths[contig] if contig >= 0 else None
        if status == kernel.OUTSIDE and (fact.position < 1 or (length and fact.position > length)):
            return "past_end"
        return _REASONS[status]

    def _stored(self, column: Column, values: list[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The numbers to store, and which of them cannot be."""
        if column.name in self.pools:
            return self.pools[column.name].stored(values)
        if column.name == "rs":
            values = [value[0] if isinstance(value, tuple) and value else value for value in values]
        return stored_numbers(column, values)

    def _keep_long(self, columns: dict[str, NDArray[Any]], form: NDArray[Any], i: int) -> int:
        """Put `REF>ALT` in its one spelling aside; the place where it lies."""
        prefix, ref_length, alt_length, turned = form[4 * i : 4 * i + 4].tolist()
        text = columns["text"]
        ref_at, alt_at = int(columns["ref_offset"][i]) + prefix, int(columns["alt_offset"][i]) + prefix
        ref, alt = text[ref_at : ref_at + ref_length].tobytes(), text[alt_at : alt_at + alt_length].tobytes()
        if turned:
            ref, alt = (s[len(s) - turned :] + s[: len(s) - turned] for s in (ref, alt))
        at = self.long_text.seek(0, os.SEEK_END)
        self.long_text.write(len(ref + alt).to_bytes(4, "little") + ref + b">" + alt)
        return at

    def _long(self, at: int) -> bytes:
        self.long_text.seek(at)
        return self.long_text.read(int.from_bytes(self.long_text.read(4), "little") + 1)

    def _merged(self, records: NDArray[Any]) -> NDArray[Any]:
        """Sorted by key, one record for each allele."""
        order: tuple[NDArray[Any], ...] = (records["order"], records["key"])
        if self.source.prefer:
            preferred = records[f"c_{self.source.prefer}"].astype(np.float64)
            column = next(c for c in self.source.columns if c.name == self.source.prefer)
            preferred[preferred == STORED[column.kind][1]] = -np.inf
            order = (records["order"], -np.nan_to_num(preferred, nan=-np.inf), records["key"])
        records = records[np.lexsort(order)]
        repeats = np.flatnonzero(records["key"][1:] == records["key"][:-1]) + 1
        dropped = np.zeros(len(records), bool)
        for i in repeats.tolist():
            dropped[i] = records["long"][i] < 0 or self._seen_before(records, i)
        self.report.merged += int(dropped.sum())
        return records[~dropped]

    def _seen_before(self, records: NDArray[Any], i: int) -> bool:
        """Whether one of the records before `i` with the same hash is the same allele."""
        text, before = self._long(int(records["long"][i])), i - 1
        while before >= 0 and records["key"][before] == records["key"][i]:
            if self._long(int(records["long"][before])) == text:
                return True
            before -= 1
        return False

    def _writer(self, part: str, dtype: str) -> _Writer:
        return _Writer(self.building / f"facts-{self.source.name}-{part}.npy", dtype)

    def _write_longs(self, writers: Mapping[str, _Writer], kept: NDArray[Any]) -> None:
        for i in np.flatnonzero(kept["long"] >= 0).tolist():
            writers["long_row"].add(np.array([self.report.rows + i]))
            writers["long_offset"].add(np.array([writers["long_text"].length]))
            writers["long_text"].add(np.frombuffer(self._long(int(kept["long"][i])), "u1"))

    def _write_rs(self) -> None:
        """The dbSNP numbers sorted, each with its row."""
        dtype = np.dtype([("number", "<u4"), ("row", "<i8")])
        spill = _Spill(self.building / "numbers", dtype, self.spill.memory_bytes)
        numbers = np.load(self.building / f"facts-{self.source.name}-rs.npy", mmap_mode="r")
        for begin in range(0, len(numbers), 1 << 20):
            part = np.array(numbers[begin : begin + (1 << 20)])
            pairs = np.zeros(len(part), dtype)
            pairs["number"], pairs["row"] = part, np.arange(begin, begin + len(part))
            pairs = pairs[part != STORED["u4"][1]]
            bucket = pairs["number"] >> 24
            for one in np.unique(bucket).tolist():
                spill.add(one, pairs[bucket == one])
        del numbers
        with self._writer("rs_number", "<u4") as number, self._writer("rs_row", "<i8") as row:
            for _, pairs in spill.sorted():
                ordered = pairs[np.lexsort((pairs["row"], pairs["number"]))]
                number.add(ordered["number"])
                row.add(ordered["row"])

    def _refuse_another_assembly(self) -> None:
        wrong = self.report.rejected.get("ref_mismatch", 0)
        compared = wrong + self.spill.total
        if wrong > MISMATCHES_ALLOWED and wrong > MISMATCH_SHARE_ALLOWED * compared:
            lines = ", ".join(self.report.lines["ref_mismatch"])
            raise InvalidInput(
                f"REF of {self.source.name} is not the sequence of the bundle {self.bundle.name} in {wrong:,} of "
                f"{compared:,} facts (first at line {lines}): the file is probably of another assembly than "
                f"{self.bundle.assembly}",
                code="assembly_mismatch",
            )

    def _described(self) -> dict[str, Any]:
        source = self.source
        return {
            "version": source.version,
            "date": source.date,
            "licence": source.licence,
            "assembly": source.assembly,
            "files": [{"name": name, "sha256": sha256} for name, sha256 in source.files],
            "rows": self.report.rows,
            "columns": [
                {"name": c.name, "kind": c.kind, "meaning": c.meaning, "decimals": c.decimals} for c in source.columns
            ],
            "prefer": source.prefer,
            "merged": self.report.merged,
            "rejected": dict(sorted(self.report.rejected.items())),
        }


def stored_numbers(column: Column, values: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers as the column stores them, absent ones marked, and which of them it cannot hold."""
    dtype, absent = STORED[column.kind]
    missing = np.array([value is None for value in values], bool)
    plain = np.array([0.0 if value is None else value for value in values], np.float64)
    bad = ~np.isfinite(plain)
    if column.kind in {"f2", "f4"}:
        with np.errstate(over="ignore", invalid="ignore"):
            stored = plain.astype(dtype)
        bad |= ~np.isfinite(stored)
    else:
        plain[bad] = 0
        scaled = plain * 10**column.decimals
        whole = np.rint(scaled)
        bad |= np.abs(scaled - whole) > 1e-6 * np.maximum(1, np.abs(scaled))  # never rounded in silence
        limits = np.iinfo(dtype)
        bad |= (whole < limits.min) | (whole > limits.max) | (whole == absent)
        stored = np.where(bad, 0, whole).astype(dtype)
    stored[missing] = absent
    return stored, bad & ~missing


def _columns_of(chunk: Sequence[Fact], bundle: Bundle) -> dict[str, NDArray[Any]]:
    """Facts as the columns that the kernel reads; `flags` 1 marks alleles that are no sequence."""
    contig_of: dict[str, int] = {}
    contigs = np.zeros(len(chunk), "<i4")
    flags = np.zeros(len(chunk), "<u4")
    starts = np.zeros(len(chunk), "<i4")
    pieces: list[bytes] = []
    lengths = np.zeros((len(chunk), 2), "<i8")
    for i, fact in enumerate(chunk):
        name = fact.contig
        if name not in contig_of:
            contig_of[name] = bundle.contig(name)
        contigs[i] = contig_of[name]
        starts[i] = fact.position if 0 < fact.position < 1 << 31 else 0
        ref, alt = fact.ref, fact.alt
        if not (ref.isalpha() and ref.isascii()) or not (alt.isalpha() and alt.isascii()):
            flags[i] = 1
            ref = alt = ""
        pieces.append(ref.upper().encode())
        pieces.append(alt.upper().encode())
        lengths[i, 0], lengths[i, 1] = len(ref), len(alt)
    ends = np.cumsum(lengths)
    offsets = (ends - lengths.ravel()).reshape(-1, 2)
    text = b"".join(pieces)
    return {
        "contig": contigs,
        "start": starts,
        "flags": flags,
        "ref_offset": np.ascontiguousarray(offsets[:, 0]),
        "alt_offset": np.ascontiguousarray(offsets[:, 1]),
        "ref_length": lengths[:, 0].astype("<i4"),
        "alt_length": lengths[:, 1].astype("<i4"),
        "text": np.frombuffer(text, "u1") if text else np.zeros(1, "u1"),
    }


class _Interned:
    """The different strings of one column, in the order of their first use; index 0 is absent."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.index = {"": 0}

    def stored(self, values: Sequence[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Indices, and which of the values have none: a category has room for 254, which a broken file may exceed."""
        index = self.index
        room = 255 if self.column.kind == "category" else 1 << 32
        stored = [0 if value is None else index.get(value, -1) for value in values]
        for i, value in enumerate(values):
            if stored[i] < 0:
                stored[i] = index.setdefault(value, len(index)) if value in index or len(index) < room else -1
        found = np.array(stored, np.int64)
        return np.maximum(found, 0).astype(STORED[self.column.kind][0]), found < 0

    def arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        octets = [text.encode(errors="surrogateescape") for text in self.index]
        offset = np.zeros(len(octets) + 1, "<i8")
        np.cumsum([len(one) for one in octets], out=offset[1:])
        return np.frombuffer(b"".join(octets), "u1"), offset


class _Spill:
    """Records by bucket; in memory until there are too many, then on disk."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], memory_bytes: int) -> None:
        self.folder = folder
        self.dtype = dtype
        self.memory_bytes = memory_bytes
        self.held: dict[int, list[NDArray[Any]]] = {}
        self.held_bytes = 0
        self.total = 0
        self.on_disk: set[int] = set()
        folder.mkdir()

    def add(self, bucket: int, records: NDArray[Any]) -> None:
        self.held.setdefault(bucket, []).append(records)
        self.held_bytes += records.nbytes
        self.total += len(records)
        if self.held_bytes > self.memory_bytes:
            for one, parts in self.held.items():
                with (self.folder / f"{one}").open("ab") as file:
                    file.writelines(part.tobytes() for part in parts)
                self.on_disk.add(one)
            self.held, self.held_bytes = {}, 0

    def sorted(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """The buckets in order, each with its records in the order in which they came."""
        for bucket in sorted(self.on_disk | self.held.keys()):
            parts = self.held.pop(bucket, [])
            if bucket in self.on_disk:
                file = self.folder / f"{bucket}"
                parts.insert(0, np.fromfile(file, self.dtype))
                file.unlink()
            yield bucket, np.concatenate(parts)


class _Writer:
    """One `.npy` file, written before it is known how long it becomes."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.dtype = dtype
        self.length = 0
        self.file = path.open("wb")
        self.file.write(npy_header(dtype, 0))

    def add(self, values: NDArray[Any]) -> None:
        part = np.ascontiguousarray(values, np.dtype(self.dtype))
        self.file.write(part.tobytes())
        self.length += len(part)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.seek(0)
        self.file.write(npy_header(self.dtype, self.length))
        self.file.close()


def _install(folder: Path, building: Path, name: str, described: dict[str, Any]) -> None:
    """Move the new files in, take the old ones of this source out, and renew the bundle's list."""
    about = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
    with _Writer(building / f"facts-{name}-about.npy", "|u1") as writer:  # so that the digest covers it too
        writer.add(np.frombuffer(about, "u1"))
    listing = read_listing(folder)
    listing["arrays"] = {key: entry for key, entry in listing["arrays"].items() if not key.startswith(f"facts-{name}-")}
    arriving = sorted(building.glob("facts-*.npy"))
    for file in arriving:
        array = np.load(file, mmap_mode="r")
        listing["arrays"][file.stem] = {"sha256": file_digest(file), "dtype": array.dtype.str, "length": len(array)}
        del array
    listing["arrays"] = dict(sorted(listing["arrays"].items()))
    listing["facts"] = dict(sorted({**listing.get("facts", {}), name: described}.items()))
    listing["digest"] = content_digest(listing)
    leaving = {file.name for file in folder.glob(f"facts-{name}-*.npy")} - {file.name for file in arriving}
    for file in arriving:
        file.replace(folder / file.name)  # who has the old table open keeps it until he closes it
    renewed = building / LIST_FILE
    renewed.write_text(json.dumps(listing, indent=1) + "\n")
    renewed.replace(folder / LIST_FILE)
    for file_name in leaving:
        (folder / file_name).unlink()
