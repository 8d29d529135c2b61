"""The spliced sequence of every transcript and its protein, from the packed genome, in chunks of a megabase."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from genescale.genomics import bundle as b
from genescale.genomics import codons
from genescale.genomics.bundle import NPY_HEADER_SIZE
from genescale.genomics.bundle_writer import Writer
from genescale.genomics.fasta import Segment
from genescale.genomics.gene_models import GeneModels

Array = npt.NDArray[Any]

_CHUNK_BASES: Final = 1 << 20
_MRNA_CODE: Final = np.array([4 if i not in (1, 2, 4, 8) else (1, 2, 4, 8).index(i) for i in range(16)], np.uint8)
_UNKNOWN_BASE: Final = 4
_COMPLEMENT: Final = np.array([3, 2, 1, 0, 4], np.uint8)


class Trouble(NamedTuple):
    """Transcripts that a reader of the report should know of, and the share of their bases that is no A, C, G or T."""

    inner_stop: list[str]
    odd_length: list[str]
    unknown: float


def write_transcripts(writer: Writer, models: GeneModels, segments: list[Segment]) -> Trouble:
    """mRNA and protein of every transcript, contig by contig, in chunks of a megabase."""
    m = models.arrays
    offset = np.zeros(m["transcript_start"].size + 1, np.int64)
    np.cumsum(m["transcript_cdna_length"], out=offset[1:])
    writer.write("transcript_mrna", offset)
    proteins: list[Array] = []
    sizes: list[Array] = []
    inner: list[int] = []
    unknown = 0
    partial = np.zeros(offset.size - 1, np.uint32)

    def pieces() -> Iterator[Array]:
        nonlocal unknown
        for contig, first, last in _runs(m["transcript_contig"]):
            known = _Known.of(writer.folder, [segment for segment in segments if segment.contig == contig])
            for a, z in _chunks(offset, first, last):
                mrna = _spliced(m, known, a, z)
                protein, size, stops = _translated(m, mrna, offset[a:z] - offset[a], a, z, partial)
                proteins.append(protein)
                sizes.append(size)
                inner.extend((stops + a).tolist())
                unknown += int(np.count_nonzero(mrna == _UNKNOWN_BASE))
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
    open_end = (m["transcript_flags"] & (b.CDS_START_NF | b.CDS_END_NF)) > 0
    odd = np.flatnonzero((m["coding_start"] > 0) & (length % 3 != 0) & (partial == 0) & ~open_end).tolist()
    stopped = [names[i] for i in inner if not m["transcript_flags"][i] & b.SELENO]
    return Trouble(stopped, [names[i] for i in odd], unknown / max(int(offset[-1]), 1))


def _runs(contig: Array) -> Iterator[tuple[int, int, int]]:
    """Each contig that has transcripts, with the first of them and one past the last."""
    edges = [0, *(np.flatnonzero(np.diff(contig)) + 1).tolist(), contig.size]
    for first, last in pairwise(edges):
        if first < last:
            yield int(contig[first]), first, last


def _chunks(offset: Array, first: int, last: int) -> Iterator[tuple[int, int]]:
    a = first
    while a < last:
        z = int(np.searchsorted(offset, int(offset[a]) + _CHUNK_BASES, "right")) - 1
        z = min(max(z, a + 1), last)
        yield a, z
        a = z


@dataclass(frozen=True, slots=True)
class _Known:
    """The known bases of one contig, packed, and where each of its segments begins in them."""

    packed: Array
    start: Array
    shift: Array

    @classmethod
    def of(cls, folder: Path, segments: list[Segment]) -> "_Known":
        first = segments[0].base // 2
        last = segments[-1].base + segments[-1].end - segments[-1].start
        packed = np.fromfile(folder / "sequence.npy", np.uint8, (last + 1) // 2 - first, offset=NPY_HEADER_SIZE + first)
        start = np.array([s.start for s in segments], np.int64)
        return cls(packed, start, np.array([s.base - s.start - 2 * first for s in segments], np.int64))

    def index(self, position: Array) -> Array:
        """Where in `packed` these 0-based positions are. All of them are known."""
        return position + self.shift[np.searchsorted(self.start, position, "right") - 1]


def _spliced(m: Mapping[str, Array], known: _Known, a: int, z: int) -> Array:
    """The mRNA of transcripts a to z, one code a base, in transcript direction."""
    x, y = int(m["transcript_exon"][a]), int(m["transcript_exon"][z])
    of = np.repeat(np.arange(z - a), np.diff(m["transcript_exon"][a : z + 1]))
    total = m["transcript_cdna_length"][a:z].astype(np.int64)
    put = (np.cumsum(total) - total)[of] + m["exon_cdna"][x:y]
    order = np.argsort(put, kind="stable")
    start = m["exon_start"][x:y].astype(np.int64)[order] - 1
    size = m["exon_end"][x:y].astype(np.int64)[order] - start
    minus = m["transcript_strand"][a:z][of[order]] < 0
    base = known.index(start)
    step = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    flip = np.repeat(minus, size)
    at = np.repeat(np.where(minus, base + size - 1, base), size) + np.where(flip, -step, step)
    codes = _MRNA_CODE[(known.packed[at >> 1] >> ((at & 1) << 2).astype(np.uint8)) & 15]
    codes[flip] = _COMPLEMENT[codes[flip]]
    return codes


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
