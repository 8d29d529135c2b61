"""Compile a genome and its gene annotation into a reference bundle.

One pass over the FASTA file, one over the annotation; what is large (bases, mRNA) is streamed through files, so memory
grows with the number of transcripts and not with the genome. The same input gives the same bytes, whenever and wherever.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from genescale import __version__
from genescale.errors import InvalidInput
from genescale.genomics import bundle as b
from genescale.genomics import codons
from genescale.genomics.aliases import alias_index, aliases_of, is_mitochondrial
from genescale.genomics.bundle import text_pool
from genescale.genomics.fasta import Segment, Sequence, pack_fasta, segments_of
from genescale.genomics.gene_models import GeneModels, gene_models
from genescale.genomics.gff import Annotation, Dropped, read_annotation

Array = npt.NDArray[Any]
Progress = Callable[[str, int], None]
_CHUNK_BASES: Final = 1 << 22


@dataclass(slots=True)
class BuildReport:
    """What a build made and what it did not take."""

    path: Path
    digest: str
    contigs: int
    bases: int
    genes: int
    transcripts: int
    dropped: Dropped
    contigs_without_sequence: list[str] = field(default_factory=list[str])
    cds_inner_stop: list[str] = field(default_factory=list[str])
    cds_odd_length: list[str] = field(default_factory=list[str])


def build_bundle(
    out_dir: str | Path,
    *,
    name: str,
    fasta: str | Path,
    genes: str | Path,
    assembly: str | None = None,
    codon_tables: Mapping[str, int] | None = None,
    circular: Mapping[str, bool] | None = None,
    synthetic: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Build the bundle `name` in the new folder `out_dir` from a FASTA file and a GFF3 or GTF file.

    `codon_tables` and `circular` speak of contigs by any of their names. The folder appears whole or not at all.
    `progress` hears the phase and how many bytes of its file are read.
    """
    target = Path(out_dir)
    if target.exists() and not replace:
        raise InvalidInput(f"{target} is there already; remove it, or say that it may be replaced", code="exists")
    arriving = target.with_name(f".{target.name}.arriving-{os.getpid()}")
    shutil.rmtree(arriving, ignore_errors=True)
    arriving.mkdir(parents=True)
    try:
        report = _build(
            arriving,
            name,
            Path(fasta),
            Path(genes),
            assembly,
            codon_tables or {},
            circular or {},
            synthetic,
            progress or (lambda phase, done: None),
        )
        _install(arriving, target)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    report.path = target
    return report


def _install(arriving: Path, target: Path) -> None:
    if target.exists():
        leaving = target.with_name(f".{target.name}.leaving-{os.getpid()}")
        target.rename(leaving)
        arriving.rename(target)
        shutil.rmtree(leaving)
    else:
        arriving.rename(target)


def _build(
    folder: Path,
    name: str,
    fasta: Path,
    genes: Path,
    assembly: str | None,
    tables: Mapping[str, int],
    circular: Mapping[str, bool],
    synthetic: bool,
    progress: Progress,
) -> BuildReport:
    packed, merged = folder / "packed", folder / "merged"
    records = pack_fasta(fasta, packed, lambda done: progress("reading the genome", done))
    names, segments, source = segments_of(records, packed, merged)
    contigs = _contigs(names, records, segments, tables, circular)
    writer = Writer(folder)
    writer.adopt("sequence", source, "|u1")
    packed.unlink(missing_ok=True)
    merged.unlink(missing_ok=True)
    annotation = read_annotation(genes, lambda done: progress("reading the genes", done))
    index = alias_index([(c["name"], c["aliases"]) for c in contigs])
    mito = [bool(c["codon_table"] == 2) for c in contigs]
    models = gene_models(annotation, lambda n: index.get(n, -1), [c["length"] or 0 for c in contigs], mito)
    if not models.arrays["transcript_start"].size:
        _refuse_no_match(annotation, names, genes)
    _write_contigs(writer, contigs, segments)
    table = np.array([c["codon_table"] for c in contigs], np.uint8)
    models.arrays["transcript_table"] = table[models.arrays["transcript_contig"]]
    progress("splicing transcripts", 0)
    sequence = np.load(folder / "sequence.npy", mmap_mode="r")
    trouble = _write_transcripts(writer, models, segments, sequence)
    del sequence
    progress("indexing", 0)
    _write_index(writer, models, len(contigs))
    for key, value in models.arrays.items():
        writer.write(key, value)
    for pool, entries in models.pools.items():
        text, offset = text_pool(entries)
        writer.write(f"{pool}_text", text)
        writer.write(f"{pool}_offset", offset)
        if pool in b.SEARCHED_POOLS:
            order = sorted(range(len(entries)), key=entries.__getitem__)
            writer.write(f"{pool}_sorted", np.array(order, np.int32))
    listing = {
        "format": b.FORMAT,
        "name": name,
        "assembly": assembly or annotation.assembly,
        "created_by": f"genescale {__version__}",
        "kind": "regions" if any(record.region for record in records) else "whole",
        "synthetic": synthetic,
        "contigs": contigs,
        "biotypes": models.biotypes,
        "sources": [_source("genome", fasta), _source("genes", genes)],
        "dropped": dict(sorted(annotation.dropped.counts.items())),
        "arrays": dict(sorted(writer.arrays.items())),
        "digest": content_digest(writer.arrays, contigs),
    }
    (folder / b.LIST_FILE).write_text(json.dumps(listing, indent=1) + "\n")
    return BuildReport(
        folder,
        listing["digest"],
        len(contigs),
        sum(record.length for record in records),
        int(models.arrays["gene_start"].size),
        int(models.arrays["transcript_start"].size),
        annotation.dropped,
        [n for n in annotation.contigs if n not in index],
        *trouble,
    )


def _refuse_no_match(annotation: Annotation, names: list[str], genes: Path) -> None:
    theirs = ", ".join(list(annotation.contigs)[:30])
    raise InvalidInput(
        f"no transcript can be used: the genes are on {theirs or 'no contig'}; the genome has {', '.join(names[:30])}",
        code="no_transcripts",
        place=str(genes),
    )


def content_digest(arrays: Mapping[str, Mapping[str, Any]], contigs: list[dict[str, Any]]) -> str:
    """SHA-256 over the digests of all arrays by name, and the contigs: what the bundle says, not when or from where."""
    parts = [[name, arrays[name]["sha256"]] for name in sorted(arrays)]
    return hashlib.sha256(json.dumps([parts, contigs], sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _source(role: str, file: Path) -> dict[str, str]:
    return {"role": role, "file": file.name, "sha256": file_digest(file)}


def file_digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


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
        source = np.memmap(raw, np.dtype(dtype), "r")
        step = 1 << 24
        pieces = (source[i : i + step] for i in range(0, source.size, step))
        self.stream(name, dtype, pieces, int(source.size))


def npy_header(dtype: str, length: int) -> bytes:
    """The header of a one-dimensional .npy file, version 1.0, always 128 bytes long."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({length},), }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


# ---- contigs ----


def _contigs(
    names: list[str],
    records: list[Sequence],
    segments: list[Segment],
    tables: Mapping[str, int],
    circular: Mapping[str, bool],
) -> list[dict[str, Any]]:
    whole = {record.name: record for record in records if not record.region}
    del segments
    found: list[dict[str, Any]] = []
    for name in names:
        aliases = aliases_of(name)
        record = whole.get(name)
        mito = is_mitochondrial(name)
        called = [name, *aliases]
        table = next((tables[n] for n in called if n in tables), 2 if mito else 1)
        found.append(
            {
                "name": name,
                "length": record.length if record is not None else None,
                "circular": next((circular[n] for n in called if n in circular), mito),
                "codon_table": table,
                "aliases": list(aliases),
                "md5": record.md5 if record is not None else None,
                "refget": record.refget if record is not None else None,
            }
        )
    return found


def _write_contigs(writer: Writer, contigs: list[dict[str, Any]], segments: list[Segment]) -> None:
    first = np.zeros(len(contigs) + 1, np.int32)
    np.cumsum(np.bincount([s.contig for s in segments], minlength=len(contigs)), out=first[1:])
    writer.write("contig_segment", first)
    writer.write("segment_contig", np.array([s.contig for s in segments], np.int32))
    writer.write("segment_start", np.array([s.start for s in segments], np.int64))
    writer.write("segment_end", np.array([s.end for s in segments], np.int64))
    writer.write("segment_base", np.array([s.base for s in segments], np.int64))
    writer.write("contig_length", np.array([c["length"] or 0 for c in contigs], np.int64))
    writer.write("contig_table", np.array([c["codon_table"] for c in contigs], np.uint8))
    writer.write("contig_circular", np.array([c["circular"] for c in contigs], np.uint8))


# ---- spliced sequences ----

_MRNA_CODE: Final = np.array([4 if i not in (1, 2, 4, 8) else (1, 2, 4, 8).index(i) for i in range(16)], np.uint8)
_COMPLEMENT: Final = np.array([3, 2, 1, 0, 4], np.uint8)


def _write_transcripts(
    writer: Writer, models: GeneModels, segments: list[Segment], sequence: Array
) -> tuple[list[str], list[str]]:
    """mRNA and protein of every transcript, in chunks of a few megabases."""
    m = models.arrays
    offset = np.zeros(m["transcript_start"].size + 1, np.int64)
    np.cumsum(m["transcript_cdna_length"], out=offset[1:])
    writer.write("transcript_mrna", offset)
    proteins: list[Array] = []
    sizes: list[Array] = []
    inner: list[int] = []
    partial = np.zeros(offset.size - 1, np.uint32)

    def pieces() -> Iterator[Array]:
        for a, z in _chunks(offset):
            mrna = _spliced(m, segments, sequence, a, z)
            protein, size, stops = _translated(m, mrna, offset[a:z] - offset[a], a, z, partial)
            proteins.append(protein)
            sizes.append(size)
            inner.extend((stops + a).tolist())
            yield mrna

    writer.stream("mrna", "|u1", pieces(), int(offset[-1]))
    m["transcript_flags"] |= partial
    ends = np.zeros(offset.size, np.int64)
    if sizes:
        np.cumsum(np.concatenate(sizes), out=ends[1:])
    writer.write("transcript_protein", ends)
    writer.stream("protein", "|u1", iter(proteins), int(ends[-1]))
    names = models.pools["transcript_name"]
    length = m["cds_cdna_end"] - m["cds_cdna_start"] + 1 + m["transcript_phase"]
    odd = np.flatnonzero((m["coding_start"] > 0) & (length % 3 != 0) & (partial == 0)).tolist()
    return [names[i] for i in inner], [names[i] for i in odd]


def _chunks(offset: Array) -> Iterator[tuple[int, int]]:
    a, count = 0, offset.size - 1
    while a < count:
        z = int(np.searchsorted(offset, offset[a] + _CHUNK_BASES, "right")) - 1
        z = min(max(z, a + 1), count)
        yield a, z
        a = z


def _ranges(first: Array, sizes: Array) -> Array:
    begin = np.cumsum(sizes) - sizes
    return np.arange(int(sizes.sum())) + np.repeat(first - begin, sizes)


def _spliced(m: Mapping[str, Array], segments: list[Segment], sequence: Array, a: int, z: int) -> Array:
    """The mRNA of transcripts a to z, one code a base, in transcript direction."""
    x, y = int(m["transcript_exon"][a]), int(m["transcript_exon"][z])
    counts = np.diff(m["transcript_exon"][a : z + 1])
    of = np.repeat(np.arange(a, z), counts)
    start, size = (
        m["exon_start"][x:y].astype(np.int64),
        (m["exon_end"][x:y] - m["exon_start"][x:y] + 1).astype(np.int64),
    )
    base = _base_of(segments, m["transcript_contig"][of], start - 1)
    minus = m["transcript_strand"][of] < 0
    total = m["transcript_cdna_length"][a:z].astype(np.int64)
    origin = (np.cumsum(total) - total)[of - a]
    put = origin + m["exon_cdna"][x:y] - 1
    order = np.argsort(put, kind="stable")
    base, size, minus = base[order], size[order], minus[order]
    step = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    flip = np.repeat(minus, size)
    at = np.repeat(np.where(minus, base + size - 1, base), size) + np.where(flip, -step, step)
    codes = _MRNA_CODE[(sequence[at >> 1] >> ((at & 1) << 2).astype(np.uint8)) & 15]
    codes[flip] = _COMPLEMENT[codes[flip]]
    codes[np.repeat(base < 0, size)] = 4
    return codes


def _base_of(segments: list[Segment], contig: Array, position: Array) -> Array:
    """The index in the packed sequence of 0-based positions; -1 outside every segment."""
    key = np.array([s.contig << 40 | s.start for s in segments], np.int64)
    end = np.array([s.end for s in segments], np.int64)
    shift = np.array([s.base - s.start for s in segments], np.int64)
    at = np.searchsorted(key, contig.astype(np.int64) << 40 | position, "right") - 1
    known = (at >= 0) & (np.array([s.contig for s in segments])[at] == contig) & (position < end[at])
    return np.where(known, position + shift[at], -1)


def _translated(
    m: Mapping[str, Array], mrna: Array, begin: Array, a: int, z: int, partial: Array
) -> tuple[Array, Array, Array]:
    """Proteins of transcripts a to z, their lengths, and which of them have a stop inside."""
    tables = m["transcript_table"][a:z]
    phase = m["transcript_phase"][a:z].astype(np.int64)
    coding = m["coding_start"][a:z] > 0
    cds = np.where(coding, m["cds_cdna_end"][a:z] - m["cds_cdna_start"][a:z] + 1, 0).astype(np.int64)
    length = np.where(coding, (cds + phase) // 3, 0)
    t = np.repeat(np.arange(z - a), length)
    within = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    origin = begin + m["cds_cdna_start"][a:z] - 1 - phase
    at = origin[t] + 3 * within
    codon = np.zeros(at.size, np.int64)
    floor = (origin + phase)[t]
    for j in range(3):
        codon = codon * 5 + np.where(at + j < floor, 4, mrna[np.maximum(at + j, 0)])
    letters = np.empty(at.size, np.uint8)
    starting = within == 0
    for table in np.unique(tables[coding]).tolist():
        mine = tables[t] == table
        letters[mine] = np.frombuffer(codons.amino_acids(table), np.uint8)[codon[mine]]
        begins = np.frombuffer(codons.starts(table), np.uint8)[codon] > 0
        letters[mine & starting & begins] = ord("M")
    last = np.cumsum(length) - 1
    some = np.flatnonzero(length > 0)
    keep = np.ones(at.size, bool)
    stops = some[letters[last[some]] == ord("*")]
    keep[last[stops]] = False
    length[stops] -= 1
    inner = np.unique(t[keep & (letters == ord("*"))])
    _mark_polyadenylated(m, mrna, begin, a, z, cds + phase, partial)
    return letters[keep], length, inner


def _mark_polyadenylated(
    m: Mapping[str, Array], mrna: Array, begin: Array, a: int, z: int, length: Array, partial: Array
) -> None:
    """Mitochondrial CDS that end in T or TA at the end of the transcript: poly(A) makes a stop of it."""
    cdna_end = m["cds_cdna_end"][a:z]
    mito = (m["transcript_flags"][a:z] & b.MITOCHONDRIAL > 0) & (m["coding_start"][a:z] > 0)
    candidates = np.flatnonzero(mito & (cdna_end == m["transcript_cdna_length"][a:z]) & (length % 3 > 0))
    for i in candidates.tolist():
        end = int(begin[i] + cdna_end[i])
        if bytes(mrna[end - int(length[i]) % 3 : end]) in (b"\x03", b"\x03\x00"):
            partial[a + i] |= b.INCOMPLETE_STOP_BY_POLYA


# ---- the interval index ----


def _write_index(writer: Writer, models: GeneModels, contigs: int) -> None:
    """Cells within which the set of transcripts that may be touched is constant, each with its transcripts in order."""
    m = models.arrays
    by_order = np.argsort(m["transcript_order"], kind="stable")
    contig = m["transcript_contig"][by_order]
    starts: list[Array] = []
    counts: list[Array] = []
    members: list[Array] = []
    per_contig: list[int] = []
    for c in range(contigs):
        mine = by_order[contig == c]
        low = np.maximum(m["transcript_start"][mine].astype(np.int64) - b.INDEX_REACH, 0)
        high = m["transcript_end"][mine].astype(np.int64) + b.INDEX_REACH + 1
        cells = np.unique(np.concatenate(([0], low, high)))
        first, last = np.searchsorted(cells, low), np.searchsorted(cells, high)
        cell = _ranges(first, last - first)
        order = np.argsort(cell, kind="stable")
        members.append(np.repeat(mine, last - first)[order].astype(np.int32))
        counts.append(np.bincount(cell, minlength=cells.size))
        starts.append(np.minimum(cells, 2**31 - 1).astype(np.int32))
        per_contig.append(cells.size)
    writer.write("contig_cell", np.concatenate(([0], np.cumsum(per_contig))).astype(np.int32))
    writer.write("cell_start", np.concatenate(starts))
    writer.write("cell_transcript_first", np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64))
    writer.write("cell_transcript", np.concatenate(members))
