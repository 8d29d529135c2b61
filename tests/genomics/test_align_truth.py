"""Raw DNA against truths from elsewhere: the shared queries, planted reads of real genes, published mtDNA genomes."""

import gzip
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache

import pytest

from genescale.clock import SystemClock
from genescale.genomics.align import Aligner, Answer
from genescale.genomics.dna import read_dna
from genescale.trials import raw_dna
from support.embedded_bundles import embedded
from support.shared_data import shared_data
from support.vep_parity import parity_bundle


def test_the_shared_queries_come_out_exactly():
    asked = raw_dna.read_queries(shared_data("vep-parity/rawdna.tsv.gz"))
    aligner = Aligner(parity_bundle())
    answers = [aligner.place_one(read_dna(query.text)[0]) for query in asked]
    wrong = [
        i for i, (query, answer) in enumerate(zip(asked, answers, strict=True)) if not raw_dna.is_exact(query, answer)
    ]
    assert len(asked) == 200
    assert wrong == []


@pytest.mark.slow
def test_planted_reads_of_the_panel_and_the_speed_of_a_whole_mtdna():
    shared_data("vep-parity/rawdna.tsv.gz")
    for row in raw_dna.rows(20, SystemClock(), reads=2_000):
        assert row.value is not None, row.note
        if row.name != "mtdna_sequence_ms":  # time is judged by the trial, on a quiet machine
            assert row.met, row


# ---- mtDNA: every mutation between the reference and the haplogroup must be found ----


@cache
def steps() -> dict[str, list[str]]:
    """The mutations of PhyloTree on the way to each haplogroup."""
    root = ET.fromstring(gzip.decompress(shared_data("mt-lineage/phylotree17.xml.gz").read_bytes()))
    return dict(_walk(root, []))


def _walk(element: ET.Element, path: list[str]) -> Iterator[tuple[str, list[str]]]:
    if element.tag == "haplogroup":
        path = path + [str(poly.text) for poly in element.findall("details/poly")]
        yield str(element.get("name")), path
    for child in element:
        yield from _walk(child, path)


def found(answer: Answer) -> set[str]:
    """The calls as PhyloTree writes them: `263G`, `8281d`. A deletion is also told at its right end, as there."""
    names: set[str] = set()
    reference = embedded("mitochondrion").sequence(0, 1, 16_569) or b""
    for call in answer.variants:
        if len(call.ref) == len(call.alt):
            names |= {f"{call.position + i}{base}" for i, base in enumerate(call.alt)}
        elif len(call.alt) == 1:
            first, size = call.position, len(call.ref) - 1
            names |= {f"{first + 1 + i}d" for i in range(size)}
            while reference[first : first + 1] == reference[first + size : first + size + 1]:
                first += 1
                names |= {f"{first + 1 + i}d" for i in range(size)}
    return names


@pytest.mark.parametrize(
    ("file", "number", "haplogroup"), [("H100", 0, "H100"), ("L3i2_1", 0, "L3i2"), ("B5a1", 1, "B5a1")]
)
def test_a_published_mtdna_shows_the_mutations_of_its_haplogroup(file: str, number: int, haplogroup: str):
    dna = read_dna(shared_data(f"mt-lineage/sequences/{file}.fasta").read_bytes())[number]
    answer = Aligner(embedded("mitochondrion")).place_one(dna)
    (placement,) = answer.placements
    assert (answer.outcome, placement.start, placement.end, placement.strand) == ("placed", 1, 16_569, "+")
    assert set(steps()[haplogroup]) <= found(answer)
    assert {u.reason for u in placement.uncalled} <= {"reference_unknown"}  # N at 3107


def test_the_nine_bases_between_co2_and_lysine():
    dna = read_dna(shared_data("mt-lineage/sequences/B5a1.fasta").read_bytes())[1]
    answer = Aligner(embedded("mitochondrion")).place_one(dna)
    assert ("MT", 8270, "CACCCCCTCT", "C") in [(c.contig, c.position, c.ref, c.alt) for c in answer.variants]
    assert {f"{position}d" for position in range(8281, 8290)} <= found(answer)


@pytest.mark.parametrize("turn", [0, 1, 576, 3_106, 9_000, 16_400, 16_568])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_whole_mtdna_may_begin_anywhere(turn: int, reverse: bool):
    bundle = embedded("mitochondrion")
    reference = (bundle.sequence(0, 1, 16_569) or b"").decode()
    text = list(reference)
    for position, base in ((73, "G"), (263, "G"), (3243, "G"), (8993, "C"), (16_519, "C")):
        text[position - 1] = base
    text[8280:8289] = [""] * 9
    turned = "".join(text[turn:] + text[:turn])
    if reverse:
        turned = turned.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    answer = Aligner(bundle).place_one(read_dna(turned)[0])
    (placement,) = answer.placements
    assert (answer.outcome, placement.strand) == ("placed", "-" if reverse else "+")
    assert (placement.start, placement.end) == (turn + 1, turn or 16_569)
    assert [(c.position, c.ref, c.alt) for c in answer.variants] == [
        (73, "A", "G"),
        (263, "A", "G"),
        (3243, "A", "G"),
        (8270, "CACCCCCTCT", "C"),
        (8993, "T", "C"),
        (16_519, "T", "C"),
    ]
