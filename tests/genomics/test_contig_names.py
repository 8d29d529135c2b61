"""Names of contigs and genetic codes."""

from pathlib import Path

import pytest

from genescale.errors import InvalidInput, UnknownName
from genescale.genomics import codons
from genescale.genomics.aliases import (
    RCRS_MD5,
    alias_index,
    aliases_of,
    human_assembly,
    known_contig,
    known_contigs,
    refuse_old_mitochondrion,
    table_assembly,
)
from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle

CHR1_38, CHR1_37 = 248_956_422, 249_250_621


def test_the_assembly_follows_from_lengths() -> None:
    assert human_assembly({"chr1": CHR1_38}) == "GRCh38.p14"
    assert human_assembly({"1": CHR1_37, "2": 243_199_373}) == "GRCh37.p13"
    assert human_assembly({"some name": CHR1_37}) == "GRCh37.p13"
    assert human_assembly({"chr1": 1000, "chrX": 77}) == ""
    assert human_assembly({"MT": 16_569}) == ""  # in all of them


@pytest.mark.parametrize(
    ("said", "table"),
    [
        ("GRCh38", "GRCh38.p14"),
        ("hg19", "GRCh37.p13"),
        ("GRCh37.p5", "GRCh37.p13"),
        ("CHM13", "T2T-CHM13v2.0"),
        ("mm39", ""),
    ],
)
def test_words_for_assemblies(said: str, table: str) -> None:
    assert table_assembly(said) == table


def test_one_chromosome_has_many_names() -> None:
    known = known_contig("chr1", CHR1_38, "GRCh38.p14")
    assert aliases_of("chr1", known) == ("1", "NC_000001.11", "CM000663.2")
    assert aliases_of("NC_000001.11", known) == ("1", "chr1", "CM000663.2")
    by_length = known_contig("contig-7", CHR1_37, "GRCh37.p13")
    assert "NC_000001.10" in aliases_of("contig-7", by_length)
    assert known_contig("chr1", CHR1_37, "GRCh38.p14") is None  # a name alone does not make it that sequence
    assert known_contig("chrUn_KI270742v1", None, "GRCh38.p14") is not None


def test_refget_digests_of_chromosomes() -> None:
    def refget(name: str, assembly: str) -> str:
        known = known_contig(name, None, assembly)
        assert known is not None
        return known.refget

    # the vectors of the VRS specification
    assert refget("19", "GRCh38.p14") == "SQ.IIB53T8CNeJJdUqzn9V_JnRtQadwWCbl"
    assert refget("chr1", "GRCh38.p14") == "SQ.Ya6Rs7DHhDeg7YaOSg1EoNi3U_nQ9SvO"
    digests = {known.refget for known in known_contigs()} - {""}
    assert len(digests) == 48
    assert refget("MT", "GRCh38.p14") == ""


def test_elsewhere_the_prefix_comes_and_goes() -> None:
    assert aliases_of("chr4") == ("4",)
    assert aliases_of("4") == ("chr4",)
    assert aliases_of("chrIV") == ("IV",)
    assert aliases_of("scaffold_12") == ()
    assert aliases_of("gi|568815597|ref|NC_000001.11|") == ("NC_000001.11",)


def test_only_the_revised_cambridge_sequence_has_its_accession() -> None:
    assert "NC_012920.1" in aliases_of("chrM", None, RCRS_MD5)
    assert "NC_012920.1" not in aliases_of("chrM", known_contig("chrM", 16_569, "GRCh38.p14"), "f" * 32)
    assert {"MT", "M", "chrMT"} <= set(aliases_of("chrM", None, "f" * 32))


def test_an_alias_that_two_contigs_claim_is_neither() -> None:
    assert alias_index([("a", ["x", "y"]), ("b", ["x"]), ("y", [])]) == {"a": 0, "b": 1, "y": 2}


def test_the_old_mitochondrial_sequence_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidInput, match=r"chrM has 16,571 bases: this is NC_001807.*--without chrM"):
        refuse_old_mitochondrion("chrM", 16_571, "line 1")
    refuse_old_mitochondrion("chrM", 16_569, "line 1")
    refuse_old_mitochondrion("scaffold", 16_571, "line 1")


def test_no_two_sequences_of_an_assembly_share_a_name() -> None:
    names = [(known.assembly, name) for known in known_contigs() for name in known.names]
    assert len(names) == len(set(names))
    assert len(known_contigs()) > 1000


# ---- genetic codes ----


def test_genetic_codes() -> None:
    assert codons.table_numbers()[:6] == (1, 2, 3, 4, 5, 6)
    assert len(codons.table_numbers()) == 27
    for number in codons.table_numbers():
        code = codons.genetic_code(number)
        assert len(code.letters) == 64
        assert set(code.letters) <= set("ACDEFGHIKLMNPQRSTVWY*")
        assert "ATG" in code.starts
    with pytest.raises(UnknownName, match="no genetic code 7; NCBI's numbers are: 1 Standard, 2 Vertebrate"):
        codons.genetic_code(7)


def test_vertebrate_mitochondria_differ_from_the_standard_in_four_codons() -> None:
    def letter(table: int, codon: str) -> str:
        index = sum(codons.BASES.index(base) * 5**power for base, power in zip(codon, (2, 1, 0), strict=True))
        return chr(codons.amino_acids(table)[index])

    assert [letter(1, codon) for codon in ("TGA", "ATA", "AGA", "AGG")] == ["*", "I", "R", "R"]
    assert [letter(2, codon) for codon in ("TGA", "ATA", "AGA", "AGG")] == ["W", "M", "*", "*"]
    assert sum(a != b for a, b in zip(codons.genetic_code(1).letters, codons.genetic_code(2).letters, strict=True)) == 4
    assert set(codons.genetic_code(2).starts) == {"ATT", "ATC", "ATA", "ATG", "GTG"}
    assert set(codons.genetic_code(1).starts) == {"TTG", "CTG", "ATG"}


def test_an_unknown_base_is_read_where_it_does_not_matter() -> None:
    letters = codons.amino_acids(1)
    assert chr(letters[25 * 1 + 5 * 3 + 4]) == "L"  # CTN
    assert chr(letters[25 * 0 + 5 * 0 + 4]) == "X"  # AAN is Lys or Asn
    assert chr(letters[124]) == "X"


# ---- in a bundle ----

GENES = (
    "MT\tx\tmRNA\t1\t9\t.\t+\t.\tID=t;biotype=protein_coding\n"
    "MT\tx\texon\t1\t9\t.\t+\t.\tParent=t\n"
    "MT\tx\tCDS\t1\t9\t.\t+\t0\tParent=t\n"
)


def built(folder: Path, tables: dict[str, int]) -> Bundle:
    build_bundle(folder / "b", name="b", fasta=folder / "g.fa", genes=folder / "g.gff", codon_tables=tables)
    return Bundle.open(folder / "b")


@pytest.mark.parametrize(
    ("choice", "protein"), [({}, "MWW"), ({"MT": 1}, "I*W"), ({"chrM": 1}, "I*W"), ({"M": 5}, "MWW")]
)
def test_the_genetic_code_of_a_contig(tmp_path: Path, choice: dict[str, int], protein: str) -> None:
    (tmp_path / "g.fa").write_text(">chrM\nATATGATGG\n>2\nACGT\n")
    (tmp_path / "g.gff").write_text(GENES)
    with built(tmp_path, choice) as bundle:
        assert bundle.array("protein").tobytes().decode() == protein
        assert bundle.contigs[0].circular
        assert bundle.contig("MT") == bundle.contig("chrMT") == 0


def test_choices_for_contigs_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">chrM\nATATGATGG\n")
    (tmp_path / "g.gff").write_text(GENES)
    with pytest.raises(UnknownName, match="no contig '7'; it has chrM"):
        built(tmp_path, {"7": 2})
    with pytest.raises(UnknownName, match="no genetic code 99"):
        built(tmp_path, {"MT": 99})
    assert not list(tmp_path.glob("*b*")), "nothing is left of a build that failed"
