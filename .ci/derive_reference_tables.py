"""Derive two small tables of facts that are kept in git, from the data of others.

    python .ci/derive_reference_tables.py           write both tables into src/genescale/genomics
    python .ci/derive_reference_tables.py --check   write nothing; exit 1 when a committed table says anything else

contig_names.tsv: what each sequence of a human assembly is called, and how long it is. From the assembly reports of
NCBI (public domain), as the PyPI package bioutils 0.6.2 (Apache-2.0) carries them; and the refget digests of the
chromosomes of GRCh37 and GRCh38, as agct 0.2.0 (MIT) carries them.
codon_tables.tsv: the genetic codes. From NCBI's page "The Genetic Codes" (public domain), as Biopython 1.88 carries it.
The packages are fetched alone, without what they depend on.
"""

import gzip
import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "src/genescale/genomics"
ASSEMBLIES = ("GRCh37.p13", "GRCh38.p14", "T2T-CHM13v2.0")
PACKAGES = ("bioutils==0.6.2", "biopython==1.88", "agct==0.2.0")
REFGET = re.compile(r'"(SQ\.[\w-]{32})": \(Assembly\.(HG19|HG38), Chromosome\.CHR(\w+)\)')


def contig_names(packages: Path) -> Iterator[str]:
    yield "# assembly, length, refget, names: facts of NCBI's assembly reports (public domain) and of refget"
    refget = {
        ("GRCh37.p13" if family == "HG19" else "GRCh38.p14", chromosome): digest
        for digest, family, chromosome in REFGET.findall((packages / "agct/seqref_registry.py").read_text())
    }
    assert len(refget) == 48, f"{len(refget)} digests in place of 24 for each assembly"
    for assembly in ASSEMBLIES:
        file = packages / f"bioutils/_data/assemblies/{assembly}.json.gz"
        report: Any = json.loads(gzip.decompress(file.read_bytes()))
        for sequence in report["sequences"]:
            names = [sequence["name"], *sequence["aliases"], sequence["refseq_ac"], sequence["genbank_ac"]]
            known = dict.fromkeys(name for name in names if name not in ("na", "", None))
            digest = refget.get((assembly, sequence["name"]), "-")
            yield "\t".join((assembly, str(sequence["length"]), digest, *known))


def codon_tables(packages: Path) -> Iterator[str]:
    yield "# number, name, amino acids of TTT TTC TTA TTG TCT ..., start codons: facts of NCBI's The Genetic Codes"
    sys.path.insert(0, str(packages))
    tables: Any = importlib.import_module("Bio.Data.CodonTable").unambiguous_dna_by_id
    for number in sorted(tables):
        table = tables[number]
        codons = [a + b + c for a in "TCAG" for b in "TCAG" for c in "TCAG"]
        letters = "".join(table.forward_table.get(codon, "*") for codon in codons)
        yield "\t".join((str(number), table.names[0], letters, ",".join(sorted(table.start_codons))))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", folder, *PACKAGES]
        subprocess.run(install, check=True)
        made = {
            "contig_names.tsv": "\n".join(contig_names(Path(folder))) + "\n",
            "codon_tables.tsv": "\n".join(codon_tables(Path(folder))) + "\n",
        }
    differ = [name for name, text in made.items() if not _same(TARGET / name, text)]
    if "--check" in sys.argv:
        for name in differ:
            print(f"{TARGET / name} is not what its sources say", file=sys.stderr)
        return 1 if differ else 0
    for name in differ:
        (TARGET / name).write_text(made[name])
        print(f"wrote {TARGET / name}")
    return 0


def _same(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
