"""Published files of facts, in the shapes in which their publishers write them; the variants are made up."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genescale.errors import GenescaleError, InvalidInput
from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Knowledge
from genescale.genomics.knowledge_clinvar import import_clinvar, significance_class
from genescale.genomics.knowledge_files import InfoReader
from genescale.genomics.knowledge_frequencies import frequency_name, import_frequencies
from genescale.genomics.knowledge_import import import_knowledge
from genescale.genomics.knowledge_scores import import_scores
from genescale.genomics.variants import Variants, variants_of_record
from support.tiny_bundle import tiny_bundle

SEQUENCE = "GATTACACACACACGGGGGGTTCCAACGTACGT" * 3

CLINVAR = """\
##fileformat=VCFv4.1
##fileDate=2024-05-09
##source=ClinVar
##reference=GRCh38
##ID=<Description="ClinVar Variation ID">
##INFO=<ID=ALLELEID,Number=1,Type=Integer,Description="the ClinVar Allele ID">
##INFO=<ID=CLNDN,Number=.,Type=String,Description="ClinVar's preferred disease name">
##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description="ClinVar review status of germline classification">
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="Aggregate germline classification for this single variant">
##INFO=<ID=CLNSIGCONF,Number=.,Type=String,Description="Conflicting germline classification">
##INFO=<ID=ORIGIN,Number=.,Type=String,Description="Allele origin">
##INFO=<ID=RS,Number=.,Type=String,Description="dbSNP ID (i.e. rs number)">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""
CLINVAR_ROWS = """\
1	2	101	A	G	.	.	ALLELEID=201;CLNDN=Some_disease|not_provided;CLNREVSTAT=reviewed_by_expert_panel;CLNSIG=Pathogenic;ORIGIN=1;RS=334
1	5	102	ACA	A	.	.	ALLELEID=202;CLNREVSTAT=criteria_provided,_conflicting_classifications;CLNSIG=Conflicting_classifications_of_pathogenicity;CLNSIGCONF=Pathogenic(1)|Benign(2)
1	7	103	ACA	A	.	.	ALLELEID=203;CLNREVSTAT=practice_guideline;CLNSIG=Benign
1	3	104	T	.	.	.	ALLELEID=204;CLNREVSTAT=no_assertion_criteria_provided;CLNSIG=Benign
1	3	105	T	C	.	.	ALLELEID=205;CLNREVSTAT=a_status_of_tomorrow
1	4	106	C	T	.	.	ALLELEID=206
1	4	107	T	<DUP>	.	.	ALLELEID=207
1	x	108	T	C	.	.	ALLELEID=208
NT_187633.1	7	109	T	C	.	.	ALLELEID=209
1	4	110
1	4	111	T	C	.	.	ALLELEID=banana
"""  # noqa: E501

GNOMAD = """\
##fileformat=VCFv4.2
##hailversion=0.2.127
##INFO=<ID=AC,Number=A,Type=Integer,Description="Alternate allele count">
##INFO=<ID=AN,Number=1,Type=Integer,Description="Total number of alleles">
##INFO=<ID=AF,Number=A,Type=Float,Description="Alternate allele frequency">
##INFO=<ID=grpmax,Number=A,Type=String,Description="Genetic ancestry group with the maximum allele frequency">
##INFO=<ID=AF_grpmax,Number=A,Type=Float,Description="Maximum allele frequency across genetic ancestry groups">
##INFO=<ID=nhomalt,Number=A,Type=Integer,Description="Count of homozygous individuals">
##INFO=<ID=AF_afr,Number=A,Type=Float,Description="Alternate allele frequency in afr">
##INFO=<ID=AN_afr,Number=1,Type=Integer,Description="Total number of alleles in afr">
##INFO=<ID=faf95,Number=A,Type=Float,Description="Filtering allele frequency (using Poisson 95% CI)">
##INFO=<ID=AC_XY,Number=A,Type=Integer,Description="Alternate allele count for XY samples">
##INFO=<ID=AF_afr_XX,Number=A,Type=Float,Description="not taken: by sex">
##contig=<ID=chr1,length=248956422,assembly=gnomAD_GRCh38>
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""
GNOMAD_ROWS = """\
chr1	2	rs334	A	G	.	PASS	AC=3;AN=152312;AF=1.96964e-05;grpmax=afr;AF_grpmax=7.2e-05;nhomalt=0;AF_afr=7.2e-05;AN_afr=41470;faf95=1.9e-05;AC_XY=2
chr1	3	.	T	C,G	.	AC0;AS_VQSR	AC=0,1;AN=2;AF=0,0.5;nhomalt=0,.;AF_afr=.,0.25
chr1	9	rs5;rs6	ACA	A	.	PASS	AC=7;AN=0
chr1	4	.	T	C,G	.	PASS	AC=1;AN=2;AF=0.5
chr1	4	.	T	C	.	PASS	AC=one;AN=2;AF=0.5
"""  # noqa: E501


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path, {"chr1": SEQUENCE})


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    if path.suffix in {".gz", ".bgz"}:
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def known(path: Path, source: str, *records: tuple[int, str, str]) -> list[dict[str, object]]:
    with Bundle.open(path) as opened:
        knowledge = Knowledge.open(opened)
        rows = [row for pos, ref, alt in records for row in variants_of_record(0, pos, ref, alt.split(","))]
        found = knowledge.lookup(Variants.of_rows(rows))[source]
        return [dict(knowledge[source].values(int(row))) for row in found]


# ---- ClinVar


def test_clinvar_labels_come_in_with_stars_date_and_words(bundle: Path, tmp_path: Path):
    report = import_clinvar(bundle, write(tmp_path, "clinvar.vcf.gz", CLINVAR + CLINVAR_ROWS))
    sickle, repeat, tomorrow = known(bundle, "clinvar", (2, "A", "G"), (11, "ACA", "A"), (3, "T", "C"))
    assert sickle == {
        "id": 101,
        "allele_id": 201,
        "significance": "Pathogenic",
        "significance_class": "pathogenic",
        "review_status": "reviewed_by_expert_panel",
        "stars": 3,
        "conditions": "Some_disease|not_provided",
        "origin": 1,
        "rs": 334,
    }
    assert (repeat["id"], repeat["stars"], repeat["significance"]) == (103, 4, "Benign")  # the better reviewed of two
    assert tomorrow == {"id": 105, "allele_id": 205, "review_status": "a_status_of_tomorrow"}  # unknown is not 0 stars
    assert report.merged == 1
    assert report.rejected == {
        "no_alternative": 1,
        "symbolic_allele": 1,
        "bad_position": 1,
        "fewer_than_8_columns": 1,
        "bad_number": 1,
        "unknown_contig": 1,
        "ref_mismatch": 1,
    }
    assert report.lines["ref_mismatch"] == ["19"]
    with Bundle.open(bundle) as opened:
        described = opened.facts["clinvar"]
        assert (described["date"], described["assembly"]) == ("2024-05-09", "GRCh38")
        assert [k.position for k in Knowledge.open(opened).variants_of_rs("rs334")] == [2]


def test_a_conflict_stays_a_conflict_with_its_parts(bundle: Path, tmp_path: Path):
    rows = "\n".join(CLINVAR_ROWS.splitlines()[:2])
    import_clinvar(bundle, write(tmp_path, "clinvar.vcf", CLINVAR + rows))
    (found,) = known(bundle, "clinvar", (7, "ACA", "A"))
    assert found["significance_class"] == "conflicting"
    assert found["conflicting"] == "Pathogenic(1)|Benign(2)"
    assert found["stars"] == 1


@pytest.mark.parametrize(
    ("words", "one"),
    [
        ("Pathogenic", "pathogenic"),
        ("Likely_pathogenic", "likely_pathogenic"),
        ("Pathogenic/Likely_pathogenic", "pathogenic_or_likely"),
        ("Pathogenic/Likely_pathogenic/Pathogenic,_low_penetrance", "pathogenic_or_likely"),
        ("Pathogenic|drug_response", "pathogenic"),
        ("Pathogenic,_low_penetrance", "pathogenic"),
        ("Benign/Likely_benign|other", "benign_or_likely"),
        ("Uncertain significance", "uncertain"),
        ("Conflicting_interpretations_of_pathogenicity|risk_factor", "conflicting"),
        ("risk_factor", "risk"),
        ("Uncertain_significance/Uncertain_risk_allele", "uncertain"),
        ("a_term_of_tomorrow", "other"),
    ],
)
def test_clinvar_terms_have_one_class(words: str, one: str):
    assert significance_class(words) == one


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CLINVAR.replace("GRCh38", "GRCh37"), "about GRCh37, the bundle tiny is GRCh38"),
        (CLINVAR.replace("##INFO=<ID=ALLELEID", "##INFO=<ID=OTHER"), r"format 1.0 \(before 2017\)"),
        (GNOMAD, "no ClinVar VCF: INFO fields CLNSIG and CLNREVSTAT are not declared"),
        ("", "no line that begins with #CHROM"),
        ("1\t2\t.\tA\tC\t.\t.\t.\n", "no line that begins with #CHROM"),
    ],
)
def test_what_is_no_clinvar_file_of_this_assembly_is_refused(bundle: Path, tmp_path: Path, text: str, words: str):
    with pytest.raises(InvalidInput, match=words):
        import_clinvar(bundle, write(tmp_path, "clinvar.vcf", text))


def test_a_file_cut_short_is_refused_and_changes_nothing(bundle: Path, tmp_path: Path):
    whole = gzip.compress((CLINVAR + CLINVAR_ROWS * 50).encode())
    cut = tmp_path / "clinvar.vcf.gz"
    cut.write_bytes(whole[:-20])
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(InvalidInput, match="ends in the middle"):
        import_clinvar(bundle, cut)
    assert (bundle / "bundle.json").read_bytes() == before


def test_a_mark_and_returns_at_line_ends_do_not_matter(bundle: Path, tmp_path: Path):
    path = tmp_path / "clinvar.vcf"
    path.write_bytes(b"\xef\xbb\xbf" + (CLINVAR + CLINVAR_ROWS).replace("\n", "\r\n").encode())
    import_clinvar(bundle, path)
    assert known(bundle, "clinvar", (2, "A", "G"))[0]["rs"] == 334


# ---- frequencies


def test_frequencies_come_in_by_group_and_with_their_numbers(bundle: Path, tmp_path: Path):
    path = write(tmp_path, "gnomad.genomes.v4.1.sites.chr1.vcf.bgz", GNOMAD + GNOMAD_ROWS)
    report = import_frequencies(bundle, path)
    first, second, third, nobody = known(bundle, "gnomad_genomes", (2, "A", "G"), (3, "T", "C,G"), (4, "T", "A"))
    assert first == {
        "af": 1.96964e-05,
        "ac": 3,
        "an": 152312,
        "nhomalt": 0,
        "af_afr": 7.2e-05,
        "an_afr": 41470,
        "faf95": 1.9e-05,
        "ac_xy": 2,
        "grpmax": "afr",
        "af_grpmax": 7.2e-05,
        "filter": "PASS",
        "rs": 334,
    }
    assert second == {"af": 0.0, "ac": 0, "an": 2, "nhomalt": 0, "filter": "AC0;AS_VQSR"}
    assert third == {"af": 0.5, "ac": 1, "an": 2, "af_afr": 0.25, "filter": "AC0;AS_VQSR"}
    assert nobody == {}
    assert known(bundle, "gnomad_genomes", (5, "ACA", "A")) == [{"ac": 7, "an": 0, "filter": "PASS", "rs": 5}]
    assert report.rejected == {"bad_number": 3}
    with Bundle.open(bundle) as opened:
        assert opened.facts["gnomad_genomes"]["version"] == "4.1"


def test_files_of_several_chromosomes_become_one_source(tmp_path: Path):
    path = tiny_bundle(tmp_path, {"chr1": SEQUENCE, "chr2": SEQUENCE})
    one = write(tmp_path, "gnomad.genomes.v4.1.sites.chr1.vcf", GNOMAD + GNOMAD_ROWS)
    two = write(tmp_path, "gnomad.genomes.v4.1.sites.chr2.vcf", GNOMAD + GNOMAD_ROWS.replace("chr1", "chr2"))
    report = import_frequencies(path, two, one)
    assert report.rows == 8
    assert report.lines["bad_number"] == [f"{file.name}:{line}" for file in (two, one) for line in (19, 19, 20)][:5]
    other = write(tmp_path, "gnomad.genomes.v4.1.sites.chr3.vcf", GNOMAD.replace("ID=AN_afr", "ID=AN_x"))
    with pytest.raises(InvalidInput, match="import it under a name of its own"):
        import_frequencies(path, one, other)


def test_thousand_genomes_groups_and_mitochondrial_frequencies_have_their_fields(tmp_path: Path):
    path = tiny_bundle(tmp_path, {"chr1": SEQUENCE, "MT": SEQUENCE})
    header = "##fileformat=VCFv4.3\n##reference=GRCh38\n"
    thousand = "".join(f"##INFO=<ID={key},Number=A,Type=Float,Description=x>\n" for key in ("AF", "EUR_AF", "AFR_AF"))
    names = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    file = write(
        tmp_path, "1000G.vcf", header + thousand + names + "1\t2\t.\tA\tG\t.\tPASS\tAF=0.1;EUR_AF=0.2;AFR_AF=0\n"
    )
    import_frequencies(path, file)
    expected = {"af": 0.1, "af_afr": 0.0, "af_eur": 0.2, "filter": "PASS"}
    assert known(path, "thousand_genomes", (2, "A", "G")) == [expected]
    keys = ("AC_hom", "AC_het", "AF_hom", "AF_het", "AN", "max_hl")
    mt = header + "".join(f"##INFO=<ID={key},Number=1,Type=Float,Description=x>\n" for key in keys) + names
    row = "chrM\t2\t.\tA\tG\t.\tPASS\tAC_hom=19;AC_het=1;AF_hom=3.3667646E-4;AF_het=1.77e-05;AN=56434;max_hl=0.997\n"
    assert import_frequencies(path, write(tmp_path, "gnomad.genomes.v3.1.sites.chrM.vcf", mt + row)).rows == 1
    with Bundle.open(path) as opened:
        values = Knowledge.open(opened)["gnomad_mt"].values(0)
        assert (values["ac_hom"], values["af_hom"], values["max_heteroplasmy"]) == (19, 3.366765e-04, 0.997)


def test_a_vcf_without_frequencies_is_refused(bundle: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match="the INFO field AF is not declared"):
        import_frequencies(bundle, write(tmp_path, "x.vcf", CLINVAR))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("gnomad.exomes.v4.1.sites.chr21.vcf.bgz", "gnomad_exomes"),
        ("gnomad.joint.v4.1.sites.chr21.vcf.bgz", "gnomad_joint"),
        ("gnomad.genomes.v3.1.sites.chrM.vcf.bgz", "gnomad_mt"),
        ("gnomad.vcf", "gnomad"),
        ("ALL.chr22.phase3.vcf.gz", "thousand_genomes"),
        ("mine.vcf", "frequencies"),
    ],
)
def test_the_source_is_named_by_its_file(file: str, name: str):
    assert frequency_name(Path(file)) == name


def test_fields_of_info_are_found_wherever_they_stand():
    reader = InfoReader(("AC", "AF", "X"))
    whole = "AC=1;pad;AF=0.5;AFX=9;X=a=b"
    assert reader.read(whole) == {"AC": "1", "AF": "0.5", "X": "a=b"}
    assert reader.read("AC=2;pad;AF=.;AFX=9;X=c") == {"AC": "2", "X": "c"}
    assert reader.read("AF=0.5;AC=3;pad;AFX=9;X=c") == {"AC": "3", "AF": "0.5", "X": "c"}  # another order
    assert reader.read("AC=4;pad;AFX=9;AF=1;Y=c") == {"AC": "4", "AF": "1"}
    assert reader.read("X;AC=5") == {"X": "", "AC": "5"}
    assert reader.read("") == {}
    assert reader.read(whole) == {"AC": "1", "AF": "0.5", "X": "a=b"}


# ---- scores


CADD = (
    "## CADD GRCh38-v1.7 (c) University of Washington 2013-2023. All rights reserved.\n"
    "#Chrom\tPos\tRef\tAlt\tRawScore\tPHRED\n"
)
REVEL = "chr,hg19_pos,grch38_pos,ref,alt,aaref,aaalt,REVEL,Ensembl_transcriptid\n"
MISSENSE = (
    "# Copyright 2023 DeepMind Technologies Limited\n#\n# Licensed under CC BY-NC-SA 4.0 license\n"
    "#CHROM\tPOS\tREF\tALT\tgenome\tuniprot_id\ttranscript_id\tprotein_variant\tam_pathogenicity\tam_class\n"
)
SPLICE = (
    "##fileformat=VCFv4.2\n##fileDate=20191004\n##reference=GRCh38/hg38\n##contig=<ID=1,length=248956422>\n"
    '##INFO=<ID=SpliceAI,Number=.,Type=String,Description="SpliceAIv1.3 variant annotation. These include delta scores '
    '(DS) and delta positions (DP). Format: ALLELE|SYMBOL|DS_AG|DS_AL|DS_DG|DS_DL|DP_AG|DP_AL|DP_DG|DP_DL">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


def test_cadd_snvs_and_indels_are_one_source(bundle: Path, tmp_path: Path):
    snvs = write(
        tmp_path,
        "whole_genome_SNVs.tsv.gz",
        CADD + "1\t2\tA\tC\t0.702530\t8.478\n1\t2\tA\tG\t-1.25\t0.001\n1\t3\tT\tA\tx\t1\n",
    )
    indels = write(tmp_path, "gnomad.genomes.r4.0.indel.tsv.gz", CADD + "1\t5\tACA\tA\t3.1\t25.4\n1\t2\tA\n")
    report = import_scores(bundle, snvs, indels)
    assert known(bundle, "cadd", (2, "A", "C"), (2, "A", "G"), (9, "ACA", "A"), (2, "A", "T")) == [
        {"raw": 0.70253, "phred": 8.478},
        {"raw": -1.25, "phred": 0.001},
        {"raw": 3.1, "phred": 25.4},
        {},
    ]
    assert report.lines == {"bad_number": ["whole_genome_SNVs.tsv.gz:5"], "too_few_columns": [f"{indels.name}:4"]}
    with Bundle.open(bundle) as opened:
        assert opened.facts["cadd"]["version"] == "1.7"
        assert "non-commercial" in opened.facts["cadd"]["licence"]


@pytest.mark.parametrize(("assembly", "place"), [("GRCh38", 2), ("hg19", 7)])
def test_revel_is_read_at_the_positions_of_the_assembly(tmp_path: Path, assembly: str, place: int):
    path = tiny_bundle(tmp_path, {"chr1": SEQUENCE}, assembly=assembly)
    rows = "1,7,2,A,G,K,R,0.932,ENST1\n1,7,2,A,G,K,R,0.120,ENST2\n1,9,.,A,C,K,N,0.5,ENST1\n1,.,9,A,C,K,N,0.5,ENST1\n"
    report = import_scores(path, write(tmp_path, "revel_with_transcript_ids.csv", REVEL + rows))
    assert report.merged == 1
    assert report.rejected == {"no_position_on_this_assembly": 1}
    assert known(path, "revel", (place, "A", "G")) == [{"revel": 0.932}]


def test_revel_for_a_bundle_of_no_human_assembly_is_refused(tmp_path: Path):
    path = tiny_bundle(tmp_path, {"chr1": SEQUENCE}, assembly="parity")
    with pytest.raises(InvalidInput, match="REVEL has positions on GRCh37 and GRCh38; the bundle tiny is parity"):
        import_scores(path, write(tmp_path, "revel.csv", REVEL))


def test_alphamissense_has_probability_class_and_its_own_licence(bundle: Path, tmp_path: Path):
    row = "chr1\t2\tA\tG\thg38\tQ8NH21\tENST00000335137.4\tV2L\t0.2937\tlikely_benign\n"
    import_scores(bundle, write(tmp_path, "AlphaMissense_hg38.tsv.gz", MISSENSE + row))
    assert known(bundle, "alphamissense", (2, "A", "G")) == [{"pathogenicity": 0.2937, "class": "likely_benign"}]
    with Bundle.open(bundle) as opened:
        assert opened.facts["alphamissense"]["licence"] == "CC BY-NC-SA 4.0"
    with pytest.raises(InvalidInput, match="about hg19"):
        import_scores(bundle, write(tmp_path, "AlphaMissense_hg19.tsv", MISSENSE + row.replace("hg38", "hg19")))


def test_spliceai_keeps_the_gene_with_the_highest_score(bundle: Path, tmp_path: Path):
    rows = (
        "1\t2\t.\tA\tG\t.\t.\tSpliceAI=G|ONE|0.01|0.00|0.00|0.02|-32|49|-40|-31,G|TWO|0.00|0.91|0.00|0.00|1|2|3|-4\n"
        "1\t5\t.\tACA\tA\t.\t.\tSpliceAI=A|ONE|.|.|.|.|.|.|.|.\n"
        "1\t3\t.\tT\tG\t.\t.\tSpliceAI=C|ONE|0.01|0.00|0.00|0.02|-32|49|-40|-31\n"
        "1\t3\t.\tT\tG\t.\t.\tSpliceAI=G|ONE|0.01\n"
        "1\t3\t.\tT\tG\t.\t.\tDP=3\n"
    )
    report = import_scores(bundle, write(tmp_path, "spliceai_scores.masked.snv.hg38.vcf.gz", SPLICE + rows))
    (found,) = known(bundle, "spliceai", (2, "A", "G"))
    assert found == {
        "symbol": "TWO",
        "ds_max": 0.91,
        "ds_ag": 0.0,
        "ds_al": 0.91,
        "ds_dg": 0.0,
        "ds_dl": 0.0,
        "dp_ag": 1,
        "dp_al": 2,
        "dp_dg": 3,
        "dp_dl": -4,
    }
    assert report.rejected == {"no_score": 2, "allele_is_no_alt": 1, "bad_score": 1}
    with Bundle.open(bundle) as opened:
        assert (opened.facts["spliceai"]["version"], opened.facts["spliceai"]["date"]) == ("1.3 masked", "20191004")


def test_a_table_that_is_none_of_the_known_ones_is_refused_with_their_headers(bundle: Path, tmp_path: Path):
    with pytest.raises(InvalidInput, match="looked for the headers of CADD") as caught:
        import_scores(bundle, write(tmp_path, "x.tsv", "a\tb\n1\t2\n"))
    assert caught.value.code == "unknown_scores"
    with pytest.raises(InvalidInput, match="import each kind of scores on its own"):
        import_scores(bundle, write(tmp_path, "c.tsv", CADD), write(tmp_path, "r.csv", REVEL))


def test_all_options_of_a_build_at_once(bundle: Path, tmp_path: Path):
    reports = import_knowledge(
        bundle,
        clinvar=write(tmp_path, "clinvar.vcf", CLINVAR + CLINVAR_ROWS),
        frequencies=[write(tmp_path, "gnomad.genomes.v4.1.sites.chr1.vcf", GNOMAD + GNOMAD_ROWS)],
        scores=[write(tmp_path, "revel.csv", REVEL), write(tmp_path, "cadd.tsv", CADD + "1\t2\tA\tC\t0.7\t8\n")],
    )
    assert [(one.source, one.rows) for one in reports] == [
        ("clinvar", 3),
        ("gnomad_genomes", 4),
        ("revel", 0),
        ("cadd", 1),
    ]


# ---- whatever lines come


CELLS = ["1", "chr1", "2", "A", "G", "ACA", "", ".", "0", "-1", "1e400", "nan", "9" * 30, "1,2", "<X>", "*", "\u0663"]
CELLS += ["SpliceAI=G|x", "SpliceAI=G|a|0|0|0|0|0|0|0|0", "AF=0.5", "AC=,", "CLNSIG=;=", "RS=x|7;ALLELEID=3"]
ROWS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=60),
        st.lists(st.sampled_from(CELLS), min_size=3, max_size=12).map("\t".join),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    "header",
    [CLINVAR, GNOMAD, CADD, REVEL, MISSENSE, SPLICE],
    ids=["clinvar", "gnomad", "cadd", "revel", "am", "splice"],
)
def test_no_line_can_stop_an_import(tmp_path_factory: pytest.TempPathFactory, header: str):
    folder = tmp_path_factory.mktemp("fuzz")
    path = tiny_bundle(folder, {"chr1": SEQUENCE})

    @settings(max_examples=8, deadline=None)
    @given(ROWS)
    def survive(rows: list[str]):
        comma = header is REVEL
        text = header + "".join((row.replace("\t", ",") if comma else row) + "\n" for row in rows)
        file = write(folder, "gnomad.x.vcf", text)
        importer = {CLINVAR: import_clinvar, GNOMAD: import_frequencies}.get(header, import_scores)
        report = importer(path, file)
        assert report.rows + report.merged + sum(report.rejected.values()) >= 0

    try:
        survive()
    except GenescaleError as error:  # only a header that a row pretends to be may be refused
        raise AssertionError(f"a line stopped the import: {error}") from error
