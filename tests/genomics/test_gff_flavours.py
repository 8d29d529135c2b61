"""Annotation files as Ensembl, GENCODE, RefSeq and others write them, down to the bundle that they become."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genescale.errors import InvalidInput
from genescale.genomics import bundle as b
from genescale.genomics.build import BuildReport, build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.gff import read_annotation
from support.shared_data import shared_data

CDS = "ATGGCTTGGAAACGTTAA"  # M A W K R stop
GENOME = "C" * 100 + "GG" + CDS[:9] + "GTAAGTCCCCCCCCCCCCTTTCAG" + CDS[9:] + "TT" + "C" * 100
EXONS = ((101, 111), (136, 146))
PARTS = ((103, 111), (136, 144))  # the CDS; 142-144 is the stop codon

Build = Callable[..., tuple[Bundle, BuildReport]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build a bundle of annotation lines (columns separated by blanks, attributes last) on a small genome."""

    def made(lines: list[str], fasta: str = f">1\n{GENOME}\n", **choices: object) -> tuple[Bundle, BuildReport]:
        (tmp_path / "genome.fa").write_text(fasta)
        rows = ["\t".join(line.split(None, 8)) if not line.startswith(("#", "track")) else line for line in lines]
        (tmp_path / "genes").write_text("\n".join(rows) + "\n")
        report = build_bundle(
            tmp_path / "b",
            name="b",
            fasta=tmp_path / "genome.fa",
            genes=tmp_path / "genes",
            replace=True,
            **choices,  # pyright: ignore[reportArgumentType]
        )
        return Bundle.open(tmp_path / "b"), report

    return made


def flags(bundle: Bundle, i: int = 0) -> int:
    return int(bundle.array("transcript_flags")[i])


def protein(bundle: Bundle, i: int = 0) -> str:
    a, z = bundle.array("transcript_protein")[i : i + 2]
    return bundle.array("protein")[a:z].tobytes().decode()


ENSEMBL_GFF3 = [
    "#!genome-version GRCh38",
    (
        "1 havana gene 101 146 . + . ID=gene:ENSG01;Name=ABC1;biotype=protein_coding;gene_id=ENSG01;version=4;"
        "description=a protein [Source:HGNC Symbol%3BAcc:HGNC:77]"
    ),
    (
        "1 havana mRNA 101 146 . + . ID=transcript:ENST01;Parent=gene:ENSG01;biotype=protein_coding;ccdsid=CCDS9.1;"
        "tag=basic,Ensembl_canonical,MANE_Select;transcript_id=ENST01;"
        "transcript_support_level=2 (assigned to 1);version=3"
    ),
    "1 havana exon 101 111 . + . Parent=transcript:ENST01;rank=1",
    "1 havana exon 136 146 . + . Parent=transcript:ENST01;rank=2",
    "1 havana five_prime_UTR 101 102 . + . Parent=transcript:ENST01",
    "1 havana CDS 103 111 . + 0 ID=CDS:ENSP01;Parent=transcript:ENST01;protein_id=ENSP01;version=2",
    "1 havana CDS 136 144 . + 0 ID=CDS:ENSP01;Parent=transcript:ENST01;protein_id=ENSP01;version=2",
]
_GTF = (
    'gene_id "ENSG01"; gene_version "4"; gene_name "ABC1"; gene_source "havana"; gene_biotype "protein_coding"; '
    'hgnc_id "HGNC:77";'
)
_GTF_TRANSCRIPT = (
    f'{_GTF} transcript_id "ENST01"; transcript_version "3"; transcript_biotype "protein_coding"; ccds_id "CCDS9.1"; '
    'tag "basic"; tag "Ensembl_canonical"; tag "MANE_Select"; transcript_support_level "2 (assigned to 1)";'
)
ENSEMBL_GTF = [
    "#!genome-version GRCh38",
    f"1 havana gene 101 146 . + . {_GTF}",
    f"1 havana transcript 101 146 . + . {_GTF_TRANSCRIPT}",
    f"1 havana exon 101 111 . + . {_GTF_TRANSCRIPT}",
    f'1 havana CDS 103 111 . + 0 {_GTF_TRANSCRIPT} protein_id "ENSP01"; protein_version "2";',
    f"1 havana start_codon 103 105 . + 0 {_GTF_TRANSCRIPT}",
    f"1 havana exon 136 146 . + . {_GTF_TRANSCRIPT}",
    f'1 havana CDS 136 141 . + 0 {_GTF_TRANSCRIPT} protein_id "ENSP01"; protein_version "2";',
    f"1 havana stop_codon 142 144 . + 0 {_GTF_TRANSCRIPT}",
]
GENCODE_GFF3 = [
    "1 HAVANA gene 101 146 . + . ID=ENSG01.4;gene_id=ENSG01.4;gene_type=protein_coding;gene_name=ABC1;hgnc_id=HGNC:77",
    (
        "1 HAVANA transcript 101 146 . + . ID=ENST01.3;Parent=ENSG01.4;gene_id=ENSG01.4;transcript_id=ENST01.3;"
        "gene_type=protein_coding;gene_name=ABC1;transcript_type=protein_coding;level=2;protein_id=ENSP01.2;"
        "transcript_support_level=2;tag=basic,Ensembl_canonical,MANE_Select,appris_alternative_2,CCDS;ccdsid=CCDS9.1"
    ),
    "1 HAVANA exon 101 111 . + . ID=exon:1;Parent=ENST01.3;transcript_id=ENST01.3",
    "1 HAVANA exon 136 146 . + . ID=exon:2;Parent=ENST01.3;transcript_id=ENST01.3",
    "1 HAVANA CDS 103 111 . + 0 ID=CDS:1;Parent=ENST01.3;protein_id=ENSP01.2",
    "1 HAVANA CDS 136 144 . + 0 ID=CDS:2;Parent=ENST01.3;protein_id=ENSP01.2",
    "1 HAVANA start_codon 103 105 . + 0 ID=s;Parent=ENST01.3",
    "1 HAVANA stop_codon 142 144 . + 0 ID=t;Parent=ENST01.3",
]


@pytest.mark.parametrize("lines", [ENSEMBL_GFF3, ENSEMBL_GTF, GENCODE_GFF3], ids=["ensembl", "ensembl gtf", "gencode"])
def test_ensembl_and_gencode_say_the_same(build: Build, lines: list[str]) -> None:
    bundle, report = build(lines)
    assert not report.dropped.counts
    assert bundle.text("transcript_name", 0) == "ENST01.3"
    assert bundle.text("protein_name", 0) == "ENSP01.2"
    assert bundle.text("ccds_name", 0) == "CCDS9.1"
    assert bundle.text("gene_symbol", 0) == "ABC1"
    assert bundle.text("hgnc", 0) == "HGNC:77"
    assert protein(bundle) == "MAWKR"
    expected = b.CODING | b.PROTEIN_CODING | b.MANE_SELECT | b.CANONICAL | b.BASIC | b.CCDS | b.ENSEMBL
    assert flags(bundle) == expected
    assert bundle.array("transcript_tsl")[0] == 2
    assert (bundle.array("coding_start")[0], bundle.array("coding_end")[0]) == (103, 144)
    assert (bundle.array("cds_cdna_start")[0], bundle.array("cds_cdna_end")[0]) == (3, 20)


def test_gff3_and_gtf_of_ensembl_give_one_bundle(build: Build) -> None:
    assert build(ENSEMBL_GFF3)[0].digest == build(ENSEMBL_GTF)[0].digest


def test_gff3_and_gtf_of_a_whole_genome_give_one_bundle(tmp_path: Path) -> None:
    digests = {
        build_bundle(
            tmp_path / kind,
            name="parity",
            fasta=shared_data("vep-parity/genome.fa.gz"),
            genes=shared_data(f"vep-parity/genes.{kind}.gz"),
        ).digest
        for kind in ("gff3", "gtf")
    }
    assert len(digests) == 1


def test_the_versions_of_names_are_known_apart_from_the_names(build: Build) -> None:
    assert build(ENSEMBL_GFF3)[0].array("transcript_version_size")[0] == len(".3")
    assert build(GENCODE_GFF3)[0].array("transcript_version_size")[0] == 0  # GENCODE's name is the whole of it


def test_appris_orders_the_pick_where_the_file_says_it(build: Build) -> None:
    bundle, _ = build(GENCODE_GFF3)
    assert bundle.array("transcript_appris")[0] == 12
    said = int(bundle.array("transcript_pick_before")[0])
    unsaid = int(build(ENSEMBL_GFF3)[0].array("transcript_pick_before")[0])
    assert said < unsaid
    assert said | b.PICK_STRICT == unsaid | b.PICK_STRICT  # VEP does not read it from a file of genes


REFSEQ = [
    "##gff-version 3",
    "#!genome-build GRCh38.p14",
    "##sequence-region NC_000001.11 1 246",
    "NC_000001.11 RefSeq region 1 246 . + . ID=NC_000001.11:1..246;Name=1;chromosome=1;genome=chromosome",
    (
        "NC_000001.11 BestRefSeq gene 101 146 . + . ID=gene-ABC1;Dbxref=GeneID:672,HGNC:HGNC:77,MIM:1;Name=ABC1;"
        "gbkey=Gene;gene=ABC1;gene_biotype=protein_coding"
    ),
    (
        "NC_000001.11 BestRefSeq mRNA 101 146 . + . ID=rna-NM_01.4;Parent=gene-ABC1;Dbxref=Ensembl:ENST01.3,GeneID:672;"
        "Name=NM_01.4;gbkey=mRNA;gene=ABC1;tag=MANE Select;transcript_id=NM_01.4"
    ),
    "NC_000001.11 BestRefSeq exon 101 111 . + . ID=exon-NM_01.4-1;Parent=rna-NM_01.4;gbkey=mRNA",
    "NC_000001.11 BestRefSeq exon 136 146 . + . ID=exon-NM_01.4-2;Parent=rna-NM_01.4;gbkey=mRNA",
    "NC_000001.11 BestRefSeq CDS 103 111 . + 0 ID=cds-NP_01.1;Parent=rna-NM_01.4;Dbxref=CCDS:CCDS9.1;protein_id=NP_01.1",  # noqa: E501
    "NC_000001.11 BestRefSeq CDS 136 144 . + 0 ID=cds-NP_01.1;Parent=rna-NM_01.4;Dbxref=CCDS:CCDS9.1;protein_id=NP_01.1",  # noqa: E501
]


def test_refseq(build: Build) -> None:
    bundle, report = build(REFSEQ, fasta=f">NC_000001.11 Homo sapiens\n{GENOME}\n")
    assert not report.dropped.counts
    assert bundle.assembly == "GRCh38.p14"
    assert bundle.text("transcript_name", 0) == "NM_01.4"
    assert bundle.text("protein_name", 0) == "NP_01.1"
    assert bundle.text("ccds_name", 0) == "CCDS9.1"
    assert (bundle.text("gene_id", 0), bundle.text("gene_symbol", 0), bundle.text("hgnc", 0)) == (
        "672",
        "ABC1",
        "HGNC:77",
    )
    assert flags(bundle) == b.CODING | b.PROTEIN_CODING | b.MANE_SELECT | b.REFSEQ | b.CCDS
    assert bundle.contig("chr1") == bundle.contig("1") == bundle.contig("NC_000001.11") == 0


def test_genes_by_accession_find_the_chromosomes_of_another_source(build: Build) -> None:
    bundle, _ = build(REFSEQ, fasta=f">chr1\n{GENOME}\n", assembly="GRCh38")  # too short for the table: names decide
    assert bundle.text("transcript_name", 0) == "NM_01.4"


def refseq_rna(kind: str, more: str = "", gene: str = "lncRNA") -> list[str]:
    return [
        f"1 RefSeq gene 101 146 . + . ID=gene-R;Dbxref=GeneID:9;Name=R;gbkey=Gene;gene=R;gene_biotype={gene}",
        f"1 RefSeq {kind} 101 146 . + . ID=rna-R;Parent=gene-R;gene=R;{more}",
        "1 RefSeq exon 101 111 . + . ID=e1;Parent=rna-R",
        "1 RefSeq exon 136 146 . + . ID=e2;Parent=rna-R",
    ]


@pytest.mark.parametrize(
    ("kind", "more", "gene", "biotype"),
    [
        ("lnc_RNA", "transcript_id=NR_1.1;gbkey=ncRNA", "lncRNA", "lncRNA"),
        ("tRNA", "gbkey=tRNA", "tRNA", "tRNA"),
        ("rRNA", "gbkey=rRNA", "rRNA", "rRNA"),
        ("snoRNA", "transcript_id=NR_2.1", "snoRNA", "snoRNA"),
        ("transcript", "transcript_id=NR_3.1;gbkey=misc_RNA", "transcribed_pseudogene", "misc_RNA"),
        ("transcript", "transcript_id=NM_3.1", "", "protein_coding"),
        ("V_gene_segment", "gbkey=V_segment", "V_segment", "IG_V_gene"),
        ("ncRNA", "ncrna_class=Y_RNA", "Y_RNA", "Y_RNA"),
    ],
)
def test_refseq_says_the_biotype_by_the_type(build: Build, kind: str, more: str, gene: str, biotype: str) -> None:
    bundle, _ = build(refseq_rna(kind, more, gene))
    assert bundle.biotypes[int(bundle.array("transcript_biotype")[0])] == biotype


def test_a_trna_without_a_transcript_name_is_called_by_its_id(build: Build) -> None:
    assert build(refseq_rna("tRNA"))[0].text("transcript_name", 0) == "R"


def test_refseq_mature_mirna_is_a_part_of_its_primary_transcript(build: Build) -> None:
    lines = [
        "1 BestRefSeq gene 101 146 . - . ID=gene-MIR1;Name=MIR1;gbkey=Gene;gene_biotype=miRNA",
        "1 BestRefSeq primary_transcript 101 146 . - . ID=rna-NR_9.1;Parent=gene-MIR1;transcript_id=NR_9.1",
        "1 BestRefSeq exon 101 146 . - . ID=e;Parent=rna-NR_9.1",
        "1 BestRefSeq miRNA 110 120 . - . ID=rna-MIR1;Parent=rna-NR_9.1;gbkey=ncRNA",
        "1 BestRefSeq exon 110 120 . - . ID=f;Parent=rna-MIR1",
    ]
    bundle, _ = build(lines)
    assert bundle.texts("transcript_name") == ["NR_9.1"]
    assert flags(bundle) & b.MIRNA
    mature = [int(bundle.array(name)[0]) for name in ("mature_transcript", "mature_start", "mature_end")]
    assert mature == [0, 146 - 120 + 1, 146 - 110 + 1]


def test_genes_with_cds_rows_alone_are_their_own_transcripts(build: Build) -> None:
    lines = [
        "MT RefSeq region 1 246 . + . ID=r;Is_circular=true;Name=MT;genome=mitochondrion",
        "MT RefSeq gene 103 144 . + . ID=gene-ND1;Dbxref=GeneID:4535;Name=ND1;gbkey=Gene;gene_biotype=protein_coding",
        "MT RefSeq CDS 103 111 . + 0 ID=cds-YP_1.1;Parent=gene-ND1;protein_id=YP_1.1;transl_table=2",
        "MT RefSeq CDS 136 144 . + 0 ID=cds-YP_1.1;Parent=gene-ND1;protein_id=YP_1.1;transl_table=2",
    ]
    bundle, _ = build(lines, fasta=f">MT\n{GENOME}\n")
    assert bundle.array("exon_start").tolist() == [103, 136]
    assert bundle.array("transcript_table")[0] == 2
    assert bundle.contigs[0].circular
    assert bundle.text("protein_name", 0) == "YP_1.1"
    names = [bundle.text(pool, 0) for pool in ("transcript_name", "gene_symbol", "gene_id")]
    assert names == ["ND1", "ND1", "4535"]
    assert flags(bundle) & b.MITOCHONDRIAL


@pytest.mark.parametrize(
    ("strand", "start_flag", "end_flag"), [("+", b.CDS_START_NF, b.CDS_END_NF), ("-", b.CDS_END_NF, b.CDS_START_NF)]
)
def test_refseq_open_ends(build: Build, strand: str, start_flag: int, end_flag: int) -> None:
    def partial(more: str) -> list[str]:
        return [
            f"1 Gnomon gene 101 146 . {strand} . ID=gene-A;Name=A;gene_biotype=protein_coding",
            f"1 Gnomon mRNA 101 146 . {strand} . ID=rna-A;Parent=gene-A;transcript_id=XM_1.1",
            f"1 Gnomon exon 101 146 . {strand} . ID=e;Parent=rna-A",
            f"1 Gnomon CDS 101 146 . {strand} 0 ID=c;Parent=rna-A;protein_id=XP_1.1;partial=true;{more}",
        ]

    both = b.CDS_START_NF | b.CDS_END_NF
    assert flags(build(partial("start_range=.,101"))[0]) & both == start_flag
    assert flags(build(partial("end_range=146,."))[0]) & both == end_flag
    assert flags(build(partial("start_range=.,101;end_range=146,."))[0]) & both == both


def test_the_mitochondrial_genes_as_refseq_publishes_them(build: Build, tmp_path: Path) -> None:
    genes = shared_data("mt-lineage/mtdna.gff")
    (tmp_path / "mt.fa").write_text(">NC_012920.1\n" + "ACGTACGTA" * 1841 + "\n")  # as long as the true one
    report = build_bundle(tmp_path / "mt", name="mt", fasta=tmp_path / "mt.fa", genes=genes)
    assert (report.genes, report.transcripts, report.coding) == (37, 37, 13)
    assert not report.dropped.counts
    assert report.contigs[0].circular
    assert report.contigs[0].codon_table == 2


def test_what_the_cds_rows_of_refseq_say_of_the_protein(build: Build) -> None:
    def rows(more: str) -> list[str]:
        return [line + (f";{more}" if "\tCDS" in line or " CDS " in line else "") for line in REFSEQ]

    fasta = f">NC_000001.11\n{GENOME}\n"
    assert flags(build(rows("transl_except=(pos:108..110%2Caa:Sec)"), fasta=fasta)[0]) & b.SELENO
    differs = "exception=annotated by transcript or proteomic data;Note=The RefSeq protein has 1 substitution"
    assert flags(build(rows(differs.replace(" ", "%20")), fasta=fasta)[0]) & b.PROTEIN_DIFFERS
    assert not flags(build(rows("exception=ribosomal%20slippage"), fasta=fasta)[0]) & b.PROTEIN_DIFFERS


def test_ncbi_gtf(build: Build) -> None:
    gene = 'gene_id "ABC1"; db_xref "GeneID:672"; db_xref "HGNC:HGNC:77"; gene "ABC1"; gene_biotype "protein_coding";'
    own = 'gene_id "ABC1"; transcript_id "NM_01.4"; db_xref "GeneID:672"; gene "ABC1"; tag "MANE Select";'
    lines = [
        f'1 BestRefSeq gene 101 146 . + . {gene} transcript_id "";',
        f'1 BestRefSeq transcript 101 146 . + . {own} transcript_biotype "mRNA";',
        f'1 BestRefSeq exon 101 111 . + . {own} exon_number "1";',
        f'1 BestRefSeq exon 136 146 . + . {own} exon_number "2";',
        f'1 BestRefSeq CDS 103 111 . + 0 {own} protein_id "NP_01.1";',
        f'1 BestRefSeq CDS 136 141 . + 0 {own} protein_id "NP_01.1";',
        f'1 BestRefSeq stop_codon 142 144 . + 0 {own} protein_id "NP_01.1";',
    ]
    bundle, report = build(lines)
    assert not report.dropped.counts
    assert (bundle.text("gene_id", 0), bundle.text("gene_symbol", 0), bundle.text("hgnc", 0)) == (
        "672",
        "ABC1",
        "HGNC:77",
    )
    assert bundle.biotypes == ["protein_coding"]
    assert flags(bundle) == b.CODING | b.PROTEIN_CODING | b.MANE_SELECT | b.REFSEQ
    assert protein(bundle) == "MAWKR"


def test_gtf_without_gene_and_transcript_rows(build: Build) -> None:
    own = 'gene_id "ABC1"; transcript_id "NM_01.4"; gene_name "ABC1"'
    lines = [
        f"1 refGene exon 101 111 . + . {own};",
        f"1 refGene CDS 103 111 . + 0 {own};",
        f"1 refGene exon 136 146 . + . {own};",
        f"1 refGene CDS 136 144 . + 0 {own};",
    ]
    bundle, _ = build(lines)
    assert (bundle.array("gene_start")[0], bundle.array("gene_end")[0]) == (101, 146)
    assert bundle.text("gene_symbol", 0) == "ABC1"
    assert protein(bundle) == "MAWKR"


def test_gtf_without_gene_rows_or_with_late_ones(build: Build) -> None:
    own = 'gene_id "G1"; transcript_id "T1"; gene_name "ABC1"; transcript_type "lncRNA"; gene_type "lncRNA";'
    gene = '1 x gene 90 150 . + . gene_id "G1"; gene_name "ABC1"; gene_type "protein_coding";'
    rows = [f"1 x transcript 101 146 . + . {own}", f"1 x exon 101 146 . + . {own}"]
    for lines, start in ((rows, 101), ([*rows, gene], 90), ([gene, *rows], 90)):
        bundle, report = build(lines)
        assert not report.dropped.counts
        assert (bundle.text("gene_id", 0), bundle.text("gene_symbol", 0)) == ("G1", "ABC1")
        assert bundle.array("gene_start")[0] == start


def test_old_gencode_gives_its_genes_a_transcript_name(build: Build) -> None:
    own = "gene_id=ENSG01.4;gene_type=pseudogene;gene_name=DDX11L1;level=2"
    gff3 = [
        f"1 HAVANA gene 101 146 . + . ID=ENSG01.4;{own};transcript_id=ENSG01.4;transcript_type=pseudogene",
        (
            f"1 HAVANA transcript 101 146 . + . ID=ENST01.2;Parent=ENSG01.4;{own};transcript_id=ENST01.2;"
            "transcript_type=processed_transcript"
        ),
        f"1 HAVANA exon 101 146 . + . ID=exon:ENST01.2:1;Parent=ENST01.2;{own};transcript_id=ENST01.2",
    ]
    gtf_own = 'gene_id "ENSG01.4"; transcript_id "{}"; gene_type "pseudogene"; gene_name "DDX11L1"; level 2;'
    kinds = (("gene", "ENSG01.4"), ("transcript", "ENST01.2"), ("exon", "ENST01.2"))
    gtf = [
        f'1 HAVANA {kind} 101 146 . + . {gtf_own.format(name)} transcript_type "processed_transcript";'
        for kind, name in kinds
    ]
    bundle, _ = build(gff3)
    assert (bundle.text("transcript_name", 0), bundle.text("gene_id", 0)) == ("ENST01.2", "ENSG01.4")
    assert bundle.text("gene_symbol", 0) == "DDX11L1"
    assert bundle.biotypes == ["processed_transcript", "pseudogene"]
    assert bundle.digest == build(gtf)[0].digest


def test_a_transcript_is_not_called_by_its_gene(build: Build) -> None:
    bundle, _ = build(
        [
            "1 x gene 101 146 . + . ID=g1;gene_id=G1;biotype=lncRNA",
            "1 x lnc_RNA 101 146 . + . ID=t1;Parent=g1;gene_id=G1",
            "1 x exon 101 146 . + . Parent=t1",
        ]
    )
    assert (bundle.text("transcript_name", 0), bundle.text("gene_id", 0)) == ("t1", "G1")


def test_old_ensembl_gtf_says_the_biotype_in_the_source_column(build: Build) -> None:
    own = 'gene_id "ENSG01"; transcript_id "ENST01"; gene_name "ABC1"; gene_biotype "protein_coding";'
    lines = [
        'f"1 protein_coding gene 101 146 . + . gene_id "ENSG01"; gene_biotype "protein_coding";'.removeprefix('f"'),
        f"1 retained_intron transcript 101 146 . + . {own}",
        f"1 retained_intron exon 101 146 . + . {own}",
    ]
    bundle, _ = build(lines)
    assert bundle.biotypes[int(bundle.array("transcript_biotype")[0])] == "retained_intron"


def test_the_two_pseudoautosomal_regions_may_share_a_name(build: Build) -> None:
    own = 'gene_id "G"; transcript_id "NM_01.4"; gene_biotype "protein_coding"; transcript_biotype "mRNA";'
    lines = [f"{contig} x {kind} 101 146 . + . {own}" for contig in "XY" for kind in ("gene", "transcript", "exon")]
    bundle, report = build(lines, fasta=f">X\n{GENOME}\n>Y\n{GENOME}\n")
    assert not report.dropped.counts
    assert bundle.array("transcript_contig").tolist() == [0, 1]


# ---- what is not taken ----


def simple(*rows: str, gene: str = "1 x gene 101 146 . + . ID=g;biotype=lncRNA") -> list[str]:
    sound = ["1 x lnc_RNA 200 210 . + . ID=ok;Parent=g;biotype=lncRNA", "1 x exon 200 210 . + . Parent=ok"]
    return [gene, *rows, *sound]


TRANSCRIPT = "1 x lnc_RNA 101 146 . + . ID=t;Parent=g"


@pytest.mark.parametrize(
    ("rows", "reason", "line"),
    [
        ([TRANSCRIPT], "no exons", 2),
        ([TRANSCRIPT, "1 x exon 101 120 . + . Parent=t", "1 x exon 120 146 . + . Parent=t"], "exons overlap", 2),
        ([TRANSCRIPT, "1 x exon 101 900 . + . Parent=t"], "exon outside the contig", 3),
        (
            [TRANSCRIPT, "1 x exon 101 111 . + . Parent=t", "1 x exon 136 146 . - . Parent=t"],
            "exons on more than one strand or contig",
            2,
        ),
        (["1 x exon 101 111 . + . Parent=nobody"], "exons of a transcript that has no line", 0),
        (["1 x exon 101 111 . + . ID=alone"], "exon without Parent", 2),
        ([TRANSCRIPT, TRANSCRIPT, "1 x exon 101 111 . + . Parent=t"], "ID used twice", 3),
        (
            ["2 x lnc_RNA 101 146 . + . ID=t;Parent=g", "2 x exon 101 111 . + . Parent=t"],
            "contig without sequence",
            2,
        ),
        (
            [TRANSCRIPT.replace("+", "."), "1 x exon 101 111 . . . Parent=t"],
            "transcript without strand",
            2,
        ),
        (
            [TRANSCRIPT, "1 x exon 101 111 . + . Parent=t", "1 x CDS 103 113 . + 0 Parent=t"],
            "CDS outside its exons",
            2,
        ),
        (["1 x exon 111 101 . + . Parent=ok"], "start after end, or too large", 2),
        (["1 x exon one 101 . + . Parent=ok"], "start or end is no number", 2),
        ([f"1 x exon 1 {'9' * 5000} . + . Parent=ok"], "start or end is no number", 2),
    ],
)
def test_every_dropped_line_has_a_reason_and_a_number(build: Build, rows: list[str], reason: str, line: int) -> None:
    bundle, report = build(simple(*rows))
    assert "ok" in bundle.texts("transcript_name")
    assert report.dropped.counts[reason] == 1
    assert report.dropped.lines[reason][0][0] == line
    assert bundle.listing["dropped"][reason] == 1


def test_a_row_that_is_there_twice_counts_once(build: Build) -> None:
    twice = [line for line in ENSEMBL_GFF3 for _ in range(2 if " exon " in line or " CDS " in line else 1)]
    bundle, report = build(twice)
    assert not report.dropped.counts
    assert bundle.digest == build(ENSEMBL_GFF3)[0].digest


def test_a_transcript_without_biotype_is_dropped(build: Build) -> None:
    rows = ["1 x transcript 101 146 . + . ID=t", "1 x exon 101 111 . + . Parent=t"]
    _, report = build(simple(*rows))
    assert report.dropped.counts == {"no biotype on transcript or gene": 1}


def test_a_cds_says_the_biotype_where_nothing_else_does(build: Build) -> None:
    lines = [
        "track name=genes",
        "1 GeneMark gene 103 144 . + . ID=orf1;Name=orf1",
        "1 GeneMark CDS 103 111 . + 0 Parent=orf1",
        "1 UCSC mRNA 136 144 . + . ID=alone",
        "1 UCSC exon 136 144 . + . Parent=alone",
    ]
    bundle, report = build(lines)
    assert not report.dropped.counts
    assert bundle.texts("transcript_name") == ["orf1", "alone"]
    assert bundle.biotypes == ["protein_coding"]


def test_the_list_of_dropped_lines_is_bounded(build: Build) -> None:
    _, report = build(simple(*["1 x exon 101 111 . + . ID=alone"] * 100))
    assert report.dropped.counts["exon without Parent"] == 100
    assert len(report.dropped.lines["exon without Parent"]) == 20


def test_cds_that_does_not_translate_is_said(build: Build) -> None:
    def coding(start: int, end: int, name: str) -> list[str]:
        return [
            f"1 x mRNA {start} {end} . + . ID={name};Parent=g",
            f"1 x exon {start} {end} . + . Parent={name}",
            f"1 x CDS {start} {end} . + 0 Parent={name}",
        ]

    genome = f">1\n{'C' * 100}ATGTAAGCTTGA{'C' * 200}\n"
    _, report = build(simple(*coding(101, 112, "stops"), *coding(101, 111, "odd")), fasta=genome)
    assert report.cds_inner_stop == ["odd", "stops"]
    assert report.cds_odd_length == ["odd"]


def test_a_masked_genome_is_noticed(build: Build) -> None:
    _, report = build(simple(), fasta=f">1\n{'N' * 400}\n")
    assert any("is this a masked genome" in note for note in report.notes)


def test_genes_that_lie_beside_the_genes_are_refused(build: Build) -> None:
    chance = random.Random(4)
    genome = "".join(chance.choices("ACGT", k=60_000))
    rows = ["1 x gene 1 60000 . + . ID=g;biotype=protein_coding"]
    for i in range(120):
        place = f"{1 + 400 * i} {399 + 400 * i}"
        rows += [f"1 x mRNA {place} . + . ID=t{i};Parent=g", f"1 x exon {place} . + . Parent=t{i}"]
        rows.append(f"1 x CDS {place} . + 0 Parent=t{i}")
    with pytest.raises(InvalidInput, match=r"of 120 coding sequences have a stop inside: .*--synthetic"):
        build(rows, fasta=f">1\n{genome}\n")
    _, report = build(rows, fasta=f">1\n{genome}\n", synthetic=True)
    assert any("is the genetic code of each contig right" in note for note in report.notes)


def test_phase_of_the_first_cds_counts(build: Build) -> None:
    def coding(phase: int) -> list[str]:
        return simple(
            "1 x mRNA 103 111 . + . ID=t;Parent=g",
            "1 x exon 103 111 . + . Parent=t",
            f"1 x CDS 103 111 . + {phase} Parent=t",
        )

    assert [int(build(coding(phase))[0].array("transcript_phase")[0]) for phase in range(3)] == [0, 2, 1]


# ---- other assemblies and other names ----


def test_contig_names_that_do_not_match_are_an_error_with_both_lists(build: Build) -> None:
    with pytest.raises(InvalidInput, match=r"contig names do not match: the genes are on 1; the genome has ctgA, ctgB"):
        build(ENSEMBL_GFF3, fasta=f">ctgA\n{GENOME}\n>ctgB\n{GENOME}\n")


def test_an_annotation_of_another_assembly_is_refused(build: Build) -> None:
    with pytest.raises(
        InvalidInput, match=r"line 1: the annotation says that 1 has 9,999 bases; in the genome file chr1 has"
    ):
        build(["##sequence-region 1 1 9999", *ENSEMBL_GFF3], fasta=f">chr1\n{GENOME}\n")


@pytest.mark.parametrize("text", ["", "\n\n", "# only comments\n", "a\tb\n", ">1\nACGT\n", "##FASTA\n>1\nACGT\n"])
def test_what_is_no_annotation_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "genes.gff3"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=r"genes\.gff3"):
        read_annotation(file)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genescale.genomics.fasta._BLOCK", 100)
    (tmp_path / "genes").write_bytes(b"1\tx\t" * 1000)
    with pytest.raises(InvalidInput, match="a line of many megabytes"):
        read_annotation(tmp_path / "genes")


def test_a_truncated_annotation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "genes.gff3.gz"
    file.write_bytes(gzip.compress("\n".join(ENSEMBL_GFF3).encode())[:-20])
    with pytest.raises(InvalidInput, match=r"genes\.gff3\.gz: the compressed file ends in the middle"):
        read_annotation(file)


def test_line_ends_and_marks_of_other_systems(build: Build, tmp_path: Path) -> None:
    plain, _ = build(ENSEMBL_GFF3)
    digest = plain.digest
    genes = tmp_path / "genes"
    genes.write_bytes(b"\xef\xbb\xbf" + genes.read_bytes().replace(b"\n", b"\r\n"))
    report = build_bundle(tmp_path / "c", name="b", fasta=tmp_path / "genome.fa", genes=genes)
    assert report.digest == digest


@given(st.lists(st.sampled_from([*ENSEMBL_GFF3[1:], *REFSEQ[3:], *ENSEMBL_GTF[1:]]), min_size=1), st.data())
def test_no_line_can_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], data: st.DataObject
) -> None:
    text = "\n".join("\t".join(line.split(None, 8)) for line in lines)
    at = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(0, 12))
    text = text[:at] + data.draw(st.text(max_size=8)) + text[at + cut :]
    file = tmp_path_factory.mktemp("gff") / "genes"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = read_annotation(file)
    except InvalidInput:
        return
    assert len(found.exons.owner) == len(found.exons.line)
    assert np.all(np.asarray(found.exons.start) >= 1)
