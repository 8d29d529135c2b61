"""Derive the facts about the human mitochondrial genome that are kept in git, from the data of others.

    python .ci/derive_mitochondrial_facts.py           write src/genescale/genomics/embedded/mitochondrion.compact
    python .ci/derive_mitochondrial_facts.py --check   write nothing; exit 1 when the committed file says anything else

Sources: the SQLite file of the PyPI package mtoolnote 0.2.0 (HmtVar), which uv fetches alone, without what it depends
on; and the folder `mt-lineage` of the shared data beside the checkout (gnomAD v3.1, PhyloTree 17, the RefSeq genes).
`--check` compares the decoded content byte for byte: the bytes of a zlib stream belong to a version of zlib.

What is wrong in the sources is mended or left out here, and counted: `docs/explanation/embedded-references.md`.
"""

import csv
import gzip
import hashlib
import itertools
import json
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import compact_file
import numpy as np
from compact_file import SHARED, sha256

from genescale.genomics import compact

PACKAGE = "mtoolnote==0.2.0"
DATABASE_SHA256 = "ccff493ddefd0f056ecce542147f2716bf675058b8919b53543b02b79bf332a1"
LENGTH = 16569
SEQUENCE_MD5 = "c68f52674c9fb33aef52dcf399755519"  # of NC_012920.1, as GRCh38 publishes it for chrM
PLACEHOLDER = 3107  # the N that keeps the numbering of 1981

NUMBERS = {  # column: (table, column of the source, decimals). Stored as whole numbers; 65535 = not known
    "disease_score": ("Main", "disease_score", 2),
    "mutpred": ("Predict", "mutPred_prob", 3),
    "polyphen2_humdiv": ("Predict", "polyphen2_humDiv_prob", 3),
    "polyphen2_humvar": ("Predict", "polyphen2_humVar_prob", 3),
    "panther": ("Predict", "panther_prob", 3),
    "phd_snp": ("Predict", "phD_snp_prob", 3),
    "snps_and_go": ("Predict", "snp_go_prob", 3),
    "aa_variability": ("Variab", "aa_var", 4),
    "aa_variability_patients": ("Variab", "aa_var_patients", 4),
}
UNKNOWN = 65535
FREQUENCIES = {  # column: column of the table Variab
    **{f"frequency_{who}": f"all_freq_{letter}" for who, letter in (("healthy", "h"), ("patients", "p"))},
    **{
        f"frequency_{who}_{place}": f"all_freq_{letter}_{code}"
        for who, letter in (("healthy", "h"), ("patients", "p"))
        for place, code in (("africa", "AF"), ("america", "AM"), ("asia", "AS"), ("europe", "EU"), ("oceania", "OC"))
    },
    "variability": "nt_var",
    "variability_patients": "nt_var_patients",
}
WORDS = {  # column: (table, column of the source); text with few different values, or seldom there
    "tier": ("Main", "pathogenicity"),  # computed by HmtVar from the predictors: not a clinical class
    "mutpred_class": ("Predict", "mutPred_pred"),
    "polyphen2_humdiv_class": ("Predict", "polyphen2_humDiv_pred"),
    "polyphen2_humvar_class": ("Predict", "polyphen2_humVar_pred"),
    "panther_class": ("Predict", "panther_pred"),
    "phd_snp_class": ("Predict", "phD_snp_pred"),
    "snps_and_go_class": ("Predict", "snp_go_pred"),
    "clinvar": ("Predict", "clinvar_pred"),
    "clinvar_conditions": ("Predict", "clinvar_pheno"),
    "clinvar_id": ("CrossRef", "clinvar"),
    "omim": ("CrossRef", "omim"),
    "dbsnp": ("CrossRef", "dbSNP"),
    "mitomap_disease": ("CrossRef", "mitomap_associated_disease"),
    "mitomap_somatic": ("CrossRef", "somatic_mutations"),
    "mitomap_homoplasmic": ("Plasmy", "mitomap_homo"),
    "mitomap_heteroplasmic": ("Plasmy", "mitomap_hetero"),
    "disease_in_publications": ("CrossRef", "pubs_disease"),
    "pubmed": ("CrossRef", "pubmed_ids"),
    "trna_position": ("Annot", "model_position"),
    "trna_stem_loop": ("Annot", "stem_loop"),
}
# What HmtVar says about an amino acid change: worth nothing where it has the change wrong.
ABOUT_AMINO_ACIDS = {*NUMBERS, "tier", *(name for name in WORDS if name.endswith("_class"))}
# NCBI's genetic code 2 in its own order of bases
CODE = dict(
    zip(
        ("".join(codon) for codon in itertools.product("TCAG", repeat=3)),
        "FFLLSSSSYY**CCWWLLLLPPPPHHQQRRRRIIMMTTTTNNKKSS**VVVVAAAADDEEGGGG",
        strict=True,
    )
)
COMPLEMENT = str.maketrans("ACGT", "TGCA")
HAPLOGROUP_BASES = ("A", "C", "G", "T", "gap", "oth")


class SourceChanged(Exception):
    """A source is not what this script was written for; the message says where."""


class Row(NamedTuple):
    """One row of HmtVar: a variant within one locus, and its row in the database."""

    position: int
    ref: str
    alt: str
    locus: str
    id: int


def main() -> int:
    """Do what the one argument says."""
    return compact_file.run(
        "mitochondrion.compact", "mt-lineage", lambda folder: derive(fetched(folder), SHARED / "mt-lineage"), __doc__
    )


def fetched(folder: Path) -> Path:
    """The database of the package, without its 333 MB of dependencies; exactly the file that this was written for."""
    subprocess.run(
        ["uv", "pip", "install", "--quiet", "--no-deps", "--no-build", "--target", str(folder / "package"), PACKAGE],
        check=True,
    )
    database = folder / "package/mtoolnote/data/mtoolnote.db"
    if sha256(database) != DATABASE_SHA256:
        raise SourceChanged(f"{PACKAGE} holds another database than the one this script knows: {sha256(database)}")
    return database


def derive(database: Path, lineage: Path) -> tuple[dict[str, Any], dict[str, compact.Column]]:
    """What the file says of itself, and all its columns."""
    source = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    counts: dict[str, int] = {}
    sequence = reference(source)
    columns: dict[str, compact.Column] = {"sequence": np.frombuffer(sequence.encode(), np.uint8)}
    annotation = genes(source, lineage / "mtdna.gff", counts)
    columns |= annotation
    columns |= conservation(source, counts)
    columns |= known_variants(source, sequence, annotation, counts)
    tables, table_names = haplogroup_bases(source, sequence, counts)
    columns |= tables
    gnomad, populations, haplogroups = gnomad_variants(lineage, sequence, counts)
    columns |= gnomad | tree(lineage, counts)
    about = {
        "what": "Facts about the human mitochondrial genome, NC_012920.1 (rCRS), for research use",
        "sequence_md5": SEQUENCE_MD5,
        "haplogroup_bases": HAPLOGROUP_BASES,
        "haplogroup_tables": table_names,
        "gnomad_populations": populations,
        "gnomad_haplogroups": haplogroups,
        "counts": counts,
        "sources": sources(lineage),
    }
    return about, columns


def sources(lineage: Path) -> list[dict[str, str]]:
    """Where each part comes from, for the bundle and for `NOTICE.md`."""
    files = [
        ("phylotree17.xml.gz", "PhyloTree build 17, 18 Feb 2016 (van Oven and Kayser 2009)", "MIT (the XML files)"),
        ("phylotree17-weights.txt", "PhyloTree build 17, weights of mutations", "MIT"),
        ("alignment-rules.csv", "how PhyloTree writes insertions and deletions", "MIT"),
        ("mtdna.gff", "NCBI RefSeq annotation of NC_012920.1", "public domain (NCBI)"),
        ("gnomad-v3.1-chrM.tsv.gz", "gnomAD v3.1 mitochondrial variants", "CC0"),
        ("gnomad-v3.1-chrM-populations.tsv.gz", "gnomAD v3.1 by population and haplogroup", "CC0"),
    ]
    hmtvar = {
        "file": "mtoolnote 0.2.0, data/mtoolnote.db",
        "sha256": DATABASE_SHA256,
        "what": "HmtVar (Preste et al. 2019)",
        "licence": "MIT",
    }
    return [hmtvar] + [
        {"file": name, "sha256": sha256(lineage / name), "what": what, "licence": licence}
        for name, what, licence in files
    ]


def reference(source: sqlite3.Connection) -> str:
    """The sequence, from the row names `POSITION.0_BASE` of a haplogroup table. `Loci.dna_seq` has 25 wrong bases."""
    bases = ["N"] * LENGTH
    for (name,) in source.execute("select position from Haplo_A"):
        place, base = name.split("_")
        position, inserted = map(int, place.split("."))
        if inserted == 0 and base != "-":
            bases[position - 1] = base
    sequence = "".join(bases)
    found = hashlib.md5(sequence.encode(), usedforsecurity=False).hexdigest()
    if found != SEQUENCE_MD5 or sequence.find("N") != PLACEHOLDER - 1:
        raise SourceChanged(f"the sequence put together has the MD5 {found}, not that of NC_012920.1")
    return sequence


def genes(source: sqlite3.Connection, gff: Path, counts: dict[str, int]) -> dict[str, compact.Column]:
    """The 37 genes of the database, with what RefSeq adds; both must give the same ends. And the named regions."""
    refseq = dict(refseq_genes(gff))
    rows = source.execute(
        'select locus, nt_start, nt_end, "group", description from Loci where "group" != \'reg\' order by nt_start'
    ).fetchall()
    if len(rows) != 37 or {(start, end) for _, start, end, _, _ in rows} != set(refseq):
        raise SourceChanged("the genes of HmtVar and those of RefSeq do not have the same ends")
    found = [refseq[start, end] for _, start, end, _, _ in rows]
    biotypes = {"CDS": "protein_coding", "tRNA": "Mt_tRNA", "rRNA": "Mt_rRNA"}
    if [biotypes[group].removeprefix("Mt_") for *_, group, _ in rows] != [gene["gene_biotype"] for gene in found]:
        raise SourceChanged("HmtVar and RefSeq disagree about the kind of a gene")
    regions = [
        *source.execute("select locus, nt_start, nt_end, description from Loci where \"group\" = 'reg'"),
        *source.execute("select locus, nt_start, nt_end, description from FuncLoci"),
    ]
    counts["genes"] = len(rows)
    counts["regions"] = len(regions)
    return {
        "gene_name": [locus for locus, *_ in rows],
        "gene_start": np.array([start for _, start, *_ in rows], np.uint16),
        "gene_end": np.array([end for _, _, end, *_ in rows], np.uint16),
        "gene_strand": [gene["strand"] for gene in found],
        "gene_biotype": [biotypes[group] for *_, group, _ in rows],
        "gene_description": [description for *_, description in rows],
        "gene_hgnc": [gene["hgnc"] for gene in found],
        "gene_ncbi": [gene["ncbi"] for gene in found],
        "gene_refseq_name": [gene["gene"] for gene in found],
        "gene_protein": [gene.get("protein_id", "") for gene in found],
        "region_name": [name for name, *_ in regions],
        "region_start": np.array([start for _, start, *_ in regions], np.uint16),
        "region_end": np.array([end for _, _, end, _ in regions], np.uint16),
        "region_description": [description for *_, description in regions],
    }


def refseq_genes(gff: Path) -> Iterator[tuple[tuple[int, int], dict[str, str]]]:
    """(start, end) and attributes of each gene of the RefSeq annotation, its protein's accession among them."""
    found: dict[str, tuple[tuple[int, int], dict[str, str]]] = {}
    for line in gff.read_text().splitlines():
        fields = line.split("\t")
        if len(fields) != 9 or fields[2] not in {"gene", "CDS"}:
            continue
        attributes = dict(pair.split("=", 1) for pair in fields[8].split(";"))
        if fields[2] == "gene":
            cross = dict(entry.rsplit(":", 1) for entry in attributes["Dbxref"].split(","))
            facts = attributes | {"strand": fields[6], "hgnc": cross["HGNC:HGNC"], "ncbi": cross["GeneID"]}
            found[attributes["ID"]] = ((int(fields[3]), int(fields[4])), facts)
        else:
            found[attributes["Parent"]][1]["protein_id"] = attributes["protein_id"]
    yield from found.values()


def conservation(source: sqlite3.Connection, counts: dict[str, int]) -> dict[str, compact.Column]:
    """phastCons and phyloP of each position that HmtVar has a variant at, in thousandths.

    In the database these two columns stand in the wrong rows: the table CrossRef holds nine variants twice, and the
    two columns were laid beside it as if it did not, so that from the first double row on each value belongs to a
    later variant. Read by the number of the row instead of its id, all variants of one position have one value, at
    all 14,332 positions; read by id, 10,668 positions contradict themselves.
    """
    positions = [position for (position,) in source.execute("select nt_start from Main order by rowid")]
    values = source.execute("select phastCons_100way, phyloP_100way from CrossRef order by rowid").fetchall()
    found: dict[int, tuple[float, float]] = {}
    for position, pair in zip(positions, values, strict=False):  # the last nine values belong to no variant
        if found.setdefault(position, pair) != pair:
            raise SourceChanged(f"position {position} has two different conservation scores")
    columns: dict[str, compact.Column] = {}
    for index, name in enumerate(("phastcons_100way", "phylop_100way")):
        column = np.full(LENGTH, np.iinfo(np.int16).min, np.int16)
        for position, pair in found.items():
            if position != PLACEHOLDER:
                column[position - 1] = thousandths(pair[index], 3)
        columns[name] = column
    counts["positions_with_conservation"] = len(found) - (PLACEHOLDER in found)
    return columns


def known_variants(
    source: sqlite3.Connection, sequence: str, annotation: dict[str, compact.Column], counts: dict[str, int]
) -> dict[str, compact.Column]:
    """The variants of HmtVar, one row for each locus that a variant lies in, as VCF alleles moved fully to the left."""
    rows = list(hmtvar_rows(source, sequence, counts))
    order = [row.id for row in rows]
    mistaken = mistaken_amino_acids(source, sequence, annotation)
    counts["predictions_dropped_other_amino_acid"] = len(mistaken.intersection(order))
    columns: dict[str, compact.Column] = {
        "known_position": np.diff(np.array([row.position for row in rows], np.uint16), prepend=np.uint16(0)),
        "known_ref": [row.ref for row in rows],
        "known_alt": [row.alt for row in rows],
    }
    columns |= coded("known_locus", [row.locus for row in rows])
    for name, (table, column, decimals) in NUMBERS.items():
        values = by_id(source, table, column)
        values |= dict.fromkeys(mistaken) if name in ABOUT_AMINO_ACIDS else {}
        known = [UNKNOWN if values[i] is None else thousandths(values[i], decimals) for i in order]
        columns[f"known_{name}"] = np.array(known, np.uint16)
    for name, column in FREQUENCIES.items():
        values = by_id(source, "Variab", column)
        distinct = sorted({values[i] for i in order})
        place = {value: index for index, value in enumerate(distinct)}
        columns[f"known_{name}_values"] = np.array(distinct, np.float64)
        columns[f"known_{name}"] = np.array([place[values[i]] for i in order], np.uint16)
    for name, (table, column) in WORDS.items():
        values = by_id(source, table, column)
        values |= dict.fromkeys(mistaken) if name in ABOUT_AMINO_ACIDS else {}
        columns |= coded(f"known_{name}", [tidy(values[i]) for i in order])
    counts["known_rows"] = len(rows)
    counts["known_variants"] = len({row[:3] for row in rows})
    clinvar = Counter(tidy(value) for value in by_id(source, "Predict", "clinvar_pred").values())
    counts["clinvar_pathogenic"] = clinvar["Pathogenic"]
    return columns


def mistaken_amino_acids(source: sqlite3.Connection, sequence: str, annotation: dict[str, compact.Column]) -> set[int]:
    """Rows whose amino acid change is not what the substitution does: their codons have a wrong base in `Loci`."""
    ends = zip(*(annotation[f"gene_{name}"] for name in ("name", "start", "end", "strand")), strict=True)
    genes = {name: (int(start), int(end), strand) for name, start, end, strand in ends}
    found: set[int] = set()
    query = (
        "select id, nt_start, alt, locus, aa_change from Main where aa_change is not null and alt in ('A','C','G','T')"
    )
    for number, position, alt, locus, said in source.execute(query):
        start, end, strand = genes[locus]
        before = sequence[start - 1 : end]
        after = before[: position - start] + alt + before[position - start + 1 :]
        place = position - start if strand == "+" else end - position
        old, new = (amino_acid(text, strand, place // 3) for text in (before, after))
        if said != f"{old}{place // 3 + 1}{new}" and place > 2:  # HmtVar writes the start of ND2, ATT, as M
            found.add(number)
    return found


def amino_acid(bases: str, strand: str, number: int) -> str:
    """The amino acid of a codon of a gene, X for a stop; poly(A) completes the last one."""
    spliced = bases if strand == "+" else bases.translate(COMPLEMENT)[::-1]
    return CODE[(spliced + "AA")[3 * number : 3 * number + 3]].replace("*", "X")


def hmtvar_rows(source: sqlite3.Connection, sequence: str, counts: dict[str, int]) -> Iterator[Row]:
    """The rows in the order of the genome. A variant at the placeholder, or whose base is not rCRS, is counted out."""
    rows: list[Row] = []
    dropped: Counter[str] = Counter()
    for number, position, ref, alt, locus in source.execute("select id, nt_start, ref_rCRS, alt, locus from Main"):
        if position == PLACEHOLDER:
            dropped["dropped_at_3107"] += 1
        elif sequence[position - 1] != ref:
            dropped["dropped_other_reference_base"] += 1
        elif alt == "d" and position == 1:
            dropped["dropped_deletion_of_first_base"] += 1  # would need a base before the origin in VCF
        else:
            rows.append(Row(*vcf_allele(sequence, position, alt), locus, number))
    counts["dropped_at_3107"] = dropped.pop("dropped_at_3107", 0)
    counts.update(dropped)
    yield from sorted(rows)


def vcf_allele(sequence: str, position: int, alt: str) -> tuple[int, str, str]:
    """HmtVar writes `d` for a deleted base and `.XX` for bases inserted after the position."""
    base = sequence[position - 1]
    if alt == "d":
        return left_aligned(sequence, position - 1, sequence[position - 2] + base, sequence[position - 2])
    if alt.startswith("."):
        return left_aligned(sequence, position, base, base + alt[1:])
    return position, base, alt


def left_aligned(sequence: str, position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """The leftmost VCF form of an allele (Tan et al. 2015). It does not pass the placeholder or the origin."""
    while len(ref) > 1 and len(alt) > 1 and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    while ref[-1] == alt[-1] and position > 1 and sequence[position - 2] != "N":
        before = sequence[position - 2]
        position, ref, alt = position - 1, before + ref[:-1], before + alt[:-1]
    while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
        position, ref, alt = position + 1, ref[1:], alt[1:]
    return position, ref, alt


def haplogroup_bases(
    source: sqlite3.Connection, sequence: str, counts: dict[str, int]
) -> tuple[dict[str, compact.Column], list[str]]:
    """For each haplogroup how many genomes have which base where. The database has shares; their unit gives the number.

    Kept is what is not the base of the reference: its count is the rest.
    """
    names = [name for (name,) in source.execute("select name from sqlite_master where name like 'Haplo~_%' escape '~'")]
    sizes: list[int] = []
    tables: list[np.ndarray[Any, Any]] = []
    place = {base: index for index, base in enumerate(HAPLOGROUP_BASES)}
    for name in names:
        share = np.zeros((LENGTH, len(HAPLOGROUP_BASES)))
        shares = ", ".join(f"freq_{base}" for base in HAPLOGROUP_BASES)
        for where, *values in source.execute(f'select position, {shares} from "{name}"'):
            position, inserted = map(int, where.split("_")[0].split("."))
            if inserted == 0:
                share[position - 1] = values
        size = round(1 / share[share > 1e-9].min())
        count = np.rint(share * size).astype(np.uint16)
        if np.abs(count - share * size).max() > 1e-3 or (count.sum(axis=1) != size).any():
            raise SourceChanged(f"the shares of {name} are not counts of {size} genomes")
        for index, base in enumerate(sequence):
            if base in place:
                count[index, place[base]] = 0
        sizes.append(size)
        tables.append(count.T)
    counts["haplogroup_tables"] = len(names)
    labels = [name.removeprefix("Haplo_").replace("_star", "*") for name in names]
    return {"haplogroup_size": np.array(sizes, np.uint16), "haplogroup_count": np.array(tables)}, labels


def gnomad_variants(
    lineage: Path, sequence: str, counts: dict[str, int]
) -> tuple[dict[str, compact.Column], list[str], list[str]]:
    """gnomAD v3.1: counts over all, then homoplasmic counts by population and by haplogroup."""
    rows = list(tab_separated(lineage / "gnomad-v3.1-chrM.tsv.gz"))
    split = list(tab_separated(lineage / "gnomad-v3.1-chrM-populations.tsv.gz"))
    keys = [(int(row["position"]), row["ref"], row["alt"]) for row in rows]
    if keys != [(int(row["POS"]), row["REF"], row["ALT"]) for row in split]:
        raise SourceChanged("the two files of gnomAD do not list the same variants")
    for position, ref, alt in keys:
        if sequence[position - 1 : position - 1 + len(ref)] != ref or "N" in ref:
            raise SourceChanged(f"gnomAD {position} {ref}>{alt} does not have the base of the reference")
    forms = [left_aligned(sequence, *key) if len(key[1]) != len(key[2]) else key for key in keys]
    counts["gnomad_variants"] = len(keys)
    counts["gnomad_moved_left"] = sum(form != key for form, key in zip(forms, keys, strict=True))
    order = sorted(range(len(keys)), key=lambda i: forms[i])
    rows, split, forms = [rows[i] for i in order], [split[i] for i in order], [forms[i] for i in order]
    counts["gnomad_same_after_moving"] = len(forms) - len(set(forms))
    columns: dict[str, compact.Column] = {
        "gnomad_position": np.diff(np.array([form[0] for form in forms], np.uint16), prepend=np.uint16(0)),
        "gnomad_ref": [form[1] for form in forms],
        "gnomad_alt": [form[2] for form in forms],
        **coded("gnomad_filter", [row["filters"].replace(",", ";") for row in rows]),
        "gnomad_ac_hom": np.array([int(row["AC_hom"]) for row in rows], np.uint16),
        "gnomad_ac_het": np.array([int(row["AC_het"]) for row in rows], np.uint16),
        "gnomad_an": np.array([int(row["AN"]) for row in rows], np.uint16),
        "gnomad_max_heteroplasmy": np.array(
            [thousandths(float(row["max_observed_heteroplasmy"]), 3) for row in rows], np.uint16
        ),
    }
    names: list[list[str]] = []
    for label, count, share in (("population", "popCounts", "popFreq"), ("haplogroup", "hapCounts", "hapFreqs")):
        names.append([name for name, _ in json.loads(split[0][count])])
        alleles, genomes = zip(*(counted(row[count], row[share], names[-1]) for row in split), strict=True)
        if [sum(row) for row in alleles] != [int(row["AC_hom"]) for row in rows]:
            raise SourceChanged(f"the counts by {label} do not add up to those over all")
        columns[f"gnomad_{label}_ac_hom"] = np.array(alleles, np.uint16).T
        columns[f"gnomad_{label}_an"] = np.array(genomes, np.uint16).T
    return columns, names[0], names[1]


def counted(counts: str, shares: str, names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Allele counts, and the numbers of genomes that count and share imply: 0 (not known) where nobody has the allele.

    gnomAD prints some shares with three digits only, so such a number may be off by some genomes in a thousand.
    """
    alleles, genomes = [], []
    for (name, count), (other, share), expected in zip(json.loads(counts), json.loads(shares), names, strict=True):
        if not name == other == expected or (count > 0) != (share > 0):  # NaN: no genome
            raise SourceChanged(f"gnomAD: counts and shares of {name} do not go together")
        number = round(count / share) if count else 0
        if count and abs(count / number - share) > 5e-3 * share:
            raise SourceChanged(f"gnomAD: {count} of {number} genomes is not {share} ({name})")
        alleles.append(count)
        genomes.append(number)
    return alleles, genomes


def tree(lineage: Path, counts: dict[str, int]) -> dict[str, compact.Column]:
    """PhyloTree 17: haplogroups (a parent comes before its children), weights of mutations, spelling of indels."""
    names: list[str] = []
    parents: list[int] = []
    mutations: list[str] = []
    with gzip.open(lineage / "phylotree17.xml.gz") as file:
        waiting = [(element, -1) for element in reversed(ET.parse(file).getroot().findall("haplogroup"))]
    while waiting:
        element, parent = waiting.pop()
        waiting += [(child, len(names)) for child in reversed(element.findall("haplogroup"))]
        names.append(element.attrib["name"])
        parents.append(parent)
        mutations.append(" ".join((poly.text or "").strip() for poly in element.findall("details/poly")))
    if len(set(names)) != len(names):
        raise SourceChanged("PhyloTree names a haplogroup twice")
    weights = [line.split("\t") for line in (lineage / "phylotree17-weights.txt").read_text().splitlines()]
    with (lineage / "alignment-rules.csv").open(newline="") as file:
        rules = [(" ".join(row["error"].split()), " ".join(row["expected"].split())) for row in csv.DictReader(file)]
    counts["haplogroups"] = len(names)
    counts["haplogroup_mutations"] = sum(len(text.split()) for text in mutations)
    return {
        "tree_name": names,
        "tree_parent": np.array(parents, np.int16),
        "tree_mutations": mutations,
        "weight_mutation": [row[0] for row in weights],
        "weight": np.array([thousandths(float(row[1]), 1) for row in weights], np.uint16),
        "weight_occurrences": np.array([int(float(row[2])) for row in weights], np.uint16),
        "rule_written": [rule[0] for rule in rules],
        "rule_expected": [rule[1] for rule in rules],
    }


def coded(name: str, texts: Sequence[str]) -> dict[str, compact.Column]:
    """A column of texts as numbers, with the list of the different texts beside it."""
    distinct = sorted(set(texts))
    place = {text: index for index, text in enumerate(distinct)}
    width = np.uint8 if len(distinct) <= 256 else np.uint16
    return {f"{name}_words": distinct, name: np.array([place[text] for text in texts], width)}


def by_id(source: sqlite3.Connection, table: str, column: str) -> dict[int, Any]:
    """One column of a table by row id; of the nine double rows of CrossRef the last, which cites the newer papers."""
    return dict(source.execute(f'select id, "{column}" from "{table}" order by rowid'))


def tidy(value: Any) -> str:
    """Text on one line, `;` between entries without spaces; nothing when there is nothing."""
    return "" if value is None else re.sub(r"\s+", " ", str(value)).strip()


def thousandths(value: float, decimals: int) -> int:
    """The value as a whole number of its last decimal; it must not have more decimals than that."""
    number = round(value * 10**decimals)
    if abs(number - value * 10**decimals) > 1e-6:
        raise SourceChanged(f"{value} has more than {decimals} decimals")
    return number


def tab_separated(path: Path) -> Iterable[dict[str, str]]:
    """The rows of a gzipped table with a header."""
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


if __name__ == "__main__":
    sys.exit(main())
