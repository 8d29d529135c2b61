"""Substitutions near the gene models of a nasty genome, against a slow reading of the files with no index at all."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from genescale.genomics import terms
from genescale.genomics.consequence import judge
from genescale.genomics.variants import Row, Variants, variants_of_record
from support.nasty_genome import Model, Nasty, nasty_genome

CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "R": "Y", "Y": "R", "N": "N"}


def amino_acid(codon: str) -> str:
    readings = {
        CODE[16 * "TCAG".index(a) + 4 * "TCAG".index(b) + "TCAG".index(c)]
        for a in _bases(codon[0])
        for b in _bases(codon[1])
        for c in _bases(codon[2])
    }
    return readings.pop() if len(readings) == 1 else "X"


def _bases(letter: str) -> str:
    # A bundle keeps the mRNA in four letters and one for all others.
    return letter if letter in "ACGT" else "ACGT"


def expected(genome: Nasty, model: Model, p: int, alt: str) -> set[str]:
    """The terms of a substitution at `p`; nothing when the model is too far away."""
    start, end = model.exons[0][0], model.exons[-1][1]
    plus = model.strand == "+"
    if p < start:
        return set() if p < start - 5000 else {"upstream_gene_variant" if plus else "downstream_gene_variant"}
    if p > end:
        return set() if p > end + 5000 else {"downstream_gene_variant" if plus else "upstream_gene_variant"}
    introns = [(a[1] + 1, b[0] - 1) for a, b in zip(model.exons, model.exons[1:], strict=False)]
    exonic = any(a <= p <= b for a, b in model.exons)
    artefact = any(b - a <= 12 and a <= p <= b for a, b in introns)
    wider = 12 if any(b - a <= 12 for a, b in introns) else 0
    gate = any(a - wider <= p <= b + wider for a, b in model.exons)
    found = splice(model, introns, p, gate)
    if start == end:
        # A transcript of one base is covered as a whole: its parts do not count.
        found.add("coding_transcript_variant" if model.biotype == "protein_coding" else "non_coding_transcript_variant")
    elif model.coding is None:
        if model.biotype != "protein_coding":
            found.add("non_coding_transcript_exon_variant" if exonic else "non_coding_transcript_variant")
    else:
        low, high = model.coding
        if gate and low <= p <= high:
            found |= coding(genome, model, p, alt)
            if artefact:
                found.add("coding_sequence_variant")
        elif gate and (exonic or artefact):
            found.add("5_prime_UTR_variant" if (p < low) == plus else "3_prime_UTR_variant")
    if model.biotype == "nonsense_mediated_decay":
        found.add("NMD_transcript_variant")
    return found or {"sequence_variant"}


def splice(model: Model, introns: list[tuple[int, int]], p: int, gate: bool) -> set[str]:
    found: set[str] = set()
    region = False
    for a, b in introns:
        if b - a <= 12:
            continue  # no intron but an artefact
        donor, acceptor = (p - a + 1, b - p + 1) if model.strand == "+" else (b - p + 1, p - a + 1)
        if a <= p <= b:
            if donor <= 2:
                found.add("splice_donor_variant")
            if acceptor <= 2:
                found.add("splice_acceptor_variant")
            if donor > 2 and acceptor > 2:
                found.add("intron_variant")
            if donor == 5:
                found.add("splice_donor_5th_base_variant")
            elif 3 <= donor <= 6:
                found.add("splice_donor_region_variant")
            if 3 <= acceptor <= 17 and not gate:
                found.add("splice_polypyrimidine_tract_variant")
        if 3 <= donor <= 8 or 3 <= acceptor <= 8 or -2 <= donor <= 0 or -2 <= acceptor <= 0:
            region = True
    exact = {"splice_donor_variant", "splice_acceptor_variant"}
    exact |= {"splice_donor_5th_base_variant", "splice_donor_region_variant"}
    if region and not found & exact:
        found.add("splice_region_variant")
    return found


def coding(genome: Nasty, model: Model, p: int, alt: str) -> set[str]:  # noqa: C901 (one list)
    cds = model.cds()
    if p not in cds:
        return set()
    pad = (3 - model.phase) % 3 if model.phase else 0
    sequence = genome.sequence[model.contig]
    letters = ["N"] * pad + [_oriented(sequence[q - 1], model.strand) for q in cds]
    index = cds.index(p) + pad
    after = letters.copy()
    after[index] = _oriented(alt, model.strand)
    first = index - index % 3
    # An incomplete last codon is read on into the 3' UTR after the change, but not before it.
    tail = [_oriented(sequence[q - 1], model.strand) for q in model.positions()]
    tail = tail[model.positions().index(cds[-1]) + 1 :]
    ref = "".join(letters[first : first + 3])
    new = "".join((after + tail)[first : first + 3])
    rp = amino_acid(ref) if len(ref) == 3 else "X"
    ap = amino_acid(new) if len(new) == 3 else "X"
    found: set[str] = set()
    partial = len(ref) < 3
    if partial:
        found.add("incomplete_terminal_codon_variant")
    over_start = index - pad < 3 and not model.phase and "cds_start_NF" not in model.tags
    lost = gained = retained = start_lost = start_kept = False
    if rp == "*" and ap != "*":
        lost = True
    if not partial and rp == ap == "*":
        retained = True
    if not partial and not lost and not retained and not (rp == ap == "X") and ap == "*":
        retained = index // 3 + 1 > len(protein(letters))
    if ap == "*" and rp != "*" and not retained:
        gained = True
    if over_start:
        start_kept = "".join(after[:3]) == "ATG"
        has_utr = model.positions().index(cds[0]) > 0
        start_lost = (has_utr and not start_kept) or (ap not in {"X", rp} and index < 3)
    for flag, term in (
        (lost, "stop_lost"),
        (gained, "stop_gained"),
        (retained, "stop_retained_variant"),
        (start_lost, "start_lost"),
        (start_kept, "start_retained_variant"),
    ):
        if flag:
            found.add(term)
    if rp != ap and not (partial or lost or gained or retained or start_lost):
        found.add("missense_variant")
    if rp == ap and "X" not in rp and not retained and not start_kept:
        found.add("synonymous_variant")
    if "X" in rp + ap and not found & {"start_lost", "start_retained_variant", "stop_lost", "stop_retained_variant"}:
        found.add("coding_sequence_variant")
    return found


def protein(letters: list[str]) -> str:
    text = "".join(letters)
    residues = "".join(amino_acid(text[i : i + 3]) for i in range(0, len(text) - 2, 3))
    return residues.removesuffix("*")


def _oriented(base: str, strand: str) -> str:
    return base if strand == "+" else COMPLEMENT[base]


def compare(genome: Nasty, seed: int, most: int) -> None:
    rng = random.Random(seed)
    rows: list[Row] = []
    for model in genome.models:
        if model.contig == "MT":
            continue
        sequence = genome.sequence[model.contig]
        span = range(max(model.exons[0][0] - 3, 1), min(model.exons[-1][1] + 3, len(sequence)) + 1)
        for p in span:
            base = sequence[p - 1]
            rows += [
                row
                for alt in "ACGT"
                if alt != base
                for row in variants_of_record(genome.bundle.contig(model.contig), p, base, [alt])
            ]
    rows = rng.sample(rows, min(most, len(rows)))
    variants = Variants.of_rows(rows)
    pairs = judge(genome.bundle, variants)
    found = {
        (int(pairs.variant[i]), int(pairs.transcript[i])): set(terms.names(int(pairs.terms[i])))
        for i in range(pairs.count)
    }
    names = [name.partition(".")[0] for name in genome.bundle.texts("transcript_name")]
    models = {model.name: model for model in genome.models}
    indices = [(i, models[name]) for i, name in enumerate(names)]
    for v, row in enumerate(rows):
        near = [(t, m) for t, m in indices if genome.bundle.contig(m.contig) == row.contig]
        for t, model in near:
            want = expected(genome, model, row.start, row.alt)
            assert found.get((v, t), set()) == want, (seed, model, row)


@pytest.mark.parametrize("seed", [1, 2])
def test_substitutions(tmp_path: Path, seed: int) -> None:
    compare(nasty_genome(tmp_path, seed, genes=30), seed, 500)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 30))
def test_many_substitutions(tmp_path: Path, seed: int) -> None:
    compare(nasty_genome(tmp_path, seed, genes=40), seed, 4000)
