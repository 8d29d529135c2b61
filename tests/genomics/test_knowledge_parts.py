"""Substitutions of several bases: what is known of their single bases is told apart, never as that of the whole."""

from pathlib import Path

import pytest

from genescale.genomics.annotate import Options, annotate
from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Column, Knowledge
from genescale.genomics.knowledge_build import Fact, Source, build_facts
from genescale.genomics.variants import Variants, variants_of_record
from support.embedded_bundles import embedded
from support.tiny_bundle import tiny_bundle

SEQUENCE = "GATTACACACACACGGGGGGTTACGTACGTACGTACGTACGTACGT"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return embedded("mitochondrion")


def one(pos: int, ref: str, alt: str, contig: int = 0) -> Variants:
    return Variants.of_rows(variants_of_record(contig, pos, ref, [alt]))


def bases(bundle: Bundle, start: int, length: int) -> str:
    return (bundle.sequence(0, start, start + length - 1) or b"").decode()


def changed(bundle: Bundle, start: int, alts: dict[int, str], length: int) -> tuple[int, str, str]:
    ref = bases(bundle, start, length)
    return start, ref, "".join(alts.get(start + i, base) for i, base in enumerate(ref))


def test_the_single_bases_of_a_substitution_are_found(bundle: Bundle) -> None:
    knowledge = Knowledge.open(bundle)
    parts = knowledge.parts(one(*changed(bundle, 3242, {3243: "G", 3242: "A"}, 3)))
    by_place = {(part.position, part.ref, part.alt): part.rows for part in parts}
    melas = by_place[3243, "A", "G"]
    assert knowledge["clinvar"].value("significance", melas["clinvar"]) == "Pathogenic"
    assert all(row >= 0 for rows in by_place.values() for row in rows.values())
    assert all(position in (3242, 3243) for position, _, _ in by_place)


def test_the_whole_is_not_said_to_be_known(bundle: Bundle) -> None:
    knowledge = Knowledge.open(bundle)
    found = knowledge.lookup(one(*changed(bundle, 3242, {3243: "G", 3242: "A"}, 2)))
    assert all((rows == -1).all() for rows in found.values())


@pytest.mark.parametrize(("ref", "alt"), [("A", "G"), ("A", "AC"), ("AG", "A"), ("AG", "TCA")])
def test_other_kinds_have_no_parts(bundle: Bundle, ref: str, alt: str) -> None:
    assert Knowledge.open(bundle).parts(one(3243, ref, alt)) == []


def test_a_substitution_that_the_reference_contradicts_has_no_parts(bundle: Bundle) -> None:
    wrong = one(3243, "AA", "GC")  # 3244 is G
    rows = list(annotate(b"chrM\t3243\t.\tAA\tGC\t.\t.\t.", bundle))
    assert rows == []
    wrong.flags[0] |= 1
    assert Knowledge.open(bundle).parts(wrong) == []


def test_the_field_marks_its_parts_and_the_others_stay_empty(bundle: Bundle) -> None:
    start, ref, alt = changed(bundle, 3242, {3243: "G", 3242: "A"}, 2)
    options = Options(fields=("hgvsg", "clinvar.significance", "known_parts"), hgvs=True)
    (row,) = annotate(f"chrM\t{start}\t.\t{ref}\t{alt}\t.\t.\t.".encode(), bundle, options)
    assert row["hgvsg"] == "MT:m.3242_3243delinsAG"
    assert row["clinvar.significance"] == "-"
    assert "3243A>G(" in row["known_parts"]
    assert "clinvar:Pathogenic" in row["known_parts"]
    (row,) = annotate(b"chrM\t3243\t.\tA\tG\t.\t.\t.", bundle, options)
    assert row["clinvar.significance"] == "Pathogenic"
    assert row["known_parts"] == "-"


def test_unchanged_bases_and_silent_sources_are_left_out(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path, {"chr1": SEQUENCE})
    columns = (Column("number", "i4", "a number"),)
    facts = [Fact(1, "chr1", 3, "T", "C", (7,)), Fact(2, "chr1", 4, "T", "G", (8,))]
    build_facts(path, Source("test", "1", "2024-05-09", "none", "", columns), facts)
    with Bundle.open(path) as made:
        knowledge = Knowledge.open(made)
        (part,) = knowledge.parts(one(3, "TTA", "CTG"))
        assert (part.variant, part.position, part.ref, part.alt) == (0, 3, "T", "C")
        assert knowledge["test"].value("number", part.rows["test"]) == 7
        assert len(knowledge.parts(one(3, "TT", "CG"))) == 2
        assert knowledge.parts(one(3, "TT", "CG"), sources=[]) == []
