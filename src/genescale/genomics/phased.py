"""Phased genotypes of a VCF stream: which variants lie on one chromosome, and what they do together.

`Phased` stands between the annotator and its output. It keeps lines back until the transcripts that they touch are
passed, and then adds to each line the compounds (`haplotype`) in which its variants take part. What it holds is a few
thousand lines at most: those between the first coding variant of a transcript in work and the present place.

Genotypes count when they are phased (`0|1`) or the same on all chromosomes (`1/1`, `1`). With FORMAT/PS, variants of
different phase sets of one sample are not put together.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from genescale.errors import InvalidInput
from genescale.genomics import terms
from genescale.genomics.bundle import Bundle
from genescale.genomics.haplotype import Coding, Compound, Edit, compounds
from genescale.genomics.places import reverse_complement
from genescale.genomics.render import HAPLOTYPES
from genescale.genomics.transcripts import Transcript
from genescale.genomics.variants import NON_ACGT
from genescale.genomics.vcf import INFO, NO_RECORD

INFO_KEY: Final = HAPLOTYPES
FIELDS: Final = (
    "Consequence",
    "IMPACT",
    "SYMBOL",
    "Feature",
    "Protein_position",
    "Amino_acids",
    "HGVSp",
    "Variants",
    "Masked",
    "Copies",
    "Samples",
)
_OURS: Final = f"{INFO_KEY}=".encode()
_SAMPLES_SHOWN: Final = 50


class Call(NamedTuple):
    """One sample's alleles at one record, one for each chromosome (0 is REF, -1 is missing), and its phase set."""

    alleles: tuple[int, ...]
    phase_set: bytes


@dataclass(slots=True)
class _Line:
    """A line of output that waits, and what will be added to it."""

    number: int
    text: bytes
    found: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class _Active:
    """A transcript in work: the records of coding variants on it, in order."""

    end: int
    model: Transcript
    records: list[_Line] = field(default_factory=list[_Line])
    edits: list[dict[int, Edit]] = field(default_factory=list[dict[int, Edit]])
    calls: list[Sequence[Call | None]] = field(default_factory=list[Sequence[Call | None]])


class Phased:
    """Adds the compounds of phased neighbours to the lines of a sorted VCF. For one stream."""

    def __init__(self, bundle: Bundle, samples: Sequence[str]) -> None:
        """`samples` are the names in the line #CHROM of the input."""
        self._bundle = bundle
        self._samples = samples
        self._ends = bundle.array("transcript_end")
        self._active: dict[int, _Active] = {}
        self._held: deque[_Line] = deque()
        self._place = (-1, 0)
        self._lines = 0
        self.unphased = 0
        self.found = 0

    @staticmethod
    def declaration() -> str:
        """The header line of the INFO field."""
        return (
            f'##INFO=<ID={INFO_KEY},Number=.,Type=String,Description="What phased variants do to a protein together, '
            f'one entry for each transcript and set of variants. Format: {"|".join(FIELDS)}">'
        )

    def take(self, output: bytes, block: bytes | memoryview, scanner: Any, pairs: Any, dropped: Iterable[int]) -> bytes:
        """The lines that are ready, after taking in those of one batch.

        `output` are the annotated lines of the batch of `scanner`, one for each record whose status is not `dropped`.
        """
        records = scanner.records
        gone = set(dropped)
        kept = [i for i, status in enumerate(records.status[: records.count].tolist()) if status not in gone]
        lines = output.splitlines(keepends=True)
        if len(lines) != len(kept):
            raise ValueError(f"{len(lines)} lines came for {len(kept)} records")
        line_of: dict[int, _Line] = {}
        for i, text in zip(kept, lines, strict=True):
            self._lines += 1
            line_of[i] = line = _Line(self._lines, _without_info(text) if _OURS in text else text)
            self._held.append(line)
        for record, rows in _coding_rows(scanner, pairs):
            if record in line_of:
                self._record(line_of[record], record, rows, block, scanner, pairs)
        last = next((i for i in reversed(kept) if records.status[i] != NO_RECORD and records.contig[i] >= 0), None)
        if last is not None:
            self._pass(int(records.contig[last]), int(records.position[last]), last + 1)
        return self._ready()

    def end(self) -> bytes:
        """The lines that are left when the input has ended."""
        self._close(list(self._active))
        return self._ready()

    # records

    def _record(self, line: _Line, record: int, rows: list[int], block: Any, scanner: Any, pairs: Any) -> None:
        contig, position = int(scanner.records.contig[record]), int(scanner.records.position[record])
        self._pass(contig, position, record + 1)
        calls = self._calls(block, scanner.records, record)
        if not any(call and any(allele > 0 for allele in call.alleles) for call in calls):
            return
        for transcript, mine in _by_transcript(rows, pairs):
            active = self._active.get(transcript)
            if active is None:
                active = _Active(int(self._ends[transcript]), Transcript(self._bundle, transcript))
            found = (self._edit(active.model, row, scanner.variants, pairs) for row in mine)
            edits = dict(edit for edit in found if edit is not None)
            if edits:
                self._active[transcript] = active
                active.records.append(line)
                active.calls.append(calls)
                active.edits.append(edits)

    def _edit(self, on: Transcript, row: int, variants: Any, pairs: Any) -> tuple[int, Edit] | None:
        """The allele number and the edit of one coding row; None where it does not lie in the CDS as a whole.

        An allele of a site with several has bases in common with REF; the edit is without them, so that alleles of
        neighbouring lines meet only where their changes do.
        """
        variant = int(pairs.variant[row])
        low, ref, alt = _trimmed(int(variants.start[variant]), variants.ref(variant), variants.alt(variant))
        span = _cdna_span(on, low, low + len(ref) - 1)
        if span is None or (not ref and not alt):
            return None
        label = f"{low}{ref or '-'}>{alt or '-'}"
        along = alt if on.strand > 0 else reverse_complement(alt)
        return int(variants.allele[variant]), Edit(*span, along, label, int(pairs.terms[row]))

    def _calls(self, block: Any, records: Any, record: int) -> list[Call | None]:
        start, end = int(records.line_start[record]), int(records.line_end[record])
        behind = start + int(records.fields[record, INFO]) + 1
        columns = bytes(memoryview(block)[behind:end]).rstrip(b"\r\n").split(b"\t")
        keys = columns[0].split(b":")
        if b"GT" not in keys:
            return []
        genotype = keys.index(b"GT")
        phase_set = keys.index(b"PS") if b"PS" in keys else -1
        calls = [read_call(text, genotype, phase_set) for text in columns[1:]]
        self.unphased += sum(
            call is None and b"/" in text.split(b":")[genotype] for call, text in zip(calls, columns[1:], strict=True)
        )
        return calls

    def _pass(self, contig: int, position: int, record: int) -> None:
        """Finish what lies before this place."""
        if contig == self._place[0] and position < self._place[1]:
            raise InvalidInput(
                "phased variants need sorted lines, and this one lies before the one above it; sort the file first "
                "(bcftools sort)",
                code="not_sorted",
                place=f"record {record} of its block",
            )
        left = contig != self._place[0]
        self._place = (contig, position)
        self._close([t for t, active in self._active.items() if left or active.end < position])

    # compounds

    def _close(self, transcripts: Iterable[int]) -> None:
        for transcript in transcripts:
            active = self._active.pop(transcript)
            if len(active.records) > 1:
                self._judge(active)

    def _judge(self, active: _Active) -> None:
        coding = Coding(self._bundle, active.model)
        known: dict[tuple[tuple[int, int], ...], list[Compound]] = {}
        carriers: dict[Compound, dict[str, None]] = {}
        for number, name in enumerate(self._samples):
            for copy, alleles in _haplotypes(active, number):
                if len(alleles) < 2:
                    continue
                if alleles not in known:
                    known[alleles] = compounds(coding, [active.edits[i][allele] for i, allele in alleles])
                for compound in known[alleles]:
                    carriers.setdefault(compound, {})[f"{name}:{copy + 1}"] = None
        for compound, names in carriers.items():
            self.found += 1
            entry = self._entry(compound, list(names))
            concerned = {*compound.edits, *compound.masked}
            for line, edits in zip(active.records, active.edits, strict=True):
                if concerned.intersection(edits.values()):
                    line.found.append(entry)

    def _entry(self, compound: Compound, names: list[str]) -> str:
        bundle = self._bundle
        gene = int(bundle.array("transcript_gene")[compound.transcript])
        first, last = compound.protein_start, compound.protein_end
        same = compound.ref_peptide == compound.alt_peptide
        protein = bundle.text("protein_name", compound.transcript)
        named = f"{protein}:{compound.hgvsp}" if protein and compound.hgvsp else compound.hgvsp
        shown = names[:_SAMPLES_SHOWN] + (
            [f"{len(names) - _SAMPLES_SHOWN} more"] if len(names) > _SAMPLES_SHOWN else []
        )
        parts = (
            "&".join(terms.names(compound.terms)),
            terms.impact(compound.terms),
            bundle.text("gene_symbol", gene),
            bundle.text("transcript_name", compound.transcript),
            str(first) if first == last else f"{first}-{last}",
            compound.ref_peptide if same else f"{compound.ref_peptide}/{compound.alt_peptide}",
            named,
            "+".join(edit.label for edit in compound.edits),
            "+".join(edit.label for edit in compound.masked),
            str(len(names)),
            "&".join(shown),
        )
        return "|".join(part.translate(_UNSAFE) for part in parts)

    def _ready(self) -> bytes:
        """Let go of the lines before the first one that some transcript in work still needs."""
        needed = min((active.records[0].number for active in self._active.values()), default=self._lines + 1)
        done: list[bytes] = []
        while self._held and self._held[0].number < needed:
            line = self._held.popleft()
            done.append(_with_info(line.text, line.found) if line.found else line.text)
        return b"".join(done)


# What a VCF INFO value cannot hold, percent-encoded as the specification asks.
_UNSAFE: Final = str.maketrans({",": "%2C", ";": "%3B", "=": "%3D", " ": "%20", "\t": "%09"})


def _trimmed(low: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Without the bases that both alleles end or begin with."""
    same = 0
    while same < min(len(ref), len(alt)) and ref[-1 - same] == alt[-1 - same]:
        same += 1
    ref, alt = ref[: len(ref) - same], alt[: len(alt) - same]
    same = 0
    while same < min(len(ref), len(alt)) and ref[same] == alt[same]:
        same += 1
    return low + same, ref[same:], alt[same:]


def _cdna_span(on: Transcript, low: int, high: int) -> tuple[int, int] | None:
    """First and last cDNA position of a span in the CDS; for an insertion first is last + 1, as low is high + 1."""
    if low > high:
        before, behind = (on.cdna_of(high), on.cdna_of(low))[:: on.strand]
        last = before or behind - 1
        return (last + 1, last) if (before or behind) and on.cds_start <= last < on.cds_end else None
    first, last = sorted((on.cdna_of(low), on.cdna_of(high)))
    return (first, last) if on.cds_start <= first and last <= on.cds_end else None


def _coding_rows(scanner: Any, pairs: Any) -> Iterator[tuple[int, list[int]]]:
    """Records with rows whose variant lies in the CDS with both ends, and these rows."""
    count = pairs.count
    rows = np.flatnonzero((pairs.cds_start[:count] > 0) & (pairs.cds_end[:count] > 0))
    variants = pairs.variant[rows]
    rows = rows[(scanner.variants.sv[variants] == 0) & (scanner.variants.flags[variants] & NON_ACGT == 0)]
    if not len(rows):
        return
    of_record = scanner.variants.record[pairs.variant[rows]]  # rises, since rows come in the order of the variants
    first = np.flatnonzero(np.diff(of_record, prepend=-1))
    for record, mine in zip(of_record[first].tolist(), np.split(rows, first[1:]), strict=True):
        yield record, mine.tolist()


def _by_transcript(rows: list[int], pairs: Any) -> Iterator[tuple[int, list[int]]]:
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(int(pairs.transcript[row]), []).append(row)
    yield from found.items()


def read_call(text: bytes, genotype: int, phase_set: int) -> Call | None:
    """The alleles of one sample column; None when their order on the chromosomes is not known or they are missing."""
    values = text.split(b":")
    if genotype >= len(values):
        return None
    written = values[genotype]
    alleles = written.replace(b"/", b"|").lstrip(b"|").split(b"|")
    if not all(allele.isdigit() or allele == b"." for allele in alleles):
        return None
    numbers = tuple(int(allele) if allele != b"." else -1 for allele in alleles)
    if b"/" in written and len(set(numbers)) > 1:
        return None
    group = values[phase_set] if 0 <= phase_set < len(values) else b"."
    return Call(numbers, b"" if group == b"." or len(set(numbers)) == 1 else group)


def _haplotypes(active: _Active, sample: int) -> Iterator[tuple[int, tuple[tuple[int, int], ...]]]:
    """For each chromosome and phase set of a sample, its alleles: pairs of (place in `active`, allele number)."""
    here = [(i, calls[sample]) for i, calls in enumerate(active.calls) if sample < len(calls)]
    called = [(i, call) for i, call in here if call is not None]
    sets = {call.phase_set for _, call in called if len(set(call.alleles)) > 1} or {b""}
    ploidy = max((len(call.alleles) for _, call in called), default=0)
    for group in sorted(sets):
        for copy in range(ploidy):
            yield (
                copy,
                tuple(
                    (i, call.alleles[copy])
                    for i, call in called
                    if copy < len(call.alleles)
                    and call.alleles[copy] in active.edits[i]
                    and (len(set(call.alleles)) == 1 or call.phase_set == group)
                ),
            )


def _with_info(line: bytes, entries: list[str]) -> bytes:
    """A VCF line with one more INFO field."""
    columns = line.split(b"\t", INFO + 1)
    text = f"{INFO_KEY}={','.join(entries)}".encode()
    info = columns[INFO]
    end = b""
    if len(columns) == INFO + 1:  # no samples: the line ends here
        info = info.rstrip(b"\r\n")
        end = columns[INFO][len(info) :]
    columns[INFO] = (text if info in {b".", b""} else info + b";" + text) + end
    return b"\t".join(columns)


def _without_info(line: bytes) -> bytes:
    """A VCF line without what an earlier run has added to it."""
    columns = line.split(b"\t", INFO + 1)
    if len(columns) > INFO:
        kept = [entry for entry in columns[INFO].split(b";") if not entry.startswith(_OURS)]
        columns[INFO] = b";".join(kept) or b"."
    return b"\t".join(columns)


def sample_names(columns: bytes) -> list[str]:
    """The names of the samples in a line #CHROM."""
    return columns.decode("utf-8", "replace").rstrip("\r\n").split("\t")[INFO + 2 :]
