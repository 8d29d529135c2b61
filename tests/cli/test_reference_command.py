"""`genescale reference ...` in a data directory of its own: what a user types, sees, and gets back as exit status."""

import json
from pathlib import Path
from typing import Any

import pytest

from genescale.cli.main import main
from genescale.genomics.bundle import LIST_FILE

BASES = "ACGTTGCAAGCTATCGGATTCCAGTCAGGACTTAGCATCGATTACGGCA" * 8


class Terminal:
    """A data directory, and what the commands print about it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.errors = ""
        (folder / "genome.fa").write_text(f">chr1\n{BASES}\n>chrM\n{BASES[:100]}\n")
        rows = [
            "gene 11 60 . + . ID=gene:G1;Name=ONE;biotype=lncRNA",
            "lnc_RNA 11 60 . + . ID=transcript:T1;Parent=gene:G1;biotype=lncRNA",
            "exon 11 60 . + . Parent=transcript:T1",
            "lnc_RNA 11 60 . + . ID=transcript:T2;Parent=gene:G1;biotype=lncRNA",
        ]
        text = "".join("1\tx\t" + "\t".join(row.split()) + "\n" for row in rows)
        (folder / "genes.gff3").write_text(text)
        self.files = ("--fasta", str(folder / "genome.fa"), "--gff3", str(folder / "genes.gff3"))

    def __call__(self, *words: str, status: int = 0) -> str:
        assert main(["reference", *words, "--data", str(self.folder / "data")]) == status, self._capsys.readouterr()
        captured = self._capsys.readouterr()
        self.errors = captured.err
        return captured.out

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("HOME", str(tmp_path))
    return Terminal(tmp_path, capsys)


def test_from_build_to_verify(terminal: Terminal) -> None:
    said = terminal("build", "--name", "mine", *terminal.files, "--use", "--codon-table", "MT=5", "--circular", "chr1")
    assert "dropped        1  no exons: line 4 (T2)" in said
    assert "chr1 = 1, circular" in said
    assert "genetic code 5, circular" in said
    assert "mine: 1 transcripts of 1 genes on 2 contigs" in said
    assert "reading the genome" in terminal.errors
    assert "* mine" in terminal("list")
    assert terminal.json("list")[-1]["transcripts"] == 1
    assert "mine is what was built" in terminal("verify")
    info = terminal.json("info", "mine")
    assert [source["role"] for source in info["sources"]] == ["genome", "genes"]
    assert "genome.fa" in terminal("info")


def test_the_report_as_json(terminal: Terminal) -> None:
    report = terminal.json("build", "--name", "mine", *terminal.files, "--synthetic")
    assert report["dropped"] == {"no exons": {"count": 1, "first": [[4, "T2"]]}}
    assert report["contig_names"]["chr1"] == ["1"]
    assert report["name"] == "mine"
    assert terminal.json("info", "mine")["synthetic"] is True


def test_facts_and_the_index_of_the_genome_arrive_with_the_bundle(terminal: Terminal) -> None:
    ref, alt = BASES[19], "A" if BASES[19] != "A" else "C"
    clinvar = terminal.folder / "clinvar.vcf"
    clinvar.write_text(
        "##fileformat=VCFv4.1\n##fileDate=2026-01-01\n##source=ClinVar\n"
        '##INFO=<ID=ALLELEID,Number=1,Type=Integer,Description="Allele">\n'
        '##INFO=<ID=CLNSIG,Number=.,Type=String,Description="Significance">\n'
        '##INFO=<ID=CLNREVSTAT,Number=.,Type=String,Description="Review status">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"1\t20\t17\t{ref}\t{alt}\t.\t.\tALLELEID=5;CLNSIG=Pathogenic;CLNREVSTAT=no_assertion_criteria_provided;RS=7\n"
    )
    said = terminal("build", "--name", "mine", *terminal.files, "--clinvar", str(clinvar), "--align")
    assert "clinvar: 1 variants from 1 facts" in said
    listing = json.loads((terminal.folder / "data/references/mine" / LIST_FILE).read_text())
    assert "clinvar" in listing["facts"]
    assert any(name.startswith("seeds-") for name in listing["arrays"])
    assert "is what was built" in terminal("verify", "mine")


def test_verify_tells_the_truth_in_its_exit_status(terminal: Terminal) -> None:
    terminal("build", "--name", "mine", *terminal.files)
    file = terminal.folder / "data/references/mine/mrna.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x09")
    assert "mrna.npy is not the file that was built" in terminal("verify", "mine", status=1)


def test_a_name_is_not_taken_twice_unless_asked(terminal: Terminal) -> None:
    terminal("build", "--name", "mine", *terminal.files)
    terminal("build", "--name", "mine", *terminal.files, status=1)
    assert "--replace" in terminal.errors
    terminal("build", "--name", "mine", *terminal.files, "--replace")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["build", "--name", "x"], 2, "say --fasta FILE and one of --gff3"),
        (["build", "--name", "a/b"], 1, "is no name for a reference"),
        (["build", "--name", "x", "--fasta", "/none.fa", "--gff3", "/none.gff3"], 1, "/none.fa: cannot be read"),
        (["use", "nobody"], 1, "there is no reference 'nobody'"),
        (["info", "nobody"], 1, "there is no reference 'nobody'"),
        (["verify", "nobody"], 1, "there is no reference 'nobody'"),
    ],
)
def test_failures_name_the_way_out(terminal: Terminal, words: list[str], status: int, message: str) -> None:
    terminal(*words, status=status)
    assert message in terminal.errors


def test_a_codon_table_that_cannot_be_read(terminal: Terminal) -> None:
    terminal("build", "--name", "mine", *terminal.files, "--codon-table", "MT", status=2)
    assert "write CONTIG=NUMBER" in terminal.errors


def test_a_failed_build_leaves_nothing(terminal: Terminal) -> None:
    (terminal.folder / "genome.fa").write_text(">ctg\nACGT\n")
    terminal("build", "--name", "mine", *terminal.files, status=1)
    assert "contig names do not match: the genes are on 1; the genome has ctg" in terminal.errors
    assert [*(terminal.folder / "data/references").iterdir()] == []
