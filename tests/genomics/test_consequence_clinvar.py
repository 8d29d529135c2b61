"""Real human genes: what the names of ClinVar 2016 say of its variants, against our terms on GRCh37 regions."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter

import pytest

from genescale.genomics import terms
from genescale.genomics.consequence import LOF_HIGH, LOF_LOW, judge
from genescale.genomics.variants import OUTSIDE_REFERENCE, REF_MISMATCH, Row, Variants, variants_of_record
from support.lrg_bundle import lrg_bundle
from support.shared_data import shared_data

EXPECTED = {
    "stop": {"stop_gained"},
    "frameshift": {"frameshift_variant", "stop_gained"},
    "missense": {"missense_variant", "start_lost", "stop_lost"},
    "synonymous": {"synonymous_variant", "stop_retained_variant", "start_retained_variant"},
    "splice": {"splice_donor_variant", "splice_acceptor_variant"},
}


def kind_of(hgvs_c: str, hgvs_p: str) -> str:
    """What the submitter's own names say that the variant is."""
    protein, coding = hgvs_p.rpartition(":")[2], hgvs_c.rpartition(":")[2]
    if re.fullmatch(r"p\.[A-Z][a-z]{2}\d+Ter", protein):
        return "stop"
    if "fs" in protein:
        return "frameshift"
    if re.fullmatch(r"p\.[A-Z][a-z]{2}\d+[A-Z][a-z]{2}", protein):
        return "missense"
    if re.fullmatch(r"p\.[A-Z][a-z]{2}\d+=", protein):
        return "synonymous"
    return "splice" if re.search(r"\d[+-][12][ACGT]>", coding) else ""


@pytest.mark.slow
def test_clinvar_assertions_have_the_terms_that_their_names_say() -> None:
    bundle = lrg_bundle("GRCh37")
    transcripts = {name: i for i, name in enumerate(bundle.texts("transcript_name"))}
    text = gzip.decompress(shared_data("clinvar-2016/clinvar_2016-06-05.b37.dev.tsv.gz").read_bytes()).decode()
    csv.field_size_limit(1 << 24)
    rows: list[Row] = []
    asserted: list[dict[str, str]] = []
    for line in csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE):
        rows += variants_of_record(bundle.contig(line["chrom"]), int(line["pos"]), line["ref"], [line["alt"]])
        asserted.append(line)
    variants = Variants.of_rows(rows)
    pairs = judge(bundle, variants)
    assert not (variants.flags & REF_MISMATCH).any()
    assert (variants.flags == OUTSIDE_REFERENCE).any()
    found = {(int(pairs.variant[i]), int(pairs.transcript[i])): i for i in range(pairs.count)}

    count: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for v, line in enumerate(asserted):
        row = found.get((v, transcripts.get(line["hgvs_c"].partition(":")[0], -1)))
        kind = kind_of(line["hgvs_c"], line["hgvs_p"])
        if row is None or not kind:
            continue
        said = set(terms.names(int(pairs.terms[row])))
        count[kind] += 1
        right[kind] += bool(said & EXPECTED[kind])
        if line["pathogenic"] == "1" and kind in {"stop", "frameshift", "splice"}:
            count["loss"] += 1
            right["loss"] += terms.impact(int(pairs.terms[row])) == "HIGH"
            count["note"] += 1
            right["note"] += bool(int(pairs.notes[row]) & (LOF_HIGH | LOF_LOW))
    assert sum(count[kind] for kind in EXPECTED) > 28_000
    share = {kind: right[kind] / count[kind] for kind in count}
    assert share["loss"] >= 0.995, share
    assert all(value >= 0.99 for value in share.values()), share
