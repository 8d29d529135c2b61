"""The parts of `bench annotate` that decide what a figure means. The whole of it runs in `.ci/run --deep`."""

import shutil
import subprocess
from pathlib import Path

import pytest

from genescale.clock import SystemClock
from genescale.genomics.annotate import Annotator
from genescale.genomics.bundle import Bundle
from genescale.genomics.references import EMBEDDED_FOLDER
from genescale.trials import bench_annotate, peers
from genescale.trials.peers import Usage
from genescale.trials.report import CannotRun
from genescale.trials.resident import single_calls_ms
from support.require import require
from support.shared_data import shared_data

HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def vcf(tmp_path: Path) -> Path:
    path = tmp_path / "some.vcf"
    path.write_text(HEAD + "".join(f"1\t{n}\t.\tA\t{'C,G' if n % 10 == 0 else 'T'}\t.\t.\t.\n" for n in range(1, 1001)))
    return path


def test_alleles_are_counted_not_lines(vcf: Path):
    assert bench_annotate.alleles(vcf) == 1_100


def test_a_thinned_file_is_a_sample_in_order_and_the_same_for_one_seed(vcf: Path, tmp_path: Path):
    target = tmp_path / "thin.vcf"
    kept = bench_annotate.thinned(vcf, target, 10, seed=3)
    lines = target.read_text().splitlines()

    assert kept == bench_annotate.alleles(target)
    assert 60 < kept < 160
    assert [int(line.split("\t")[1]) for line in lines[2:]] == sorted(int(line.split("\t")[1]) for line in lines[2:])
    again = tmp_path / "again.vcf"
    bench_annotate.thinned(vcf, again, 10, seed=3)
    assert again.read_text() == target.read_text()


def test_a_rate_counts_cpu_seconds_and_says_what_the_wall_clock_saw():
    row = bench_annotate.rate_row(
        "vcf_csq", 1_000, [Usage(0.5, 4.0, 1), Usage(1.0, 4.0, 1), Usage(2.0, 4.0, 1)], 900, "x"
    )

    assert (row.value, row.min, row.max, row.met) == (1_000, 500, 2_000, True)
    assert row.note == "x; by the wall clock 250/s"


def test_a_program_that_fails_shows_the_end_of_what_it_said(tmp_path: Path):
    with pytest.raises(CannotRun, match=r"(?s)ended with 3:.*no such luck"):
        peers.measured(["sh", "-c", "echo no such luck; exit 3"], tmp_path, SystemClock())


def test_what_a_program_took_is_what_the_system_says(tmp_path: Path):
    used = peers.measured(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], tmp_path, SystemClock())

    assert 0 < used.cpu_s <= used.wall_s + 0.05
    assert used.rss_mb > 0.5


def test_a_missing_peer_is_named():
    assert "no-such-annotator" in peers.missing("sh", "no-such-annotator")
    assert peers.missing("sh") == ""


def test_single_calls_are_timed_one_by_one(tmp_path: Path):
    bundle = Bundle.open(EMBEDDED_FOLDER / "mitochondrion")
    records = [b"MT\t%d\t.\tN\tA\t.\t.\t.\n" % place for place in range(100, 120)]

    assert len(single_calls_ms(Annotator(bundle), records, SystemClock())) == 20


def test_the_peer_reads_our_gene_models(tmp_path: Path):
    tools = all(shutil.which(name) for name in ("bcftools", "bgzip", "tabix"))
    require("bcftools, bgzip and tabix", tools, "apt-get install bcftools tabix")
    files = {name: tmp_path / name for name in ("genome.fa", "genes.gff3", "main.vcf")}
    for name, path in files.items():
        path.write_text(peers.opened(shared_data(f"vep-parity/{name}.gz")))
    genes = peers.prepare_bcftools(tmp_path, files["genes.gff3"])

    command = peers.bcftools_csq(tmp_path, files["genome.fa"], genes, files["main.vcf"])
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "csq.vcf").read_text().count("BCSQ=") > 5_000
