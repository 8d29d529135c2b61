"""Derive the panel of clinical genes that is kept in git, from the LRG records and ClinVar of the shared data.

    python .ci/derive_clinical_panel.py           write src/genescale/genomics/embedded/clinical-panel.compact
    python .ci/derive_clinical_panel.py --check   write nothing; exit 1 when the committed file says anything else

Sources, beside the checkout (`GENESCALE_SHARED_DATA=FOLDER` says where else): `lrg`, the sequence of 562 human genes by
region on GRCh37 and GRCh38 with their transcripts; `clinvar-2016`, the assertions of 5 June 2016 on GRCh37.

An assertion is carried over to GRCh38 through the region that it lies in: both assemblies have the same 562 regions, so
their sequences are aligned, and a variant moves with the block of equal bases around it. What cannot move is counted
with its reason. `--check` compares the decoded content byte for byte: compressed bytes belong to a version of zlib.
"""

import csv
import gzip
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import compact_file
import edlib
import numpy as np
from compact_file import SHARED, sha256

from genescale.genomics import compact

CLINVAR = "clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz"
REGIONS, GENES = "lrg/{}.regions.fa.gz", "lrg/{}.genes.gff3.gz"
FLANK = 10  # equal bases wanted on both sides of a variant before it is carried over


class Region(NamedTuple):
    """One LRG region on one assembly."""

    contig: str
    start: int
    end: int
    lrg: str
    gene: str
    bases: str


class Block(NamedTuple):
    """A stretch that is equal on both assemblies: first and last position on GRCh37, and what to add for GRCh38."""

    start: int
    end: int
    shift: int


def main() -> int:
    """Do what the one argument says."""
    return compact_file.run("clinical-panel.compact", "lrg", lambda _: derive(SHARED), __doc__)


def derive(shared: Path) -> tuple[dict[str, Any], dict[str, compact.Column]]:
    """What the file says of itself, and all its columns."""
    old, new = regions(shared / REGIONS.format("GRCh37")), regions(shared / REGIONS.format("GRCh38"))
    counts: Counter[str] = Counter(regions=len(new))
    columns: dict[str, compact.Column] = {
        "region_lrg": [region.lrg for region in new],
        "region_gene": [region.gene for region in new],
        "region_contig": [region.contig for region in new],
        "region_start": np.array([region.start for region in new], np.uint32),
        "region_end": np.array([region.end for region in new], np.uint32),
    }
    columns |= sequence(new, counts)
    rows = list(clinvar(shared / CLINVAR))
    columns["annotation"] = list(annotation(shared / GENES.format("GRCh38"), proteins(rows), counts))
    columns |= assertions(rows, old, new, counts)
    files = [REGIONS.format("GRCh38"), GENES.format("GRCh38"), REGIONS.format("GRCh37"), CLINVAR]
    about = {
        "what": "562 human clinical genes on GRCh38 with ClinVar assertions of 2016-06-05, for research use",
        "assembly": "GRCh38",
        "clinvar_date": "2016-06-05",
        "counts": dict(sorted(counts.items())),
        "sources": [{"file": name, "sha256": sha256(shared / name), **source_of(name)} for name in files],
    }
    return about, columns


def source_of(name: str) -> dict[str, str]:
    """Who made a file."""
    if name == CLINVAR:
        return {"what": "ClinVar of 2016-06-05, by macarthur-lab/clinvar", "licence": "public domain (NCBI)"}
    return {
        "what": "Locus Reference Genomic records, 2015 (MacArthur et al. 2014)",
        "licence": "free to use (EMBL-EBI, NCBI)",
    }


def regions(path: Path) -> list[Region]:
    """The regions of one assembly, in the order of the file."""
    found: list[Region] = []
    for record in gzip.decompress(path.read_bytes()).decode().split(">")[1:]:
        head, _, body = record.partition("\n")
        match = re.fullmatch(r"(\S+):(\d+)-(\d+) (LRG_\d+) (\S+)", head)
        assert match, f"{path}: {head}"
        region = Region(match[1], int(match[2]), int(match[3]), match[4], match[5], body.replace("\n", ""))
        assert len(region.bases) == region.end - region.start + 1, head
        found.append(region)
    return found


def sequence(new: Sequence[Region], counts: Counter[str]) -> dict[str, compact.Column]:
    """The sequence, what regions share stored once: two bits a base (A0 C1 G2 T3, first base lowest), four a byte.

    A base that is none of these would be an exception (its place in the whole, and the letter); there is none today.
    """
    stretches: list[tuple[str, int, int, str]] = []
    contigs = list(dict.fromkeys(region.contig for region in new))
    for region in sorted(new, key=lambda region: (contigs.index(region.contig), region.start, region.end)):
        contig, start, end, bases = stretches[-1] if stretches else ("", 0, -1, "")
        if contig == region.contig and region.start <= end + 1:
            assert bases[region.start - start :][: len(region.bases)] == region.bases[: end - region.start + 1]
            joined = bases + region.bases[end - region.start + 1 :] if region.end > end else bases
            stretches[-1] = (contig, start, max(end, region.end), joined)
        else:
            stretches.append((region.contig, region.start, region.end, region.bases))
    letters = np.frombuffer("".join(bases for *_, bases in stretches).encode(), np.uint8)
    code = np.full(256, 4, np.uint8)
    code[np.frombuffer(b"ACGT", np.uint8)] = range(4)
    codes = code[letters]
    exceptions = np.flatnonzero(codes == 4)
    padded = np.zeros(-(-codes.size // 4) * 4, np.uint8)
    padded[: codes.size] = codes & 3
    quads = padded.reshape(-1, 4)
    counts["bases"] = codes.size
    counts["stretches"] = len(stretches)
    return {
        "stretch_contig": [contig for contig, *_ in stretches],
        "stretch_start": np.array([start for _, start, *_ in stretches], np.uint32),
        "stretch_end": np.array([end for _, _, end, _ in stretches], np.uint32),
        "sequence": quads[:, 0] | quads[:, 1] << 2 | quads[:, 2] << 4 | quads[:, 3] << 6,
        "sequence_exception": exceptions.astype(np.uint32),
        "sequence_exception_letter": letters[exceptions],
    }


def proteins(rows: Sequence[dict[str, str]]) -> dict[str, str]:
    """The protein accession of each transcript that ClinVar names together with exactly one; LRG files have none."""
    found: dict[str, set[str]] = {}
    for row in rows:
        transcript, protein = (row[name].partition(":")[0] for name in ("hgvs_c", "hgvs_p"))
        if protein.startswith("NP_"):
            found.setdefault(transcript, set()).add(protein)
    return {transcript: names.pop() for transcript, names in found.items() if len(names) == 1}


def annotation(path: Path, protein: dict[str, str], counts: Counter[str]) -> Iterator[str]:
    """The lines of the annotation, with protein accessions on those of the CDS."""
    named: set[str] = set()
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        transcript = line.partition("ID=CDS:")[2].partition(";")[0]
        counts["transcripts"] += "transcript_id=" in line
        if transcript in protein:
            named.add(transcript)
            yield f"{line};protein_id={protein[transcript]}"
        else:
            yield line
    counts["transcripts_with_a_protein_accession"] = len(named)


def assertions(
    rows: Sequence[dict[str, str]], old: Sequence[Region], new: Sequence[Region], counts: Counter[str]
) -> dict[str, compact.Column]:
    """The ClinVar rows that lie in the panel, on GRCh38, in the order of the genome."""
    carry = Carrier(old, new)
    found: list[tuple[int, int, str, str, dict[str, str]]] = []
    contigs = list(dict.fromkeys(region.contig for region in new))
    for row in rows:
        counts["clinvar_rows"] += 1
        place, reason = carry(row["chrom"], int(row["pos"]), row["ref"], row["alt"])
        counts[f"clinvar_{reason}"] += 1
        if place:
            found.append((contigs.index(row["chrom"]), *place, row))
    found.sort(key=lambda entry: (*entry[:4], int(entry[4]["measureset_id"])))
    counts["clinvar_variants"] = len({entry[:4] for entry in found})
    kept = [entry[4] for entry in found]
    return {
        "clinvar_contig": [contigs[entry[0]] for entry in found],
        "clinvar_position": np.diff(np.array([entry[1] for entry in found], np.int64), prepend=0).astype(np.int32),
        "clinvar_ref": [entry[2] for entry in found],
        "clinvar_alt": [entry[3] for entry in found],
        "clinvar_id": np.array([int(row["measureset_id"]) for row in kept], np.uint32),
        **coded("clinvar_significance", [row["clinical_significance"] for row in kept]),
        **coded("clinvar_review", [row["review_status"] for row in kept]),
        **coded("clinvar_conditions", [";".join(dict.fromkeys(row["all_traits"].split(";"))) for row in kept]),
        **coded("clinvar_gene", [row["symbol"] for row in kept]),
    }


class Carrier:
    """Carries variants from GRCh37 to GRCh38 through the regions; holds the equal blocks of each."""

    def __init__(self, old: Sequence[Region], new: Sequence[Region]) -> None:
        partner = {region.lrg: region for region in new}
        self.regions = [(region, partner[region.lrg], blocks(region, partner[region.lrg])) for region in old]

    def __call__(self, contig: str, position: int, ref: str, alt: str) -> tuple[tuple[int, str, str] | None, str]:
        """Position and alleles on GRCh38, moved to the left; or None. And why."""
        last = position + len(ref) - 1
        at_home = [pair for pair in self.regions if pair[0].contig == contig and within(position, last, *pair[0][1:3])]
        if not at_home:
            return None, "outside_the_regions"
        places: set[tuple[int, str, str]] = set()
        for before, after, equal in at_home:
            if before.bases[position - before.start :][: len(ref)] != ref:
                return None, "ref_is_not_grch37"
            block = equal[bisect_right(equal, position, key=lambda block: block.start) - 1]
            first = block.start + (FLANK if block.start > before.start else 0)
            final = block.end - (FLANK if block.end < before.end else 0)
            if within(position, last, first, final):
                assert after.bases[position + block.shift - after.start :][: len(ref)] == ref
                places.add(left_aligned(after, position + block.shift, ref, alt))
        if not places:
            return None, "at_a_difference_of_the_assemblies"
        if len(places) > 1:
            return None, "two_places"
        return places.pop(), "carried_over"


def within(first: int, last: int, start: int, end: int) -> bool:
    """Whether all of first to last lies in start to end."""
    return start <= first and last <= end


def blocks(old: Region, new: Region) -> list[Block]:
    """The equal stretches of one region on both assemblies, by global alignment."""
    if old.bases == new.bases:
        return [Block(old.start, old.end, new.start - old.start)]
    path = edlib.align(old.bases, new.bases, mode="NW", task="path")["cigar"]
    found: list[Block] = []
    at, there = old.start, new.start
    for length, kind in ((int(number), kind) for number, kind in re.findall(r"(\d+)([=XID])", path)):
        if kind == "=":
            found.append(Block(at, at + length - 1, there - at))
        at += length if kind != "D" else 0  # for edlib, I stands in the query only, D in the target only
        there += length if kind != "I" else 0
    assert at == old.end + 1, old.lrg
    assert there == new.end + 1, old.lrg
    return found


def left_aligned(region: Region, position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """The leftmost VCF form of an allele (Tan et al. 2015), as far as the region goes."""
    if len(ref) == len(alt) == 1:
        return position, ref, alt
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref[-1] == alt[-1] and position > region.start:
        before = region.bases[position - 1 - region.start]
        position, ref, alt = position - 1, before + ref[:-1], before + alt[:-1]
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        position, ref, alt = position + 1, ref[1:], alt[1:]
    return position, ref, alt


def clinvar(path: Path) -> Iterator[dict[str, str]]:
    """The rows of the table; its fields are long and its quotes are text."""
    csv.field_size_limit(1 << 30)
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def coded(name: str, texts: Sequence[str]) -> dict[str, compact.Column]:
    """A column of texts as numbers, with the list of the different texts beside it."""
    distinct = sorted(set(texts))
    place = {text: index for index, text in enumerate(distinct)}
    width = np.uint8 if len(distinct) <= 256 else np.uint16
    return {f"{name}_words": distinct, name: np.array([place[text] for text in texts], width)}


if __name__ == "__main__":
    sys.exit(main())
