"""`genescale ensembl` against a local server."""

from pathlib import Path

import pytest

from genescale.cli.main import main
from support.tiny_bundle import tiny_bundle
from support.vep_server import saying, vep_server

VCF = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchr1\t5\trs1\tA\tC,<DEL>\t.\t.\t.\n"


@pytest.fixture
def vcf(tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(VCF)
    return path


def test_rows_are_written_when_variants_may_leave(vcf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out.tsv"
    with vep_server() as server:
        words = ["ensembl", str(vcf), "-o", str(out), "--url", server.url, "--fields", "alt,consequence,source,problem"]
        assert main(words) == 2
        assert "sends variants to a server outside; say so first" in capsys.readouterr().err
        assert not server.heard
        assert main([*words, "--variants-may-leave"]) == 0
    source = "ensembl-rest 115 GRCh38"
    assert out.read_text().splitlines() == [
        "alt\tconsequence\tsource\tproblem",
        f"C\tmissense_variant&splice_region_variant\t{source}\t-",
        f"C\tdownstream_gene_variant\t{source}\t-",
        f"<DEL>\t-\t{source}\tonly alleles that are sequences are sent",
    ]
    assert "3 rows from http://127.0.0.1" in capsys.readouterr().err


def test_a_server_that_fails_leaves_no_file_of_the_name(vcf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out.tsv"
    with vep_server() as server:
        server.script = [saying(403)]
        assert main(["ensembl", str(vcf), "-o", str(out), "--url", server.url, "--variants-may-leave"]) == 1
    assert "shut us out for a while" in capsys.readouterr().err
    assert not out.exists()
    assert out.with_suffix(".tsv.part").exists()


def test_a_reference_tells_the_assembly(vcf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tiny_bundle(tmp_path, {"chr1": "ACGT" * 10}, assembly="parity")
    assert main(["ensembl", str(vcf), "--variants-may-leave", "--reference", str(folder)]) == 2
    assert "Ensembl answers for GRCh38 and GRCh37, and the reference is parity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--fields", "af"], "there is no field 'af'; there are id"), (["--url", "x"], "is no address of a server")],
)
def test_what_cannot_be_done_is_said(vcf: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]):
    assert main(["ensembl", str(vcf), "--variants-may-leave", *words]) in {1, 2}
    assert told in capsys.readouterr().err
