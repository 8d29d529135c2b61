"""A small genome of the gene models that break annotators: from a seed, as FASTA and GFF3, built into a bundle."""

import random
from dataclasses import dataclass, field
from pathlib import Path

from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle


@dataclass
class Model:
    """A transcript as the files describe it; positions are 1-based and genomic, exons ascending."""

    name: str
    contig: str
    strand: str
    biotype: str
    exons: list[tuple[int, int]]
    coding: tuple[int, int] | None
    phase: int
    tags: list[str] = field(default_factory=list)

    def positions(self) -> list[int]:
        """Genomic positions of the spliced transcript, in its own direction."""
        found = [p for start, end in self.exons for p in range(start, end + 1)]
        return found if self.strand == "+" else found[::-1]

    def cds(self) -> list[int]:
        """The same for the coding part."""
        if self.coding is None:
            return []
        low, high = self.coding
        return [p for p in self.positions() if low <= p <= high]


@dataclass
class Nasty:
    """The genome as text, its models, and the bundle made of both."""

    sequence: dict[str, str]
    models: list[Model]
    bundle: Bundle


def nasty_genome(folder: Path, seed: int, genes: int = 60) -> Nasty:
    """Exons and introns of a few bases, phases, incomplete ends, a CDS of any length, Ns, genes on contig ends."""
    rng = random.Random(seed)
    sequence: dict[str, str] = {}
    models: list[Model] = []
    for contig in ("chr1", "chr2", "MT"):
        at = 1
        own: list[Model] = []
        for number in range(genes if contig != "MT" else 8):
            model = _model(rng, f"{contig}T{number}", contig, at)
            own.append(model)
            at = model.exons[-1][1] + rng.choice((1, 3, 40, 300, 7000))
        length = max(model.exons[-1][1] for model in own)
        letters = rng.choices("ACGT", k=length)
        for _ in range(length // 400):
            start = rng.randrange(length)
            letters[start : start + 3] = rng.choice(("NNN", "RYN", "AAA", "CAG"))
        sequence[contig] = "".join(letters[:length])
        for model in own:
            if model.coding and rng.random() < 0.6:
                sequence[contig] = _with_start_and_stop(sequence[contig], model)
        models += own
    return built(folder, sequence, models)


def built(folder: Path, sequence: dict[str, str], models: list[Model]) -> Nasty:
    """These models on this sequence, as a bundle."""
    fasta, gff = folder / "genome.fa", folder / "genes.gff3"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in sequence.items()))
    gff.write_text("##gff-version 3\n" + "".join(_lines(model) for model in models))
    build_bundle(folder / "bundle", name="nasty", fasta=fasta, genes=gff)
    return Nasty(sequence, models, Bundle.open(folder / "bundle"))


def _model(rng: random.Random, name: str, contig: str, at: int) -> Model:
    exons: list[tuple[int, int]] = []
    for _ in range(rng.choice((1, 1, 2, 3, 5, 9))):
        end = at + rng.choice((1, 2, 3, 3, 4, 10, 30, 90)) - 1
        exons.append((at, end))
        at = end + 1 + rng.choice((1, 2, 4, 9, 12, 13, 14, 20, 60))
    positions = [p for start, end in exons for p in range(start, end + 1)]
    biotype = rng.choice(("protein_coding",) * 4 + ("nonsense_mediated_decay", "lncRNA", "miRNA"))
    coding = None
    if biotype in ("protein_coding", "nonsense_mediated_decay") and len(positions) >= 7:
        a, b = sorted(rng.sample(range(len(positions)), 2))
        if b - a >= 5:
            coding = (positions[a], positions[b])
            if rng.random() < 0.5:
                b -= (b - a + 1) % 3
                coding = (positions[a], positions[b])
    tags = [tag for tag in ("cds_start_NF", "cds_end_NF", "basic") if coding and rng.random() < 0.15]
    return Model(name, contig, rng.choice("+-"), biotype, exons, coding, rng.choice((0, 0, 0, 1, 2)), tags)


def _with_start_and_stop(sequence: str, model: Model) -> str:
    letters = list(sequence)
    complement = {"A": "T", "T": "A", "G": "C", "C": "G"}
    cds = model.cds()
    for places, text in ((cds[:3], "ATG"), (cds[-3:], "TAA")):
        for place, base in zip(places, text, strict=True):
            letters[place - 1] = base if model.strand == "+" else complement[base]
    return "".join(letters)


def _lines(model: Model) -> str:
    gene = f"G{model.name}"
    start, end = model.exons[0][0], model.exons[-1][1]
    place = f"{start}\t{end}\t.\t{model.strand}\t."
    tags = f";tag={','.join(model.tags)}" if model.tags else ""
    about = f"Parent=gene:{gene};biotype={model.biotype};transcript_id={model.name}{tags}"
    rows = [
        f"{model.contig}\tx\tgene\t{place}\tID=gene:{gene};biotype={model.biotype};gene_id={gene}",
        f"{model.contig}\tx\ttranscript\t{place}\tID=transcript:{model.name};{about}",
    ]
    rows += [
        f"{model.contig}\tx\texon\t{a}\t{b}\t.\t{model.strand}\t.\tParent=transcript:{model.name}"
        for a, b in model.exons
    ]
    if model.coding:
        low, high = model.coding
        parts = [(max(a, low), min(b, high)) for a, b in model.exons if a <= high and b >= low]
        used = 0
        lines: list[str] = []
        for a, b in parts if model.strand == "+" else parts[::-1]:
            phase = (model.phase - used) % 3
            lines.append(
                f"{model.contig}\tx\tCDS\t{a}\t{b}\t.\t{model.strand}\t{phase}\tID=CDS:{model.name};"
                f"Parent=transcript:{model.name};protein_id=P{model.name}"
            )
            used += b - a + 1
        rows += lines
    return "\n".join(rows) + "\n"
