"""Names of variants, held against VEP: to the letter in strict mode, and every difference accounted for by default."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.genomics import names
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import Pairs, judge
from genescale.genomics.kernels import naming
from genescale.genomics.models import genetic_codes
from genescale.genomics.names import ALL, Names, write_names
from genescale.genomics.variants import Variants, variants_of_record
from support.gene_bundle import gene_bundle, sequence
from support.interpreted_kernels import interpreted_kernels
from support.require import require
from support.vep_parity import parity_bundle, parity_variants, vep_answers

_COMPLEMENT = str.maketrans("ACGT", "TGCA")

# What docs/reference/hgvs-names.md and vep-differences.md list for names.
EXCEPTIONS_C = {7, 10, 17, 32}
EXCEPTIONS_P = {1, 3, 5, 6, 8, 11, 14, 15, 17, 31, 33, 34, 35, 36, 37, 38, 39, 40, 41}


class _Named:
    """A file of the parity set, named by us, with VEP's answers beside it."""

    def __init__(self, file: str, *, strict: bool) -> None:
        self.bundle = parity_bundle()
        self.variants, self.ids = parity_variants(f"{file}.vcf.gz")
        self.pairs: Pairs = judge(self.bundle, self.variants, strict=strict)
        self.names: Names = write_names(self.bundle, self.variants, self.pairs, strict=strict, which=ALL)
        self.truth = vep_answers(f"{file}.vep115.tsv.gz")
        self.seen: dict[str, list[tuple[str, str, int]]] = {}

    def rows(self, column: str) -> list[tuple[str, str, int]]:
        """VEP's text, ours and the noted exception, for each pair that both have."""
        if column not in self.seen:
            self.seen[column] = self._rows(column)
        return self.seen[column]

    def _rows(self, column: str) -> list[tuple[str, str, int]]:
        texts = {
            "HGVSc": self.names.hgvsc,
            "HGVSp": self.names.hgvsp,
            "HGVSg": self.names.hgvsg,
            "SPDI": self.names.spdi,
        }[column]
        assert texts is not None
        ours = texts.texts()
        notes = {"HGVSc": self.names.hgvsc_exception, "HGVSp": self.names.hgvsp_exception}.get(column)
        transcripts = self.bundle.texts("transcript_name")
        found: list[tuple[str, str, int]] = []
        for row in range(self.pairs.count):
            variant, transcript = int(self.pairs.variant[row]), int(self.pairs.transcript[row])
            feature = transcripts[transcript].split(".")[0] if transcript >= 0 else "-"
            key = (self.ids[self.variants.record[variant]], feature, str(self.variants.allele[variant]))
            if key in self.truth:
                index = variant if column in ("HGVSg", "SPDI") else row
                note = int(notes[row]) if notes is not None else 0
                found.append((self.truth[key][column], ours[index] or "-", note))
        return found


@pytest.fixture(scope="module")
def strict() -> _Named:
    return _Named("main", strict=True)


@pytest.fixture(scope="module")
def default() -> _Named:
    return _Named("main", strict=False)


@pytest.mark.parametrize(
    ("column", "named", "differing"),
    [("HGVSc", 24_666, 0), ("HGVSp", 15_496, 0), ("HGVSg", 57_441, 0), ("SPDI", 57_441, 0)],
)
def test_strict_mode_writes_what_vep_writes(strict: _Named, column: str, named: int, differing: int) -> None:
    rows = strict.rows(column)
    assert sum(theirs != "-" or ours != "-" for theirs, ours, _ in rows) == named
    assert sum(theirs != ours for theirs, ours, _ in rows) == differing
    assert not any(note for _, _, note in rows)


def test_strict_mode_names_each_of_several_alleles_as_vep_does() -> None:
    several = _Named("multi", strict=True)
    for column in ("HGVSg", "SPDI"):  # of SPDI VEP gives none here
        rows = several.rows(column)
        assert len(rows) == 2_622
        assert all(theirs == ours for theirs, ours, _ in rows)


@pytest.mark.parametrize(("column", "known"), [("HGVSc", EXCEPTIONS_C), ("HGVSp", EXCEPTIONS_P)])
def test_by_default_each_difference_from_vep_carries_its_exception(
    default: _Named, column: str, known: set[int]
) -> None:
    for theirs, ours, note in default.rows(column):
        assert (theirs != ours) == (note != 0), (theirs, ours, note)
        assert note in known or note == 0


@pytest.mark.parametrize(
    ("exception", "vep", "ours"),
    [
        (1, "SYNP00000000026.1:p.Val220_Thr221insTer", "SYNP00000000026.1:p.Thr221Ter"),
        (3, "SYNP00000000001.1:p.MetSer1_?2", "SYNP00000000001.1:p.Met1?"),
        (5, "SYNP00000000020.1:p.Thr282del", "SYNP00000000020.1:p.Thr282fsTer?"),
        (6, "SYNP00000000342.1:p.Asn188GlufsTer?", "SYNP00000000342.1:p.Asn188GlufsTer69"),
        (7, "SYNT00000000044.1:c.213A>C", "SYNT00000000044.1:c.211A>C"),
        (8, "SYNP00000000004.1:p.Arg1?", "SYNP00000000004.1:p.Arg1Ser"),
        (11, "SYNP00000000030.1:p.Ter204delinsTyrGlnGln", "SYNP00000000030.1:p.Ter204TyrextTer9"),
        (31, "SYNP00000000001.1:p.Ter211TyrextTer12", "SYNP00000000001.1:p.Ter211TyrextTer7"),
        (32, "-", "SYNT00000000132.1:c.402_*1insGTCGAGCACA"),
        (33, "SYNP00000000162.1:p.ProLeu167=", "SYNP00000000162.1:p.Pro167_Leu168="),
        (34, "SYNP00000000007.1:p.Ter248=", "-"),
        (35, "SYNP00000000042.1:p.Thr110AsnfsTer16", "SYNP00000000042.1:p.Thr110MetfsTer16"),
        (36, "-", "SYNP00000000013.1:p.Arg385_Ter386insLys"),
        (37, "-", "SYNP00000000005.1:p.Ala176ArgfsTer34"),
        (38, "SYNP00000000013.1:p.Ter386delinsTer", "SYNP00000000013.1:p.Ter386="),
        (39, "SYNP00000000012.1:p.Ter160LysfsTer?", "SYNP00000000012.1:p.Ter160LysextTer?"),
        (39, "SYNP00000000029.1:p.Ter170ValfsTer16", "SYNP00000000029.1:p.Ter170ValextTer15"),
        (39, "SYNP00000000013.1:p.Ter386delextTer?", "SYNP00000000013.1:p.?"),
        (39, "SYNP00000000053.1:p.Leu272_Ter273delextTer5", "SYNP00000000053.1:p.Leu272delinsCysLeuLeuSerMetAsp"),
        (40, "SYNP00000000049.1:p.Phe60_Arg63delinsTer", "SYNP00000000049.1:p.Phe60Ter"),
        (41, "SYNP00000000253.1:p.Lys0_Lys1insIle", "SYNP00000000253.1:p.Met1="),
    ],
)
def test_an_exception_in_both_modes(strict: _Named, default: _Named, exception: int, vep: str, ours: str) -> None:
    column = "HGVSc" if "T0" in f"{vep}{ours}" else "HGVSp"
    assert (vep, ours, exception) in default.rows(column)
    assert (vep, vep, 0) in strict.rows(column)


# ---- a small genome: what VEP's set does not hold ----


@pytest.fixture(scope="module")
def genes(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(gene_bundle(tmp_path_factory.mktemp("names")))


def _names(bundle: Bundle, *records: tuple[int, str, str], **options: bool) -> tuple[Names, Pairs]:
    variants = Variants.of_rows(
        row
        for number, (pos, ref, alt) in enumerate(records)
        for row in variants_of_record(0, pos, ref, alt.split(","), record=number)
    )
    pairs = judge(bundle, variants, strict=options.get("strict", False))
    return write_names(bundle, variants, pairs, which=ALL, **options), pairs


def _c(bundle: Bundle, pos: int, ref: str, alt: str, **options: bool) -> list[str]:
    column = _names(bundle, (pos, ref, alt), **options)[0].hgvsc
    assert column is not None
    return [text for text in column.texts() if text]


def test_a_tie_in_the_middle_of_an_intron_goes_to_the_upstream_exon(genes: Bundle) -> None:
    bases = sequence()
    # PLUS: intron 6201-7000 has an even length; 6600 is 400 from both of its neighbours' ends, +400 wins.
    middle = _other(bases[6600 - 1])
    assert _c(genes, 6600, bases[6600 - 1], middle) == [f"T1.2:c.100+400{bases[6599]}>{middle}"]
    after = _other(bases[6601 - 1])
    assert _c(genes, 6601, bases[6601 - 1], after) == [f"T1.2:c.101-400{bases[6600]}>{after}"]


def test_an_intron_just_behind_the_stop_codon_keeps_its_plus(tmp_path: Path) -> None:
    """E-10; the parity set has no such transcript."""
    with _stop_at_exon_end(tmp_path) as bundle:
        ref = sequence(9, 900)[192]
        alt = _other(ref)
        ours, _ = _names(bundle, (193, ref, alt))
        assert ours.hgvsc is not None
        assert ours.hgvsc_exception is not None
        assert ours.hgvsc.texts() == [f"T.1:c.90+3{ref}>{alt}"]
        assert ours.hgvsc_exception.tolist() == [10]
        assert _c(bundle, 193, ref, alt, strict=True) == [f"T.1:c.*3{ref}>{alt}"]


def _stop_at_exon_end(folder: Path) -> Bundle:
    """One transcript whose last coding base is the last of its exon."""
    fasta, gff = folder / "g.fa", folder / "g.gff3"
    bases = sequence(9, 900)
    fasta.write_text(f">chr1\n{bases}\n")
    kept = "ID=transcript:T;Parent=gene:G;biotype=protein_coding;transcript_id=T;version=1"
    lines = [
        "##gff-version 3",
        "chr1\tx\tgene\t101\t600\t.\t+\t.\tID=gene:G;biotype=protein_coding;gene_id=G",
        f"chr1\tx\tmRNA\t101\t600\t.\t+\t.\t{kept}",
        "chr1\tx\texon\t101\t190\t.\t+\t.\tParent=transcript:T",
        "chr1\tx\texon\t401\t600\t.\t+\t.\tParent=transcript:T",
        "chr1\tx\tCDS\t101\t190\t.\t+\t0\tID=CDS:P;Parent=transcript:T;protein_id=P",
    ]
    gff.write_text("\n".join(lines) + "\n")
    build_bundle(folder / "b", name="b", fasta=fasta, genes=gff, synthetic=True)
    return Bundle.open(folder / "b")


def test_minus_strand_complements_and_counts_backwards(genes: Bundle) -> None:
    base = sequence()[10_150 - 1]
    other = _other(base)
    expected = f"{base}>{other}".translate(_COMPLEMENT)
    assert _c(genes, 10_150, base, other) == [f"T2.2:c.1{expected}"]
    base = sequence()[9_998 - 1]
    other = _other(base)
    expected = f"{base}>{other}".translate(_COMPLEMENT)
    assert _c(genes, 9_998, base, other) == [f"T2.2:c.150+3{expected}"]


def test_one_of_several_alleles_is_trimmed_before_it_is_named(genes: Bundle) -> None:
    """E-17: beside a substitution an insertion keeps its padding in VEP, and is not moved."""
    bases = sequence()
    at = next(i for i in range(12_510, 12_890) if bases[i] == bases[i + 1] != bases[i - 1])  # 0-based, first of a run
    length = next(n for n in range(1, 20) if bases[at + n] != bases[at])
    before, base = bases[at - 1], bases[at]
    record = (at, before, f"{before}{base},{_other(before)}")
    ours, _ = _names(genes, record)
    assert ours.hgvsc is not None
    assert ours.hgvsc_exception is not None
    first = 100 + at - 12_500 + 1  # n. position of the run's first base
    substitution = f"T3.2:n.{first - 1}{before}>{_other(before)}"
    assert _c(genes, *record) == [f"T3.2:n.{first + length - 1}dup", substitution]
    assert [note for note in ours.hgvsc_exception.tolist() if note] == [17]
    assert _c(genes, *record, strict=True) == [f"T3.2:n.{first - 1}_{first}ins{base}", substitution]


def test_noncoding_transcripts_count_from_their_first_base(genes: Bundle) -> None:
    base = sequence()[12_001 - 1]
    assert _c(genes, 12_001, base, _other(base)) == [f"T3.2:n.1{base}>{_other(base)}"]


def test_outside_of_the_transcript_there_is_no_name(genes: Bundle) -> None:
    bases = sequence()
    assert _c(genes, 5_999, bases[5_998:6_003], bases[5_998]) == []  # begins before the first exon
    assert _c(genes, 8_400, bases[8_399], _other(bases[8_399])) == []


def test_an_inversion_is_named_so(genes: Bundle) -> None:
    at = 12_600
    ref = sequence()[at - 1 : at + 3]
    inverted = ref.translate(_COMPLEMENT)[::-1]
    assert ref[0] != inverted[0]
    assert _c(genes, at, ref, inverted) == ["T3.2:n.200_203inv"]


@pytest.mark.parametrize("alt", ["N", "R", "<DEL>", "*", ".", "A", "]chr1:5]A"])
def test_what_is_no_plain_change_of_bases_has_no_name(genes: Bundle, alt: str) -> None:
    base = sequence()[6_150 - 1]
    ours, _ = _names(genes, (6_150, base, base if alt == "A" else alt))
    for column in (ours.hgvsc, ours.hgvsp, ours.hgvsg):
        assert column is not None
        assert not any(column.texts())


def test_alleles_of_a_million_bases_are_named(genes: Bundle) -> None:
    base = sequence()[6_150 - 1]
    long = np.frombuffer(b"ACGT", np.uint8)[np.random.default_rng(3).integers(0, 4, 1_000_000)].tobytes().decode()
    ours, _ = _names(genes, (6_150, base, base + long), (6_151, sequence()[6_150], "G" + long))
    assert ours.hgvsc is not None
    assert ours.hgvsc[0].count("ins") == 1
    assert len(ours.hgvsc[0]) > 1_000_000


@settings(max_examples=60)
@given(
    records=st.lists(
        st.tuples(
            st.one_of(st.integers(-3, 25_000), st.sampled_from((0, 1, 6_101, 8_300, 9_201, 19_999, 20_000))),
            st.text("ACGTN", min_size=1, max_size=40),
            st.one_of(st.text("ACGTNR", min_size=1, max_size=40), st.sampled_from(("*", ".", "<DEL>", "A]chr1:9]"))),
        ),
        max_size=30,
    ),
    strict=st.booleans(),
)
def test_no_input_breaks_a_batch(genes: Bundle, records: list[tuple[int, str, str]], strict: bool) -> None:
    ours, pairs = _names(genes, *records, strict=strict)
    for kind in ALL:
        column = getattr(ours, kind)
        assert len(column) in (pairs.count, len(records))
        assert all(text.isprintable() for text in column.texts())


def test_a_long_allele_replaced_by_a_short_one_has_its_spdi(genes: Bundle) -> None:
    bases = sequence()
    texts = _names(genes, (1, bases, "TT"))[0].spdi
    assert texts is not None
    assert texts[0] == f"chr1:0:{bases}:TT"


def test_brackets_and_the_escaped_equal_sign_are_options(strict: _Named) -> None:
    ours = write_names(strict.bundle, strict.variants, strict.pairs, strict=True, brackets=True, escape=True)
    assert ours.hgvsp is not None
    assert strict.names.hgvsp is not None
    for plain, marked in zip(strict.names.hgvsp.texts()[:5_000], ours.hgvsp.texts()[:5_000], strict=True):
        if plain:
            accession, _, change = plain.partition(":p.")
            assert marked == f"{accession}:p.({change.replace('=', '%3D')})"


def test_what_nobody_knows_stands_without_brackets(default: _Named) -> None:
    ours = write_names(default.bundle, default.variants, default.pairs, brackets=True)
    assert ours.hgvsp is not None
    unknown = [text.partition(":")[2] for text in ours.hgvsp.texts() if "?" in text and "Ter?" not in text]
    assert set(unknown) == {"p.?", "p.(Met1?)"}


def test_no_name_has_a_form_that_hgvs_does_not_know(default: _Named) -> None:
    assert default.names.hgvsp is not None
    for text in default.names.hgvsp.texts():
        name = text.partition(":")[2]
        assert not re.search(r"del\w*ext|Ter[0-9]+(\w*fs|ext)|insTer$|[^0-9]0[_A-Z]", name), name


def test_only_what_is_asked_for_is_made(strict: _Named) -> None:
    ours = write_names(strict.bundle, strict.variants, strict.pairs, which=("spdi",))
    assert ours.hgvsc is None
    assert ours.hgvsg is None
    assert ours.spdi is not None


def test_the_interpreted_kernels_give_the_same_names(strict: _Named, monkeypatch: pytest.MonkeyPatch) -> None:
    require(
        "a compiled kernel to compare with", naming.COMPILED, "python3-dev, then uv sync --reinstall-package genescale"
    )
    bundle = strict.bundle
    chosen = _sample(strict.variants, 90)
    pairs = judge(bundle, chosen)
    expected = {flag: write_names(bundle, chosen, pairs, strict=flag, which=ALL) for flag in (False, True)}
    models, normal, plain, proteins = interpreted_kernels("models", "normalise", "naming", "proteins")
    arrays = {name: names.view_of(bundle.array(name)) for name in models.ARRAYS}
    parts = ("sequence", "contig_segment", "segment_start", "segment_end", "segment_base")
    sequence_ = normal.Sequence(*(arrays.get(name, names.view_of(bundle.array(name))) for name in parts))
    genes = plain.Genes(models.Models(arrays, *genetic_codes()), sequence_, names.texts_of(bundle))
    monkeypatch.setattr(names, "naming", plain)
    monkeypatch.setattr(names, "proteins", proteins)
    monkeypatch.setattr(names, "_genes_of", lambda _: genes)
    for flag, compiled in expected.items():
        ours = write_names(bundle, chosen, pairs, strict=flag, which=ALL)
        for kind in ALL:
            assert getattr(ours, kind).texts() == getattr(compiled, kind).texts(), kind
        assert ours.hgvsp_exception.tolist() == compiled.hgvsp_exception.tolist()  # type: ignore[union-attr]
        assert ours.hgvsc_exception.tolist() == compiled.hgvsc_exception.tolist()  # type: ignore[union-attr]


def _sample(variants: Variants, step: int) -> Variants:
    rows: list[object] = []
    for row in range(0, variants.count, step):
        rows += variants_of_record(
            int(variants.contig[row]),
            int(variants.start[row]) - 1,
            "A" + variants.ref(row),
            ["A" + variants.alt(row)],
            record=row,
        )
    return Variants.of_rows(rows)  # type: ignore[arg-type]


def _other(base: str) -> str:
    return "ACGT"[("ACGT".index(base) + 1) % 4]
