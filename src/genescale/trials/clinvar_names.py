"""Names and impacts on real human genes, held against what ClinVar wrote: rows of `bench annotate`.

The table is ClinVar of June 2016 on GRCh37. Each of its records has VCF alleles and an HGVS name, made by others. All
records whose name is on a transcript version of ours are annotated from their VCF alleles, and our names on that
transcript are compared with ClinVar's. `clinvar_hgvsc` and `clinvar_hgvsp` count every record; their notes count the
differences by class. The two rows that end with `_consistent` count the records whose own two statements, VCF alleles
and name, are about the same change of our transcript: the others cannot be met by anybody.

How names are compared (`same_coding`, `same_protein`): ClinVar of 2016 writes deleted and duplicated bases, gives no
length of a frameshift, and names a lost start codon by its residue. Such forms count as equal. Where the names differ,
ClinVar's is read back to the genome, which tells whose slip it is (`Difference`).
"""

import csv
import gzip
import re
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from genescale.errors import Permanent, ReferenceMismatch
from genescale.genomics import terms
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.names import write_names
from genescale.genomics.normalise import Form, normalise
from genescale.genomics.resolve import resolve, variants_of
from genescale.genomics.variants import Variants, variants_of_record
from genescale.trials.report import Row, absent, row
from genescale.trials.scratch import scratch, shared_data

GOAL_NAMES: Final = 0.99
GOAL_HIGH: Final = 0.995
_DATA: Final = shared_data()
_NAMES: Final = ("clinvar_hgvsc", "clinvar_hgvsc_consistent", "clinvar_hgvsp", "clinvar_hgvsp_consistent")


Change = Form  # fully justified: equal changes are equal


class Difference(Enum):
    """Why a name differs from ClinVar's."""

    SLIP_ALLELES = "ClinVar's name and its VCF alleles are different changes"
    SLIP_PLACE = "the same change, named by ClinVar not at its 3' end or with another word"
    OUTSIDE = "the position is outside of our transcript"
    ASSEMBLY = "the transcript differs from the assembly"
    UNREADABLE = "ClinVar's name cannot be read"
    OURS = "ours"


class Record(NamedTuple):
    """One record of the table."""

    chrom: str
    pos: int
    ref: str
    alt: str
    transcript: str
    coding: str
    protein: str
    pathogenic: bool


class Answer(NamedTuple):
    """What we say of one record on its transcript; empty names where we give none."""

    coding: str
    protein: str
    mask: int
    change: Change


def rows(data: Path = _DATA) -> list[Row]:
    """The five rows, absent where the data are not beside this checkout."""
    table = data / "clinvar-2016" / "clinvar_2016-06-05.b37.dev.tsv.gz"
    genome, genes = data / "lrg" / "GRCh37.regions.fa.gz", data / "lrg" / "GRCh37.genes.gff3.gz"
    if not (table.exists() and genome.exists() and genes.exists()):
        why = "the shared data clinvar-2016 and lrg are not beside this checkout"
        lacking = [absent(name, "share", "higher", why, goal=GOAL_NAMES) for name in _NAMES]
        return [*lacking, absent("clinvar_high", "share", "higher", why, goal=GOAL_HIGH)]
    with scratch() as folder:
        build_bundle(folder / "grch37", name="grch37-panel", fasta=genome, genes=genes)
        with Bundle.open(folder / "grch37") as bundle:
            records = list(read_records(table, bundle))
            answers = annotate(bundle, records)
            return [
                *clinvar_hgvsc(bundle, records, answers),
                *clinvar_hgvsp(bundle, records, answers),
                clinvar_high(records, answers),
            ]


def clinvar_hgvsc(bundle: Bundle, records: list[Record], answers: list[Answer]) -> list[Row]:
    """How often our c. name is ClinVar's."""
    return _names_rows(
        "clinvar_hgvsc", bundle, records, answers, lambda one, ours: same_coding(one.coding, ours.coding), records
    )


def clinvar_hgvsp(bundle: Bundle, records: list[Record], answers: list[Answer]) -> list[Row]:
    """The same for p. names, of the records that have one."""
    named = [one for one in records if one.protein]
    return _names_rows(
        "clinvar_hgvsp", bundle, records, answers, lambda one, ours: same_protein(one.protein, ours.protein), named
    )


def clinvar_high(records: list[Record], answers: list[Answer]) -> Row:
    """How often a pathogenic stop, frameshift or canonical splice variant has the impact HIGH."""
    truncating = [(one, ours) for one, ours in zip(records, answers, strict=True) if one.pathogenic and _truncates(one)]
    high = sum(terms.impact(ours.mask) == "HIGH" for _, ours in truncating)
    kinds = "pathogenic stops, frameshifts and canonical splice variants, by ClinVar's name"
    note = f"{high:,} of {len(truncating):,} {kinds}"
    return row("clinvar_high", round(high / len(truncating), 5), "share", "higher", goal=GOAL_HIGH, note=note)


def _names_rows(
    name: str,
    bundle: Bundle,
    records: list[Record],
    answers: list[Answer],
    same: Callable[[Record, Answer], bool],
    counted: list[Record],
) -> list[Row]:
    classes: Counter[Difference] = Counter()
    parted = parted_transcripts(bundle, records, answers)
    equal = 0
    chosen = {id(one) for one in counted}
    for one, ours in zip(records, answers, strict=True):
        if id(one) not in chosen:
            continue
        if same(one, ours):
            equal += 1
        else:
            classes[classify(bundle, one, ours, parted)] += 1
    consistent = equal + classes[Difference.OURS] + classes[Difference.SLIP_PLACE]
    listed = "; ".join(f"{count} {difference.value}" for difference, count in classes.most_common())
    apart = len(counted) - consistent
    whole = f"{equal:,} equal of {len(counted):,}; the others: {listed}"
    rest = f"{equal:,} equal of {consistent:,}; left aside: {apart:,} that state two changes, or none of our transcript"
    return [
        row(name, round(equal / len(counted), 5), "share", "higher", goal=GOAL_NAMES, note=whole),
        row(f"{name}_consistent", round(equal / consistent, 5), "share", "higher", goal=GOAL_NAMES, note=rest),
    ]


# ---- the table, and our answers ----


def read_records(table: Path, bundle: Bundle) -> Iterator[Record]:
    """The records named on a transcript version of this bundle."""
    ours = set(bundle.texts("transcript_name"))
    csv.field_size_limit(sys.maxsize)
    with gzip.open(table, "rt", encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            transcript, _, coding = line["hgvs_c"].partition(":")
            if transcript in ours:
                yield Record(
                    line["chrom"],
                    int(line["pos"]),
                    line["ref"],
                    line["alt"],
                    transcript,
                    coding,
                    line["hgvs_p"].partition(":")[2],
                    line["pathogenic"] == "1",
                )


def annotate(bundle: Bundle, records: list[Record]) -> list[Answer]:
    """What we say of each record on its transcript."""
    variants = Variants.of_rows(
        variant
        for number, one in enumerate(records)
        for variant in variants_of_record(bundle.contig(one.chrom), one.pos, one.ref, [one.alt], record=number)
    )
    pairs = judge(bundle, variants)
    names = write_names(bundle, variants, pairs)
    forms = normalise(bundle, variants)
    coding, protein = _texts(names.hgvsc), _texts(names.hgvsp)
    indices = {name: index for index, name in enumerate(bundle.texts("transcript_name"))}
    wanted = [indices[one.transcript] for one in records]
    answers = [Answer("", "", 0, Form(0, 0, "", ""))] * len(records)
    for pair in range(pairs.count):
        number = int(variants.record[pairs.variant[pair]])
        if int(pairs.transcript[pair]) == wanted[number]:
            change = forms.justified(int(pairs.variant[pair]))
            mask = int(pairs.terms[pair])
            answers[number] = Answer(_after_colon(coding[pair]), _after_colon(protein[pair]), mask, change)
    return answers


def _texts(column: object) -> list[str]:
    return column.texts() if column is not None else []  # type: ignore[attr-defined]


def _after_colon(name: str) -> str:
    return name.partition(":")[2]


# ---- when two names are equal ----

_BASES: Final = re.compile(r"(del|dup|inv)(?:[ACGTN]+|[0-9]+)(?=ins|$)")
_RESIDUE: Final = re.compile(r"[A-Z][a-z]{2}|\*")


def same_coding(theirs: str, ours: str) -> bool:
    """Whether two c. names are equal, deleted or duplicated bases and their number left aside."""
    return _BASES.sub(r"\1", theirs) == _BASES.sub(r"\1", ours)


def same_protein(theirs: str, ours: str) -> bool:
    """Whether two p. names are equal.

    In the old style `*` is Ter, a frameshift and an extension may end after the first residue, a frameshift to a stop
    is `Terfs`, a change of the first residue is a lost start, and a duplication may be called an insertion.
    """
    if ours == "p.Met1?" and theirs.startswith("p.Met1"):
        return True
    return _modern(theirs) == _modern(ours) or _inserts(theirs, ours)


def _modern(name: str) -> str:
    name = name.replace("*", "Ter")
    name = re.sub(r"(fs|ext)(Ter)?[0-9?]*$", r"\1", name)
    name = re.sub(r"Terfs$", "Ter", name)
    return re.sub(r"^(p\.Ter[0-9]+[A-Z][a-z]{2})ext$", r"\1", name)


def _inserts(theirs: str, ours: str) -> bool:
    """Whether `theirs`, an insertion, says the same as `ours`, a duplication: same residues behind the same place."""
    insertion = re.fullmatch(r"p\.[A-Z][a-z]{2}([0-9]+)_[A-Z][a-z]{2}[0-9]+ins((?:[A-Z][a-z]{2})+)", theirs)
    copy = re.fullmatch(r"p\.([A-Z][a-z]{2})([0-9]+)(?:_([A-Z][a-z]{2})([0-9]+))?dup", ours)
    if not insertion or not copy:
        return False
    residues = _RESIDUE.findall(insertion[2])
    first, last = int(copy[2]), int(copy[4] or copy[2])
    ends = (copy[1], copy[3] or copy[1])
    return int(insertion[1]) == last and len(residues) == last - first + 1 and (residues[0], residues[-1]) == ends


# ---- whose slip it is ----


def classify(bundle: Bundle, one: Record, ours: Answer, parted: Container[str] = ()) -> Difference:
    """Why our names of a record differ from ClinVar's. `parted`: the transcripts that differ from the assembly."""
    if not ours.coding:
        return Difference.OUTSIDE
    if _read(bundle, one.transcript, ours.coding) != ours.change:
        return Difference.OURS
    if one.transcript in parted or one.coding.endswith("="):
        return Difference.ASSEMBLY
    theirs = _read(bundle, one.transcript, one.coding)
    if theirs is None:
        return Difference.UNREADABLE
    return Difference.SLIP_PLACE if theirs == ours.change else Difference.SLIP_ALLELES


def parted_transcripts(bundle: Bundle, records: list[Record], answers: list[Answer]) -> set[str]:
    """Transcripts on which a substitution names a base that the assembly does not have at that place."""
    found: set[str] = set()
    for one, ours in zip(records, answers, strict=True):
        if ">" in one.coding and ours.coding and not same_coding(one.coding, ours.coding):
            try:
                resolve(bundle, f"{one.transcript}:{one.coding}")
            except ReferenceMismatch:
                found.add(one.transcript)
            except Permanent:
                continue  # it names no place at all, which says nothing about the bases
    return found


def _read(bundle: Bundle, transcript: str, coding: str) -> Change | None:
    """The change that a c. name states, fully justified; None for a name that cannot be read."""
    try:
        read = variants_of([resolve(bundle, f"{transcript}:{coding}")])
    except Permanent:
        return None
    return normalise(bundle, read).justified(0) if read.count == 1 else None


def _truncates(one: Record) -> bool:
    """Whether ClinVar's name is a stop, a frameshift, or a change of the two bases next to an exon."""
    protein = _modern(one.protein)
    if protein.endswith("fs") or re.fullmatch(r"p\.(?!Ter)[A-Z][a-z]{2}[0-9]+Ter", protein):
        return True
    return bool(re.match(r"c\.[0-9]+(\+[12]|-[12])[ACGT]>", one.coding))
