"""`genescale annotate --phased`, from the words of the command line to the file."""

from pathlib import Path

import pytest

from genescale.cli.annotate_run import CANNOT_RUN, DONE
from genescale.cli.annotate_words import quick, run_words
from support.embedded_bundles import embedded

LINES = """##fileformat=VCFv4.2
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	S1
MT	11777	.	C	A	.	.	.	GT	1
MT	11778	.	G	A	.	.	DP=9	GT	1
MT	12000	.	A	G	.	.	.	GT	0
"""


def run(folder: Path, *words: str) -> int:
    (folder / "in.vcf").write_text(LINES)
    given = quick(
        [str(folder / "in.vcf"), "--reference", str(embedded("mitochondrion").path), "--phased", "-q", *words]
    )
    assert given is not None
    return run_words(given)


@pytest.mark.parametrize("to", ["vcf", "ann"])
def test_compounds_stand_in_the_lines_that_take_part(tmp_path: Path, to: str) -> None:
    assert run(tmp_path, "-o", str(tmp_path / "out.vcf"), "--to", to) == DONE
    text = (tmp_path / "out.vcf").read_text()
    assert text.count("##INFO=<ID=GENESCALE_HAPLOTYPES,") == 1
    lines = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    assert [line[1] for line in lines] == ["11777", "11778", "12000"]
    assert ["340|R/N" in line[7] for line in lines] == [True, True, False]
    assert lines[1][7].startswith("DP=9;")
    assert [line[9] for line in lines] == ["1", "1", "0"]


@pytest.mark.parametrize("words", [["--processes", "2"], ["--to", "tsv"], ["--shift-3prime"]])
def test_what_does_not_go_with_it_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run(tmp_path, *words) == CANNOT_RUN
    assert "phased" in capfd.readouterr().err
