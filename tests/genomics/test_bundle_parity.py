"""Bundles of the synthetic parity genome and of real human regions, against a slow independent reading of the files."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from genescale.genomics.bundle import INDEX_REACH, PICK_STRICT, Bundle
from genescale.genomics.terms import BY_NAME
from support.shared_data import shared_data
from support.vep_parity import parity_bundle

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


@pytest.fixture(scope="module")
def parity() -> Bundle:
    return parity_bundle()


def genome(path: Path) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        if line.startswith(">"):
            name = line[1:].split()[0]
            found[name] = []
        else:
            found[name].append(line.strip().upper())
    return {key: "".join(rows) for key, rows in found.items()}


def exons(path: Path) -> dict[str, tuple[str, str, list[tuple[int, int]], list[tuple[int, int]]]]:
    found: dict[str, tuple[str, str, list[tuple[int, int]], list[tuple[int, int]]]] = {}
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        row = line.split("\t")
        if len(row) == 9 and row[2] in ("exon", "CDS"):
            owner = row[8].split("Parent=transcript:")[1].split(";")[0]
            _, _, parts, coding = found.setdefault(owner, (row[0], row[6], [], []))
            (parts if row[2] == "exon" else coding).append((int(row[3]), int(row[4])))
    return found


def test_mrna_and_cds_are_those_of_the_files(parity: Bundle) -> None:
    sequence = genome(shared_data("vep-parity/genome.fa.gz"))
    models = exons(shared_data("vep-parity/genes.gff3.gz"))
    names = [name.partition(".")[0] for name in parity.texts("transcript_name")]
    assert sorted(names) == sorted(models)
    offset = parity.array("transcript_mrna")
    for i, name in enumerate(names):
        contig, strand, parts, coding = models[name]
        text = "".join(sequence[contig][a - 1 : z] for a, z in sorted(parts))
        positions = [p for a, z in sorted(parts) for p in range(a, z + 1)]
        if strand == "-":
            text = text[::-1].translate(COMPLEMENT)
            positions.reverse()
        mrna = np.frombuffer(b"ACGTN", np.uint8)[parity.array("mrna")[offset[i] : offset[i + 1]]].tobytes().decode()
        assert mrna == text, name
        if coding:
            ends = [positions.index(min(coding)[0]) + 1, positions.index(max(z for _, z in coding)) + 1]
            assert [parity.array("cds_cdna_start")[i], parity.array("cds_cdna_end")[i]] == sorted(ends), name
        else:
            assert parity.array("coding_start")[i] == 0


def test_sequence_comes_back(parity: Bundle) -> None:
    for name, text in genome(shared_data("vep-parity/genome.fa.gz")).items():
        contig = parity.contig(name)
        assert parity.contigs[contig].length == len(text)
        assert parity.sequence(contig, 1, len(text)) == text.encode()
        assert parity.sequence(contig, 1001, 1010) == text[1000:1010].encode()
        assert parity.sequence(contig, len(text), len(text) + 1) is None


def test_every_cell_of_the_index_lists_its_transcripts_in_order(parity: Bundle) -> None:
    start, end = parity.array("transcript_start"), parity.array("transcript_end")
    order = parity.array("transcript_order")
    for contig in range(len(parity.contigs)):
        first, last = parity.array("contig_cell")[contig : contig + 2]
        cells = parity.array("cell_start")[first:last].tolist()
        assert cells[0] == 0
        mine = np.flatnonzero(parity.array("transcript_contig") == contig)
        for i, cell in enumerate(cells):
            a, z = parity.array("cell_transcript_first")[first + i : first + i + 2]
            listed = parity.array("cell_transcript")[a:z]
            for position in (cell, (cells[i + 1] if i + 1 < len(cells) else cell + 10**6) - 1):
                covers = (start[mine] - INDEX_REACH <= position) & (position <= end[mine] + INDEX_REACH)
                assert sorted(listed.tolist()) == sorted(mine[covers].tolist())
            assert (np.diff(order[listed]) > 0).all()


def test_the_order_of_picking_is_that_of_vep(parity: Bundle) -> None:
    """The static keys around the rank of the consequence choose VEP's transcript for every variant."""
    number = {name.partition(".")[0]: i for i, name in enumerate(parity.texts("transcript_name"))}
    before, after, order = (parity.array(f"transcript_{key}") for key in ("pick_before", "pick_after", "order"))
    truth = gzip.decompress(shared_data("vep-parity/main.vep115.tsv.gz").read_bytes()).decode().splitlines()
    picked: dict[str, tuple[tuple[int, ...], bool]] = {}
    columns = truth[0].split("\t")
    variant, feature, consequence, chosen = map(
        columns.index, ("#Uploaded_variation", "Feature", "Consequence", "PICK")
    )
    for line in truth[1:]:
        row = line.split("\t")
        i = number.get(row[feature], -1)
        if i >= 0:
            rank = min(BY_NAME[term].rank for term in row[consequence].split(","))
            key = (int(before[i]) | PICK_STRICT, rank, int(after[i]), int(order[i]))
            picked[row[variant]] = min(picked.get(row[variant], (key, row[chosen] == "1")), (key, row[chosen] == "1"))
    assert len(picked) > 9000
    assert all(ours for _, ours in picked.values())
