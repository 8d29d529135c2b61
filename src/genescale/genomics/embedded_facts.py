"""What is known about the variants of the embedded references, as sources for `knowledge_build.build_facts`.

The compact files hold columns; here they get their meaning in words and become facts. What a source does not say stays
unsaid (None), and what it says wrongly was left out when the files were derived.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from genescale.genomics import mito
from genescale.genomics.compact import Compact
from genescale.genomics.knowledge import Column
from genescale.genomics.knowledge_build import Fact, Source
from genescale.genomics.knowledge_clinvar import STARS, significance_class

ASSEMBLY: Final = "GRCh38"
PUBLIC: Final = "public domain (NCBI)"
UNKNOWN: Final = 65535  # in a column of scaled numbers
UNKNOWN_CONSERVATION: Final = -(1 << 15)
Rows = list[Any]  # one value for each row of a source; None where it does not say

# ---- the mitochondrial genome ----

_PREDICTORS: Final = {
    "mutpred": "MutPred",
    "polyphen2_humdiv": "PolyPhen-2 trained on HumDiv",
    "polyphen2_humvar": "PolyPhen-2 trained on HumVar",
    "panther": "PANTHER",
    "phd_snp": "PhD-SNP",
    "snps_and_go": "SNPs&GO",
}
_PEOPLE: Final = {"healthy": "of healthy people", "patients": "of patients"}
_PLACES: Final = ("africa", "america", "asia", "europe", "oceania")

_BY_GENE: Final = (
    Column("locus", "category", "the gene or region that these predictions are about"),
    *(Column(f"{name}_class", "category", f"prediction of {title}") for name, title in _PREDICTORS.items()),
    *(Column(name, "u2", f"probability that {title} gives, 0 to 1", 3) for name, title in _PREDICTORS.items()),
    Column("disease_score", "u2", "mean of the predictors, computed by HmtVar, 0 to 1", 2),
    Column("tier", "category", "class computed by HmtVar from predictors and variability; no clinical judgement"),
    Column("aa_variability", "u2", "variability of the amino acid in healthy people, 0 to 1", 4),
    Column("aa_variability_patients", "u2", "variability of the amino acid in patients, 0 to 1", 4),
    Column("trna_position", "category", "position in the standard numbering of tRNA"),
    Column("trna_stem_loop", "category", "stem or loop of the tRNA"),
)
_BY_VARIANT: Final = (
    Column("rs", "u4", "dbSNP number"),
    Column("omim", "text", "OMIM allelic variant"),
    *(Column(f"frequency_{who}", "f4", f"share of the genomes {text}") for who, text in _PEOPLE.items()),
    *(
        Column(f"frequency_{who}_{place}", "f4", f"share of the genomes {text} in {place.title()}")
        for who, text in _PEOPLE.items()
        for place in _PLACES
    ),
    Column("variability", "f4", "variability of the position in healthy people, 0 to 1"),
    Column("variability_patients", "f4", "variability of the position in patients, 0 to 1"),
    Column("phastcons_100way", "u2", "probability that the position is conserved in 100 vertebrates", 3),
    Column("phylop_100way", "f4", "conservation of the position in 100 vertebrates; below 0 = changes fast"),
)
_MITO_CLINVAR: Final = (
    Column("significance", "category", "clinical significance in the words of ClinVar"),
    Column("significance_class", "category", "the same as one of a dozen classes, derived here"),
    Column("conditions", "text", "conditions, separated by ;"),
    Column("id", "text", "numbers of ClinVar, separated by ;"),
)
_MITOMAP: Final = (
    Column("disease", "text", "disease that MITOMAP lists with the variant"),
    Column("homoplasmic", "category", "Y when reported homoplasmic, else N"),
    Column("heteroplasmic", "category", "Y when reported heteroplasmic, else N"),
    Column("somatic", "text", "where the variant was seen as a somatic change"),
    Column("disease_in_publications", "text", "diseases in the publications"),
    Column("pubmed", "text", "PubMed numbers, separated by ;"),
)


def mitochondrial(held: Compact) -> Iterator[tuple[Source, Iterable[Fact]]]:
    """HmtVar, ClinVar, MITOMAP and gnomAD about variants of the mitochondrial genome.

    HmtVar has one row for each gene that a variant lies in. `hmtvar` speaks of the gene with a protein that comes
    first, `hmtvar_other_gene` of the other one (ATP6 beside ATP8, ND4 beside ND4L).
    """
    columns = _known_columns(held)
    keys = _keys(held, "known")
    genes = _by_gene(keys, columns["locus"])
    everything = [[row for group in groups for row in group] for groups in genes]
    hmtvar = ("HmtVar in mtoolnote 0.2.0", "2019", "MIT", ASSEMBLY)

    def facts(groups: Sequence[list[int]], names: tuple[Column, ...]) -> Iterator[Fact]:
        table = list(zip(*(columns[column.name] for column in names), strict=True))
        for line, rows in enumerate(groups, 1):
            several = zip(*(table[row] for row in rows), strict=True)
            said = table[rows[0]] if len(rows) == 1 else [_first(values) for values in several]
            if said.count(None) < len(said):
                yield Fact(line, mito.CONTIG, *keys[rows[0]], said)

    first = [groups[0] for groups in genes]
    other = [groups[1] if len(groups) > 1 else [] for groups in genes]
    yield Source("hmtvar", *hmtvar, (*_BY_GENE, *_BY_VARIANT)), facts(first, (*_BY_GENE, *_BY_VARIANT))
    yield Source("hmtvar_other_gene", *hmtvar, _BY_GENE), facts(other, _BY_GENE)
    clinvar = Source("clinvar", "ClinVar in mtoolnote 0.2.0", "2019", PUBLIC, ASSEMBLY, _MITO_CLINVAR)
    yield clinvar, facts(everything, _MITO_CLINVAR)
    yield (
        Source("mitomap", "MITOMAP in mtoolnote 0.2.0", "2019", "MIT", ASSEMBLY, _MITOMAP),
        facts(everything, _MITOMAP),
    )
    yield _gnomad(held)


def _known_columns(held: Compact) -> dict[str, Rows]:
    """The columns of HmtVar under the names that they have in a bundle."""
    words = {name.removesuffix("_words") for name in held.columns if name.endswith("_words")}
    found = {name.removeprefix("known_"): _words(held, name) for name in words if name.startswith("known_")}
    for column in (*_BY_GENE, *_BY_VARIANT):
        name = f"known_{column.name}"
        if f"{name}_values" in held.columns:
            found[column.name] = held.array(f"{name}_values")[held.array(name)].tolist()
        elif name in held.columns and column.decimals:
            found[column.name] = _scaled(held.array(name).tolist(), column.decimals, UNKNOWN)
    for name in ("phastcons_100way", "phylop_100way"):
        at = held.array("known_position").cumsum(dtype=np.int64) - 1
        found[name] = _scaled(held.array(name)[at].tolist(), 3, UNKNOWN_CONSERVATION)
    numbers = (re.fullmatch(r"rs(\d+)", text or "") for text in found["dbsnp"])
    found["rs"] = [int(match[1]) if match else None for match in numbers]
    found["significance"], found["conditions"] = found["clinvar"], found["clinvar_conditions"]
    found["significance_class"] = [text and one_class(text) for text in found["clinvar"]]
    found["id"] = [
        text if label and re.fullmatch(r"[\d;]+", text or "") else None
        for text, label in zip(found["clinvar_id"], found["clinvar"], strict=True)
    ]
    for name in ("disease", "homoplasmic", "heteroplasmic", "somatic"):
        found[name] = found[f"mitomap_{name}"]
    return found


def _by_gene(keys: Sequence[tuple[int, str, str]], locus: Rows) -> list[list[list[int]]]:
    """For each variant its rows by gene, the gene with a protein first. A row about a region goes with the first."""
    rank = {gene.name: (not gene.protein, gene.start) for gene in mito.genes()}
    grouped: dict[tuple[int, str, str], dict[str, list[int]]] = {}
    for row, key in enumerate(keys):
        grouped.setdefault(key, {}).setdefault(locus[row], []).append(row)
    found: list[list[list[int]]] = []
    for groups in grouped.values():
        names = sorted(groups, key=lambda name: rank.get(name, (True, mito.LENGTH)))
        genes = [groups[name] for name in names if name in rank] or [[]]
        genes[0] += [row for name in names if name not in rank for row in groups[name]]
        found.append(genes)
    return found


def _gnomad(held: Compact) -> tuple[Source, Iterable[Fact]]:
    """gnomAD v3.1; numbers by population are of people in whom the variant is homoplasmic."""
    populations: list[str] = held.about["gnomad_populations"]
    columns = (
        Column("filter", "category", "PASS, or why gnomAD does not trust the variant"),
        Column("an", "u4", "number of genomes"),
        Column("ac_hom", "u4", "genomes with the variant, homoplasmic (share of reads at least 0.95)"),
        Column("ac_het", "u4", "genomes with the variant, heteroplasmic (0.10 to 0.95)"),
        Column("af_hom", "f4", "share of genomes with the variant, homoplasmic"),
        Column("af_het", "f4", "share of genomes with the variant, heteroplasmic"),
        Column("max_heteroplasmy", "u2", "highest share of reads seen, 0 to 1", 3),
        *(Column(f"ac_hom_{name}", "u4", f"homoplasmic in this many genomes of {name}") for name in populations),
        *(Column(f"af_hom_{name}", "f4", f"homoplasmic in this share of genomes of {name}") for name in populations),
    )
    numbers, homoplasmic, heteroplasmic = (held.array(f"gnomad_{name}").tolist() for name in ("an", "ac_hom", "ac_het"))
    by_population = held.array("gnomad_population_ac_hom").tolist()
    sizes = held.array("gnomad_population_an").tolist()
    values: list[Rows] = [
        _words(held, "gnomad_filter"),
        numbers,
        homoplasmic,
        heteroplasmic,
        [count / number for count, number in zip(homoplasmic, numbers, strict=True)],
        [count / number for count, number in zip(heteroplasmic, numbers, strict=True)],
        [share / 1000 for share in held.array("gnomad_max_heteroplasmy").tolist()],
        *by_population,
        *([c / n if c else 0.0 for c, n in zip(*pair, strict=True)] for pair in zip(by_population, sizes, strict=True)),
    ]
    rows = zip(_keys(held, "gnomad"), zip(*values, strict=True), strict=True)
    facts = (Fact(line, mito.CONTIG, *key, said) for line, (key, said) in enumerate(rows, 1))
    return Source("gnomad", "gnomAD v3.1 chrM", "2020", "CC0", ASSEMBLY, columns), facts


# ---- the clinical panel ----

_PANEL_CLINVAR: Final = (
    Column("significance", "category", "clinical significance in the words of ClinVar, all that were submitted"),
    Column("significance_class", "category", "the same as one of a dozen classes, derived here"),
    Column("review_status", "category", "review status in the words of ClinVar"),
    Column("stars", "u1", "review status as 0 to 4 stars"),
    Column("conditions", "text", "conditions, separated by ;"),
    Column("id", "u4", "number of the measure set in ClinVar"),
    Column("gene", "text", "gene that ClinVar names"),
)


def clinical(held: Compact) -> Iterator[tuple[Source, Iterable[Fact]]]:
    """The ClinVar assertions of the panel."""
    date: str = held.about["clinvar_date"]
    significance, review = _words(held, "clinvar_significance"), _words(held, "clinvar_review")
    columns = (
        significance,
        [one_class(text) for text in significance],
        review,
        [STARS.get(text.replace(" ", "_"), 0) for text in review],
        _words(held, "clinvar_conditions"),
        held.array("clinvar_id").tolist(),
        _words(held, "clinvar_gene"),
    )
    rows = zip(held.texts("clinvar_contig"), _keys(held, "clinvar"), zip(*columns, strict=True), strict=True)
    facts = (Fact(line, contig, *key, said) for line, (contig, key, said) in enumerate(rows, 1))
    yield Source("clinvar", "ClinVar of macarthur-lab/clinvar", date, PUBLIC, ASSEMBLY, _PANEL_CLINVAR), facts


def one_class(significance: str) -> str:
    """One class for the terms of several submitters, `Benign;Likely benign`: do they agree, and on what?

    The words are those of `significance_class`. Beside a judgement, other terms (drug response, risk factor) do not
    count, as in ClinVar's own aggregate.
    """
    classes = {significance_class(term) for term in significance.split(";")}
    judged = classes & _JUDGEMENTS or classes
    for pair, together in (("pathogenic", "pathogenic_or_likely"), ("benign", "benign_or_likely")):
        if judged == {pair, f"likely_{pair}"}:
            return together
    if len(judged) == 1:
        return judged.pop()
    return "conflicting" if judged <= _JUDGEMENTS else "other"


_JUDGEMENTS: Final = frozenset({"pathogenic", "likely_pathogenic", "uncertain", "likely_benign", "benign"})


# ---- columns ----


def _keys(held: Compact, table: str) -> list[tuple[int, str, str]]:
    positions = held.array(f"{table}_position").cumsum(dtype=np.int64).tolist()
    return list(zip(positions, held.texts(f"{table}_ref"), held.texts(f"{table}_alt"), strict=True))


def _words(held: Compact, name: str) -> Rows:
    words = [text or None for text in held.texts(f"{name}_words")]
    return [words[index] for index in held.array(name).tolist()]


def _scaled(numbers: list[int], decimals: int, unknown: int) -> Rows:
    return [None if number == unknown else number / 10**decimals for number in numbers]


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)
