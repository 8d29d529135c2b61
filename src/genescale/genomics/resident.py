"""A bundle that stays open for one analysis after another: many variants in, plain values out.

`annotate` writes files line by line; whoever answers people needs the same facts as objects. `Resident.describe` takes
the rows of a whole batch through the kernels once (`judge`, `write_names`, the look-up of known facts) and gives one
dictionary for each row, made of strings and numbers only, in the shape that results have.

    resident = Resident(bundle)
    rows = variants_of_record(bundle.contig("chrM"), 3243, "A", ["G"])
    resident.describe(rows)[0]["most_severe"]

One batch at a time: each thread keeps its own `Resident`; the open bundle may be shared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias

from genescale.genomics import bundle as bundle_flags
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import Pairs, judge
from genescale.genomics.knowledge import Facts, Knowledge
from genescale.genomics.names import write_names
from genescale.genomics.selection import picked_rows
from genescale.genomics.terms import impact, most_severe, names
from genescale.genomics.variants import (
    MALFORMED,
    NON_VARIANT,
    OUTSIDE_REFERENCE,
    PAST_END,
    REF_MISMATCH,
    STAR,
    UNKNOWN_CONTIG,
    Row,
    Variants,
)
from genescale.genomics.vrs import vrs_ids

Described: TypeAlias = dict[str, Any]

# Why a row has no answer, in the words that `annotate` uses too. In order: the first that holds is told.
REASONS: Final[tuple[tuple[int, str], ...]] = (
    (MALFORMED, "malformed"),
    (UNKNOWN_CONTIG, "unknown_contig"),
    (PAST_END, "past_end"),
    (OUTSIDE_REFERENCE, "outside_reference"),
    (REF_MISMATCH, "ref_mismatch"),
    (NON_VARIANT, "no_change"),
    (STAR, "no_change"),
)
_REFUSED: Final = sum(flag for flag, _ in REASONS)

# What an answer says of a source. A source that is not here is told whole; what it does not say is left out.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "clinvar": ("significance", "significance_class", "review_status", "stars", "conditions", "id"),
    "gnomad": ("filter", "an", "ac_hom", "ac_het", "af_hom", "af_het", "max_heteroplasmy"),
    "mitomap": ("disease", "homoplasmic", "heteroplasmic", "somatic", "pubmed"),
    "hmtvar": ("tier", "disease_score", "rs", "frequency_healthy", "frequency_patients", "trna_stem_loop"),
    "hmtvar_other_gene": ("locus", "tier", "disease_score"),
}
_REMEMBERED: Final = 50_000  # rows of facts; beyond that all are forgotten
_LETTERS: Final = "=ACMGRSVTWYHKDBN"


class Resident:
    """An open bundle with everything that a look at it needs, made once."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.name = bundle.name
        self.digest = bundle.digest
        self.assembly = bundle.assembly
        self.knowledge = Knowledge.open(bundle)
        self.accessions = tuple(_accession(contig.name, contig.aliases) for contig in bundle.contigs)
        self._pairs = Pairs.allocate(1 << 12, 1 << 14)
        self._transcripts: dict[int, Described] = {}
        self._exons: dict[int, int] = {}
        self._facts: dict[tuple[str, int], Described] = {}

    @property
    def sources(self) -> dict[str, str]:
        """The version of each source of known facts."""
        return {name: f"{facts.version}, {facts.date}" for name, facts in self.knowledge.items()}

    def base(self, contig: int, position: int) -> str:
        """The base of the reference at one place, 1-based; "" where the bundle has none."""
        starts, ends, bases, packed = self._segments
        first, last = self._contig_segments[contig : contig + 2]
        segment = bisect_right(starts, position - 1, first, last) - 1
        if segment < first or position > ends[segment] or position < 1:
            return ""
        at = bases[segment] + position - 1 - starts[segment]
        return _LETTERS[packed[at >> 1] >> 4 * (at & 1) & 15]

    def describe(self, rows: Sequence[Row]) -> list[Described | str]:
        """For each row what is known of it, or the word of `REASONS` that says why there is nothing to say."""
        if not rows:
            return []
        variants = Variants.of_rows(rows)
        pairs = judge(self.bundle, variants, into=self._pairs)
        consequences = self._consequences(variants, pairs)
        places = self._places(variants, rows)
        known = self._known(variants)
        flags: list[int] = variants.flags[: variants.count].tolist()
        answers: list[Described | str] = []
        for row, flag in enumerate(flags):
            if flag & _REFUSED:
                answers.append(next(word for bit, word in REASONS if flag & bit))
                continue
            found = consequences[row]
            masks = 0
            for one in found:
                masks |= one.pop("mask")
            answer: Described = {"reference": self.name, "variant": places[row]}
            if masks:
                answer["most_severe"] = most_severe(masks)
                answer["impact"] = impact(masks)
            answer["consequences"] = found
            answer["known"] = known[row]
            answers.append(answer)
        return answers

    # ---- consequences ----

    def _consequences(self, variants: Variants, pairs: Pairs) -> list[list[Described]]:
        """The rows of each variant, in the order of the annotation file. `mask` is for the caller to take out."""
        count = pairs.count
        found: list[list[Described]] = [[] for _ in range(variants.count)]
        written = write_names(self.bundle, variants, pairs, which=("hgvsc", "hgvsp"))
        assert written.hgvsc is not None
        assert written.hgvsp is not None
        hgvsc, hgvsp = written.hgvsc.texts(), written.hgvsp.texts()
        picked = picked_rows(self.bundle, variants, pairs, "allele", strict=False).tolist()
        text = pairs.text[: pairs.text_length].tobytes().decode("ascii")
        columns: list[list[int]] = [getattr(pairs, name)[:count].tolist() for name in _PAIR_COLUMNS]
        for i in range(count):
            variant, transcript, mask, distance, *spans = [column[i] for column in columns]
            one: Described = {"mask": mask}
            if transcript >= 0:
                one |= self._transcript(transcript)
            one["terms"] = names(mask)
            one["impact"] = impact(mask)
            if hgvsc[i]:
                one["hgvsc"] = hgvsc[i]
            if hgvsp[i]:
                one["hgvsp"] = hgvsp[i]
            if distance >= 0:
                one["distance"] = distance
            self._add_spans(one, transcript, spans, text)
            if picked[i]:
                one["pick"] = True
            found[variant].append(one)
        return found

    def _add_spans(self, one: Described, transcript: int, spans: list[int], text: str) -> None:
        """Exons, positions, codons and amino acids, as far as there are any."""
        exon, exon_end, intron, intron_end, cdna, cdna_end, cds, cds_end, aa, aa_end, *peptides = spans
        if exon:
            one["exon"] = f"{_span(exon, exon_end)}/{self._exon_count(transcript)}"
        if intron:
            one["intron"] = f"{_span(intron, intron_end)}/{self._exon_count(transcript) - 1}"
        if cdna:
            one["cdna_position"] = _span(cdna, cdna_end)
        if cds:
            one["cds_position"] = _span(cds, cds_end)
        if aa:
            one["protein_position"] = _span(aa, aa_end)
        at, ref, alt, codon_at, codon_ref, codon_alt = peptides
        if ref or alt:
            before, after = text[at : at + ref] or "-", text[at + ref : at + ref + alt] or "-"
            one["amino_acids"] = before if before == after else f"{before}/{after}"
        if codon_ref or codon_alt:
            middle = codon_at + codon_ref
            one["codons"] = f"{text[codon_at:middle] or '-'}/{text[middle : middle + codon_alt] or '-'}"

    def _transcript(self, index: int) -> Described:
        """What is the same in every row of a transcript."""
        found = self._transcripts.get(index)
        if found is None:
            bundle = self.bundle
            gene = int(bundle.array("transcript_gene")[index])
            flags = int(bundle.array("transcript_flags")[index])
            found = {
                "transcript": bundle.text("transcript_name", index),
                "gene": bundle.text("gene_symbol", gene),
                "gene_id": bundle.text("gene_id", gene),
                "biotype": bundle.biotypes[int(bundle.array("transcript_biotype")[index])],
                "strand": int(bundle.array("transcript_strand")[index]),
            }
            for flag, name in _FLAGS:
                if flags & flag:
                    found[name] = True
            self._transcripts[index] = found
        return found

    def _exon_count(self, transcript: int) -> int:
        found = self._exons.get(transcript)
        if found is None:
            first, last = self.bundle.array("transcript_exon")[transcript : transcript + 2].tolist()
            found = self._exons[transcript] = last - first
        return found

    # ---- names and facts ----

    def _places(self, variants: Variants, rows: Sequence[Row]) -> list[Described]:
        """Where each variant is, under the names that other programs know."""
        written = write_names(self.bundle, variants, self._pairs, which=("hgvsg", "spdi_canonical"))
        assert written.hgvsg is not None
        assert written.spdi_canonical is not None
        vrs = vrs_ids(self.bundle, variants)
        contigs = self.bundle.contigs
        places: list[Described] = []
        for row, hgvsg, spdi, vrs_id in zip(
            rows, written.hgvsg.texts(), written.spdi_canonical.texts(), vrs, strict=True
        ):
            if row.contig < 0:
                places.append({})
                continue
            name, accession = contigs[row.contig].name, self.accessions[row.contig]
            place: Described = {"contig": name, "start": row.start, "end": row.end}
            if accession != name:
                place["accession"] = accession
            if hgvsg:
                place["hgvsg"] = accession + hgvsg[hgvsg.index(":") :] if ":" in hgvsg else hgvsg
            if spdi:
                place["spdi"] = accession + spdi[spdi.index(":") :]
            if vrs_id:
                place["vrs_id"] = vrs_id
            places.append(place)
        return places

    def _known(self, variants: Variants) -> list[Described]:
        found: list[Described] = [{} for _ in range(variants.count)]
        for source, rows in self.knowledge.lookup(variants).items():
            facts = self.knowledge[source]
            for at, row in enumerate(rows.tolist()):
                if row >= 0:
                    found[at][source] = self._said(facts, row)
        return found

    def _said(self, facts: Facts, row: int) -> Described:
        """What a source says of one of its variants."""
        said = self._facts.get((facts.name, row))
        if said is None:
            if len(self._facts) >= _REMEMBERED:
                self._facts.clear()
            wanted = COLUMNS.get(facts.name) or tuple(facts.columns)
            values = ((name, facts.value(name, row)) for name in wanted if name in facts.columns)
            said = self._facts[facts.name, row] = {name: value for name, value in values if value is not None}
        return said

    @cached_property
    def _contig_segments(self) -> list[int]:
        return self.bundle.array("contig_segment").tolist()

    @cached_property
    def _segments(self) -> tuple[list[int], list[int], list[int], memoryview]:
        starts, ends, bases = (self.bundle.array(f"segment_{name}").tolist() for name in ("start", "end", "base"))
        return starts, ends, bases, self.bundle.array("sequence").data


_PAIR_COLUMNS: Final = (
    "variant",
    "transcript",
    "terms",
    "distance",
    "exon_first",
    "exon_last",
    "intron_first",
    "intron_last",
    "cdna_start",
    "cdna_end",
    "cds_start",
    "cds_end",
    "protein_start",
    "protein_end",
    "peptide_offset",
    "ref_peptide_length",
    "alt_peptide_length",
    "codon_offset",
    "ref_codon_length",
    "alt_codon_length",
)
_FLAGS: Final = (
    (bundle_flags.CANONICAL, "canonical"),
    (bundle_flags.MANE_SELECT, "mane_select"),
    (bundle_flags.MANE_PLUS_CLINICAL, "mane_plus_clinical"),
)


def _accession(name: str, aliases: Sequence[str]) -> str:
    """The name that HGVS and SPDI ask for, where the bundle knows one."""
    return next((one for one in (name, *aliases) if one.startswith("NC_")), name)


def _span(first: int, last: int) -> str:
    return str(first) if first == last or not last else f"{first}-{last}"
