"""Bundles of regions: the real human genes of the shared data in chromosome coordinates, and small invented ones."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from genescale.errors import InvalidInput
from genescale.genomics.build import BuildReport, build_bundle
from genescale.genomics.bundle import CODING, Bundle
from support.lrg_bundle import lrg_bundle
from support.shared_data import shared_data


@pytest.fixture(scope="module")
def panel() -> Bundle:
    return lrg_bundle("GRCh37")


def test_every_gene_of_the_panel_is_there(panel: Bundle) -> None:
    assert panel.kind == "regions"
    assert not panel.listing["dropped"]
    assert len(panel.array("transcript_start")) == 664
    assert len(panel.array("gene_start")) == 562
    assert panel.contigs[panel.contig("chr1")].length == 249_250_621  # known of the assembly, not of the regions
    assert panel.contigs[panel.contig("17")].refget == "SQ.AjWXsI7AkTK35XW9pgd3UbjpC3MAevlz"
    assert panel.contig("NC_000017.10") == panel.contig("17")
    assert "BRCA1" in panel.texts("gene_symbol")


def test_the_bases_are_those_that_clinvar_states(panel: Bundle) -> None:
    agree = 0
    text = gzip.decompress(shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz").read_bytes()).decode()
    for line in text.splitlines()[1:20_000]:
        contig, position, ref, _ = line.split("\t", 4)[:4]
        found = panel.sequence(panel.contig(contig), int(position), int(position) + len(ref) - 1)
        if found is not None:
            assert found.decode() == ref
            agree += 1
    assert agree > 9_000


def test_coding_sequences_begin_and_end_as_they_should(panel: Bundle) -> None:
    mrna, offset = panel.array("mrna"), panel.array("transcript_mrna")
    letters = np.frombuffer(b"ACGTN", np.uint8)
    good = coding = 0
    for i in np.flatnonzero(panel.array("transcript_flags") & CODING).tolist():
        first, last = int(panel.array("cds_cdna_start")[i]), int(panel.array("cds_cdna_end")[i])
        cds = letters[mrna[offset[i] + first - 1 : offset[i] + last]].tobytes()
        coding += 1
        good += cds[:3] == b"ATG" and cds[-3:] in (b"TAA", b"TAG", b"TGA")
    assert coding == 662
    assert good >= 650


# ---- small ones ----

GENES = (
    "7\tx\tlnc_RNA\t105\t140\t.\t+\t.\tID=both;biotype=lncRNA\n"
    "7\tx\texon\t105\t108\t.\t+\t.\tParent=both\n"
    "7\tx\texon\t135\t140\t.\t+\t.\tParent=both\n"
    "7\tx\tlnc_RNA\t105\t125\t.\t+\t.\tID=partly;biotype=lncRNA\n"
    "7\tx\texon\t105\t125\t.\t+\t.\tParent=partly\n"
    "7\tx\tlnc_RNA\t900\t925\t.\t+\t.\tID=elsewhere;biotype=lncRNA\n"
    "7\tx\texon\t900\t925\t.\t+\t.\tParent=elsewhere\n"
)


def built(folder: Path, fasta: str) -> tuple[Bundle, BuildReport]:
    (folder / "g.fa").write_text(fasta)
    (folder / "g.gff3").write_text(GENES)
    report = build_bundle(folder / "b", name="b", fasta=folder / "g.fa", genes=folder / "g.gff3")
    return Bundle.open(folder / "b"), report


def test_a_transcript_may_cross_a_gap_between_regions_but_not_lie_in_it(tmp_path: Path) -> None:
    bundle, report = built(tmp_path, ">7:101-110\nAACCGGTTAA\n>7:131-140\nCCGGTTAACC\n")
    assert bundle.texts("transcript_name") == ["both"]
    assert bundle.array("mrna").tolist() == [2, 2, 3, 3, *(3, 3, 0, 0, 1, 1)]  # GGTT of the first, TTAACC of the second
    assert report.dropped.counts == {"exon outside the regions of the genome file": 2}
    assert bundle.contigs[0].length is None
    assert bundle.array("contig_length").tolist() == [0]


def test_what_lies_between_regions_is_not_known(tmp_path: Path) -> None:
    bundle, _ = built(tmp_path, ">7:131-140\nCCGGTTAACC\n>7:101-110\nAACCGGTTAA\n")
    assert bundle.sequence(0, 101, 110) == b"AACCGGTTAA"
    assert bundle.sequence(0, 133, 134) == b"GG"
    for start, end in ((100, 101), (110, 111), (105, 135), (120, 121)):
        assert bundle.sequence(0, start, end) is None
    assert bundle.array("segment_start").tolist() == [100, 130]
    assert bundle.array("segment_base").tolist() == [0, 10]


def test_regions_beyond_the_end_of_the_chromosome_are_refused(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">7:159345990-159345999\nAACCGGTTAA\n")
    (tmp_path / "g.gff3").write_text(GENES)
    with pytest.raises(InvalidInput, match=r"reach to base 159,345,999; in GRCh38.p14 it has 159,345,973"):
        build_bundle(tmp_path / "b", name="b", fasta=tmp_path / "g.fa", genes=tmp_path / "g.gff3", assembly="GRCh38")


def test_overlapping_regions_are_one(tmp_path: Path) -> None:
    apart, _ = built(tmp_path, ">7:101-110\nAACCGGTTAA\n>7:106-140\nGTTAA" + "T" * 30 + "\n")
    assert apart.array("segment_end").tolist() == [140]
    assert apart.texts("transcript_name") == ["partly", "both"]
