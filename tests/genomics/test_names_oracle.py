"""Names of random variants, read back by slow code of its own: each must give the sequence that the VCF alleles give.

Nothing of the names kernels is used here. Positions come from lists of all bases of a transcript, proteins from
translating whole strings.
"""

import random
import re
from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest

from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.names import ALL, write_names
from genescale.genomics.terms import names as term_names
from genescale.genomics.variants import Variants, variants_of_record
from support import gene_bundle as made
from support.gene_bundle import gene_bundle

sequence = cache(made.sequence)
_COMPLEMENT = str.maketrans("ACGT", "TGCA")
_POSITION = re.compile(r"([-*]?)([0-9]+)([+-][0-9]+)?")
_CODE = dict(
    zip(
        map("".join, product("TCAG", repeat=3)),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)
_THREE = {"Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G", "His": "H"}
_THREE |= {"Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Ser": "S", "Thr": "T", "Trp": "W"}
_THREE |= {"Tyr": "Y", "Val": "V", "Ter": "*"}


class _Gene:
    """A transcript of the made genome as lists: the genomic position of each of its bases."""

    def __init__(self, name: str, strand: str, exons: list[tuple[int, int]], cds: tuple[int, int] | None) -> None:
        self.name, self.strand, self.cds = name, strand, cds
        bases = [position for first, last in exons for position in range(first, last + 1)]
        self.bases = bases if strand == "+" else bases[::-1]
        self.at = {position: index for index, position in enumerate(self.bases)}
        ends = (cds if strand == "+" else cds[::-1]) if cds else None
        self.first = self.at[ends[0]] if ends else 0
        self.last = self.at[ends[1]] if ends else len(self.bases) - 1

    def genomic(self, text: str) -> int:
        """The genomic position of `-12`, `34+5`, `*6` ..."""
        found = _POSITION.fullmatch(text)
        assert found, text
        number = int(found[2])
        if not self.cds:
            index = number - 1
        elif found[1] == "*":
            index = self.last + number
        else:
            index = self.first + (number - 1 if not found[1] else -number)
        offset = int(found[3] or 0)
        return self.bases[index] + (offset if self.strand == "+" else -offset)


_GENES = [
    _Gene("T1.2", "+", [(6001, 6200), (7001, 7150), (8001, 8300)], (6101, 8100)),
    _Gene("T2.2", "-", [(9001, 9400), (10001, 10250)], (9201, 10150)),
    _Gene("T3.2", "+", [(12001, 12100), (12501, 12900)], None),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    with Bundle.open(gene_bundle(tmp_path_factory.mktemp("oracle"))) as opened:
        yield opened


@cache
def _random_variants(seed: int, count: int) -> list[tuple[int, str, str]]:
    draw = random.Random(seed)
    bases = sequence()
    found: list[tuple[int, str, str]] = []
    for _ in range(count):
        gene = draw.choice(_GENES)
        edge = draw.choice(
            gene.bases + [position for pair in (gene.bases[0], gene.bases[-1]) for position in [pair] * 60]
        )
        pos = edge + draw.choice((-30, -3, -2, -1, 0, 0, 1, 2, 3, 30))
        kind = draw.randrange(6)
        length = draw.choice((1, 1, 1, 2, 3, 3, 4, 6, 9, 20))
        ref = bases[pos - 1]
        if kind == 0:
            alt = draw.choice([base for base in "ACGT" if base != ref])
        elif kind == 1:
            alt = ref + "".join(draw.choices("ACGT", k=length))
        elif kind == 2:
            alt = ref + bases[pos : pos + length]
        elif kind == 3:
            ref, alt = bases[pos - 1 : pos + length], ref
        elif kind == 4:
            ref = bases[pos - 1 : pos - 1 + length]
            alt = "".join(draw.choices("ACGT", k=draw.choice((1, 2, 3, length))))
        else:
            ref = bases[pos - 1 : pos + length]
            alt = ref.translate(_COMPLEMENT)[::-1]
        if ref != alt:
            found.append((pos, ref, alt))
    return found


def _all_names(bundle: Bundle, seed: int, count: int) -> Iterator[tuple[tuple[int, str, str], str, str, str, set[str]]]:
    """(POS, REF, ALT), transcript, HGVSc, HGVSp and terms of each named pair."""
    records = _random_variants(seed, count)
    variants = Variants.of_rows(
        row
        for number, (pos, ref, alt) in enumerate(records)
        for row in variants_of_record(0, pos, ref, [alt], record=number)
    )
    pairs = judge(bundle, variants)
    ours = write_names(bundle, variants, pairs, which=ALL)
    assert ours.hgvsc is not None
    assert ours.hgvsp is not None
    coding, protein = ours.hgvsc.texts(), ours.hgvsp.texts()
    for row in range(pairs.count):
        if coding[row]:
            transcript, _, name = coding[row].partition(":")
            record = records[int(variants.record[pairs.variant[row]])]
            yield record, transcript, name, protein[row].partition(":")[2], set(term_names(int(pairs.terms[row])))


def _same_edit(edit: tuple[int, int, str], record: tuple[int, str, str]) -> bool:
    """Whether both give the same sequence; compared where they touch it."""
    start, end, new = edit
    pos, ref, alt = record
    bases = sequence()
    assert bases[pos - 1 : pos - 1 + len(ref)] == ref
    low, high = min(start, pos - 1), max(end, pos - 1 + len(ref))
    return bases[low:start] + new + bases[end:high] == bases[low : pos - 1] + alt + bases[pos - 1 + len(ref) : high]


def _read_coding(gene: _Gene, name: str) -> tuple[int, int, str]:
    """The interbase span and the forward bases that a c. or n. name puts there."""
    found = re.fullmatch(r"[cn]\.([-+*0-9]+)(?:_([-+*0-9]+))?(.*)", name)
    assert found, name
    one = gene.genomic(found[1])
    two = gene.genomic(found[2]) if found[2] else one
    low, high = min(one, two), max(one, two)
    bases = sequence()
    change = found[3]
    if ">" in change:
        stated, new = change.split(">")
        assert _turned(gene, bases[low - 1]) == stated
        return low - 1, low, _turned(gene, new)
    if change == "del":
        return low - 1, high, ""
    if change == "dup":
        return low - 1, high, bases[low - 1 : high] * 2
    if change == "inv":
        return low - 1, high, bases[low - 1 : high].translate(_COMPLEMENT)[::-1]
    if change.startswith("delins"):
        return low - 1, high, _turned(gene, change[6:])
    assert change.startswith("ins"), name
    assert high == low + 1, name
    return low, low, _turned(gene, change[3:])


def _turned(gene: _Gene, bases: str) -> str:
    return bases if gene.strand == "+" else bases.translate(_COMPLEMENT)[::-1]


_ROUNDS = pytest.mark.parametrize(("seed", "count"), [(11, 1_500), pytest.param(12, 20_000, marks=pytest.mark.slow)])


@_ROUNDS
def test_a_coding_name_gives_the_sequence_of_its_alleles_and_stands_at_the_3_prime_end(
    bundle: Bundle, seed: int, count: int
) -> None:
    genes = {gene.name: gene for gene in _GENES}
    bases, seen, kinds = sequence(), 0, set[str]()
    for record, transcript, name, _, _ in _all_names(bundle, seed, count):
        gene = genes[transcript]
        start, end, new = _read_coding(gene, name)
        assert _same_edit((start, end, new), record), (record, name)
        kinds.add(re.sub(r"[-+*_0-9]|[ACGT]+", "", name[2:]))
        if name.endswith(("del", "dup")) or ("ins" in name and "delins" not in name):
            moved = _moved(gene, start, end, new)
            if moved is not None:
                assert not _same_edit(moved, record), (record, name)
        if "delins" in name:
            assert new[0] != bases[start], name
            assert new[-1] != bases[end - 1], name
        seen += 1
    assert seen > count * 0.8
    assert kinds >= {">", "del", "dup", "ins", "delins", "inv"}


def _moved(gene: _Gene, start: int, end: int, new: str) -> tuple[int, int, str] | None:
    """The same deletion or insertion one base further to the 3' end; None where the transcript ends."""
    step = 1 if gene.strand == "+" else -1
    low, high = min(gene.bases), max(gene.bases)
    bases = sequence()
    if new and start != end:  # a duplication: the copy, behind the original
        copied = new[: end - start]
        start = end = end if step > 0 else start
        new = copied
    if not new:
        if not low - 1 <= start + step or end + step > high:
            return None
        return start + step, end + step, ""
    if not low <= start + step < high:
        return None
    next_base = bases[start] if step > 0 else bases[start - 1]
    turned = new[1:] + new[0] if step > 0 else new[-1] + new[:-1]
    return (start + step, end + step, turned) if next_base in new else None


def _translated(cdna: str) -> str:
    return "".join(_CODE[cdna[i : i + 3]] for i in range(0, len(cdna) - 2, 3))


def _proteins(gene: _Gene, start: int, end: int, new: str) -> tuple[str, str] | None:
    """The protein with its stop before and after an edit within one exon; None where the edit leaves it."""
    bases = sequence()
    letters = {position: bases[position - 1] for position in gene.bases}
    inside = list(range(start + 1, end + 1)) or [start, start + 1]
    if not all(position in letters for position in inside):
        return None
    indices = sorted(gene.at[position] for position in inside)
    if indices[-1] - indices[0] != len(indices) - 1:
        return None  # an exon junction lies within
    cdna = "".join(_turned(gene, letters[position]) for position in gene.bases)
    first, last = (indices[0], indices[-1] + 1) if start != end else (indices[1], indices[1])
    if first < gene.first or last > gene.last + 1 or (start == end and first > gene.last):
        return None
    after = cdna[:first] + _turned(gene, new) + cdna[last:]
    return _translated(cdna[gene.first : gene.last + 1]), _translated(after[gene.first :])


@_ROUNDS
def test_a_protein_name_gives_the_protein_of_the_edited_sequence(bundle: Bundle, seed: int, count: int) -> None:
    genes = {gene.name: gene for gene in _GENES}
    seen = 0
    kinds = set[str]()
    for (pos, ref, alt), transcript, name, protein, terms in _all_names(bundle, seed, count):
        gene = genes[transcript]
        if not protein or not gene.cds:
            continue
        prefix = 1 if len(ref) != len(alt) and ref[0] == alt[0] else 0
        both = _proteins(gene, pos - 1 + prefix, pos - 1 + len(ref), alt[prefix:])
        if both is None:
            continue
        before, after = both
        seen += 1
        if "start_lost" in terms:
            assert protein == "p.Met1?", (name, protein)
            continue
        kinds.add(_agrees(before, after, protein))
    assert seen > count // 6
    assert kinds >= {"=", "substitution", "fs", "del", "ins", "delins"}


def _agrees(before: str, after: str, name: str) -> str:
    """Apply a p. name to the old protein and compare with the new one. Returns what kind of name it was.

    The genes are random sequence, so stops are everywhere: `before` is the whole translation of the CDS, `after` goes
    on to the end of the transcript. A name reaches to the first new stop at most.
    """
    if name == "p.?":
        assert "*" not in after[len(before) - 1 :] or after.find("*") > len(before) + 20, name
        return "?"
    residues = {m.start(): m for m in re.finditer(r"[A-Z][a-z]{2}", name)}
    assert all(m[0] in _THREE or m[0] == "Ter" for m in residues.values()), name
    short = re.sub(r"[A-Z][a-z]{2}", lambda m: _THREE[m[0]], name[2:])
    if short.endswith("="):
        length = len(before)
        assert after[: len(before)] == before[:length] or "*" in before[: len(after)], name
        return "="
    if (found := re.fullmatch(r"([A-Z*])([0-9]+)([A-Z])?fs\*([0-9]+|\?)", short)) is not None:
        at = int(found[2]) - 1
        assert before[:at] == after[:at], name
        assert before[at] == found[1], name
        if found[3]:
            assert after[at] == found[3] != before[at], name
            stop = after.find("*", at)
            assert found[4] == ("?" if stop < 0 else str(stop - at + 1)), name
        return "fs"
    if (found := re.fullmatch(r"([A-Z*])([0-9]+)([A-Z*])(?:ext\*([0-9]+|\?))?", short)) is not None:
        at = int(found[2]) - 1
        assert before[:at] == after[:at], name
        assert (before[at], after[at]) == (found[1], found[3]), name
        if found[4] and found[4] != "?":
            assert after.find("*", at) == at + int(found[4]), name
        return "substitution"
    found = re.fullmatch(r"([A-Z*])([0-9]+)(?:_([A-Z*])([0-9]+))?(delins|del|ins|dup)([A-Z]*\*?)(?:ext\*.*)?", short)
    assert found, name
    first, last = int(found[2]) - 1, int(found[4] or found[2])
    assert before[first] == found[1], name
    assert not found[3] or (before + "*")[last - 1] == found[3], name
    if found[5] == "ins":
        made = before[: first + 1] + found[6] + before[first + 1 :]
    elif found[5] == "dup":
        made = before[:last] + before[first:last] + before[last:]
    else:
        made = before[:first] + found[6] + before[last:]
    if found[6].endswith("*"):
        end = first + (1 if found[5] == "ins" else 0) + len(found[6])
        assert made[:end] == after[:end], name
    elif "ext" not in short:
        assert made == after[: len(made)], name
    if found[5] == "del" and "ext" not in short and last < len(before):
        assert before[first] != before[last] or last == len(before), name  # at the 3' end
    return found[5]
