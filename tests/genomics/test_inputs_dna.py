"""Raw DNA as input of `annotate`: candidates are marked, remarks are no refusals, ties between references are told."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from genescale.genomics.build import build_bundle
from genescale.genomics.bundle import Bundle
from genescale.genomics.inputs import CANDIDATE, NOTE, Refused, as_vcf

COPY = "".join(random.Random(8).choices("ACGT", k=600))  # lies in both references
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


def _bases(seed: int) -> str:
    return "".join(random.Random(seed).choices("ACGT", k=3_000))


FIRST, SECOND = _bases(1) + COPY + _bases(2), _bases(3) + COPY + _bases(4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bundle, Bundle]]:
    folder = tmp_path_factory.mktemp("pair")
    with _made(folder, "first", FIRST) as first, _made(folder, "second", SECOND) as second:
        yield first, second


def _made(folder: Path, name: str, bases: str) -> Bundle:
    fasta, genes = folder / f"{name}.fa", folder / f"{name}.gff3"
    fasta.write_text(f">{name}1\n{bases}\n")
    genes.write_text(
        f"##gff-version 3\n{name}1\tx\tlnc_RNA\t10\t90\t.\t+\t.\tID=t\n{name}1\tx\texon\t10\t90\t.\t+\t.\tParent=t\n"
    )
    build_bundle(folder / name, name=name, fasta=fasta, genes=genes, synthetic=True)
    return Bundle.open(folder / name)


def _records(pair: tuple[Bundle, Bundle], dna: str, both: bool = True) -> tuple[list[list[str]], list[Refused]]:
    refused: list[Refused] = []
    beside = (lambda: [pair[1]]) if both else tuple
    text = b"".join(as_vcf(iter([f">q\n{dna}\n".encode()]), "fasta", pair[0], refused, beside)).decode()
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")], refused


def _with(dna: str, at: int, letter: str) -> str:
    return dna[:at] + letter + dna[at + 1 :]


def test_an_ambiguous_letter_is_marked_as_a_candidate(pair: tuple[Bundle, Bundle]) -> None:
    base = FIRST[600]
    two = {frozenset("AC"): "M", frozenset("CG"): "S", frozenset("GT"): "K", frozenset("AT"): "W"}
    letter = two[frozenset((base, OTHER[base]))]
    ((_, pos, _, ref, alt, *_, info),), refused = _records(pair, _with(FIRST[500:800], 100, letter))
    assert (pos, ref, alt, refused) == ("601", base, OTHER[base], [])
    assert CANDIDATE in info.split(";")
    ((*_, info),), _ = _records(pair, _with(FIRST[500:800], 100, OTHER[base]))
    assert CANDIDATE not in info


def test_a_remark_about_what_is_placed_is_a_note_and_no_refusal(pair: tuple[Bundle, Bundle]) -> None:
    dna = _with(_with(FIRST[500:800], 100, OTHER[FIRST[600]]), 297, OTHER[FIRST[797]])  # too near to the end
    ((*_, info),), refused = _records(pair, dna)
    assert refused == []
    assert NOTE in info
    assert "not_called" in info


def test_a_tie_with_another_reference_is_told_and_not_called(pair: tuple[Bundle, Bundle]) -> None:
    changed = _with(COPY[100:500], 200, OTHER[COPY[300]])
    records, refused = _records(pair, changed)
    assert records == []
    assert [one.reason for one in refused] == ["ambiguous"]
    assert "of first" in refused[0].message
    assert "of second" in refused[0].message
    records, refused = _records(pair, changed, both=False)
    assert (len(records), refused) == (1, [])


def test_what_lies_in_the_other_reference_is_not_written_as_a_variant_of_this_one(pair: tuple[Bundle, Bundle]) -> None:
    records, refused = _records(pair, _with(SECOND[500:900], 200, OTHER[SECOND[700]]))
    assert records == []
    assert [one.reason for one in refused] == ["other_reference"]
    assert "second1:501-900 of second" in refused[0].message
    assert "--reference second" in refused[0].message
