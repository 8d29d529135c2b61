"""Phased variants judged together, against a plain splice-and-translate of the edited genome, and bcftools csq."""

import gzip
import io
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genescale.errors import InvalidInput
from genescale.genomics import codons, haplotype
from genescale.genomics.annotate import Annotator, Options, open_input
from genescale.genomics.bundle import Bundle
from genescale.genomics.consequence import judge
from genescale.genomics.haplotype import protein_change
from genescale.genomics.phased import FIELDS, INFO_KEY, Phased, read_call
from genescale.genomics.places import reverse_complement
from genescale.genomics.transcripts import Transcript
from genescale.genomics.variants import Variants, variants_of_record
from support.embedded_bundles import embedded
from support.require import missing
from support.shared_data import shared_data
from support.vep_parity import parity_bundle

Entry = dict[str, str]


@pytest.fixture(scope="module")
def parity() -> Bundle:
    return parity_bundle()


def vcf(records: list[str], samples: int = 1) -> bytes:
    names = "\t".join(f"S{number}" for number in range(1, samples + 1))
    head = f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}\n"
    return (head + "".join(line + "\n" for line in records)).encode()


def annotated(bundle: Bundle, text: bytes, block: int = 1 << 19, **options: str) -> list[str]:
    """The lines behind the head."""
    opened = open_input(io.BytesIO(text))
    annotator = Annotator(bundle, Options(phased=True, hgvs=False, **options))
    out = [annotator.header(opened.header)]
    for piece in opened.blocks(block):
        out += [bytes(part) for part in annotator.block(piece)]
    out.append(annotator.end())
    return [line for line in b"".join(out).decode().splitlines() if not line.startswith("#")]


def entries(line: str) -> list[Entry]:
    found = re.search(rf"{INFO_KEY}=([^;\t]*)", line)
    return (
        [dict(zip(FIELDS, e.split("|"), strict=True)) for e in found[1].replace("%3D", "=").split(",")] if found else []
    )


def record(position: int, ref: str, alt: str, *genotypes: str, contig: str = "MT", form: str = "GT") -> str:
    return "\t".join([contig, str(position), ".", ref, alt, ".", ".", ".", form, *(genotypes or ("1",))])


# --- one known codon: MT-ND4, residue 340, CGC at 11777-11779 ---------------------------------------------------------

FIRST, SECOND = (11777, "C", "A"), (11778, "G", "A")


def test_two_substitutions_in_one_codon_are_one_change() -> None:
    lines = annotated(embedded("mitochondrion"), vcf([record(*FIRST), record(*SECOND)]))
    for line in lines:
        (entry,) = entries(line)
        assert entry == {
            "Consequence": "missense_variant",
            "IMPACT": "MODERATE",
            "SYMBOL": "MT-ND4",
            "Feature": "MT-ND4",
            "Protein_position": "340",
            "Amino_acids": "R/N",
            "HGVSp": entry["HGVSp"],
            "Variants": "11777C>A+11778G>A",
            "Masked": "",
            "Copies": "1",
            "Samples": "S1:1",
        }
        assert entry["HGVSp"].endswith("p.Arg340Asn")


@pytest.mark.parametrize(
    ("one", "other", "samples"),
    [
        ("0|1", "0|1", "S1:2"),
        ("1|1", "0|1", "S1:2"),
        ("1/1", "1|0", "S1:1"),
        ("1|1", "1/1", "S1:1&S1:2"),
        ("0|1", "1|0", ""),
        ("0/1", "0/1", ""),
        ("0|1", ".|.", ""),
        ("0|1", "0|0", ""),
        ("0|1:7", "0|1:7", "S1:2"),
        ("0|1:7", "0|1:8", ""),
        ("0|1:7", "1|1:8", "S1:2"),
    ],
)
def test_only_alleles_that_are_known_to_share_a_chromosome_count(one: str, other: str, samples: str) -> None:
    form = "GT:PS" if ":" in one else "GT"
    text = vcf([record(*FIRST, one, form=form), record(*SECOND, other, form=form)])
    first, second = (entries(line) for line in annotated(embedded("mitochondrion"), text))
    assert first == second
    assert [entry["Samples"] for entry in first] == ([samples] if samples else [])


def test_carriers_are_counted_over_all_samples() -> None:
    text = vcf([record(*FIRST, "0|1", "1|0", "0|0"), record(*SECOND, "0|1", "1|1", "1|1")], samples=3)
    (entry,) = entries(annotated(embedded("mitochondrion"), text)[0])
    assert (entry["Copies"], entry["Samples"]) == ("2", "S1:2&S2:1")


def test_variants_behind_a_new_stop_are_masked() -> None:
    # MT-ND4 residue 3 (AAA) becomes TAA; residue 340 is never made.
    bundle = embedded("mitochondrion")
    position = 10760 + 6
    ref = (bundle.sequence(0, position, position + 2) or b"").decode()
    lines = annotated(bundle, vcf([record(position, ref, "TAA"), record(*SECOND)]))
    found = [entry for entry in entries(lines[1]) if entry["SYMBOL"] == "MT-ND4"]
    assert [(e["Consequence"], e["Variants"], e["Masked"]) for e in found] == [("stop_gained", "10766A>T", "11778G>A")]
    assert "p." in found[0]["HGVSp"]
    assert found[0]["HGVSp"].endswith("Ter")


def test_a_deletion_and_an_insertion_that_mend_each_other_are_one_change() -> None:
    bundle = embedded("mitochondrion")
    start = 11000
    bases = (bundle.sequence(0, start, start + 9) or b"").decode()
    lines = annotated(bundle, vcf([record(start, bases[:2], bases[0]), record(start + 8, bases[8], bases[8] + "A")]))
    (entry,) = entries(lines[0])
    assert "frameshift_variant" not in entry["Consequence"]
    assert len(set(map(len, entry["Amino_acids"].split("/")))) == 1


# --- the stream -------------------------------------------------------------------------------------------------------


def test_lines_keep_their_order_and_blocks_do_not_matter() -> None:
    records = [
        record(p, (embedded("mitochondrion").sequence(0, p, p) or b"").decode(), "N") for p in range(11700, 11900)
    ]
    records[77], records[78] = record(*FIRST), record(*SECOND)
    whole = annotated(embedded("mitochondrion"), vcf(records))
    assert [line.split("\t")[1] for line in whole] == [line.split("\t")[1] for line in records]
    assert annotated(embedded("mitochondrion"), vcf(records), block=100) == whole
    assert sum(INFO_KEY in line for line in whole) == 2


def test_faulty_and_foreign_lines_pass_through() -> None:
    records = [record(*FIRST), "MT\tx\t.\tA\tC", "", record(5, "A", "C", contig="17"), record(*SECOND)]
    lines = annotated(embedded("mitochondrion"), vcf(records))
    assert len(lines) == 5
    assert [bool(entries(line)) for line in lines] == [True, False, False, False, True]
    kept = annotated(embedded("mitochondrion"), vcf(records), on_error="drop")
    assert [bool(entries(line)) for line in kept if line] == [True, False, True]


def test_what_an_earlier_run_added_is_replaced() -> None:
    once = annotated(embedded("mitochondrion"), vcf([record(*FIRST), record(*SECOND)]))
    again = annotated(embedded("mitochondrion"), vcf(once))
    assert [entries(line) for line in again] == [entries(line) for line in once]
    assert all(line.count(INFO_KEY) == 1 for line in again)


def test_unsorted_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bcftools sort") as caught:
        annotated(embedded("mitochondrion"), vcf([record(*SECOND), record(*FIRST)]))
    assert caught.value.code == "not_sorted"


def test_other_formats_are_refused() -> None:
    with pytest.raises(InvalidInput, match="3'-shifted"):
        Annotator(embedded("mitochondrion"), Options(phased=True, shift_3prime=True))
    with pytest.raises(InvalidInput, match="VCF output"):
        Annotator(embedded("mitochondrion"), Options(to="tsv", phased=True))


@pytest.mark.parametrize(
    ("text", "alleles"),
    [
        (b"0|1", (0, 1)),
        (b"1/1", (1, 1)),
        (b"0/1", None),
        (b"1", (1,)),
        (b".|1", (-1, 1)),
        (b"./.", (-1, -1)),
        (b"|0|2", (0, 2)),
        (b"0|1|1", (0, 1, 1)),
        (b"x|1", None),
        (b"", None),
    ],
)
def test_genotypes(text: bytes, alleles: tuple[int, ...] | None) -> None:
    call = read_call(text + b":99", 0, -1)
    assert (call.alleles if call else None) == alleles
    assert read_call(b"99", 1, -1) is None


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "alt", "options", "name"),
    [
        ("MARNDC*", "MAKNDC*", {}, "p.Arg3Lys"),
        ("MARNDC*", "MAKKDC*", {}, "p.Arg3_Asn4delinsLysLys"),
        ("MARNDC*", "MARNDC*", {"first": 3}, "p.Asn4="),
        ("MARNDC*", "MA*", {"new_stop": True}, "p.Arg3Ter"),
        ("MARNDC*", "MAK*", {"new_stop": True}, "p.Arg3_Asn4delinsLysTer"),
        ("MARNDC*", "MANDC*", {}, "p.Arg3del"),
        ("MARRRC*", "MARRC*", {}, "p.Arg5del"),
        ("MARNDC*", "MARRNDC*", {}, "p.Arg3dup"),
        ("MARNDC*", "MARNARNDC*", {}, "p.Ala2_Asn4dup"),
        ("MARNDC*", "MARWNDC*", {}, "p.Arg3_Asn4insTrp"),
        ("MARNDC*", "MAKKNDC*", {}, "p.Arg3delinsLysLys"),
        ("MARNDC*", "MAKWWWW*", {"frameshift": True}, "p.Arg3LysfsTer6"),
        ("MARNDC*", "MAKWW", {"frameshift": True}, "p.Arg3LysfsTer?"),
        ("MARNDC*", "MA*", {"frameshift": True}, "p.Arg3Ter"),
        ("MARNDC*", "MARNDCWLK*", {}, "p.Ter7TrpextTer3"),
        ("MARNDC*", "MARNDCWLK", {}, "p.Ter7TrpextTer?"),
    ],
)
def test_protein_changes_are_named_as_hgvs_asks(ref: str, alt: str, options: dict[str, int], name: str) -> None:
    assert protein_change(ref, alt, **({"first": 0} | options)) == name


# --- against the edited genome, and bcftools --------------------------------------------------------------------------


def simulated(bundle: Bundle, seed: int) -> list[tuple[int, int, str, str]]:
    """Clusters of variants in coding sequences: one codon, near codons, indels that mend each other."""
    draw = random.Random(seed)
    records: dict[tuple[int, int], tuple[str, str]] = {}
    for index in range(len(bundle.array("transcript_start"))):
        t = Transcript(bundle, index)
        if not t.coding or t.cds_end - t.cds_start < 60 or draw.random() < 0.6:
            continue
        codon = t.cds_start + (draw.randrange(t.cds_end - t.cds_start - 12)) // 3 * 3
        one, other = draw.sample("id", 2)
        sites = draw.choice(
            [
                [(codon, "s"), (codon + draw.choice((1, 2)), "s")],
                [(codon, "s"), (codon + 1, "s"), (codon + 2, "s")],
                [(codon, "s"), (codon + draw.randrange(3, 9), "s")],
                [(codon, one), (codon + draw.randrange(3, 12), other)],
            ]
        )
        for cdna, kind in sites:
            at = t.genomic(cdna)
            if any((t.contig, p) in records for p in (at - 1, at, at + 1) if kind != "s" or p != at + 1):
                continue
            bases = (bundle.sequence(t.contig, at, at + 1) or b"").decode()
            ref = bases if kind == "d" else bases[0]
            alt = {"s": draw.choice([b for b in "ACGT" if b != ref[0]]), "i": ref + draw.choice("ACGT"), "d": ref[0]}[
                kind
            ]
            records[t.contig, at] = (ref, alt)
    return [(*place, *alleles) for place, alleles in sorted(records.items())]


def several_alleles(bundle: Bundle, seed: int) -> bytes:
    """The same sites with up to three ALTs, which share bases with REF as such sites do."""
    draw = random.Random(seed)
    lines: list[str] = []
    for contig, pos, ref, alt in simulated(bundle, seed):
        there = (bundle.sequence(contig, pos, pos + 2) or b"").decode()
        base = draw.choice("ACGT")
        more = (there[0], there[0] + base, there[:2] + base, there + base, there + "ACG", base + there[1:])
        alts = [a for a in dict.fromkeys((alt + there[len(ref) :], draw.choice(more), draw.choice(more))) if a != there]
        calls = (f"{draw.randrange(len(alts) + 1)}|{draw.randrange(len(alts) + 1)}" for _ in range(2))
        lines.append(record(pos, there, ",".join(alts), *calls, contig=bundle.contigs[contig].name))
    return vcf(lines, samples=2)


def simulated_vcf(bundle: Bundle, seed: int) -> bytes:
    draw = random.Random(seed)
    ways = ("0|1", "1|1", "0|1", "1|0", "0|1")
    lines = [
        record(pos, ref, alt, draw.choice(ways), draw.choice(ways), contig=bundle.contigs[contig].name)
        for contig, pos, ref, alt in simulated(bundle, seed)
    ]
    return vcf(lines, samples=2)


def plain_protein(bundle: Bundle, index: int, labels: list[str]) -> str:
    """The protein of a transcript with variants put into the genome, spliced and translated base by base."""
    t = Transcript(bundle, index)
    change: dict[int, str] = {}
    for label in sorted(labels, key=lambda label: "->" in label):  # insertions follow what becomes of their base
        found = re.fullmatch(r"([0-9]+)([ACGT]+|-)>([ACGT]+|-)", label)
        assert found
        pos, ref, alt = int(found[1]), found[2], found[3]
        if ref == "-":
            # At the edge of an exon the inserted bases belong to the exon, as for single variants.
            at = pos - 1 if any(exon.start <= pos - 1 <= exon.end for exon in t.exons) else pos
            base = change.get(at, (bundle.sequence(t.contig, at, at) or b"").decode())
            change[at] = base + alt if at < pos else alt + base
        else:
            for offset in range(len(ref)):
                change[pos + offset] = "" if offset else alt.replace("-", "")
    coding_start = t.genomic(t.cds_start)
    text = ""
    for exon in sorted(t.exons, key=lambda e: e.start):
        bases = (bundle.sequence(t.contig, exon.start, exon.end) or b"").decode()
        for position, base in zip(range(exon.start, exon.end + 1), bases, strict=True):
            if (position - coding_start) * t.strand >= 0:
                text += change.get(position, base)
    text = text if t.strand > 0 else reverse_complement(text)
    text = "N" * int(bundle.array("transcript_phase")[index]) + text
    letters = codons.amino_acids(int(bundle.array("transcript_table")[index])).decode()
    place = {base: code for code, base in enumerate("ACGTN")}
    whole = "".join(
        letters[25 * place[text[i]] + 5 * place[text[i + 1]] + place[text[i + 2]]] for i in range(0, len(text) - 2, 3)
    )
    return whole.partition("*")[0] + ("*" if "*" in whole else "")


def check_against_the_edited_genome(bundle: Bundle, text: bytes) -> int:
    index = {name: i for i, name in enumerate(bundle.texts("transcript_name"))}
    seen = 0
    for line in annotated(bundle, text):
        for entry in entries(line):
            protein = plain_protein(bundle, index[entry["Feature"]], entry["Variants"].split("+"))
            first = int(entry["Protein_position"].partition("-")[0]) - 1
            alt = entry["Amino_acids"].rpartition("/")[2]
            if first == 0 and protein and alt[:1] == "M":
                protein = "M" + protein[1:]
            assert protein[first : first + len(alt)] == alt, entry
            if "frameshift_variant" in entry["Consequence"]:
                assert protein[first:] == alt
            seen += 1
    return seen


def test_compounds_are_what_the_edited_genome_translates_to(parity: Bundle) -> None:
    assert check_against_the_edited_genome(parity, simulated_vcf(parity, seed=1)) > 300
    assert check_against_the_edited_genome(parity, several_alleles(parity, seed=1)) > 300


@pytest.mark.slow
def test_compounds_of_more_genomes(parity: Bundle) -> None:
    for simulate in (simulated_vcf, several_alleles):
        texts = (simulate(parity, seed) for seed in range(2, 22))
        assert sum(check_against_the_edited_genome(parity, text) for text in texts) > 8_000


@pytest.mark.slow
def test_a_single_variant_means_what_the_judge_says(parity: Bundle) -> None:
    records: list[tuple[int, int, str, str]] = []
    with gzip.open(shared_data("vep-parity/main.vcf.gz"), "rt") as lines:
        for line in lines:
            if not line.startswith("#"):
                chrom, pos, _, ref, alt = line.split("\t")[:5]
                records.append((parity.contig(chrom), int(pos), ref, alt))
    rows = [row for i, (c, p, ref, alt) in enumerate(records) for row in variants_of_record(c, p, ref, [alt], record=i)]
    variants = Variants.of_rows(rows)
    pairs = judge(parity, variants)
    phased = Phased(parity, [])
    same = different = 0
    for row in np.flatnonzero((pairs.cds_start[: pairs.count] > 0) & (pairs.cds_end[: pairs.count] > 0)).tolist():
        model = Transcript(parity, int(pairs.transcript[row]))
        found = phased._edit(model, row, variants, pairs)
        if found is not None:
            compound = haplotype._judged(haplotype.Coding(parity, model), [found[1]], [])
            same += compound.terms == int(pairs.terms[row])
            different += compound.terms != int(pairs.terms[row])
    assert same > 15_000
    # What differs lies at start and stop codons, where the judge looks at the UTR too.
    assert different < 0.008 * same


def positions(variants: str) -> tuple[int, ...]:
    """POS of each variant of a list such as 12A>C+14G>T."""
    return tuple(sorted(int(re.split("[^0-9]", variant, maxsplit=1)[0]) for variant in variants.split("+")))


def of_csq(path: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """(transcript, positions, amino acids) of the compounds that bcftools csq reports."""
    for line in path.read_text().splitlines():
        found = re.search(r"BCSQ=([^;\t]*)", line)
        for entry in found[1].split(",") if found and not line.startswith("#") else ():
            fields = entry.split("|")
            if len(fields) > 6 and "+" in fields[6] and not entry.startswith("*"):
                yield fields[2], positions(fields[6]), fields[5]


def core(change: str) -> tuple[str, str]:
    """Amino acids before and after without what they share at their ends; the stop and beyond are left alone."""
    ref, _, alt = re.sub("[0-9]", "", change).replace(">", "/").partition("/")
    alt = alt or ref
    while ref and alt and ref[0] == alt[0]:
        ref, alt = ref[1:], alt[1:]
    while ref and alt and ref[-1] == alt[-1] != "*":
        ref, alt = ref[:-1], alt[:-1]
    return ref, alt


@pytest.mark.slow
def test_substitutions_agree_with_bcftools_csq(parity: Bundle, tmp_path: Path) -> None:
    bcftools = shutil.which("bcftools")
    if bcftools is None:
        missing("bcftools", "apt-get install bcftools")
    (tmp_path / "g.fa").write_bytes(gzip.decompress(shared_data("vep-parity/genome.fa.gz").read_bytes()))
    genes = shared_data("vep-parity/genes.gff3.gz")
    same = different = 0
    for seed in range(1, 6):
        text = simulated_vcf(parity, seed)
        head = "".join(f"##contig=<ID={contig.name}>\n" for contig in parity.contigs)
        head += '##FORMAT=<ID=GT,Number=1,Type=String,Description="">\n#CHROM'
        (tmp_path / "in.vcf").write_bytes(text.replace(b"#CHROM", head.encode(), 1))
        files = ["-f", tmp_path / "g.fa", "-g", genes, tmp_path / "in.vcf", "-Ov", "-o", tmp_path / "out.vcf"]
        subprocess.run([bcftools, "csq", "-p", "r", "-n", "64", *files], check=True, capture_output=True)
        ours = {
            (entry["Feature"].rpartition(".")[0], positions(entry["Variants"])): entry
            for line in annotated(parity, text)
            for entry in entries(line)
            if "-" not in entry["Variants"] and "+" in entry["Variants"] and not line.startswith("MT")
        }
        theirs = {(t, places): change for t, places, change in of_csq(tmp_path / "out.vcf")}
        for key in ours.keys() & theirs.keys():
            if core(ours[key]["Amino_acids"]) == core(theirs[key]):
                same += 1
            else:
                different += 1
    assert same > 500
    assert different == 0
