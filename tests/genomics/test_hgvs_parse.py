"""Reading and writing HGVS names: round trips over the whole grammar, old forms, refusals that show the way out."""

import contextlib
import gc
import time
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics import hgvs, hgvs_parser, hgvs_parts
from genescale.genomics.hgvs_parser import HgvsSyntaxError
from genescale.genomics.hgvs_parts import Change, Datum, HgvsAllele, HgvsVariant, Interval, Phase, Position

# --- strategies over the whole grammar --------------------------------------------------------------------------------

numbers = st.integers(1, 10**9)
counts = st.integers(1, hgvs_parser.COUNT_MAX)
accessions = st.sampled_from(
    ["NM_004006.2", "NC_000023.11", "ENST00000357033.8", "chrX", "BRCA1", "LRG_199t1", "HLA-A", "17"]
)
genes = st.sampled_from(["", "", "DMD", "NM_004006.2"])


@cache
def bases(kind: str, least: int = 1) -> st.SearchStrategy[str]:
    return st.text("acgun" if kind == "r" else "ACGTRYKMSWBDHVN", min_size=least, max_size=12)


@cache
def positions(kind: str) -> st.SearchStrategy[Position]:
    if kind in "gm":
        return st.builds(Position, numbers | st.none())
    offsets = st.integers(-(10**6), 10**6)
    signed = numbers if kind == "n" else numbers | numbers.map(lambda n: -n)
    plain = st.builds(Position, signed, offsets)
    unknown = st.builds(Position, signed, st.none(), st.just(Datum.START), st.sampled_from("+-"))
    choices = plain | unknown | st.just(Position(None))
    return choices if kind == "n" else choices | st.builds(Position, numbers, offsets, st.just(Datum.CDS_END))


@cache
def intervals(kind: str) -> st.SearchStrategy[Interval]:
    place = positions(kind)
    uncertain = st.builds(hgvs_parts.UncertainPosition, place, place)
    single = place.map(lambda p: Interval(p, p))
    return (
        single
        | st.builds(Interval, place, place)
        | st.builds(Interval, place, place, st.just(True))
        | st.builds(Interval, uncertain, place | uncertain)
        | st.builds(Interval, place, uncertain)
    )


@cache
def inserted(kind: str) -> st.SearchStrategy[hgvs_parts.Inserted]:
    known = positions(kind).filter(lambda p: p.base is not None)
    ranges = st.builds(Interval, known, known).filter(lambda i: i.start != i.end)
    part = (
        st.builds(hgvs_parts.Bases, bases(kind))
        | st.builds(hgvs_parts.Bases, bases(kind, 2), st.integers(2, hgvs_parser.COUNT_MAX))
        | st.builds(hgvs_parts.UnknownBases, counts | st.none())
        | st.builds(hgvs_parts.CopiedBases, ranges, st.booleans())
        | st.builds(hgvs_parts.CopiedBases, intervals("g"), st.booleans(), st.just("NC_000022.10"), st.just("g"))
    )
    return st.builds(hgvs_parts.Inserted, st.lists(part, min_size=1, max_size=3).map(tuple))


@cache
def edits(kind: str) -> st.SearchStrategy[object]:
    stated = st.tuples(bases(kind, 0), st.none()) | st.tuples(st.just(""), numbers)
    one = bases(kind).map(lambda b: b[0])

    def is_not_a_substitution(edit: hgvs_parts.DeletionInsertion) -> bool:
        parts = edit.inserted.parts
        return (
            len(edit.ref) != 1
            or len(parts) != 1
            or not isinstance(parts[0], hgvs_parts.Bases)
            or len(str(parts[0])) != 1
        )

    unit = st.builds(hgvs_parts.RepeatUnit, bases(kind), counts | st.none())
    ranged = st.builds(hgvs_parts.RepeatUnit, bases(kind), counts, counts)
    return (
        st.builds(hgvs_parts.Substitution, one, one)
        | stated.map(lambda s: hgvs_parts.Deletion(*s))
        | stated.map(lambda s: hgvs_parts.Duplication(*s))
        | stated.map(lambda s: hgvs_parts.Inversion(*s))
        | st.builds(hgvs_parts.Insertion, inserted(kind))
        | st.builds(lambda i, s: hgvs_parts.DeletionInsertion(i, *s), inserted(kind), stated).filter(
            is_not_a_substitution
        )
        | st.builds(hgvs_parts.Identity, bases(kind, 0))
        | st.builds(hgvs_parts.Repeat, st.lists(unit | ranged, min_size=1, max_size=3).map(tuple))
        | st.builds(hgvs_parts.Repeat, counts.map(lambda n: (hgvs_parts.RepeatUnit("", n),)))
        | st.builds(hgvs_parts.Copy, counts)
    )


def nucleic_changes(kind: str) -> st.SearchStrategy[Change]:
    whole = st.just(Change(None, hgvs_parts.Whole("=")))
    if kind != "r":
        return st.builds(Change, intervals(kind), edits(kind), st.just(False), st.booleans()) | whole
    states = st.sampled_from(["=", "?", "0", "0?", "spl", "spl?"]).map(hgvs_parts.Whole)
    return st.builds(Change, intervals(kind), edits(kind), st.booleans(), st.booleans()) | st.builds(
        Change, st.none(), states, st.booleans()
    )


residues = st.sampled_from("ACDEFGHIKLMNPQRSTUVWY")
sequences = st.text("ACDEFGHIKLMNPQRSTUVWY", min_size=1, max_size=6)
ended = sequences | sequences.map(lambda s: s + "*") | st.just("*")
stops = numbers | st.just("?") | st.none()
extensions = (
    st.builds(hgvs_parts.Extension, residues | st.just(""), st.just("*"), stops)
    | st.builds(hgvs_parts.Extension, residues | st.just(""), st.just(""), numbers.map(lambda n: -n) | st.none())
    | st.builds(hgvs_parts.Extension, residues | st.just(""), residues, numbers.map(lambda n: -n))
)
protein_edits = (
    st.builds(hgvs_parts.ProteinSubstitution, residues | st.sampled_from("BZX*"))
    | st.builds(hgvs_parts.ProteinInsertion, ended)
    | st.builds(hgvs_parts.ProteinDeletionInsertion, ended)
    | st.sampled_from(
        [
            hgvs_parts.ProteinUnknown(),
            hgvs_parts.ProteinIdentity(),
            hgvs_parts.ProteinDeletion(),
            hgvs_parts.ProteinDuplication(),
        ]
    )
    | st.builds(hgvs_parts.Frameshift, residues | st.just(""), stops)
    | extensions
    | st.builds(hgvs_parts.ProteinRepeat, counts)
)
protein_positions = st.builds(hgvs_parts.ProteinPosition, residues | st.just("*"), numbers)
protein_changes = (
    st.builds(
        Change,
        st.builds(hgvs_parts.ProteinInterval, protein_positions, protein_positions),
        protein_edits,
        st.booleans(),
    )
    | st.builds(
        Change,
        st.builds(hgvs_parts.ProteinInterval, protein_positions, protein_positions, st.just(True)),
        protein_edits,
    )
    | st.sampled_from(["=", "?", "0", "0?"]).map(lambda state: Change(None, hgvs_parts.Whole(state)))
    | st.just(Change(None, hgvs_parts.Whole("="), predicted=True))
)


@cache
def changes(kind: str) -> st.SearchStrategy[Change]:
    return protein_changes if kind == "p" else nucleic_changes(kind)


def names_of(kind: str) -> st.SearchStrategy[HgvsVariant | HgvsAllele]:
    change = changes(kind)
    group = st.lists(change, min_size=1, max_size=2).map(tuple)

    def alleles(groups: st.SearchStrategy[list[tuple[Change, ...]]], phase: Phase) -> st.SearchStrategy[HgvsAllele]:
        return st.builds(HgvsAllele, accessions, st.just(kind), groups.map(tuple), st.just(phase), genes)

    alone = change.map(lambda c: (c,))
    return st.one_of(
        st.builds(HgvsVariant, accessions, st.just(kind), change, genes),
        alleles(group.map(lambda g: [g]), Phase.CIS),
        alleles(st.lists(group, min_size=2, max_size=2), Phase.TRANS),
        alleles(st.lists(alone, min_size=2, max_size=2), Phase.UNKNOWN),
    )


names = st.one_of(*map(names_of, "gmcnrp"))


@settings(max_examples=250, deadline=None)
@given(names)
def test_parse_of_format_is_the_same_name(name: HgvsVariant | HgvsAllele) -> None:
    assert hgvs.parse(hgvs.format_hgvs(name)) == name


@settings(max_examples=100, deadline=None)
@given(names)
def test_leaving_out_stated_bases_keeps_place_and_kind_of_edit(name: HgvsVariant | HgvsAllele) -> None:
    short = hgvs.parse(hgvs.format_hgvs(name, stated=False))
    assert hgvs.format_hgvs(short) == hgvs.format_hgvs(name, stated=False)


def fault_of(read: Callable[[str], object], text: str) -> HgvsSyntaxError | None:
    try:
        read(text)
    except HgvsSyntaxError as error:
        return error
    return None


@settings(max_examples=250, deadline=None)
@given(st.text(max_size=60) | st.text("NM_1.2:cgpr.*+-?()[];=>delinsupvfxtTerACGT0123456789", max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    for read in (hgvs.parse, hgvs.parse_place, hgvs.parse_lab_name):
        fault = fault_of(read, text)
        assert fault is None or (0 <= fault.position <= len(text) and fault.place == f"column {fault.position + 1}")


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("NM_1.1:c.5_7delGGT", "NM_1.1:c.5_7del"),
        ("NM_1.1:c.5_7del3", "NM_1.1:c.5_7del"),
        ("NM_1.1:c.5dupA", "NM_1.1:c.5dup"),
        ("NM_1.1:c.5_10del6insGG", "NM_1.1:c.5_10delinsGG"),
        ("NM_1.1:c.5_6GC>TA", "NM_1.1:c.5_6delinsTA"),
        ("NM_1.1:c.5delAinsT", "NM_1.1:c.5A>T"),
        ("NM_1.1:c.5_6ins12", "NM_1.1:c.5_6insN[12]"),
        ("NM_1.1:c.5_6ins(12)", "NM_1.1:c.5_6insN[12]"),
        ("NM_1.1:c.5a>g", "NM_1.1:c.5A>G"),
        ("NM_1.1:r.5A>U", "NM_1.1:r.5a>u"),
        ("NP_1.1:p.R97X", "NP_1.1:p.Arg97Ter"),
        ("NP_1.1:p.R97*", "NP_1.1:p.Arg97Ter"),
        ("NP_1.1:p.R97Pfs*23", "NP_1.1:p.Arg97ProfsTer23"),
        ("NP_1.1:p.R97fsX23", "NP_1.1:p.Arg97fsTer23"),
        ("NP_1.1:p.R97fs", "NP_1.1:p.Arg97fs"),
        ("NP_1.1:p.X110Qext*17", "NP_1.1:p.Ter110GlnextTer17"),
        ("NP_1.1:p.(K23_V25del)", "NP_1.1:p.(Lys23_Val25del)"),
    ],
)
def test_older_forms_are_written_as_today(old: str, today: str) -> None:
    assert hgvs.format_hgvs(hgvs.parse(old), stated=False) == today


def test_the_parts_of_a_name_carry_the_names_of_the_nomenclature() -> None:
    name = hgvs.parse("NC_000023.11(NM_004006.2):c.357+1G>A")
    assert name == HgvsVariant(
        "NC_000023.11",
        "c",
        Change(Interval(Position(357, 1), Position(357, 1)), hgvs_parts.Substitution("G", "A")),
        "NM_004006.2",
    )
    place = hgvs.parse_place("NM_004006.2:c.*22-6")
    assert place.interval == Interval(Position(22, -6, Datum.CDS_END), Position(22, -6, Datum.CDS_END))


@pytest.mark.parametrize(
    ("text", "phase", "groups"),
    [
        ("NM_1.1:c.[76A>C;83G>C]", Phase.CIS, [2]),
        ("NM_1.1:c.[76A>C];[83G>C]", Phase.TRANS, [1, 1]),
        ("NM_1.1:c.[76A>C];[=]", Phase.TRANS, [1, 1]),
        ("NM_1.1:c.76A>C(;)83G>C", Phase.UNKNOWN, [1, 1]),
    ],
)
def test_alleles_say_which_changes_share_a_chromosome(text: str, phase: Phase, groups: list[int]) -> None:
    allele = hgvs.parse(text)
    assert isinstance(allele, HgvsAllele)
    assert (allele.phase, [len(group) for group in allele.chromosomes]) == (phase, groups)
    assert str(allele) == text


@pytest.mark.parametrize(
    ("text", "dna", "gene", "exon", "protein"),
    [
        ("BRCA2:NM_000059:exon11:c.5946delT:p.S1982fs", "NM_000059(BRCA2):c.5946delT", "BRCA2", "exon11", "Ser1982fs"),
        ("BRCA2:NM_000059:exon11:c.5946delT", "NM_000059(BRCA2):c.5946delT", "BRCA2", "exon11", None),
        ("NM_000059.3(BRCA2):c.5946del (p.Ser1982fs)", "NM_000059.3(BRCA2):c.5946del", "BRCA2", "", "Ser1982fs"),
        ("NM_000059.3:c.5946del p.(Ser1982Argfs*22)", "NM_000059.3:c.5946del", "", "", "(Ser1982ArgfsTer22)"),
        ("NM_000059.3:c.5946del:p.Ser1982fs", "NM_000059.3:c.5946del", "", "", "Ser1982fs"),
        ("BRCA2 c.5946delT", "BRCA2:c.5946delT", "BRCA2", "", None),
        ("BRCA1 p.C61G", "BRCA1:p.Cys61Gly", "BRCA1", "", None),
        ("BRCA1 (p.Cys61Gly)", "BRCA1:p.Cys61Gly", "BRCA1", "", None),
        ("TP53:NM_000546:exon5:p.R175H", "NM_000546(TP53):p.Arg175His", "TP53", "exon5", None),
    ],
)
def test_strings_of_laboratories(text: str, dna: str, gene: str, exon: str, protein: str | None) -> None:
    assert hgvs.is_lab_name(text)
    lab = hgvs.parse_lab_name(text)
    assert (str(lab.name), lab.gene, lab.exon) == (dna, gene, exon)
    assert (None if lab.protein is None else str(lab.protein)) == protein


@pytest.mark.parametrize(
    "text",
    ["NM_1.1:c.5A>G", "NM_1.1:c.5_6ins[NC_000022.10:g.5_9;A]", "NM_1.1:c.5_6insNC_000022.10:g.5_9", "rs12", "x", ""],
)
def test_plain_names_are_no_strings_of_laboratories(text: str) -> None:
    assert not hgvs.is_lab_name(text)


# --- what is refused, and how -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("NM_1.1:c.IVS2+1G>A", 10, "c.88+1G>A"),
        ("NM_1.1:IVS2+1G>A", 8, "c.88+1G>A"),
        ("NM_1.1:c.EX3del", 10, "c.88_301del"),
        ("NM_1.1:c.5_9conNM_2.1:c.8_12", 13, "delins[NM_2.1:c.8_12]"),
        ("c.5A>G", 1, "NM_004006.2:c."),
        ("NM_1.1:5A>G", 8, "g. m. c. n. r. or p."),
        ("NM_1.1:C.5A>G", 8, "c."),
        ("NM_1.1:c.5A->G", 12, "> expected"),
        ("NM_1.1:c.5A→G", 12, "write >"),
        ("NM_1.1:c.5A&gt;G", 12, "web page"),
        ("NM_1.1:c.5U>A", 11, "DNA has T"),
        ("NM_1.1:r.5a>t", 13, "RNA has u"),
        ("NM_1.1:c.0A>G", 10, "no position 0"),
        ("NM_1.1:c.5+0A>G", 11, "offset of 0"),
        ("NM_1.1:c.(5A>G)", 12, "brackets belong to p. and r."),
        ("NM_1.1:c.5", 11, "an edit expected"),
        ("NM_1.1:c.5A>G/=", 14, "mosaics"),
        ("NM_1.1:c.5A>G;9C>T", 14, "square brackets"),
        ("NM_1.1:c.5 A>G", 11, "no space"),
        ("NC_1.1:g.5+1A>G", 11, "an edit expected"),
        ("NC_1.1:g.-5A>G", 10, "plain numbers"),
        ("NP_1.1:p.Arg97Stop", 15, "Ter, * or X"),
        ("NP_1.1:p.(?)", 10, "p.?"),
        ("NP_1.1:p.Ter68delextTer5", 18, "a lost stop is an extension"),
        ("NP_1.1:p.Ala5insGlyTerSer", 17, "behind a stop"),
        ("NM_1.1:c.12345678901A>G", 10, "11 digits"),
    ],
)
def test_refusals_name_the_column_and_the_way_out(text: str, column: int, hint: str) -> None:
    with pytest.raises(HgvsSyntaxError) as caught:
        hgvs.parse(text)
    assert hint in str(caught.value)
    assert caught.value.position == column - 1
    assert caught.value.text == text
    assert isinstance(caught.value, InvalidInput)


def test_withdrawn_forms_have_their_own_code() -> None:
    with pytest.raises(HgvsSyntaxError) as caught:
        hgvs.parse("NM_1.1:c.IVS2+1G>A")
    assert caught.value.code == "hgvs_withdrawn"


def test_a_lab_string_without_a_change_says_so() -> None:
    with pytest.raises(HgvsSyntaxError, match="no change among the fields"):
        hgvs.parse_lab_name("BRCA2:NM_000059:exon11")
    with pytest.raises(HgvsSyntaxError) as caught:
        hgvs.parse_lab_name("BRCA2:NM_000059:exon11:c.5946delT:p.S1982?s")
    assert "S1982?s"[caught.value.position - 36 :].startswith("s")


# --- cost -------------------------------------------------------------------------------------------------------------


HOSTILE = {
    "many bases": ("NM_1.1:c.5_6ins", "A", ""),
    "many repeats": ("NM_1.1:c.5", "A[2]", ""),
    "many brackets": ("NM_1.1:r.", "(", ""),
    "many ranges": ("NM_1.1:r.[", "(1_2", ""),
    "no colon": ("", "A", ""),
    "a long accession": ("", "A_", ":c."),
    "many parts": ("NM_1.1:c.5_6ins[", "1_2;", ""),
    "many residues": ("NM_1.1:p.", "Ala", ""),
    "many fields": ("", ": ", ""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_take_linear_time(kind: str) -> None:
    head, unit, tail = HOSTILE[kind]

    def cost(letters: int) -> float:
        text = head + unit * (letters // len(unit)) + tail
        taken: list[float] = []
        gc.disable()  # its passes over the parts of other tests would count as ours
        try:
            for _ in range(3):
                begin = time.process_time()
                for read in (hgvs.parse, hgvs.parse_lab_name):
                    with contextlib.suppress(HgvsSyntaxError):
                        read(text)
                taken.append(time.process_time() - begin)
        finally:
            gc.enable()
        return min(taken)

    # Four times the letters: 4 times the cost when it is linear, 16 times when it is quadratic. Below a millisecond
    # the clock is too coarse to divide by.
    assert cost(48_000) < 9 * max(cost(12_000), 0.000_5)


def test_a_text_too_long_is_refused_at_once() -> None:
    with pytest.raises(HgvsSyntaxError, match="give long insertions as VCF"):
        hgvs.parse("NM_1.1:c.5_6ins" + "A" * 1_000_000)
