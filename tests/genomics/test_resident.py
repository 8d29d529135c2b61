"""What `Resident` tells as values is what `annotate` writes as text, and what it refuses has a reason."""

import random
from collections.abc import Iterator

import pytest

from genescale.genomics.annotate import Options, annotate
from genescale.genomics.bundle import Bundle
from genescale.genomics.references import EMBEDDED_FOLDER
from genescale.genomics.resident import Resident
from genescale.genomics.variants import Row, variants_of_record

FIELDS = ("transcript", "symbol", "consequence", "impact", "hgvsc", "hgvsp", "exon", "intron", "codons", "amino_acids")
OURS = ("transcript", "gene", "terms", "impact", "hgvsc", "hgvsp", "exon", "intron", "codons", "amino_acids")


@pytest.fixture(scope="module", params=["mitochondrion", "clinical-panel"])
def resident(request: pytest.FixtureRequest) -> Iterator[Resident]:
    with Bundle.open(EMBEDDED_FOLDER / request.param) as bundle:
        yield Resident(bundle)


def sampled(resident: Resident, count: int) -> list[tuple[int, int, str, str]]:
    """Places in the reference with a base changed, one taken out, or one put in."""
    dice = random.Random(11)
    bundle = resident.bundle
    columns = [bundle.array(name).tolist() for name in ("segment_contig", "segment_start", "segment_end")]
    places = list(zip(*columns, strict=True))
    found: list[tuple[int, int, str, str]] = []
    while len(found) < count:
        contig, start, end = dice.choice(places)
        position = dice.randrange(start + 1, end)
        first, second = resident.base(contig, position), resident.base(contig, position + 1)
        if not {first, second} <= set("ACGT"):
            continue
        other = dice.choice([base for base in "ACGT" if base != first])
        found.append(
            (contig, position, *dice.choice([(first, other), (first + second, first), (first, first + other)]))
        )
    return found


def test_it_tells_what_annotate_writes(resident: Resident) -> None:
    asked = sampled(resident, 300)
    rows: list[Row] = []
    lines: list[str] = []
    for contig, position, ref, alt in asked:
        rows += variants_of_record(contig, position, ref, [alt])
        lines.append(f"{resident.bundle.contigs[contig].name}\t{position}\t.\t{ref}\t{alt}\t.\t.\t.\n")
    told: list[tuple[str, ...]] = []
    for answer in resident.describe(rows):
        assert not isinstance(answer, str)
        for row in answer["consequences"]:
            values = (",".join(row[name]) if name == "terms" else row.get(name, "-") for name in OURS)
            told.append(tuple(values))
    written = annotate("".join(lines).encode(), resident.bundle, Options(fields=FIELDS))
    assert sorted(told) == sorted(tuple(row[name] for name in FIELDS) for row in written)  # a line has its rows by name


def test_one_alone_and_many_together_are_told_the_same(resident: Resident) -> None:
    rows = [row for one in sampled(resident, 40) for row in variants_of_record(*one[:3], [one[3]])]
    assert resident.describe(rows) == [resident.describe([row])[0] for row in rows]
    assert resident.describe([]) == []


def test_a_base_is_that_of_the_sequence(resident: Resident) -> None:
    bundle = resident.bundle
    for contig, position, *_ in sampled(resident, 100):
        assert resident.base(contig, position) == (bundle.sequence(contig, position, position) or b"").decode()
    assert resident.base(0, 0) == ""
    assert resident.base(0, 2_000_000_000) == ""


def test_what_cannot_be_told_has_a_reason(resident: Resident) -> None:
    contig, position, ref, _ = sampled(resident, 1)[0]
    other = next(base for base in "ACGT" if base != ref[0])
    third = next(base for base in "ACGT" if base not in {ref[0], other})
    asked = [
        (contig, position, other, third, "ref_mismatch"),
        (-1, position, ref, other, "unknown_contig"),
        (contig, position, ref, ".", "no_change"),
        (contig, position, ref, "*", "no_change"),
        (contig, position, ref, "5", "malformed"),
    ]
    for place, start, stated, alt, reason in asked:
        assert resident.describe(variants_of_record(place, start, stated, [alt])) == [reason]
