"""From any name of a variant to the variant: HGVS, SPDI, VCF-like text, rsID, VRS identifier, laboratory strings.

    with Bundle.open(path) as bundle:
        found = resolve(bundle, "NM_007294.3:c.68_69del")
        found.variants[0]          # VcfVariant(chrom="17", pos=43124027, ref="ACT", alt="A", ...)
        found.notes                # what was assumed or should be known: version, transcript of a gene, ...

Stated bases are always compared with the reference, and a difference is an error that shows both. Nothing is mended in
silence: what had to be assumed stands in `notes`, and where a name fits several variants (p. names above all) each is
given and `ambiguous` is set.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from genescale.errors import InvalidInput, UnknownName
from genescale.genomics import hgvs, hgvs_parser, hgvs_parts
from genescale.genomics.aliases import known_contigs
from genescale.genomics.back_translation import back_translate
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.edits import Found, Numbering, no_change
from genescale.genomics.hgvs_parts import Change, HgvsAllele, HgvsVariant, Interval, Phase, Position
from genescale.genomics.knowledge import Knowledge
from genescale.genomics.names import write_names
from genescale.genomics.places import GenomicEdit, VcfVariant, as_vcf, bases_around, bases_of, mismatch
from genescale.genomics.spdi import Spdi, parse_spdi
from genescale.genomics.transcripts import Note, Transcript, find_transcripts, numbering_of
from genescale.genomics.variants import Variants, variants_of_record
from genescale.genomics.vrs_lookup import known_allele, searched_sources

FORMS: Final = (
    "HGVS (NM_000059.3:c.5946del, NC_000013.11:g.32340301del, chrM:m.3243A>G, NP_000050.2:p.Ser1982fs), "
    "SPDI (NC_000013.11:32340300:T:), VCF (13-32340300-GT-G), an rsID (rs80359550) or a VRS identifier (ga4gh:VA...)"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name means on the reference.

    `form` says how the text was read: `hgvs.c`, `hgvs.g`, ..., `spdi`, `vcf`, `rsid`, `vrs`. `variants` are
    left-aligned as VCF writes them, in the order of the name; none for a name that states no change. With `ambiguous`
    they are candidates, of which the name does not tell one; otherwise all of them together are the name.
    `chromosomes` gives for each variant of an HGVS allele the number of its chromosome, with `phase`.
    """

    text: str
    form: str
    variants: tuple[VcfVariant, ...]
    notes: tuple[Note, ...] = ()
    ambiguous: bool = False
    transcript: str = ""
    phase: Phase | None = None
    chromosomes: tuple[int, ...] = ()


def resolve(bundle: Bundle, text: str, *, spdi: bool = False) -> Resolved:
    """The variant or variants that `text` names on the reference of `bundle`.

    `1:12345:A:G` is read as VCF, with the position counted from 1, unless `spdi` says that it is SPDI.

    Raises `InvalidInput` (with place and code) for a name that cannot be read or is not true of this reference,
    `ReferenceMismatch` when its stated bases are not ours, `UnknownName` and `OutsideReference`.
    """
    name = text.strip()
    if not name:
        raise InvalidInput(f"the name is empty; write {FORMS}", code="empty")
    if name.startswith("ga4gh:"):
        return _of_vrs(bundle, name)
    if _RSID.match(name):
        return _of_rsid(bundle, name)
    record = None if spdi else _vcf_fields(name)
    if record is not None:
        return resolve_vcf(bundle, *record, text=name)
    if name.count(":") == 3 and name.split(":", 2)[1].isdigit():
        return resolve_spdi(bundle, parse_spdi(name), text=name)
    return _of_hgvs_text(bundle, name)


def variants_of(resolved: Iterable[Resolved]) -> Variants:
    """The columns of all variants of some names; `record` is the place of the name in the order given."""
    rows = [
        row._replace(record=number)
        for number, found in enumerate(resolved)
        for v in found.variants
        for row in variants_of_record(v.contig, v.pos, v.ref, (v.alt,), dict(v.info))
    ]
    return Variants.of_rows(rows)


# --- VCF, SPDI, rsID, VRS ---------------------------------------------------------------------------------------------

_VRS_ALLELE: Final = re.compile(r"ga4gh:VA\.[A-Za-z0-9_-]{32}\Z")
_RSID: Final = re.compile(r"rs[0-9]+\Z", re.IGNORECASE)
_ACCESSION: Final = re.compile(r"[A-Z]{2}_[0-9]+\.[0-9]+\Z")
_ALLELE: Final = re.compile(r"[ACGTRYKMSWBDHVN]+\Z", re.IGNORECASE)
_ARROW: Final = re.compile(r"([^:\s]+):([0-9]+)([ACGTN]+)>([ACGTN]+)\Z", re.IGNORECASE)
_LIKE_ALLELE: Final = re.compile(r"[A-Za-z,.*<>]*\Z")
_NO_ALLELE: Final = frozenset(("", ".", "-", "*", "<*>", "<NON_REF>"))


def _vcf_fields(name: str) -> tuple[str, int, str, str] | None:
    """CHROM, POS, REF and ALT if the text is written as a VCF record; REF and ALT are checked by `resolve_vcf`.

    `NC_000013.11:32340300:T:C` has the same shape in SPDI, where the position is one less. Only SPDI uses accessions,
    so an accession decides; and only SPDI has empty alleles or a number for one.
    """
    fields = name.split()
    if len(fields) >= 5 and fields[1].isdigit():
        return fields[0], _position(fields[1]), fields[3], fields[4]
    if len(fields) == 4 and fields[1].isdigit():
        return fields[0], _position(fields[1]), fields[2], fields[3]
    arrow = _ARROW.match(name)
    if arrow:
        return arrow[1], _position(arrow[2]), arrow[3], arrow[4]
    for mark in ":-":
        fields = name.rsplit(mark, 3)
        if len(fields) != 4 or not fields[1].isdigit() or (mark == ":" and _is_spdi(fields)):
            continue
        if all(_LIKE_ALLELE.match(field) for field in fields[2:]):
            return fields[0], _position(fields[1]), fields[2], fields[3]
    return None


def _is_spdi(fields: Sequence[str]) -> bool:
    return bool(_ACCESSION.match(fields[0])) or not fields[2] or not fields[3] or fields[2].isdigit()


def _position(digits: str) -> int:
    if len(digits) > hgvs_parser.DIGITS_MAX or not digits.isascii():
        raise InvalidInput(f"no sequence has a position of {len(digits)} digits", code="past_end")
    return int(digits)


def resolve_vcf(bundle: Bundle, chrom: str, pos: int, ref: str, alts: str, *, text: str = "") -> Resolved:
    """The variants of a VCF record with one or several ALT alleles, REF compared with the reference."""
    contig = bundle.contig_named(chrom)
    place = f"{chrom}:{pos}"
    ref = ref.upper()
    if not _ALLELE.match(ref):
        raise InvalidInput(
            f"REF {ref[:20]!r} holds no bases; for an insertion write the base before it",
            code="bad_allele",
            place=place,
        )
    if pos < 1:
        raise InvalidInput("positions begin at 1", code="past_end", place=place)
    described = bundle.contigs[contig]
    around = described.circular and pos <= (described.length or 0) < pos + len(ref) - 1 < 2 * (described.length or 0)
    last = pos + len(ref) - 1
    ours = bases_around(bundle, contig, pos, last) if around else bases_of(bundle, contig, pos, last, place)
    if ours != ref:
        raise mismatch(bundle, contig, pos, pos + len(ref) - 1, ref, ours, place=place)
    found: list[VcfVariant] = []
    for alt in alts.upper().split(","):
        if alt in _NO_ALLELE:
            raise InvalidInput(
                f"ALT {alt!r} states no change; for a deletion write the base before it", code="bad_allele", place=place
            )
        if not _ALLELE.match(alt):
            raise InvalidInput(
                f"ALT {alt[:20]!r} holds no bases; symbolic alleles need a VCF file", code="bad_allele", place=place
            )
        if alt != ref:
            found.append(as_vcf(bundle, GenomicEdit(contig, pos, pos + len(ref) - 1, alt)))
    notes = () if found else (no_change(),)
    return Resolved(text or f"{chrom}-{pos}-{ref}-{alts}", "vcf", tuple(found), notes)


def resolve_spdi(bundle: Bundle, spdi: Spdi, *, text: str = "") -> Resolved:
    """The variant of an SPDI on a contig or a transcript, its deletion compared with the reference."""
    notes: list[Note] = []
    contig = bundle.contig(spdi.sequence)
    place = str(spdi)[:60]
    shown = text or str(spdi)
    low, high = spdi.position + 1, spdi.position + spdi.length
    if contig >= 0:
        ours = bases_of(bundle, contig, low, high, place)
        if spdi.deletion and spdi.deletion != ours:
            raise mismatch(bundle, contig, low, high, spdi.deletion, ours, place=place)
        if ours == spdi.insertion:
            return Resolved(shown, "spdi", (), (no_change(),))
        return Resolved(shown, "spdi", (as_vcf(bundle, GenomicEdit(contig, low, high, spdi.insertion)),))
    named = find_transcripts(bundle, spdi.sequence)
    notes.extend(named.notes)
    inserted = hgvs_parts.Inserted((hgvs_parts.Bases(spdi.insertion),)) if spdi.insertion else None
    start, end = Position(low), Position(high)
    if not spdi.length:
        if inserted is None:
            return Resolved(shown, "spdi", (), (no_change(),))
        change = Change(Interval(Position(low - 1), Position(low)), hgvs_parts.Insertion(inserted))
    elif inserted is None:
        change = Change(Interval(start, end), hgvs_parts.Deletion(spdi.deletion))
    else:
        change = Change(Interval(start, end), hgvs_parts.DeletionInsertion(inserted, spdi.deletion))
    found = Numbering(bundle, named.transcripts[0], "n", notes).variants(change)
    return Resolved(shown, "spdi", found.variants, tuple(notes), found.ambiguous, named.transcripts[0].name)


def _of_rsid(bundle: Bundle, name: str) -> Resolved:
    known = Knowledge.open(bundle).variants_of_rs(name)
    spelled = {(k.contig, k.position, k.ref, k.alt): k.source for k in known}
    found = tuple(VcfVariant(contig, bundle.contigs[contig].name, pos, ref, alt) for contig, pos, ref, alt in spelled)
    sources = ", ".join(sorted(set(spelled.values())))
    notes = [Note("rsid_source", f"alleles of {name} as known to {sources}")]
    if len(found) > 1:
        notes.append(
            Note("rsid_alleles", f"{name} has {len(found)} alternative alleles here; the number names no single one")
        )
    return Resolved(name, "rsid", found, tuple(notes), ambiguous=len(found) > 1)


def _of_vrs(bundle: Bundle, name: str) -> Resolved:
    """The known variant that has this identifier: a digest cannot be read back, only met again."""
    if not _VRS_ALLELE.match(name):
        raise InvalidInput(
            f"{name[:60]} is no VRS identifier of an allele (ga4gh:VA. and 32 letters)", code="unknown_form"
        )
    found = known_allele(bundle, name)
    if found is not None:
        source, (contig, start, ref, alt) = found
        variant = as_vcf(bundle, GenomicEdit(contig, start, start + len(ref) - 1, alt))
        return Resolved(name, "vrs", (variant,), (Note("vrs_source", f"{name} is a variant known to {source}"),))
    asked = ", ".join(searched_sources(bundle))
    tried = (
        f"no variant known to {asked} has it" if asked else f"{bundle.name} has no table of known variants to search"
    )
    raise UnknownName(
        f"{name} is a digest, which cannot be read back, and {tried}. Give the variant as {FORMS}", code="vrs_not_known"
    )


def _of_hgvs_text(bundle: Bundle, name: str) -> Resolved:
    if name.startswith("m."):
        return _of_bare_mitochondrial(bundle, name)
    if hgvs.is_lab_name(name):
        return _of_lab_name(bundle, name)
    if ":" not in name:
        raise InvalidInput(f"{name[:40]!r} is no name of a variant; write {FORMS}", code="unknown_form")
    return resolve_hgvs(bundle, hgvs.parse(name), text=name)


def _of_bare_mitochondrial(bundle: Bundle, text: str) -> Resolved:
    """`m.3243A>G` alone: people leave the accession out, since there is one mitochondrial genome."""
    circles = [contig.name for contig in bundle.contigs if contig.circular and contig.codon_table == 2]
    if len(circles) != 1:
        raise UnknownName(f"{bundle.name} has no mitochondrial genome; {text[:40]} needs the accession of one")
    found = resolve_hgvs(bundle, hgvs.parse(f"{circles[0]}:{text}"), text=text)
    note = Note("accession_assumed", f"{text[:40]} names no sequence; {circles[0]} of {bundle.name} was used")
    return replace(found, notes=(note, *found.notes))


# --- laboratory strings and alleles -----------------------------------------------------------------------------------


def _of_lab_name(bundle: Bundle, text: str) -> Resolved:
    lab = hgvs.parse_lab_name(text)
    found = resolve_hgvs(bundle, lab.name, text=text)
    notes = list(found.notes)
    if lab.exon:
        notes.append(Note("exon_not_used", f"{lab.exon} was not used: the name says where"))
    if lab.protein is not None:
        notes.append(_compared_with_protein(bundle, found, lab.protein))
    return Resolved(
        text,
        found.form,
        found.variants,
        tuple(notes),
        found.ambiguous,
        found.transcript,
        found.phase,
        found.chromosomes,
    )


def _compared_with_protein(bundle: Bundle, found: Resolved, stated: Change) -> Note:
    """Whether the p. of a laboratory's string is what its change on DNA does. The change on DNA decides."""
    ours = _protein_name(bundle, found)
    if ours is None:
        return Note("protein_not_used", f"p.{stated} was not used: the change on DNA decides")
    if _same_protein_change(stated, ours.change):
        return Note("protein_agrees", f"p.{stated} is what the change on DNA does: p.{ours.change}")
    text = f"the change on DNA gives p.{ours.change}, and the text says p.{stated}; is it of another transcript?"
    return Note("protein_differs", text)


def _protein_name(bundle: Bundle, found: Resolved) -> HgvsVariant | None:
    """The p. name of a single resolved variant on its transcript, None where it has none."""
    if len(found.variants) != 1 or not found.transcript:
        return None
    variants = variants_of([found])
    pairs = judge(bundle, variants)
    names = write_names(bundle, variants, pairs, which={"hgvsp"}).hgvsp
    for row in range(pairs.count):
        index = int(pairs.transcript[row])
        if (
            index >= 0
            and names is not None
            and names[row]
            and bundle.text("transcript_name", index) == found.transcript
        ):
            name = hgvs.parse(f"x:{names[row].rpartition(':')[2]}")
            return name if isinstance(name, HgvsVariant) else None
    return None


def _same_protein_change(one: Change, other: Change) -> bool:
    """Equal but for what a short form leaves out: `Ser1982fs` is `Ser1982ArgfsTer22`."""
    a, b = one.edit, other.edit
    if one.interval != other.interval:
        return False
    if isinstance(a, hgvs_parts.Frameshift) and isinstance(b, hgvs_parts.Frameshift):
        return a.alt in {"", b.alt} and a.stop in {None, b.stop}
    return a == b


def resolve_hgvs(bundle: Bundle, name: HgvsVariant | HgvsAllele, *, text: str = "") -> Resolved:
    """The variant or variants of an HGVS name that has been parsed."""
    shown = text or str(name)
    if isinstance(name, HgvsVariant):
        return _of_variant(bundle, name, shown)
    variants: list[VcfVariant] = []
    chromosomes: list[int] = []
    notes: dict[Note, None] = {}
    ambiguous = False
    transcript = ""
    for number, group in enumerate(name.chromosomes):
        for change in group:
            found = _of_variant(bundle, HgvsVariant(name.accession, name.type, change, name.gene), shown)
            variants.extend(found.variants)
            chromosomes.extend([number] * len(found.variants))
            notes.update(dict.fromkeys(found.notes))
            ambiguous |= found.ambiguous
            transcript = found.transcript
    phase = name.phase
    return Resolved(
        shown, f"hgvs.{name.type}", tuple(variants), tuple(notes), ambiguous, transcript, phase, tuple(chromosomes)
    )


def _of_variant(bundle: Bundle, name: HgvsVariant, text: str) -> Resolved:
    form = f"hgvs.{name.type}"
    if isinstance(name.change.edit, hgvs_parts.Whole) and name.change.edit.state != "=":
        raise InvalidInput(f"{name.type}.{name.change} says nothing about which bases changed", code="no_dna_change")
    if name.type in "gm":
        notes: list[Note] = []
        contig = _contig_of(bundle, name, notes)
        found = Numbering(bundle, contig, name.type, notes).variants(name.change)
        return Resolved(text, form, found.variants, tuple(notes), found.ambiguous)
    accession, notes = _transcript_accession(bundle, name)
    named = find_transcripts(bundle, accession, protein=name.type == "p")
    notes.extend(named.notes)
    best = named.transcripts[0].name
    variants: list[VcfVariant] = []
    ambiguous = False
    for transcript in named.transcripts:
        _check_belonging(bundle, name, transcript, notes)
        if name.type == "p":
            edits = back_translate(bundle, transcript, name.change, notes)
            found = Found(tuple(as_vcf(bundle, edit) for edit in edits), ambiguous=True)
        else:
            numbering = numbering_of(name.type, transcript, notes)
            found = Numbering(bundle, transcript, numbering, notes).variants(
                _as_dna(name.change) if name.type == "r" else name.change
            )
        variants.extend(v for v in found.variants if v not in variants)
        ambiguous |= found.ambiguous or name.type == "r"
    if len(named.transcripts) > 1:
        notes.append(Note("several_places", f"{accession} lies at {len(named.transcripts)} places of {bundle.name}"))
        ambiguous = True
    return Resolved(text, form, tuple(variants), tuple(notes), ambiguous, best)


def _contig_of(bundle: Bundle, name: HgvsVariant, notes: list[Note]) -> int:
    contig = bundle.contig(name.accession)
    if contig < 0:
        contig = _contig_without_version(bundle, name.accession, notes)
    mitochondrial = bundle.contigs[contig].codon_table == 2 and bundle.contigs[contig].circular
    if name.type == "m" and not mitochondrial:
        raise InvalidInput(f"m. is for the mitochondrial genome; {name.accession} takes g.", code="wrong_type")
    if name.type == "g" and mitochondrial:
        notes.append(Note("type_m", f"positions on {name.accession} are written m. by HGVS"))
    return contig


def _contig_without_version(bundle: Bundle, accession: str, notes: list[Note]) -> int:
    """The contig that an accession without version means, or an error that says what the name may be instead."""
    spelled = [n for contig in bundle.contigs for n in (contig.name, *contig.aliases) if n.startswith(f"{accession}.")]
    if len(spelled) == 1:
        notes.append(Note("version_assumed", f"{accession} has no version; {spelled[0]} was used"))
        return bundle.contig(spelled[0])
    hint = ""
    elsewhere = next((known for known in known_contigs() if accession in known.names), None)
    if elsewhere is not None:
        hint = f". It is {elsewhere.names[0]} of {elsewhere.assembly}; {bundle.name} is {bundle.assembly}"
    elif accession.startswith(("NM_", "NR_", "XM_", "XR_", "ENST")):
        hint = ". It looks like a transcript: its positions are c. or n."
    elif accession.startswith(("LRG_", "NG_")):
        hint = ". Positions on gene regions (LRG_, NG_) are not kept; give the transcript with c. or the chromosome"
    try:
        return bundle.contig_named(accession)
    except UnknownName as error:
        raise UnknownName(f"{error}{hint}") from None


def _transcript_accession(bundle: Bundle, name: HgvsVariant) -> tuple[str, list[Note]]:
    """What names the transcript: the accession, or what stands in its brackets behind a genomic accession."""
    genomic = bundle.contig(name.accession) >= 0 or name.accession.startswith(("NC_", "NG_"))
    if genomic and name.gene:
        return name.gene, []
    if genomic:
        raise InvalidInput(
            f"{name.type}. counts along a transcript, and {name.accession} is none; "
            f"write {name.accession}(NM_...):{name.type}. or give the position as g.",
            code="wrong_type",
        )
    return name.accession, []


def _check_belonging(bundle: Bundle, name: HgvsVariant, transcript: Transcript, notes: list[Note]) -> None:
    contig = bundle.contig(name.accession)
    if contig >= 0 and contig != transcript.contig:
        where = bundle.contigs[transcript.contig].name
        raise InvalidInput(f"{transcript.name} lies on {where}, not on {name.accession}", code="wrong_contig")
    if contig < 0 and name.gene and name.gene != name.accession:
        ours = bundle.text("gene_symbol", int(bundle.array("transcript_gene")[transcript.index]))
        if ours and ours.upper() != name.gene.upper():
            notes.append(Note("gene_differs", f"{transcript.name} is a transcript of {ours}, not of {name.gene}"))


def _as_dna(change: Change) -> Change:
    """An edit of RNA in the letters of DNA."""
    edit = change.edit

    def dna(bases: str) -> str:
        return bases.upper().replace("U", "T")

    def inserted(parts: hgvs_parts.Inserted) -> hgvs_parts.Inserted:
        return hgvs_parts.Inserted(
            tuple(
                hgvs_parts.Bases(dna(p.sequence), p.count) if isinstance(p, hgvs_parts.Bases) else p
                for p in parts.parts
            )
        )

    if isinstance(edit, hgvs_parts.Substitution):
        edit = hgvs_parts.Substitution(dna(edit.ref), dna(edit.alt))
    elif isinstance(edit, hgvs_parts.Insertion):
        edit = hgvs_parts.Insertion(inserted(edit.inserted))
    elif isinstance(edit, hgvs_parts.DeletionInsertion):
        edit = hgvs_parts.DeletionInsertion(inserted(edit.inserted), dna(edit.ref), edit.length)
    elif isinstance(edit, hgvs_parts.Deletion | hgvs_parts.Duplication | hgvs_parts.Inversion):
        edit = type(edit)(dna(edit.ref), edit.length)
    elif isinstance(edit, hgvs_parts.Identity):
        edit = hgvs_parts.Identity(dna(edit.ref))
    elif isinstance(edit, hgvs_parts.Repeat):
        edit = hgvs_parts.Repeat(
            tuple(hgvs_parts.RepeatUnit(dna(u.sequence), u.count, u.count_max) for u in edit.units)
        )
    return Change(change.interval, edit, change.predicted, change.edit_predicted)
