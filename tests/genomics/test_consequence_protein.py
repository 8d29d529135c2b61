"""Indels in coding sequence against the proteins themselves, translated from the text and not by the kernel."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from genescale.genomics import terms
from genescale.genomics.consequence import judge
from genescale.genomics.variants import Row, Variants, variants_of_record
from support.nasty_genome import Model, Nasty, built

CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
COMPLEMENT = str.maketrans("ACGT", "TGCA")
IN_FRAME = {"inframe_insertion", "inframe_deletion", "protein_altering_variant", "missense_variant", "stop_gained"}
IN_FRAME |= {"synonymous_variant", "start_retained_variant", "stop_retained_variant"}
U5, U3 = 20, 60


def protein(text: str) -> str:
    """Up to and with the first stop."""
    out = ""
    for i in range(0, len(text) - 2, 3):
        a, b, c = ("TCAG".index(base) for base in text[i : i + 3])
        out += CODE[16 * a + 4 * b + c]
        if out[-1] == "*":
            break
    return out


def genes(folder: Path, rng: random.Random) -> Nasty:
    """Twenty genes of one exon on either strand, 100 bases apart."""
    text = "".join(rng.choices("ACGT", k=100))
    models: list[Model] = []
    for number in range(20):
        codons = ["".join(rng.choices("ACGT", k=3)) for _ in range(60)]
        cds = "ATG" + "".join(c for c in codons if protein(c) != "*") + rng.choice(("TAA", "TAG", "TGA"))
        mrna = "".join(rng.choices("ACGT", k=U5)) + cds + "".join(rng.choices("ACGT", k=U3))
        strand = rng.choice("+-")
        start = len(text) + 1
        end = start + len(mrna) - 1
        coding = (start + U5, start + U5 + len(cds) - 1) if strand == "+" else (end - U5 - len(cds) + 1, end - U5)
        models.append(Model(f"T{number}", "chr1", strand, "protein_coding", [(start, end)], coding, 0))
        text += mrna if strand == "+" else mrna.translate(COMPLEMENT)[::-1]
        text += "".join(rng.choices("ACGT", k=100))
    return built(folder, {"chr1": text}, models)


def indel(genome: Nasty, model: Model, rng: random.Random) -> Row:
    """Some bases of the CDS replaced by others, often at its ends, often with a stop."""
    assert model.coding
    low, high = model.coding
    start = rng.choice((rng.randint(low, high), low + rng.randint(0, 4), high - rng.randint(0, 4)))
    end = min(start + rng.choice((0, 1, 2, 3, 4, 5, 6)) - 1, high)
    new = "".join(rng.choices("ACGT", k=rng.choice((0, 1, 2, 3, 4, 6, 9))))
    stop = rng.choice(("", "", "TAA", "TGA"))
    new += stop if model.strand == "+" else stop.translate(COMPLEMENT)[::-1]
    ref = genome.sequence["chr1"][start - 2 : end]
    return variants_of_record(0, start - 1, ref, [ref[0] + new])[0]


def expected(genome: Nasty, model: Model, row: Row) -> tuple[str, bool, set[str]]:
    """A name for what happens to the protein, whether it must have (or must not have) one of the terms, and those."""
    text = genome.sequence["chr1"]
    first, last = model.exons[0]
    before, after = text[first - 1 : row.start - 1], text[row.end : last]
    old, new = text[first - 1 : last], before + row.alt + after
    if model.strand == "-":
        old, new = old.translate(COMPLEMENT)[::-1], new.translate(COMPLEMENT)[::-1]
    was, now = protein(old[U5:]), protein(new[U5:])
    longer = len(row.alt) - len(row.ref)
    if was == now:
        return "same", False, {"stop_gained", "frameshift_variant", "stop_lost", "missense_variant"}
    if new[U5 : U5 + 3] != "ATG" or old[:U5] != new[:U5]:
        return "start", True, {"start_lost", "start_retained_variant"}
    if longer % 3:
        return "shifted", True, {"frameshift_variant", "stop_gained", "stop_retained_variant"}
    if len(now) < len(was) and longer >= 0:
        return "early stop", True, {"stop_gained"}
    if not now.endswith("*") or len(now) > len(was) + longer // 3:
        return "late stop", True, {"stop_lost"}
    return "in frame", True, IN_FRAME


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 22))])
def test_what_is_said_is_what_happens_to_the_protein(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    genome = genes(tmp_path, rng)
    chosen = [rng.choice(genome.models) for _ in range(3000)]
    rows = [indel(genome, model, rng) for model in chosen]
    pairs = judge(genome.bundle, Variants.of_rows(rows))
    names = genome.bundle.texts("transcript_name")
    said = {
        (int(pairs.variant[i]), names[pairs.transcript[i]].partition(".")[0]): set(terms.names(int(pairs.terms[i])))
        for i in range(pairs.count)
    }
    for i, (model, row) in enumerate(zip(chosen, rows, strict=True)):
        low, high = model.coding or (0, 0)
        edge = row.start > row.end and not low < row.start <= high  # beside the CDS: UTR
        if row.ref == row.alt or edge:
            continue
        name, wanted, some = expected(genome, model, row)
        assert bool(said[i, model.name] & some) == wanted, (seed, name, model, row, said[i, model.name])
