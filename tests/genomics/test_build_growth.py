"""That building grows in memory with the number of transcripts, slowly, and opening not at all: two sizes, measured."""

from pathlib import Path

import pytest

from genescale.clock import SystemClock
from genescale.trials.bench_references import BUILD_GOAL_MB, build, contig_lengths, open_ms, write_fasta, write_gff3

TRANSCRIPTS = 250_000


@pytest.mark.slow
def test_a_human_genome_would_fit(tmp_path: Path) -> None:
    clock = SystemClock()
    used: dict[float, float] = {}
    for scale in (0.025, 0.05):
        folder = tmp_path / str(scale)
        folder.mkdir()
        contigs = contig_lengths(scale)
        write_fasta(folder / "genome.fa", contigs, 1)
        write_gff3(folder / "genes.gff3", contigs, round(TRANSCRIPTS * scale), 1)
        used[scale] = build(folder / "genome.fa", folder / "genes.gff3", folder / "bundle", folder, clock).rss_mb
        assert min(open_ms(folder / "bundle", folder, clock) for _ in range(5)) < 20
    growth = (used[0.05] - used[0.025]) / 0.025
    assert used[0.05] + growth * 0.95 < BUILD_GOAL_MB, used
