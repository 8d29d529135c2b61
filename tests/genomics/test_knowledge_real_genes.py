"""ClinVar 2016 on the real genes of GRCh37: every label is found again, indels at either end of their repeat."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.knowledge import Column, Knowledge
from genescale.genomics.knowledge_build import Fact, Source, build_facts
from genescale.genomics.variants import Variants, variants_of_record
from support.shared_data import shared_data

IN_THE_GENES = 46_567

pytestmark = pytest.mark.slow


def labels() -> Iterator[Fact]:
    with gzip.open(shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz"), "rt") as rows:
        names = next(rows).rstrip("\n").split("\t")
        for line, text in enumerate(rows, 2):
            row = dict(zip(names, text.rstrip("\n").split("\t"), strict=True))
            yield Fact(
                line, row["chrom"], int(row["pos"]), row["ref"], row["alt"], (line, row["clinical_significance"])
            )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    path: Path = tmp_path_factory.mktemp("genes") / "panel"
    fasta, genes = shared_data("lrg/GRCh37.regions.fa.gz"), shared_data("lrg/GRCh37.genes.gff3.gz")
    build_bundle(path, name="panel", fasta=fasta, genes=genes, assembly="GRCh37")
    columns = (Column("line", "u4", "line of the file"), Column("significance", "text", "in ClinVar's words"))
    report = build_facts(path, Source("clinvar", "2016-06", "2016-06-05", "public domain", "GRCh37", columns), labels())
    assert report.rows == IN_THE_GENES
    assert set(report.rejected) == {"outside_reference", "unknown_contig"}
    with Bundle.open(path) as opened:
        yield opened


def rightmost(bundle: Bundle, fact: Fact) -> tuple[int, str, str]:
    """The same insertion or deletion at the right end of its repeat, with the base before it."""
    contig, longer = bundle.contig(fact.contig), max(fact.ref, fact.alt, key=len)
    position, moving = fact.position, longer[1:]
    behind = position + len(fact.ref)
    while bundle.sequence(contig, behind, behind) == moving[0].encode():
        moving, position, behind = moving[1:] + moving[0], position + 1, behind + 1
    anchor = (bundle.sequence(contig, position, position) or b"?").decode()
    return (position, anchor + moving, anchor) if len(fact.ref) > len(fact.alt) else (position, anchor, anchor + moving)


def test_every_label_is_found_again_also_at_the_other_end_of_a_repeat(bundle: Bundle):
    knowledge = Knowledge.open(bundle)
    lines = knowledge["clinvar"].column("line")
    as_written = [fact for fact in labels() if bundle.contig(fact.contig) >= 0]
    rows = [r for f in as_written for r in variants_of_record(bundle.contig(f.contig), f.position, f.ref, [f.alt])]
    found = knowledge.lookup(Variants.of_rows(rows))["clinvar"].tolist()
    known = [(fact, row) for fact, row in zip(as_written, found, strict=True) if row >= 0]
    assert len(known) == IN_THE_GENES
    assert all(int(lines[row]) == fact.line for fact, row in known)

    simple = [(f, row) for f, row in known if min(len(f.ref), len(f.alt)) == 1 < max(len(f.ref), len(f.alt))]
    simple = [(f, row) for f, row in simple if f.ref[0] == f.alt[0]]
    moved = [(rightmost(bundle, fact), fact, row) for fact, row in simple]
    assert sum(place[0] != fact.position for place, fact, _ in moved) > 3_000
    rows = [r for p, f, _ in moved for r in variants_of_record(bundle.contig(f.contig), p[0], p[1], [p[2]])]
    assert knowledge.lookup(Variants.of_rows(rows))["clinvar"].tolist() == [row for _, _, row in moved]
