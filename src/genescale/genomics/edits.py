"""One edit of an HGVS name, on the numbering in which it counts: from positions and stated bases to the genome."""

from dataclasses import dataclass
from typing import Final

from genescale.errors import InvalidInput, ReferenceMismatch
from genescale.genomics import hgvs, hgvs_parts
from genescale.genomics.bundle import PROTEIN_DIFFERS, Bundle
from genescale.genomics.hgvs_parts import Change, Interval, Position, UncertainPosition
from genescale.genomics.places import GenomicEdit, VcfVariant, as_vcf, bases_of, mismatch, reverse_complement
from genescale.genomics.transcripts import Note, Transcript, find_transcripts, numbering_of

LITERAL_MAX: Final = 50_000
"""A longer deletion, duplication or inversion is given as a symbolic allele with END."""


@dataclass(frozen=True, slots=True)
class Found:
    """The variants of one change; with `ambiguous` only one of them is meant."""

    variants: tuple[VcfVariant, ...]
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A genomic span, 1-based and inclusive; an insertion has low = high + 1. `wraps` crosses a circular origin."""

    low: int
    high: int
    wraps: bool = False


class Numbering:
    """The numbering in which one name counts: a contig, or a transcript with its strand."""

    def __init__(self, bundle: Bundle, on: int | Transcript, numbering: str, notes: list[Note]) -> None:
        self.bundle = bundle
        self.transcript = on if isinstance(on, Transcript) else None
        self.contig = on.contig if isinstance(on, Transcript) else on
        self.strand = on.strand if isinstance(on, Transcript) else 1
        self.numbering = numbering
        self.notes = notes
        self.length = bundle.contigs[self.contig].length
        self.circular = bundle.contigs[self.contig].circular and self.length is not None

    def variants(self, change: Change) -> Found:
        """The variants of one change."""
        interval, edit = change.interval, change.edit
        if interval is None:
            return self._none()
        assert isinstance(interval, Interval), "p. is translated back elsewhere"
        place = f"{self.numbering}.{change.text(stated=False)}"[:60]
        if is_uncertain(interval):
            return self._symbolic(self._inner(interval, place), edit, place, imprecise=str(interval))
        first, last = self.ends(interval)
        if isinstance(edit, hgvs_parts.Insertion):
            return self._insertion(interval, first, last, edit, place)
        return self._replacement(interval, first, self.span(first, last, place), edit, place)

    def _replacement(self, interval: Interval, first: int, span: Span, edit: object, place: str) -> Found:
        self._check_placeholder(span, place)
        size = self.size(span)
        if size > LITERAL_MAX:
            return self._symbolic(span, edit, place)
        ref = self.bases(span, place)
        self._check_stated(edit, interval, span, ref, place)
        if isinstance(edit, hgvs_parts.Repeat):
            return self._repeat(first, size, edit, place)
        alt = self._alternative(edit, ref, size, place)
        return Found((self._edited(span, alt),)) if alt != ref else self._none()

    def _none(self) -> Found:
        self.notes.append(no_change())
        return Found(())

    # places

    def ends(self, interval: Interval) -> tuple[int, int]:
        """Where the first and the last base of a certain interval lie."""
        start, end = interval.start, interval.end
        assert isinstance(start, Position), "settled by is_uncertain"
        assert isinstance(end, Position), "settled by is_uncertain"
        first = self.place(start)
        return first, first if end == start else self.place(end)

    def place(self, position: Position) -> int:
        """Its genomic position."""
        if self.transcript is not None:
            return self.transcript.place(self.numbering, position, self.notes)
        base = position.base
        assert base is not None, "settled by is_uncertain"
        if self.length is not None and base > self.length:
            name = self.bundle.contigs[self.contig].name
            raise InvalidInput(f"{name} has {self.length} bases; {base} is behind them", code="past_end")
        return base

    def span(self, first: int, last: int, place: str) -> Span:
        """From the first to the last base in the direction of the name."""
        low, high = (first, last) if self.strand > 0 else (last, first)
        if low <= high:
            return Span(low, high)
        if self.circular and self.transcript is None:
            self.notes.append(Note("crosses_origin", f"{place} crosses the origin; REF continues at position 1"))
            return Span(low, high, wraps=True)
        raise InvalidInput("the range runs backwards; write the lower position first", code="backwards", place=place)

    def size(self, span: Span) -> int:
        """How many bases it has."""
        return span.high - span.low + 1 + (self.length or 0) * span.wraps

    def bases(self, span: Span, place: str) -> str:
        """The reference in the direction of the name."""
        if span.wraps:
            assert self.length is not None, "only circular contigs of known length wrap"
            return bases_of(self.bundle, self.contig, span.low, self.length, place) + bases_of(
                self.bundle, self.contig, 1, span.high, place
            )
        plus = bases_of(self.bundle, self.contig, span.low, span.high, place)
        return plus if self.strand > 0 else reverse_complement(plus)

    def _edited(self, span: Span, alt: str) -> VcfVariant:
        plus = alt if self.strand > 0 else reverse_complement(alt)
        high = span.high + (self.length or 0) * span.wraps
        return as_vcf(self.bundle, GenomicEdit(self.contig, span.low, high, plus))

    def _check_placeholder(self, span: Span, place: str) -> None:
        if self.bundle.contigs[self.contig].codon_table == 2 and span.low <= span.high and span.low == _PLACEHOLDER:
            base = self.bundle.sequence(self.contig, _PLACEHOLDER, _PLACEHOLDER)
            if base == b"N":
                raise InvalidInput(
                    f"position {_PLACEHOLDER} of the mitochondrial reference is a placeholder, kept so that numbers "
                    "agree with the first sequence of 1981: no genome has a base there, and no variant starts there",
                    code="placeholder",
                    place=place,
                )

    def _check_stated(self, edit: object, interval: Interval, span: Span, ref: str, place: str) -> None:
        stated: str = getattr(edit, "ref", "")
        length: int | None = getattr(edit, "length", None)
        if isinstance(edit, hgvs_parts.Substitution) and len(ref) != 1:
            raise InvalidInput(
                "a substitution replaces one base; for more write delins", code="wrong_length", place=place
            )
        if length is not None and length != len(ref):
            raise InvalidInput(
                f"the name states {length} bases and its range has {len(ref)}{self.introns(interval)}",
                code="wrong_length",
                place=place,
            )
        if stated and stated != ref:
            if len(stated) != len(ref):
                raise InvalidInput(
                    f"the name states {len(stated)} bases and its range has {len(ref)}{self.introns(interval)}",
                    code="wrong_length",
                    place=place,
                )
            error = self._mismatch(span.low, span.high, stated, ref, place)
            if isinstance(edit, hgvs_parts.Identity) and self.transcript is not None:
                # The name says that the sample has what the transcript has. Where transcript and assembly differ, that
                # is a variant; but only the record of the transcript could tell, and the bundle has the assembly.
                text = (
                    f"{error}. If the transcript itself has {stated[:20]} there, write the change of the assembly as g."
                )
                raise ReferenceMismatch(text, stated=stated, reference=ref)
            raise error

    def _mismatch(self, low: int, high: int, stated: str, ours: str, place: str) -> ReferenceMismatch:
        t = self.transcript
        differs = t.name if t is not None and t.flags & PROTEIN_DIFFERS else ""
        return mismatch(
            self.bundle, self.contig, low, high, stated, ours, strand=self.strand, place=place, differs=differs
        )

    def introns(self, interval: Interval) -> str:
        """A hint where a range spans introns, whose bases a name on the genome includes."""
        t, start, end = self.transcript, interval.start, interval.end
        if t is None or not isinstance(start, Position) or not isinstance(end, Position):
            return ""
        if t.exon_of(t.cdna(self.numbering, start)) == t.exon_of(t.cdna(self.numbering, end)):
            return ""
        return f"; it spans introns of {t.name}, whose bases count"

    # edits

    def _alternative(self, edit: object, ref: str, size: int, place: str) -> str:
        """What replaces `ref`, in the direction of the name."""
        if isinstance(edit, hgvs_parts.Substitution):
            return edit.alt
        if isinstance(edit, hgvs_parts.Deletion):
            return ""
        if isinstance(edit, hgvs_parts.DeletionInsertion):
            return self._inserted(edit.inserted, place)
        if isinstance(edit, hgvs_parts.Duplication):
            return ref + ref
        if isinstance(edit, hgvs_parts.Inversion):
            if size < 2:
                raise InvalidInput("an inversion has at least two bases", code="wrong_length", place=place)
            return reverse_complement(ref)
        if isinstance(edit, hgvs_parts.Identity):
            return ref
        if isinstance(edit, hgvs_parts.Copy):
            raise InvalidInput(
                "copyN is a laboratory's own word; write dup, or the number of copies in square brackets",
                code="unknown_form",
                place=place,
            )
        raise InvalidInput(
            f"{type(edit).__name__.lower()} is no change of bases here", code="unknown_form", place=place
        )

    def _insertion(self, interval: Interval, first: int, last: int, edit: hgvs_parts.Insertion, place: str) -> Found:
        alt = self._inserted(edit.inserted, place)
        low, high = min(first, last), max(first, last)
        if high - low == 1 and (last - first) * self.strand == 1:
            return Found((self._edited(Span(high, low), alt),))
        if self.circular and first == self.length and last == 1:
            return Found((self._edited(Span(first + 1, first), alt),))
        spliced = self._neighbours_on_transcript(interval)
        if spliced:
            text = f"{place} names an exon border: on the genome the bases may stand at either end of the intron"
            self.notes.append(Note("exon_border", text))
            behind, before = first + self.strand, last - self.strand
            sides = [Span(max(first, behind), min(first, behind)), Span(max(last, before), min(last, before))]
            return Found(tuple(self._edited(side, alt) for side in sides), ambiguous=True)
        raise InvalidInput(
            "an insertion stands between two neighbouring positions, like 88_89ins; to replace bases write delins",
            code="not_neighbours",
            place=place,
        )

    def _neighbours_on_transcript(self, interval: Interval) -> bool:
        t, start, end = self.transcript, interval.start, interval.end
        if t is None or not isinstance(start, Position) or not isinstance(end, Position) or start.offset or end.offset:
            return False
        return t.cdna(self.numbering, end) - t.cdna(self.numbering, start) == 1

    def _inserted(self, inserted: hgvs_parts.Inserted, place: str) -> str:
        """The inserted bases in the direction of the name."""
        return "".join(self._part(part, place) for part in inserted.parts)

    def _part(self, part: hgvs_parts.InsertedPart, place: str) -> str:
        if isinstance(part, hgvs_parts.Bases):
            if part.count * len(part.sequence) > hgvs.CHARACTERS_MAX:
                raise InvalidInput("the insertion is too long; give it as VCF", code="too_long", place=place)
            return part.sequence * part.count
        if isinstance(part, hgvs_parts.UnknownBases):
            size = "an unknown number of" if part.length is None else part.length
            raise InvalidInput(
                f"{size} inserted bases are named but not told: no allele follows", code="unknown_bases", place=place
            )
        frame = self._frame_of(part)
        if is_uncertain(part.interval):
            raise InvalidInput("the inserted range is uncertain: no allele follows", code="unknown_bases", place=place)
        span = frame.span(*frame.ends(part.interval), place)
        if frame.size(span) > LITERAL_MAX:
            raise InvalidInput("the insertion is too long; give it as VCF", code="too_long", place=place)
        if frame.introns(part.interval):
            raise InvalidInput(
                "the inserted range spans an intron: say by g. what is inserted", code="spans_intron", place=place
            )
        copied = frame.bases(span, place)
        return reverse_complement(copied) if part.inverted else copied

    def _frame_of(self, part: hgvs_parts.CopiedBases) -> "Numbering":
        if not part.accession:
            return self
        if part.type in "gm":
            return Numbering(self.bundle, self.bundle.contig_named(part.accession), part.type, self.notes)
        named = find_transcripts(self.bundle, part.accession)
        self.notes.extend(named.notes)
        return Numbering(
            self.bundle, named.transcripts[0], numbering_of(part.type, named.transcripts[0], self.notes), self.notes
        )

    def _repeat(self, first: int, size: int, edit: hgvs_parts.Repeat, place: str) -> Found:
        for unit in edit.units:
            if unit.count is None or unit.count_max is not None:
                raise InvalidInput(
                    "the number of copies is not known: no allele follows", code="unknown_bases", place=place
                )
            if unit.count * max(len(unit.sequence), size) > hgvs.CHARACTERS_MAX:
                raise InvalidInput("the repeat is too long; give it as VCF", code="too_long", place=place)
        stated = self._ahead(first, size, place)
        unit = edit.units[0].sequence or stated
        alt = "".join((u.sequence or unit) * (u.count or 0) for u in edit.units)
        if len(edit.units) > 1:
            tract = size
        elif size > len(unit):
            tract = size
            if stated != unit * (size // len(unit)):
                raise self._mismatch(first, first, unit * (size // len(unit)), stated, place)
        else:
            tract = self._tract(first, unit, place)
        ref = self._ahead(first, tract, place)
        if alt == ref:
            return self._none()
        if len(edit.units) == 1:
            copies = tract // len(unit)
            self.notes.append(Note("repeat", f"the reference has {copies} copies here, the name {edit.units[0].count}"))
        last = first + self.strand * (tract - 1)
        return Found((self._edited(Span(min(first, last), max(first, last)), alt),))

    def _tract(self, first: int, unit: str, place: str) -> int:
        """The number of bases from `first` that repeat `unit`, at least once."""
        size = len(unit)
        tract = 0
        while tract < LITERAL_MAX and self._ahead_if_known(first + self.strand * tract, size) == unit:
            tract += size
        if not tract:
            ours = self._ahead(first, size, place)
            raise self._mismatch(first, first, unit, ours, place)
        if self._ahead_if_known(first - self.strand * size, size) == unit:
            self.notes.append(
                Note("repeat_begins_earlier", f"{place}: the repeat begins before the position of the name")
            )
        return tract

    def _ahead(self, first: int, size: int, place: str) -> str:
        last = first + self.strand * (size - 1)
        return self.bases(Span(min(first, last), max(first, last)), place)

    def _ahead_if_known(self, first: int, size: int) -> str:
        last = first + self.strand * (size - 1)
        found = self.bundle.sequence(self.contig, min(first, last), max(first, last)) if min(first, last) > 0 else None
        plus = (found or b"").decode()
        return plus if self.strand > 0 else reverse_complement(plus)

    # structural

    def _inner(self, interval: Interval, place: str) -> Span:
        """The bases that an uncertain range covers for certain."""
        if interval.uncertain:
            raise InvalidInput(
                f"the change lies somewhere in {interval}: no base of it is certain", code="uncertain", place=place
            )
        start, end = interval.start, interval.end
        inner_start = start.end if isinstance(start, UncertainPosition) else start
        inner_end = end.start if isinstance(end, UncertainPosition) else end
        return self.span(self._inner_place(inner_start, True, place), self._inner_place(inner_end, False, place), place)

    def _inner_place(self, position: Position, is_start: bool, place: str) -> int:
        if position.base is None:
            raise InvalidInput("where the change begins or ends is not known at all", code="uncertain", place=place)
        if position.offset is not None or self.transcript is None:
            return self.place(position)
        # `88+?` is somewhere in the intron behind 88, so a range that starts there covers the exon from 89 on.
        cdna = self.transcript.cdna(self.numbering, position)
        if is_start and position.offset_sign == "+":
            cdna += 1
        elif not is_start and position.offset_sign == "-":
            cdna -= 1
        return self.transcript.genomic(cdna)

    def _symbolic(self, span: Span, edit: object, place: str, imprecise: str = "") -> Found:
        kind = next((name for edit_type, name in _SYMBOLS if isinstance(edit, edit_type)), None)
        if kind is None:
            why = "an uncertain range" if imprecise else f"a range of more than {LITERAL_MAX} bases"
            raise InvalidInput(
                f"{why} can be deleted, duplicated or inverted; this edit needs its bases",
                code="uncertain",
                place=place,
            )
        if span.wraps:
            raise InvalidInput(
                "a change this large across the origin cannot be written as VCF", code="too_long", place=place
            )
        anchor = bases_of(self.bundle, self.contig, max(span.low - 1, 1), max(span.low - 1, 1), place)
        info = [("SVTYPE", kind.partition(":")[0]), ("END", str(span.high))]
        if imprecise:
            self.notes.append(
                Note("imprecise", f"the ends of {imprecise} are uncertain; given is the part that is certain")
            )
            info.append(("IMPRECISE", ""))
        name = self.bundle.contigs[self.contig].name
        return Found((VcfVariant(self.contig, name, max(span.low - 1, 1), anchor, f"<{kind}>", tuple(info)),))


_PLACEHOLDER: Final = 3107
_SYMBOLS: Final = ((hgvs_parts.Deletion, "DEL"), (hgvs_parts.Duplication, "DUP:TANDEM"), (hgvs_parts.Inversion, "INV"))


def is_uncertain(interval: Interval) -> bool:
    """Whether some end of it is not one known place."""
    ends = (interval.start, interval.end)
    return interval.uncertain or any(
        isinstance(end, UncertainPosition) or end.base is None or end.offset is None for end in ends
    )


def no_change() -> Note:
    """The note of a name that states no change."""
    return Note("no_change", "the name states no change from the reference")
