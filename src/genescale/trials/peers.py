"""The annotators that people use today, run as they come, on the same input as ours.

Each is a program of the machine (Debian: `bcftools`, `tabix`, `snpeff`). One that is missing is said to be missing;
nothing is estimated in its place.
"""

import gzip
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from genescale.clock import Clock
from genescale.trials.report import CannotRun

SNPEFF_JAR = Path("/usr/share/java/snpeff.jar")
_TAIL = 2_000


class Usage(NamedTuple):
    """What one program took from its start to its end. CPU is user and system time of the process, threads included."""

    cpu_s: float
    wall_s: float
    rss_mb: float


def measured(command: Sequence[str], folder: Path, clock: Clock) -> Usage:
    """Run a program to its end in `folder`. Its output goes to `log.txt`, whose end is shown when it fails."""
    log = folder / "log.txt"
    with log.open("wb") as output:
        began_s = clock.monotonic_s()
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = clock.monotonic_s() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
    if process.returncode:
        tail = log.read_text(errors="replace")[-_TAIL:]
        raise CannotRun(f"`{' '.join(map(str, command))}` ended with {process.returncode}:\n{tail}")
    return Usage(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024)


def missing(*programs: str) -> str:
    """Which of these programs this machine lacks, as a sentence; empty when all are there."""
    lacking = [name for name in programs if shutil.which(name) is None]
    return (
        f"not on this machine: {', '.join(lacking)} (Debian's apt-get install bcftools tabix snpeff)" if lacking else ""
    )


def prepare_bcftools(folder: Path, gff3: Path) -> Path:
    """A sorted, compressed and indexed copy of the gene models, as `bcftools csq` wants them."""
    lines = gff3.read_text().splitlines(keepends=True)
    records = [line for line in lines if not line.startswith("#")]
    records.sort(key=_place)
    ready = folder / "genes.sorted.gff3.gz"
    plain = folder / "genes.sorted.gff3"
    plain.write_text("".join(line for line in lines if line.startswith("#")) + "".join(records))
    subprocess.run(["bgzip", "-f", plain], check=True)
    subprocess.run(["tabix", "-f", "-p", "gff", ready], check=True)
    return ready


def _place(line: str) -> tuple[str, int, int]:
    fields = line.split("\t", 5)
    return fields[0], int(fields[3]), int(fields[4])


def bcftools_csq(folder: Path, fasta: Path, gff3: Path, vcf: Path) -> list[str]:
    """One variant at a time (`-l`), as every annotator but bcftools sees them."""
    return [
        "bcftools",
        "csq",
        "-l",
        "-s",
        "-",
        "-f",
        str(fasta),
        "-g",
        str(gff3),
        str(vcf),
        "-Ov",
        "-o",
        str(folder / "csq.vcf"),
    ]


def prepare_snpeff(folder: Path, fasta: Path, gtf: Path, clock: Clock) -> Path:
    """A database of our genome. From GTF: its GFF3 reader makes a second, plus-strand model of every transcript."""
    data = folder / "data" / "bench"
    data.mkdir(parents=True)
    shutil.copy(fasta, data / "sequences.fa")
    shutil.copy(gtf, data / "genes.gtf")
    config = folder / "snpeff.config"
    config.write_text(f"data.dir = {folder / 'data'}\nbench.genome : bench\n")
    build = ["build", "-c", str(config), "-gtf22", "-noCheckCds", "-noCheckProtein", "-nodownload", "bench"]
    measured([*_snpeff(), *build], folder, clock)
    return config


def snpeff_ann(config: Path, vcf: Path) -> list[str]:
    """Annotate, with no statistics page and no word home."""
    return [*_snpeff(), "ann", "-c", str(config), "-nodownload", "-noLog", "-noStats", "bench", str(vcf)]


def _snpeff() -> list[str]:
    return ["java", "-Xmx6g", "-jar", str(SNPEFF_JAR)]


def opened(path: Path) -> str:
    """The text of a plain or gzipped file."""
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
