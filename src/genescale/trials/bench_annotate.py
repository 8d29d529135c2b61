"""`genescale bench annotate`: how fast and how right the genomics engine is, beside the tools that people know.

Rates are alleles per CPU second of the whole command as a user would run it, from the first byte read to the last byte
written, start included: user and system time, because machines are shared and a second thread is not free. The wall
clock stands in the note. The peers run on the same files in the same run.
"""

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from genescale.clock import Clock
from genescale.trials import clinvar_names, fact_lookup, peers, raw_dna
from genescale.trials.peers import Usage, measured
from genescale.trials.report import CannotRun, Report, Row, absent, beside, make_report, row
from genescale.trials.scratch import cache_folder, scratch

_GENERATOR = Path(__file__).parents[4] / "shared" / "tools" / "synthetic_genome.py"
_GENOME_SEED = 7
_RUNS = 3
_SINGLE_CALLS = 2_000


class Genome(NamedTuple):
    """A synthetic genome with its genes and its variants, as files."""

    fasta: Path
    gff3: Path
    gtf: Path
    vcf: Path


def run(seed: int, kafka: bool, clock: Clock) -> Report:
    """All rows of the area."""
    if kafka:
        raise CannotRun("bench annotate uses no Kafka; leave --kafka out")
    genome = bench_genome(1.0)
    with scratch() as folder:
        build_reference(folder, "bench", genome, clock)
        rows = [
            *throughput(folder, genome, clock),
            *peer_rows(folder, genome, clock),
            *growth(folder, genome, seed, clock),
            single_resident(folder, genome, seed),
            cold_one_variant(folder, clock),
        ]
    rows = [_beside_bcftools(one, rows) for one in rows]
    rows += [*raw_dna.rows(seed, clock), *clinvar_names.rows(), fact_lookup.lookup_rate(seed, clock)]
    return make_report("annotate", seed, rows)


# ---- what is measured on ----


def bench_genome(scale: float) -> Genome:
    """The `bench` profile of the shared generator, kept in the cache: 60 Mb, human-like gene density, 1M variants."""
    if not _GENERATOR.exists():
        raise CannotRun(f"the generator of the benchmark genome is not beside this checkout ({_GENERATOR.name})")
    folder = cache_folder() / "bench-genome" / f"seed{_GENOME_SEED}-scale{scale}"
    genome = Genome(*(folder / name for name in ("genome.fa", "genes.gff3", "genes.gtf", "bench.1M.vcf")))
    if not genome.vcf.exists():
        arriving = folder.with_suffix(f".arriving{os.getpid()}")
        command = [sys.executable, _GENERATOR, "--seed", _GENOME_SEED, "--profile", "bench", "--scale", scale]
        subprocess.run([*map(str, command), "--out", str(arriving)], check=True)
        arriving.rename(folder)
    return genome


def build_reference(folder: Path, name: str, genome: Genome, clock: Clock) -> Usage:
    """Compile the bundle with the command that a user would use, into a data directory of its own."""
    command = genescale(folder, "reference", "build", "--name", name)
    return measured([*command, "--fasta", str(genome.fasta), "--gff3", str(genome.gff3)], folder, clock)


def genescale(folder: Path, *words: str) -> list[str]:
    """Our own command, with its data below `folder`."""
    return python(folder, "genescale", *words)


def python(folder: Path, module: str, *words: str) -> list[str]:
    """One of our modules as a program, with its data below `folder`.

    Bytecode is kept, as Python does where nobody forbids it: who forbids it compiles every module at every start.
    """
    settings = (
        f"GENESCALE_DATA_DIRECTORY={folder}",
        "PYTHONDONTWRITEBYTECODE=",
        f"PYTHONPYCACHEPREFIX={folder / 'bytecode'}",
    )
    return ["env", *settings, sys.executable, "-m", module, *words]


def annotate(folder: Path, vcf: Path, clock: Clock, *options: str, reference: str = "bench") -> Usage:
    """One whole `genescale annotate`: VCF in, VCF with CSQ out, all transcripts, one process."""
    words = ["annotate", str(vcf), "-o", str(folder / "ours.vcf"), "--reference", reference, *options]
    return measured(genescale(folder, *words), folder, clock)


# ---- rows ----


def throughput(folder: Path, genome: Genome, clock: Clock) -> Iterator[Row]:
    """The two rates that matter most, and the memory that they took."""
    variants = alleles(genome.vcf)
    peak_mb = 0.0
    for name, goal, options in (("vcf_csq", 250_000, ("--no-hgvs",)), ("vcf_csq_hgvs", 80_000, ("--hgvs",))):
        used = [annotate(folder, genome.vcf, clock, *options) for _ in range(_RUNS)]
        peak_mb = max(peak_mb, *(one.rss_mb for one in used))
        yield rate_row(name, variants, used, goal, f"all transcripts, {variants:,} alleles, one process, {options[0]}")
    yield row("rss_mb", round(peak_mb), "MB", "lower", goal=800, note="peak of the runs above, mapped files included")


def rate_row(name: str, variants: int, used: list[Usage], goal: int | None, note: str) -> Row:
    """Alleles per CPU second, the median of the runs; the median wall-clock rate in the note."""
    rates = [round(variants / one.cpu_s) for one in used]
    wall = round(variants / statistics.median(one.wall_s for one in used))
    middle = round(statistics.median(rates))
    return row(
        name, middle, "variants/s", "higher", goal=goal, samples=rates, note=f"{note}; by the wall clock {wall:,}/s"
    )


def peer_rows(folder: Path, genome: Genome, clock: Clock) -> Iterator[Row]:
    """The same file through the peers, as they come from Debian."""
    variants = alleles(genome.vcf)
    lacking = peers.missing("bcftools", "bgzip", "tabix")
    if lacking:
        yield absent("bcftools_csq", "variants/s", "higher", lacking)
    else:
        genes = peers.prepare_bcftools(folder, genome.gff3)
        command = peers.bcftools_csq(folder, genome.fasta, genes, genome.vcf)
        measured(command, folder, clock)  # writes the FASTA index, which a user has already
        used = [measured(command, folder, clock) for _ in range(_RUNS)]
        yield rate_row("bcftools_csq", variants, used, None, "bcftools csq -l; no HGVS, no intron or flank rows")
    lacking = peers.missing("java") or ("" if peers.SNPEFF_JAR.exists() else "not on this machine: snpeff")
    if lacking:
        yield absent("snpeff", "variants/s", "higher", lacking)
    else:
        config = peers.prepare_snpeff(folder, genome.fasta, genome.gtf, clock)
        used = [measured(peers.snpeff_ann(config, genome.vcf), folder, clock)]
        yield rate_row("snpeff", variants, used, None, "snpEff ann, HGVS included")


def _beside_bcftools(one: Row, rows: list[Row]) -> Row:
    peer = next((other.value for other in rows if other.name == "bcftools_csq"), None)
    return beside(one, "bcftools csq", peer) if one.name in ("vcf_csq", "vcf_csq_hgvs") and peer else one


def growth(folder: Path, genome: Genome, seed: int, clock: Clock) -> Iterator[Row]:
    """What one more variant costs, few or many, small genome or large: ratios that should be 1."""
    variants = alleles(genome.vcf)
    seconds = {variants: annotate(folder, genome.vcf, clock, "--no-hgvs").cpu_s}
    for share in (10, 100):
        thin = folder / f"every{share}th.vcf"
        kept = thinned(genome.vcf, thin, share, seed)
        seconds[kept] = statistics.median(annotate(folder, thin, clock, "--no-hgvs").cpu_s for _ in range(_RUNS))
    few, some, many = sorted(seconds)
    early = (seconds[some] - seconds[few]) / (some - few)
    late = (seconds[many] - seconds[some]) / (many - some)
    spans = f"{some:,} to {many:,} over {few:,} to {some:,}"
    note = f"CPU per further variant, {spans}: {late * 1e6:.2f} us over {early * 1e6:.2f} us"
    yield row("growth_with_variants", round(late / early, 3), "ratio", "lower", goal=1.5, note=note)
    small = bench_genome(0.25)
    build_reference(folder, "quarter", small, clock)
    quarter = annotate(folder, small.vcf, clock, "--no-hgvs", reference="quarter").cpu_s / alleles(small.vcf)
    whole = seconds[many] / many
    note = f"CPU per variant, 60 Mb over 15 Mb of genome: {whole * 1e6:.2f} us over {quarter * 1e6:.2f} us"
    yield row("growth_with_genome", round(whole / quarter, 3), "ratio", "lower", goal=1.5, note=note)


def alleles(vcf: Path) -> int:
    """How many ALT alleles a VCF holds."""
    count = 0
    with vcf.open("rb") as lines:
        for line in lines:
            if not line.startswith(b"#"):
                count += 1 + line.split(b"\t", 5)[4].count(b",")
    return count


def thinned(vcf: Path, target: Path, share: int, seed: int) -> int:
    """A seeded sample of one line in `share`, in order; how many alleles it holds."""
    chosen = random.Random(seed)  # noqa: S311 - a sample, not a secret
    with vcf.open("rb") as lines, target.open("wb") as output:
        output.writelines(line for line in lines if line.startswith(b"#") or chosen.randrange(share) == 0)
    return alleles(target)


def single_resident(folder: Path, genome: Genome, seed: int) -> Row:
    """One variant at a time through an annotator that is already there, HGVS included, as a worker serves it."""
    lines = [line for line in genome.vcf.read_text().splitlines() if not line.startswith("#")]
    chosen = random.Random(seed).sample(lines, _SINGLE_CALLS)  # noqa: S311 - a sample, not a secret
    script = folder / "single.json"
    script.write_text(json.dumps(chosen))
    command = python(folder, "genescale.trials.resident", str(folder / "references/bench"), str(script))
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    p50_ms, p99_ms = json.loads(done.stdout)
    note = f"{_SINGLE_CALLS} calls with HGVS, p50 {p50_ms:.3f} ms"
    return row("single_resident_p99_ms", round(p99_ms, 3), "ms", "lower", goal=10, note=note)


def cold_one_variant(folder: Path, clock: Clock) -> Row:
    """`genescale annotate` of a one-line VCF on the embedded reference: a new process every time."""
    vcf = folder / "one.vcf"
    vcf.write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\nchrM\t3243\t.\tA\tG\t.\t.\t.\n"
    )
    annotate(folder, vcf, clock, "--hgvs", reference="mitochondrion")  # the first start after an installation
    used = [annotate(folder, vcf, clock, "--hgvs", reference="mitochondrion").wall_s for _ in range(11)]
    seconds = [round(one, 3) for one in used]
    return row(
        "cold_one_variant_s", statistics.median(seconds), "s", "lower", goal=0.8, samples=seconds, note="wall clock"
    )
