"""The rule-based baseline asks its rules in order and names the one that decided; sentences say only what is there."""

from typing import Any

import pytest

from genescale.worker.explain import sentences
from genescale.worker.score import METHOD, assess


def annotation(impact: str = "MODERATE", term: str = "missense_variant", **known: dict[str, Any]) -> dict[str, Any]:
    row = {
        "transcript": "T1",
        "gene": "G",
        "biotype": "protein_coding",
        "terms": [term],
        "impact": impact,
        "pick": True,
    }
    variant = {"contig": "1", "position": 5, "ref": "A", "alt": "G"}
    return {"variant": variant, "most_severe": term, "impact": impact, "consequences": [row], "known": known}


@pytest.mark.parametrize(
    ("asked", "priority", "because"),
    [
        (annotation(clinvar={"significance": "Pathogenic", "significance_class": "pathogenic"}), 5, "ClinVar"),
        (annotation("HIGH", clinvar={"significance": "Benign", "significance_class": "benign"}), 1, "ClinVar"),
        (annotation("HIGH", "stop_gained"), 4, "HIGH impact: stop_gained"),
        (annotation("HIGH", "stop_gained", gnomad={"af_hom": 0.2}), 1, "common"),
        (annotation("HIGH", "stop_gained", gnomad={"af_hom": 0.001}), 4, "HIGH impact"),
        (annotation("MODIFIER", "intron_variant"), 1, "MODIFIER"),
    ],
)
def test_the_rules_in_their_order(asked: dict[str, Any], priority: int, because: str) -> None:
    found = assess(asked)
    assert (found["method"], found["priority"], found["of"]) == (METHOD, priority, 5)
    assert because in found["because"]


def test_a_variant_near_no_transcript_has_the_lowest_priority() -> None:
    alone = annotation()
    del alone["most_severe"], alone["impact"]
    assert assess(alone)["priority"] == 1


def test_sentences_name_what_is_known_and_say_when_nothing_is() -> None:
    told = " ".join(sentences(annotation("HIGH", "stop_gained")))
    assert "In G it makes a stop codon" in told
    assert "do not know it" in told
    known = {"significance": "Pathogenic", "conditions": "A;B;C;D;E"}
    told = " ".join(sentences(annotation(clinvar=known, gnomad={"af_hom": 0.0002})))
    assert "ClinVar calls it Pathogenic: A; B; C and 2 more." in told
    assert "gnomad has it in about 1 of 5,000 people, homoplasmic." in told


@pytest.mark.parametrize(
    ("ref", "alt", "said"),
    [
        ("A", "G", "replaces one base"),
        ("ACT", "A", "takes 2 bases out"),
        ("A", "AC", "adds one base"),
        ("A", "<DEL>", "structural"),
    ],
)
def test_the_first_sentence_says_what_kind_it_is(ref: str, alt: str, said: str) -> None:
    one = annotation()
    one["variant"] |= {"ref": ref, "alt": alt}
    assert said in sentences(one)[0]
